"""Doubt where a record has any number of labels: each label is there or not.

Each label has a model of its own, and confident learning looks at each alone, as cleanlab's
``find_multilabel_issues_per_class`` does. A record's score is cleanlab's: an exponential moving
average over its labels, the worst last (Thyagarajan, Snorrason, Northcutt and Mueller 2022, arXiv
2211.13895).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.modeling import folds as common
from pipeline.steps import targets
from pipeline.steps.strata import rarest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

WORST = 0.8  # weight of each lower value in the average, as cleanlab's
SMALLEST = 1e-12  # a probability of 0 would be infinitely far off


@dataclass(frozen=True)
class Doubts(common.Doubts):
    """What the models thought; each column of the probabilities is of one label alone."""

    def of(self, labels: Sequence[str | None]) -> list[float | None]:
        """Return for each record the geometric mean of the probabilities of what it says.

        That a label is there, or that it is not. -ln of this mean is the mean binary cross-entropy.
        """
        import numpy as np

        found: list[float | None] = []
        for label, row in zip(labels, self.probabilities, strict=True):
            judged = np.flatnonzero(np.isfinite(row))
            if label is None or not len(judged):
                found.append(None)
                continue
            given = set(targets.several(label))
            holds = np.array([self.labels[at] in given for at in judged])
            found.append(likelihood(row[judged], holds))
        return found


def likelihood(chances: Numbers, holds: NDArray[np.bool_]) -> float:
    """Return the geometric mean of the probabilities that labels are there, or are not.

    :param chances: [labels], that it is there.
    :param holds: [labels], whether the record says so.
    """
    import numpy as np

    right = np.clip(np.where(holds, chances, 1 - chances), SMALLEST, 1)
    return round(float(np.exp(np.log(right).mean())), common.DIGITS)


def membership(labels: Sequence[str], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which of the task's labels each record has, [records, labels]."""
    import numpy as np

    column = {name: at for at, name in enumerate(names)}
    found = np.zeros((len(labels), len(names)), dtype=np.bool_)
    for at, label in enumerate(labels):
        found[at, [column[name] for name in targets.several(label)]] = True
    return found


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

    :param labels: joined ones; None where nobody labelled a record.
    :param families: records of a family are in one fold.
    :param names: labels of the task.
    """
    import numpy as np

    empty = np.full((len(texts), len(names)), np.nan)
    usable = [at for at, label in enumerate(labels) if label is not None]
    given = [str(labels[at]) for at in usable]
    own = [families[at] for at in usable]
    wanted = membership(given, names)
    columns = learnable(wanted, own)
    left = np.setdiff1d(np.flatnonzero(wanted.any(axis=0)), columns)
    rare = {names[at]: int(wanted[:, at].sum()) for at in left}
    if not len(columns):
        return Doubts(list(names), empty, dict(sorted(rare.items())), common.FEW_LABELS)
    features = common.vectorized([texts[at] for at in usable], len(names))
    if features is None:
        return Doubts(list(names), empty, dict(sorted(rare.items())), common.NO_WORDS)
    position = {name: at for at, name in enumerate(("", *names))}
    strata = [position[one] for one in rarest(given)]
    fold = common.assigned(own, strata, folds, seed)
    judged = np.full(wanted.shape, np.nan)
    for one in range(folds):
        inside = np.flatnonzero(fold == one)
        outside = np.flatnonzero(fold != one)
        for at in columns if len(inside) else ():
            # A label that stands in this fold only was never learnt: nothing can be said about it.
            if 0 < wanted[outside, at].sum() < len(outside):
                model = common.fitted(features[outside], wanted[outside, at].astype(int), seed)
                judged[inside, at] = model.predict_proba(features[inside])[:, 1]
    empty[usable] = judged.round(common.DIGITS)
    return Doubts(list(names), empty, dict(sorted(rare.items())), None)


def learnable(wanted: NDArray[np.bool_], families: Sequence[str]) -> NDArray[np.int64]:
    """Return the labels that two families have and two have not, as positions."""
    import numpy as np

    found = []
    for at, column in enumerate(wanted.T.tolist()):
        kinds = Counter(holds for _family, holds in set(zip(families, column, strict=True)))
        if min(kinds[True], kinds[False]) > 1:
            found.append(at)
    return np.array(found, dtype=np.int64)


def answers(
    texts: Sequence[str], labels: Sequence[str | None], *, names: Sequence[str], seed: int
) -> Numbers | None:
    """Return the probability of each label that models, fitted on what is labelled, give all texts.

    :returns: [texts, labels], 0 for a label that no record has; None where none can be learnt.
    """
    import numpy as np

    known = [at for at, label in enumerate(labels) if label is not None]
    wanted = membership([str(labels[at]) for at in known], names)
    often = wanted.sum(axis=0)
    columns = np.flatnonzero((often > 0) & (often < len(known)))
    features = common.vectorized(texts, len(names)) if len(columns) else None
    if features is None:
        return None
    result = np.zeros((len(texts), len(names)))
    result[:, often == len(known)] = 1.0
    for at in columns:
        model = common.fitted(features[known], wanted[:, at].astype(int), seed)
        result[:, at] = model.predict_proba(features)[:, 1]
    return result


def suspects(
    doubts: Doubts, labels: Sequence[str | None], settled: Sequence[bool], listed: int
) -> tuple[int, list[common.Suspect]]:
    """Return how many records have a label too many or too few, and the likeliest, worst first.

    :param labels: of each record, None where there is none.
    :param settled: what a person has decided on; it is not listed again.
    :param listed: how many at most.
    """
    import numpy as np

    known = np.array([label is not None for label in labels], dtype=np.bool_)
    columns = np.flatnonzero(np.isfinite(doubts.probabilities[known]).any(axis=0))
    whole = known & np.isfinite(doubts.probabilities[:, columns]).all(axis=1)
    at = np.flatnonzero(whole)
    if not len(at) or not len(columns):
        return 0, []
    wanted = membership([str(labels[one]) for one in at.tolist()], doubts.labels)
    holds, chances = wanted[:, columns], doubts.probabilities[np.ix_(at, columns)]
    wrong, scores = issues(holds, chances)
    doubtful = wrong.any(axis=1) & ~np.array(settled, dtype=np.bool_)[at]
    order = [one for one in np.argsort(scores, kind="stable") if doubtful[one]]
    found = []
    for one in order[:listed]:
        suggested = wanted[one].copy()
        suggested[columns[wrong[one]]] ^= True
        names = [doubts.labels[column] for column in np.flatnonzero(suggested)]
        found.append(
            common.Suspect(
                at=int(at[one]),
                label=str(labels[int(at[one])]),
                suggested=targets.joined(names, doubts.labels),
                probability=likelihood(chances[one], holds[one]),
                probability_suggested=likelihood(chances[one], suggested[columns]),
                score=round(float(scores[one]), common.DIGITS),
            )
        )
    return len(order), found


def issues(holds: NDArray[np.bool_], chances: Numbers) -> tuple[NDArray[np.bool_], Numbers]:
    """Return which label of which record is probably wrong, and a score of each record.

    :param holds: [records, labels], what the records say.
    :param chances: [records, labels], what models think.
    """
    import warnings

    import numpy as np

    wrong = np.zeros(holds.shape, dtype=np.bool_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divisions by nothing, which it mends itself
        from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]

        for at, (own, chance) in enumerate(zip(holds.T, chances.T, strict=True)):
            if 0 < own.sum() < len(own):
                both = np.stack([1 - chance, chance], axis=1) + 1e-9
                both /= both.sum(axis=1, keepdims=True)
                wrong[:, at] = find_label_issues(own.astype(int), both, n_jobs=1)
    return wrong & ((chances > 0.5) != holds), averaged(np.where(holds, chances, 1 - chances))


def averaged(confidence: Numbers) -> Numbers:
    """Return the exponential moving average of each row, from its highest value to its lowest.

    :param confidence: [records, labels], in what the record says.
    """
    import numpy as np

    ordered = -np.sort(-confidence, axis=1)
    found: Numbers = ordered[:, 0]
    for column in ordered.T[1:]:
        found = WORST * column + (1 - WORST) * found
    return found
