"""A cheap model that has not seen a record: features, folds, and what comes of them.

The model is TF-IDF over words and character sequences (so that it reads Chinese, too) with a linear
model. Records are divided into folds, families of near-duplicates on one side, and each fold is
judged by a model fitted on the others.

Features are hashed and no fit adds up in an order that depends on the number of processor cores,
so the same records give the same figures everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.i18n import _
from pipeline.steps.assignment import draw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

FEW_LABELS = "few_labels"
FEW_NUMBERS = "few_numbers"
NO_WORDS = "no_words"
NOTES = {
    FEW_LABELS: _("fewer than two labels have records enough"),
    FEW_NUMBERS: _("fewer than two different numbers, or all in one family of texts"),
    NO_WORDS: _("the texts hold no words"),
}
CHARACTERS = 2_000  # of a text are read: bounds time, and a label shows early
BITS, BITS_MANY_LABELS = 18, 15  # of the hash, for each of the two kinds of features
MANY_LABELS = 100  # weights are labels × features: bounds memory
RARE_FROM = 100  # from so many texts on a feature that stands in one text only is left out
STRENGTH = 3.0  # inverse of the regularization, as scikit-learn's C; measured on TREC and reviews
PASSES = 10
DIGITS = 6


@dataclass(frozen=True)
class Doubts:
    """What the models thought of records they had not seen, one label a record."""

    labels: list[str]
    probabilities: Numbers  # [records, labels], NaN in rows that no model could judge
    rare: dict[str, int]  # labels with too few families to be judged → records
    note: str | None

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"note": self.note, "rare_labels": self.rare}

    def residuals(self, labels: Sequence[str | None]) -> list[float | None] | None:
        """Return how far each number is from what was expected; None where labels are names."""
        return None

    def of(self, labels: Sequence[str | None]) -> list[float | None]:
        """Return the probability that was given to the label of each record."""
        import numpy as np

        position = {label: at for at, label in enumerate(self.labels)}
        return [
            None if label is None or np.isnan(row[position[label]]) else float(row[position[label]])
            for label, row in zip(labels, self.probabilities, strict=True)
        ]


@dataclass(frozen=True)
class Suspect:
    """A record whose label is probably wrong."""

    at: int  # position of the record
    label: str
    suggested: str
    probability: float | None  # of the label; None for numbers
    probability_suggested: float | None
    score: float  # quality of the label, 0 to 1: the lower, the more doubtful


def assigned(
    families: Sequence[str], labels: Sequence[int], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each record: each label's families in turn, shuffled by the seed."""
    import numpy as np

    label_of = dict(zip(reversed(families), reversed(labels), strict=True))  # its first record's
    order = sorted(label_of, key=lambda one: (label_of[one], draw(seed, "fold", one), one))
    fold_of = {family: at % folds for at, family in enumerate(order)}
    return np.array([fold_of[family] for family in families], dtype=np.int64)


def vectorized(texts: Sequence[str], labels: int) -> Any:
    """Return TF-IDF features as a sparse matrix, [texts, features]; None where there are none."""
    import numpy as np
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    short = [text[:CHARACTERS] for text in texts]
    blocks = []
    for analyzer, longest, pattern in (("word", 2, r"(?u)\b\w+\b"), ("char_wb", 3, None)):
        counted = HashingVectorizer(
            analyzer=analyzer,
            ngram_range=(1, longest),
            token_pattern=pattern,
            n_features=2 ** (BITS_MANY_LABELS if labels > MANY_LABELS else BITS),
            alternate_sign=False,
            norm=None,
        ).transform(short)
        often = np.bincount(counted.indices, minlength=counted.shape[1])
        kept = np.flatnonzero(often >= (2 if len(texts) >= RARE_FROM else 1))
        if len(kept):
            blocks.append(TfidfTransformer(sublinear_tf=True).fit_transform(counted[:, kept]))
    return hstack(blocks).tocsr() if blocks else None


def fitted(features: Any, wanted: NDArray[np.int64], seed: int) -> Any:
    """Return a logistic regression, one label against the others, by stochastic gradients."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss",
        alpha=1 / (STRENGTH * features.shape[0]),
        max_iter=PASSES,
        tol=None,
        random_state=seed,
    ).fit(features, wanted)
