"""A folder in which files appear and grow: only what is new is read, nothing is read twice.

Of each file the bytes that were taken are known by their number and their sha256. Text formats may
grow at their end, whole lines (of csv: whole records) at a time; parquet, xlsx and archives are
taken whole, once. A file under another name is another file.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipeline import artifacts
from pipeline.errors import Problem, SourceError, Text
from pipeline.i18n import _
from pipeline.sources import archive, decoding, file, reading
from pipeline.sources.delivery import Count, Row, problem, shown
from pipeline.sources.snapshots import Taken

GROWING = ("csv", "tsv", "jsonl", "txt")
BLOCK = 1 << 20  # bytes that are held at a time


@dataclass(frozen=True)
class Known:
    """What was taken of a file: its first ``bytes``, with this hash, of so many lines.

    ``header`` is the size of a table's first record. ``encoding`` is found when first needed.
    """

    bytes: int
    sha256: str
    lines: int
    header: int
    encoding: str | None


@dataclass(frozen=True)
class Part:
    """What is new in a file: the bytes from ``start`` to the end of what will be known."""

    path: Path
    name: str
    form: str
    start: int
    before: int  # lines before start
    is_ascii: bool
    known: Known


def take(feed: Any, position: dict[str, Any], count: Count, place: Path) -> Taken:
    """Return the rows that are new since ``position``.

    :param feed: ``path``, a pattern, a file or a folder below ``data/raw``, and its ``reader``.
    :param place: a file that may be overwritten.
    :raises SourceError: with every file of which something that was taken has changed.
    """
    files = position.get("files", {})
    known = {name: Known(**values) for name, values in files.items()}
    taken = Taken(iter(()), count, dict(position))
    parts: list[Part] = []
    problems: list[Problem] = []
    unfinished = 0
    for name, path in found(feed, count, any_known=bool(known)).items():
        try:
            part, rest = examined(path, name, known.get(name), feed.reader)
        except SourceError as error:
            problems += error.problems
            continue
        parts += [part] if part else []
        unfinished += rest > 0
    if problems:
        raise SourceError(*problems)
    taken.notes = {"unfinished_files": unfinished}
    taken.rows = rows_of(parts, feed.reader, taken, place)
    return taken


def found(feed: Any, count: Count, *, any_known: bool) -> dict[str, Path]:
    """Return the files that a feed names, in the order of their names.

    :raises SourceError: if there is none and never was one, or one lies outside ``data/raw``.
    """
    literal = Path(feed.path)
    if literal.is_dir():
        files = file.in_folder(literal, feed.reader.format, count)
    else:
        files = [literal] if literal.is_file() else file.fitting(feed.path)
    files = [path for path in files if not path.name.startswith(".")]
    if not files and not any_known:
        raise file.no_file(feed.path)
    file.refuse_outside(files)
    return {shown(str(path)): path for path in files}


def examined(path: Path, name: str, known: Known | None, reader: Any) -> tuple[Part | None, int]:
    """Return what is new in a file, and how many bytes of an unfinished line wait at its end.

    :raises SourceError: if what was taken of it is not there any more, or differs.
    """
    packed = archive.is_archive(path)
    form = "archive" if packed else reading.format_of(path, name, reader.format)
    grows = form in GROWING
    size = path.stat().st_size
    start = known.bytes if known else 0
    if known and (size < start or (size > start and not grows)):
        raise changed(name, start, _("{size} bytes", size=size))
    header, end = known.header if known else 0, size
    with path.open("rb") as source:
        if form in ("csv", "tsv"):
            header, end = end_of_records(source, start, header, form)
        elif grows:
            end = end_of_lines(source, start, size)
        digest, lines, is_ascii = hashed(source, start, end, known, name)
    if end == start:
        return None, size - end
    before = known.lines if known else 0
    after = Known(end, digest, before + lines, header, known.encoding if known else None)
    return Part(path, name, form, start, before, is_ascii, after), size - end


def changed(name: str, start: int, found: Text) -> SourceError:
    """Return the error for a file of which something that was taken is not there any more."""
    return problem(
        name,
        found,
        _("the {size} bytes that were taken before, and what was added after them", size=start),
        _("Put the file back as it was, and new records at its end or into a new file."),
    )


def end_of_lines(source: BinaryIO, start: int, size: int) -> int:
    """Return where the last whole line ends, in bytes; ``start`` where none is new."""
    end = size
    while end > start:
        begin = max(start, end - BLOCK)
        source.seek(begin)
        at = source.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return start


def end_of_records(source: BinaryIO, start: int, header: int, form: str) -> tuple[int, int]:
    """Return the size of a table's header and where its last whole record ends, in bytes.

    A line end inside of quotes ends no record. What csv refuses counts as whole, so that reading it
    names the row. The bytes are read as Latin-1: no encoding that is allowed here uses a comma, a
    quote or a line end as a part of another character.
    """
    at = start

    def lines() -> Iterator[str]:
        nonlocal at
        source.seek(start)
        for line in source:
            if not line.endswith(b"\n"):
                return
            at += len(line)
            yield line.decode("latin-1")

    csv.field_size_limit(reading.MAX_CELL)
    end, rows = start, 0
    separator = "," if form == "csv" else "\t"
    try:
        for cells in csv.reader(lines(), delimiter=separator, strict=True):
            if header == 0:
                header = at
            elif cells:
                end, rows = at, rows + 1
    except csv.Error as error:
        if "unexpected end of data" not in str(error):
            end = end_of_lines(source, start, source.seek(0, 2))
    return header, end


def hashed(
    source: BinaryIO, start: int, end: int, known: Known | None, name: str
) -> tuple[str, int, bool]:
    """Return the sha256 up to ``end``; lines and pure ASCII of what is new.

    :raises SourceError: if what was taken before ``start`` differs.
    """
    digest = hashlib.sha256()
    for block in blocks(source, 0, start):
        digest.update(block)
    if known and digest.hexdigest() != known.sha256:
        raise changed(name, start, _("other bytes at the place of those that were taken"))
    lines, is_ascii = 0, True
    for block in blocks(source, start, end):
        digest.update(block)
        is_ascii = is_ascii and block.isascii()
    for block in blocks(source, start, end):
        lines += line_ends(block)
    return digest.hexdigest(), lines, is_ascii


def line_ends(block: bytes) -> int:
    """Return how many lines end in a block, whichever way the system that wrote it ends them."""
    return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")


def blocks(source: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from ``start`` to ``end``."""
    source.seek(start)
    while start < end and (block := source.read(min(BLOCK, end - start))):
        start += len(block)
        yield block


def rows_of(parts: list[Part], reader: Any, taken: Taken, place: Path) -> Iterator[Row]:
    """Yield the rows of all parts; the position knows a part when its last row was taken."""
    files = dict(taken.position.get("files", {}))
    for part in parts:
        known = part.known
        if part.form in GROWING:
            try:
                padding = copy(part, place)
                encoding = encoding_of(part, place, reader)
                read_as = reader.model_copy(update={"format": part.form, "encoding": encoding})
                yield from added(part, place, read_as, taken.count, padding)
            finally:
                place.unlink(missing_ok=True)
            if reader.encoding == "auto" and not part.is_ascii:
                known = dataclasses.replace(known, encoding=encoding)
        else:
            yield from file.rows_of({part.name: part.path}, reader, taken.count)
            refuse_changing(part)
        files[part.name] = dataclasses.asdict(known)
        taken.position["files"] = files


def copy(part: Part, place: Path) -> int:
    """Copy what was added to a file; return how many empty lines stand before it.

    The copy has the file's header and an empty line for every line that was taken before, so that
    messages and records say the row's number in the file.
    """
    padding = part.before
    with part.path.open("rb") as source, place.open("wb") as target:
        if part.start:
            for block in blocks(source, 0, part.known.header):
                target.write(block)
                padding -= line_ends(block)
        for done in range(0, padding, BLOCK):
            target.write(b"\n" * min(BLOCK, padding - done))
        target.writelines(blocks(source, part.start, part.known.bytes))
    return padding


def encoding_of(part: Part, place: Path, reader: Any) -> str:
    """Return how what was added is written: as stated, as the file's beginning, or as it looks.

    :raises SourceError: for an encoding in which the end of a line cannot be found by its byte.
    """
    encoding: str = reader.encoding
    if encoding == "auto":
        encoding = part.known.encoding or "utf-8"
        if part.known.encoding is None and not part.is_ascii:
            encoding = decoding.encoding_of(place, part.name, "auto")
    try:
        wide = b"a\n" not in "a\n".encode(encoding)
    except (LookupError, ValueError):
        wide = False  # reading says what is wrong with it
    if wide:
        raise problem(
            part.name,
            encoding,
            _("an encoding such as utf-8, gb18030 or latin-1"),
            _("Save the file as UTF-8: in this encoding nobody sees whether a line is finished."),
        )
    return encoding


def added(part: Part, place: Path, reader: Any, count: Count, padding: int) -> Iterator[Row]:
    """Yield the rows of a copy that ``copy`` made."""
    own = Count(allowed=count.allowed, decoded=count.decoded)
    yield from reading.read(place, part.name, reader, own)
    uncounted = padding if part.form == "txt" else 0  # there an empty line is a row without text
    count.read += own.read - uncounted
    count.empty += own.empty - uncounted
    count.unmatched += own.unmatched
    count.unmatched_rows += own.unmatched_rows
    count.decoded = own.decoded - padding


def refuse_changing(part: Part) -> None:
    """Refuse a file that somebody wrote to while it was read."""
    if artifacts.sha256(part.path) != part.known.sha256:
        raise problem(
            part.name,
            _("a file that changed while it was read"),
            _("a file that is finished"),
            _("Write it elsewhere and move it here when it is whole, then run again."),
        )
