"""How sure a figure is: percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.i18n import Message, _

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

Interval = tuple[float, float]
MODEL = "model"
BLOCK = 1_000_000  # entries that are drawn at once: bounds memory


def bootstrap(
    task: Task,
    truth: Sequence[str],
    predictions: Mapping[str, Sequence[str]],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Return intervals of the task's quick figures for each model, and of their differences.

    All models are resampled on the same records, so differences are paired.

    :param predictions: model → its answers; the first is compared with each other one, under
        ``first - other``.
    :returns: model or pair → figure → lower and upper end.
    """
    import numpy as np

    coded = {name: task.coded(values) for name, values in predictions.items()}
    true, first = task.coded(truth), next(iter(predictions))
    random = np.random.default_rng(seed)
    step = max(1, BLOCK // true.size)
    drawn: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    for start in range(0, samples, step):
        at = random.integers(0, len(true), (min(step, samples - start), len(true)))
        really = true[at]
        for name, one in coded.items():
            found = one[at]
            for key, figure in task.quick.items():
                drawn.setdefault(name, {}).setdefault(key, []).append(figure(really, found))
    whole = {
        name: {key: np.concatenate(values) for key, values in found.items()}
        for name, found in drawn.items()
    }
    for name in [other for other in predictions if other != first]:
        whole[f"{first} - {name}"] = {
            key: values - whole[name][key] for key, values in whole[first].items()
        }
    tail = (1 - confidence) / 2
    return {
        name: {key: ends(values, tail) for key, values in found.items()}
        for name, found in whole.items()
    }


def ends(values: NDArray[np.float64], tail: float) -> Interval:
    """Return the values below and above which ``tail`` of all lie."""
    import numpy as np

    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def worth_it(task: Task, baseline: str, difference: Interval) -> dict[str, Any]:
    """Return whether the model earns its price beside a baseline.

    ``no`` when the interval of the difference lies at or below 0, ``unclear`` when it contains 0,
    else ``yes``.

    :param difference: interval of model - baseline in the task's main figure.
    """
    low, high = difference
    gain = (low, high) if task.greater_is_better(task.main) else (-high, -low)
    answer = "no" if gain[1] <= 0 else "unclear" if gain[0] <= 0 else "yes"
    return {
        "answer": answer,
        "figure": task.main,
        "baseline": baseline,
        "difference": [low, high],
        "why": verdict(answer, task.main, baseline, (low, high)).render("en"),
    }


def verdict(answer: str, figure: str, baseline: str, difference: Interval) -> Message:
    """Return the answer of ``worth_it`` as a sentence."""
    values = {
        "figure": figure,
        "baseline": baseline,
        "low": f"{difference[0]:+.3f}",
        "high": f"{difference[1]:+.3f}",
    }
    if answer == "yes":
        return _("The model is worth it: its {figure} differs from that of {baseline} by {low} to "
                 "{high}.", **values)  # fmt: skip
    if answer == "no":
        return _("The model is not worth it: its {figure} differs from that of {baseline}, which "
                 "costs next to nothing, by {low} to {high}.", **values)  # fmt: skip
    return _("Whether the model is worth it is not clear: its {figure} differs from that of "
             "{baseline}, which costs next to nothing, by {low} to {high}.", **values)  # fmt: skip
