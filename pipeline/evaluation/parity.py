"""Parity: a copy must answer as the model that it was made from, alone or in any company.

Anything that answers texts can be the copy: another runtime, a service, a page. Three things are
asked: the same label wherever the original was sure, scores that differ little, and the same score
for a text alone, in a batch of 32 and in another order. A runtime that scales over a whole batch
gives a text another score in other company; such a copy is refused.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.plain import finite
from pipeline.predictor import BasePredictor
from pipeline.steps.targets import MULTI, REGRESSION
from pipeline.tasks.probabilities import LIKELY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.schema.compressing import Parity
    from pipeline.tasks.base import Task

    # Texts → the label text of each, and scores [texts, outputs] in the order of the original's.
    Asked = Callable[[Sequence[str]], tuple[list[str], NDArray[np.float64]]]

BATCH = 32
MOST_ALONE = 128  # texts that are asked one by one; more take long and tell nothing new
SHUFFLE = 7
PERCENTILE = 0.99

LABELS, SCORES, INVARIANCE, OUTPUTS = "labels", "scores", "invariance", "outputs"


def check(
    original: BasePredictor,
    copy: BasePredictor | Asked,
    texts: Sequence[str],
    knobs: Parity,
    *,
    before: NDArray[np.float64] | None = None,
    after: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Return whether a copy answers as the original, and every text where it does not.

    :param copy: a predictor, or a function of texts that returns the label text of each and
        scores, [texts, outputs], in the order of the original's outputs.
    :param before: the original's scores of all texts, where they are known.
    :param after: the same of a copy that is a predictor.
    :returns: ``holds``; ``refused``, what does not hold; ``labels`` with ``compared`` and
        ``different`` (records, or entries where there are several labels; none for numbers);
        ``scores`` with ``p99`` and ``max``; ``invariance`` with the largest difference ``alone``,
        in a ``batch`` and ``shuffled``; ``disagreements`` with position, both answers, the
        original's margin and whether it counts. Differences of numbers are in standard deviations
        of the original's answers. A difference that is no number is None, and refused.
    """
    task = original.task
    found_now: tuple[list[str], NDArray[np.float64]] | None = None
    if isinstance(copy, BasePredictor):
        if sorted(copy.task.outputs) != sorted(task.outputs) or copy.task.name != task.name:
            return {"holds": False, "refused": [OUTPUTS], "records": len(texts),
                    "disagreements": []}  # fmt: skip
        found_now = None if after is None else told(copy, after, task.outputs)
        copy = asked(copy, task.outputs)
    before = original.scores(texts, BATCH) if before is None else before
    was = task.decide(before, original.card.thresholds)
    now, after = found_now or copy(texts)
    unit = unit_of(task, before)
    off = abs(after - before).max(axis=1) / unit
    labels, disagreements = labels_compared(original, (was, now), (before, off), knobs)
    found = {
        "records": len(texts),
        LABELS: labels,
        SCORES: {"p99": percentile(off), "max": float(off.max())},
        INVARIANCE: invariance(copy, texts, (now, after), unit),
    }
    refused = refusals(found, knobs)
    result = {"holds": not refused, "refused": refused} | found | {"disagreements": disagreements}
    return {name: finite(value) for name, value in result.items()}


def asked(model: BasePredictor, outputs: Sequence[str]) -> Asked:
    """Return how to ask a predictor; its scores come in the order of ``outputs``."""
    return lambda texts: told(model, model.scores(texts, BATCH), outputs)


def told(
    model: BasePredictor, scores: NDArray[np.float64], outputs: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Return a predictor's answers, and its scores in the order of ``outputs``.

    Labels are compared by name: a copy whose card names them in another order is found out.
    """
    columns = [model.task.outputs.index(name) for name in outputs]
    return model.task.decide(scores, model.card.thresholds), scores[:, columns]


def unit_of(task: Task, scores: NDArray[np.float64]) -> float:
    """Return in what differences of scores are told: 1, or the deviation of numbers."""
    return float(scores.std()) or 1.0 if task.name == REGRESSION else 1.0


def percentile(off: NDArray[np.float64]) -> float:
    """Return what 99 of 100 differences do not exceed: one in a hundred may be further off."""
    import numpy as np

    return float(np.quantile(off, PERCENTILE, method="inverted_cdf"))


def labels_compared(
    original: BasePredictor,
    answers: tuple[Sequence[str], Sequence[str]],
    numbers: tuple[NDArray[np.float64], NDArray[np.float64]],
    knobs: Parity,
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return how many labels were compared and differ, and the records with another answer.

    :param answers: the original's and the copy's.
    :param numbers: the original's scores, [records, outputs], and how far the copy's are off,
        [records].
    """
    import numpy as np

    task, (was, now), (before, off) = original.task, answers, numbers
    if task.name == REGRESSION:
        differs = np.logical_not(off <= knobs.tolerance)
        margin = np.full(len(was), math.nan)
        labels, counts = {"compared": 0, "different": 0}, differs
    else:
        apart = margins(task, before, original.card.thresholds)
        other = different(task, was, now)
        sure = apart >= knobs.margin
        labels = {"compared": int(sure.sum()), "different": int((sure & other).sum())}
        differs = np.asarray(other.any(axis=1))
        counts = np.asarray((sure & other).any(axis=1))
        margin = np.where(other, apart, -math.inf).max(axis=1)
    return labels, [
        {
            "at": at,
            "original": was[at],
            "copy": now[at],
            "margin": float(margin[at]),
            "difference": float(off[at]),
            "counts": bool(counts[at]),
        }
        for at in np.flatnonzero(differs).tolist()
    ]


def different(task: Task, was: Sequence[str], now: Sequence[str]) -> NDArray[np.bool_]:
    """Return where two answers differ, [records, 1], or [records, labels] for several labels."""
    import numpy as np

    if task.name == MULTI:
        return np.asarray(task.coded(was) != task.coded(now))
    return np.array([[one != other] for one, other in zip(was, now, strict=True)])


def margins(
    task: Task, scores: NDArray[np.float64], thresholds: Mapping[str, float]
) -> NDArray[np.float64]:
    """Return how sure each answer is, 0 to 1, [records, 1] or [records, labels] for several labels.

    One label: by how much the first leads the second. With a threshold: how far the probability is
    from it, as a share of the way that there is to 0 or to 1, so that at one half both are equal.
    """
    import numpy as np

    if task.name == MULTI:
        bounds = np.array([thresholds.get(name, LIKELY) for name in task.outputs])
        return beyond(scores, bounds)
    if thresholds and len(task.outputs) == 2:
        second = task.outputs[1]
        return beyond(scores[:, 1:], np.array([thresholds.get(second, LIKELY)]))
    if scores.shape[1] < 2:  # the only label is always the first
        return np.ones_like(scores)
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1:] - ordered[:, -2:-1]


def beyond(scores: NDArray[np.float64], bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far scores are from their bounds, as a share of the way to 0 or to 1."""
    import numpy as np

    room = np.where(scores >= bounds, 1 - bounds, bounds)
    return np.asarray(abs(scores - bounds) / np.maximum(room, np.finfo(float).tiny))


def invariance(
    ask: Asked,
    texts: Sequence[str],
    found: tuple[Sequence[str], NDArray[np.float64]],
    unit: float,
) -> dict[str, Any]:
    """Return by how much scores differ when texts are asked in other company.

    :param found: answers and scores of all texts, asked at once.
    :returns: the largest difference ``alone``, in a ``batch`` of 32 and ``shuffled``, the number of
        ``records`` that were tried, and of how many the answer changed.
    """
    import numpy as np

    places = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), MOST_ALONE)).astype(int))
    some = [texts[at] for at in places]
    labels, scores = [found[0][at] for at in places], found[1][places]
    order = list(range(len(some)))
    mixed = random.Random(SHUFFLE).sample(order, len(order))
    ways = {
        "alone": chunks(order, 1),
        "batch": chunks(order, BATCH),
        "shuffled": chunks(mixed, BATCH),
    }
    told: dict[str, Any] = {"records": len(some)}
    changed: set[int] = set()
    for way, groups in ways.items():
        largest = 0.0
        for group in groups:
            answers, again = ask([some[at] for at in group])
            largest = max_or_nan(largest, float(abs(again - scores[group]).max()) / unit)
            changed |= {at for at, one in zip(group, answers, strict=True) if one != labels[at]}
        told[way] = largest
    return told | {"answers_changed": len(changed)}


def chunks(places: Sequence[int], size: int) -> list[Sequence[int]]:
    """Return places in groups of ``size``, in their order."""
    return [places[at : at + size] for at in range(0, len(places), size)]


def max_or_nan(one: float, other: float) -> float:
    """Return the larger of two numbers; what is no number stays none."""
    return math.nan if math.isnan(one) or math.isnan(other) else max(one, other)


def refusals(found: Mapping[str, Any], knobs: Parity) -> list[str]:
    """Return what does not hold; nothing compares with a number that is none."""
    company = [found[INVARIANCE][way] for way in ("alone", "batch", "shuffled")]
    holds = {
        LABELS: found[LABELS]["different"] == 0,
        SCORES: found[SCORES]["p99"] <= knobs.tolerance,
        INVARIANCE: all(one <= knobs.invariance for one in company),
    }
    return [name for name, fine in holds.items() if not fine]
