"""The service's own log: one line of JSON an event, without secrets.

A line break, a terminal's escape or a sign that turns text round would let a client forge lines;
as JSON in ASCII none of them is left. What goes wrong with every request fills no disk: its trace
is written once, a few lines tell that it goes on, and then it is counted.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SECRETS = ("MOFANG_KEYS", "MOFANG_DATABASE_URL", "MOFANG_ALERTS")
SHORTEST = 6  # characters; a shorter piece of a secret stands in ordinary words too
HIDDEN = "***"
LONGEST = 20_000  # characters of one entry
LINES, MINUTE = 10, 60.0  # so many lines of a kind in so many seconds
HOUR = 3_600.0  # seconds after which a trace is written again
KINDS = 256  # that are remembered


class Lines(logging.Formatter):
    """Writes entries as lines.

    :param environment: whose secrets are never written.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.secrets = secrets_in(environment)

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": self.hidden(record.getMessage()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            told["error"] = record.exc_info[0].__name__
            if getattr(record, "traced", True):
                told["trace"] = self.hidden(self.formatException(record.exc_info))
        if left_out := getattr(record, "left_out", 0):
            told["left_out"] = left_out  # of this kind, since the last line of it
        return json.dumps(told)

    def hidden(self, text: str) -> str:
        """Return text without secrets."""
        for one in self.secrets:
            text = text.replace(one, HIDDEN)
        return text[:LONGEST]


@dataclass(slots=True)
class Written:
    """What was written of one kind; times on the clock of ``Sparing``."""

    until: float  # when a new minute begins
    traced: float = -HOUR
    lines: int = 0  # in this minute
    left_out: int = 0  # since the last line


class Sparing(logging.Filter):
    """Leaves out what was written often enough; whoever writes next tells how many those were.

    Of one kind is what the same line of code says, about the same error from the same place.

    :param clock: in seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self._kinds: OrderedDict[Any, Written] = OrderedDict()  # the latest last
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether an entry is written, and note in it whether with its trace."""
        kind, now = kind_of(record), self.clock()
        with self._lock:
            known = self._kinds.pop(kind, None) or Written(now + MINUTE)
            self._kinds[kind] = known
            if len(self._kinds) > KINDS:
                self._kinds.popitem(last=False)
            if now >= known.until:
                known.until, known.lines = now + MINUTE, 0
            if known.lines >= LINES:
                known.left_out += 1
                return False
            traced = now - known.traced >= HOUR
            vars(record).update(traced=traced, left_out=known.left_out)
            known.lines, known.left_out = known.lines + 1, 0
            if traced:
                known.traced = now
        return True


def kind_of(record: logging.LogRecord) -> Any:
    """Return what entries of one kind have in common."""
    error = record.exc_info[1] if record.exc_info else None
    trace = error.__traceback__ if error else None
    while trace and trace.tb_next:
        trace = trace.tb_next
    raised = (trace.tb_frame.f_code, trace.tb_lineno) if trace else None
    return record.pathname, record.lineno, type(error), raised


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """Return what must not be written, the longest first: whole lines, keys and passwords."""
    found: set[str] = set()
    for name in SECRETS:
        for line in environment.get(name, "").splitlines():
            found |= {line.strip(), line.strip().rpartition(":")[2]}
            found.add(line.partition("://")[2].rpartition("@")[0].partition(":")[2])
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def write(environment: Mapping[str, str]) -> None:
    """Let what this process has to say go to standard error, as lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(environment))
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mofang").setLevel(logging.INFO)
