"""What stands behind the figures of a task: each label, what was taken for what, worst errors.

Numbers have no labels; they are put into bands of about equally many true ones instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.steps.targets import MULTI, REGRESSION, number_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

Table = dict[str, dict[str, float]]
BANDS = 5
LEAST = 1e-12  # a wrong answer counts, however improbable


def per_label(task: Task, truth: Sequence[str], predicted: Sequence[str]) -> Table:
    """Return precision, recall, F1 and the number of records of each label.

    For numbers: mean absolute error, mean error (above 0: answers too high) and records of each
    band of the truth.
    """
    if task.name == REGRESSION:
        return per_band(task, truth, predicted)
    from sklearn.metrics import precision_recall_fscore_support

    true, found = task.coded(truth), task.coded(predicted)
    values = precision_recall_fscore_support(
        true, found, labels=range(len(task.labels)), zero_division=0
    )
    names = ("precision", "recall", "f1", "records")
    return {
        label: {name: float(column[at]) for name, column in zip(names, values, strict=True)}
        for at, label in enumerate(task.labels)
    }


def per_band(task: Task, truth: Sequence[str], predicted: Sequence[str]) -> Table:
    """Return errors and records of each band of the true numbers."""
    true, found = task.coded(truth), task.coded(predicted)
    names, places, _edges = bands(true)
    table: Table = {}
    for at, name in enumerate(names):
        errors = (found - true)[places == at]
        table[name] = {
            "mae": float(abs(errors).mean()),
            "mean_error": float(errors.mean()),
            "records": float(len(errors)),
        }
    return table


def bands(
    true: NDArray[np.float64],
) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """Return the names of bands of about equally many numbers, each number's band, and the edges.

    There are fewer than ``BANDS`` where many numbers are equal. No band is empty.
    """
    import numpy as np

    edges = np.unique(np.quantile(true, np.arange(1, BANDS) / BANDS, method="higher"))
    edges = edges[edges > true.min()]
    texts = [f"{edge:g}" for edge in edges]
    if len(set(texts)) < len(texts):  # six digits do not tell them apart
        texts = [number_text(edge) for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(texts)]
    names = [f"below {texts[0]}", *inner, f"from {texts[-1]}"] if texts else ["all"]
    return names, places_of(true, edges), edges


def places_of(numbers: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the band of each number; a band begins with its lower edge."""
    import numpy as np

    return np.searchsorted(edges, numbers, side="right").astype(np.int64)


def pairs(task: Task, truth: Sequence[str], predicted: Sequence[str]) -> list[tuple[str, str]]:
    """Return what was and what was answered, for a plot of what was taken for what.

    One label: a pair a record. Several: a pair for each record and label, which a record has or
    has not, since no wrong label stands for another one. Numbers: the bands of both.
    """
    if task.name == REGRESSION:
        names, places, edges = bands(task.coded(truth))
        answered = places_of(task.coded(predicted), edges)
        return [(names[at], names[to]) for at, to in zip(places, answered, strict=True)]
    if task.name == MULTI:
        rows = zip(task.coded(truth), task.coded(predicted), strict=True)
        return [
            (label if has else f"not {label}", label if gets else f"not {label}")
            for true, found in rows
            for label, has, gets in zip(task.labels, true, found, strict=True)
        ]
    return list(zip(truth, predicted, strict=True))


def confusion(task: Task, truth: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    """Return how often each label, or band of numbers, (row) was taken for each (column).

    Several labels: a table of 2 × 2 for each, rows and columns without it first.
    """
    from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

    if task.name == MULTI:
        tables = multilabel_confusion_matrix(task.coded(truth), task.coded(predicted))
        return {"labels": task.labels, "each": tables.tolist()}
    labels = bands(task.coded(truth))[0] if task.name == REGRESSION else task.labels
    actual, answered = zip(*pairs(task, truth, predicted), strict=True)
    return {
        "labels": labels,
        "counts": confusion_matrix(actual, answered, labels=labels).tolist(),
    }


def confused(table: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """Return what was most often taken for something else, the most frequent first.

    :param table: from ``confusion``. Several labels have no wrong one that stands for another:
        ``predicted`` is ``None`` where a label was missed, and ``actual`` where it was given to a
        record without it.
    :returns: ``actual``, ``predicted``, ``records``, and ``share`` of the records with ``actual``,
        or without the label.
    """
    import numpy as np

    labels, found = table["labels"], []
    if "each" in table:
        for label, ((right, wrongly), (missed, hits)) in zip(labels, table["each"], strict=True):
            found.append(pair(label, None, missed, missed + hits))
            found.append(pair(None, label, wrongly, wrongly + right))
    else:
        counts = np.array(table["counts"])
        rows = counts.sum(axis=1)
        for at, to in zip(*counts.nonzero(), strict=True):
            if at != to:
                found.append(pair(labels[at], labels[to], counts[at, to], rows[at]))
    found = [one for one in found if one["records"]]
    return sorted(found, key=lambda one: (-one["records"], -one["share"]))[:most]


def pair(actual: str | None, predicted: str | None, records: int, of: int) -> dict[str, Any]:
    """Return one line of ``confused``."""
    share = float(records / of) if of else 0.0
    return {"actual": actual, "predicted": predicted, "records": int(records), "share": share}


def worst_errors(
    task: Task,
    records: Sequence[dict[str, Any]],
    scores: NDArray[np.float64],
    predicted: Sequence[str],
    *,
    count: int,
) -> list[dict[str, Any]]:
    """Return the wrong answers of which the model was surest, or the numbers furthest off.

    :param records: with ``id``, ``text`` and ``label``.
    :param scores: [records, outputs].
    :param predicted: the answers made of them.
    :returns: ``at`` (position), ``id``, ``text``, ``label``, ``predicted``, ``output`` (name of the
        output that is to blame), and ``confidence`` or, of a number, ``error``.
    """
    truth = [record["label"] for record in records]
    weight, output, name = how_wrong(task, truth, scores, predicted)
    order = (-weight).argsort(kind="stable")
    order = order[weight[order] > 0][:count]
    return [
        {
            "at": int(at),
            "id": records[at]["id"],
            "text": records[at]["text"],
            "label": records[at]["label"],
            "predicted": predicted[at],
            "output": task.outputs[output[at]],
            name: float(weight[at]),
        }
        for at in order
    ]


def how_wrong(
    task: Task, truth: Sequence[str], scores: NDArray[np.float64], predicted: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64], str]:
    """Return how wrong each answer is, which output is to blame, and what that number is called.

    One label: the probability of the wrong one. Several: the highest probability that a wrong
    entry was given. Numbers: the absolute error. It is 0 where the answer is right.
    """
    import numpy as np

    true, answered = task.coded(truth), task.coded(predicted)
    if task.name == REGRESSION:
        return abs(answered - true), np.zeros(len(true), dtype=np.int64), "error"
    if task.name == MULTI:
        given = np.where(answered, scores, 1 - scores)
        # A threshold may give a label at a probability of 0: wrong is wrong all the same.
        wrong = np.where(answered != true, np.maximum(given, LEAST), 0.0)
        return wrong.max(axis=1), wrong.argmax(axis=1), "confidence"
    given = np.maximum(scores[np.arange(len(true)), answered], LEAST)
    return np.where(answered != true, given, 0.0), answered, "confidence"
