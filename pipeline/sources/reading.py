"""Files into rows, with the row number in every complaint; ``tables`` knows the formats."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.i18n import _
from pipeline.sources import tables
from pipeline.sources.decoding import encoding_of as encoding_of
from pipeline.sources.decoding import open_text, refuse_other_content
from pipeline.sources.delivery import Count, Row
from pipeline.sources.delivery import problem as problem
from pipeline.sources.tables import MAX_CELL as MAX_CELL

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".xlsx": "xlsx",
}
ROWS_LISTED = 5


class Columns(Protocol):
    """Which column is what (``params.yaml``, ``collect.sources.….reader.columns``)."""

    text: str
    label: str | None
    group: str | None
    created_at: str | None
    meta: list[str]


class Reader(Protocol):
    """How bytes become records (``params.yaml``, ``collect.sources.….reader``)."""

    @property
    def format(self) -> str: ...
    @property
    def encoding(self) -> str: ...
    @property
    def pattern(self) -> str | None: ...
    @property
    def unmatched(self) -> str: ...
    @property
    def members(self) -> str: ...
    @property
    def sheet(self) -> str | None: ...
    @property
    def columns(self) -> Any: ...


def read(path: Path, name: str, reader: Reader, count: Count) -> Iterator[Row]:
    """Yield the rows of one file.

    :param name: how messages and records call the file.
    :param count: is brought up to date while rows are taken.
    :raises SourceError: for what cannot be read, with file and row.
    """
    form = format_of(path, name, reader.format)
    refuse_other_content(path, name, form)
    if form == "txt":
        encoding = encoding_of(path, name, reader.encoding)
        yield from txt_rows(open_text(path, name, encoding, count), name, reader, count)
        return
    for number, values in cells_of(path, name, form, reader, count):
        count.read += 1
        yield from mapped(values, f"{name}:{number}", name, number, reader.columns, count)


def cells_of(
    path: Path, name: str, form: str, reader: Reader, count: Count
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row number and cells of a table."""
    if form == "parquet":
        return tables.parquet_cells(path, name, named(reader.columns), count)
    if form == "xlsx":
        return tables.xlsx_cells(path, name, reader.sheet, count)
    lines = open_text(path, name, encoding_of(path, name, reader.encoding), count)
    return (
        tables.jsonl_cells(lines, name) if form == "jsonl" else tables.csv_cells(lines, name, form)
    )


def format_of(path: Path, name: str, wanted: str) -> str:
    """Return the format asked for, or the one that the file's ending names."""
    found = FORMATS.get(path.suffix.lower()) if wanted == "auto" else wanted
    if found is None:
        raise problem(
            name,
            _("the ending {ending}", ending=path.suffix or "''"),
            ", ".join(sorted(FORMATS)),
            _("Rename the file, or set reader.format."),
        )
    return found


def txt_rows(lines: Iterator[str], name: str, reader: Reader, count: Count) -> Iterator[Row]:
    """Yield a row a line; the pattern takes label and text from it."""
    pattern = re.compile(reader.pattern) if reader.pattern else None
    for number, line in enumerate(lines, 1):
        line = short(line.rstrip("\r\n"), f"{name}:{number}")
        count.read += 1
        match = pattern.fullmatch(line) if pattern else None
        if pattern and not match and line.strip():
            count_unmatched(f"{name}:{number}", line, reader, count)
            continue
        parts = match.groupdict() if match else {"text": line}
        if not (parts["text"] or "").strip():
            count.empty += 1
            continue
        meta = {"file": name, "row": number}
        label, group = parts.get("label") or None, parts.get("group") or None
        yield Row(parts["text"], label, group, None, meta)


def count_unmatched(where: str, line: str, reader: Reader, count: Count) -> None:
    """Count a line that the pattern does not fit, or refuse it."""
    if reader.unmatched == "fail":
        raise problem(
            where,
            repr(line[:60]),
            _("a line like {pattern}", pattern=reader.pattern),
            _("Mend the line or the pattern, or set reader.unmatched to skip."),
        )
    count.unmatched += 1
    if len(count.unmatched_rows) < ROWS_LISTED:
        count.unmatched_rows.append(where)


def mapped(
    values: dict[str, Any], where: str, name: str, number: int, columns: Columns, count: Count
) -> Iterator[Row]:
    """Yield the row that the columns of a table make, or nothing where the text is empty."""
    tables.refuse_missing(named(columns), values, where)
    text = cell(values, columns.text, where)
    if text is None or not text.strip():
        count.empty += 1
        return
    meta = {"file": name, "row": number}
    meta |= {column: plain(values[column], where) for column in columns.meta}
    when = moment(values[columns.created_at], where) if columns.created_at else None
    label, group = cell(values, columns.label, where), cell(values, columns.group, where)
    yield Row(text, label, group, when, meta)


def named(columns: Columns) -> list[str]:
    """Return the columns that are read."""
    every = [columns.text, columns.label, columns.group, columns.created_at, *columns.meta]
    return [column for column in every if column is not None]


def cell(values: dict[str, Any], column: str | None, where: str) -> str | None:
    """Return a cell as text, a list as JSON; no column, null and the empty text are None."""
    value = values[column] if column is not None else None
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    return None if value is None or value == "" else short(str(value), where)


def plain(value: Any, where: str) -> Any:
    """Return a value that JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON knows no NaN
    if value is None or isinstance(value, bool | int | float):
        return value
    return short(str(value), where)


def short(text: str, where: str) -> str:
    """Return a cell's text, refusing one that is none any more."""
    if len(text) > MAX_CELL:
        raise problem(
            where,
            _("a cell of {count} characters", count=len(text)),
            _("cells of up to {limit} characters", limit=MAX_CELL),
            _("Mend this row."),
        )
    return text


def moment(value: Any, where: str) -> datetime | None:
    """Return a point in time; one without a zone is taken as UTC."""
    if value is None or value == "":
        return None
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise problem(
            where,
            repr(value),
            _("a time as ISO 8601, such as 2026-11-22T08:00:00"),
            _("Mend this row."),
        ) from None
