"""Files that strangers might send: each is made here, none lies in Git."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook

GOOD = b"text,label\nhello,x\n"
MEGABYTE = 1_000_000
SHEET = "xl/worksheets/sheet1.xml"
DTD = b"""<?xml version="1.0"?><!DOCTYPE x [%s]><worksheet xmlns="http://schemas.openxmlformats.org/\
spreadsheetml/2006/main"><sheetData><row r="1"><c t="inlineStr"><is><t>text&a;</t></is></c></row>\
</sheetData></worksheet>"""
LAUGHS = b'<!ENTITY l0 "ha"><!ENTITY a "&l9;">' + b"".join(
    b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10)
)


@dataclass(frozen=True)
class Case:
    """A file below data/raw, and what is said about it."""

    file: str
    make: Callable[[], bytes]
    said: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def growth_during(work: Callable[[], None]) -> int:
    """Return by how many bytes this process grew at most while it worked."""
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest use so far
    work()
    status = Path("/proc/self/status").read_text()
    highest = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(highest.split()[1]) * 1024 - before


def zipped(files: Mapping[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None
           ) -> bytes:  # fmt: skip
    """Return a zip; ``change`` may alter what it says about each member."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(entry)
            archive.writestr(entry, content)
    return target.getvalue()


def repeated(names: list[str]) -> bytes:
    """Return a zip whose members all stand at the same place."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.csv", GOOD)
        for name in names:
            entry = copy(archive.filelist[0])
            entry.filename = entry.orig_filename = name
            archive.filelist.append(entry)
        archive._didModify = True  # type: ignore[attr-defined]
    return target.getvalue()


def doubled() -> bytes:
    """Return a zip with two members of one name."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.csv", GOOD)
        archive.writestr("b.csv", GOOD)
    return target.getvalue().replace(b"b.csv", b"a.csv")


def encrypted() -> bytes:
    """Return a zip that says its member is encrypted."""
    content = bytearray(zipped({"a.csv": GOOD}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


def special_zip(mode: int) -> bytes:
    """Return a zip whose member is a link or a device."""

    def change(entry: zipfile.ZipInfo) -> None:
        entry.create_system, entry.external_attr = 3, mode << 16

    return zipped({"a.csv": b"/etc/passwd"}, change)


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    """Return a tar."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        for entry, content in members:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """Return what a tar says about a member."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def special_tar(kind: bytes, target: str = "") -> bytes:
    """Return a tar with a good file and a link or a device."""
    return tarred((member("a.csv"), GOOD), (member("b.csv", kind, target), b""))


def flipped(content: bytes, place: int) -> bytes:
    """Return bytes with one of them turned over."""
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def parquet(**columns: Any) -> bytes:
    """Return a parquet file."""
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, compression="zstd")
    return target.getvalue()


def parquet_bomb(rows: int, length: int, *, arrow: bool = False) -> bytes:
    """Return a tiny parquet file in which one long text stands in every row.

    :param arrow: says in the file that the column is to be read as a dictionary.
    """
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * length])
    target = io.BytesIO()
    pq.write_table(
        pa.table({"text": text, "label": text}), target, compression="zstd", store_schema=arrow,
        row_group_size=1 << 30, dictionary_pagesize_limit=1 << 30, write_statistics=False,
    )  # fmt: skip
    assert target.tell() < rows * length / 1_000
    return target.getvalue()


def xlsx(*rows: list[Any]) -> bytes:
    """Return a workbook."""
    book, target = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(target)
    return target.getvalue()


def with_part(name: str, content: bytes) -> bytes:
    """Return a workbook with another content in one of its parts."""
    with zipfile.ZipFile(io.BytesIO(xlsx(["text", "label"], ["hello", "x"]))) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    return zipped(parts | {name: content})


def far_row() -> bytes:
    """Return a workbook whose second row has an absurd number."""
    with zipfile.ZipFile(io.BytesIO(xlsx(["text", "label"], ["hello", "x"]))) as archive:
        sheet = archive.read(SHEET)
    return with_part(SHEET, sheet.replace(b'r="2"', b'r="2000000000"'))


CASES = {
    # zip
    "zip-up": Case("a.zip", lambda: zipped({"ok.csv": GOOD, "../evil.csv": GOOD}),
        "a.zip: found the path '../evil.csv' inside"),
    "zip-deep-up": Case("a.zip", lambda: zipped({"deep/../../../evil.csv": GOOD}),
        "found the path 'deep/../../../evil.csv' inside"),
    "zip-absolute": Case("a.zip", lambda: zipped({"/tmp/evil.csv": GOOD}), "found the path '/tmp/"),
    "zip-backslash": Case("a.zip", lambda: zipped({"..\\evil.csv": GOOD}), "found the path '..\\"),
    "zip-drive": Case("a.zip", lambda: zipped({"C:\\evil.csv": GOOD}), "found the path 'C:"),
    "zip-link": Case("a.zip", lambda: special_zip(0o120777),
        "a.zip/a.csv: found a link, a device or another special file"),
    "zip-device": Case("a.zip", lambda: special_zip(0o020666), "found a link, a device"),
    "zip-encrypted": Case("a.zip", encrypted, "a.zip/a.csv: found an encrypted file"),
    "zip-nested": Case("a.zip", lambda: zipped({"b.zip": zipped({"a.csv": GOOD})}),
        "a.zip/b.zip: found an archive inside an archive"),
    "zip-nested-renamed": Case("a.zip", lambda: zipped({"b.csv": zipped({"a.csv": GOOD})}),
        "a.zip/b.csv: found content of the kind zip, allowed a file of the format csv"),
    "zip-bomb": Case("a.zip", lambda: zipped({"a.csv": b"\n" * (90 * MEGABYTE)}),
        "found more than 50 MB when unpacked, allowed up to 50 MB a source"),
    "zip-truncated": Case("a.zip", lambda: zipped({"a.csv": os.urandom(9_000)})[:5_000],
        "a.zip: found a damaged archive (File is not a zip file)"),
    "zip-damaged": Case("a.zip", lambda: flipped(zipped({"a.csv": os.urandom(9_000)}), 4_000),
        "a.zip/a.csv: found a damaged archive ("),
    "zip-many": Case("a.zip", lambda: repeated([f"{row}.csv" for row in range(100_000)]),
        "found more than 10000 files inside"),
    "zip-overlap": Case("a.zip", lambda: repeated(["b.csv", "c.csv"]),
        "found files that overlap each other"),
    "zip-doubled": Case("a.zip", doubled, "found 'a.csv' twice"),
    "zip-nothing-fits": Case("a.zip", lambda: zipped({"a.csv": GOOD}),
        "found no file *.tsv inside", {"members": "*.tsv"}),
    # tar and gz
    "tar-up": Case("a.tar", lambda: tarred((member("../evil.csv"), GOOD)),
        "the path '../evil.csv'"),
    "tar-absolute": Case("a.tar", lambda: tarred((member("/tmp/evil.csv"), GOOD)),
        "'/tmp/evil.csv'"),
    "tar-link": Case("a.tar", lambda: special_tar(tarfile.SYMTYPE, "/etc/passwd"),
        "a.tar/b.csv: found a link, a device"),
    "tar-hard-link": Case("a.tar", lambda: special_tar(tarfile.LNKTYPE, "/etc/passwd"),
        "a.tar/b.csv: found a link, a device"),
    "tar-fifo": Case("a.tar", lambda: special_tar(tarfile.FIFOTYPE), "found a link, a device"),
    "tar-device": Case("a.tar", lambda: special_tar(tarfile.CHRTYPE), "found a link, a device"),
    "tar-truncated": Case("a.tar", lambda: tarred((member("a.csv"), GOOD * 99))[:1_000],
        "a.tar: found a damaged archive (unexpected end of data)"),
    "tar-half-header": Case("a.tar", lambda: special_tar(tarfile.REGTYPE)[:1_200],
        "a.tar: found a damaged archive (unexpected end of data)"),
    "tar-damaged-header": Case("a.tar", lambda: flipped(special_tar(tarfile.REGTYPE), 1_030),
        "a.tar: found a damaged archive ("),
    "tgz-bomb": Case("a.tar.gz",
        lambda: tarred((member("a.csv"), b"\n" * (90 * MEGABYTE)), mode="w:gz"), "more than 50 MB"),
    "tgz-skipped-bomb": Case("a.tgz",
        lambda: tarred((member("a.bin"), bytes(90 * MEGABYTE)), mode="w:gz"),
        "more than 50 MB", {"members": "*.csv"}),
    "tgz-truncated": Case("a.tgz", lambda: tarred((member("a.csv"), GOOD * 99), mode="w:gz")[:-20],
        "a.tgz: found a damaged archive ("),
    "tbz-bomb": Case("a.tar.bz2",
        lambda: tarred((member("a.csv"), b"\n" * (90 * MEGABYTE)), mode="w:bz2"), "than 50 MB"),
    "gz-bomb": Case("a.csv.gz", lambda: gzip.compress(b"\n" * (90 * MEGABYTE)), "more than 50 MB"),
    "gz-truncated": Case("a.csv.gz", lambda: gzip.compress(GOOD)[:-6],
        "a.csv.gz: found a damaged archive ("),
    "gz-none": Case("a.csv.gz", lambda: GOOD, "a.csv.gz: found a damaged archive (Not a gzipped"),
    # parquet
    "parquet-bomb": Case("a.parquet", lambda: parquet_bomb(1_000_000, 1_000), "more than 50 MB"),
    "parquet-dictionary": Case("a.parquet", lambda: parquet_bomb(200_000, 1_000, arrow=True),
        "more than 50 MB"),
    "parquet-memory": Case("a.parquet", lambda: parquet_bomb(1_000, 12 * MEGABYTE),
        "found a source that needs more than 1024 MB of memory"),
    "parquet-truncated": Case("a.parquet", lambda: parquet(text=["hello"], label=["x"])[:-30],
        "allowed a whole parquet file"),
    "parquet-flipped": Case("a.parquet",
        lambda: flipped(parquet(text=["hello", "you"] * 9, label=["x"] * 18), 20),
        "allowed a whole parquet file"),
    "parquet-nested": Case("a.parquet", lambda: parquet(text=[["hello"]], label=["x"]),
        "a.parquet:1: found the column text of the type list<"),
    "parquet-other-columns": Case("a.parquet", lambda: parquet(body=["hello"]),
        "a.parquet:1: found the columns body, allowed a column text, label"),
    "parquet-cell": Case("a.parquet", lambda: parquet(text=["x" * 10 * MEGABYTE], label=["x"]),
        "a.parquet:1: found a cell of 10000000 characters"),
    "parquet-not-text": Case("a.parquet", lambda: parquet(text=[b"\xff\xfe"], label=["x"]),
        "a.parquet:1: found "),
    # text
    "csv-nul": Case("a.csv", lambda: GOOD + b"he\0llo,x\n",
        "a.csv:3: found a NUL byte, allowed text"),
    "txt-nul": Case("a.txt", lambda: b"hello\n\0\n", "a.txt:2: found a NUL byte"),
    "csv-cell": Case("a.csv", lambda: b"text,label\n" + b"x" * 10 * MEGABYTE + b",x\n",
        "a.csv:2: found field larger than field limit (1000000)"),
    "jsonl-cell": Case("a.jsonl",
        lambda: b'{"text": "' + b"x" * 10 * MEGABYTE + b'", "label": "x"}\n',
        "a.jsonl:1: found a cell of 10000000 characters"),
    "jsonl-deep": Case("a.jsonl", lambda: b"[" * MEGABYTE, "allowed one JSON object a line"),
    "csv-columns": Case("a.csv", lambda: b",".join(b"c%d" % one for one in range(100_000)) + b"\n",
        "a.csv:1: found 100000 columns, allowed up to 16384"),
    "txt-endless": Case("a.txt", lambda: b"x" * (60 * MEGABYTE),
        "a.txt:1: found a line of more than 16777216 characters"),
    "txt-large": Case("a.txt", lambda: (b"x" * 999 + b"\n") * 60_000, "found more than 50 MB"),
    "txt-cell": Case("a.txt", lambda: b"x" * 2 * MEGABYTE, "a.txt:1: found a cell of 2000000"),
    "utf-16": Case("a.csv", lambda: "text,label\nhello,x\n".encode("utf-16-le"),
        "a.csv:1: found a NUL byte"),
    "random": Case("a.csv", lambda: bytes(range(1, 256)) * 40, "a.csv"),
    "empty": Case("a.csv", lambda: b"", "a.csv: found an empty file"),
    # one thing called another
    "zip-called-csv": Case("a.csv", lambda: zipped({"a.csv": GOOD}),
        "found content of the kind zip"),
    "parquet-called-txt": Case("a.txt", lambda: parquet(text=["hello"]),
        "a.txt: found content of the kind parquet, allowed a file of the format txt"),
    "pdf-called-csv": Case("a.csv", lambda: b"%PDF-1.7\n1 0 obj\n",
        "found content of the kind PDF"),
    "page-called-csv": Case("a.csv", lambda: b"\n<!DOCTYPE html><title>Sign in</title>",
        "found content of the kind HTML"),
    "csv-called-xlsx": Case("a.xlsx", lambda: GOOD, "a.xlsx: found a damaged workbook ("),
    # xlsx
    "xlsx-laughs": Case("a.xlsx", lambda: with_part(SHEET, DTD % LAUGHS),
        "a.xlsx: found XML with a document type declaration"),
    "xlsx-entity": Case("a.xlsx",
        lambda: with_part(SHEET, DTD % b'<!ENTITY a SYSTEM "file:///etc/passwd">'),
        "a.xlsx: found XML with a document type declaration"),
}  # fmt: skip
MORE = {
    "xlsx-strings-entity": Case("a.xlsx",
        lambda: with_part("xl/sharedStrings.xml", DTD % b'<!ENTITY a SYSTEM "/etc/passwd">'),
        "a.xlsx: found XML with a document type declaration"),
    "xlsx-bomb": Case("a.xlsx", lambda: with_part("xl/bomb.bin", bytes(90 * MEGABYTE)),
        "found more than 50 MB when unpacked"),
    "xlsx-truncated": Case("a.xlsx", lambda: xlsx(["text"], ["hello"])[:-99],
        "a.xlsx: found a damaged workbook ("),
    "xlsx-cell": Case("a.xlsx",
        lambda: with_part(SHEET, DTD.split(b"<!")[0] + DTD.split(b"]>")[1].replace(b"text&a;",
            b"text").replace(b"</row>", b'</row><row r="2"><c t="inlineStr"><is><t>'
            + b"x" * 10 * MEGABYTE + b"</t></is></c></row>")),
        "a.xlsx:2: found a cell of 10000000 characters", {"columns": {"label": None}}),
    "xlsx-far-row": Case("a.xlsx", far_row, "a.xlsx:1048577: found a further row"),
    "xlsx-no-sheet": Case("a.xlsx", lambda: xlsx(["text", "label"], ["a", "b"]),
        "a.xlsx: found the sheets Sheet, allowed a sheet Other", {"sheet": "Other"}),
}  # fmt: skip
STUCK: dict[str, Any] = {"pattern": "(?P<text>(a+)+b)", "unmatched": "skip"}
ENDLESS = {
    "endless-pattern": Case("a.txt", lambda: b"a" * 60 + b"\n",
        "found a source that takes more than 8 seconds", STUCK),
}  # fmt: skip
