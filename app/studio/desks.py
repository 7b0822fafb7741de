"""What lies before each annotator, on the disk: a desk for each person and list of work."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.studio.locking import only_writer
from app.studio.project_files import Project
from pipeline import artifacts

FOLDER = artifacts.WORK / "annotation" / "desks"
LOCK = ".desks.lock"
FORGOTTEN = 15 * 60.0  # seconds after which a record that nobody decided is given to others, too
MOST_SKIPPED = 10_000


@dataclass(frozen=True)
class Skip:
    """A record that somebody did not want to decide."""

    record: str
    time: float


@dataclass(frozen=True)
class Desk:
    """What lies before one person."""

    record: str | None = None
    since: float = 0.0  # seconds since 1970
    held: bool = False  # it was asked for, so it stays though it is done
    note: str = ""
    skipped: tuple[Skip, ...] = ()
    undone: tuple[str, ...] = ()  # that undo went back to, the last one last
    unrecorded: int = 0  # labels since the last entry in the Git record

    def emptied(self, **changes: Any) -> Desk:
        """Return the desk without a record."""
        return replace(self, record=None, held=False, note="", undone=(), **changes)

    def with_skipped(self, record: str, time: float) -> Desk:
        """Return the desk with a record put aside."""
        kept = self.without_skipped(record).skipped
        return replace(self, skipped=(*kept, Skip(record, time))[-MOST_SKIPPED:])

    def without_skipped(self, record: str) -> Desk:
        """Return the desk with a record that is put aside no more."""
        kept = tuple(one for one in self.skipped if one.record != record)
        return replace(self, skipped=kept)


def alone(project: Project) -> AbstractContextManager[None]:
    """Let one person take or put down a record at a time."""
    return only_writer(project.root / FOLDER / LOCK)


def path_of(project: Project, which: str, name: str) -> Path:
    """Return the file of a desk."""
    return project.root / FOLDER / which / f"{name}.json"


def read(project: Project, which: str, name: str) -> Desk:
    """Return what lies before somebody; a damaged file counts as an empty desk."""
    try:
        values = json.loads(path_of(project, which, name).read_bytes())
        skipped = tuple(Skip(**one) for one in values["skipped"])
        return Desk(**{**values, "skipped": skipped, "undone": tuple(values["undone"])})
    except (OSError, ValueError, TypeError, KeyError):
        return Desk()


def write(project: Project, which: str, name: str, desk: Desk) -> None:
    """Keep what lies before somebody.

    It is written whole or not at all, but need not outlive a power cut as labels do: waiting for
    the disk would be felt at every press.
    """
    path = path_of(project, which, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")  # one writer at a time, see ``alone``
    with artifacts.disk_full_explained(path):
        temporary.write_text(json.dumps(asdict(desk)), encoding="ascii")
        temporary.replace(path)


def at_others(project: Project, which: str, name: str, now: float) -> dict[str, int]:
    """Return before how many other people each record of a list lies at a moment."""
    counts: dict[str, int] = {}
    for path in (project.root / FOLDER / which).glob("*.json"):
        if path.stem != name:
            desk = read(project, which, path.stem)
            if desk.record is not None and now - desk.since < FORGOTTEN:
                counts[desk.record] = counts.get(desk.record, 0) + 1
    return counts
