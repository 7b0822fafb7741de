"""The cells of a table, row by row: csv, tsv, jsonl, parquet and xlsx.

Every reader is handed files that strangers wrote: none believes a size that a header states, none
holds more than a small batch of rows, none computes a formula or follows a link.
"""

from __future__ import annotations

import csv
import json
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from pipeline.errors import SourceError, Text
from pipeline.i18n import _
from pipeline.sources.delivery import Count, problem

if TYPE_CHECKING:
    import pyarrow as pa

MAX_CELL = 1_000_000  # characters; a longer cell is a broken file
MAX_COLUMNS = 16_384  # as in Excel
MAX_SHEET_ROWS = 1_048_576  # as in Excel
MAX_PARTS = 10_000  # files inside an xlsx
COLUMNS_LISTED = 20
BATCH = 256  # rows of parquet at a time: one dictionary entry can fill each of them
BUFFER = 1 << 20  # bytes

Cells = Iterator[tuple[int, dict[str, Any]]]


def csv_cells(lines: Iterator[str], name: str, form: str) -> Cells:
    """Yield row number and cells of a table with a header; cells stay text (``NA``)."""
    csv.field_size_limit(MAX_CELL)
    table = csv.reader(lines, delimiter="," if form == "csv" else "\t", strict=True)
    rows = 0
    try:
        header = next(table, [])
        refuse_odd_header(header, f"{name}:1")
        for cells in table:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ragged(f"{name}:{table.line_num}", len(cells), len(header))
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
        raise no_rows(name)


def jsonl_cells(lines: Iterator[str], name: str) -> Cells:
    """Yield row number and values of one JSON object a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if "\\u" in line:  # half of a character, which no file can hold
                json.dumps(values, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise no_object(f"{name}:{number}", str(error)) from None
        if not isinstance(values, dict):
            raise no_object(f"{name}:{number}", repr(line[:60]))
        yield number, values


def parquet_cells(path: Path, name: str, columns: Sequence[str], count: Count) -> Cells:
    """Yield row number and values of the wanted columns, batch by batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) as source:
            refuse_odd_columns(source.schema_arrow, columns, name)
            for batch in source.iter_batches(BATCH, columns=columns, use_threads=False):
                count.took(batch.nbytes, name)
                for values in as_text(batch).to_pylist():
                    number += 1
                    yield number, values
    except MemoryError:  # some of pyarrow's are an ArrowException too
        raise
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise problem(
            f"{name}:{number + 1}",
            first_line(error),
            _("a whole parquet file"),
            _("Copy or download the file again."),
        ) from None
    if number == 0:
        raise no_rows(name)


def refuse_odd_columns(schema: pa.Schema, columns: Sequence[str], name: str) -> None:
    """Refuse a parquet file whose wanted columns are missing, doubled or no plain values."""
    import pyarrow as pa

    refuse_missing(columns, schema.names, f"{name}:1")
    refuse_repeated([column for column in schema.names if column in columns], f"{name}:1")
    for column in columns:
        kind = schema.field(column).type
        if pa.types.is_nested(kind):
            raise problem(
                f"{name}:1",
                _("the column {column} of the type {kind}", column=column, kind=str(kind)[:60]),
                _("text, numbers or times"),
                _("Name another column under reader.columns, or flatten this one."),
            )


def as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose columns of bytes are text: old writers do not mark text as such."""
    import pyarrow as pa

    for place, field in enumerate(batch.schema):
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            text = batch.column(place).cast(pa.string())
            batch = batch.set_column(place, field.name, text)
    return batch


def xlsx_cells(path: Path, name: str, sheet: str | None, count: Count) -> Cells:
    """Yield row number and values of one sheet; a formula gives the value it was saved with."""
    number = 0
    try:
        refuse_odd_parts(path, name, count)
        with path.open("rb") as source:
            for number, values in sheet_rows(source, name, sheet):
                yield number, values
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # openpyxl lets through whatever a damaged part leads to
        reason = _("a damaged workbook ({reason})", reason=f"{type(error).__name__}: {error}"[:200])
        raise problem(
            name, reason, _("a whole xlsx file"), _("Open it in a spreadsheet and save it again.")
        ) from error
    if number == 0:
        raise no_rows(name)


def sheet_rows(source: Any, name: str, sheet: str | None) -> Cells:
    """Yield row number and values of a sheet; its first row names the columns."""
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    with warnings.catch_warnings():  # about drop-down lists and other things that are not data
        warnings.simplefilter("ignore")
        book = load_workbook(source, read_only=True, data_only=True, keep_links=False)
    header: list[str | None] = []
    try:
        table = choose_sheet(book, name, sheet)
        table.reset_dimensions()  # what the file states about its size may be anything
        for number, cells in enumerate(table.iter_rows(values_only=True), 1):
            where = f"{name}:{number}"
            if number > MAX_SHEET_ROWS:
                raise problem(where, _("a further row"), _("up to {limit} rows",
                              limit=MAX_SHEET_ROWS), _("Save the table as csv."))  # fmt: skip
            filled = without_tail(cells)
            if filled and not header:
                header = [None if one is None else str(one) for one in filled]
                refuse_odd_header([one for one in header if one is not None], where)
            elif filled:
                yield number, matched(header, filled, where)
    finally:
        book.close()


def choose_sheet(book: Any, name: str, sheet: str | None) -> Any:
    """Return the sheet of that name, or the first."""
    known = {one.title: one for one in book.worksheets}
    if sheet is None and known:
        return book.worksheets[0]
    if sheet not in known:
        raise problem(
            name,
            _("the sheets {sheets}", sheets=", ".join(known) or "–"),
            _("a sheet {sheet}", sheet=sheet or "–"),
            _("Correct reader.sheet, or set it to null for the first one."),
        )
    return known[sheet]


def without_tail(cells: Sequence[Any]) -> list[Any]:
    """Return the cells of a row up to the last one that is filled."""
    end = len(cells)
    while end and (cells[end - 1] is None or cells[end - 1] == ""):
        end -= 1
    return list(cells[:end])


def matched(header: list[str | None], cells: list[Any], where: str) -> dict[str, Any]:
    """Return the cells of a sheet's row by the names of their columns."""
    if len(cells) > len(header):
        raise ragged(where, len(cells), len(header))
    filled = [*cells, *[None] * (len(header) - len(cells))]
    return {
        column: value for column, value in zip(header, filled, strict=True) if column is not None
    }


def refuse_odd_parts(path: Path, name: str, count: Count) -> None:
    """Refuse a workbook that grows without bound when unpacked, or whose XML defines entities.

    Each part is unpacked once only to be counted, and parsed by a parser that stops at a DTD: no
    spreadsheet needs one, and both XML bombs and links to other files do.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_PARTS:
            raise problem(name, _("{count} files inside", count=len(entries)), _("up to {limit}",
                          limit=MAX_PARTS), _("Check where this file comes from."))  # fmt: skip
        for entry in entries:
            parser = strict_parser(name) if entry.filename.endswith((".xml", ".rels")) else None
            with archive.open(entry) as content:
                while chunk := content.read(BUFFER):
                    count.unpack(len(chunk), name)
                    if parser:
                        parser.Parse(chunk, False)
            if parser:
                parser.Parse(b"", True)


def strict_parser(name: str) -> expat.XMLParserType:
    """Return an XML parser that refuses a document type declaration."""

    def refuse(*declared: object) -> None:
        raise problem(
            name,
            _("XML with a document type declaration"),
            _("a workbook as spreadsheet programs write it"),
            _("Check where this file comes from; it may be an attack."),
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    return parser


def refuse_odd_header(header: list[str], where: str) -> None:
    """Refuse a header with endless columns, or one that names a column twice."""
    if len(header) > MAX_COLUMNS:
        raise problem(
            where,
            _("{count} columns", count=len(header)),
            _("up to {limit}", limit=MAX_COLUMNS),
            _("Check that this is the right file, and the right reader.format."),
        )
    refuse_repeated(header, where)


def refuse_repeated(header: Sequence[str], where: str) -> None:
    """Refuse a header that names a column twice: nobody could say which one is meant."""
    twice = sorted(column for column, times in Counter(header).items() if times > 1)
    if twice:
        raise problem(
            where,
            _("the column {columns} twice", columns=", ".join(map(repr, twice))),
            _("each column once"),
            _("Rename or remove one of them."),
        )


def refuse_missing(columns: Sequence[str], found: Collection[str], where: str) -> None:
    """Refuse a table without one of the columns that ``params.yaml`` names."""
    missing = [column for column in columns if column not in found]
    if missing:
        listed = [str(column) for column in found][:COLUMNS_LISTED]
        more = ["…"] if len(found) > COLUMNS_LISTED else []
        raise problem(
            where,
            _("the columns {columns}", columns=", ".join(listed + more)),
            _("a column {missing}", missing=", ".join(missing)),
            _("Name the right column under reader.columns."),
        )


def ragged(where: str, found: int, wanted: int) -> SourceError:
    """Return the error for a row with more or fewer cells than the header."""
    return problem(
        where,
        _("{count} cells", count=found),
        _("{count}, as in the header", count=wanted),
        _("Put quotes around cells with the separator in them."),
    )


def no_object(where: str, found: Text) -> SourceError:
    """Return the error for a line that is not a JSON object."""
    return problem(where, found, _("one JSON object a line"), _("Mend this line."))


def no_rows(name: str) -> SourceError:
    """Return the error for a table that holds nothing."""
    return problem(name, _("a header and no rows"), _("at least one record"), _("Check the file."))


def first_line(error: BaseException) -> str:
    """Return what a library says, without its stack."""
    return next(iter(str(error).splitlines()), type(error).__name__)
