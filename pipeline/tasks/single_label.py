"""Exactly one label a text: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.steps.targets import SINGLE
from pipeline.tasks.base import LOSS, Figures, Quick, Task, no_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AVERAGES, PARTS = ("macro", "weighted"), ("precision", "recall", "f1")
LEAST = 1e-6  # (1 - p) ** gamma has no finite slope at 0 when gamma is below 1


class SingleLabel(Task):
    """One of the labels."""

    name = SINGLE
    problem_type = "single_label_classification"
    main = "macro_f1"
    figures_named = (
        "accuracy",
        *(f"{average}_{part}" for average in AVERAGES for part in PARTS),
        LOSS,
    )

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels)
        self.quick: dict[str, Quick] = {"accuracy": accuracy, "macro_f1": self.macro_f1}

    def target(self, text: str) -> int:
        """Return the position of a label."""
        try:
            return self.positions[text]
        except KeyError:
            raise no_label(text, ", ".join(self.labels)) from None

    def targets(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return positions of labels, int64 [n]."""
        import numpy as np

        return np.array([self.target(text) for text in texts], dtype=np.int64)

    def activate(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability of each label (softmax), [n, labels]."""
        import numpy as np

        wide = logits.astype(np.float64)
        exponentials = np.exp(wide - wide.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return shares

    def decide(self, scores: NDArray[np.float64]) -> list[str]:
        """Return the most probable label of each row."""
        return [self.labels[at] for at in scores.argmax(axis=1)]

    def figures(self, truth: Sequence[str], predicted: Sequence[str]) -> Figures:
        """Return accuracy, and precision, recall and F1 as macro and weighted averages, 0 to 1.

        A label that was never predicted has precision 0.
        """
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support

        result: Figures = {"accuracy": float(accuracy_score(truth, predicted))}
        for average in AVERAGES:
            values = precision_recall_fscore_support(
                truth, predicted, labels=self.labels, average=average, zero_division=0
            )
            for part, value in zip(PARTS, values[:3], strict=True):
                result[f"{average}_{part}"] = float(value)
        return result

    def log_loss(self, truth: Sequence[str], scores: NDArray[np.float64]) -> float:
        """Return the mean negative logarithm of the probability that the true label got, nats."""
        import numpy as np

        at = self.targets(truth)
        chosen = scores[np.arange(len(at)), at]
        return float(-np.log(np.clip(chosen, 1e-15, 1.0)).mean())

    def coded(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return positions of labels, int64 [n]."""
        return self.targets(texts)

    def macro_f1(self, truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
        """Return the mean F1 over all labels, as scikit-learn does with ``zero_division=0``.

        Thousands of resamples need it in microseconds, so it is counted here; a test holds it
        equal.
        """
        import numpy as np

        count = len(self.labels)
        hits = np.bincount(truth[truth == predicted], minlength=count)
        both = np.bincount(truth, minlength=count) + np.bincount(predicted, minlength=count)
        return float((2 * hits / np.maximum(both, 1)).mean())

    def loss(self, logits: Any, targets: Any, *, knobs: Any, weights: Any = None) -> Any:
        """Return the cross-entropy, smoothed, weighted and focal as ``knobs`` say.

        The mean is weighted as torch's ``CrossEntropyLoss`` does it. Label smoothing is that of
        Szegedy et al. 2016 (section 7); the focal factor ``(1 - p) ** gamma``, with the true
        label's probability p, that of Lin et al. 2017 (equation 4).
        """
        from torch.nn.functional import cross_entropy

        logits = logits.float()
        each = cross_entropy(
            logits,
            targets,
            weight=weights,
            label_smoothing=knobs.label_smoothing,
            reduction="none",
        )
        if knobs.focal_gamma:
            true = logits.softmax(dim=-1).gather(1, targets[:, None])[:, 0]
            each = each * (1 - true).clamp(min=LEAST) ** knobs.focal_gamma
        return each.mean() if weights is None else each.sum() / weights[targets].sum()

    def class_weights(self, targets: NDArray[Any], how: str) -> list[float] | None:
        """Return ``n / (labels · n_label)`` (King and Zeng 2001), or its square root."""
        import numpy as np

        if how == "none":
            return None
        counts = np.bincount(targets, minlength=len(self.labels))
        weights = np.where(
            counts > 0, len(targets) / (len(self.labels) * np.maximum(counts, 1)), 1.0
        )
        return [float(one) for one in (np.sqrt(weights) if how == "sqrt" else weights)]


def accuracy(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the share of equal entries."""
    return float((truth == predicted).mean())
