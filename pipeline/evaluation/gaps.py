"""How far groups lie apart: rates, errors and the widest gaps between them, with intervals.

Rates, gaps and ratios are those of fairlearn's ``MetricFrame``. Groups are numbers here, so that
no name of one can do harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.slices import BLOCK, indicators, resampled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

    Counts = NDArray[np.int64]  # [rows, groups]
    Flags = NDArray[np.bool_]

Entry = dict[str, Any]

ACCURACY, SELECTION = "accuracy", "selection_rate"
TRUE_POSITIVE, FALSE_POSITIVE = "true_positive_rate", "false_positive_rate"
PARITY_GAP, PARITY_RATIO = "demographic_parity_gap", "demographic_parity_ratio"
# Which rates a gap is the widest of.
GAPS = {
    "accuracy_gap": (ACCURACY,),
    PARITY_GAP: (SELECTION,),
    "equalized_odds_gap": (TRUE_POSITIVE, FALSE_POSITIVE),
}
LEAST = 1e-300  # a rate of 0 has no logarithm
NUMBERS = ("mean_prediction", "mae", "mean_error")


@dataclass(frozen=True)
class Sure:
    """How sure a gap has to be, and by how many samples that is found out."""

    min_records: int
    samples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Rates:
    """One rate of each label, or of all together, in each group: so many of so many."""

    kind: str
    labels: list[str]  # of the rows; "" where a row is about all labels
    hits: Counts
    counts: Counts

    def of_group(self, group: int) -> dict[str, float | None]:
        """Return the rates of one group by label, None where there is nothing to count."""
        rows = zip(
            self.labels,
            self.hits[:, group].tolist(),
            self.counts[:, group].tolist(),
            strict=True,
        )
        return {label: hits / count if count else None for label, hits, count in rows}


def rates_of(
    task: Task, true: NDArray[Any], found: NDArray[Any], places: Counts, groups: int
) -> dict[str, Rates]:
    """Return how often a record is answered right and a label is given, by group.

    Rates of labels are shares of all records (selection), of those with the label (true positive)
    and of those without it (false positive). Labels that no record has or gets are left out.
    ``accuracy`` of several labels is the share of records with all of them right.

    :param places: the group of each record, int64 [records].
    """
    import numpy as np

    has, gets = indicators(task, true), indicators(task, found)
    right = (has == gets).all(axis=1)
    seen = np.flatnonzero((has | gets).any(axis=0))
    has, gets = has[:, seen], gets[:, seen]
    labels = [task.labels[at] for at in seen]

    def counted(flags: Flags) -> Counts:
        return np.stack([flags[places == at].sum(axis=0) for at in range(groups)], axis=1)

    all_of = np.tile(np.bincount(places, minlength=groups), (len(labels), 1))
    with_label = counted(has)
    return {
        ACCURACY: Rates(ACCURACY, [""], counted(right[:, None]), all_of[:1]),
        SELECTION: Rates(SELECTION, labels, counted(gets), all_of),
        TRUE_POSITIVE: Rates(TRUE_POSITIVE, labels, counted(has & gets), with_label),
        FALSE_POSITIVE: Rates(
            FALSE_POSITIVE, labels, counted(~has & gets), all_of - with_label
        ),
    }  # fmt: skip


def shown_rates(rates: Mapping[str, Rates], groups: int) -> list[dict[str, Any]]:
    """Return the rates of each group, by label where they are of labels."""
    return [
        {kind: by_label[""] if kind == ACCURACY else by_label for kind, by_label in one}
        for one in (
            [(kind, rate.of_group(at)) for kind, rate in rates.items()] for at in range(groups)
        )
    ]


def rate_gaps(rates: Mapping[str, Rates], chosen: Counts, sure: Sure) -> dict[str, Entry]:
    """Return the gaps and the ratio that can be told, with the numbers of the groups.

    :param chosen: the groups that are compared.
    """
    import numpy as np

    claim: dict[str, Entry] = {}
    for name in (*GAPS, PARITY_RATIO):
        parts = [rates[kind] for kind in GAPS.get(name, (SELECTION,))]
        what = [(one.kind, label) for one in parts for label in one.labels]
        hits = np.concatenate([one.hits for one in parts])[:, chosen]
        counts = np.concatenate([one.counts for one in parts])[:, chosen]
        usable = counts >= sure.min_records
        told = usable.sum(axis=1) > 1
        if name == PARITY_RATIO:  # one answer against none is a ratio of 0, and chance
            told &= hits.sum(axis=1) >= sure.min_records
        rows = np.flatnonzero(told)
        if len(rows):
            gap = widest(hits[rows], counts[rows], usable[rows], sure, ratio=name == PARITY_RATIO)
            kind, label = what[rows[gap.pop("row")]]
            gap |= {end: int(chosen[gap[end]]) for end in ("lowest", "highest")}
            claim[name] = gap | ({"label": label, "rate": kind} if label else {})
    return claim


def widest(hits: Counts, counts: Counts, usable: Flags, sure: Sure, *, ratio: bool) -> Entry:
    """Return the widest gap (or the smallest ratio) over rows of rates, and where it is.

    :param usable: which rates may be compared, two at least in each row.
    """
    import numpy as np
    from fairlearn.metrics import (  # type: ignore[import-untyped]
        MetricFrame,
        selection_rate,
    )

    rows, groups = (np.tile(one, 2) for one in usable.nonzero())
    found, all_of = hits[usable], counts[usable]
    yes = np.repeat([1, 0], len(found))
    frame = MetricFrame(  # one line for all hits of a rate and one for the rest
        metrics=selection_rate,
        y_true=yes,
        y_pred=yes,
        control_features=rows,
        sensitive_features=groups,
        sample_params={"sample_weight": np.concatenate([found, all_of - found])},
    )
    each = frame.ratio() if ratio else frame.difference()
    row = int(each.idxmin() if ratio else each.idxmax())
    value = float(each.loc[row])
    own = frame.by_group.loc[row]
    low, high = ends(value, hits, counts, usable, sure, ratio=ratio)
    return {
        "value": value,
        "low": low,
        "high": high,
        "lowest": int(own.idxmin()),
        "highest": int(own[::-1].idxmax()),
        "row": row,
    }


def ends(
    value: float, hits: Counts, counts: Counts, usable: Flags, sure: Sure, *, ratio: bool
) -> tuple[float, float]:
    """Return the interval of the widest gap or the smallest ratio, within 0 and 1."""
    import numpy as np

    half = half_width(hits, counts, usable, sure, ratio=ratio)
    if ratio:
        near = np.where(usable, (hits + 0.5) / (counts + 1), np.nan)
        smooth = (np.nanmin(near, axis=1) / np.nanmax(near, axis=1)).min()
        low, high = smooth * np.exp(-half), smooth * np.exp(half)
    else:
        low, high = value - half, value + half
    return max(0.0, min(float(low), value)), min(1.0, max(float(high), value))


def half_width(hits: Counts, counts: Counts, usable: Flags, sure: Sure, *, ratio: bool) -> float:
    """Return how far the widest gap may lie from the true one, on both sides.

    A gap is never below 0, so the percentiles of its bootstrap are all above it even where groups
    are alike. Here rates are drawn, their errors compared, and the greatest difference of errors
    between two groups in any row bounds the error of the widest gap: a symmetric bootstrap
    interval (Hall 1988) for all gaps at once, at least as sure as it says.

    For gaps, rates are drawn from binomials (the parametric bootstrap of Efron and Tibshirani
    1993, section 6.5) around the rates with two hits and two others added (Agresti and Coull
    1998), because 30 right answers among 30 do not prove that none can be wrong. For ratios,
    which are compared as logarithms, they are drawn from Jeffreys' posterior (Brown, Cai and
    DasGupta 2001), because a handful of hits may have none in a sample.
    """
    import numpy as np

    random = np.random.default_rng(sure.seed)
    shares, near = (hits + 2) / (counts + 4), (hits + 0.5) / (counts + 1)
    below = np.maximum(counts, 1)
    step = max(1, BLOCK // hits.size)
    greatest = []
    for at in range(0, sure.samples, step):
        size = (min(step, sure.samples - at), *hits.shape)
        if ratio:
            drawn = random.beta(hits + 0.5, counts - hits + 0.5, size=size)
            error = np.log(np.maximum(drawn, LEAST) / near)
        else:
            error = random.binomial(counts, shares, size=size) / below - shares
        spread = np.where(usable, error, -np.inf).max(axis=2)
        spread -= np.where(usable, error, np.inf).min(axis=2)
        greatest.append(spread.max(axis=1))
    return float(np.quantile(np.concatenate(greatest), sure.confidence))


# --- errors of numbers


def errors_of(
    true: NDArray[Any], found: NDArray[Any], places: Counts, groups: int
) -> list[dict[str, Any]]:
    """Return mean answer, mean absolute error and mean error of each group."""
    values = columns_of_errors(true, found)
    return [
        dict(zip(NUMBERS, (float(one) for one in values[places == at].mean(axis=0)), strict=True))
        for at in range(groups)
    ]


def columns_of_errors(true: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Return answer, absolute error and error of each record, [records, 3]."""
    import numpy as np

    return np.stack([found, abs(found - true), found - true], axis=1)


def number_gaps(
    true: NDArray[Any], found: NDArray[Any], places: Counts, chosen: Counts, sure: Sure
) -> dict[str, Entry]:
    """Return the gaps between means of groups, in the labels' unit, with the groups' numbers.

    Intervals are made as in ``half_width``, from bootstrap samples of each group's records.
    """
    import numpy as np
    from fairlearn.metrics import MetricFrame, mean_prediction
    from sklearn.metrics import mean_absolute_error

    def mean_error(truth: NDArray[Any], answers: NDArray[Any]) -> float:
        return float((answers - truth).mean())

    inside = np.isin(places, chosen)
    frame = MetricFrame(
        metrics=dict(zip(NUMBERS, (mean_prediction, mean_absolute_error, mean_error), strict=True)),
        y_true=true[inside],
        y_pred=found[inside],
        sensitive_features=places[inside],
    )
    values = columns_of_errors(true, found)
    errors = np.stack(
        [
            resampled(values[places == group], sure.samples, sure.seed + at)
            - values[places == group].mean(axis=0)
            for at, group in enumerate(chosen)
        ]
    )  # [groups, samples, figures]
    half = np.quantile(np.ptp(errors, axis=0), sure.confidence, axis=0)
    claim: dict[str, Entry] = {}
    for name, width in zip(NUMBERS, half, strict=True):
        value, own = float(frame.difference()[name]), frame.by_group[name]
        claim[f"{name}_gap"] = {
            "value": value,
            "low": max(0.0, value - float(width)),
            "high": value + float(width),
            "lowest": int(own.idxmin()),
            "highest": int(own[::-1].idxmax()),
        }
    return claim
