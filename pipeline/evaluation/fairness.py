"""Whether a model is as good for one group of people as for another.

Of several labels the one with the widest gap counts. What is too small to speak for itself is
compared with nothing: a group with few records, a rate over few of them, and the group that holds
all small ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.evaluation import naming
from pipeline.evaluation.gaps import (
    PARITY_RATIO,
    Entry,
    Sure,
    errors_of,
    number_gaps,
    rate_gaps,
    rates_of,
    shown_rates,
)
from pipeline.evaluation.grouping import LABEL, OTHER
from pipeline.i18n import Message, _
from pipeline.steps.targets import REGRESSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.tasks.base import Figures, Task

Table = dict[str, Entry]  # declared column → what can be said of it


def table(
    task: Task,
    truth: Sequence[str],
    predicted: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    declared: Sequence[str],
    min_records: int,
    samples: int,
    confidence: float,
    seed: int,
) -> Table:
    """Return what can be said of every declared column.

    Each entry has ``records``, ``groups`` (their rates, or errors, small groups too, marked),
    ``compared`` and ``small`` (names of groups) and ``claim``: by name a gap or ratio with
    ``value``, ``low``, ``high``, the two groups that lie furthest apart as ``lowest`` and
    ``highest``, and for rates of labels the ``label`` and the ``rate``. What too few records
    speak for is not in it. ``claim`` is None where fewer than two groups can be compared, and
    ``why`` says so.

    :param groups: as ``slices.columns_of`` returns them.
    :param declared: ``validate.groups.columns``.
    """
    true, found = task.coded(truth), task.coded(predicted)
    sure = Sure(min_records, samples, confidence, seed)
    made: Table = {}
    for column in declared:
        if column in groups:
            entry = entry_of(task, true, found, groups[column], sure)
            if column == LABEL:  # a group that is what is predicted has no gap worth the name
                entry["claim"] = None
            entry["why"] = explained(column, entry).render("en")
            made[column] = entry
    return made


def entry_of(
    task: Task, true: NDArray[Any], found: NDArray[Any], names: Sequence[str], sure: Sure
) -> Entry:
    """Return what can be said of one column."""
    import numpy as np

    sizes = Counter(names)
    order = sorted(sizes, key=lambda name: (-sizes[name], name))
    small = [name for name in order if sizes[name] < sure.min_records]
    compared = [name for name in order if name not in small and name != OTHER]
    place = {name: at for at, name in enumerate(order)}
    places = np.array([place[name] for name in names], dtype=np.int64)
    rows = {name: {"records": sizes[name], "small": name in small} for name in order}
    chosen = np.array([place[name] for name in compared], dtype=np.int64)
    if task.name == REGRESSION:
        shown = errors_of(true, found, places, len(order))
        claim = number_gaps(true, found, places, chosen, sure) if len(chosen) > 1 else {}
    else:
        rates = rates_of(task, true, found, places, len(order))
        shown = shown_rates(rates, len(order))
        claim = rate_gaps(rates, chosen, sure) if len(chosen) > 1 else {}
    for gap in claim.values():
        gap |= {end: order[gap[end]] for end in ("lowest", "highest")}
    return {
        "records": len(names),
        "min_records": sure.min_records,
        "groups": {name: rows[name] | shown[at] for at, name in enumerate(order)},
        "compared": compared,
        "small": small,
        "claim": claim or None,
    }


def figures(made: Table) -> Figures:
    """Return the worst of each gap and ratio over all columns, with both ends of its interval.

    What no claim is made about is not there. Ends are under ``accuracy_gap_low`` and the like.
    """
    found: Figures = {}
    for entry in made.values():
        for name, gap in (entry["claim"] or {}).items():
            worst = min if name == PARITY_RATIO else max
            for end, key in (("value", name), ("low", f"{name}_low"), ("high", f"{name}_high")):
                found[key] = worst(found.get(key, gap[end]), gap[end])
    return found


def explained(column: str, entry: Entry) -> Message:
    """Return in a sentence what can be said of one column."""
    claim = entry["claim"]
    if claim is None and column == LABEL:
        return _("No claim is made about groups by label, which is what the model predicts.")
    if claim is None:
        return _("No claim can be made about groups by {column}: fewer than two of them have "
                 "{least} records.",
                 column=naming.column(column), least=entry["min_records"])  # fmt: skip
    name = "mae_gap" if "mae_gap" in claim else "accuracy_gap"
    gap = claim[name]
    values: dict[str, object] = {end: naming.number(gap[end]) for end in ("value", "low", "high")}
    values |= {
        "column": naming.column(column), "figure": naming.figure(name.removesuffix("_gap")),
        "lowest": gap["lowest"], "highest": gap["highest"],
    }  # fmt: skip
    if gap["low"] <= 0:
        return _("Between groups by {column}, {figure} differs by {value}, which may be chance "
                 "({low} to {high}); it is lowest for {lowest} and highest for {highest}.",
                 **values)  # fmt: skip
    return _("Between groups by {column}, {figure} differs by {value} ({low} to {high}); it is "
             "lowest for {lowest} and highest for {highest}.", **values)  # fmt: skip
