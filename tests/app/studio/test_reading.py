"""Reading: pages and not data sets, the same records as the file has, never an old answer."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.studio import parquet_reading, reading
from app.studio.project_files import Project
from pipeline.errors import DataError

GROUP = 1_000  # records of a row group
COUNT = 3_500


def rows(count: int = COUNT) -> list[dict[str, object]]:
    return [
        {"id": f"r{at}", "text": f"Text {at}" + (" NEEDLE" if at % 700 == 5 else ""),
         "label": ["a", "b", None][at % 3]}
        for at in range(count)
    ]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "records.parquet"
    pq.write_table(pa.Table.from_pylist(rows()), target, row_group_size=GROUP)
    return target


@pytest.mark.parametrize("offset", [0, 1, 990, 1_000, 2_999, 3_480, 3_500, 9_999, -5])
@pytest.mark.parametrize("limit", [1, 50])
def test_a_page_holds_what_stands_there(path: Path, offset: int, limit: int) -> None:
    found = reading.page(path, offset, limit)
    first = max(0, offset)
    wanted = rows()[first : first + limit]
    assert (
        found.reset_index(drop=True)
        .astype(object)
        .where(found.reset_index(drop=True).notna(), None)
        .to_dict("records")
        == wanted
    )
    assert list(found.index) == list(range(first, first + len(wanted)))


def test_a_page_reads_its_row_group_and_its_columns_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[int], list[str]]] = []
    real = pq.ParquetFile.iter_batches

    def watched(self: pq.ParquetFile, size: int, **given: object) -> object:
        asked.append((list(given["row_groups"]), list(given["columns"])))  # type: ignore[call-overload]
        return real(self, size, **given)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    found = reading.page(path, 1_990, 20, ["label", "text", "nowhere"])
    assert list(found.columns) == ["label", "text"]
    assert len(found) == 20
    assert asked == [([1], ["label", "text"]), ([2], ["label", "text"])]
    reading.page(path, 1_990, 20, ["label", "text", "nowhere"])
    assert len(asked) == 2, "what did not change is not read again"


def test_a_larger_page_than_allowed_is_cut(path: Path) -> None:
    assert len(reading.page(path, 0, 10**9)) == reading.LARGEST_PAGE


def test_the_footer_tells_count_and_columns(path: Path) -> None:
    assert reading.count(path) == COUNT
    assert reading.columns(path) == ("id", "text", "label")


def test_what_changes_is_read_again(path: Path) -> None:
    assert reading.count(path) == COUNT
    before = reading.page(path, 0, 1)
    assert before["text"][0] == "Text 0"
    pq.write_table(pa.Table.from_pylist(rows(3)), path.with_name("new"))
    path.with_name("new").replace(path)
    assert reading.count(path) == 3
    assert len(reading.page(path, 0, 50)) == 3


def test_what_a_caller_does_to_a_page_reaches_nobody_else(path: Path) -> None:
    reading.page(path, 0, 5)["text"] = "spoilt"
    assert reading.page(path, 0, 5)["text"][0] == "Text 0"


def test_a_search_finds_all_page_after_page(path: Path) -> None:
    places: list[int] = []
    start: int | None = 0
    while start is not None:
        found = reading.find(path, contains="needle", start=start, limit=2, columns=["id"])
        places += list(found.frame.index)
        start = found.next
    assert places == [5, 705, 1_405, 2_105, 2_805]


def test_a_search_by_value_and_text_together(path: Path) -> None:
    found = reading.find(path, contains="Needle", equals={"label": "b"}, limit=50)
    assert [row["id"] for row in found.frame.to_dict("records")] == ["r1405"]
    assert (found.next, found.looked, found.total) == (None, COUNT, COUNT)


@pytest.mark.parametrize("contains", ["(", "[a-z", "%", "\\", "'", "Text 1'; drop"])
def test_a_search_is_for_the_letters_themselves(path: Path, contains: str) -> None:
    assert not len(reading.find(path, contains=contains).frame)


def test_a_search_stops_in_time_and_says_where_to_go_on(path: Path) -> None:
    found = reading.find(path, contains="2805", seconds=-1.0)
    assert not len(found.frame)
    assert found.next == GROUP == found.looked
    start: int | None = 0
    rounds = 0
    while start is not None:
        found = reading.find(path, contains="2805", start=start, seconds=-1.0, limit=1)
        rounds += 1
        if len(found.frame):
            break
        start = found.next
    assert found.frame["id"].tolist() == ["r2805"]
    assert rounds == 3


def test_a_column_that_is_not_there_fits_nothing(path: Path) -> None:
    found = reading.find(path, equals={"difficulty": "easy"})
    assert (len(found.frame), found.next, found.total) == (0, None, COUNT)


def test_records_are_looked_up_by_name(path: Path) -> None:
    found = reading.lookup(path, ["r3400", "nowhere", "r7", "r7"], ["text", "label"])
    assert found == {"r7": {"text": "Text 7", "label": "b"},
                     "r3400": {"text": "Text 3400", "label": "b"}}  # fmt: skip
    assert reading.lookup(path, [], ["text"]) == {}


def test_nothing_is_there_before_a_stage_ran(tmp_path: Path) -> None:
    path = tmp_path / "no.parquet"
    assert reading.page(path, 0, 5).empty
    assert reading.count(path) == 0
    assert reading.columns(path) == ()
    assert reading.find(path).total == 0
    assert reading.lookup(path, ["r1"], ["text"]) == {}
    assert reading.report(Project(tmp_path), "clean") is None
    assert reading.metrics(Project(tmp_path), "test") is None
    assert reading.table(tmp_path / "no.csv") is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and no more", b"{" * 200])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records.parquet"
    path.write_bytes(content)
    for asked in (reading.page, reading.count, reading.columns, reading.find):
        with pytest.raises(DataError) as caught:
            asked(path)
        assert caught.value.problems[0].where == str(path)
    report = Project(tmp_path).report("clean")
    report.parent.mkdir(parents=True)
    report.write_bytes(content)
    with pytest.raises(DataError):
        reading.report(Project(tmp_path), "clean")


def test_damage_in_the_middle_is_named(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = os.urandom(396)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError):
        reading.page(path, 0, 50)


def test_a_report_is_read_once_for_each_writing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = project.report("label")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"kept": 1}), encoding="utf-8")
    found = reading.report(project, "label")
    assert found == {"kept": 1}
    assert reading.report(project, "label") is found
    path.write_text(json.dumps({"kept": 22}), encoding="utf-8")
    assert reading.report(project, "label") == {"kept": 22}


def test_a_table_keeps_numbers_and_texts_apart(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text('name,count,share,note\na,1,0.5,\n"b,c",,1,x\n', encoding="utf-8")
    found = reading.table(path)
    assert found is not None
    assert found["name"].tolist() == ["a", "b,c"]
    assert found["count"].dropna().tolist() == [1]
    assert found["share"].tolist() == [0.5, 1.0]
    assert found["note"].tolist() == [None, "x"]
    one = reading.table(path, limit=1)
    assert one is not None
    assert len(one) == 1


def test_no_cell_of_a_download_is_a_formula() -> None:
    cells = ["=1+1", "+1", "-1", "@x", "plain", "'=1", "\u7b2c\u4e8c", 'a"b,c']
    content = reading.spreadsheet(pd.DataFrame({"=text": cells, "count": range(len(cells))}))
    assert content.startswith(b"\xef\xbb\xbf")
    found = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert found[0] == ["'=text", "count"]
    assert [row[0] for row in found[1:]] == [
        "'=1+1", "'+1", "'-1", "'@x", "plain", "''=1", "\u7b2c\u4e8c", 'a"b,c'
    ]  # fmt: skip


def test_long_texts_are_cut_before_they_are_sent() -> None:
    found = reading.shown(pd.DataFrame({"text": ["x" * 5_000, "y"], "n": [1, 2]}))
    assert [len(one) for one in found["text"]] == [reading.LONGEST_TEXT + 1, 1]
    assert found["n"].tolist() == [1, 2]


def test_a_million_records_are_paged_in_time(tmp_path: Path) -> None:
    path = tmp_path / "million.parquet"
    count, group = 1_000_000, 65_536
    table = pa.table({
        "id": pa.array([f"{at:020x}" for at in range(count)]),
        "text": pa.array([f"What is the number {at} good for ?" for at in range(count)]),
    })  # fmt: skip
    pq.write_table(table, path, compression="zstd", row_group_size=group, store_schema=False)
    del table

    def timed(work: object) -> float:
        began = time.perf_counter()
        work()  # type: ignore[operator]
        return time.perf_counter() - began

    assert timed(lambda: reading.page(path, 999_950, 50)) < 2.0
    assert timed(lambda: reading.find(path, contains="no such thing")) < 2.0
    assert timed(lambda: reading.lookup(path, [f"{999_999:020x}"], ["text"])) < 2.0
    assert reading.count(path) > parquet_reading.BATCH
