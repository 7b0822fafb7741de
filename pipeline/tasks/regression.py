"""A number for each text: no activation, squared or Huber loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.i18n import _
from pipeline.steps.targets import REGRESSION, number, number_text
from pipeline.tasks.base import LOSS, Figures, Quick, Task, no_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VALUE = "value"


class Regression(Task):
    """A number."""

    name = REGRESSION
    problem_type = "regression"
    main = "r2"
    answer_figures = ("mae", "mse", "rmse", "r2", "pearson", "spearman", LOSS)
    score_figures_named = (LOSS,)

    def __init__(self, labels: Sequence[str] = ()) -> None:
        super().__init__([])
        self.quick: dict[str, Quick] = {"mae": mae, "r2": r2}

    @property
    def outputs(self) -> list[str]:
        """The name of the one number."""
        return [VALUE]

    def target(self, text: str) -> float:
        """Return the number of a label text."""
        try:
            return number(text)
        except ValueError:
            raise no_label(text, _("a number")) from None

    def targets(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the numbers, float32 [n]."""
        import numpy as np

        return np.array([self.target(text) for text in texts], dtype=np.float32)

    def activate(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers as they are, [n, 1]."""
        import numpy as np

        numbers: NDArray[np.float64] = logits.astype(np.float64)
        return numbers

    def decide(
        self, scores: NDArray[np.float64], thresholds: Mapping[str, float] | None = None
    ) -> list[str]:
        """Return each number as text; it has no threshold."""
        return [number_text(value) for value in scores[:, 0]]

    def figures(self, truth: Sequence[str], predicted: Sequence[str]) -> Figures:
        """Return mean absolute, mean squared and root mean squared error, R² and two correlations.

        The errors are in the unit of the labels, ``mse`` in its square. What is constant correlates
        with nothing: 0.
        """
        true, found = self.coded(truth), self.coded(predicted)
        return {
            "mae": float(mae(true, found)),
            "mse": mean_square(true, found),
            "rmse": mean_square(true, found) ** 0.5,
            "r2": float(r2(true, found)),
            "pearson": correlation(true, found),
            "spearman": correlation(ranks(true), ranks(found)),
        }

    def score_figures(self, truth: Sequence[str], scores: NDArray[np.float64]) -> Figures:
        """Return the loss; a number has no probability."""
        return {LOSS: self.log_loss(truth, scores)}

    def confidences(
        self, truth: Sequence[str], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return two empty arrays: a number promises nothing."""
        import numpy as np

        return np.zeros(0), np.zeros(0, dtype=np.bool_)

    def log_loss(self, truth: Sequence[str], scores: NDArray[np.float64]) -> float:
        """Return the mean squared error, in the labels' unit squared."""
        return mean_square(self.coded(truth), scores[:, 0])

    def coded(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the numbers, float64 [n]."""
        import numpy as np

        return np.array([self.target(text) for text in texts], dtype=np.float64)

    def loss(self, logits: Any, targets: Any, *, knobs: Any, weights: Any = None) -> Any:
        """Return the mean squared error, or Huber's loss (1964) with delta 1, both standardized."""
        from torch.nn.functional import huber_loss, mse_loss

        loss = huber_loss if knobs.regression == "huber" else mse_loss
        return loss(logits.float()[:, 0], targets.float())

    def scaling(self, targets: NDArray[Any]) -> tuple[float, float]:
        """Return mean and standard deviation of the targets; 1 for the latter where it is 0."""
        import numpy as np

        wide = targets.astype(np.float64)
        return float(wide.mean()), float(wide.std()) or 1.0


def mae(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> Any:
    """Return the mean absolute error, in the labels' unit."""
    return abs(truth - predicted).mean(axis=-1)


def mean_square(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the mean squared error, in the labels' unit squared."""
    return float(((truth - predicted) ** 2).mean())


def r2(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> Any:
    """Return the share of the variance that is explained; as scikit-learn's ``r2_score``.

    Where all true numbers are one it is 1 for answers that are right and 0 for others.
    """
    import numpy as np

    left = ((truth - predicted) ** 2).sum(axis=-1)
    total = ((truth - truth.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    explained = 1 - left / np.where(total == 0, 1.0, total)
    return np.where(total == 0, left == 0, explained)[()]


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Pearson's correlation, -1 to 1; 0 where one of the two is constant."""
    import numpy as np

    a, b = one - one.mean(), other - other.mean()
    # Rounding leaves a constant with a deviation of a few ulps, which is not one.
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value, from 1; equal ones share the mean of theirs."""
    import numpy as np

    _values, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return last[place]
