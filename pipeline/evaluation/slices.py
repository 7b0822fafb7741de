"""For whom a model is good: its figures on groups of records, each with an interval.

A group with few records is shown and marked; nothing is claimed of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.evaluation import metrics
from pipeline.evaluation.grouping import DIFFICULTY, LABEL, NONE, OTHER
from pipeline.evaluation.grouping import columns_of as columns_of
from pipeline.steps import difficulty
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.tasks.base import Figures, Task

Row = dict[str, Any]
Table = dict[str, dict[str, Row]]  # column → group → figures

BLOCK = 2_000_000  # numbers drawn at once: bounds memory
LEADING = re.compile(r"\(?(-?\d+(\.\d+)?)")


def table(
    task: Task,
    truth: Sequence[str],
    predicted: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    min_records: int,
    samples: int,
    confidence: float,
    seed: int,
) -> Table:
    """Return the figures of every group of every column.

    Each has ``records``, ``small`` (whether these are too few for a claim), figures, and in
    ``low`` and ``high`` the interval of the one that ``figure`` names: ``accuracy`` (``recall`` by
    label), ``micro_f1`` for several labels, ``mae`` for numbers. Precision and F1 of a label
    count all records, everything else those of the group.

    :param groups: as ``columns_of`` returns them.
    """
    import numpy as np

    true, found = task.coded(truth), task.coded(predicted)
    if task.name != REGRESSION:
        true, found = indicators(task, true), indicators(task, found)
    each = by_each_label(task, true, found) if task.name == SINGLE and groups.get(LABEL) else {}
    made: Table = {}
    for column, names in groups.items():
        array, by_label = np.array(names, dtype=object), column == LABEL
        made[column] = {}
        for name in ordered(task, truth, column, names):
            inside = array == name
            records = int(inside.sum())
            row: Row = {"records": records, "small": records < min_records}
            if task.name == REGRESSION:
                row |= number_figures(true[inside], found[inside], by_label=by_label)
            else:
                row |= label_figures(task, true[inside], found[inside], by_label=by_label)
            if by_label and task.name == SINGLE:
                row |= each[name]
            row["figure"] = figure_of(task, by_label=by_label)
            row["low"], row["high"] = interval(
                task, true[inside], found[inside], row[row["figure"]],
                samples=samples, confidence=confidence, seed=seed,
            )  # fmt: skip
            made[column][name] = row
    return made


def ordered(task: Task, truth: Sequence[str], column: str, names: Sequence[str]) -> list[str]:
    """Return the groups of a column in the order in which people read them.

    Labels as the task has them, difficulties from easy to hard, numbers rising, all else by size;
    what is missing and what was put together last.
    """
    sizes = Counter(names)
    if column == LABEL and task.name == REGRESSION and truth:
        known = metrics.bands(task.coded(truth))[0]
    elif column == LABEL:
        known = task.labels
    else:
        known = list(difficulty.BANDS) if column == DIFFICULTY else []
    first = {name: at for at, name in enumerate(known)}
    plain = [name for name in sizes if name not in (NONE, OTHER)]
    leading = {name: LEADING.match(name) for name in plain}
    rising = all(leading.values())

    def place(name: str) -> tuple[bool, bool, float, float, str]:
        match = leading.get(name) if rising else None
        value = float(match[1]) if match else 0.0
        at = first.get(name, len(first))
        return name == OTHER, name == NONE, at, value if rising else -sizes[name], name

    return sorted(sizes, key=place)


def indicators(task: Task, coded: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels each record has, bool [records, labels], from coded labels.

    scikit-learn counts both kinds of labels in this form, and it does not take one label each of
    many for numbers.
    """
    import numpy as np

    flags: NDArray[np.bool_] = (
        coded if task.name == MULTI else coded[:, None] == np.arange(len(task.labels))
    )
    return flags


def figure_of(task: Task, *, by_label: bool) -> str:
    """Return which figure of a group has the interval."""
    if task.name == REGRESSION:
        return "mae"
    if task.name == MULTI:
        return "micro_f1"
    return "recall" if by_label else "accuracy"


def number_figures(true: NDArray[Any], found: NDArray[Any], *, by_label: bool) -> Figures:
    """Return the errors of one group, in the labels' unit; above 0 ``mean_error`` is too high.

    R² is left out in a band of the truth, where it would say how narrow the band is, and of a
    single record.
    """
    from sklearn import metrics as learn

    figures = {
        "mae": learn.mean_absolute_error(true, found),
        "rmse": learn.root_mean_squared_error(true, found),
        "mean_error": (found - true).mean(),
    }
    if len(true) > 1 and not by_label:
        figures["r2"] = learn.r2_score(true, found)
    return {name: float(value) for name, value in figures.items()}


def label_figures(
    task: Task, true: NDArray[np.bool_], found: NDArray[np.bool_], *, by_label: bool
) -> Figures:
    """Return the figures of one group from ``indicators``, by scikit-learn.

    Macro-F1 is the mean over the labels that the group's records have, since no answer could earn
    the others. By label there is only one, and it is left out.
    """
    import numpy as np
    from sklearn import metrics as learn

    several = task.name == MULTI
    right = "subset_accuracy" if several else "accuracy"
    figures: Figures = {right: float(learn.accuracy_score(true, found))}
    if several:
        figures["hamming_loss"] = float(learn.hamming_loss(true, found))
        figures["micro_f1"] = float(learn.f1_score(true, found, average="micro", zero_division=0))
    present = np.flatnonzero(true.any(axis=0))
    if len(present) and not by_label:
        figures["macro_f1"] = float(
            learn.f1_score(true, found, labels=present, average="macro", zero_division=0)
        )
    return figures


def by_each_label(
    task: Task, true: NDArray[np.bool_], found: NDArray[np.bool_]
) -> dict[str, Figures]:
    """Return recall, precision and F1 of each label over all records, from ``indicators``."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, _records = precision_recall_fscore_support(true, found, zero_division=0)
    columns = {"recall": recall, "precision": precision, "f1": f1}
    return {
        label: {name: float(values[at]) for name, values in columns.items()}
        for at, label in enumerate(task.labels)
    }


# --- how sure that is


def interval(
    task: Task,
    true: NDArray[Any],
    found: NDArray[Any],
    value: float,
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Return the interval of a group's figure.

    A share of records gets Wilson's (1927), because a bootstrap of 30 right answers among 30 would
    be sure that there is never a wrong one; other figures get the percentile bootstrap (Efron and
    Tibshirani 1993, chapter 13).
    """
    import numpy as np

    if task.name == SINGLE:
        from scipy.stats import binomtest

        right = int((true == found).all(axis=1).sum())
        bounds = binomtest(right, len(true)).proportion_ci(confidence, method="wilson")
        return float(bounds.low), float(bounds.high)
    if task.name == REGRESSION:
        drawn = resampled(abs(found - true)[:, None], samples, seed)[:, 0]
    else:
        hits = (true & found).sum(axis=1)
        both = true.sum(axis=1) + found.sum(axis=1)
        shares = resampled(np.stack([2 * hits, both], axis=1), samples, seed)
        # A sample without any label has nothing to count, which scikit-learn calls 0.
        drawn = shares[:, 0] / np.where(shares[:, 1] > 0, shares[:, 1], 1.0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return min(float(low), value), max(float(high), value)


def resampled(values: NDArray[Any], samples: int, seed: int) -> NDArray[np.float64]:
    """Return the means of bootstrap samples of the rows of ``values``.

    :param values: [records, figures].
    :returns: [samples, figures].
    """
    import numpy as np

    random = np.random.default_rng(seed)
    step = max(1, BLOCK // max(1, values.size))
    means = [
        values[random.integers(0, len(values), (min(step, samples - at), len(values)))].mean(axis=1)
        for at in range(0, samples, step)
    ]
    together: NDArray[np.float64] = np.concatenate(means)
    return together
