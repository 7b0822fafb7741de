"""csv, tsv, jsonl, parquet and txt into rows, with the row number in every complaint."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import SourceError, Text
from pipeline.i18n import _
from pipeline.sources.delivery import Count, Row

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
}
SAMPLE = 1 << 20  # bytes from which an encoding is guessed
MAX_CELL = 1_000_000  # characters; a longer cell is a broken file
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
    def columns(self) -> Any: ...


def read(path: Path, name: str, reader: Reader, count: Count) -> Iterator[Row]:
    """Yield the rows of one file.

    :param name: how messages and records call the file.
    :param count: is brought up to date while rows are taken.
    :raises SourceError: for what cannot be read, with file and row.
    """
    form = format_of(path, name, reader.format)
    if form == "parquet":
        cells = parquet_cells(path, name)
    else:
        encoding = encoding_of(path, name, reader.encoding)
        lines = open_text(path, name, encoding)
        if form == "txt":
            yield from txt_rows(lines, name, reader, count)
            return
        cells = jsonl_cells(lines, name) if form == "jsonl" else csv_cells(lines, name, form)
    for number, values in cells:
        count.read += 1
        yield from mapped(values, f"{name}:{number}", name, number, reader.columns, count)


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


def encoding_of(path: Path, name: str, wanted: str) -> str:
    """Return the codec asked for, or the one that the first megabyte is written in."""
    if wanted != "auto":
        try:
            codec = codecs.lookup(wanted).name
        except LookupError:
            raise no_encoding(name, wanted) from None
        return "utf-8-sig" if codec == "utf-8" else codec
    with path.open("rb") as source:
        sample = source.read(SAMPLE)
    with contextlib.suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(sample)
        return "utf-8-sig"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        raise problem(
            name, _("bytes that are not text"), _("text"), _("Check that this is the right file.")
        )
    return best.encoding


def open_text(path: Path, name: str, encoding: str) -> Iterator[str]:
    """Yield the lines of a text file, with their ends."""
    if path.stat().st_size == 0:
        raise problem(name, _("an empty file"), _("at least one record"), _("Check the download."))
    try:
        with path.open(encoding=encoding, newline="") as source:
            yield from source
    except (UnicodeError, LookupError) as error:
        if not isinstance(error, UnicodeDecodeError):
            raise no_encoding(name, encoding) from None
        raise problem(
            f"{name}:{row_of(path, encoding)}",
            _("byte 0x{byte:02X}, which is not {encoding}", byte=error.object[error.start],
              encoding=encoding.removesuffix("-sig")),
            _("the encoding that the file is written in"),
            _("Set reader.encoding to auto, or to gb18030 or latin-1."),
        ) from None  # fmt: skip


def row_of(path: Path, encoding: str) -> int:
    """Return the row of the first bytes that the encoding does not know."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number = 0
    with path.open("rb") as source, contextlib.suppress(UnicodeError):
        for number, line in enumerate(source, 1):  # noqa: B007 (the row it stopped at)
            decoder.decode(line)
    return number


def no_encoding(name: str, found: str) -> SourceError:
    """Return the error for an encoding that text cannot have."""
    return problem(
        name,
        found,
        _("an encoding such as utf-8, gb18030 or latin-1"),
        _("Set reader.encoding to one of them, or to auto."),
    )


def txt_rows(lines: Iterator[str], name: str, reader: Reader, count: Count) -> Iterator[Row]:
    """Yield a row a line; the pattern takes label and text from it."""
    pattern = re.compile(reader.pattern) if reader.pattern else None
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
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


def csv_cells(lines: Iterator[str], name: str, form: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row number and cells of a table with a header; cells stay text (``NA``)."""
    csv.field_size_limit(MAX_CELL)
    table = csv.reader(lines, delimiter="," if form == "csv" else "\t", strict=True)
    rows = 0
    try:
        header = next(table, [])
        refuse_repeated(header, name)
        for cells in table:
            if not cells:
                continue
            if len(cells) != len(header):
                raise problem(
                    f"{name}:{table.line_num}",
                    _("{count} cells", count=len(cells)),
                    _("{count}, as in the header", count=len(header)),
                    _("Put quotes around cells with the separator in them."),
                )
            rows += 1
            yield table.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise problem(
            f"{name}:{table.line_num}",
            str(error),
            _("a table with quotes in pairs and cells below {limit} characters", limit=MAX_CELL),
            _("Mend this row."),
        ) from None
    if not rows:
        raise problem(
            name, _("a header and no rows"), _("at least one record"), _("Check the file.")
        )


def refuse_repeated(header: list[str], name: str) -> None:
    """Refuse a header that names a column twice: nobody could say which one is meant."""
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise problem(
            f"{name}:1",
            _("the column {columns} twice", columns=", ".join(map(repr, twice))),
            _("each column once"),
            _("Rename or remove one of them."),
        )


def jsonl_cells(lines: Iterator[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row number and values of one JSON object a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if "\\u" in line:  # half of a character, which no file can hold
                json.dumps(values, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise problem(
                f"{name}:{number}", str(error), _("one JSON object a line"), _("Mend this line.")
            ) from None
        if not isinstance(values, dict):
            raise problem(
                f"{name}:{number}",
                repr(line[:60]),
                _("one JSON object a line"),
                _("Mend this line."),
            )
        yield number, values


def parquet_cells(path: Path, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row number and values, batch by batch: a footer's claim of a size is never trusted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(batch_size=4_096):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
    except (OSError, pa.ArrowException) as error:
        raise problem(
            f"{name}:{number + 1}",
            str(error).splitlines()[0],
            _("a whole parquet file"),
            _("Copy or download the file again."),
        ) from None
    if number == 0:
        raise problem(
            name, _("a header and no rows"), _("at least one record"), _("Check the file.")
        )


def mapped(
    values: dict[str, Any], where: str, name: str, number: int, columns: Columns, count: Count
) -> Iterator[Row]:
    """Yield the row that the columns of a table make, or nothing where the text is empty."""
    wanted = [columns.text, columns.label, columns.group, columns.created_at, *columns.meta]
    missing = [column for column in wanted if column is not None and column not in values]
    if missing:
        raise problem(
            where,
            _("the columns {columns}", columns=", ".join(map(str, values))),
            _("a column {missing}", missing=", ".join(missing)),
            _("Name the right column under reader.columns."),
        )
    text = cell(values, columns.text)
    if text is None or not text.strip():
        count.empty += 1
        return
    meta = {"file": name, "row": number}
    meta |= {column: plain(values[column]) for column in columns.meta}
    when = moment(values[columns.created_at], where) if columns.created_at else None
    yield Row(text, cell(values, columns.label), cell(values, columns.group), when, meta)


def cell(values: dict[str, Any], column: str | None) -> str | None:
    """Return a cell as text; no column, null and the empty text are None."""
    value = values[column] if column is not None else None
    return None if value is None or value == "" else str(value)


def plain(value: Any) -> Any:
    """Return a value that JSON can hold."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


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


def problem(where: str, found: Text, allowed: Text, fix: Text) -> SourceError:
    """Return the error for a file or a row that cannot be read."""
    return SourceError.at(where, found=found, allowed=allowed, fix=fix)
