"""How good probabilities are, whatever is answered with them: ranking, distance, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 15  # as in Guo et al. 2017, section 2
LIKELY = 0.5  # between two probabilities that add up to 1


def areas(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> dict[str, float]:
    """Return ``roc_auc`` and ``pr_auc`` (average precision), each the mean over labels.

    A label that all records have, or none, has no curve and is left out; where no label is left
    there is no figure.

    :param truth: which labels each record has, [n, labels].
    :param scores: [n, labels].
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    has = truth.sum(axis=0)
    known = np.flatnonzero((has > 0) & (has < len(truth)))
    if not len(known):
        return {}
    ways = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score}
    return {
        name: float(np.mean([figure(truth[:, at], scores[:, at]) for at in known]))
        for name, figure in ways.items()
    }


def curve(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS
) -> list[dict[str, float]]:
    """Return mean confidence, share that was right and number of each bin that is not empty.

    Bins are equally wide and take their upper edge in, as in Guo et al. 2017 (section 2).

    :param confidence: probabilities, any shape.
    :param right: what came true, of the same shape.
    """
    import numpy as np

    sure, true = confidence.reshape(-1), right.reshape(-1)
    places = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = np.bincount(places, weights=sure, minlength=bins)
    hits = np.bincount(places, weights=true.astype(np.float64), minlength=bins)
    return [
        {
            "confidence": float(sums[at] / counts[at]),
            "accuracy": float(hits[at] / counts[at]),
            "records": int(counts[at]),
        }
        for at in np.flatnonzero(counts)
    ]


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: how far the bins of ``curve`` are from their promise.

    The mean over records of the distance between confidence and accuracy (Guo et al. 2017,
    equation 3), 0 to 1; 0 for no records.
    """
    rows = curve(confidence, right)
    whole = sum(row["records"] for row in rows)
    apart = sum(row["records"] * abs(row["confidence"] - row["accuracy"]) for row in rows)
    return float(apart / whole) if whole else 0.0


def weakest(values: Any, counts: Any) -> float:
    """Return the lowest of the labels' values; a label without a true record has none.

    :param values: recall or F1 of each label.
    :param counts: true records of each label; 0 is returned where no label has one.
    """
    import numpy as np

    there = np.asarray(values, dtype=np.float64)[np.asarray(counts) > 0]
    return float(there.min()) if len(there) else 0.0
