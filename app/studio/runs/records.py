"""What is kept of a run: one folder each below ``work/runs``, whose ``run.json`` says it all.

::

    work/runs/<id>/run.json        who, what, since when, state; replaced whole
    work/runs/<id>/params.yaml     the values that the run uses, whatever is edited meanwhile
    work/runs/<id>/log             what the programs of the run print
    work/runs/<id>/progress.jsonl  how far a stage is (pipeline.progress)
    work/runs/<id>/devices.jsonl   processor, memory and GPU, every two seconds
    work/runs/<id>/stages.json     when each stage began
    work/runs/<id>/error.json      what a stage said when it failed, for readers of any language
    work/runs/<id>/stop.json       who asked it to stop
    work/runs/<id>/exit.json       how the program of the run ended
    work/runs/<id>/dvc.lock        what DVC recorded
    work/runs/<id>/metrics.json    figures of the stages, for comparing
    work/runs/<id>/curves.json     curves of training
    work/runs/<id>/kept/           metrics that DVC does not cache, to restore them
    work/runs/<id>/used            its time: when somebody compared or restored the run last
    work/runs/lock                 held by the processes of the run that works
    work/runs/tree                 the copy of the project in which runs work
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import string
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from app.studio.project_files import Project
from app.studio.stamps import parsed
from pipeline.artifacts import write_json
from pipeline.errors import DataError, Text, packed_text, unpacked_text
from pipeline.i18n import _

State = Literal["running", "done", "failed", "stopped"]
RECORD, STOP, EXIT, JOB, LOG = "run.json", "stop.json", "exit.json", "job.json", "log"
METRICS, CURVES, DEVICES = "metrics.json", "curves.json", "devices.jsonl"
STAGES, KEPT, FAULT = "stages.json", "kept", "error.json"
LOCK, TREE = "lock", "tree"


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: float  # seconds since 1970, as the system tells it


@dataclass(frozen=True)
class Run:
    """One run, as ``run.json`` says."""

    project: Project
    id: str  # as in 20261123-145358-k3f9: when it began, and four letters
    command: tuple[str, ...]  # as a person would type it
    device: str
    by: str
    state: State
    began: str  # ISO 8601, UTC
    ended: str | None
    params_sha256: str  # of the snapshot
    commit: str | None  # of Git, when it began
    lock_sha256: str | None  # of the project's dvc.lock, when it began
    code: int | None = None  # exit code; None while it works, or when it was killed
    stopped_by: str | None = None
    supervisor: Process | None = None
    leader: Process | None = None  # the first process of the run's group
    notes: tuple[Text, ...] = ()  # what was found out at the end (snapshot check, Git record)

    @property
    def folder(self) -> Path:
        """Where all about it lies."""
        return self.project.runs / self.id

    @property
    def log(self) -> Path:
        """What the programs of the run print."""
        return self.folder / "log"

    @property
    def snapshot(self) -> Path:
        """The parameters that it uses."""
        return self.folder / "params.yaml"

    @property
    def progress_lines(self) -> Path:
        """One JSON line a step, see ``pipeline.progress``."""
        return self.folder / "progress.jsonl"

    @property
    def works(self) -> bool:
        """Whether it is not over yet."""
        return self.state == "running"

    @property
    def shown_command(self) -> str:
        """The command in one line."""
        return " ".join(self.command)

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        end = moment(self.ended) if self.ended else datetime.now(UTC)
        return max(0.0, (end - moment(self.began)).total_seconds())


def moment(text: str) -> datetime:
    """Return a time of a record."""
    return datetime.fromisoformat(text)


def moment_of(id: str) -> str:
    """Return when a run of this id began, in the form by which ids sort."""
    return id[: len("20261123-145358")]


def now() -> str:
    """Return this moment as records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_id() -> str:
    """Return an id that sorts by time; its letters are told apart when read aloud."""
    letters = "".join(random.choices(string.ascii_lowercase + "23456789", k=4))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{letters}"


def write(run: Run) -> Run:
    """Replace ``run.json`` and return the run."""
    content: dict[str, Any] = {
        name: getattr(run, name) for name in Run.__dataclass_fields__ if name != "project"
    }
    for name in ("supervisor", "leader"):
        content[name] = asdict(content[name]) if content[name] else None
    content["notes"] = [packed_text(one) for one in run.notes]
    write_json(run.folder / RECORD, content)
    return run


def update(run: Run, **values: Any) -> Run:
    """Change some values of the newest version of a record; only its supervisor does this."""
    return write(replace(read(run.project, run.id), **values))


def read(project: Project, id: str) -> Run:
    """Return a run.

    :raises DataError: if there is none, or its record is damaged.
    """
    path = project.runs / id / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("supervisor", "leader"):
            content[name] = Process(**content[name]) if content[name] else None
        content["command"] = tuple(content["command"])
        content["notes"] = tuple(unpacked_text(one) for one in content["notes"])
        return Run(project=project, **content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError.at(
            path,
            found=_("no readable record of a run"),
            allowed=_("the id of a run below {folder}", folder=project.runs),
            fix=_("Choose a run of the list."),
        ) from error


def ids(project: Project) -> list[str]:
    """Return the ids of all runs, the newest first."""
    try:
        names = os.listdir(project.runs)
    except FileNotFoundError:
        return []
    found = [name for name in names if name[:1].isdecimal()]
    return sorted(found, reverse=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a small JSON object, or None where there is none that can be read."""
    try:
        return parsed(path.read_bytes())
    except OSError:
        return None


def seconds_since(began: float | None) -> float:
    """Return the seconds since a moment; 0 where it is not known."""
    return max(0.0, datetime.now(UTC).timestamp() - began) if began else 0.0


@contextlib.contextmanager
def held(path: Path, patience: float = 0.0) -> Iterator[int | None]:
    """Hold a file's lock in the block; yield its handle, or None where another process holds it.

    The lock lives as long as any process has the handle: who inherits it goes on holding it.

    :param patience: seconds to wait for it.
    """
    deadline = time.monotonic() + patience
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not taken(handle):
            if time.monotonic() >= deadline:
                yield None
                return
            time.sleep(0.05)
        yield handle
    finally:
        os.close(handle)


def taken(handle: int) -> bool:
    """Return whether the lock of an open file could be had."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
