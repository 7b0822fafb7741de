"""What ``benchmarks.load`` sends and what comes of it."""

from __future__ import annotations

import json
import math
import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

LOST = 0  # stands for a status where there was no answer
WINDOW = 0.5  # seconds of one entry of the time line
CLIENTS = 1_000  # names of clients that requests carry
JOINED = 6  # texts at most that make one text of mixed length


@dataclass(frozen=True)
class Plan:
    """What to send, how long and how fast."""

    address: str  # http://127.0.0.1:8000/predict
    payloads: Sequence[bytes]  # whole requests, taken in turn
    clients: int = 0  # closed loop: so many wait for their answers at once
    seconds: float = 5.0  # closed loop: that count
    phases: Sequence[tuple[float, float]] = ()  # open loop: requests a second, for so many seconds
    warm: float = 1.0  # seconds at the beginning that do not count
    seed: int = 42
    enough: threading.Event | None = None  # closed loop: ends before its time when it is set


@dataclass(frozen=True, slots=True)
class Row:
    """One request and what came of it; times in seconds of ``time.perf_counter``."""

    due: float
    finished: float
    status: int
    version: str
    retry_after: str


@dataclass(frozen=True)
class Outcome:
    """What came of a plan."""

    began: float
    seconds: float
    rows: list[Row]
    failures: dict[str, int]  # why there was no answer
    busy: float  # share of its core that the generator itself used
    answered: int = 0  # good answers in all, with those that do not count

    def statuses(self) -> dict[int, int]:
        """Return how often each status came; 0 where there was no answer."""
        return dict(sorted(Counter(row.status for row in self.rows).items()))

    def versions(self) -> dict[str, int]:
        """Return how many good answers each version gave."""
        return dict(Counter(row.version for row in self.rows if row.status == 200))

    def rate(self, status: int = 200) -> float:
        """Return answers of a status a second."""
        return sum(row.status == status for row in self.rows) / self.seconds

    def latency(self, quantile: float, status: int = 200) -> float:
        """Return a quantile of the latency of answers with a status, in ms; nan without any."""
        values = [row.finished - row.due for row in self.rows if row.status == status]
        return 1_000 * float(np.quantile(values, quantile)) if values else math.nan

    def timeline(self, window: float = WINDOW) -> list[dict[str, Any]]:
        """Return statuses and the latencies of good answers, by the window in which they were due.

        ``p99`` is of the window alone, which may hold too few requests to have one.
        """
        found: dict[int, list[Row]] = {}
        for row in self.rows:
            found.setdefault(math.floor((row.due - self.began) / window), []).append(row)
        return [
            {
                "at": at * window,
                "statuses": dict(Counter(str(row.status) for row in rows)),
                "p99": Outcome(self.began, window, rows, {}, 0.0).latency(0.99),
                "ms": [1_000 * (row.finished - row.due) for row in rows if row.status == 200],
            }
            for at, rows in sorted(found.items())
        ]

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON holds them."""
        refused = [row for row in self.rows if row.status == 503]
        return {
            "seconds": self.seconds,
            "rate": self.rate(),
            "answered": self.answered,
            "ms": {f"p{100 * at:g}": self.latency(at) for at in (0.5, 0.9, 0.95, 0.99, 1.0)},
            "ms_refused": {f"p{100 * at:g}": self.latency(at, 503) for at in (0.5, 0.99)},
            "statuses": {str(status): count for status, count in self.statuses().items()},
            "refused_without_retry_after": sum(not row.retry_after for row in refused),
            "versions": self.versions(),
            "failures": self.failures,
            "busy": self.busy,
            "timeline": self.timeline(),
        }


def payload(address: str, body: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole POST request with a JSON body."""
    where, content = urlsplit(address), json.dumps(body).encode()
    told = {"Host": where.netloc, "Content-Type": "application/json"} | dict(headers or {})
    lines = [f"POST {where.path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def payloads(address: str, texts: Sequence[str], clients: int = CLIENTS) -> list[bytes]:
    """Return a request for each text, sent in the name of so many clients in turn."""
    return [
        payload(address, {"inputs": text}, {"X-Client-Id": f"client-{at % clients}"})
        for at, text in enumerate(texts)
    ]


def drawn(texts: Sequence[str], lengths: str, count: int, seed: int) -> list[str]:
    """Return texts to send.

    :param lengths: ``short`` takes them as they are; ``mixed`` joins one to ``JOINED`` of them,
        each number as often.
    """
    chance = random.Random(seed)
    most = JOINED if lengths == "mixed" else 1
    return [" ".join(chance.choices(texts, k=chance.randint(1, most))) for _one in range(count)]
