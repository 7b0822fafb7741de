"""Sources joined: archives, workbooks, ids, samples, order; the same bytes every time."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.errors import GateError, MofangError, SourceError, packed, unpacked
from pipeline.i18n import _
from pipeline.records import writing
from pipeline.sources import child, merging
from pipeline.sources.delivery import Count, shown
from pipeline.sources.merging import Part
from tests.helpers import changed, report, rows
from tests.pipeline.hostile import growth_during, member, tarred, xlsx, zipped
from tests.pipeline.test_collect import in_process, put, refusal_in_process, source

TABLE = b"text,label\nhello,x\nbye,y\n"
PAIRS = [("hello", "x"), ("bye", "y")]


def run(*sources: dict[str, Any], **knobs: Any) -> list[dict[str, Any]]:
    """Run the stage and return its records."""
    collect(changed({"collect.sources": list(sources), **with_section(knobs)}))
    return rows(artifacts.COLLECT / artifacts.RECORDS)


def with_section(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return knobs of the section collect by their full names."""
    return {f"collect.{name}": value for name, value in knobs.items()}


# --- archives, folders, workbooks ---------------------------------------------------------------

ARCHIVES = {
    "a.zip": zipped({"deep/a.csv": TABLE}),
    "a.tar": tarred((member("deep/a.csv"), TABLE)),
    "a.tar.gz": tarred((member("deep/a.csv"), TABLE), mode="w:gz"),
    "a.tgz": gzip.compress(tarred((member("deep/a.csv"), TABLE))),
    "a.tar.bz2": bz2.compress(tarred((member("deep/a.csv"), TABLE))),
    "a.csv.gz": gzip.compress(TABLE),
    "A.CSV.GZ": gzip.compress(TABLE),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_read(project: Path, name: str) -> None:
    put({name: ARCHIVES[name]})
    assert in_process(source(name)) == PAIRS


def test_an_archive_goes_through_the_stage(project: Path) -> None:
    put({"a.zip": zipped({"b.csv": b"text,label\nb,x\n", "a.csv": TABLE, "a.md": b"# no"})})
    found = run(source("a.zip", members="*.csv"))
    assert [one["text"] for one in found] == ["hello", "bye", "b"]
    assert json.loads(found[2]["meta"]) == {"file": "data/raw/a.zip/b.csv", "row": 2}
    assert report(artifacts.COLLECT)["sources"][0]["files"] == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_come_in_the_order_of_their_names(project: Path, kind: str) -> None:
    names = [f"{letter}.csv" for letter in "cab"]
    files = {name: f"text,label\n{name},x\n".encode() for name in names}
    members = [(member(name), content) for name, content in files.items()]
    put({f"a.{kind}": zipped(files) if kind == "zip" else tarred(*members)})
    assert [text for text, _label in in_process(source(f"a.{kind}"))] == sorted(names)


def test_what_systems_hide_in_archives_is_passed_over(project: Path) -> None:
    files = {"a.csv": TABLE, "__MACOSX/._a.csv": b"\0", ".DS_Store": b"\0", "d/.b.csv": b"\0"}
    put({"a.zip": zipped(files)})
    assert in_process(source("a.zip")) == PAIRS


def test_an_archive_may_hold_parquet_and_xlsx(project: Path) -> None:
    target = io.BytesIO()
    pq.write_table(pa.table({"text": ["hello"], "label": ["x"]}), target)
    put({"a.zip": zipped({"a.parquet": target.getvalue(),
                          "b.xlsx": xlsx(["text", "label"], ["bye", "y"])})})  # fmt: skip
    assert in_process(source("a.zip")) == PAIRS


def test_a_folder_is_read_whole(project: Path) -> None:
    put({"f/b.csv": TABLE, "f/deep/a.jsonl": '{"text": "hi", "label": "z"}'})
    put({"f/a.zip": zipped({"x.tsv": b"text\tlabel\nzip\tx\n"})})
    put({"f/README.md": "no", "f/.gitignore": "/b.csv"})
    assert [text for text, _label in in_process(source("f"))] == ["zip", "hello", "bye", "hi"]


def test_a_folder_with_a_format_is_read_in_part(project: Path) -> None:
    put({"f/b.csv": TABLE, "f/a.jsonl": '{"text": "hi", "label": "z"}'})
    assert in_process(source("f", format="jsonl")) == [("hi", "z")]


def test_a_workbook_is_read(project: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5)
    put({"t.xlsx": xlsx(["text", "label", "when", "n"], ["hello", 7, when, 1.5], [None] * 4,
                        ["=1+1", None, None, True], ["bye", "x", "2026-01-01", None])})  # fmt: skip
    columns = {"created_at": "when", "meta": ["n"]}
    first, second = run(source("t.xlsx", columns=columns))
    assert (first["text"], first["label"]) == ("hello", "7")
    assert first["created_at"] == when.replace(tzinfo=UTC)
    assert json.loads(first["meta"]) == {"file": "data/raw/t.xlsx", "row": 2, "n": 1.5}
    assert (second["text"], json.loads(second["meta"])["row"]) == ("bye", 5)
    assert report(artifacts.COLLECT)["sources"][0]["empty"] == 1  # a formula that was never saved


def test_a_sheet_is_chosen(project: Path) -> None:
    book, target = Workbook(), io.BytesIO()
    book.active.append(["text"])
    book.create_sheet("Second").append(["text", "label"])
    book["Second"].append(["hello", "x"])
    book.save(target)
    put({"t.xlsx": target.getvalue()})
    assert in_process(source("t.xlsx", sheet="Second")) == [("hello", "x")]
    assert "t.xlsx: found a header and no rows" in refusal_in_process(source("t.xlsx"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([["text", "label"], ["a", "b", "c"]], "t.xlsx:2: found 3 cells, allowed 2"),
        ([["text", "text"], ["a", "b"]], "t.xlsx:1: found the column 'text' twice"),
        ([["body"], ["a"]], "t.xlsx:2: found the columns body, allowed a column text, label"),
        ([], "t.xlsx: found a header and no rows"),
    ],
)
def test_a_bad_workbook_is_refused(project: Path, table: list[list[Any]], said: str) -> None:
    put({"t.xlsx": xlsx(*table)})
    assert said in refusal_in_process(source("t.xlsx"))


def test_bytes_of_parquet_are_text(project: Path) -> None:
    target = io.BytesIO()
    pq.write_table(pa.table({"text": ["你好".encode()], "label": [3], "x": [[1]]}), target)
    put({"t.parquet": target.getvalue()})
    assert in_process(source("t.parquet")) == [("你好", "3")]


def test_foreign_names_are_shown_harmlessly() -> None:
    assert shown("a\x1b[31m\n\udcffb") == "a\ufffd[31m\ufffd\ufffdb"
    assert len(shown("x" * 9_999)) == 300


# --- ids, samples, merge, order -----------------------------------------------------------------

LABELS = st.one_of(st.none(), st.sampled_from(["x", "y", "ä"]))
TIMES = st.one_of(st.none(), st.integers(-5, 5))
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "é", "中"]), LABELS, TIMES), max_size=40)


def part(folder: Path, name: str, table: Sequence[tuple[str, str | None, int | None]], **how: Any
         ) -> Part:  # fmt: skip
    """Return rows as the process that read them leaves them."""
    records = [
        {"id": child.identity(child.content_of(name, text, label), 1), "text": text,
         "label": label, "group": None, "meta": json.dumps({"row": number}),
         "created_at": None if days is None else datetime(2026, 1, 1, tzinfo=UTC)
         + timedelta(days=days)}
        for number, (text, label, days) in enumerate(table)
    ]  # fmt: skip
    path = folder / f"{name}.parquet"
    with writing.RecordWriter(path, child.schema(), rows=7) as writer:
        writer.add(records)
    given = {"limit": None, "sample": "first", "seed": 42} | how
    return merging.part_of(name, path, size=100, **given)


def taken(parts: Sequence[Part], folder: Path, merge: str, sort_by: str | None
          ) -> list[dict[str, Any]]:  # fmt: skip
    """Return the merged records."""
    tables = merging.merged(parts, merge=merge, sort_by=sort_by, folder=folder / "sorted")
    found: list[dict[str, Any]] = []
    for table in tables:
        found += table.to_pylist()
    return found


def key_of(column: str) -> Any:
    """Return how Python sorts records by a column, those without a value last."""
    floor = datetime(1, 1, 1, tzinfo=UTC) if column == "created_at" else ""
    return lambda one: (one[column] is None, floor if one[column] is None else one[column])


@given(tables=st.lists(ROWS, min_size=1, max_size=4),
       merge=st.sampled_from(["append", "interleave"]),
       sort_by=st.sampled_from([None, "text", "label", "created_at", "source"]))  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merging_is_what_python_would_do(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    tables: list[list[Any]], merge: str, sort_by: str | None,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("merge")
    monkeypatch.setattr(merging, "BATCH", 3)
    monkeypatch.setattr(merging, "RUN_ROWS", 5)
    monkeypatch.setattr(merging, "FAN", 2)
    parts = [part(folder, f"s{number}", table) for number, table in enumerate(tables)]
    each = [taken([one], folder, "append", None) for one in parts]
    wanted = [one for records in each for one in records]
    if merge == "interleave":
        longest = max(map(len, each))
        wanted = [one[place] for place in range(longest) for one in each if place < len(one)]
    if sort_by is not None:
        wanted = sorted(wanted, key=key_of(sort_by))
    found = taken(parts, folder, merge, sort_by)
    assert found == wanted
    assert len({one["id"] for one in found}) == len(found)


@given(table=ROWS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_count_repetitions(tmp_path_factory: pytest.TempPathFactory, table: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("ids")
    seen: dict[str, int] = {}
    wanted = []
    for text, label, _days in table:
        content = json.dumps(["one", text, label], ensure_ascii=False)
        seen[content] = seen.get(content, 0) + 1
        wanted.append(child.identity(content, seen[content]))
    records = taken([part(folder, "one", table)], folder, "append", None)
    assert [one["id"] for one in records] == wanted


def test_an_id_is_what_it_always_was() -> None:
    content = child.content_of("one", 'a "b"\n中', None)
    assert content == json.dumps(["one", 'a "b"\n中', None], ensure_ascii=False)
    assert child.identity(content, 2) == hashlib.sha256(f"{content}2".encode()).hexdigest()[:20]


@pytest.mark.parametrize("limit", [1, 10, 99, 100, 500])
def test_a_random_sample(tmp_path: Path, limit: int) -> None:
    table = [(f"t{row % 60}", "x", None) for row in range(100)]
    sample = part(tmp_path, "one", table, limit=limit, sample="random")
    found = taken([sample], tmp_path, "append", None)
    assert len(found) == sample.records == min(limit, 100)
    places = [json.loads(one["meta"])["row"] for one in found]
    assert places == sorted(places)
    every = {one["id"] for one in taken([part(tmp_path, "one", table)], tmp_path, "append", None)}
    assert {one["id"] for one in found} <= every
    again = part(tmp_path, "one", table, limit=limit, sample="random")
    assert taken([again], tmp_path, "append", None) == found
    if limit == 10:
        other = part(tmp_path, "one", table, limit=limit, sample="random", seed=7)
        assert taken([other], tmp_path, "append", None) != found


def test_a_larger_sample_holds_the_smaller(tmp_path: Path) -> None:
    table = [(f"t{row}", "x", None) for row in range(200)]

    def ids(limit: int) -> set[str]:
        sample = part(tmp_path, "one", table, limit=limit, sample="random")
        return {one["id"] for one in taken([sample], tmp_path, "append", None)}

    assert ids(20) < ids(50) < ids(150)


def test_a_random_sample_is_fair() -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << 63, 20_000, dtype=np.uint64)
    nothing = np.empty(0, dtype=np.int64)
    kept = sum(
        merging.drawn(numbers, nothing, nothing, 5_000, seed).astype(int) for seed in range(20)
    )
    shares = np.bincount(np.asarray(kept), minlength=21) / len(numbers)
    expected = [comb(20, k) * 0.25**k * 0.75 ** (20 - k) for k in range(21)]
    assert np.abs(shares - expected).max() < 0.02


def test_the_stage_samples_merges_and_sorts(project: Path) -> None:
    put({"a.csv": "text,label\n" + "".join(f"a{row:02},x\n" for row in range(30)),
         "b.csv": "text,label\nb0,x\nb1,x\n"})  # fmt: skip
    sources = [source("a.csv", name="a", limit=3, sample="random"), source("b.csv", name="b")]
    found = [one["text"] for one in run(*sources, merge="interleave")]
    assert [text[0] for text in found] == ["a", "b", "a", "b", "a"]
    assert found[0] < found[2] < found[4]
    assert [one["text"] for one in run(*sources, sort_by="text")] == sorted(found)
    entry = report(artifacts.COLLECT)["sources"][0]
    assert (entry["records"], entry["rows_read"]) == (3, 30)
    other = [one["text"] for one in run(*sources, merge="interleave", seed=1)]
    assert other != found


@pytest.mark.parametrize("knobs", [{}, {"merge": "interleave", "sort_by": "label"}])
def test_the_same_bytes_every_time(project: Path, knobs: dict[str, Any]) -> None:
    lines = [f"text {row % 700} {row * row},{row % 5}\n" for row in range(9_000)]
    put({"a.csv": "text,label\n" + "".join(lines), "b.csv": "text,label\n" + "".join(lines[:50])})
    sources = [source("a.csv", name="a", limit=5_000, sample="random"), source("b.csv", name="b")]
    content = []
    for _time in range(2):
        run(*sources, **knobs)
        content.append(
            [(artifacts.COLLECT / name).read_bytes() for name in (artifacts.RECORDS, "README.md")]
        )
    assert content[0] == content[1]


def test_memory_does_not_grow_with_the_records(project: Path) -> None:
    letters = random.Random(0).choices("abcdefgh ", k=4_000)
    with (artifacts.RAW / "a.csv").open("w") as target:
        target.write("text,label\n")
        for row in range(300_000):
            start = row % 3_500
            target.write(f"{''.join(letters[start : start + 300])} {row},{row % 9}\n")
    wanted = changed({"collect.sources": [source("a.csv")], "collect.sort_by": "label"})
    assert growth_during(lambda: collect(wanted)) < 300 << 20
    written = pq.ParquetFile(artifacts.COLLECT / artifacts.RECORDS)
    assert written.metadata.num_rows == 300_000
    groups = [written.metadata.row_group(one).num_rows for one in range(written.num_row_groups)]
    assert set(groups[:-1]) == {artifacts.SHARD}


# --- writing ------------------------------------------------------------------------------------

SCHEMA = pa.schema([("text", pa.string()), ("n", pa.int64())])


@given(lengths=st.lists(st.integers(0, 60), max_size=50), cut=st.integers(1, 9))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_row_groups_do_not_depend_on_how_records_come(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    lengths: list[int], cut: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(writing, "BYTES", 100)
    folder = tmp_path_factory.mktemp("writing")
    records = [{"text": "x" * length, "n": length} for length in lengths]
    for name, size in (("whole", len(records) + 1), ("pieces", cut)):
        with writing.RecordWriter(folder / name, SCHEMA, rows=8) as writer:
            for start in range(0, len(records), size):
                writer.add(records[start : start + size])
        assert writer.written == len(records)
    assert (folder / "whole").read_bytes() == (folder / "pieces").read_bytes()
    written = pq.ParquetFile(folder / "whole")
    assert written.read().to_pylist() == records
    place = 0
    for number in range(written.num_row_groups):
        size = written.metadata.row_group(number).num_rows
        assert 1 <= size <= 8
        assert size == 1 or sum(lengths[place : place + size]) <= 100
        place += size


def test_tables_batches_and_dictionaries_are_taken(tmp_path: Path) -> None:
    table = pa.table({"n": [1], "text": ["a"]})
    with writing.RecordWriter(tmp_path / "a", SCHEMA) as writer:
        writer.add(table)
        writer.add(table.to_batches()[0])
        writer.add([{"text": "a", "n": 1}])
        writer.add([])
    assert rows(tmp_path / "a") == [{"text": "a", "n": 1}] * 3


# --- what the process says ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SourceError, GateError])
def test_an_error_survives_the_way_to_the_parent(kind: type[MofangError]) -> None:
    found = _("byte 0x{byte:02X}, which is not {encoding}", byte=7, encoding=_("a link {x}", x="{"))
    error = kind.at(Path("a"), found=found, allowed="utf-8", fix=_("Check the download."))
    told = unpacked(json.loads(json.dumps(packed(error))))
    assert type(told) is kind
    for language in ("en", "zh"):
        assert told.render(language) == error.render(language)


def test_bytes_are_counted() -> None:
    count = Count(allowed=10_000_000)
    count.took(9_000_000, "a")
    count.unpack(9_000_000, "a")  # the same bytes again, as they came out of an archive
    with pytest.raises(SourceError, match="a: found more than 10 MB when unpacked"):
        count.took(1_000_001, "a")
    with pytest.raises(SourceError):
        count.unpack(1_000_001, "a")


def test_a_tar_without_its_end_is_refused(project: Path) -> None:
    whole = tarred((member("a.csv"), TABLE))
    put({"a.tar": whole[: tarfile.BLOCKSIZE * 2]})
    assert "found a damaged archive (unexpected end of data)" in refusal_in_process(source("a.tar"))


def test_a_zip_made_elsewhere_is_read(project: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        archive.mkdir("folder")
        with archive.open("folder/a.csv", "w", force_zip64=True) as content:
            content.write(TABLE)
    put({"a.zip": b"#!/bin/sh\n" + target.getvalue()})
    assert in_process(source("a.zip")) == PAIRS
