"""A table of texts in, the same table with the answers out; both as CSV.

Every row comes back, with an answer or with the reason why it has none. What is written runs in no
spreadsheet.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.service.demo.service import Reply
from app.service.limits import check_text
from pipeline.errors import DataError, MofangError
from pipeline.i18n import _
from pipeline.schema.serving import Demo, Limits
from pipeline.steps.spreadsheet import DELIMITERS, guard
from pipeline.steps.targets import REGRESSION, SINGLE

# Of one request, so that the rows of one visitor leave room for other visitors.
AT_ONCE, CHARACTERS_AT_ONCE = 32, 8_000
PATIENCE = 30.0  # seconds for which one request is tried again while the service is busy
MOST_COLUMNS = 256
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
EMPTY_BEFORE = " \t\r\n\v\f\u200b\u200c\u200d\u2060\ufeff\u00a0\u3000"
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?")

Ask = Callable[[Sequence[str]], Awaitable[Reply]]


@dataclass(frozen=True)
class Table:
    """A CSV file that was uploaded."""

    header: list[str]
    rows: list[list[str]]  # each as long as the header
    column: int  # which one holds the texts
    delimiter: str
    encoding: str

    @property
    def texts(self) -> list[str]:
        """The text of each row."""
        return [row[self.column] for row in self.rows]


@dataclass(frozen=True)
class Row:
    """What a row was answered, or why not."""

    answer: str = ""  # as records hold it
    confidence: str = ""  # of the answer, 0 to 1; only where there is one label for each text
    version: str = ""  # of the release that answered
    problem: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells that are added to the row, in the order of ``ADDED``."""
        return [self.answer, self.confidence, self.version, self.problem]


ADDED = ("answer", "confidence", "model", "problem")


def read(content: bytes, column: str, knobs: Demo) -> Table:
    """Read an uploaded table.

    :param column: the heading of the texts; a table of one column needs none.
    :raises DataError: if it is no CSV, too long, or has no such column.
    """
    text, encoding = decoded(content)
    delimiter = max(DELIMITERS, key=text.split("\n", 1)[0].count)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header, *rows = [line for line in lines if line] or [[]]
    except csv.Error as error:
        raise DataError.at(
            FILE,
            found=str(error),
            allowed=_("a whole CSV file"),
            fix=_("Save the table as CSV again."),
        ) from None
    if not rows or len(rows) > knobs.rows:
        raise DataError.at(
            FILE,
            found=_("{count} rows", count=len(rows)),
            allowed=_("1 to {limit} rows below the heading", limit=knobs.rows),
            fix=_("Split the table, or write a row into it."),
        )
    check_shape(header, rows)
    return Table(header, rows, place_of(column.strip(), header), delimiter, encoding)


FILE = "CSV"


def decoded(content: bytes) -> tuple[str, str]:
    """Return a file as text, and its encoding: UTF-8, UTF-16 with a mark, or GB 18030 (and GBK).

    :raises DataError: for anything else.
    """
    marked = content.startswith(BYTE_ORDER_MARKS)
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding.removesuffix("-sig")
    raise DataError.at(
        FILE,
        found=_("bytes that are not text"),
        allowed=_("a CSV file in UTF-8, UTF-16 or GB 18030"),
        fix=_("Save the table as “CSV UTF-8” in your spreadsheet program."),
    )


def check_shape(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Refuse a table whose rows do not fit its heading.

    :raises DataError: naming the first such row.
    """
    if len(header) > MOST_COLUMNS:
        raise DataError.at(
            FILE,
            found=_("{count} columns", count=len(header)),
            allowed=_("up to {limit} columns", limit=MOST_COLUMNS),
            fix=_("Take out the columns that are not needed."),
        )
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError.at(
                FILE,
                found=_("{count} cells in row {number}", count=len(row), number=number),
                allowed=_("{count} cells, as in the heading", count=len(header)),
                fix=_("Put texts that hold a comma between quotes, or save the table again."),
            )


def place_of(column: str, header: Sequence[str]) -> int:
    """Return which column holds the texts.

    :raises DataError: naming those that there are.
    """
    names = [name.strip() for name in header]
    if column in names:
        return names.index(column)
    if len(names) == 1:
        return 0
    raise DataError.at(
        FILE,
        found=", ".join(names)[:500],
        allowed=_("a column named {column}", column=column or "text"),
        fix=_("Write above which column the texts stand in."),
    )


async def answered(table: Table, ask: Ask, task: str, limits: Limits, language: str) -> list[Row]:
    """Return what each row was answered.

    :param ask: asks the model; while it is busy the same is asked again for ``PATIENCE``.
    """
    found = [refused(text, limits, language) for text in table.texts]
    good = [at for at, one in enumerate(found) if not one.problem]
    busy: MofangError | None = None
    for some in shares(table.texts, good, min(AT_ONCE, limits.texts)):
        try:
            if busy:
                raise busy
            reply = await patiently(ask, [table.texts[at] for at in some])
        except MofangError as error:
            busy = error if waiting(error) is not None else None  # it would be so for the rest too
            rows = [Row(problem=told(error, language))] * len(some)
        else:
            rows = rows_of(reply, task)
        for at, row in zip(some, rows, strict=True):
            found[at] = row
    return found


def shares(texts: Sequence[str], good: Sequence[int], most: int) -> list[list[int]]:
    """Return the positions of texts that are asked about together, in order.

    :param good: positions of the texts that are asked about.
    :param most: texts at once; their characters are bounded as well, unless one alone has more.
    """
    found: list[list[int]] = []
    room = 0
    for at in good:
        if not found or len(found[-1]) == most or len(texts[at]) > room:
            found.append([])
            room = CHARACTERS_AT_ONCE
        found[-1].append(at)
        room -= len(texts[at])
    return found


def waiting(error: MofangError) -> float | None:
    """Return after how many seconds it may be better, None where it stays as it is."""
    seconds: float | None = getattr(error, "retry_after", None)
    return seconds


async def patiently(ask: Ask, texts: Sequence[str]) -> Reply:
    """Ask, and ask again while the service is busy.

    :raises MofangError: if it stays busy, or will not answer at all.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await ask(texts)
        except MofangError as error:
            wait = waiting(error)
            if wait is None or time.monotonic() + wait > end:
                raise
        await asyncio.sleep(max(0.1, wait))


def refused(text: str, limits: Limits, language: str) -> Row:
    """Return why a text cannot be asked about; an empty row where it can."""
    try:
        check_text(text, "text", limits.characters)
    except MofangError as error:
        return Row(problem=told(error, language))
    return Row()


def told(error: MofangError, language: str) -> str:
    """Return in one line what is wrong, and what to do."""
    return " ".join(one.render(language) for one in error.problems)


def rows_of(reply: Reply, task: str) -> list[Row]:
    """Return the rows of one request."""
    rows = []
    for answer, scores in zip(reply.answers, reply.predictions, strict=True):
        share = f"{dict(scores)[answer]:.4f}" if task == SINGLE else ""
        number = f"{float(answer):.6g}" if task == REGRESSION else answer
        rows.append(Row(number, share, reply.version))
    return rows


def written(table: Table, rows: Sequence[Row]) -> bytes:
    """Return the table with its answers, in UTF-8 with a mark, by which spreadsheets know it.

    Every cell stands between quotes, so that a spreadsheet which cuts at another sign finds no
    new cell inside.
    """
    target = io.StringIO(newline="")
    writer = csv.writer(target, delimiter=table.delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow([harmless(name) for name in [*table.header, *added(table)]])
    for row, one in zip(table.rows, rows, strict=True):
        writer.writerow([harmless(cell) for cell in [*row, *one.cells]])
    return target.getvalue().encode("utf-8-sig", "replace")


def added(table: Table) -> list[str]:
    """Return the names of the new columns; none of them is in the table yet."""
    names: list[str] = []
    for name in ADDED:
        while name in (*table.header, *names):
            name = f"{name}_"
        names.append(name)
    return names


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet runs, even one that skips what cannot be seen before it.

    A number stays a number.
    """
    if NUMBER.fullmatch(cell):
        return cell
    seen = cell.lstrip(EMPTY_BEFORE)
    return f"'{cell}" if guard(cell) != cell or guard(seen) != seen else cell
