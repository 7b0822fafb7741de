"""A table of texts in, the same table with the answers out."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from app.service.demo import batch
from app.service.demo.service import Reply
from app.service.demo.uploads import KEPT, MOST_FILES, Uploads
from app.service.errors import Busy, Failed
from pipeline.errors import DataError
from tests.app import tiny

KNOBS = tiny.serve()
TRIGGERS = "=+-@\t\r\n＝＋－＠"


class Model:
    """Answers every text with its length, after so many refusals."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.asked: list[list[str]] = []

    async def ask(self, texts: Sequence[str]) -> Reply:
        if self.refusals:
            raise self.refusals.pop(0)
        self.asked.append(list(texts))
        answers = [f"length{len(text)}" for text in texts]
        scores = [[(answer, 0.75), ("other", 0.25)] for answer in answers]
        return Reply("1", "1.0.0", scores, answers)


def busy(seconds: float) -> Busy:
    error = Busy.at("queue", found="full", allowed="room", fix="Wait.")
    error.retry_after = seconds
    return error


def answered(table: batch.Table, model: Model, task: str = "single_label") -> list[batch.Row]:
    return asyncio.run(batch.answered(table, model.ask, task, KNOBS.limits, "en"))


def table_of(*texts: str) -> batch.Table:
    return batch.Table(["text"], [[text] for text in texts], 0, ",", "utf-8")


def cells(content: bytes, delimiter: str = ",") -> list[list[str]]:
    text = content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


@pytest.mark.parametrize(
    ("content", "column", "texts"),
    [
        (b'id,text\n1,hello\n2,"a,b"\n', "text", ["hello", "a,b"]),
        (b"id;text\r\n1;hello\r\n\r\n", "text", ["hello"]),
        (b"text\tid\nhello\t1\n", " text ", ["hello"]),
        (b"anything\nhello\n", "text", ["hello"]),
        ("\ufefftext,意见\na,退款\n".encode(), "意见", ["退款"]),
        ("序号,意见\n1,退款\n".encode("gb18030"), "意见", ["退款"]),
        ("id,text\n1,退款\n".encode("utf-16"), "text", ["退款"]),
        (b'text\n"two\nlines"\n', "", ["two\nlines"]),
    ],
)
def test_a_table_is_read(content: bytes, column: str, texts: list[str]) -> None:
    assert batch.read(content, column, KNOBS.demo).texts == texts


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "0 rows"),
        (b"text\n", "0 rows"),
        (b"text\n" + b"a\n" * 101, "101 rows"),
        (b"a,b\n1,2\n", "a, b"),
        (b"text,b\n1\n", "1 cells in row 1"),
        (b"text,b\n1,2\n1,2,3\n", "3 cells in row 2"),
        (b'text\n"open\n', "unexpected end of data"),
        (b"text\n" + b"a" * 200_000 + b"\n", "field larger than field limit"),
        (b"PK\x03\x04" + bytes(range(256)), "bytes that are not text"),
        (b"text\na\0b\n", "bytes that are not text"),
        (b"\xff\xfe\x00", "bytes that are not text"),
        (b"text" + b",x" * 300 + b"\n" + b"1" + b",1" * 300 + b"\n", "301 columns"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=found):
        batch.read(content, "text", KNOBS.demo)


def test_every_row_comes_back_in_its_place() -> None:
    texts = ["one", "", "a" * 1_001, "three", "nul\0", "\ud83d", " ", "four"]
    rows = answered(table_of(*texts), Model())
    assert [row.answer for row in rows] == ["length3", "", "", "length5", "", "", "", "length4"]
    assert [bool(row.problem) for row in rows] == [not row.answer for row in rows]
    assert "1001 characters" in rows[2].problem
    assert rows[0].cells == ["length3", "0.7500", "1.0.0", ""]


@pytest.mark.parametrize(("task", "cells"), [("multi_label", ["length1", "", "1.0.0", ""])])
def test_only_one_label_has_a_confidence(task: str, cells: list[str]) -> None:
    assert answered(table_of("a"), Model(), task)[0].cells == cells


def test_a_large_table_is_asked_in_small_requests() -> None:
    model = Model()
    rows = answered(table_of(*["a" * 900] * 20, *["b"] * 80), model)
    assert all(row.answer for row in rows)
    assert max(len(texts) for texts in model.asked) == batch.AT_ONCE
    assert max(sum(map(len, texts)) for texts in model.asked) <= batch.CHARACTERS_AT_ONCE
    assert [text for texts in model.asked for text in texts] == ["a" * 900] * 20 + ["b"] * 80


def test_a_busy_service_is_asked_again() -> None:
    started = time.monotonic()
    rows = answered(table_of("a"), Model(busy(0.2), busy(0.0)))
    assert rows[0].answer == "length1"
    assert 0.25 < time.monotonic() - started < 5


def test_who_stays_busy_answers_nothing_and_the_table_comes_back() -> None:
    model = Model(busy(100.0))
    rows = answered(table_of(*["a"] * 50), model)
    assert model.asked == []
    assert {row.problem for row in rows} == {"queue: found full, allowed room. Wait."}


def test_a_request_that_fails_takes_no_other_with_it() -> None:
    failure = Failed.at("model", found="nothing", allowed="scores", fix="Try again.")
    rows = answered(table_of(*["a"] * 40), Model(failure))
    assert [bool(row.problem) for row in rows] == [True] * 32 + [False] * 8


@pytest.mark.parametrize("number", ["-5", "0", "3.25", "-1e-7", "12E3"])
def test_a_number_stays_a_number(number: str) -> None:
    assert batch.harmless(number) == number


@pytest.mark.parametrize(
    "cell", ["=1+1", "+A1", "-2+3", "@x", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1", "\ufeff=1",
             "＝1", "'=1", "-5\n=1", "\u3000+1"]
)  # fmt: skip
def test_a_formula_is_guarded(cell: str) -> None:
    assert batch.harmless(cell) == f"'{cell}"


CELL = some.text(some.characters(codec="utf-8", exclude_characters="\0"))


@given(some.lists(CELL, min_size=1, max_size=4), CELL, some.sampled_from(",;\t"))
@example(["=1", "a;=1", 'a",=1'], "\n=1", ";")
def test_no_cell_that_is_written_runs(row: list[str], heading: str, delimiter: str) -> None:
    header = [heading] * len(row)
    table = batch.Table(header, [row], 0, delimiter, "utf-8")
    content = batch.written(table, [batch.Row("=label", "0.5", "1.0.0", "-no")])
    for line in cells(content, delimiter):
        assert len(line) == len(row) + 4
        for cell in line:
            seen = cell.lstrip()
            assert not seen.startswith(tuple(TRIGGERS)) or batch.NUMBER.fullmatch(cell)
    told = [cell.removeprefix("'") for cell in cells(content, delimiter)[1][: len(row)]]
    assert told == [cell.removeprefix("'") for cell in row]


def test_new_columns_have_names_of_their_own() -> None:
    table = batch.Table(["text", "answer", "answer_"], [], 0, ",", "utf-8")
    assert batch.added(table) == ["answer__", "confidence", "model", "problem"]


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads.open(tmp_path / "var/demo", 1_000)


def test_the_folder_is_its_owners_only(uploads: Uploads) -> None:
    path = uploads.write("a.csv", b"a")
    assert uploads.folder.stat().st_mode & 0o777 == 0o700
    assert uploads.holds(str(path))
    uploads.close()
    assert not uploads.folder.exists()


def test_only_a_file_of_the_folder_is_held(uploads: Uploads, tmp_path: Path) -> None:
    inside = uploads.write("a.csv", b"a")
    outside = tmp_path / "secret"
    outside.write_text("s")
    (uploads.folder / "link").symlink_to(outside)
    assert uploads.holds(str(inside))
    for name in (outside, uploads.folder / "link", uploads.folder, inside / "../../../../x",
                 uploads.folder / "gone", "", "\0", "a" * 10_000, "/etc/passwd"):  # fmt: skip
        assert not uploads.holds(str(name)), name


def test_what_is_old_goes_and_what_is_new_stays(uploads: Uploads) -> None:
    path = uploads.write("a.csv", b"a")
    uploads.sweep(path.stat().st_mtime + KEPT - 1)
    assert path.exists()
    uploads.sweep(time.time() + KEPT + 1)
    assert list(uploads.folder.iterdir()) == []


def test_the_folder_is_full_by_size_or_by_number(uploads: Uploads) -> None:
    assert not uploads.full
    uploads.write("a.csv", b"a" * 1_000)
    assert uploads.full
    uploads.sweep(time.time() + KEPT + 1)
    for at in range(MOST_FILES):
        assert not uploads.full
        (uploads.folder / str(at)).touch()
    assert uploads.full


def test_what_a_killed_process_left_is_deleted(tmp_path: Path) -> None:
    for name in ("4194304", "1"):  # no process has the first number, and one that lives the second
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.csv").write_text("t")
    Uploads.open(tmp_path, 1_000)
    assert not (tmp_path / "4194304").exists()
    assert (tmp_path / "1/text.csv").exists()
