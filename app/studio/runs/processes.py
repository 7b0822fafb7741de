"""The processes of a run: known by number and start time, found by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

from app.studio.runs.records import Process

MARK = "MOFANG_RUN"  # every process of a run inherits it, with the run's id and folder
SAME = 2.0  # seconds: the system's clock may be set while a process lives
LOOK = 0.05  # seconds between two looks


def identity(pid: int) -> Process | None:
    """Return who has this number now, or None."""
    try:
        return Process(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def alive(process: Process | None) -> bool:
    """Return whether exactly this process lives; one that ended and was not waited for does not."""
    if process is None:
        return False
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < SAME
        return bool(same and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def marked(mark: str) -> list[psutil.Process]:
    """Return all living processes of a run, whoever their parent is by now."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if one.environ().get(MARK) == mark and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def end(mark: str, leader: Process | None, patience: float) -> bool:
    """End all processes of a run: in order first, by force after ``patience`` seconds.

    :returns: whether force was needed.
    """
    if not living(mark, leader):
        return False
    interrupt(mark, leader)
    if gone(lambda: not living(mark, leader), patience):
        return False
    force(mark, leader)
    return True


def living(mark: str, leader: Process | None) -> bool:
    """Return whether any process of a run lives."""
    return alive(leader) or bool(marked(mark))


def gone(done: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so, at most so long; return whether it is."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK)
    return True


def interrupt(mark: str, leader: Process | None) -> None:
    """Send what Ctrl-C sends, to the whole group; a group of its own ends with its parent."""
    if leader is not None and alive(leader):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGINT)
        return
    for one in marked(mark):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if leader is None or os.getpgid(one.pid) == leader.pid:
                one.send_signal(signal.SIGINT)


def force(mark: str, leader: Process | None) -> None:
    """Kill every process of a run, and what it may start meanwhile."""
    for _again in range(20):
        if leader is not None and alive(leader):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader.pid, signal.SIGKILL)
        for one in marked(mark):
            with contextlib.suppress(psutil.Error):
                one.kill()
        if gone(lambda: not living(mark, leader), 0.2):
            return
