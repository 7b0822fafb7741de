"""Ask DVC which stages are not up to date, in a process beside the studio that nobody waits for.

The answer is kept for all sessions. It is asked for anew when parameters, ``dvc.lock``, data or
annotations are others than they were, and now and then, because code may change too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from app.studio.project_files import Project
from app.studio.runs.environment import of_tools
from app.studio.runs.execute import LATER
from app.studio.stamps import Stamps, stamps_of
from pipeline.errors import ModelError, Problem
from pipeline.i18n import _

COMMAND = (sys.executable, "-m", "dvc", "status", "--json")
LONGEST = 120.0  # seconds
FRESH = 60.0  # seconds after which a page asks again
LAST_LINES = 3
MOST_FILES = 1_000  # of a folder that are looked at
WATCHED = ("data/raw", "data/annotations", "data/synonyms", "models/base")

Status = Mapping[str, Any]  # stage → what DVC says has changed


@dataclass
class Asked:
    """A process that was asked, and what it said last."""

    process: subprocess.Popen[bytes] | None = None
    output: int = -1  # handles of files without names
    errors: int = -1
    began: float = 0.0
    asking: Stamps = ()  # the state of the files that is asked about
    stamp: Stamps = ()  # the state of the files that ``answer`` is about
    answer: Status | None = None
    answered: float = 0.0
    problem: Problem | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_asked: dict[Path, Asked] = {}
_first = threading.Lock()


def status(project: Project, *, wait: bool = False) -> Status | None:
    """Return what DVC says; None while it is being asked.

    :param wait: stay until it has answered.
    :raises ModelError: if DVC cannot tell.
    """
    with _first:
        one = _asked.setdefault(project.root, Asked())
    while True:
        with one.lock:
            answer = looked(project, one)
            if answer is not None:
                return answer
            process = one.process
        if not wait or process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST)


def looked(project: Project, one: Asked) -> Status | None:
    """Return the answer that is there, and start or end the process as it is due."""
    if one.process is not None:
        finish(one)
    if one.process is None:
        now = stamp(project)
        known = one.stamp == now and (one.answer is not None or one.problem is not None)
        if not known or time.monotonic() - one.answered > FRESH:
            start(project, one, now)
            if not known:
                return None
    elif one.stamp != one.asking:
        return None
    if one.problem is not None:
        raise ModelError(one.problem)
    return one.answer


def start(project: Project, one: Asked, now: Stamps) -> None:
    """Start asking."""
    one.output, one.errors = nameless_file(), nameless_file()
    one.process = subprocess.Popen(
        COMMAND,
        cwd=project.root,
        env=of_tools() | {"DVC_NO_ANALYTICS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=one.output,
        stderr=one.errors,
        start_new_session=True,
    )
    with contextlib.suppress(OSError):  # where that is refused, pages wait a little longer
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, one.process.pid, own + LATER)
    one.began, one.asking = time.monotonic(), now


def nameless_file() -> int:
    """Return the handle of an empty file that is gone when it is closed."""
    handle, path = tempfile.mkstemp()
    os.unlink(path)
    return handle


def content_of(handle: int) -> bytes:
    """Return what was written into a file, and close it."""
    content = os.pread(handle, os.fstat(handle).st_size, 0)
    os.close(handle)
    return content


def finish(one: Asked) -> None:
    """Take the answer of a process that is done; end one that takes too long."""
    process = one.process
    if process is None:
        return
    if process.poll() is None:
        if time.monotonic() - one.began < LONGEST:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    content, said = content_of(one.output), content_of(one.errors).decode(errors="replace")
    one.answer, one.problem = parsed(content, said, process.returncode)
    one.process, one.stamp, one.answered = None, one.asking, time.monotonic()


def parsed(content: bytes, said: str, code: int) -> tuple[Status | None, Problem | None]:
    """Return what DVC printed, or why it cannot tell."""
    with contextlib.suppress(ValueError):
        found = json.loads(content)
        if code == 0 and isinstance(found, dict):
            return found, None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = " ".join(lines[-LAST_LINES:])[:300] or f"exit {code}"
    return None, Problem(
        "dvc status",
        _("an error ({reason})", reason=reason),
        _("an answer"),
        _("Look at the settings' system check; dvc status in a terminal says more."),
    )


def stamp(project: Project) -> Stamps:
    """Return by what it is seen that the last answer may no longer hold."""
    files = [project.params, project.lock, project.graph]
    for name in WATCHED:
        files.append(project.root / name)
        with contextlib.suppress(OSError):
            files += sorted(islice((project.root / name).iterdir(), MOST_FILES))
    outputs = [project.report(name) for name in ("collect", "split", "train", "test", "optimize")]
    return stamps_of([*files, *outputs])
