"""Bytes into lines of text: which encoding, whether it is text at all, and no line without end."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.i18n import _
from pipeline.sources.delivery import Count, problem

SAMPLE = 1 << 20  # bytes from which an encoding is guessed
CHUNK = 1 << 16  # bytes
MAX_LINE = 1 << 24  # characters; a longer line is no table and no text
HEAD = 512  # bytes in which each of the marks below stands

MARKS = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"PAR1": "parquet",
    b"%PDF-": "PDF",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x89PNG\r\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"SQLite format 3\0": "SQLite",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "xls or doc",
    b"ARROW1\0\0": "Arrow",
    b"{\\rtf": "RTF",
    b"\x7fELF": "ELF",
    b"\x80\x04\x95": "pickle",
}
PAGES = (b"<!doctype html", b"<html")


def kind_of(path: Path) -> str | None:
    """Return what a file is by its first bytes, None where they say nothing."""
    with path.open("rb") as source:
        head = source.read(HEAD)
        source.seek(max(0, path.stat().st_size - 4))
        tail = source.read(4)
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "bzip2"
    if head[257:262] == b"ustar":
        return "tar"
    for mark, kind in MARKS.items():
        # Of all marks only PAR1 is a word that text may begin with.
        if head.startswith(mark) and (kind != "parquet" or tail == mark):
            return kind
    return "HTML" if head.lstrip().lower().startswith(PAGES) else None


def refuse_other_content(path: Path, name: str, form: str) -> None:
    """Refuse a file whose first bytes say that it is something else than its name."""
    kind = kind_of(path)
    fits = {"parquet": ("parquet",), "xlsx": ("zip",), "txt": ("HTML",)}.get(form, ())
    if kind is not None and kind not in fits:
        raise problem(
            name,
            _("content of the kind {kind}", kind=kind),
            _("a file of the format {form}", form=form),
            _("Give the file its right ending, or unpack or convert it first."),
        )


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


def open_text(path: Path, name: str, encoding: str, count: Count) -> Iterator[str]:
    """Yield the lines of a text file, with their ends."""
    if path.stat().st_size == 0:
        raise problem(name, _("an empty file"), _("at least one record"), _("Check the download."))
    number = 0
    try:
        with path.open(encoding=encoding, newline="") as source:
            while line := source.readline(MAX_LINE + 1):
                number += 1
                refuse_odd_line(line, f"{name}:{number}")
                count.took(len(line) if line.isascii() else len(line.encode()), name)
                yield line
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


def refuse_odd_line(line: str, where: str) -> None:
    """Refuse a line that no text has: one without end, or with a NUL byte in it."""
    if len(line) > MAX_LINE:
        raise problem(
            where,
            _("a line of more than {limit} characters", limit=MAX_LINE),
            _("lines of up to {limit} characters", limit=MAX_LINE),
            _("Check that this is the right file, and the right reader.format."),
        )
    if "\0" in line:
        raise problem(
            where,
            _("a NUL byte"),
            _("text"),
            _("Check that this is the right file; for UTF-16 set reader.encoding to utf-16-le."),
        )


def row_of(path: Path, encoding: str) -> int:
    """Return the row of the first bytes that the encoding does not know."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number = 1
    with path.open("rb") as source:
        try:
            while chunk := source.read(CHUNK):
                decoder.decode(chunk)
                number += chunk.count(b"\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return number + error.object[: error.start].count(b"\n")
        except UnicodeError:
            return number
    return number


def no_encoding(name: str, found: str) -> SourceError:
    """Return the error for an encoding that text cannot have."""
    return problem(
        name,
        found,
        _("an encoding such as utf-8, gb18030 or latin-1"),
        _("Set reader.encoding to one of them, or to auto."),
    )
