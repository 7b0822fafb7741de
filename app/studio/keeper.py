"""``python -m app.studio.keeper``: runs the service, and runs it again when it falls.

It has a session of its own, so that neither a closed browser nor a stopped studio ends it. What it
knows stands in ``var/service.json``; the lock that it got is held by it and by the service, so that
nobody starts a second one while either lives.

A service that ends within thirty seconds of its start would do so again: it is left alone, and its
log says why.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from app.studio.runs.processes import identity
from pipeline.artifacts import read_json, write_json

RECORD, LOCK, LOG = Path("var/service.json"), Path("var/.service.lock"), Path("var/service.log")
RUNNING, STOPPING, STOPPED, FAILED = "running", "stopping", "stopped", "failed"
SOON = 30.0  # seconds, a few to start even on a busy machine; one that fell sooner is left alone
PATIENCE = 35.0  # seconds that it may take to end: it finishes what it was asked, at most 30
FIRST, LONGEST = 1.0, 60.0  # seconds between a fall and the next start; doubled each time
STEADY = 300.0  # seconds after which earlier falls are forgotten
TICK = 0.1  # seconds between two looks at the service


class Keeper:
    """Keeps one service running until it is told to stop."""

    def __init__(self, command: Sequence[str], lock: int, told: Mapping[str, Any]) -> None:
        self.command, self.lock = command, lock
        self.told = dict(told) | {"keeper": known(os.getpid()), "restarts": 0}
        self.stopping = False

    def run(self) -> None:
        """Run the service, again and again where it falls."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        pause = FIRST
        while not self.stopping:
            began = time.monotonic()
            code = self.once()
            lived = time.monotonic() - began
            if self.stopping:
                break
            if code == 0 or lived < SOON:
                self.write(FAILED if code else STOPPED, code=code)
                return
            pause = FIRST if lived > STEADY else min(2 * pause, LONGEST)
            self.told["restarts"] += 1
            self.write(RUNNING, code=code, service=None)
            self.wait(pause)
        self.write(STOPPED)

    def once(self) -> int:
        """Run the service until it ends, and return its exit code."""
        process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, pass_fds=(self.lock,) if self.lock else ()
        )
        self.write(RUNNING, service=known(process.pid), code=None)
        asked: float | None = None
        while (code := process.poll()) is None:
            if self.stopping and asked is None:
                asked = time.monotonic()
                process.terminate()
                self.write(STOPPING)
            elif asked is not None and time.monotonic() - asked > PATIENCE:
                process.kill()
            time.sleep(TICK)
        return code

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Remember that the service shall end; it is told so at the next tick."""
        self.stopping = True

    def wait(self, seconds: float) -> None:
        """Wait, or until it is told to stop."""
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            time.sleep(TICK)

    def write(self, state: str, **changes: Any) -> None:
        """Write down what is known."""
        self.told |= changes | {"state": state, "changed": now()}
        write_json(RECORD, self.told)


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def known(pid: int) -> dict[str, float] | None:
    """Return what tells a process from a later one of the same number; None where it is gone."""
    found = identity(pid)
    return None if found is None else {"pid": found.pid, "started": found.started}


def detach() -> None:
    """Go on as a process that nobody waits for: whoever started this one gets its end at once."""
    if os.fork():
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """Keep the service that ``var/service.json`` describes.

    :param arguments: the number of the open lock, then the command.
    """
    lock, *command = arguments
    detach()
    Keeper(command, int(lock), read_json(RECORD)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
