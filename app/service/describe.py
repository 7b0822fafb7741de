"""The service as its page for people sees it (``demo.service.DemoService``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.service import ids
from app.service.demo.service import Description, Reply, Verdict
from app.service.desk import Desk
from app.service.desk import Reply as Answer
from app.service.errors import Invalid
from app.service.gate import DEMO, Visit
from app.service.keys import EVERYBODY
from pipeline.i18n import _, current_language

NUMBER = re.compile(r"[0-9a-f]{32}")  # of a request


@dataclass(slots=True)
class Opinion:
    """What a visitor says about an answer (``desk.Said``)."""

    id: str
    index: int
    verdict: Verdict
    label: str | None
    reason: str | None


@dataclass(frozen=True)
class Showcase:
    """Gives the page what it shows."""

    desk: Desk

    async def ask(self, texts: Sequence[str], client: str) -> Reply:
        """Answer texts as those of any other request.

        :param client: who asks; its rate counts.
        :raises Refusal: if they are not answered.
        """
        return told(await self.desk.ask(list(texts), visit_by(client), DEMO))

    async def explain(self, text: str, label: str, client: str) -> Sequence[tuple[str, float]]:
        """Return the pieces of a text with what each gave to ``label``.

        :raises Refusal: if the service is busy.
        """
        from app.service.demo import attributions

        async def ask(variants: Sequence[str]) -> Sequence[Sequence[tuple[str, float]]]:
            return told(await self.desk.ask_quietly(list(variants), visit_by(client))).predictions

        most = self.desk.knobs.demo.variants
        return await attributions.explain(ask, text, label, most=most)

    async def feedback(
        self, request_id: str, verdict: Verdict, label: str | None, reason: str | None
    ) -> None:
        """Keep what a visitor says about the first text of a request.

        :raises Invalid: for a request that is none, or a label that the model does not have.
        """
        if NUMBER.fullmatch(request_id) is None:
            raise Invalid.at(
                "id",
                found=_("no number of a request"),
                allowed=_("the number of an answer"),
                fix=_("Ask again, then say what you think of the answer."),
            )
        self.desk.feedback(visit_by(""), Opinion(request_id, 0, verdict, label, reason))

    def description(self) -> Description:
        """Return what is known of the model that answers most.

        :raises NotReady: if no release is loaded.
        """
        known = self.desk.model()
        return {
            "name": known["name"],
            "version": known["version"],
            "date": known["created"],
            "task": known["task"],
            "labels": known["labels"],
            "figures": {name: one for name, one in known["figures"].items() if one is not None},
            "limits": known["limits"],
        }

    def examples(self) -> Sequence[tuple[str, str]]:
        """Return texts of the model's own test part with their labels; none without a model."""
        lane = self.desk.router.stable
        if lane is None:
            return []
        return [(one["text"], one["label"]) for one in lane.release.examples()]


def visit_by(client: str) -> Visit:
    """Return a visit of somebody who asks through the page."""
    return Visit(
        id=ids.new(),
        client=client,
        payer=client,
        caller=EVERYBODY,
        language=current_language(),
    )


def told(answer: Answer) -> Reply:
    """Return an answer with all labels of each text, best first."""
    return Reply(
        id=answer.id,
        version=answer.version,
        predictions=[
            sorted(zip(answer.outputs, row, strict=True), key=lambda one: -one[1])
            for row in answer.scores.tolist()
        ],
        answers=answer.labels,
    )
