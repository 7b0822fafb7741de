"""From an approved proposal to a promoted release, step by step, each written down.

Steps are the commands that a person would type, run one after the other; where a person has to act
(label, promote) it stops and says so. A step that failed is tried again by the next call.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.console import plain
from pipeline.errors import BusyError, GateError
from pipeline.i18n import Message, _
from pipeline.locks import held
from pipeline.watching import journal, proposal
from pipeline.watching.proposal import (
    APPROVED,
    CANARY,
    LABELLING,
    PROMOTED,
    RELEASED,
    ROLLED_BACK,
    TRAINING,
    Content,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

LAST_LINES = 3  # of what a failed step printed
WAITING: dict[str, Message] = {
    LABELLING: _("People label now: python -m pipeline.annotation assign NAME …, then import. "
                 "Go on with: python -m pipeline.monitor continue {id} --labelled"),
    CANARY: _("Release {version} answers some clients. Promote it (python -m pipeline.release "
              "promote {version}) or roll it back; a bad one is rolled back by itself."),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command.

    ``before`` is the state in which it runs, ``after`` the one that it leads to.
    """

    name: str
    before: str
    after: str
    argv: Callable[[Content], list[str]]


def module(*words: str) -> list[str]:
    """Return the command that runs one of our modules."""
    return [sys.executable, "-m", *words]


STEPS = (
    Step("collect", APPROVED, APPROVED, lambda one: module("dvc", "repro", "clean")),
    Step("queue", APPROVED, LABELLING, lambda one: module("pipeline.annotation", "queue")),
    # dvc repro runs label … optimize; validate's and optimize's gates stop it.
    Step("train", TRAINING, TRAINING, lambda one: module("dvc", "repro")),
    Step("release", TRAINING, RELEASED, lambda one: module("pipeline.release", "create")),
    Step("canary", RELEASED, CANARY, lambda one: module(
        "pipeline.release", "canary", one["new_version"], "--share", str(one["canary_share"])
    )),
)  # fmt: skip


def proceed(
    engine: Engine,
    name: str,
    clock: Callable[[], datetime],
    *,
    by: str,
    labelled: bool = False,
    releases: Path,
) -> Iterator[Message]:
    """Run the steps that are next and need no person; yield what is done and what is awaited.

    :param labelled: people are done with labelling.
    :raises DataError: if the proposal is not approved, or over.
    :raises GateError: if a step fails; what stands there is as it was.
    :raises BusyError: if somebody else runs a step of it.
    """
    with only_one(name):
        content = proposal.read(name)
        proposal.require(content, APPROVED, LABELLING, TRAINING, RELEASED, CANARY)
        if content["state"] == LABELLING and labelled:
            content = move(engine, content, TRAINING, clock(), by=by, name="labelled")
        while (step := following(content)) is not None:
            yield _("{step}: {command}", step=step.name, command=shown(step.argv(content)))
            content = run(engine, content, step, clock, by, releases)
        waiting = WAITING.get(content["state"])
        if waiting is not None:
            values = {"id": name, "version": content["new_version"]}
            yield Message(waiting.text, values)


def following(content: Content) -> Step | None:
    """Return the step that is next, or None where a person is."""
    done = {one["step"] for one in content["steps"] if one["outcome"] == "done"}
    steps = (one for one in STEPS if one.before == content["state"] and one.name not in done)
    return next(steps, None)


def run(
    engine: Engine,
    content: Content,
    step: Step,
    clock: Callable[[], datetime],
    by: str,
    releases: Path,
) -> Content:
    """Run one step and write down how it went.

    :raises GateError: if it failed.
    """
    from pipeline.releases.reading import versions

    before = set(versions(releases))
    argv = step.argv(content)
    content = move(engine, content, step.before, clock(), by=by, name=step.name, outcome="started")
    log = proposal.FOLDER / f"{content['id']}.{step.name}.log"
    with log.open("wb") as target:
        code = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=target, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        last = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        note = " / ".join(plain(line, 200) for line in last[-LAST_LINES:])
        move(engine, content, step.before, clock(), by=by, name=step.name, outcome="failed",
             note=note)  # fmt: skip
        raise GateError.at(
            f"{content['id']}, {step.name}",
            found=note or _("exit code {code}", code=code),
            allowed=_("a step that ends well"),
            fix=_("Read {log}, mend it, then run the same command again.", log=log),
        )
    made = sorted(set(versions(releases)) - before)
    new = made[-1] if step.name == "release" and made else None
    return move(engine, content, step.after, clock(), by=by, name=step.name, version=new)


def move(
    engine: Engine,
    content: Content,
    state: str,
    now: datetime,
    *,
    by: str,
    name: str,
    outcome: str = "done",
    note: str = "",
    version: str | None = None,
) -> Content:
    """Write down a step in the newest version of a proposal, and return that."""
    with proposal.held(content["id"]) as newest:
        newest["new_version"] = version or newest["new_version"]
        proposal.step(engine, newest, state, now, by=by, name=name, outcome=outcome, note=note)
        return newest


def shown(argv: list[str]) -> str:
    """Return a command as a person would type it."""
    return " ".join(["python", *argv[1:]])


@contextlib.contextmanager
def only_one(name: str) -> Iterator[None]:
    """Let one process run the steps of a proposal.

    :raises BusyError: if another one does.
    """
    proposal.read(name)
    busy = BusyError.at(
        proposal.path_of(name),
        found=_("its steps under way already"),
        allowed=_("one run at a time"),
        fix=_("Wait until it is done; its log grows below {folder}.", folder=proposal.FOLDER),
    )
    with held(proposal.FOLDER / f".{name}.run.lock", busy):
        yield


def settle(engine: Engine, now: datetime, releases: Path) -> list[Content]:
    """Write down how canaries of proposals ended, and return these proposals.

    Whoever ended them, a person or the guard: ``releases/state.json`` says it.

    :raises ModelError: if that file is damaged.
    """
    from pipeline.releases.ledger import State, say

    found = []
    waiting = [one for one in proposal.every() if one["state"] in (RELEASED, CANARY)]
    if not waiting:
        return []
    state = State.read(releases)
    for one in waiting:
        version = one["new_version"]
        tried = max((journal.moment(line["at"]) for line in one["steps"]), default=now)
        ended = [event for event in state.events if event.version == version
                 and event.what in ("end_canary", "block")
                 and journal.moment(event.at) >= tried.replace(microsecond=0)]  # fmt: skip
        if version is not None and state.stable == version:
            by = next(event.by for event in reversed(state.events) if event.version == version)
            found.append(move(engine, one, PROMOTED, now, by=by, name=PROMOTED))
        elif version is not None and (version in state.blocked or ended):
            event = ended[-1] if ended else None
            found.append(
                move(engine, one, ROLLED_BACK, now, by=event.by if event else "",
                     name=ROLLED_BACK, note=say(event.why, "en") if event else "")
            )  # fmt: skip
    return found
