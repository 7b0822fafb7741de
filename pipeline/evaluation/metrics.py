"""Figures about predicted labels. scikit-learn computes them; this module only wires them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Figures = dict[str, float]


def figures(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Figures:
    """Return accuracy, and precision, recall and F1 as macro and weighted averages, 0 to 1.

    A label that was never predicted has precision 0.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    result: Figures = {"accuracy": float(accuracy_score(truth, predicted))}
    for average in ("macro", "weighted"):
        values = precision_recall_fscore_support(
            truth, predicted, labels=list(labels), average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True):
            result[f"{average}_{name}"] = float(value)
    return result


def log_loss(
    truth: Sequence[str], probabilities: NDArray[np.float64], labels: Sequence[str]
) -> float:
    """Return the mean negative logarithm of the probability that the true label got, in nats."""
    import numpy as np

    at = [labels.index(label) for label in truth]
    chosen = probabilities[np.arange(len(at)), at]
    return float(-np.log(np.clip(chosen, 1e-15, 1.0)).mean())


def per_label(
    truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and the number of records of each label."""
    from sklearn.metrics import precision_recall_fscore_support

    values = precision_recall_fscore_support(truth, predicted, labels=list(labels), zero_division=0)
    names = ("precision", "recall", "f1", "records")
    return {
        label: {name: float(column[at]) for name, column in zip(names, values, strict=True)}
        for at, label in enumerate(labels)
    }


def confusion(
    truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> list[list[int]]:
    """Return how often each label (row) was taken for each (column)."""
    from sklearn.metrics import confusion_matrix

    table: list[list[int]] = confusion_matrix(truth, predicted, labels=list(labels)).tolist()
    return table


def worst_errors(
    records: Sequence[dict[str, Any]],
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    *,
    count: int,
) -> list[dict[str, Any]]:
    """Return the wrong answers of which the model was surest, the surest first.

    :param records: with ``id``, ``text`` and ``label``.
    :param probabilities: [records, labels].
    """
    chosen = probabilities.argmax(axis=1)
    errors = [
        {
            "id": record["id"],
            "text": record["text"],
            "label": record["label"],
            "predicted": labels[at],
            "confidence": float(row[at]),
        }
        for record, row, at in zip(records, probabilities, chosen, strict=True)
        if labels[at] != record["label"]
    ]
    return sorted(errors, key=lambda error: -error["confidence"])[:count]
