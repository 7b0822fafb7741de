"""Any number of labels a text: a sigmoid and a binary cross-entropy for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.steps.targets import JOINT, MULTI, several
from pipeline.tasks import probabilities
from pipeline.tasks.base import LOSS, Figures, Quick, Task, no_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AVERAGES, PARTS = ("micro", "macro", "samples"), ("precision", "recall", "f1")
THRESHOLD = 0.5  # a label is given from this probability on, where nothing else is said
LEAST = 1e-6  # (1 - p) ** gamma has no finite slope at 0 when gamma is below 1


class MultiLabel(Task):
    """Any number of the labels, none included."""

    name = MULTI
    problem_type = "multi_label_classification"
    main = "macro_f1"
    answer_figures = (
        "subset_accuracy",
        "hamming_loss",
        *(f"{average}_{part}" for average in AVERAGES for part in PARTS),
        "worst_class_recall",
        "worst_class_f1",
        LOSS,
    )
    score_figures_named = ("roc_auc", "pr_auc", LOSS, "brier", "ece")

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels)
        self.quick: dict[str, Quick] = {
            "subset_accuracy": subset_accuracy,
            "micro_f1": micro_f1,
            "macro_f1": macro_f1,
        }

    def target(self, text: str) -> list[float]:
        """Return 1 for each label that the text has and 0 for each other, [labels]."""
        row = [0.0] * len(self.labels)
        for label in several(text):
            if label not in self.positions:
                raise no_label(label, ", ".join(self.labels))
            row[self.positions[label]] = 1.0
        return row

    def targets(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ones and zeros, float32 [n, labels]."""
        import numpy as np

        rows = [self.target(text) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), len(self.labels))

    def activate(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability of each label by itself (sigmoid), [n, labels]."""
        import numpy as np

        # exp of a large number overflows; exp of minus its absolute value never does.
        wide = logits.astype(np.float64)
        small = np.exp(-np.abs(wide))
        shares: NDArray[np.float64] = np.where(wide >= 0, 1.0, small) / (1.0 + small)
        return shares

    def decide(
        self, scores: NDArray[np.float64], thresholds: Mapping[str, float] | None = None
    ) -> list[str]:
        """Return the labels of each row that reach their thresholds, joined; ``""`` for none."""
        bounds = [(thresholds or {}).get(label, THRESHOLD) for label in self.labels]
        return [
            JOINT.join(
                label
                for label, score, bound in zip(self.labels, row, bounds, strict=True)
                if score >= bound
            )
            for row in scores
        ]

    def figures(self, truth: Sequence[str], predicted: Sequence[str]) -> Figures:
        """Return how many records are wholly right, how many entries are wrong, and averages.

        ``micro`` counts all entries together, ``macro`` averages over labels, ``samples`` over
        records. What has nothing to count is 0, but a record that has no label and gets none is
        right. The worst label's figures count the labels that the truth has.
        """
        from sklearn.metrics import hamming_loss, precision_recall_fscore_support

        true, found = self.coded(truth), self.coded(predicted)
        result: Figures = {
            "subset_accuracy": float(subset_accuracy(true, found)),
            "hamming_loss": float(hamming_loss(true, found)),
        }
        for average in ("micro", "macro"):
            values = precision_recall_fscore_support(true, found, average=average, zero_division=0)
            for part, value in zip(PARTS, values[:3], strict=True):
                result[f"{average}_{part}"] = float(value)
        _precision, recall, f1, counts = precision_recall_fscore_support(
            true, found, average=None, zero_division=0
        )
        return {
            **result,
            **by_record(true, found),
            "worst_class_recall": probabilities.weakest(recall, counts),
            "worst_class_f1": probabilities.weakest(f1, counts),
        }

    def score_figures(self, truth: Sequence[str], scores: NDArray[np.float64]) -> Figures:
        """Return the areas under both curves, log loss, Brier score and calibration error.

        The areas are means over labels; the others are means over all entries: ``brier`` of squared
        distances, 0 to 1, ``ece`` between each probability and how often the label is there.
        """
        has = self.coded(truth)
        return {
            **probabilities.areas(has, scores),
            LOSS: self.log_loss(truth, scores),
            "brier": float(((scores - has) ** 2).mean()),
            "ece": probabilities.calibration_error(*self.confidences(truth, scores)),
        }

    def confidences(
        self, truth: Sequence[str], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the probability of each entry and whether the label is there, [n, labels]."""
        return scores, self.coded(truth)

    def log_loss(self, truth: Sequence[str], scores: NDArray[np.float64]) -> float:
        """Return the mean binary cross-entropy over records and labels, in nats."""
        import numpy as np

        true = self.coded(truth)
        chosen = np.where(true, scores, 1.0 - scores)
        return float(-np.log(np.clip(chosen, 1e-15, 1.0)).mean())

    def coded(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return which labels each text has, bool [n, labels]."""
        coded: NDArray[np.bool_] = self.targets(texts) > 0.5
        return coded

    def loss(self, logits: Any, targets: Any, *, knobs: Any, weights: Any = None) -> Any:
        """Return the mean binary cross-entropy, smoothed, weighted and focal as ``knobs`` say.

        Smoothing takes targets towards one half; weights multiply what labels that are there
        count (torch's ``pos_weight``); the focal factor is that of Lin et al. 2017 (equation 4).
        """
        from torch.nn.functional import binary_cross_entropy_with_logits

        logits, targets = logits.float(), targets.float()
        smooth = targets * (1 - knobs.label_smoothing) + knobs.label_smoothing / 2
        each = binary_cross_entropy_with_logits(
            logits, smooth, pos_weight=weights, reduction="none"
        )
        if knobs.focal_gamma:
            chance = logits.sigmoid()
            wrong = targets * (1 - chance) + (1 - targets) * chance
            each = each * wrong.clamp(min=LEAST) ** knobs.focal_gamma
        return each.mean()

    def class_weights(self, targets: NDArray[Any], how: str) -> list[float] | None:
        """Return records without a label for each with it, or the square root of that."""
        import numpy as np

        if how == "none":
            return None
        present = targets.sum(axis=0)
        absent = len(targets) - present
        known = (present > 0) & (absent > 0)
        weights = np.where(known, absent / np.maximum(present, 1), 1.0)
        return [float(one) for one in (np.sqrt(weights) if how == "sqrt" else weights)]


def subset_accuracy(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Any:
    """Return the share of records whose labels are all right."""
    return (truth == predicted).all(axis=-1).mean(axis=-1)


def micro_f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Any:
    """Return F1 over all entries together."""
    import numpy as np

    both = truth.sum(axis=(-2, -1)) + predicted.sum(axis=(-2, -1))
    return 2 * (truth & predicted).sum(axis=(-2, -1)) / np.maximum(both, 1)


def macro_f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Any:
    """Return the mean F1 over all labels; a test holds it equal to scikit-learn's."""
    import numpy as np

    hits = (truth & predicted).sum(axis=-2)
    both = truth.sum(axis=-2) + predicted.sum(axis=-2)
    return (2 * hits / np.maximum(both, 1)).mean(axis=-1)


def by_record(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Figures:
    """Return precision, recall and F1 as means over records.

    scikit-learn counts a record that rightly has no label as wholly wrong or, told otherwise, an
    empty answer as precise; here the first is right and the second is not.
    """
    import numpy as np

    hits = (truth & predicted).sum(axis=1)
    has, gets = truth.sum(axis=1), predicted.sum(axis=1)
    none = (has == 0) & (gets == 0)
    shares = {"precision": (hits, gets), "recall": (hits, has), "f1": (2 * hits, has + gets)}
    return {
        f"samples_{part}": float(np.where(none, 1.0, above / np.maximum(below, 1)).mean())
        for part, (above, below) in shares.items()
    }
