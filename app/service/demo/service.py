"""What the page needs of the service that it belongs to.

``app.service.describe`` implements it; a test may give the page a smaller one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

Verdict = Literal["up", "down"]


@dataclass(frozen=True)
class Reply:
    """What the model answered to some texts.

    :ivar id: of the request, to which feedback refers.
    :ivar version: of the release that answered.
    :ivar predictions: for each text every label with its score, best first; for numbers one pair,
        ``value`` and the number.
    :ivar answers: for each text the answer as records hold it (``pipeline.steps.targets``): a
        label, several joined by ``|``, or a number.
    """

    id: str
    version: str
    predictions: Sequence[Sequence[tuple[str, float]]]
    answers: Sequence[str]


class Description(TypedDict):
    """What a visitor may know of the model that is served."""

    name: str
    version: str
    date: str  # of the release, ISO 8601
    task: str  # single_label, multi_label or regression
    labels: Sequence[str]  # none for numbers
    figures: Mapping[str, float]  # measured on the test part
    limits: Mapping[str, Sequence[str]]  # sentences about what it cannot do, for "en" and "zh"


class DemoService(Protocol):
    """The service, as the page sees it.

    What it cannot do it tells by a ``MofangError`` whose texts say what to do. One that passes by
    itself, because too much is asked at once, has seconds in ``retry_after``.
    """

    async def ask(self, texts: Sequence[str], client: str) -> Reply:
        """Answer texts, and keep them in the log as those of any other request.

        :param client: who asks: decides between stable and canary, and whose rate counts.
        :raises MofangError: if the texts are refused or the service is busy.
        """
        ...

    async def explain(self, text: str, label: str, client: str) -> Sequence[tuple[str, float]]:
        """Return the pieces of a text, which joined give it, with what each gave to ``label``.

        That is ``attributions.explain`` over texts that are asked without a line in the log.

        :param label: of the scores, ``value`` for numbers.
        :raises MofangError: if the service is busy.
        :raises KeyError: if the release that answers now has no such label.
        """
        ...

    async def feedback(
        self, request_id: str, verdict: Verdict, label: str | None, reason: str | None
    ) -> None:
        """Keep what a visitor says about the first text of a request.

        :param label: the right answer as records hold it, None when it was not said.
        :raises MofangError: if it cannot be kept.
        """
        ...

    def description(self) -> Description:
        """Return what is known of the model that is served; the stable one.

        :raises MofangError: if no model is served.
        """
        ...

    def examples(self) -> Sequence[tuple[str, str]]:
        """Return texts of the model's own test part with their labels; none without a model."""
        ...
