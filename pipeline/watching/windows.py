"""Answers that are judged together, whether they lie in the database or were counted in training.

A window holds no text: only what ``pipeline.traffic`` keeps beside each answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline.watching import textdrift

# What is known of a text, in the order of ``Window.columns``. ``truth`` is what people said, by
# confirming the answer or by naming the right label.
FEATURES, LENGTH, LANGUAGE = "features", "length", "language"
LABEL, CONFIDENCE, TRUTH = "label", "confidence", "truth"
COLUMNS = (FEATURES, LENGTH, LANGUAGE, LABEL, CONFIDENCE, TRUTH)


class Answer(Protocol):
    """A text that was answered (``pipeline.traffic.reading.Row``)."""

    @property
    def features(self) -> bytes | None: ...  # noqa: D102 - see there
    @property
    def characters(self) -> int: ...  # noqa: D102
    @property
    def language(self) -> str | None: ...  # noqa: D102
    @property
    def label(self) -> str | None: ...  # noqa: D102
    @property
    def confidence(self) -> float | None: ...  # noqa: D102
    @property
    def truth(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Window:
    """Answers, column by column; None where something is not known."""

    columns: Mapping[str, Sequence[Any]]  # each as long as the others

    def __len__(self) -> int:
        return len(self.columns[LENGTH])

    def known(self, name: str) -> list[Any]:
        """Return the values of a column that are known."""
        return [one for one in self.columns[name] if one is not None]

    def counts(self) -> textdrift.Counts:
        """Return the features that are known, [texts, 256]."""
        return textdrift.matrix(self.known(FEATURES))

    def sampled(self, most: int, seed: int) -> Window:
        """Return at most so many of the answers, drawn by the seed, in their order."""
        if len(self) <= most:
            return self
        chance = np.random.default_rng(seed)
        places = np.sort(chance.choice(len(self), most, replace=False)).tolist()
        return Window({name: [some[at] for at in places] for name, some in self.columns.items()})


def collect(answers: Iterable[Answer]) -> Window:
    """Return answers as a window.

    :param answers: of one model: labels and confidences of two are not comparable.
    """
    rows = list(answers)
    return Window(
        {
            FEATURES: [whole(one.features) for one in rows],
            LENGTH: [one.characters for one in rows],
            LANGUAGE: [one.language for one in rows],
            LABEL: [one.label for one in rows],
            CONFIDENCE: [one.confidence for one in rows],
            TRUTH: [one.truth for one in rows],
        }
    )


def whole(blob: bytes | None) -> bytes | None:
    """Return features, or None for what has not their size."""
    return blob if blob is not None and len(blob) == textdrift.BUCKETS else None
