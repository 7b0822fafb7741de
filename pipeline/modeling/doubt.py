"""What a cheap model, which has not seen a record, thinks of its label.

The model is ``modeling.folds``'. Of one label a record, confident learning (Northcutt, Jiang and
Chuang 2021, arXiv 1911.00068; cleanlab) names those that are probably wrong; sets of labels and
numbers have ``modeling.doubt_several`` and ``modeling.doubt_numbers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.modeling import doubt_numbers, doubt_several
from pipeline.modeling.folds import (
    DIGITS,
    FEW_LABELS,
    NO_WORDS,
    Doubts,
    Suspect,
    assigned,
    fitted,
    vectorized,
)
from pipeline.modeling.folds import NOTES as NOTES
from pipeline.steps.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def out_of_fold(
    texts: Sequence[str],
    labels: Sequence[str | None],
    families: Sequence[str],
    *,
    scheme: Scheme,
    folds: int,
    seed: int,
) -> Doubts:
    """Return what models think of records that they were not fitted on.

    :param labels: None where a record has none; it is neither learnt from nor judged.
    :param families: records of a family are in one fold.
    """
    import numpy as np

    if scheme.numeric:
        return doubt_numbers.out_of_fold(texts, labels, families, folds=folds, seed=seed)
    names = scheme.labels
    if scheme.several:
        return doubt_several.out_of_fold(
            texts, labels, families, names=names, folds=folds, seed=seed
        )
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


def answers(
    texts: Sequence[str], labels: Sequence[str | None], *, scheme: Scheme, seed: int
) -> Numbers | None:
    """Return the probabilities that a model, fitted on what is labelled, gives to all texts.

    :returns: [texts, labels]; None where too little can be learnt, and of numbers, where a model
        does not say how sure it is.
    """
    import numpy as np

    names = scheme.labels
    if scheme.numeric:
        return None
    if scheme.several:
        return doubt_several.answers(texts, labels, names=names, seed=seed)
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

    if isinstance(doubts, doubt_several.Doubts):
        return doubt_several.suspects(doubts, labels, settled, listed)
    if isinstance(doubts, doubt_numbers.Doubts):
        return doubt_numbers.suspects(doubts, labels, settled, listed)
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
