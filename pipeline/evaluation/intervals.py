"""How sure a figure is: percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]


def codes(values: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the positions of ``values`` in ``labels``."""
    import numpy as np

    position = {label: at for at, label in enumerate(labels)}
    return np.array([position[value] for value in values], dtype=np.int64)


def accuracy(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """Return the share of equal entries."""
    return float((truth == predicted).mean())


def macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """Return the mean F1 over all classes, as scikit-learn does with ``zero_division=0``.

    Thousands of resamples need it in microseconds, so it is counted here; a test holds it equal.
    """
    import numpy as np

    hits = np.bincount(truth[truth == predicted], minlength=classes)
    both = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float((2 * hits / np.maximum(both, 1)).mean())


Figure = Callable[["NDArray[np.int64]", "NDArray[np.int64]", int], float]
FIGURES: dict[str, Figure] = {"accuracy": accuracy, "macro_f1": macro_f1}


def bootstrap(
    truth: Sequence[str],
    predictions: dict[str, Sequence[str]],
    labels: Sequence[str],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """Return intervals of accuracy and macro-F1 for each model, and of their differences.

    All models are resampled on the same records, so differences are paired.

    :param predictions: model → predicted labels; the first is compared with each other one, under
        ``first - other``.
    :returns: model or pair → figure → lower and upper end.
    """
    import numpy as np

    coded = {name: codes(values, labels) for name, values in predictions.items()}
    true, first = codes(truth, labels), next(iter(predictions))
    random = np.random.default_rng(seed)
    drawn: dict[str, dict[str, list[float]]] = {}
    for _sample in range(samples):
        at = random.integers(0, len(true), len(true))
        values = {
            name: {key: figure(true[at], one[at], len(labels)) for key, figure in FIGURES.items()}
            for name, one in coded.items()
        }
        for name, found in values.items():
            pair = f"{first} - {name}"
            for key, value in found.items():
                drawn.setdefault(name, {}).setdefault(key, []).append(value)
                if name != first:
                    drawn.setdefault(pair, {}).setdefault(key, []).append(
                        values[first][key] - value
                    )
    tail = (1 - confidence) / 2
    return {
        name: {key: ends(values, tail) for key, values in found.items()}
        for name, found in drawn.items()
    }


def ends(values: Sequence[float], tail: float) -> Interval:
    """Return the values below and above which ``tail`` of all lie."""
    import numpy as np

    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
