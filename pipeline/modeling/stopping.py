"""Ctrl-C and SIGTERM end a run in order: nothing half written, checkpoints kept, exit code 128+n.

A signal of its own kind of exception passes through everything that cleans up after itself. A
second signal while that happens is not listened to.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.i18n import _

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Somebody stopped this process; the first argument is the signal's number."""


@contextmanager
def stoppable() -> Iterator[None]:
    """End the process in order when it is told to stop.

    :raises SystemExit: 130 for Ctrl-C, 143 for SIGTERM, as a shell would say.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    before = {one: signal.signal(one, stop) for one in SIGNALS}
    try:
        yield
    except Stopped as stopped:
        told = _("train: stopped. The next run goes on from the last checkpoint.")
        print(told, file=sys.stderr, flush=True)
        raise SystemExit(128 + int(stopped.args[0])) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
