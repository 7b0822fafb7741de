"""Whether one model is better than another on the same records, or was only lucky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.steps.targets import REGRESSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

FEW = 25  # disagreements; with fewer the chi-squared distribution is no good approximation


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> dict[str, Any]:
    """Return McNemar's test (1947) of two models that answered the same records.

    Exact (binomial, two-sided) where they differ in fewer than ``FEW`` records, else chi-squared
    with Edwards' correction (1948).

    :param right_a: which answers of the first model are right, [n].
    :param right_b: the same of the second.
    :returns: ``b`` (only the first was right), ``c`` (only the second), ``statistic``, ``p``,
        ``exact``.
    :raises ValueError: if the two are not of the same records.
    """
    from scipy.stats import binom, chi2

    if right_a.shape != right_b.shape:
        raise ValueError(f"answers to {right_a.shape} and to {right_b.shape} records")
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    exact = b + c < FEW
    if exact:
        statistic = float(min(b, c))
        p = min(1.0, 2 * float(binom.cdf(statistic, b + c, 0.5)))
    else:
        statistic = (abs(b - c) - 1) ** 2 / (b + c)
        p = float(chi2.sf(statistic, 1))
    return {"b": b, "c": c, "statistic": statistic, "p": p, "exact": exact}


def right(task: Task, truth: Sequence[str], answers: Sequence[str]) -> NDArray[np.bool_] | None:
    """Return which records are answered wholly right, [n]; None for numbers, which never are."""
    if task.name == REGRESSION:
        return None
    same = task.coded(truth) == task.coded(answers)
    whole: NDArray[np.bool_] = same.reshape(len(truth), -1).all(axis=1)
    return whole
