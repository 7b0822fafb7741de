"""Run one command to its end and write down how it ended: ``python -P execute.py JOB``.

It stands between a run's supervisor and its program, so that the outcome is known although the
supervisor was killed, and starts another one then. It holds the lock of all runs as long as it
lives. Only the standard library: this file is started by its path.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

LOOK = 1.0  # seconds between two looks after the supervisor
LATER = 10  # nice: pages are answered first where a run works on the same cores


def main(path: Path) -> int:
    """Run the job's command and return its exit code."""
    job = json.loads(path.read_text(encoding="utf-8"))
    # The program decides what an interrupt of the group means; this process waits for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(
        job["argv"], stdin=subprocess.DEVNULL, pass_fds=job["pass"], preexec_fn=settle_in
    )
    while True:
        try:
            code = process.wait(LOOK)
            break
        except subprocess.TimeoutExpired:
            look_after(job)
    write(Path(job["exit"]), {"code": code})
    return code


def settle_in() -> None:
    """Let the program hear interrupts again, which it would inherit as ignored, and stand back.

    This process keeps its own priority: the supervisors that it may start inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(OSError):  # a system that refuses it: the run works as before
        os.nice(LATER)


def look_after(job: dict[str, Any]) -> None:
    """Start a supervisor where none holds its lock."""
    handle = os.open(job["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    finally:
        os.close(handle)
    # It must not bear the mark of the run, by which it finds the run's processes.
    variables = {name: value for name, value in os.environ.items() if name != job["mark"]}
    variables["PYTHONPATH"] = job["home"]
    subprocess.run(job["supervisor"], env=variables, stdin=subprocess.DEVNULL, check=False)


def write(path: Path, content: dict[str, int]) -> None:
    """Write a small file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as target:
        json.dump(content, target)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(abs(main(Path(sys.argv[1]))) & 0xFF)
