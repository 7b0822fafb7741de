"""Which release answers whom: stable, and a canary beside it for some clients.

Whoever asks goes through ``Router.ask``. It gives the clients of a canary that fails to stable, has
some requests answered by both models after the reply, and tells the guard about all of it. Which
releases there are is the follower's business, which replaces one reference when that changes: each
answer comes from one release as a whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.service.errors import Busy, Closed, NotReady
from app.service.following import Event, Follower, Serving
from app.service.guard import CANARY, SERVER_ERROR, Beside, Guard
from app.service.lanes import Lane, NotFinite, asked, code_of
from pipeline.errors import Text
from pipeline.i18n import _

if TYPE_CHECKING:
    from app.service.batching import Answered
    from pipeline.schema.releasing import Canary
    from pipeline.schema.serving import Serve

LOG = logging.getLogger("mofang.service")

COPIES = 16  # requests that both models are asked about at once; more would take clients' time
ROOM = 4  # copies are made while no more than this part of stable's queue is taken
PERCENT = 100
TURNS = 3  # models that may be replaced while one request looks for one

Tell = Callable[["Routed"], None]


@dataclass(frozen=True)
class Routed:
    """A request and what a release answered."""

    lane: Lane
    answered: Answered
    failed: str | None = None  # version of the canary that was asked before and could not answer
    shadow: bool = False  # whether no client saw it
    stable_labels: list[str] | None = None  # what stable answered, where both were asked


class Router:
    """Sends requests to releases; it lives on one event loop.

    :param serve: section of ``params.yaml``.
    :param canary: section of ``params.yaml``.
    :param root: folder of releases.
    :param event: gets what happens, ``loaded``, ``not_loaded`` or ``canary_ended``, with
        ``version``, ``role`` and ``why``, in each language; it must not block.
    """

    def __init__(
        self,
        serve: Serve,
        canary: Canary,
        root: Path,
        event: Event = lambda kind, data: None,
    ) -> None:
        self.serve = serve
        self.follower = Follower(serve, root, event, lambda trial: self.guard.watch(trial))
        self.guard = Guard(canary, self.follower.end)
        self._copies: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the releases that serve and follow what changes; nothing wrong with them raises."""
        await self.follower.start()
        self.guard.start()

    async def stop(self) -> None:
        """Answer what was asked, then let go of all models."""
        await self.guard.stop()
        if self._copies:
            await asyncio.wait(self._copies, timeout=self.serve.batching.deadline_ms / 1_000)
        await self.follower.stop()

    @property
    def now(self) -> Serving:
        """What answers at this moment."""
        return self.follower.now

    @property
    def ready(self) -> bool:
        """Whether a stable release is loaded."""
        return self.now.stable is not None

    @property
    def waiting(self) -> int:
        """Texts that no worker took yet."""
        return sum(lane.batcher.waiting for lane in self.lanes())

    @property
    def stable(self) -> Lane | None:
        """The lane of stable, None while nothing is loaded."""
        return self.now.stable

    def lanes(self) -> list[Lane]:
        """Return the releases that are loaded: stable, then the canary."""
        return self.now.lanes()

    def lane(self, version: str) -> Lane | None:
        """Return the lane of a version for who asks by name; a shadow answers nobody."""
        shadow = self.now.shadow
        found = (lane for lane in self.lanes() if not (shadow and lane.role == CANARY))
        return next((lane for lane in found if lane.version == version), None)

    def reasons(self) -> list[Text]:
        """Return why the service does not do all that was asked for (``Health.watch``)."""
        return list(self.follower.troubles.values())

    def pick(self, client: str) -> Lane:
        """Return the lane of a client; it stays the same while the same canary is tried.

        :raises NotReady: if no release is loaded.
        """
        now = self.now
        if now.canary is not None and not now.shadow:
            told = f"{client}{now.canary.version}".encode(errors="backslashreplace")
            if int.from_bytes(hashlib.sha256(told).digest()) % PERCENT < now.share:
                return now.canary
        if now.stable is None:
            raise NotReady.at(
                "model",
                found=_("no release that serves"),
                allowed=_("a release"),
                fix=_("python -m pipeline.release promote VERSION lets one serve."),
            )
        return now.stable

    async def ask(self, texts: Sequence[str], client: str, tell: Tell | None = None) -> Routed:
        """Answer texts by the lane of a client; by stable when the canary cannot.

        :param tell: gets every answer once, what is returned included. Where stable is asked the
            same texts it gets it after the reply, with stable's answers; an answer that only the
            shadow gave has ``shadow``.
        :raises Refusal: if stable cannot answer either.
        """
        for _turn in range(TURNS):
            try:
                return await self._ask(self.pick(client), texts, tell or ignore)
            except Closed:  # it was replaced between the choice and the question
                continue
        return await self._ask(self.pick(client), texts, tell or ignore)

    async def _ask(self, lane: Lane, texts: Sequence[str], tell: Tell) -> Routed:
        if lane.role == CANARY:
            return await self._ask_canary(lane, texts, tell)
        return await self._ask_stable(lane, texts, tell)

    async def _ask_stable(self, lane: Lane, texts: Sequence[str], tell: Tell) -> Routed:
        routed = Routed(lane, await self._answered(lane, texts))
        tell(routed)
        now = self.now
        drawn = now.shadow and random.random() * PERCENT < now.share
        if drawn and now.canary is not None and self._room():
            self._later(self._shadow(now.canary, texts, routed, tell))
        return routed

    async def _ask_canary(self, lane: Lane, texts: Sequence[str], tell: Tell) -> Routed:
        try:
            answered = await asked(lane, texts)
        except Exception as error:
            if isinstance(error, Closed) or code_of(error) < SERVER_ERROR:
                raise
            return await self._instead(lane, texts, error, tell)
        routed = Routed(lane, answered)
        if self._room() and self.guard.wants_comparison(random.random()):
            self._later(self._compare(routed, texts, tell))
        else:
            self._observe(lane, answered)
            tell(routed)
        return routed

    async def _instead(
        self, lane: Lane, texts: Sequence[str], error: Exception, tell: Tell
    ) -> Routed:
        """Let stable answer what the canary could not; if it can, the canary is to blame."""
        stable = self.stable
        if stable is None:
            raise error
        answered = await self._answered(stable, texts)
        LOG.warning("release %s failed, stable answered: %s", lane.version, type(error).__name__)
        self._failed(lane, error)
        routed = Routed(stable, answered, failed=lane.version)
        tell(routed)
        return routed

    async def _compare(self, routed: Routed, texts: Sequence[str], tell: Tell) -> None:
        """Ask stable what the canary has answered."""
        stable, beside = self.stable, None
        try:
            if stable is not None:
                answered = await self._answered(stable, texts)
                beside = Beside(answered.labels, answered.seconds)
        except Exception as error:  # then there is nothing to compare
            LOG.debug("stable was not compared with: %s", type(error).__name__)
        self._observe(routed.lane, routed.answered, beside)
        tell(replace(routed, stable_labels=list(beside.labels)) if beside else routed)

    async def _shadow(self, lane: Lane, texts: Sequence[str], seen: Routed, tell: Tell) -> None:
        """Ask the canary what stable has answered."""
        labels, seconds = seen.answered.labels, seen.answered.seconds
        try:
            answered = await asked(lane, texts)
        except Exception as error:
            # Its trial has ended, or copies alone fill its queue: neither is its fault.
            if type(error) not in (Closed, Busy):
                self._failed(lane, error)
            return
        self._observe(lane, answered, Beside(labels, seconds))
        tell(Routed(lane, answered, shadow=True, stable_labels=labels))

    async def _answered(self, stable: Lane, texts: Sequence[str]) -> Answered:
        """Ask stable, and tell the guard what came of it."""
        try:
            answered = await asked(stable, texts)
        except Exception as error:
            if not isinstance(error, Closed) and code_of(error) >= SERVER_ERROR:
                self._failed(stable, error)
            raise
        self._observe(stable, answered)
        return answered

    def _observe(self, lane: Lane, answered: Answered, beside: Beside | None = None) -> None:
        self.guard.observe(
            lane, code=200, seconds=answered.seconds, scores=answered.scores, stable_answer=beside
        )

    def _failed(self, lane: Lane, error: Exception) -> None:
        scores = error.scores if isinstance(error, NotFinite) else None
        self.guard.observe(lane, code=code_of(error), seconds=0.0, scores=scores)

    def _room(self) -> bool:
        """Return whether a request may be answered a second time without making others wait."""
        stable = self.stable
        free = stable is not None and stable.batcher.waiting * ROOM <= stable.batcher.queue
        return free and len(self._copies) < COPIES

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something after the reply."""
        task = asyncio.get_running_loop().create_task(work)
        self._copies.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._copies.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("a copy of a request failed", exc_info=error)


def ignore(routed: Routed) -> None:
    """Tell nobody."""
