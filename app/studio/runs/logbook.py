"""What a run's log says of its stages: DVC's own lines, which are the only word about them."""

from __future__ import annotations

import functools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from app.studio.runs.growing import Growing
from app.studio.stamps import Stamp, stamp_of
from pipeline.artifacts import write_json

StageState = Literal["waiting", "running", "done", "skipped", "cached", "failed", "stopped"]
LINES: tuple[tuple[StageState, re.Pattern[str]], ...] = (
    ("running", re.compile(r"Running stage '([\w.@-]+)':")),
    ("skipped", re.compile(r"Stage '([\w.@-]+)' didn't change, skipping")),
    ("skipped", re.compile(r"Stage '([\w.@-]+)' is frozen\.")),
    ("cached", re.compile(r"Stage '([\w.@-]+)' is cached - skipping run, checking out outputs")),
    ("failed", re.compile(r"ERROR: failed to reproduce '([\w.@-]+)'")),
)
TOOK = re.compile(r"(\w+): (\d+\.\d) s")  # what pipeline.stage prints at the end of a stage
STAGE = re.compile(r"  ([A-Za-z0-9_-]+):\s*(#.*)?")
MOST = 8_000_000  # bytes of a log that are read from its start; more is a library's noise
BLOCK = 65_536


class Clock:
    """Notes when each stage begins, as DVC does not."""

    def __init__(self, log: Path, notes: Path) -> None:
        self.log, self.notes, self.read = log, notes, 0
        self.began: dict[str, float] = dict(began(notes))

    def look(self) -> None:
        """Read what the log says since the last look."""
        try:
            with self.log.open("rb") as source:
                source.seek(self.read)
                content = source.read(MOST)
        except OSError:
            return
        whole = content.rfind(b"\n") + 1
        self.read += whole
        pattern = LINES[0][1]
        found = pattern.findall(content[:whole].decode("utf-8", "replace"))
        new = [name for name in found if name not in self.began]
        if new:
            self.began |= dict.fromkeys(new, time.time())
            write_json(self.notes, self.began)


def began(path: Path) -> Mapping[str, float]:
    """Return when each stage began, in seconds since 1970."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def stage_names(path: Path) -> list[str]:
    """Return the stages of a ``dvc.yaml`` in its order; none where there is no such file."""
    stamp = stamp_of(path)
    return list(names_of(stamp)) if stamp is not None else []


@functools.lru_cache(maxsize=8)
def names_of(stamp: Stamp) -> tuple[str, ...]:
    """Return the stages of a ``dvc.yaml``; its lines tell them faster than YAML."""
    try:
        lines = Path(stamp.path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    found, inside = [], False
    for line in lines:
        if line and not line[0].isspace() and not line.startswith("#"):
            inside = line.startswith("stages:")
        elif inside and (match := STAGE.fullmatch(line)):
            found.append(match[1])
    return tuple(found)


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a log, at most the first eight megabytes."""
    try:
        with path.open("rb") as source:
            content = source.read(MOST)
    except OSError:
        return
    for line in content.decode("utf-8", "replace").splitlines():
        yield line.rpartition("\r")[2]


class Told(Growing):
    """The last word of a log about each stage; a stage that another one followed is done."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, StageState] = {}

    def take(self, line: str) -> None:
        """Read one line."""
        for state, pattern in LINES:
            match = pattern.match(line)
            if match is None:
                continue
            if state in ("running", "skipped", "cached"):
                for name, old in self.states.items():
                    if old == "running":
                        self.states[name] = "done"
            self.states[match[1]] = state


def told(path: Path) -> dict[str, StageState]:
    """Return the last word of a log about each stage; a stage that another one followed is done."""
    try:
        found = Told.of(path)
        with found.lock:
            found.look(path, MOST)
            return dict(found.states)
    except OSError:
        return {}


def seconds(path: Path) -> Mapping[str, float]:
    """Return how long each stage took that ran to its end."""
    found = (TOOK.fullmatch(line) for line in lines_of(path))
    return {match[1]: float(match[2]) for match in found if match}


def tail(path: Path, count: int) -> list[str]:
    """Return the last lines of a file, reading no more than its end."""
    try:
        with path.open("rb") as source:
            size = source.seek(0, os.SEEK_END)
            source.seek(max(0, size - BLOCK))
            content = source.read()
    except OSError:
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    if size > BLOCK:
        lines = lines[1:]
    return [line.rpartition("\r")[2] for line in lines[-count:]]
