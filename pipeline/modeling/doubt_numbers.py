"""Doubt where a record's label is a number: how far it is from what ridge regression expects.

A residual is standardized by the median and the median absolute deviation, which wrong numbers
hardly move; beyond 3.5 it counts as suspect (Iglewicz and Hoaglin 1993, "How to Detect and Handle
Outliers": the modified z-score).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.modeling import folds as common
from pipeline.steps import targets
from pipeline.steps.strata import deciles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

SUSPECT = 3.5  # standardized residuals
NORMAL = 1.4826  # a normal distribution's deviation, in median absolute deviations
PENALTY = 1.0  # of ridge regression


@dataclass(frozen=True)
class Doubts(common.Doubts):
    """What the models expected, and how residuals are standardized."""

    expected: Numbers  # [records], NaN where no model could judge
    middle: float  # median of the residuals
    scale: float  # robust deviation of the residuals; 0: all are the same

    def of(self, labels: Sequence[str | None]) -> list[float | None]:
        """Return nothing: a model of numbers gives none a probability."""
        return [None] * len(labels)

    def residuals(self, labels: Sequence[str | None]) -> list[float | None]:
        """Return the standardized residual of each record's number."""
        found: list[float | None] = []
        for label, expected in zip(labels, self.expected.tolist(), strict=True):
            if label is None or math.isnan(expected):
                found.append(None)
                continue
            off = targets.number(label) - expected - self.middle
            found.append(round(off / self.scale, common.DIGITS) if self.scale else 0.0)
        return found


def out_of_fold(
    texts: Sequence[str],
    labels: Sequence[str | None],
    families: Sequence[str],
    *,
    folds: int,
    seed: int,
) -> Doubts:
    """Return what models expect of records that they were not fitted on.

    :param labels: texts of numbers; None where a record has none.
    :param families: records of a family are in one fold.
    """
    import numpy as np

    expected = np.full(len(texts), np.nan)
    nothing = np.empty((len(texts), 0))
    usable = [at for at, label in enumerate(labels) if label is not None]
    given = [str(labels[at]) for at in usable]
    own = [families[at] for at in usable]
    if len(set(given)) < 2 or len(set(own)) < 2:
        return Doubts([], nothing, {}, common.FEW_NUMBERS, expected, 0.0, 0.0)
    features = common.vectorized([texts[at] for at in usable], 1)
    if features is None:
        return Doubts([], nothing, {}, common.NO_WORDS, expected, 0.0, 0.0)
    wanted = np.array([targets.number(one) for one in given])
    strata = [int(one) for one in deciles(given)]
    fold = common.assigned(own, strata, folds, seed)
    judged = np.full(len(usable), np.nan)
    for one in range(folds):
        inside = np.flatnonzero(fold == one)
        outside = np.flatnonzero(fold != one)
        if len(inside) and len(outside):
            model = fitted(features[outside], wanted[outside], seed)
            judged[inside] = model.predict(features[inside])
    expected[usable] = judged.round(common.DIGITS)
    middle, scale = spread(wanted - judged)
    return Doubts([], nothing, {}, None, expected, middle, scale)


def fitted(features: Any, wanted: Numbers, seed: int) -> Any:
    """Return ridge regression, by conjugate gradients."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=PENALTY, solver="sparse_cg", random_state=seed).fit(features, wanted)


def spread(residuals: Numbers) -> tuple[float, float]:
    """Return the median and the robust deviation; the plain one where most are the same."""
    import numpy as np

    known = residuals[np.isfinite(residuals)]
    if not len(known):
        return 0.0, 0.0
    middle = float(np.median(known))
    scale = NORMAL * float(np.median(np.abs(known - middle))) or float(known.std())
    return round(middle, common.DIGITS), round(scale, common.DIGITS)


def suspects(
    doubts: Doubts, labels: Sequence[str | None], settled: Sequence[bool], listed: int
) -> tuple[int, list[common.Suspect]]:
    """Return how many numbers are probably wrong, and the likeliest, worst first.

    A score is the share of a normal distribution's residuals that would be larger.

    :param labels: of each record, None where there is none.
    :param settled: what a person has decided on; it is not listed again.
    :param listed: how many at most.
    """
    off = {
        at: abs(one)
        for at, one in enumerate(doubts.residuals(labels))
        if one is not None and abs(one) > SUSPECT and not settled[at]
    }
    order = sorted(off, key=lambda at: (-off[at], at))
    return len(order), [
        common.Suspect(
            at=at,
            label=str(labels[at]),
            suggested=targets.number_text(float(doubts.expected[at])),
            probability=None,
            probability_suggested=None,
            score=round(math.erfc(off[at] / math.sqrt(2)), common.DIGITS),
        )
        for at in order[:listed]
    ]
