"""Who did what and when: one line an action in ``var/studio/audit.jsonl``.

A line is JSON in ASCII, so that no value can end it or turn a terminal's text around. Lines are
appended under a lock; a file that is full moves aside, and the oldest of five goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from app.studio.locking import only_writer
from app.studio.project_files import Project

FILE = "audit.jsonl"
LOCK = ".audit.lock"
FULL = 10_000_000  # bytes
FILES = 5
LONGEST = 500  # characters of what was done
BLOCK = 65_536  # bytes read at once from a file's end


@dataclass(frozen=True)
class Line:
    """One action."""

    time: str  # ISO 8601, UTC
    user: str
    role: str
    action: str
    what: str
    allowed: bool


@dataclass(frozen=True)
class Doing:
    """What somebody does, or was refused."""

    user: str
    role: str
    action: str
    what: str = ""
    allowed: bool = True


def write(project: Project, doing: Doing) -> None:
    """Append one line, with the time of now.

    :raises BusyError: if somebody else holds the file for half a minute.
    """
    content = asdict(doing) | {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "what": doing.what[:LONGEST],
    }
    text = json.dumps(content, ensure_ascii=True, sort_keys=True) + "\n"
    with only_writer(project.studio / LOCK):
        path = project.studio / FILE
        if path.exists() and path.stat().st_size + len(text) > FULL:
            rotate(path)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            end_torn_line(path, handle)
            os.write(handle, text.encode("ascii"))
        finally:
            os.close(handle)


def rotate(path: Path) -> None:
    """Move a full file aside; the oldest goes."""
    for number in range(FILES - 2, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def end_torn_line(path: Path, handle: int) -> None:
    """End a line that a power cut left open, so that the next one stands alone."""
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as source:
        source.seek(size - 1)
        if source.read(1) != b"\n":
            os.write(handle, b"\n")


def lines(project: Project, limit: int = 100, offset: int = 0) -> list[Line]:
    """Return the newest lines first; a line that is damaged is left out."""
    return list(islice(newest(project.studio / FILE), offset, offset + limit))


def newest(path: Path) -> Iterator[Line]:
    """Yield all lines that are kept, from the newest to the oldest."""
    for number in range(FILES):
        one = path.with_name(f"{path.name}.{number}") if number else path
        if one.exists():
            for text in backwards(one):
                line = parsed(text)
                if line:
                    yield line


def backwards(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file from its end, without reading all of it."""
    with path.open("rb") as source:
        position, rest = source.seek(0, os.SEEK_END), b""
        while position:
            size = min(BLOCK, position)
            position -= size
            source.seek(position)
            first, *others = (source.read(size) + rest).split(b"\n")
            yield from reversed(others)
            rest = first
        yield rest


def parsed(text: bytes) -> Line | None:
    """Return a line, or None where it is none."""
    try:
        found = json.loads(text)
        return Line(**{name: found[name] for name in Line.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None
