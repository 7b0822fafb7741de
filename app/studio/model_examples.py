"""The records behind one cell of the confusion table: read in order, and never more than needed.

Wrong answers stand in ``errors.csv`` with their texts. Right answers stand nowhere: their places in
``confusion.csv`` are those of the records in ``data/split/test.parquet``, which are checked against
the label, since the split may be newer than the test.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.steps.spreadsheet import guard, unguard
from pipeline.steps.targets import JOINT, MULTI, REGRESSION

CONFUSION, ERRORS = "confusion.csv", "errors.csv"
MOST = 100  # records that a cell shows
Report = Mapping[str, Any]
Row = dict[str, Any]
Reader = Callable[[int], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Cell:
    """One cell: what the records are, and what the model answered.

    Of several labels ``label`` is the one that the cell is about, and both sides are ``has`` or
    ``has not`` of it, as ``confusion.csv`` writes them.
    """

    actual: str
    predicted: str
    label: str | None = None

    @property
    def right(self) -> bool:
        """Return whether the answer is the truth."""
        return self.actual == self.predicted


def cells(report: Report, label: str | None = None) -> list[Row]:
    """Return the confusion table in the long form that charts read.

    ``share`` is that of the row: of all records that are so, how many are answered so.

    :param label: of several labels the one that is looked at.
    """
    table, task = report["confusion"], report["task"]
    if "each" in table:
        at = list(table["labels"]).index(label)
        names, counts = [f"not {label}", str(label)], table["each"][at]
        words: list[Text] = [naming.label(name, task) for name in names]
    else:
        names, counts = list(table["labels"]), table["counts"]
        words = [naming.label(name, task) for name in names]
    rows = []
    for row, (actual, line) in enumerate(zip(names, counts, strict=True)):
        total = sum(line)
        for column, predicted in enumerate(names):
            records = int(line[column])
            rows.append(
                {
                    "actual": actual,
                    "predicted": predicted,
                    "actual_words": words[row],
                    "predicted_words": words[column],
                    "records": records,
                    "share": records / total if total else 0.0,
                    "right": actual == predicted,
                }
            )
    return rows


def wrong_answers(folder: Path) -> Iterator[Row]:
    """Yield the rows of ``errors.csv``, the surest first, without their guards."""
    path = folder / ERRORS
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source):
            yield measured({name: unguard(cell or "") for name, cell in row.items() if name})


def measured(row: Mapping[str, str]) -> Row:
    """Return a row with its measure, confidence or error, as a number."""
    numbers = {name: float(row[name]) for name in ("confidence", "error") if row.get(name)}
    return {**row, **numbers}


def examples(
    folder: Path, report: Report, cell: Cell, read: Reader, limit: int = MOST
) -> list[Row]:
    """Return records of one cell, wrong ones the surest first.

    :param folder: ``models/test``.
    :param read: returns the record at a place of the test part, None where there is none.
    """
    if report["task"] == REGRESSION or cell.right:
        found = placed(folder, report, cell, read, limit)
        ids = {str(one["id"]) for one in found}
        known = {row["id"]: row for row in wrong_answers(folder) if row["id"] in ids}
        return [known.get(str(one["id"]), one) for one in found]
    rows = (row for row in wrong_answers(folder) if belongs(row, report["task"], cell))
    return [row for _at, row in zip(range(limit), rows, strict=False)]


def belongs(row: Row, task: str, cell: Cell) -> bool:
    """Return whether a wrong answer stands in a cell."""
    if task != MULTI:
        return bool(row["label"] == cell.actual and row["predicted"] == cell.predicted)
    has = cell.label in str(row["label"]).split(JOINT)
    gets = cell.label in str(row["predicted"]).split(JOINT)
    return (has, gets) == (cell.actual == cell.label, cell.predicted == cell.label)


def placed(folder: Path, report: Report, cell: Cell, read: Reader, limit: int) -> list[Row]:
    """Return records by their places, those alone whose label is what the table says."""
    found: list[Row] = []
    for place in places(folder / CONFUSION, report, cell):
        record = read(place)
        if record is None:
            break
        if fits(record, report["task"], cell):
            found.append({**record, "predicted": record["label"]})
        if len(found) == limit:
            break
    return found


def fits(record: Mapping[str, Any], task: str, cell: Cell) -> bool:
    """Return whether a record of the split is one that the table speaks of."""
    label = str(record["label"])
    if task == MULTI:
        return (cell.label in label.split(JOINT)) == (cell.actual == cell.label)
    return task == REGRESSION or label == cell.actual


def places(path: Path, report: Report, cell: Cell) -> Iterator[int]:
    """Yield the places of the records of a cell, in order; lines are read one by one."""
    if not path.is_file():
        return
    labels: Sequence[str] = report["confusion"]["labels"]
    several = report["task"] == MULTI
    every = len(labels) if several else 1
    at_label = list(labels).index(str(cell.label)) if several else 0
    wanted = [guard(cell.actual), guard(cell.predicted)]
    with path.open(encoding="utf-8", newline="") as source:
        lines = csv.reader(source)
        next(lines, None)
        for at, line in enumerate(lines):
            if at % every == at_label and line == wanted:
                yield at // every
