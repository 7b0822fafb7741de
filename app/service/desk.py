"""Where all questions arrive, from programs and from people: checked, asked, counted and logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.service import ids
from app.service.errors import Invalid, NotThere, Refusal
from app.service.gate import Visit
from app.service.guard import CANARY
from app.service.lanes import Lane, asked
from app.service.limits import Buckets, check_text, check_texts
from app.service.metrics import Metrics
from app.service.router import Routed, Router
from pipeline.errors import MofangError
from pipeline.evaluation.plain import finite
from pipeline.i18n import LANGUAGES, _
from pipeline.schema.serving import Serve
from pipeline.steps.targets import REGRESSION, SINGLE
from pipeline.traffic.entries import Entry, Feedback
from pipeline.traffic.recording import Recorder

Verdict = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request was answered."""

    id: str  # of the request, for feedback
    version: str  # of the release
    scores: NDArray[np.float64]  # [texts, outputs]
    labels: list[str]  # what the model decides for each text, as records hold it
    outputs: list[str]  # the names of the scores
    decided: bool  # whether a threshold, and not the highest score, decides


class Said(Protocol):
    """What somebody says about an answer."""

    id: str  # of the request
    index: int  # of the text in it
    verdict: Verdict
    label: str | None  # what would have been right
    reason: str | None


@dataclass(frozen=True)
class Desk:
    """Answers requests.

    :param knobs: section ``serve``.
    """

    knobs: Serve
    router: Router
    recorder: Recorder
    metrics: Metrics
    buckets: Buckets

    def admit(self, visit: Visit) -> None:
        """Take a text's worth of a client's rate, before the body is read.

        :raises TooMany: if the client has asked for more than it may.
        """
        self.buckets.take(visit.payer, 1, time.monotonic())
        visit.paid += 1

    def check(self, texts: Sequence[str], visit: Visit) -> None:
        """Refuse what must not be asked, and take the rest of its price.

        :raises Refusal: see ``check_texts`` and ``Buckets.take``.
        """
        check_texts(texts, self.knobs.limits)
        if len(texts) > visit.paid:
            self.buckets.take(visit.payer, len(texts) - visit.paid, time.monotonic())

    async def ask(
        self, texts: Sequence[str], visit: Visit, route: str, version: str | None = None
    ) -> Reply:
        """Answer texts, count them and write them into the log.

        :param route: as it is declared.
        :param version: asks this one, and not the one that the client belongs to.
        :raises Refusal: if they are not answered; what reached a model is in the log all the same.
        """
        self.check(texts, visit)
        started = time.perf_counter()
        tell = self.teller(texts, visit, route)
        try:
            if version is None:
                routed = await self.router.ask(texts, visit.client, tell)
            else:
                lane = self.lane(version)
                routed = Routed(lane, await asked(lane, texts))
                tell(routed)
        except Refusal as error:
            if not isinstance(error, NotThere):
                seconds = time.perf_counter() - started
                self.recorder.put(refused(error, texts, visit, route, seconds))
            raise
        visit.version = routed.lane.version
        return reply(visit.id, routed)

    async def ask_quietly(self, texts: Sequence[str], visit: Visit) -> Reply:
        """Answer texts that explain an answer: they are nobody's question and not logged.

        :raises Refusal: if they are not answered.
        """
        self.check(texts, visit)
        return reply(visit.id, await self.router.ask(texts, visit.client))

    def teller(self, texts: Sequence[str], visit: Visit, route: str) -> Callable[[Routed], None]:
        """Return what counts and logs an answer to ``texts``; the router calls it once for each."""

        def tell(routed: Routed) -> None:
            if not routed.shadow:
                self.count(routed)
            self.recorder.put(entry(routed, texts, visit, route))

        return tell

    def count(self, routed: Routed) -> None:
        """Let the metrics know."""
        answered = routed.answered
        numbers = routed.lane.task == REGRESSION
        confidences = () if numbers else answered.scores.max(axis=1).tolist()
        self.metrics.answered(len(answered.labels), answered.tokens, confidences)

    def feedback(self, visit: Visit, said: Said) -> None:
        """Write into the log what somebody says about an answer.

        :raises Invalid: for a label that no model here has, or a reason that is no text.
        """
        if said.reason:
            check_text(said.reason, "reason", self.knobs.limits.characters)
        if said.label is not None:
            self.check_label(said.label)
        self.recorder.put(
            Feedback(
                at=datetime.now(UTC),
                request_id=said.id,
                index=said.index,
                client=visit.client,
                verdict=said.verdict,
                label=said.label,
                reason=said.reason or None,
            )
        )

    def check_label(self, label: str) -> None:
        """Refuse what no model here could have answered.

        :raises Invalid: naming what could.
        """
        lanes = self.router.lanes()
        if lanes and not any(is_answer(lane, label) for lane in lanes):
            raise Invalid.at(
                "label",
                found=_("a label that the model does not have"),
                allowed=", ".join(lanes[0].card.labels) or _("a number"),
                fix=_("GET /model tells the labels."),
            )

    def lane(self, version: str) -> Lane:
        """Return what answers with a version.

        :raises NotThere: if it does not serve.
        """
        found = self.router.lane(version)
        if found is None:
            raise NotThere.at(
                "version",
                found=_("a release that does not serve"),
                allowed=", ".join(one.version for one in self.router.lanes()) or _("none yet"),
                fix=_("GET /v2/models/NAME tells which versions there are."),
            )
        return found

    def stable(self) -> Lane:
        """Return what answers most.

        :raises NotReady: if no release is loaded.
        """
        return self.router.stable or self.router.pick("")

    def model(self) -> dict[str, Any]:
        """Return what may be known about the model that answers.

        :raises NotReady: if no release is loaded.
        """
        lane = self.stable()
        tried = [one.version for one in self.router.lanes() if one.role == CANARY]
        release = lane.release
        return {
            "name": self.knobs.name,
            "version": lane.version,
            "created": release.created,
            "task": lane.task,
            "labels": lane.card.labels,
            "max_tokens": lane.card.max_tokens,
            "figures": finite(release.figures),
            "limits": {language: release.limits(language) for language in LANGUAGES},
            "canary": tried[0] if tried else None,
        }


def is_answer(lane: Lane, label: str) -> bool:
    """Return whether a model could answer so."""
    try:
        lane.decides.target(label)
    except (MofangError, ValueError):
        return False
    return True


def reply(number: str, routed: Routed) -> Reply:
    """Return what a client gets."""
    lane, answered = routed.lane, routed.answered
    return Reply(
        id=number,
        version=lane.version,
        scores=answered.scores,
        labels=answered.labels,
        outputs=lane.decides.outputs,
        decided=lane.task == SINGLE and bool(lane.card.thresholds),
    )


def entry(routed: Routed, texts: Sequence[str], visit: Visit, route: str) -> Entry:
    """Return the line of the log for an answer; a copy that no client saw has its own number."""
    lane, answered = routed.lane, routed.answered
    return Entry(
        id=ids.new() if routed.shadow else visit.id,
        at=datetime.now(UTC),
        route=route,
        code=200,
        version=lane.version,
        role=lane.role,
        client=visit.client,
        texts=texts,
        scores=answered.scores,
        labels=answered.labels,
        tokens=answered.tokens,
        seconds=answered.seconds,
        waited=answered.waited,
        stable_labels=routed.stable_labels,
        shadow=routed.shadow,
    )


def refused(
    error: Refusal, texts: Sequence[str], visit: Visit, route: str, seconds: float
) -> Entry:
    """Return the line of the log for a request that was not answered."""
    return Entry(
        id=visit.id,
        at=datetime.now(UTC),
        route=route,
        code=error.status,
        version=None,
        role=None,
        client=visit.client,
        texts=texts,
        scores=None,
        labels=None,
        tokens=0,
        seconds=seconds,
        waited=seconds,
    )
