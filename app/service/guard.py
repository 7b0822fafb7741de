"""Watches a canary beside stable and says when its trial must end.

What counts is the last ``canary.window_seconds``, or the last ``canary.min_requests`` requests
where those are further back, so that a canary with little traffic is judged as well. A limit is
passed when the figure is above it by more than chance explains, because every figure is looked at
again each second: a share of few requests swings widely, and one of these swings would be taken for
a bad model.

A request counts as failed only where stable then answered the same texts. What no model can answer,
and what a full queue refuses, is nobody's fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.i18n import Message, _
from pipeline.steps.targets import REGRESSION, number, parts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.schema.releasing import Canary

LOG = logging.getLogger("mofang.service")

STABLE, CANARY = "stable", "canary"
SERVER_ERROR = 500  # statuses from here on are the service's fault
NEWEST = 2_000  # requests, and compared texts, that are remembered at most
QUANTILE = 0.95
HALF = 0.5  # of the requests that both answered; more of them are most
CERTAIN = 1.645  # standard errors: 95 % of chance lies below, on one side
APART = 0.5  # standard deviations of stable's numbers; nearer numbers are one answer


@dataclass(frozen=True, slots=True)
class Trial:
    """One time that a release is tried; the same release may be tried again."""

    version: str
    since: str  # as the file of releases has it


End = Callable[[Trial, Message], Awaitable[None]]


class Answering(Protocol):
    """What the guard has to know of a lane of the router."""

    @property
    def version(self) -> str:
        """Of the release."""

    @property
    def role(self) -> str:
        """Either ``stable`` or ``canary``."""

    @property
    def task(self) -> str:
        """Of the model: ``single_label``, ``multi_label`` or ``regression``."""

    def decide(self, scores: NDArray[np.float64]) -> list[str]:
        """Return the label text of each row of scores, [texts, outputs]."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What stable answered to texts that the canary answered as well."""

    labels: Sequence[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A request."""

    at: float  # on the guard's clock
    failed: bool
    seconds: float
    beside: float | None = None  # seconds that stable took for the same texts


@dataclass(frozen=True, slots=True)
class Compared:
    """A text that both models answered."""

    at: float  # on the guard's clock
    own: str
    stable: str


Timed = TypeVar("Timed", Seen, Compared)


class Guard:
    """Judges the canary every ``canary.check_seconds``; it lives on one event loop.

    :param end: takes the trial that was judged and why it ends, and gives its traffic back to
        stable.
    :param clock: in seconds, never going back.
    """

    def __init__(
        self, knobs: Canary, end: End, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.knobs, self.end, self.clock = knobs, end, clock
        self.trial: Trial | None = None  # the one that is watched
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.forget()

    def forget(self) -> None:
        """Begin anew, as with another trial."""
        self.task = ""
        self.broken = 0  # answers of the canary that were no numbers
        most = max(NEWEST, self.knobs.min_requests)
        self.seen: dict[str, deque[Seen]] = {role: deque(maxlen=most) for role in (STABLE, CANARY)}
        self.compared: deque[Compared] = deque(maxlen=most)

    def watch(self, trial: Trial | None) -> None:
        """Judge this trial from now on; None when there is none."""
        if trial != self.trial:
            self.trial = trial
            self.forget()

    def observe(
        self,
        lane: Answering,
        *,
        code: int,
        seconds: float,
        scores: NDArray[np.float64] | None,
        stable_answer: Beside | None = None,
    ) -> None:
        """Take note of a request; nothing is kept while there is no trial.

        :param code: that a client would have got from this lane alone.
        :param seconds: from its arrival to its answer.
        :param scores: [texts, outputs]; None when it failed.
        :param stable_answer: to the same texts, where the lane is the canary and stable was asked
            as well.
        """
        if self.trial is None or (lane.role == CANARY and lane.version != self.trial.version):
            return
        now = self.clock()
        sound = scores is None or finite(scores)
        failed = code >= SERVER_ERROR or not sound
        beside = stable_answer.seconds if stable_answer else None
        self.seen[lane.role].append(Seen(now, failed, seconds, beside))
        if lane.role != CANARY:
            return
        self.broken += not sound
        if scores is not None and sound and stable_answer is not None:
            self.task = lane.task
            pairs = zip(lane.decide(scores), stable_answer.labels, strict=True)
            self.compared += [Compared(now, own, stable) for own, stable in pairs]

    def wants_comparison(self, drawn: float) -> bool:
        """Return whether stable should be asked what the canary has just answered.

        The first of a trial are all compared: otherwise it would take long to see wrong answers.

        :param drawn: a random number, 0 to 1.
        """
        if self.knobs.compared_share == 0.0:
            return False
        return drawn < self.knobs.compared_share or len(self.compared) < self.knobs.min_requests

    def verdict(self) -> Message | None:
        """Return why the trial must end; None while nothing speaks against the canary.

        :returns: the first limit that is passed, of answers that are no numbers, errors,
            disagreement and seconds.
        """
        since = self.clock() - self.knobs.window_seconds
        own, stable = (self.recent(self.seen[role], since) for role in (CANARY, STABLE))
        if len(own) < self.knobs.min_requests:
            return None
        return (
            self.not_numbers()
            or self.errors(own, stable)
            or self.disagreement(self.recent(self.compared, since))
            or self.slowness(own, stable)
        )

    def recent(self, all_of: deque[Timed], since: float) -> list[Timed]:
        """Return what counts: all that is not older than ``since``, and enough for a verdict."""
        first = next((at for at, one in enumerate(all_of) if one.at >= since), len(all_of))
        return list(all_of)[min(first, max(0, len(all_of) - self.knobs.min_requests)) :]

    def not_numbers(self) -> Message | None:
        """Tell about scores that are NaN or infinite; a sound model gives none, ever."""
        if not self.broken:
            return None
        return _("{count} answers were no finite numbers", count=self.broken)

    def errors(self, own: Sequence[Seen], stable: Sequence[Seen]) -> Message | None:
        """Tell about too many failed requests."""
        failed, usual = (sum(one.failed for one in some) for some in (own, stable))
        limit = usual / max(1, len(stable)) + self.knobs.max_error_share
        if at_least(failed, len(own)) <= limit:
            return None
        return _(
            "{failed} of {count} requests failed, allowed {limit}",
            failed=failed, count=len(own), limit=f"{limit:.1%}",
        )  # fmt: skip

    def disagreement(self, compared: Sequence[Compared]) -> Message | None:
        """Tell about too many answers that differ from stable's."""
        if len(compared) < self.knobs.min_requests:
            return None
        other, limit = distance(compared, self.task), self.knobs.max_disagreement
        if at_least(other, len(compared)) <= limit:
            return None
        return _(
            "{other} of {count} compared texts were answered otherwise, allowed {limit}",
            other=f"{other:g}", count=len(compared), limit=f"{limit:.1%}",
        )  # fmt: skip

    def slowness(self, own: Sequence[Seen], stable: Sequence[Seen]) -> Message | None:
        """Tell about a 95th percentile of seconds that is too far above stable's.

        Where enough texts were asked of both, only those count: one client with long texts makes
        either model slow. The percentile is above the limit when more than a twentieth of the
        requests are.
        """
        answered = [one for one in own if not one.failed]
        both = [(one.seconds, one.beside) for one in answered if one.beside is not None]
        if len(both) >= self.knobs.min_requests:
            times, usual = [one for one, _beside in both], [beside for _one, beside in both]
        else:
            times = [one.seconds for one in answered]
            usual = [one.seconds for one in stable if not one.failed]
        if min(len(times), len(usual)) < self.knobs.min_requests:
            return None
        base = quantile(usual)
        limit = self.longest(base)
        if at_least(sum(one > limit for one in times), len(times)) <= 1 - QUANTILE:
            return self.mostly_slower(both)
        return _(
            "the 95th percentile is {found} ms, stable's {usual} ms, allowed {limit} ms",
            found=f"{1_000 * quantile(times):.1f}", usual=f"{1_000 * base:.1f}",
            limit=f"{1_000 * limit:.1f}",
        )  # fmt: skip

    def mostly_slower(self, both: Sequence[tuple[float, float]]) -> Message | None:
        """Tell about requests of which most took too long beside stable.

        One moment in which the whole machine stood still raises stable's 95th percentile for as
        long as it is remembered, and a slow canary would hide behind it. The median of pairs does
        not move by that.

        :param both: seconds of the canary and of stable for the same texts.
        """
        if len(both) < self.knobs.min_requests:
            return None
        slower = sum(seconds > self.longest(beside) for seconds, beside in both)
        if at_least(slower, len(both)) <= HALF:
            return None
        return _(
            "{slower} of {count} requests that both answered took more than {times} times as long "
            "as with stable, and over {slack} ms longer",
            slower=slower, count=len(both), times=f"{self.knobs.max_slowdown:g}",
            slack=f"{self.knobs.slack_ms:g}",
        )  # fmt: skip

    def longest(self, usual: float) -> float:
        """Return the seconds that are allowed where stable takes so many."""
        return max(usual * self.knobs.max_slowdown, usual + self.knobs.slack_ms / 1_000)

    def start(self) -> None:
        """Begin to judge; to be called in the event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.run(), name="guard")

    async def stop(self) -> None:
        """Judge no more; what has begun is brought to its end."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def run(self) -> None:
        """Judge again and again; nothing that goes wrong ends this."""
        while not await happens(self._stopping, self.knobs.check_seconds):
            try:
                await self.check()
            except Exception:
                LOG.exception("the canary could not be judged")

    async def check(self) -> None:
        """Judge once, and end the trial if it must end."""
        trial = self.trial
        why = self.verdict() if trial is not None else None
        if trial is not None and why is not None:
            await self.end(trial, why)


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and return whether it came within so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def finite(scores: NDArray[np.float64]) -> bool:
    """Return whether all scores are numbers."""
    import numpy as np

    return bool(np.isfinite(scores).all())


def at_least(hits: float, count: int) -> float:
    """Return the share that is surely reached: the lower end of Wilson's interval, one-sided.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference"; hits that
    are partly right only make it more careful.

    :param hits: of ``count``, at least one.
    """
    share, square = hits / count, CERTAIN**2 / count
    spread = CERTAIN * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, (share + square / 2 - spread) / (1 + square))


def quantile(values: Sequence[float]) -> float:
    """Return the 95th percentile: the smallest value that 95 % do not exceed."""
    return sorted(values)[math.ceil(QUANTILE * len(values)) - 1]


def distance(compared: Sequence[Compared], task: str) -> float:
    """Return how many texts were answered otherwise.

    Several labels count for the share of them that only one model gave (Jaccard 1901). Two numbers
    are one answer when they are no more than half a standard deviation of stable's numbers apart.
    """
    if task == REGRESSION:
        usual = [number(one.stable) for one in compared]
        most = APART * pstdev(usual)
        own = (number(one.own) for one in compared)
        return float(sum(abs(one - other) > most for one, other in zip(own, usual, strict=True)))
    return sum(
        apart(set(parts_of(one.own, task)), set(parts_of(one.stable, task)))
        for one in compared
        if one.own != one.stable
    )


def apart(own: set[str], stable: set[str]) -> float:
    """Return the share of labels that only one of both has; 0 for two empty sets."""
    return 1 - len(own & stable) / len(both) if (both := own | stable) else 0.0
