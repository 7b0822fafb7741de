"""Who belongs together: the groups of records that a model is judged on one by one.

Groups come of the label, the difficulty, the length, the source and the language of a record, and
of every column that ``validate.groups.columns`` names: one of the record's own, or a key of the
JSON in ``meta`` or ``features``, with dots between steps inwards.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import DataError, Problem
from pipeline.evaluation import metrics
from pipeline.i18n import _
from pipeline.steps.targets import MULTI, REGRESSION
from pipeline.steps.values import NotANumber, number

if TYPE_CHECKING:
    from pipeline.tasks.base import Task

Record = Mapping[str, Any]
Names = dict[str, list[str]]  # column → the group of each record

NONE, OTHER = "(none)", "(other)"
LABEL, DIFFICULTY, LENGTH = "label", "difficulty", "length"
OPENED = ("meta", "features")  # columns that hold a JSON object, whose keys are columns too
QUARTERS = 4  # bands of a number at most
LONGEST = 100  # characters of a group's name, as many as a gate may name
LISTED = 30  # columns that an error names


class Groups(Protocol):
    """Section ``validate.groups``."""

    columns: list[str]
    min_records: int
    most: int


def columns_of(task: Task, records: Sequence[Record], knobs: Groups) -> Names:
    """Return the group of each record by column.

    :param records: as a part of the split holds them.
    :raises DataError: with every column of ``knobs`` that no record has.
    """
    found = usual(task, records, knobs.most)
    places = [places_in(record) for record in records]
    problems = []
    for column in knobs.columns:
        if column in found:
            continue
        values = values_of(column, places)
        if values is None:
            problems.append(nobody_has(column, places))
        else:
            found[column] = limited(named(values, knobs.most), knobs.most)
    if problems:
        raise DataError(*problems)
    return found


def usual(task: Task, records: Sequence[Record], most: int) -> Names:
    """Return the groups that are always looked at, without a column that nobody has.

    Several labels at once overlap, so that they are no groups; ``metrics.per_label`` shows them.
    """
    found: Names = {}
    labels = [record["label"] for record in records]
    if task.name == REGRESSION and records:
        names, bands, _edges = metrics.bands(task.coded(labels))
        found[LABEL] = [names[band] for band in bands]
    elif task.name != MULTI:
        found[LABEL] = labels
    if any(record.get(DIFFICULTY) is not None for record in records):
        found[DIFFICULTY] = [text_of(record.get(DIFFICULTY)) for record in records]
    found[LENGTH] = banded([len(record["text"]) for record in records])
    for column in ("source", "language"):
        if any(record.get(column) is not None for record in records):
            found[column] = limited([text_of(record.get(column)) for record in records], most)
    return found


def places_in(record: Record) -> tuple[Record, ...]:
    """Return where a record's columns are looked for, in this order."""
    inner = [opened(record.get(name)) for name in OPENED]
    return (dict(record) | dict(zip(OPENED, inner, strict=True)), *inner)


def opened(text: Any) -> dict[str, Any]:
    """Return the JSON object that a cell holds, an empty one where it holds none."""
    content = json.loads(text) if isinstance(text, str) and text else text
    return content if isinstance(content, dict) else {}


def values_of(column: str, places: Sequence[Sequence[Record]]) -> list[Any] | None:
    """Return the values of a column, None where one is missing; None if no record has the column.

    The first place with a value counts for all records, so that a column means one thing.
    """
    empty = None
    for place in range(len(OPENED) + 1):
        found = [looked_up(one[place], column) for one in places]
        present = [values[0] for values in found if values]
        if any(text_of(value) != NONE for value in present):
            return [values[0] if values else None for values in found]
        if present and empty is None:
            empty = [None] * len(found)
    return empty


def looked_up(content: Record, path: str) -> tuple[Any, ...]:
    """Return the value below ``path``, of which dots part the steps; nothing if it is not there."""
    if path in content:
        return (content[path],)
    head, _dot, rest = path.partition(".")
    inner = content.get(head)
    return looked_up(inner, rest) if rest and isinstance(inner, dict) else ()


def nobody_has(column: str, places: Sequence[Sequence[Record]]) -> Problem:
    """Return the problem of a column that no record has."""
    every = {name for one in places for place in one for name in place}
    known = sorted(every - {"id", "text", *OPENED})
    return Problem(
        "params.yaml, validate.groups.columns",
        _("{column}, which no record has", column=column),
        ", ".join(text_of(name) for name in known[:LISTED]),
        _("Correct the name, or leave the column out."),
    )


def text_of(value: object) -> str:
    """Return the name of the group that a value stands for.

    What cannot be seen is taken out and a long text is cut, so that a name can be read, and
    written into any file.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    if isinstance(value, int | float):
        return f"{value:.15g}"
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True)
    seen = "".join(one if one.isprintable() else " " for one in str(value))
    text = " ".join(seen.split())
    if text in (NONE, OTHER):  # these are ours
        return f'"{text}"'
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…") or NONE


def named(values: Sequence[Any], most: int) -> list[str]:
    """Return the group of each value; numbers of which there are too many come into bands."""
    texts = [text_of(value) for value in values]
    if len(set(texts)) <= most:
        return texts
    try:
        numbers = [number_of(value) for value in values]
    except NotANumber:
        return texts
    known = iter(banded([one for one in numbers if one is not None]))
    return [NONE if one is None else next(known) for one in numbers]


def number_of(value: Any) -> float | None:
    """Return a value as a number, None where it is missing.

    :raises NotANumber: for anything else.
    """
    if isinstance(value, bool):
        raise NotANumber
    return number(value)


def banded(values: Sequence[float]) -> list[str]:
    """Return the band of each number, named by the least and the greatest in it, as in ``1-20``.

    Bands end at quartiles. There are fewer where many numbers are equal; none is empty.
    """
    import numpy as np

    if not values:
        return []
    every = np.array(values, dtype=np.float64)
    shares = np.arange(1, QUARTERS + 1) / QUARTERS
    ends = np.unique(np.quantile(every, shares, method="lower"))
    bands = np.searchsorted(ends, every, side="left")
    names = []
    for band, high in enumerate(ends):
        low = every[bands == band].min()
        names.append(shown(low) if low == high else f"{shown(low)}-{shown(high)}")
    return [names[band] for band in bands]


def shown(value: float) -> str:
    """Return a number as the end of a band; a negative one in parentheses."""
    text = f"{value:.15g}"
    return f"({text})" if value < 0 else text


def limited(names: Sequence[str], most: int) -> list[str]:
    """Return names of at most ``most`` groups: the smallest ones become one; missing ones stay."""
    sizes = Counter(names)
    if len(sizes) <= most:
        return list(names)
    order = sorted(sizes, key=lambda name: (name != NONE, -sizes[name], name))
    kept = set(order[: most - 1])
    return [name if name in kept else OTHER for name in names]
