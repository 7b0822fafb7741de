"""A release that answers: its model in worker threads behind a queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app.service import workers
from app.service.batching import Answered, Batcher
from app.service.errors import Failed, Refusal
from app.service.guard import SERVER_ERROR, finite
from pipeline.i18n import _
from pipeline.releases import golden
from pipeline.releases.reading import Release, read
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.predictor import Card
    from pipeline.schema.serving import Serve
    from pipeline.tasks.base import Task

QUESTIONS = 3  # golden ones; all of them were asked when the release was promoted


class NotFinite(Failed):
    """A model that answers with NaN or infinity."""

    scores: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Lane:
    """A release that answers."""

    version: str
    role: str  # stable or canary
    batcher: Batcher
    card: Card
    release: Release

    @property
    def task(self) -> str:
        """``single_label``, ``multi_label`` or ``regression``."""
        return self.card.task

    @cached_property
    def decides(self) -> Task:
        """What turns the model's scores into answers."""
        return tasks.of(self.card.task, self.card.labels)

    def decide(self, scores: NDArray[np.float64]) -> list[str]:
        """Return the label text of each row of scores, [texts, outputs]."""
        return self.decides.decide(scores, self.card.thresholds)

    async def close(self) -> None:
        """Let the model answer what it was asked, and free its memory."""
        await self.batcher.close()


def load(version: str, role: str, root: Path, knobs: Serve) -> Lane:
    """Load a release and let it answer some of its golden questions; to be called in a thread.

    :param root: folder of releases.
    :param knobs: section ``serve``.
    :raises ModelError: if it is not there, or not as it was made.
    :raises GateError: if it answers otherwise than it did then.
    """
    release = read(version, root)
    predictors = workers.load(release.model, knobs.workers)
    golden.ask(release, predictors[0], QUESTIONS)
    bounds = knobs.batching
    batcher = Batcher(predictors, bounds.budget, bounds.queue, bounds.deadline_ms / 1_000)
    return Lane(version, role, batcher, release.card, release)


async def asked(lane: Lane, texts: Sequence[str]) -> Answered:
    """Return what a release answers.

    :raises Refusal: if it cannot answer; ``NotFinite`` if its scores are no numbers.
    """
    answered = await lane.batcher.ask(texts)
    if not finite(answered.scores):
        error = NotFinite.at(
            "model",
            found=_("scores that are no finite numbers"),
            allowed=_("a finite score for each label"),
            fix=_("Try again; if it stays so, tell the operator the X-Request-Id of this answer."),
        )
        error.scores = answered.scores
        raise error
    return answered


def code_of(error: Exception) -> int:
    """Return the status of HTTP that a client would get for an error."""
    return error.status if isinstance(error, Refusal) else SERVER_ERROR
