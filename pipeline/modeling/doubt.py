"""What a cheap model, which has not seen a record, thinks of its label.

The model is TF-IDF over words and character sequences (so that it reads Chinese, too) with a linear
classifier. Records are divided into folds, families of near-duplicates on one side, and each fold
is judged by a model fitted on the others. Confident learning (Northcutt, Jiang and Chuang 2021,
arXiv 1911.00068; cleanlab) then names the labels that are probably wrong.

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
NO_WORDS = "no_words"
NOTES = {
    FEW_LABELS: _("fewer than two labels have records enough"),
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
    """What the models thought of records they had not seen."""

    labels: list[str]
    probabilities: Numbers  # [records, labels], NaN in rows that no model could judge
    rare: dict[str, int]  # labels with too few families to be judged → records
    note: str | None

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"note": self.note, "rare_labels": self.rare}

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
    probability: float  # of the label
    probability_suggested: float
    score: float  # quality of the label, 0 to 1: the lower, the more doubtful


def out_of_fold(
    texts: Sequence[str],
    labels: Sequence[str | None],
    families: Sequence[str],
    *,
    names: Sequence[str],
    folds: int,
    seed: int,
) -> Doubts:
    """Return what models think of records that they were not fitted on.

    :param labels: None where a record has none; it is neither learnt from nor judged.
    :param families: records of a family are in one fold.
    :param names: labels of the task.
    """
    import numpy as np

    empty = np.full((len(texts), len(names)), np.nan)
    usable, rare = learnable(labels, families)
    if len({labels[at] for at in usable}) < 2:
        return Doubts(list(names), empty, rare, FEW_LABELS)
    features = vectorized([texts[at] for at in usable], len(names))
    if features is None:
        return Doubts(list(names), empty, rare, NO_WORDS)
    column = {name: at for at, name in enumerate(names)}
    wanted = np.array([column[str(labels[at])] for at in usable])
    fold = assigned([families[at] for at in usable], wanted.tolist(), folds, seed)
    judged = np.full((len(usable), len(names)), np.nan)
    for one in range(folds):
        inside = fold == one
        known = np.unique(wanted[~inside])
        # A label that stands in this fold only was never learnt: nothing can be said about it.
        ask = np.flatnonzero(inside & np.isin(wanted, known))
        if len(ask) and len(known) > 1:
            model = fitted(features[~inside], wanted[~inside], seed)
            judged[ask] = 0.0
            judged[np.ix_(ask, known)] = model.predict_proba(features[ask])
    empty[usable] = judged.round(DIGITS)
    return Doubts(list(names), empty, rare, None)


def learnable(
    labels: Sequence[str | None], families: Sequence[str]
) -> tuple[list[int], dict[str, int]]:
    """Return the positions of records whose label has two families, and how many others there are.

    With a single family there is nothing left to learn from while that family is judged.
    """
    members: dict[str, set[str]] = {}
    for label, family in zip(labels, families, strict=True):
        if label is not None:
            members.setdefault(label, set()).add(family)
    enough = {label for label, found in members.items() if len(found) > 1}
    usable = [at for at, label in enumerate(labels) if label in enough]
    rare = {label: labels.count(label) for label in sorted(members.keys() - enough)}
    return usable, rare


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
    from scipy.sparse import hstack  # type: ignore[import-untyped]
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


def answers(
    texts: Sequence[str], labels: Sequence[str | None], *, names: Sequence[str], seed: int
) -> Numbers | None:
    """Return the probabilities that a model, fitted on what is labelled, gives to all texts.

    :returns: [texts, labels]; None where fewer than two labels can be learnt.
    """
    import numpy as np

    column = {name: at for at, name in enumerate(names)}
    known = [at for at, label in enumerate(labels) if label is not None]
    wanted = np.array([column[str(labels[at])] for at in known], dtype=np.int64)
    features = vectorized(texts, len(names)) if len(np.unique(wanted)) > 1 else None
    if features is None:
        return None
    result = np.zeros((len(texts), len(names)))
    model = fitted(features[known], wanted, seed)
    result[:, model.classes_] = model.predict_proba(features)
    return result


def suspects(
    doubts: Doubts, labels: Sequence[str | None], settled: Sequence[bool], listed: int
) -> tuple[int, list[Suspect]]:
    """Return how many labels are probably wrong, and the likeliest errors, worst first.

    :param labels: of each record, None where there is none.
    :param settled: what a person has decided on; it is not listed again.
    :param listed: how many at most.
    """
    import warnings

    import numpy as np

    column = {name: at for at, name in enumerate(doubts.labels)}
    judged = np.flatnonzero(np.isfinite(doubts.probabilities).all(axis=1)).tolist()
    at = np.array([i for i in judged if labels[i] is not None], dtype=np.int64)
    if not len(at):
        return 0, []
    given = np.array([column[str(labels[i])] for i in at])
    kinds, given = np.unique(given, return_inverse=True)
    if len(kinds) < 2:
        return 0, []
    chances = doubts.probabilities[np.ix_(at, kinds)] + 1e-9
    chances /= chances.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divisions by nothing, which it mends itself
        from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]
        from cleanlab.rank import get_label_quality_scores  # type: ignore[import-untyped]

        doubtful = find_label_issues(given, chances, n_jobs=1)
        scores = get_label_quality_scores(given, chances, method="self_confidence")
    best = chances.argmax(axis=1)
    doubtful &= (best != given) & ~np.array(settled, dtype=bool)[at]
    order = [i for i in np.argsort(scores, kind="stable") if doubtful[i]]
    return len(order), [
        Suspect(
            at=int(at[i]),
            label=doubts.labels[kinds[given[i]]],
            suggested=doubts.labels[kinds[best[i]]],
            probability=round(float(chances[i, given[i]]), DIGITS),
            probability_suggested=round(float(chances[i, best[i]]), DIGITS),
            score=round(float(scores[i]), DIGITS),
        )
        for i in order[:listed]
    ]
