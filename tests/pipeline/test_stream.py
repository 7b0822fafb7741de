"""Continuous collection: each run takes what is new, once, also when runs are killed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import artifacts
from pipeline.errors import BusyError, SourceError
from pipeline.schema.feeds import StreamSource
from pipeline.sources import file, snapshots, stream
from pipeline.sources.delivery import Row
from tests.pipeline.postgres import Postgres, server
from tests.pipeline.test_sql import environment

COLUMNS = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
READER = {"format": "auto", "encoding": "auto", "pattern": None, "unmatched": "fail"}
READER |= {"members": "*", "sheet": None, "columns": COLUMNS}
INBOX = Path("data/raw/inbox")
VARIABLE = "REVIEWS_URL"
FILE = Path("data/raw/reviews.db")
FOLDER = snapshots.SNAPSHOTS / "inbox"


def source(feed: dict[str, Any], **changes: Any) -> StreamSource:
    """Return a source of kind stream."""
    stated = {"name": "inbox", "kind": "stream", "licence": "made here", "permitted_use": "tests"}
    stated |= {
        "personal_data": False,
        "required": True,
        "limit": None,
        "label": None,
        "sample": "first",
    }
    return StreamSource.model_validate(
        {**stated, "keep_snapshots": None, "keep_days": None, **changes, "feed": feed}
    )


def folder(pattern: str = "*", *, reader: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Return a source whose feed is the inbox."""
    feed = {"kind": "folder", "path": f"{INBOX}/{pattern}", "reader": READER | (reader or {})}
    return source(feed, **changes)


def table(
    query: str = "SELECT * FROM reviews WHERE id > :watermark ORDER BY id",
    *,
    start: str = "0",
    watermark: str = "id",
    columns: dict[str, Any] | None = None,
    **changes: Any,
) -> Any:
    """Return a source whose feed is a table."""
    feed: dict[str, Any] = {"kind": "sql", "url_from": VARIABLE, "query": query, "batch": 100}
    feed |= {"watermark": watermark, "start": start, "columns": COLUMNS | (columns or {})}
    return source(feed, **changes)


def collected(wanted: Any) -> list[Row]:
    return list(stream.open_source(wanted).rows)


def texts(wanted: Any) -> list[str]:
    return [row.text for row in collected(wanted)]


def notes(wanted: Any) -> dict[str, int]:
    delivery = stream.open_source(wanted)
    for _row in delivery.rows:
        pass
    return delivery.notes


def refusal(wanted: Any) -> str:
    """Return what is said about a run that must fail, which may change nothing."""
    before = {path: path.read_bytes() for path in FOLDER.glob("*")}
    with pytest.raises(SourceError) as caught:
        collected(wanted)
    assert {path: path.read_bytes() for path in FOLDER.glob("*")} == before
    return caught.value.render("en")


def append(name: str, content: str | bytes) -> None:
    """Write to the end of a file of the inbox."""
    INBOX.mkdir(parents=True, exist_ok=True)
    with (INBOX / name).open("ab") as target:
        target.write(content.encode() if isinstance(content, str) else content)


def line(text: str, label: str = "x") -> str:
    return json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n"


def state() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "state.json").read_text())
    return found


def stored() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.parquet"))


@pytest.fixture(autouse=True)
def _in_a_project(project: Path) -> None:
    """Every test runs in a project of its own."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets the time of snapshots go on, by days."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    monkeypatch.setattr(snapshots, "now", lambda: now[0])

    def later(days: float) -> None:
        now[0] += timedelta(days=days)

    return later


def test_each_run_takes_what_is_new() -> None:
    append("a.jsonl", line("one") + line("two"))
    assert texts(folder()) == ["one", "two"]
    append("a.jsonl", line("three"))
    append("b.jsonl", line("four"))
    assert texts(folder()) == ["one", "two", "three", "four"]
    assert notes(folder())["new_rows"] == 0
    assert len(stored()) == 2
    rows = collected(folder())
    assert rows[2] == Row("three", "x", None, None, {"file": f"{INBOX}/a.jsonl", "row": 3})
    assert rows[3].meta == {"file": f"{INBOX}/b.jsonl", "row": 1}
    assert [path.name for path in FOLDER.iterdir() if path.name.startswith(".")] == []


def test_a_delivery_says_what_it_is_made_of() -> None:
    append("a.txt", "one\n\ntwo\n")
    append("b.txt", "three\nunfini")
    delivery = stream.open_source(folder())
    assert (delivery.files, FOLDER.exists()) == ([], False)
    assert len(list(delivery.rows)) == 3
    assert delivery.notes == {
        "unfinished_files": 1,
        "new_rows": 3,
        "new_empty": 1,
        "new_unmatched": 0,
        "snapshots": 1,
        "snapshots_deleted": 0,
        "rows_ever": 3,
    }
    assert [path.name for path in delivery.files] == stored()
    assert delivery.bytes == delivery.files[0].stat().st_size
    append("b.txt", "shed\n\n")
    delivery = stream.open_source(folder())
    assert [row.text for row in delivery.rows] == ["one", "two", "three", "unfinished"]
    assert (delivery.count.read, delivery.count.empty) == (6, 2)
    assert delivery.notes["unfinished_files"] == 0
    first = delivery.sha256
    again = stream.open_source(folder())
    assert len(list(again.rows)) == 4
    assert (again.sha256, again.count) == (first, delivery.count)


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_record_of_a_table_is_taken_when_it_is_whole(form: str) -> None:
    cut = "," if form == "csv" else "\t"
    name = f"a.{form}"
    append(name, f'"text"{cut}"la\nbel"\n')
    wanted = folder(reader={"columns": COLUMNS | {"label": "la\nbel"}})
    assert notes(wanted)["unfinished_files"] == 1
    assert not FOLDER.joinpath("state.json").exists()
    append(name, f"one{cut}x\r\n\r\ntw")
    assert texts(wanted) == ["one"]
    append(name, f'o{cut}x\n"thr\nee, ""still\n')
    assert texts(wanted) == ["one", "two"]
    append(name, f'open"{cut}x\n\n')
    append(name, f'quote " inside{cut}x\n')
    rows = collected(wanted)
    assert [row.text for row in rows] == ["one", "two", 'thr\nee, "still\nopen', 'quote " inside']
    whole = list(file.open_source(source_of_file(name, wanted)).rows)
    assert rows == whole


def source_of_file(name: str, wanted: Any) -> Any:
    """Return a source of kind file for a file of the inbox, read in the same way."""

    class Whole:
        path = f"{INBOX}/{name}"
        reader = wanted.feed.reader

    return Whole()


def test_what_csv_refuses_is_named_by_its_row() -> None:
    append("a.csv", "text,label\none,x\n")
    assert texts(folder()) == ["one"]
    append("a.csv", 'two,x\n"three"3,x\nfour,x\n')
    assert refusal(folder()).startswith(f"{INBOX}/a.csv:4: ")
    shutil.copy(INBOX / "a.csv", "copy")
    append("b.csv", "text,label\none,x,y\n")
    (INBOX / "a.csv").write_text("text,label\none,x\n" + "two\n")
    said = refusal(folder())
    assert f"{INBOX}/a.csv:3: found 1 cells" in said


def test_what_jsonl_refuses_is_named_by_its_row() -> None:
    append("a.jsonl", line("one") + "\n" + line("two"))
    assert texts(folder()) == ["one", "two"]
    append("a.jsonl", line("three") + "nonsense\n")
    assert refusal(folder()).startswith(f"{INBOX}/a.jsonl:5: ")


def test_lines_that_do_not_match_are_counted_with_their_rows() -> None:
    reader = {"pattern": "(?P<label>\\w):(?P<text>.+)", "unmatched": "skip"}
    append("a.txt", "a:one\nnothing\n")
    assert texts(folder(reader=reader)) == ["one"]
    append("a.txt", "b:two\nnothing\n\n")
    delivery = stream.open_source(folder(reader=reader))
    assert [row.text for row in delivery.rows] == ["one", "two"]
    assert (delivery.count.unmatched, delivery.count.empty, delivery.count.read) == (2, 1, 5)
    assert delivery.count.unmatched_rows == [f"{INBOX}/a.txt:4"]
    reader["unmatched"] = "fail"
    append("a.txt", "nothing\n")
    assert refusal(folder(reader=reader)).startswith(f"{INBOX}/a.txt:6: ")


def test_lines_without_text_are_not_read_again() -> None:
    append("a.txt", "\n\n")
    assert texts(folder()) == []
    assert (stored(), state()["position"]["files"][f"{INBOX}/a.txt"]["lines"]) == ([], 2)
    append("a.txt", "one\n")
    assert collected(folder())[0].meta["row"] == 3


def test_what_was_taken_may_not_change() -> None:
    append("a.jsonl", line("one"))
    append("b.jsonl", line("two"))
    append("c.jsonl", line("three"))
    append("d.parquet", parquet(["four"]))
    append("e.parquet", parquet(["five"]))
    assert len(texts(folder())) == 5
    (INBOX / "a.jsonl").write_text(line("0ne") + line("more"))
    (INBOX / "b.jsonl").write_text(line("two")[:-3])
    (INBOX / "c.jsonl").unlink()
    (INBOX / "d.parquet").write_bytes(parquet(["four", "more"]))
    append("f.jsonl", line("six"))
    said = refusal(folder())
    assert [one.partition(":")[0] for one in said.splitlines()] == [
        f"{INBOX}/{name}" for name in ("a.jsonl", "b.jsonl", "d.parquet")
    ]
    (INBOX / "a.jsonl").write_text(line("one") + line("more"))
    (INBOX / "b.jsonl").write_text(line("two"))
    (INBOX / "d.parquet").unlink()
    assert texts(folder()) == ["one", "two", "three", "four", "five", "more", "six"]
    append("c.jsonl", line("another"))
    assert refusal(folder()).startswith(f"{INBOX}/c.jsonl: ")


def parquet(values: list[str]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"text": values, "label": ["x"] * len(values)}), target)
    return target.getvalue()


def test_archives_are_taken_whole() -> None:
    import zipfile

    INBOX.mkdir()
    with zipfile.ZipFile(INBOX / "a.zip", "w") as target:
        target.writestr("in.jsonl", line("one"))
    append("b.jsonl", line("two"))
    assert texts(folder()) == ["one", "two"]
    assert notes(folder())["new_rows"] == 0
    append("a.zip", b"\0")
    assert refusal(folder()).startswith(f"{INBOX}/a.zip: ")


def test_a_file_that_is_still_written_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    append("a.parquet", parquet(["one"]))
    read = file.rows_of

    def and_write(*arguments: Any) -> Iterator[Row]:
        yield from read(*arguments)
        (INBOX / "a.parquet").write_bytes(parquet(["two"]))

    with monkeypatch.context() as patched:
        patched.setattr(file, "rows_of", and_write)
        assert "changed while it was read" in refusal(folder())
    assert texts(folder()) == ["two"]


def test_a_folder_is_read_with_what_lies_below_it() -> None:
    append("a.jsonl", line("one"))
    append(".hidden.jsonl", line("hidden"))
    append("notes.pdf", "no data")
    feed = {"kind": "folder", "path": str(INBOX), "reader": READER}
    delivery = stream.open_source(source(feed))
    assert [row.text for row in delivery.rows] == ["one"]
    assert delivery.count.skipped >= 1
    assert texts(folder("*.jsonl", name="other")) == ["one"]


def test_no_file_at_all_is_an_error_until_there_was_one() -> None:
    assert "found no file" in refusal(folder())
    INBOX.mkdir()
    assert "found no file" in refusal(folder())
    append("a.txt", "one\n")
    assert texts(folder()) == ["one"]
    (INBOX / "a.txt").unlink()
    assert texts(folder()) == ["one"]


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    INBOX.mkdir()
    (tmp_path / "secret.txt").write_text("secret\n")
    (INBOX / "a.txt").symlink_to(tmp_path / "secret.txt")
    assert "a link that leaves data/raw" in refusal(folder())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk"])
def test_encodings_grow(encoding: str) -> None:
    append("a.csv", "text,label\n".encode(encoding))
    lines = [f"第{number}行，中文评论写得很好,好\n" for number in range(60)]
    append("a.csv", "".join(lines[:40]).encode(encoding.removesuffix("-sig")))
    assert len(texts(folder())) == 40
    for one in lines[40:]:
        append("a.csv", one.encode(encoding.removesuffix("-sig")))
        assert texts(folder())[-1] == one.partition(",")[0]


def test_ascii_first_says_nothing_about_the_encoding() -> None:
    append("a.txt", "plain\n")
    assert texts(folder()) == ["plain"]
    assert state()["position"]["files"][f"{INBOX}/a.txt"]["encoding"] is None
    append("a.txt", "今天天气很好，我们去公园散步吧，大家都很高兴。\n".encode("gb18030"))
    assert texts(folder())[1].startswith("今天天气")
    assert state()["position"]["files"][f"{INBOX}/a.txt"]["encoding"] == "gb18030"


def test_a_stated_encoding_may_be_corrected() -> None:
    append("a.txt", "中文\n".encode("gb18030"))
    assert refusal(folder(reader={"encoding": "utf-8"})).startswith(f"{INBOX}/a.txt:1: ")
    assert texts(folder(reader={"encoding": "gb18030"})) == ["中文"]


def test_encodings_whose_lines_end_otherwise_are_refused() -> None:
    append("a.txt", "one\ntwo\n中\n".encode("utf-16"))
    said = refusal(folder())
    assert "utf" in said.lower() or "text" in said
    assert "nobody sees whether a line is finished" in refusal(
        folder(reader={"encoding": "utf-16-le"})
    )


def test_several_runs_may_not_interleave() -> None:
    append("a.txt", "one\n")
    artifacts.WORK.mkdir()
    with FileLock(artifacts.WORK / "collect-inbox.lock"):
        with pytest.raises(BusyError, match="another run that collects this source"):
            collected(folder())
        assert texts(folder(name="other")) == ["one"]
    first = stream.open_source(folder())
    next(first.rows)
    with pytest.raises(BusyError):
        collected(folder())
    first.rows.close()  # type: ignore[attr-defined]
    assert texts(folder()) == ["one"]


def test_old_snapshots_are_deleted_and_not_collected_again(clock: Callable[[float], None]) -> None:
    for number in range(5):
        append("a.txt", f"{number}\n")
        clock(1)
        texts(folder())
    assert len(stored()) == 5
    assert notes(folder(keep_snapshots=3)) == {
        "unfinished_files": 0,
        "new_rows": 0,
        "new_empty": 0,
        "new_unmatched": 0,
        "snapshots": 3,
        "snapshots_deleted": 2,
        "rows_ever": 5,
    }
    assert texts(folder()) == ["2", "3", "4"]
    clock(1.5)
    assert texts(folder(keep_days=2)) == ["4"]
    assert len(stored()) == 1
    clock(10)
    assert texts(folder(keep_days=2)) == []
    append("a.txt", "5\n")
    assert texts(folder(keep_days=2)) == ["5"]
    assert collected(folder())[0].meta["row"] == 6
    assert texts(folder(keep_snapshots=1, keep_days=1)) == ["5"]


def test_a_clock_that_goes_back_keeps_the_order(clock: Callable[[float], None]) -> None:
    for number in range(4):
        append("a.txt", f"{number}\n")
        assert texts(folder())[-1] == str(number)
        clock(-1)
    assert stored() == sorted(stored())
    assert len(stored()) == 4
    assert texts(folder()) == ["0", "1", "2", "3"]


def test_another_feed_under_the_same_name_is_refused() -> None:
    append("a.txt", "one\n")
    assert texts(folder()) == ["one"]
    changes: dict[str, Any] = {"columns": COLUMNS | {"label": None}}
    assert "(path)" in refusal(folder("*.txt"))
    said = refusal(folder(reader=changes))
    assert "(reader.columns.label)" in said
    assert "Give the source another name" in said
    assert "(kind)" in refusal(table())
    assert texts(folder(reader={"unmatched": "skip", "encoding": "utf-8"})) == ["one"]
    shutil.rmtree(FOLDER)
    assert texts(folder("*.txt")) == ["one"]


def test_a_field_that_the_schema_gets_later_does_not_make_another_feed() -> None:
    append("a.txt", "one\n")
    assert texts(folder()) == ["one"]
    content = state()
    del content["feed"]["reader"]["sheet"]
    (FOLDER / "state.json").write_text(json.dumps(content))
    assert texts(folder()) == ["one"]


def test_a_feed_of_which_nothing_was_taken_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{FILE}")
    assert "no SQLite file" in refusal(table())
    append("a.txt", "one\n")
    assert texts(folder()) == ["one"]


def test_a_folder_that_somebody_changed_is_refused() -> None:
    for number in range(3):
        append("a.txt", f"{number}\n")
        texts(folder())
    first, second, third = stored()
    kept = Path("kept")
    shutil.copytree(FOLDER, kept)
    (FOLDER / first).unlink()
    (FOLDER / second).write_bytes((FOLDER / third).read_bytes())
    (FOLDER / "20200101T000000000000.parquet").write_bytes(b"other")
    said = refusal(folder())
    assert said.splitlines()[0].startswith(f"{FOLDER}/20200101T000000000000.parquet: found a file")
    assert said.splitlines()[1].startswith(f"{FOLDER}/{first}: found no such file")
    assert said.splitlines()[2].startswith(f"{FOLDER}/{second}: found another content")
    for broken in ('{"feed":', "[]", "{}", '{"feed": {}, "snapshots": [{"name": 1}]}'):
        shutil.rmtree(FOLDER)
        shutil.copytree(kept, FOLDER)
        (FOLDER / "state.json").write_text(broken)
        assert refusal(folder()).startswith(f"{FOLDER}/state.json: ")
    (FOLDER / "state.json").unlink()
    assert len(refusal(folder()).splitlines()) == 3
    shutil.rmtree(FOLDER)
    shutil.copytree(kept, FOLDER)
    (FOLDER / "note.txt").write_text("a person's")
    assert texts(folder()) == ["0", "1", "2"]


def test_what_a_killed_run_left_is_swept() -> None:
    append("a.txt", "0\n")
    texts(folder())
    for name in (".building.parquet", ".part", ".state.json.tmp-1", "..next.json.tmp-1"):
        (FOLDER / name).write_bytes(b"half")
    assert texts(folder()) == ["0"]
    assert sorted(path.name for path in FOLDER.iterdir()) == [*stored(), "state.json"]


def test_a_snapshot_outlives_the_file_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the snapshot and state.json, and the file is gone: nothing is lost."""
    append("a.txt", "0\n")
    texts(folder())
    append("a.txt", "1\n")
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "settle", lambda *_arguments, **_named: die())
        with pytest.raises(Killed):
            collected(folder())
    (INBOX / "a.txt").unlink()
    assert texts(folder()) == ["0", "1"]


def test_a_bomb_is_stopped_before_it_is_kept() -> None:
    append("a.parquet", parquet(["x" * 1000] * 10_000))
    delivery = stream.open_source(folder())
    delivery.count.allowed = 1_000_000
    with pytest.raises(SourceError, match="more than 1 MB"):
        list(delivery.rows)
    assert list(FOLDER.iterdir()) == []


# Tables ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with server() as made:
        yield made


class Table:
    """A table of reviews in either database."""

    def __init__(self, postgres: Postgres | None, kind: str) -> None:
        self.postgres = postgres
        self.run("DROP TABLE IF EXISTS reviews")
        self.run(f"CREATE TABLE reviews (id {kind}, text text, label text)")

    def run(self, statement: str) -> None:
        if self.postgres:
            self.postgres.run(statement)
            return
        with contextlib.closing(sqlite3.connect(FILE)) as connection, connection:
            connection.execute(statement)

    def add(self, *ids: object) -> None:
        for one in ids:
            shown = f"'{one}'" if isinstance(one, str) else "NULL" if one is None else one
            self.run(f"INSERT INTO reviews VALUES ({shown}, 'row ' || {shown}, 'x')")  # noqa: S608


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Table]:
    """Return what makes a table in each database; ``kind`` is the type of its id."""
    made = request.getfixturevalue("postgres") if request.param == "postgres" else None
    monkeypatch.setenv(VARIABLE, made.url if made else f"sqlite:///{FILE}")
    return lambda kind="bigint": Table(made, kind)


def test_a_table_is_taken_above_its_watermark(make: Callable[..., Table]) -> None:
    reviews = make()
    reviews.add(1, 2, 10)
    assert texts(table(start="1")) == ["row 2", "row 10"]
    assert state()["position"] == {"watermark": {"type": "integer", "value": "10"}, "numbered": 2}
    assert notes(table(start="1"))["new_rows"] == 0
    reviews.add(9, 11, 100)
    rows = collected(table(start="1"))
    assert [row.text for row in rows] == ["row 2", "row 10", "row 11", "row 100"]
    assert rows[-1].meta == {"file": "inbox", "row": 4}
    assert len(stored()) == 2


@pytest.mark.parametrize(
    ("kind", "values", "start"),
    [
        ("bigint", [1, 2**40, 2**62], "0"),
        ("numeric", ["0.5", "1.25", "10"], "0.1"),
        ("double precision", [0.5, 1.25, 10.0], "0.1"),
        ("text", ["a1", "a2", "b"], ""),
        ("text", ["10", "11", "9"], "1"),
        ("date", ["2026-01-01", "2026-01-02", "2026-02-01"], "2025-12-31"),
        (
            "timestamp",
            ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00.000002", "2026-01-02 00:00:00"],
            "2026-01-01",
        ),
        (
            "timestamptz",
            ["2026-01-01T00:00:00.5+08:00", "2026-01-01T00:00:00.6+08:00", "2026-01-02"],
            "2025-12-01",
        ),
    ],
)
def test_watermarks_of_every_type(
    make: Callable[..., Table], kind: str, values: list[Any], start: str
) -> None:
    reviews = make(kind)
    for number, value in enumerate(values, 1):
        reviews.add(value)
        delivery = stream.open_source(table(start=start))
        assert len(list(delivery.rows)) == number
        assert delivery.notes["new_rows"] == 1


def test_a_query_has_to_ask_for_what_is_new() -> None:
    for query in ("SELECT * FROM reviews", "SELECT ':watermark' AS text -- :watermark"):
        with pytest.raises(SourceError) as caught:
            stream.open_source(table(query))
        assert "found a query without :watermark" in caught.value.render("en")


def test_rows_that_are_not_new_are_refused(make: Callable[..., Table]) -> None:
    reviews = make()
    reviews.add(1, 5)
    at_least = table("SELECT * FROM reviews WHERE id >= :watermark ORDER BY id")
    assert texts(at_least) == ["row 1", "row 5"]
    said = refusal(at_least)
    assert said.startswith("inbox:3: found id = 5, allowed above 5, the highest of the last run")


def test_rows_out_of_their_order_are_refused(make: Callable[..., Table]) -> None:
    """With LIMIT an answer that does not begin with the lowest would lose rows."""
    make().add(1, 5, 7)
    query = "SELECT * FROM reviews WHERE id > :watermark ORDER BY id DESC LIMIT 2"
    assert "End the query with ORDER BY id" in refusal(table(query))
    ascending = table(query.replace(" DESC", ""))
    assert (texts(ascending), texts(ascending)) == (
        ["row 1", "row 5"],
        ["row 1", "row 5", "row 7"],
    )


def test_a_watermark_needs_a_value_of_one_type(make: Callable[..., Table]) -> None:
    reviews = make()
    reviews.add(1, None)
    always = "SELECT * FROM reviews WHERE id > :watermark OR id IS NULL ORDER BY id NULLS LAST"
    assert "no value in the column id" in refusal(table(always))
    assert "a column day" in refusal(table(watermark="day"))
    odd = "SELECT id = 1 AS id, text, label FROM reviews WHERE id > :watermark"
    if reviews.postgres:  # SQLite has no truth values
        assert "bool in the column id" in refusal(table(odd))
    else:
        assert texts(table(odd)) == ["row 1"]


def test_sqlite_may_mix_types_in_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{FILE}")
    reviews = Table(None, "")
    reviews.add(1, 1.5, "a")
    assert "str in the column id, allowed float, as in the rows before" in refusal(table())
    reviews.run("DELETE FROM reviews WHERE id = 'a'")
    assert texts(table()) == ["row 1", "row 1.5"]


def test_what_is_not_promised_of_ties(make: Callable[..., Table]) -> None:
    """A row that comes later with the watermark of the last run is missed, as the module says."""
    reviews = make()
    reviews.add(1, 2, 2)
    assert texts(table()) == ["row 1", "row 2", "row 2"]
    reviews.add(2, 3)
    assert texts(table()) == ["row 1", "row 2", "row 2", "row 3"]


def test_an_empty_table_is_no_error(make: Callable[..., Table]) -> None:
    reviews = make()
    assert texts(table()) == []
    assert not FOLDER.joinpath("state.json").exists()
    reviews.run("INSERT INTO reviews VALUES (1, '', 'x')")
    assert texts(table()) == []
    assert (stored(), state()["position"]["watermark"]["value"]) == ([], "1")


def test_a_value_is_bound_and_never_part_of_the_query(make: Callable[..., Table]) -> None:
    reviews = make("text")
    evil = "a'); DROP TABLE reviews; --"
    reviews.add(evil.replace("'", "''"))
    assert texts(table(start="' OR 1=1 --")) == [f"row {evil}"]
    assert texts(table(start="' OR 1=1 --")) == [f"row {evil}"]
    assert state()["position"]["watermark"]["value"] == evil


def test_rows_that_the_table_drops_are_kept(make: Callable[..., Table]) -> None:
    reviews = make()
    reviews.add(1)
    texts(table())
    reviews.run("DELETE FROM reviews")
    reviews.add(2)
    assert texts(table()) == ["row 1", "row 2"]
    reviews.run("DROP TABLE reviews")
    assert "reviews" in refusal(table())


def test_a_run_that_fails_midway_takes_nothing(make: Callable[..., Table]) -> None:
    reviews = make()
    reviews.add(*range(1, 8), 0)
    query = "SELECT 1 / (id - 7) AS x, * FROM reviews WHERE id > :watermark ORDER BY id"
    wanted = table(query)
    if reviews.postgres:  # SQLite answers with NULL
        assert "division by zero" in refusal(wanted)
        assert not list(FOLDER.iterdir())
    wide = table(query.replace("1 / (id - 7)", "CAST(x'ff' AS text)"))
    if not reviews.postgres:
        assert "UTF-8" in refusal(wide)
        assert not list(FOLDER.iterdir())


# Runs that are killed ----------------------------------------------------------------------------


WATCHED = ("open", "os.rename", "os.remove", "os.mkdir")


class Steps:
    """Counts what a run does to its files, and stops it before one of these steps."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.stop: Callable[[], None] = lambda: None
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left is None or event not in WATCHED:
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
        if "data/snapshots" in path:
            self.left -= 1
            if self.left < 0:
                self.stop()


class Killed(BaseException):
    """Stands for a kill: from here on nothing reaches the disk."""


def die() -> None:
    raise Killed


STEPS: list[Steps] = []


def steps() -> Steps:
    """Return the one counter of this process; an audit hook cannot be taken away."""
    if not STEPS:
        STEPS.append(Steps())
    return STEPS[0]


def killed_at(number: int, wanted: Any) -> bool:
    """Run, and stop before step ``number``; return whether there was such a step."""
    counter = steps()
    counter.stop, counter.left = die, number
    try:
        collected(wanted)
    except Killed:
        return True
    finally:
        counter.left = None
    return False


def kill_everywhere(job: Path, out: Path) -> None:
    """Kill -9 a run before each of its steps, each time in a fresh copy; write what came of it.

    :param job: a project with a file ``source.json``.
    """
    wanted = StreamSource.model_validate_json((job / "source.json").read_text())
    results: list[Any] = []
    while True:
        shutil.rmtree(out / "copy", ignore_errors=True)
        shutil.copytree(job, out / "copy")
        os.chdir(out / "copy")
        end = in_a_fork(lambda: run_until(len(results), wanted))
        stuck = in_a_fork(lambda: Path("texts.json").write_text(json.dumps(texts(wanted))))
        found = json.loads(Path("texts.json").read_text()) if stuck == 0 else f"exit {stuck}"
        files = sorted(path.name for path in FOLDER.iterdir())
        results.append([found, len([one for one in files if one.endswith(".parquet")]), files[:1]])
        if end != signal.SIGKILL:
            break
    (out / "results.json").write_text(json.dumps(results))


def run_until(number: int, wanted: Any) -> None:
    counter = steps()
    counter.stop, counter.left = lambda: os.kill(os.getpid(), signal.SIGKILL), number
    texts(wanted)


def in_a_fork(work: Callable[[], object]) -> int:
    """Do work in a copy of this process and return how it ended: 0, or the signal."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("kind", ["folder", "table"])
@pytest.mark.parametrize("keep", [None, 2])
def test_a_run_may_be_killed_at_every_step(
    kind: str, keep: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``kill -9`` before each step: the next run ends as if nothing had happened."""
    job = tmp_path / "job"
    (job / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(job)
    monkeypatch.setenv(VARIABLE, f"sqlite:///{FILE}")
    if kind == "table":
        wanted, reviews = table(keep_snapshots=keep), Table(None, "integer")
    else:
        wanted = folder(keep_snapshots=keep)
    for number in range(3):
        if kind == "table":
            reviews.add(2 * number + 1, 2 * number + 2)
        else:
            append("a.jsonl", line(f"row {2 * number + 1}"))
            append(f"{number}.csv", f"text,label\nrow {2 * number + 2},x\n")
        if number < 2:
            texts(wanted)
    (job / "source.json").write_text(wanted.model_dump_json())
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import sys, pathlib, pandas, pyarrow.parquet, sqlalchemy.dialects.sqlite, filelock; "
        "from tests.pipeline.test_stream import kill_everywhere; "
        "kill_everywhere(*map(pathlib.Path, sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(job), str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert len(results) > 10
    everything = [f"row {number}" for number in range(1, 7)]
    wanted_texts = everything if keep is None else everything[2:]
    for found, files, first in results:
        assert Counter(found) == Counter(wanted_texts)
        assert files == (keep or 3)
        assert not first[0].startswith(".")


NAMES = st.sampled_from(["a.jsonl", "b.csv", "c.txt", "d.jsonl"])
DEEDS = st.one_of(
    st.tuples(st.just("append"), NAMES, st.integers(1, 40)),
    st.tuples(st.just("append"), NAMES, st.integers(1, 40)),
    st.tuples(st.just("run"), st.none(), st.none()),
    st.tuples(st.just("kill"), st.none(), st.integers(0, 30)),
    st.tuples(st.just("remove"), NAMES, st.none()),
)


class World:
    """Files that grow byte by byte, and what of them is finished."""

    def __init__(self) -> None:
        self.waiting: dict[str, bytes] = {}  # the rest of a record that is being written
        self.generation: Counter[str] = Counter()
        self.written = 0
        self.finished: list[str] = []

    def name(self, name: str) -> str:
        return f"{self.generation[name]}-{name}"

    def append(self, name: str, size: int) -> None:
        """Write some bytes: the rest of a record, or the beginning of a new one."""
        path = INBOX / self.name(name)
        if name.endswith(".csv") and not path.exists():
            append(path.name, "text,label\n")
        if not self.waiting.get(name):
            self.written += 1
            self.waiting[name] = self.record(name).encode()
        content, self.waiting[name] = self.waiting[name][:size], self.waiting[name][size:]
        append(path.name, content)
        if not self.waiting[name]:
            self.finished.append(f"行 {self.written_in(content, path)}")

    def written_in(self, _content: bytes, path: Path) -> str:
        """Return the number of the record that stands at the end of a file."""
        return path.read_text(encoding="utf-8").rpartition("行 ")[2].partition(";")[0]

    def record(self, name: str) -> str:
        """Return a record; some of csv go over two lines."""
        text = f"行 {self.written};"
        if name.endswith(".jsonl"):
            return line(text)
        if name.endswith(".txt"):
            return text + "\r\n"
        return f'"{text}\nand ""more""",x\n' if self.written % 2 else f"{text},x\n"

    def remove(self, name: str) -> None:
        """Delete a file of which everything was taken; its name is not used again."""
        (INBOX / self.name(name)).unlink(missing_ok=True)
        self.waiting.pop(name, None)
        self.generation[name] += 1


@settings(max_examples=60)
@given(st.lists(DEEDS, min_size=5, max_size=40))
def test_no_record_is_lost_or_doubled(deeds: list[tuple[str, Any, Any]]) -> None:
    """Files grow at any byte, runs are killed at any step: each finished record comes once."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            live(deeds)
        finally:
            os.chdir(here)


def live(deeds: list[tuple[str, Any, Any]]) -> None:
    world = World()
    INBOX.mkdir(parents=True)
    append("first.txt", "行 0;\n")
    world.finished.append("行 0")
    for deed, name, number in [*deeds, ("run", None, None)]:
        if deed == "append":
            world.append(name, number)
        elif deed == "kill":
            killed_at(number, folder())
        else:
            found = [row.text.partition(";")[0] for row in collected(folder())]
            assert Counter(found) == Counter(world.finished)
            if deed == "remove" and not world.waiting.get(name):
                world.remove(name)
    for path in INBOX.iterdir():
        numbers = [row.meta["row"] for row in collected(folder()) if row.meta["file"] == str(path)]
        assert numbers == rows_in(path)[: len(numbers)]


def rows_in(path: Path) -> list[int]:
    """Return the numbers of the rows of a file, as reading it at once counts them."""
    if path.suffix != ".csv":
        return list(range(1, len(path.read_bytes().splitlines()) + 1))
    with path.open(encoding="utf-8", errors="replace", newline="") as source_file:
        table_of = csv.reader(source_file)
        next(table_of)
        return [table_of.line_num for _cells in table_of]
