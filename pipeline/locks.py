"""One process at a time: a lock in a file, which the kernel takes back when its holder ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import BusyError


@contextlib.contextmanager
def held(path: Path, busy: BusyError, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file during the block.

    :param path: of the lock, whose folder is there.
    :param busy: raised where somebody else holds it.
    :param seconds: to wait for somebody else.
    :raises BusyError: ``busy``.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()
