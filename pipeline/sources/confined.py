"""Starts the process that reads a source, follows it, and says how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import SourceError, Text, unpacked
from pipeline.i18n import _
from pipeline.sources import child
from pipeline.sources.delivery import MEGABYTE

ROOT = Path(__file__).resolve().parents[2]
SECONDS_BETWEEN_LOOKS = 0.5
# Threads and their arenas reserve address space, which the limit counts: one thread is enough.
FRUGAL = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

Watch = Callable[[int, int], None]


def read(source: Any, folder: Path, limits: dict[str, int], watch: Watch) -> dict[str, Any]:
    """Read a source and return what is known about it; its rows lie in ``folder`` then.

    :param limits: ``memory`` and ``size`` in MB, ``seconds``.
    :param watch: is called with records and bytes so far, now and then.
    :raises SourceError: with the reason, also when the process crashed or used too much.
    """
    (folder / "temporary").mkdir(parents=True)
    job = {"source": source.model_dump(mode="json"), "limits": limits, "parent": os.getpid()}
    (folder / child.JOB).write_text(json.dumps(job), encoding="utf-8")
    status = follow(source.name, folder, limits["seconds"], watch)
    if status != 0:
        raise ended(source.name, status, limits)
    answer: dict[str, Any] = json.loads((folder / child.ANSWER).read_text(encoding="utf-8"))
    if "error" in answer:
        raise unpacked(answer)
    return answer


def follow(name: str, folder: Path, seconds: int, watch: Watch) -> int:
    """Run the process to its end and return its exit status, negative for a signal."""
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        [sys.executable, "-P", "-m", child.__name__, str(folder.resolve())],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(SECONDS_BETWEEN_LOOKS)
                if time.monotonic() > deadline:
                    raise slow(name, seconds)
                watch(*progress_of(folder))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of the process: ours, the project's modules, a folder for its files."""
    inherited = os.environ.get("PYTHONPATH")
    modules = os.pathsep.join([str(ROOT), *([inherited] if inherited else [])])
    temporary = str((folder / "temporary").resolve())
    return FRUGAL | dict(os.environ) | {"PYTHONPATH": modules, "TMPDIR": temporary}


def progress_of(folder: Path) -> tuple[int, int]:
    """Return records and bytes so far."""
    try:
        records, size = (folder / child.STATUS).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0, 0
    return int(records), int(size)


def ended(name: str, status: int, limits: dict[str, int]) -> SourceError:
    """Return the error for a process that did not come to its own end."""
    if status == child.OUT_OF_MEMORY:
        return problem(
            name,
            _("a source that needs more than {limit} MB of memory", limit=limits["memory"]),
            _("up to {limit} MB", limit=limits["memory"]),
            _("Raise collect.limits.memory if you trust the file; it may be a bomb."),
        )
    if -status == signal.SIGXCPU:
        return slow(name, limits["seconds"])
    found = _("a reader that ended with status {status}", status=status)
    if status < 0:
        label = signal.Signals(-status).name
        found = _("a reader ended by signal {number} ({name})", number=-status, name=label)
    return problem(
        name,
        found,
        _("a source that can be read"),
        _("Check the file. If it is good, raise collect.limits.memory."),
    )


def slow(name: str, seconds: int) -> SourceError:
    """Return the error for a source that takes too long."""
    return problem(
        name,
        _("a source that takes more than {seconds} seconds", seconds=seconds),
        _("up to {seconds} seconds", seconds=seconds),
        _("Raise collect.limits.seconds, or set limit to take fewer records."),
    )


def problem(name: str, found: Text, allowed: Text, fix: Text) -> SourceError:
    """Return the error for a source as a whole."""
    return SourceError.at(name, found=found, allowed=allowed, fix=fix)


def megabytes(size: int) -> float:
    """Return bytes as megabytes."""
    return size / MEGABYTE
