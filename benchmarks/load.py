"""A load generator that fits on one core: a closed loop, and an open loop with its own clock.

In the closed loop each client sends its next request when its answer is there, which hides
queueing. In the open loop requests leave at random moments (Poisson) at a given rate, whether
answers came or not, and latency counts from the moment a request was due, so that a server that
stalls cannot slow its own measurement down (Tene 2013, "coordinated omission").

Protocols of asyncio on uvloop, answers read by httptools. What it can do at most is measured
against ``benchmarks.servers.constant``, first in ``make bench-serve``; each run says how busy
its own core was. Timers of uvloop tick in milliseconds: a request of the open loop leaves up to
1 ms late, and that counts as its latency.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop

from benchmarks.outcomes import LOST, Outcome, Plan, Row, drawn, payloads

PAUSE = 0.02  # seconds before a client whose connection was lost tries again
LOOK = 0.1  # seconds between two looks whether it is enough
PATIENCE = 30.0  # seconds to wait for the last answers
CONNECTIONS = 2_000  # of the open loop at most; further requests wait, and their latency grows
PAYLOADS = 4_000  # requests that are drawn
KEPT_HEADERS = {b"retry-after": "retry_after", b"x-mofang-version": "version"}


class Connection(asyncio.Protocol):
    """One connection that is kept, with at most one request on its way."""

    def __init__(self, load: Load) -> None:
        self.load, self.parser = load, httptools.HttpResponseParser(self)
        self.transport: Any = None
        self.due, self.waiting, self.status = 0.0, False, LOST
        self.told: dict[str, str] = {}

    def send(self, due: float) -> None:
        """Send the next payload, which was due at a moment."""
        self.due, self.waiting, self.status, self.told = due, True, LOST, {}
        self.transport.write(next(self.load.payloads))

    def connection_made(self, transport: Any) -> None:
        """Keep what to write to."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.load.failures[type(error).__name__] += 1
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that somebody asks for."""
        if known := KEPT_HEADERS.get(name.lower()):
            self.told[known] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        """Hand the answer in."""
        self.status, self.waiting = self.parser.get_status_code(), False
        self.load.note(self)
        if self.parser.should_keep_alive():
            self.load.free(self)
        else:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Count a request that got no answer."""
        self.transport = None
        if self.waiting:
            self.waiting, self.status = False, LOST
            self.load.failures[type(error).__name__ if error else "closed"] += 1
            self.load.note(self)
        self.load.lost(self)

    def close(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.close()


class Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.payloads: Iterator[bytes] = itertools.cycle(plan.payloads)
        self.rows: list[Row] = []
        self.failures: Counter[str] = Counter()
        self.open: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.begun = self.until = 0.0
        self.ended = False

    async def run(self) -> Outcome:
        """Run the plan to its end."""
        self.begun, used = time.perf_counter(), time.process_time()
        await self.drive()
        self.ended = True
        busy = (time.process_time() - used) / (time.perf_counter() - self.begun)
        patience = time.perf_counter() + PATIENCE
        while self.pending() and time.perf_counter() < patience:
            await asyncio.sleep(0.01)
        for one in [*self.open]:
            if one.waiting:
                one.waiting = False
                self.failures["no answer in time"] += 1
                self.note(one)
            one.close()
        for task in [*self.tasks]:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets connections close
        began = self.begun + self.plan.warm
        rows = [row for row in self.rows if self.counts(row, began)]
        good = sum(row.status == 200 for row in self.rows)
        return Outcome(began, self.until - began, rows, dict(self.failures), busy, good)

    async def drive(self) -> None:
        """Send everything."""
        raise NotImplementedError

    def counts(self, row: Row, began: float) -> bool:
        """Return whether a request belongs to the time that counts."""
        raise NotImplementedError

    def free(self, one: Connection) -> None:
        """Use a connection again, which got its answer."""
        raise NotImplementedError

    def pending(self) -> bool:
        """Return whether an answer is still to come."""
        return any(one.waiting for one in self.open)

    def lost(self, one: Connection) -> None:
        """Go on without a connection."""
        self.open.discard(one)

    def note(self, one: Connection) -> None:
        """Keep what came of a request."""
        version, retry_after = one.told.get("version", ""), one.told.get("retry_after", "")
        self.rows.append(Row(one.due, time.perf_counter(), one.status, version, retry_after))

    def refused(self, due: float, error: OSError) -> None:
        """Keep that the server took no connection."""
        self.failures[type(error).__name__] += 1
        self.rows.append(Row(due, time.perf_counter(), LOST, "", ""))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def connect(self) -> Connection:
        """Return a new connection.

        :raises OSError: if the server takes none.
        """
        where = urlsplit(self.plan.address)
        _transport, one = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), where.hostname, where.port
        )
        self.open.add(one)
        return one


class Closed(Load):
    """So many clients, each of which waits for its answer."""

    async def drive(self) -> None:
        """Let all clients go until time is up."""
        self.until = self.begun + self.plan.warm + self.plan.seconds
        for _client in range(self.plan.clients):
            self.start(self.join())
        enough = self.plan.enough
        while (left := self.until - time.perf_counter()) > 0:
            if enough is not None and enough.is_set():
                self.until = time.perf_counter()
                break
            await asyncio.sleep(left if enough is None else min(left, LOOK))

    def counts(self, row: Row, began: float) -> bool:
        """Count what finished within the time; what got no answer always counts."""
        return began <= row.finished and (row.finished <= self.until or row.status == LOST)

    async def join(self) -> None:
        """Connect, and send the first request; try again while the server takes none."""
        while not self.ended:
            due = time.perf_counter()
            try:
                one = await self.connect()
            except OSError as error:
                self.refused(due, error)
                await asyncio.sleep(PAUSE)
            else:
                one.send(time.perf_counter())
                return

    def free(self, one: Connection) -> None:
        """Send the next request at once."""
        if not self.ended:
            one.send(time.perf_counter())

    def lost(self, one: Connection) -> None:
        """Let the client come back."""
        super().lost(one)
        if not self.ended:
            self.start(self.join())


class Opened(Load):
    """Requests that leave when they are due."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.idle: list[Connection] = []
        self.backlog: deque[float] = deque()
        self.connecting = 0

    def moments(self) -> Iterator[float]:
        """Yield when requests are due: exponential gaps, phase after phase."""
        chance, start = random.Random(self.plan.seed), self.begun
        for rate, seconds in self.plan.phases:
            due = start + chance.expovariate(rate)
            while due < start + seconds:
                yield due
                due += chance.expovariate(rate)
            start += seconds

    async def drive(self) -> None:
        """Send each request when it is due."""
        self.until = self.begun + sum(seconds for _rate, seconds in self.plan.phases)
        for due in self.moments():
            while (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self.dispatch(due)

    def counts(self, row: Row, began: float) -> bool:
        """Count what was due within the time."""
        return row.due >= began

    def pending(self) -> bool:
        """Return whether a request is still to be sent or answered."""
        return bool(self.backlog) or self.connecting > 0 or super().pending()

    def dispatch(self, due: float) -> None:
        """Send a request on a connection that is idle, or a new one, or as soon as one is."""
        while self.idle:
            one = self.idle.pop()
            if one.transport is not None and not one.transport.is_closing():
                one.send(due)
                return
        if len(self.open) + self.connecting < CONNECTIONS:
            self.connecting += 1
            self.start(self.join(due))
        else:
            self.backlog.append(due)

    async def join(self, due: float) -> None:
        """Send a request on a new connection."""
        try:
            one = await self.connect()
        except OSError as error:
            self.refused(due, error)
        else:
            one.send(due)
        finally:
            self.connecting -= 1

    def free(self, one: Connection) -> None:
        """Send what waits, or keep the connection."""
        if self.backlog:
            one.send(self.backlog.popleft())
        else:
            self.idle.append(one)


def run(plan: Plan) -> Outcome:
    """Run a plan to its end, on an event loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run((Opened(plan) if plan.phases else Closed(plan)).run())


def phase(text: str) -> tuple[float, float]:
    """Return rate and seconds of ``200:5``."""
    rate, seconds = map(float, text.split(":"))
    return rate, seconds


def main() -> None:
    """Run one plan and print its figures as a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address", help="such as http://127.0.0.1:8000/predict")
    parser.add_argument("--texts", type=Path, required=True, help="a JSON list of texts")
    parser.add_argument("--lengths", choices=("short", "mixed"), default="short")
    parser.add_argument("--clients", type=int, default=0, help="closed loop: so many clients")
    parser.add_argument("--seconds", type=float, default=5.0, help="closed loop: how long")
    parser.add_argument("--phases", type=phase, nargs="+", default=(), metavar="RATE:SECONDS")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds that do not count")
    parser.add_argument("--core", type=int, help="the only core to use")
    parser.add_argument("--seed", type=int, default=42)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    known = json.loads(given.texts.read_text(encoding="utf-8"))
    sent = payloads(given.address, drawn(known, given.lengths, PAYLOADS, given.seed))
    plan = Plan(
        given.address, sent, given.clients, given.seconds, given.phases, given.warm, given.seed
    )
    print(json.dumps(run(plan).summary()))


if __name__ == "__main__":
    main()
