"""One writer of a file at a time, of all sessions and processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import BusyError
from pipeline.i18n import _
from pipeline.locks import held

SECONDS_TO_WAIT = 30.0  # for another writer; one needs milliseconds


@contextmanager
def only_writer(lock: Path, seconds: float = SECONDS_TO_WAIT) -> Iterator[None]:
    """Hold a lock, whose folder is made where it is missing, and wait for whoever holds it.

    :raises BusyError: if somebody else holds it for all this time.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    busy = BusyError.at(
        lock,
        found=_("somebody else writing for {seconds} seconds", seconds=round(seconds)),
        allowed=_("one writer at a time"),
        fix=_("Wait until the other program is done, then try again."),
    )
    with held(lock, busy, seconds):
        yield
