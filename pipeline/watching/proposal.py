"""What to do when drift or quality passes its limit: a proposal, which a person approves.

::

    var/proposals/
    ├── <id>.json           what changed, what to label, the exact change of params.yaml, every step
    ├── <id>.md             the same for reading, in both languages
    └── <id>.<step>.log     what a step of the retraining printed

    proposed ─► approved ─► labelling ─► training ─► released ─► canary ─► promoted
        └─► rejected                                                  └──► rolled back

A proposal holds no text of a request: those are taken from the log when it is approved, so that
until then deleting a request deletes it everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts, locks
from pipeline.console import plain
from pipeline.errors import BusyError, DataError, ParamsError, StorageError
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.params import read_bytes
from pipeline.schema.watching import Proposal as Knobs
from pipeline.watching import changing, journal, selecting

if TYPE_CHECKING:
    from sqlalchemy import Engine

FOLDER = Path("var/proposals")
EVENT = "proposal"  # kind of event
PROPOSED, APPROVED, LABELLING, TRAINING = "proposed", "approved", "labelling", "training"
RELEASED, CANARY = "released", "canary"
PROMOTED, ROLLED_BACK, REJECTED = "promoted", "rolled back", "rejected"
OVER = (PROMOTED, ROLLED_BACK, REJECTED)
STATES: dict[str, Message] = {
    PROPOSED: _("proposed"),
    APPROVED: _("approved"),
    LABELLING: _("being labelled"),
    TRAINING: _("in training"),
    RELEASED: _("released"),
    CANARY: _("tried as canary"),
    PROMOTED: _("promoted"),
    ROLLED_BACK: _("rolled back"),
    REJECTED: _("rejected"),
}
LOOKED_BACK = timedelta(days=30)  # requests that may go to be labelled
SECONDS_TO_WAIT = 10

Content = dict[str, Any]


@dataclass(frozen=True)
class Cause:
    """Why a retraining is proposed."""

    kind: str  # drift or quality
    since: datetime
    lines: Sequence[Message]
    data: Mapping[str, Any]


def write(
    engine: Engine, causes: Sequence[Cause], knobs: Knobs, now: datetime, *, version: str | None
) -> Content | None:
    """Write a proposal, unless one is open already; return it, or None.

    :param version: of the release that serves; the new model would follow it.
    :raises ParamsError: if ``params.yaml`` is not allowed.
    """
    if not causes or any(one["state"] not in OVER for one in every()):
        return None
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    since = max(min(cause.since for cause in causes), now - LOOKED_BACK)
    counts = selecting.counts(engine, since, knobs.uncertain)
    chosen = selecting.worth_labelling(
        engine, since, most=knobs.texts, uncertain=knobs.uncertain
    )  # fmt: skip
    name = free_name(now, causes[0].kind)
    path = changing.REQUESTS / f"{name}.jsonl"
    old = read_bytes(artifacts.PARAMS)
    source = changing.source_of(name, path, personal_data=True) if chosen else None
    new = changing.changed(old, source=source, released=version)
    content: Content = {
        "id": name,
        "created": journal.iso(now),
        "state": PROPOSED,
        "version": version,
        "new_version": None,
        "causes": [
            {"kind": one.kind, "since": journal.iso(one.since), "data": dict(one.data)}
            for one in causes
        ],
        "since": journal.iso(since),
        "what_changed": spoken([line for cause in causes for line in cause.lines]),
        "what_to_collect": spoken(list(to_collect(counts, len(chosen), knobs))),
        "label": {"counts": counts, "texts": len(chosen), "uncertain": knobs.uncertain,
                  "most": knobs.texts, "file": path.as_posix() if chosen else None},
        "params": {
            "sha256": hashlib.sha256(old).hexdigest(),
            "becomes": hashlib.sha256(new).hexdigest(),
            "diff": changing.diff(old, new),
        },
        "canary_share": round(knobs.canary_share),
        "commands": commands(name, round(knobs.canary_share)),
        "steps": [],
    }  # fmt: skip
    save(content)
    step(engine, content, PROPOSED, now, by="monitor")
    return content


def spoken(lines: Sequence[Message]) -> dict[str, list[str]]:
    """Return sentences in every language."""
    return {one: [plain(line.render(one), 500) for line in lines] for one in LANGUAGES}


def to_collect(counts: Mapping[str, int], chosen: int, knobs: Knobs) -> Iterator[Message]:
    """Yield which data would help."""
    yield _(
        "In the log: {disputed} answers that people found wrong, {differed} that two releases "
        "answered differently, {uncertain} with less confidence than {bound}.",
        **counts,
        bound=knobs.uncertain,
    )
    if chosen:
        yield _(
            "{count} of these texts go to be labelled once this is approved. They are copied, "
            "masked, into data/raw, which Git keeps: look whether that is allowed.",
            count=chosen,
        )
    else:
        yield _(
            "No text of a request was kept (traffic.text is none, or they are too old). Collect "
            "texts like those that come in now, or set traffic.text to masked and wait."
        )


def commands(name: str, share: int) -> list[str]:
    """Return what would be typed, from approval to promotion."""
    python = "python -m pipeline."
    return [
        f"{python}monitor approve {name}",
        f"{python}monitor continue {name}            # dvc repro clean; annotation queue",
        f"{python}annotation assign NAME NAME        # people label; annotation import FILE",
        f"{python}monitor continue {name} --labelled # dvc repro; release create; canary "
        f"--share {share}",
        f"{python}release promote VERSION            # or: {python}release rollback --canary",
    ]


def free_name(now: datetime, cause: str) -> str:
    """Return a name that no proposal has."""
    name = f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{cause}"
    return name if not path_of(name).exists() else f"{name}-{os.getpid()}"


def path_of(name: str) -> Path:
    """Return the file of a proposal.

    :raises DataError: for what cannot be a proposal's name, and could be another path.
    """
    if not name or not all(one.isascii() and (one.isalnum() or one == "-") for one in name):
        raise unknown(name)
    return FOLDER / f"{name}.json"


def unknown(name: str) -> DataError:
    """Return the error for a proposal that there is not."""
    return DataError.at(
        plain(repr(name), 80),
        found=_("no such proposal"),
        allowed=", ".join(one["id"] for one in every()) or _("none, because there is none yet"),
        fix=_("python -m pipeline.monitor journal lists them."),
    )


def read(name: str) -> Content:
    """Return a proposal.

    :raises DataError: if there is none of this name, or it is damaged.
    """
    path = path_of(name)
    if not path.is_file():
        raise unknown(name)
    found: Content = artifacts.read_json(path)
    return found


def every() -> list[Content]:
    """Return all proposals that can be read, the oldest first."""
    found: list[Content] = []
    for path in sorted(FOLDER.glob("*.json")):
        with contextlib.suppress(DataError):
            found.append(artifacts.read_json(path))
    return sorted(found, key=lambda one: (one["created"], one["id"]))


def save(content: Content) -> None:
    """Write a proposal, for programs and for people."""
    artifacts.write_json(path_of(content["id"]), content)
    artifacts.write_bytes(FOLDER / f"{content['id']}.md", page(content).encode())


@contextlib.contextmanager
def held(name: str) -> Iterator[Content]:
    """Yield a proposal that nobody else changes meanwhile.

    :raises BusyError: if somebody does.
    """
    path = path_of(name)
    if not path.is_file():
        raise unknown(name)
    busy = BusyError.at(
        path,
        found=_("somebody else working on it"),
        allowed=_("one at a time"),
        fix=_("Wait until the other command is done."),
    )
    with locks.held(FOLDER / f".{name}.lock", busy, SECONDS_TO_WAIT):
        yield read(name)


def step(
    engine: Engine | None,
    content: Content,
    state: str,
    now: datetime,
    *,
    by: str,
    name: str | None = None,
    outcome: str = "done",
    note: str = "",
) -> None:
    """Write down a step of a proposal: in its file, and in the journal when that can be written.

    :param name: of the step; None where the state says it.
    :param outcome: ``started``, ``done`` or ``failed``.
    """
    line = {"at": journal.iso(now), "step": name or state, "outcome": outcome,
            "by": plain(by, 100), "note": plain(note, 500)}  # fmt: skip
    content["state"] = state
    content["steps"].append(line)
    save(content)
    if engine is not None:
        with contextlib.suppress(StorageError):  # the file has it
            told = {"proposal": content["id"], "state": state, **line}
            journal.note(engine, EVENT, told, now)


def approve(engine: Engine, name: str, now: datetime, *, by: str) -> Content:
    """Do what a proposal says about ``params.yaml`` and ``data/raw``, and nothing else.

    :raises DataError: if it is not open, or no text is left that could be labelled.
    :raises ParamsError: if ``params.yaml`` is not what it was when the proposal was written.
    """
    with held(name) as content:
        require(content, PROPOSED)
        old = read_bytes(artifacts.PARAMS)
        source = source_in(engine, content)
        new = changing.changed(old, source=source, released=content["version"])
        digests = [hashlib.sha256(one).hexdigest() for one in (old, new)]
        if digests != [content["params"]["sha256"], content["params"]["becomes"]]:
            raise ParamsError.at(
                artifacts.PARAMS,
                found=_("another content than when this was proposed"),
                allowed=_("the content that the proposal shows the change of"),
                fix=_("Reject this proposal and run python -m pipeline.monitor propose."),
            )
        artifacts.write_bytes(artifacts.PARAMS, new)
        step(engine, content, APPROVED, now, by=by)
        return content


def source_in(engine: Engine, content: Content) -> dict[str, Any] | None:
    """Write the texts that shall be labelled below ``data/raw``, and return their source.

    :raises DataError: if none of them is left.
    """
    label = content["label"]
    if label["file"] is None:
        return None
    texts = selecting.worth_labelling(
        engine, journal.moment(content["since"]), most=label["most"], uncertain=label["uncertain"]
    )
    if not texts:
        raise DataError.at(
            content["id"],
            found=_("no text left in the log"),
            allowed=_("texts that can be labelled"),
            fix=_("Reject this proposal and run python -m pipeline.monitor propose."),
        )
    path = Path(label["file"])
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(one, ensure_ascii=False) for one in texts]
    artifacts.write_bytes(path, ("\n".join(lines) + "\n").encode())
    return changing.source_of(content["id"], path, personal_data=True)


def reject(engine: Engine, name: str, now: datetime, *, by: str, why: str) -> Content:
    """End a proposal; what an approved one changed stays, and Git can undo it.

    :raises DataError: if it is over already.
    """
    with held(name) as content:
        require(content, *(one for one in STATES if one not in OVER))
        step(engine, content, REJECTED, now, by=by, note=why)
        return content


def require(content: Content, *states: str) -> None:
    """Refuse a proposal that is in another state.

    :raises DataError: naming the states that will do.
    """
    if content["state"] not in states:
        raise DataError.at(
            content["id"],
            found=STATES[content["state"]],
            allowed=", ".join(str(STATES[one]) for one in states),
            fix=_("python -m pipeline.monitor journal lists them."),
        )


def page(content: Content) -> str:
    """Return a proposal as Markdown, in every language."""
    parts: list[str] = []
    for language in LANGUAGES:
        say = {name: one.render(language) for name, one in HEADINGS.items()}
        state = STATES[content["state"]].render(language)
        parts += [f"# {say['title']} {content['id']}", f"{say['state']}: **{state}**"]
        for name in ("what_changed", "what_to_collect"):
            items = [f"- {escaped(line)}" for line in content[name][language]]
            parts += [f"## {say[name]}", "\n".join(items)]
    fence = "```"
    parts += [f"{fence}diff\n{content['params']['diff']}{fence}"]
    parts += [f"{fence}sh\n" + "\n".join(content["commands"]) + f"\n{fence}"]
    steps = [
        f"| {one['at']} | {one['step']} | {one['outcome']} | {escaped(one['by'])} "
        f"| {escaped(one['note'])} |"
        for one in content["steps"]
    ]
    if steps:
        parts.append("\n".join(["| | | | | |", "|---|---|---|---|---|", *steps]))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return somebody's words so that Markdown and HTML leave them alone."""
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>()#+-.!|~&" else one for one in text)


HEADINGS: dict[str, Message] = {
    "title": _("Proposal"),
    "state": _("State"),
    "what_changed": _("What changed"),
    "what_to_collect": _("What to collect or label"),
}
