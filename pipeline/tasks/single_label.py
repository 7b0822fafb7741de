"""Exactly one label a text: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.steps.targets import SINGLE
from pipeline.tasks import probabilities
from pipeline.tasks.base import LOSS, Figures, Quick, Task, no_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AVERAGES, PARTS = ("micro", "macro", "weighted"), ("precision", "recall", "f1")
LEAST = 1e-6  # (1 - p) ** gamma has no finite slope at 0 when gamma is below 1


class SingleLabel(Task):
    """One of the labels."""

    name = SINGLE
    problem_type = "single_label_classification"
    main = "macro_f1"
    answer_figures = (
        "accuracy",
        "balanced_accuracy",
        *(f"{average}_{part}" for average in AVERAGES for part in PARTS),
        "matthews",
        "worst_class_recall",
        "worst_class_f1",
        LOSS,
    )
    score_figures_named = ("roc_auc", "pr_auc", LOSS, "brier", "ece")

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

    def decide(
        self, scores: NDArray[np.float64], thresholds: Mapping[str, float] | None = None
    ) -> list[str]:
        """Return the most probable label of each row.

        Where there are two labels, a threshold of the second one says from which probability on it
        is given.
        """
        bound = (thresholds or {}).get(self.labels[-1]) if len(self.labels) == 2 else None
        places = scores.argmax(axis=1) if bound is None else scores[:, 1] >= bound
        return [self.labels[int(at)] for at in places]

    def figures(self, truth: Sequence[str], predicted: Sequence[str]) -> Figures:
        """Return accuracy, averages of precision, recall and F1, Matthews, and the worst label's.

        All 0 to 1 but Matthews' correlation (Gorodkin 2004), -1 to 1. A label that was never
        predicted has precision 0. ``balanced_accuracy`` and the worst label's figures count the
        labels that the truth has.
        """
        import numpy as np
        from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

        true, found = self.coded(truth), self.coded(predicted)
        labels, both = np.arange(len(self.labels)), np.union1d(true, found)

        def measured(average: str | None) -> Any:
            return precision_recall_fscore_support(
                true, found, labels=labels, average=average, zero_division=0
            )

        _precision, recall, f1, counts = measured(None)
        result: Figures = {
            "accuracy": float(accuracy(true, found)),
            "balanced_accuracy": float(recall[counts > 0].mean()),
        }
        for average in AVERAGES:
            for part, value in zip(PARTS, measured(average)[:3], strict=True):
                result[f"{average}_{part}"] = float(value)
        return result | {
            # One label alone correlates with nothing; scikit-learn says 0 too, and warns.
            "matthews": float(matthews_corrcoef(true, found)) if len(both) > 1 else 0.0,
            "worst_class_recall": probabilities.weakest(recall, counts),
            "worst_class_f1": probabilities.weakest(f1, counts),
        }

    def score_figures(self, truth: Sequence[str], scores: NDArray[np.float64]) -> Figures:
        """Return the areas under both curves, log loss, Brier score and calibration error.

        The areas are means over labels, one against the rest. ``brier`` is the sum over labels of
        squared distances (Brier 1950), 0 to 2; ``ece`` looks at the highest probability.
        """
        import numpy as np

        has = self.targets(truth)[:, None] == np.arange(len(self.labels))
        return {
            **probabilities.areas(has, scores),
            LOSS: self.log_loss(truth, scores),
            "brier": float(((scores - has) ** 2).sum(axis=1).mean()),
            "ece": probabilities.calibration_error(*self.confidences(truth, scores)),
        }

    def confidences(
        self, truth: Sequence[str], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the highest probability of each record and whether that label is right, [n]."""
        right: NDArray[np.bool_] = scores.argmax(axis=1) == self.targets(truth)
        return scores.max(axis=1), right

    def log_loss(self, truth: Sequence[str], scores: NDArray[np.float64]) -> float:
        """Return the mean negative logarithm of the probability that the true label got, nats."""
        import numpy as np

        at = self.targets(truth)
        chosen = scores[np.arange(len(at)), at]
        return float(-np.log(np.clip(chosen, 1e-15, 1.0)).mean())

    def coded(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return positions of labels, int64 [n]."""
        return self.targets(texts)

    def macro_f1(self, truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> Any:
        """Return the mean F1 over all labels, as scikit-learn does with ``zero_division=0``.

        Thousands of resamples need it in microseconds, so it is counted here; a test holds it
        equal.
        """
        import numpy as np

        count = len(self.labels)
        true, found = (one.reshape(-1, one.shape[-1]) for one in (truth, predicted))
        shift = np.arange(len(true))[:, None] * count  # each sample counts in places of its own
        true, found, most = true + shift, found + shift, len(true) * count
        hits = np.bincount(true[true == found], minlength=most)
        both = np.bincount(true.ravel(), minlength=most)
        both += np.bincount(found.ravel(), minlength=most)
        f1 = 2 * hits / np.maximum(both, 1)
        return f1.reshape(*truth.shape[:-1], count).mean(axis=-1)

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


def accuracy(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> Any:
    """Return the share of equal entries."""
    return (truth == predicted).mean(axis=-1)
