"""The Git record, for people who do not know Git: what was saved becomes a commit that explains.

A commit holds the named files and nothing else: what somebody else has staged stays staged. Where
Git refuses (no identity, a merge under way, a hook, a push that fails) the answer says why and
what to do; the files themselves are saved before and stay as they are, and the next commit of the
same files takes them along. Nothing here raises for what Git says, and nothing needs Streamlit.

Messages are in the language of whoever acted; each ends with ``By:`` and, where something can be
repeated, with ``Repeat:`` and the command.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.studio import preferences, roles
from app.studio.dotted import flat
from app.studio.locking import only_writer
from app.studio.project_files import Project
from app.studio.recording import Recorded, pushed, record, refused
from app.studio.repository import Repository
from app.studio.stamps import parsed, readable
from pipeline.artifacts import METRICS, PARAMS, write_json
from pipeline.editing import written
from pipeline.errors import BusyError, ParamsError, Text, words
from pipeline.i18n import LANGUAGES, _, current_language
from pipeline.params import parse

FILE = "record.json"
LOCK = ".record.lock"
SECONDS_TO_WAIT = 180.0  # for other records; one may take 60 in a hook and 30 to be sent
PLAN = Path("project.yaml")
DVC_LOCK = Path("dvc.lock")
MEASURED = ("validate", "test", "optimize")  # stages whose metrics Git keeps
FIELDS_SHOWN = 40
VALUE_SHOWN = 80
SUBJECT = 72  # characters
MISSING = object()


@dataclass(frozen=True)
class Switch:
    """What the operator chose for this project."""

    on: bool = True
    push: bool = False


def commit(project: Project, paths: Sequence[Path], message: Text, by: str) -> Recorded:
    """Commit the named files, whole as they lie there, and nothing else.

    :param paths: below the project's folder; a missing one that Git knows is recorded as removed.
    :param message: the first line is the subject.
    :param by: who acted; a mail address becomes the author, any other name a line of the message.
    """
    text = words(message, language_of(project, by))
    return committed(project, paths, [text], by)


def saved_params(project: Project, by: str) -> Recorded:
    """Commit ``params.yaml``; the message names each field that differs, as ``old → new``."""
    repository = ready(project)
    if isinstance(repository, Recorded):
        return repository
    before = values_of(repository.committed(str(PARAMS)))
    now = values_of(project.params.read_bytes() if project.params.exists() else None)
    language = language_of(project, by)
    lines = [f"{name}: {old} → {new}" for name, old, new in differences(before, now)]
    if not before:
        subject = words(_("First record of params.yaml"), language)
        lines = []
    elif len(lines) == 1 and len(lines[0]) <= SUBJECT:
        subject, lines = lines[0], []
    else:
        subject = words(_("Change {count} parameters", count=len(lines)), language)
    return committed(project, [PARAMS], [subject, *bounded(lines, language)], by, "dvc repro")


def saved_plan(project: Project, what: Text, by: str) -> Recorded:
    """Commit ``project.yaml``.

    :param what: which part was saved.
    """
    subject = words(_("Plan: {what}", what=what), language_of(project, by))
    return committed(project, [PLAN], [subject], by)


def finished_run(project: Project, run: str, command: str, verdict: Text, by: str) -> Recorded:
    """Commit what a run leaves for Git: ``dvc.lock`` and metrics, and the params if still its own.

    :param run: its id; ``work/runs/<id>/params.yaml`` is the snapshot that it used.
    :param command: what repeats it, as typed in a terminal.
    :param verdict: how it ended, in a sentence (passed gates, failed at a stage, stopped).
    """
    repository = ready(project)
    if isinstance(repository, Recorded):
        return repository
    language = language_of(project, by)
    metrics = [Path("models") / stage / METRICS for stage in MEASURED]
    paths = [DVC_LOCK, *metrics]
    snapshot = project.runs / run / PARAMS
    if snapshot.exists() and project.params.exists():
        used = snapshot.read_bytes()
        paths += [PARAMS] if used == project.params.read_bytes() else []
    subject = words(_("Run {run}: {verdict}", run=run, verdict=verdict), language)
    lines = figures(project, repository)
    return committed(project, paths, [subject, *lines], by, command)


def labelled(project: Project, path: Path, by: str) -> Recorded:
    """Commit a file of annotations; the message says how many lines came since the last commit."""
    repository = ready(project)
    if isinstance(repository, Recorded):
        return repository
    count = repository.lines_added(relative(project, path))
    message = _("Labels: {count} more in {name}", count=count, name=path.name)
    subject = words(message, language_of(project, by))
    return committed(project, [path], [subject], by, "dvc repro label")


def released(project: Project, version: str, command: str, told: Text, by: str) -> Recorded:
    """Record a release, a promotion or a roll-back: an entry without files, as releases are copies.

    :param told: what happened, in a few words, as in ``Release 1.2.0``.
    :param command: what repeats it.
    """
    language = language_of(project, by)
    body = words(_("Release: {version}", version=version), language)
    return committed(project, [], [words(told, language), body], by, command)


def committed(
    project: Project, paths: Sequence[Path], lines: Sequence[str], by: str, repeat: str = ""
) -> Recorded:
    """Commit files under a message of these lines, and push it where the operator wants that."""
    repository = ready(project)
    if isinstance(repository, Recorded):
        return repository
    names = [relative(project, path) for path in paths]
    message = message_of(lines, by, repeat)
    try:
        with alone(project):
            done = record(repository, names, message, by, empty=not names)
            if done.state != "committed" or not switch(project).push:
                return done
            problem = pushed(repository)
    except BusyError as error:  # what is recorded here is saved already
        return refused(error.problems[0])
    if problem is None:
        told = _("Recorded in Git as {commit} and sent.", commit=(done.commit or "")[:7])
        return Recorded("committed", told, done.commit)
    told = _("Recorded in Git as {commit}, but not sent.", commit=(done.commit or "")[:7])
    return Recorded("committed", told, done.commit, problem)


def ready(project: Project) -> Repository | Recorded:
    """Return the repository to write to, or why nothing is written."""
    if not switch(project).on:
        return Recorded("off", _("Saved. The Git record is switched off."))
    repository = Repository.holding(project.root)
    if repository is None:
        return Recorded("no_repository", _("Saved. No Git repository holds this project."))
    return repository


def alone(project: Project) -> AbstractContextManager[None]:
    """Let one record be written at a time."""
    return only_writer(project.studio / LOCK, SECONDS_TO_WAIT)


def relative(project: Project, path: Path) -> str:
    """Return a path from the project's folder.

    :raises ValueError: if it lies elsewhere, or in Git's own folder.
    """
    root = project.root.resolve()
    whole = (root / path).parent.resolve() / path.name
    inside = whole.relative_to(root) if whole.is_relative_to(root) else Path()
    if ".git" in inside.parts or inside == Path():
        raise ValueError(f"found {path}, allowed files of the project")
    return inside.as_posix()


def message_of(lines: Sequence[str], by: str, repeat: str) -> str:
    """Return a commit's message: subject, body, and who did it and what repeats it."""
    first, *rest = [" ".join(line.split()) for line in lines]
    body = rest
    if len(first) > SUBJECT:
        body, first = [first, *rest], f"{first[: SUBJECT - 1]}…"
    end = [f"Repeat: {' '.join(repeat.split())}"] if repeat else []
    end.append(f"By: {' '.join(by.split())}")
    blocks = [[first], body, end]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def bounded(lines: Sequence[str], language: str) -> list[str]:
    """Return as many lines as a message bears."""
    left = len(lines) - FIELDS_SHOWN
    more = [words(_("and {count} more", count=left), language)] if left > 0 else []
    return [*lines[:FIELDS_SHOWN], *more]


@functools.lru_cache(maxsize=4)
def values_of(content: bytes | None) -> dict[str, Any]:
    """Return every value of a YAML file by its dotted name; none if it is damaged.

    The last ones are kept: what is new now is what was before at the next save, and reading YAML
    is slow.
    """
    try:
        values, _tree = parse((content or b"").decode("utf-8"), PARAMS)
    except (ParamsError, UnicodeDecodeError):
        return {}
    return flat(values)


def shown(value: Any) -> str:
    """Return a value as it stands in the file, in one short line."""
    text = " ".join(written(value).split())
    return text if len(text) <= VALUE_SHOWN else f"{text[: VALUE_SHOWN - 1]}…"


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:  # fmt: skip
    """Yield the names whose values differ, with both as they are written; ``–`` for none."""
    for name in dict.fromkeys([*before, *now]):
        if repr(before.get(name, MISSING)) == repr(now.get(name, MISSING)):
            continue
        old, new = (shown(one[name]) if name in one else "–" for one in (before, now))
        yield name, old, new


def figures(project: Project, repository: Repository) -> list[str]:
    """Return how the figure that counts changed, for validation and test."""
    found = []
    for stage in ("validate", "test"):
        path = Path("models") / stage / METRICS
        now = readable(project.root / path) or {}
        name = (readable(project.report(stage)) or {}).get("main")
        old = parsed(repository.committed(path.as_posix())) or {}
        values = [one.get("model", one).get(name) for one in (old, now)]
        if isinstance(values[1], float | int):
            earlier = f"{values[0]:.4f} → " if isinstance(values[0], float | int) else ""
            found.append(f"{stage} {name}: {earlier}{values[1]:.4f}")
    return found


def language_of(project: Project, by: str) -> str:
    """Return the language of a user's messages: what the user chose, else the system's."""
    chosen = preferences.get(project, by, "language")
    return chosen if chosen in LANGUAGES else current_language()


def switch(project: Project) -> Switch:
    """Return what the operator chose; on, without pushing, where nothing was chosen."""
    content = readable(project.studio / FILE) or {}
    return Switch(content.get("on", True) is True, content.get("push", False) is True)


def set_switch(project: Project, chosen: Switch) -> None:
    """Switch the record, or its sending, on or off.

    :raises RoleError: if the role is too small.
    """
    roles.require(roles.SWITCH_RECORD, f"on = {chosen.on}, push = {chosen.push}")
    project.studio.mkdir(parents=True, exist_ok=True)
    write_json(project.studio / FILE, {"on": chosen.on, "push": chosen.push})
