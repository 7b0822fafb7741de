"""A program of the pipeline for whose answer a page waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from app.studio.project_files import Project

LAST = 8  # lines of a complaint that are shown


def run(
    project: Project, command: Sequence[str], language: str, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project and return what it said; it ends with all that it started.

    :param command: begins with ``python``, which is this very interpreter.
    :param language: in which it speaks.
    :raises subprocess.TimeoutExpired: if it takes longer.
    """
    child = subprocess.Popen(
        (sys.executable, *command[1:]),
        cwd=project.root,
        env={**os.environ, "MOFANG_LANGUAGE": language},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    with child:
        try:
            said, complained = child.communicate(timeout=seconds)
        except BaseException:  # it takes too long, or the page was left
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise
    return subprocess.CompletedProcess(command, child.returncode, said, complained)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last lines of a command that failed, else the number that it ended with."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return " ".join(lines[-LAST:]) or str(done.returncode)
