"""Cells of a spreadsheet that cannot run, and the labels that they hold.

A spreadsheet runs a cell that begins with ``=`` and its like. The exported copy guards such cells
with a leading ``'``, and reading takes exactly one guard away again, so that nothing is changed on
the way there and back.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.errors import DataError
from pipeline.i18n import _
from pipeline.steps import targets
from pipeline.steps.scheme import Scheme

# OWASP's list of what starts a formula, with its full-width forms; guards themselves are guarded.
RUNS = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
GUARDED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
DELIMITERS = ",;\t"  # a spreadsheet writes the one that its user's country is used to
LONGEST_CELL = 10_000_000


def guard(cell: str) -> str:
    """Return a cell that no spreadsheet runs."""
    return f"'{cell}" if RUNS.match(cell) else cell


def unguard(cell: str) -> str:
    """Return what a cell was before ``guard``."""
    return cell[1:] if GUARDED.match(cell) else cell


def cell_of(label: str, scheme: Scheme) -> str:
    """Return the cell of a label; ``[]`` has none of several labels."""
    if not scheme.several:
        return label
    names = scheme.parts(label)
    cell = scheme.separator.join(names)
    # A name that holds the separator, or a space at its end, would come back as another.
    kept = cell.strip() and scheme.split(cell) == names
    return cell if kept else json.dumps(names, ensure_ascii=False)


def table(text: str, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file by column, with the line in which each ends.

    :raises DataError: if it has no column ``record`` or ``label``, or is no CSV.
    """
    text = text.removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    before = csv.field_size_limit(LONGEST_CELL)  # it holds for the whole process: put it back
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = next(rows, [])
        if not {"record", "label"} <= set(names):
            raise DataError.at(
                where,
                found=", ".join(names) or _("no line"),
                allowed=_("the columns {columns}", columns="record, label"),
                fix=_("Fill in the file that Mofang exported, with its first line."),
            )
        found = [(rows.line_num, dict(zip(names, row, strict=False))) for row in rows if row]
    except csv.Error as error:
        raise DataError.at(
            where,
            found=str(error),
            allowed=_("a whole CSV file"),
            fix=_("Save the table as CSV again."),
        ) from None
    finally:
        csv.field_size_limit(before)
    yield from found


def label_of(cell: str, scheme: Scheme) -> Any:
    """Return the label that a cell stands for; what is no number stays as it is, to be named."""
    if scheme.numeric:
        try:
            return targets.number(cell)
        except ValueError:
            return cell
    return scheme.split(cell) if scheme.several else cell


def seconds_of(cell: str) -> float | str | None:
    """Return a number of seconds; what is none stays as it is, to be named."""
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
