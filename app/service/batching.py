"""Texts of many requests share one model: batches by a budget of tokens, sorted by length.

A worker that is free takes what waits; nothing waits for a timer. The oldest text goes always, and
with it those that are nearest to it in length, as many as the budget allows when the shorter ones
are filled up to the longest, and none so short that it could score otherwise than alone. The queue
is bounded and every request has a deadline, so that beyond capacity some are refused at once
instead of all becoming slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

import numpy as np

from app.service.errors import Busy, Closed, Failed, Late
from app.service.line import Answered, Job, Line, Text
from app.service.workers import Scored, Worker, padded_rightly
from pipeline.i18n import _
from pipeline.predictor import BasePredictor

__all__ = ["Answered", "Batcher"]

PATIENCE = 30.0  # seconds that the answers of a closing batcher may take
LONGEST_PAUSE = 30.0  # seconds that a client is asked to wait at most
NOTHING = np.empty(0)  # until there is an answer
REMEMBERED = 0.1  # weight of the newest batch in the average speed


class Batcher:
    """A model that answers requests together; it lives on one event loop.

    :param predictors: one for each worker, all of the same model.
    :param budget: tokens a batch, padding counted.
    :param queue: texts that may wait.
    :param deadline: seconds that a request may take.
    """

    def __init__(
        self, predictors: Sequence[BasePredictor], budget: int, queue: int, deadline: float
    ) -> None:
        self.queue, self.deadline = queue, deadline
        self._line = Line(budget, padded_rightly(predictors[0]))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: set[Job] = set()
        self._closed = False
        self._speed = 0.0  # texts a second, of late
        self._last = 0.0  # when a batch was answered, on time.perf_counter
        self._workers = [Worker(one, self._line, self._hand_over) for one in predictors]
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            worker.ready.wait()  # so that no client does

    @property
    def waiting(self) -> int:
        """Texts that no worker took yet."""
        return self._line.waiting

    async def ask(self, texts: Sequence[str]) -> Answered:
        """Answer texts.

        :param texts: at least one.
        :raises Busy: if the queue has no room for them.
        :raises Late: if there is no answer before the deadline.
        :raises Closed: after ``close``.
        :raises Failed: if the model cannot read one of them.
        """
        if self._closed:
            raise closed()
        if self._line.waiting + len(texts) > self.queue:
            raise self._busy()
        self._loop = loop = asyncio.get_running_loop()
        size = len(texts)
        job = Job(
            texts=texts,
            answer=loop.create_future(),
            arrived=time.perf_counter(),
            rows=[NOTHING] * size,
            labels=[""] * size,
            left=size,
            waiting=size,
        )
        timer = loop.call_later(self.deadline, self._expire, job)
        self._jobs.add(job)
        self._line.add(job)
        try:
            return await job.answer
        finally:
            timer.cancel()
            self._jobs.discard(job)
            if job.left:  # it is late, it failed, or the client went away
                self._line.drop(job)

    async def close(self) -> None:
        """Answer what was asked, then stop the workers; further requests are refused.

        Workers and batcher know each other. Left alone they would wait for the garbage collector,
        which comes late, and never to what was there when the service froze it after its start.
        """
        self._closed = True
        pending = [job.answer for job in self._jobs]
        if pending:
            await asyncio.wait(pending, timeout=PATIENCE)
        self._line.close()
        await asyncio.to_thread(self._join)
        self._workers.clear()

    def _join(self) -> None:
        """Wait until the workers have ended."""
        for worker in self._workers:
            worker.join(PATIENCE)

    def _busy(self) -> Busy:
        """Return the error for a full queue."""
        error = Busy.at(
            "queue",
            found=_("{count} texts that wait", count=self._line.waiting),
            allowed=_("up to {limit}", limit=self.queue),
            fix=_("Wait as long as the header Retry-After says, then send it again."),
        )
        error.retry_after = self._pause()
        return error

    def _pause(self) -> float:
        """Return after how many seconds half of the queue should be free again."""
        return min(LONGEST_PAUSE, self._line.waiting / 2 / self._speed) if self._speed else 1.0

    def _expire(self, job: Job) -> None:
        """Give up on a request."""
        if not job.answer.done():
            error = Late.at(
                "queue",
                found=_("no answer within {seconds} seconds", seconds=self.deadline),
                allowed=_("an answer within this time"),
                fix=_("Wait as long as the header Retry-After says, then send it again."),
            )
            error.retry_after = self._pause()
            job.answer.set_exception(error)

    def _hand_over(self, batch: Sequence[Text], scored: Scored | None) -> None:
        """Take a batch from a worker's thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                self._loop.call_soon_threadsafe(self._settle, batch, scored)

    def _settle(self, batch: Sequence[Text], scored: Scored | None) -> None:
        """Hand out the answers of a batch."""
        now = time.perf_counter()
        self._learn_speed(len(batch), now)
        for at, text in enumerate(batch):
            job = text.job
            if job.gone or job.answer.done():
                continue
            if scored is None:
                job.answer.set_exception(failed())
                continue
            job.rows[text.at], job.labels[text.at] = scored[0][at], scored[1][at]
            job.tokens += len(text.tokens)
            job.left -= 1
            if not job.left:
                job.answer.set_result(answered(job, now))

    def _learn_speed(self, texts: int, now: float) -> None:
        """Keep a moving average, so that clients can be told how long to wait."""
        passed = now - self._last
        if 0 < passed < 1.0:  # a longer pause says nothing about speed
            self._speed += REMEMBERED * (texts / passed - self._speed)
        self._last = now


def answered(job: Job, now: float) -> Answered:
    """Return what a request is answered, all its texts being so."""
    return Answered(
        scores=np.array(job.rows),
        labels=job.labels,
        tokens=job.tokens,
        seconds=now - job.arrived,
        waited=job.taken - job.arrived,
    )


def closed() -> Closed:
    """Return the error for a model that answers no more."""
    return Closed.at(
        "model",
        found=_("a model that is being replaced"),
        allowed=_("its successor"),
        fix=_("Send it again."),
    )


def failed() -> Failed:
    """Return the error for a model that cannot answer."""
    return Failed.at(
        "model",
        found=_("a failure of the model"),
        allowed=_("a finite score for each label"),
        fix=_("Try again; if it stays so, tell the operator the X-Request-Id of this answer."),
    )
