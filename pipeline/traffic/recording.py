"""The recorder: takes what was answered at once, and writes it down when it can.

Requests are answered whatever happens to the database. ``put`` puts an item into a bounded queue
and returns; one thread writes batches. Where that fails it tries again, later and later, while the
queue fills; what does not fit any more is counted in ``dropped``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Engine

from pipeline.i18n import Message
from pipeline.traffic import sweeping
from pipeline.traffic.database import writing
from pipeline.traffic.entries import DROPPED, RECREATED, Entry, Event, Feedback, Item, weight
from pipeline.traffic.privacy import secret
from pipeline.traffic.rows import Rows
from pipeline.traffic.storing import Taken, store
from pipeline.traffic.troubles import AWAY, BEHIND, DELETED, REASONS, trouble
from pipeline.traffic.upkeep import Upkeep

if TYPE_CHECKING:
    from pipeline.schema.traffic import Traffic

__all__ = ["Entry", "Event", "Feedback", "Recorder"]

OK = "ok"
TOLD_SECONDS = 60.0  # for so long it is told that the database was deleted
LEAST_BETWEEN = 5.0  # seconds between two events about what was dropped
STOP_SECONDS = 10.0
HURRY = 0.1  # seconds between two tries at the end
BREATH = 0.01  # seconds between two steps of a sweep, in which others may write
SWEEP_SHARE = 20  # a twentieth of the size allowed, once written, asks for a sweep
LOG = logging.getLogger(__name__)


class Recorder:
    """Writes requests, feedback and events from one thread of its own.

    :param engine: of ``database.connect`` or ``database.open``; the database need not be there.
    :param knobs: section ``traffic``.
    :param root: the project's folder, where the key of the hashes is.
    """

    def __init__(self, engine: Engine, knobs: Traffic, root: Path = Path()) -> None:
        self.engine, self.knobs, self.root = engine, knobs, root
        self.dropped = 0  # items that are not written down, and never will be
        self.written = 0  # requests
        self._items: deque[Item] = deque()
        self._texts = 0  # that wait, see ``weight``
        self._lock = threading.Lock()  # of the four above
        self._wake, self._ending = threading.Event(), threading.Event()
        self._until = float("inf")  # monotonic: when to give up while ending
        self._trouble: str | None = None
        self._behind = False
        self._told_until = 0.0  # monotonic: until when DELETED is told
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        # Only the thread touches what follows.
        self._upkeep = Upkeep(engine)
        self._rows: Rows | None = None
        self._sweeping: Iterator[int] | None = None
        self._next_sweep = 0.0
        self._unswept = 0  # bytes written since the last sweep
        self._dropped_told, self._next_told = 0, 0.0

    def start(self) -> Self:
        """Begin to write; what was put before is written too."""
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Write what waits and end; what cannot be written within ``seconds`` is dropped."""
        self._until = time.monotonic() + seconds
        self._ending.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        with self._lock:
            self.dropped += len(self._items)
            self._items.clear()
            self._texts = 0

    def put(self, item: Item) -> None:
        """Take an item to be written; never waits for the database, and never raises."""
        try:
            size = weight(item)
            with self._lock:
                full = bool(self._items) and self._texts + size > self.knobs.queue
                if full or self._ending.is_set():
                    self.dropped += 1
                    self._behind = full
                    return
                self._items.append(item)
                self._texts += size
                enough = self._texts >= self.knobs.batch
        except Exception:  # an answer is not lost because of what is written about it
            self._drop(1)
            LOG.exception("an item that cannot be recorded")
            return
        if enough:
            self._wake.set()

    @property
    def waiting(self) -> int:
        """Return how many texts wait to be written."""
        return self._texts

    @property
    def state(self) -> str:
        """Return ``ok``, or in one word what is wrong: one of ``troubles.REASONS``."""
        if self._trouble is not None:
            return self._trouble
        if self._behind:
            return BEHIND
        return DELETED if time.monotonic() < self._told_until else OK

    def reasons(self) -> list[Message]:
        """Return why less is written down than should be, for people; none when all is well."""
        state = self.state
        return [] if state == OK else [REASONS[state]]

    def _run(self) -> None:
        pause = 0.0
        while True:
            ending = self._ending.is_set()  # asked first: what was put before is seen below
            try:
                self._work()
                pause, self._trouble = 0.0, None
            except Exception as error:
                self._note(error)
                pause = self._longer(pause)
            if ending and (self._late() or not (self._items or pause)):
                break
            self._rest(pause)
        self.engine.dispose()  # leaves one file, with nothing written ahead

    def _rest(self, pause: float) -> None:
        """Wait until there is something to do again."""
        if self._ending.is_set():
            time.sleep(pause)
        elif pause:
            self._ending.wait(pause)
        else:
            self._wake.wait(BREATH if self._sweeping else self.knobs.flush_ms / 1000)
        self._wake.clear()

    def _longer(self, pause: float) -> float:
        """Return how long to wait before the next try, in seconds."""
        if self._ending.is_set():
            return HURRY
        retry = self.knobs.retry_seconds
        return min(2 * pause, retry.longest) if pause else retry.first

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _work(self) -> None:
        """Write all that waits, then delete a little of what is too old or too much."""
        if self._rows is None:
            self._rows = Rows(self.knobs, secret(self.root))
        self._be_in_place()
        while self._items and not self._late():
            self._write(self._batch())
            self._sweep_a_little()  # here too: where nothing ever stops, it would never be done
            self._be_in_place()
        self._tell_dropped()
        self._sweep_a_little()

    def _be_in_place(self) -> None:
        """Make sure that the database can be written; where it is another one, tell."""
        if self._upkeep.recreated():
            self._told_until = time.monotonic() + TOLD_SECONDS
            LOG.warning("%s", REASONS[DELETED].render("en"))
            self._store([Event(datetime.now(UTC), RECREATED, {})])

    def _note(self, error: Exception) -> None:
        """Remember what is wrong; it is logged once, until it is something else."""
        name = trouble(error)
        if name is None:  # a mistake of ours: writing is tried again, answering goes on
            LOG.error("recording failed", exc_info=error)
        elif name != self._trouble:
            LOG.warning("%s", REASONS[name].render("en"))
        self._trouble = name or AWAY
        self._upkeep.doubt(self._trouble)
        self._sweeping = None

    def _batch(self) -> list[Item]:
        """Return what is written next; it stays in the queue until it is."""
        batch: list[Item] = []
        texts = 0
        with self._lock:
            for item in islice(self._items, self.knobs.batch):
                texts += weight(item)
                if batch and texts > self.knobs.batch:
                    break
                batch.append(item)
        return batch

    def _write(self, batch: Sequence[Item]) -> None:
        """Write items and take them out of the queue."""
        try:
            taken = self._store(batch)
        except Exception as error:
            if trouble(error) is not None:
                raise
            taken = self._store_each(batch)  # the database is well: one of them is to blame
        if not self._upkeep.in_place():
            return  # the file lost its name meanwhile, so they are written again, into the next one
        with self._lock:
            for item in batch:
                self._items.popleft()
                self._texts -= weight(item)
            self.written += taken.requests
            self.dropped += taken.lost
            if self._texts <= self.knobs.queue // 2:
                self._behind = False
        self._unswept += taken.size

    def _store_each(self, batch: Sequence[Item]) -> Taken:
        """Write items one by one, and leave out those that cannot be."""
        total = Taken(0, 0, 0)
        for item in batch:
            try:
                total += self._store([item])
            except Exception as error:
                if trouble(error) is not None:
                    raise
                total += Taken(0, 0, 1)
                LOG.warning("an item that cannot be recorded: %s", type(error).__name__)
        return total

    def _store(self, items: Sequence[Item]) -> Taken:
        """Write items in one transaction."""
        assert self._rows is not None
        with writing(self.engine) as connection:
            return store(connection, self._rows, items)

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def _tell_dropped(self) -> None:
        """Write down how many items were dropped since that was last written down."""
        now, count = time.monotonic(), self.dropped - self._dropped_told
        if count and (now >= self._next_told or self._ending.is_set()):
            self._store([Event(datetime.now(UTC), DROPPED, {"items": count})])
            self._dropped_told += count
            self._next_told = now + LEAST_BETWEEN

    def _sweep_a_little(self) -> None:
        """Delete a little at a time, so that new items are written in between."""
        if self._ending.is_set():
            return
        much = self._unswept > self.knobs.most_mb * sweeping.MEGABYTE / SWEEP_SHARE
        if self._sweeping is None and (much or time.monotonic() >= self._next_sweep):
            self._sweeping = sweeping.steps(self.engine, self.knobs, datetime.now(UTC))
            self._unswept = 0
            self._next_sweep = time.monotonic() + 60 * self.knobs.sweep_minutes
        if self._sweeping is not None and next(self._sweeping, None) is None:
            self._sweeping = None
