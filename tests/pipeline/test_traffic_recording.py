"""The recorder: what it writes down, and that nothing which happens to it holds up an answer."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sqlalchemy import event, select

from pipeline.traffic import database, reading, rows
from pipeline.traffic.entries import RECREATED, Event, Feedback
from pipeline.traffic.recording import Recorder
from pipeline.traffic.rows import certainty
from pipeline.traffic.storing import store
from pipeline.traffic.tables import events, feedback, predictions, requests
from pipeline.watching.textdrift import features
from tests.pipeline.made_traffic import LABELS, NOON, entry, knobs, refused, wait_until

FILE = Path("var/traffic.sqlite")
LATER = NOON + timedelta(days=1)


def recorder_in(folder: Path, **changed: Any) -> Recorder:
    return Recorder(database.connect("", folder), knobs(**changed), folder)


def counted(folder: Path, table: str = "requests") -> int:
    """Return how many rows a table has, as another program sees them."""
    connection = sqlite3.connect(folder / FILE)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
    finally:
        connection.close()


def all_of(folder: Path, table: Any) -> list[dict[str, Any]]:
    engine = database.open("", folder)
    with engine.connect() as connection:
        found = [row._asdict() for row in connection.execute(select(table))]
    engine.dispose()
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep everybody else from writing."""
    holder = sqlite3.connect(folder / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.close()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)


def test_a_request_is_written_down_without_its_words(tmp_path: Path) -> None:
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1, ["Where is Iceland ?", "冰岛在哪里"], stable_labels=list(LABELS)))
        recorder.put(refused(2))
    (answered, other) = all_of(tmp_path, requests)
    assert answered | {"number": 1, "client": "", "bytes": 0} == {
        "number": 1, "id": "request-000001", "at": NOON + timedelta(seconds=1),
        "route": "/predict", "code": 200, "version": "1.0.0", "role": "stable", "shadow": False,
        "client": "", "texts": 2, "characters": 23, "tokens": 14, "seconds": 0.02,
        "waited": 0.005, "bytes": 0,
    }  # fmt: skip
    assert (other["code"], other["version"], other["texts"]) == (422, None, 1)
    first, second = all_of(tmp_path, predictions)
    assert (first["request"], first["index"], second["index"]) == (answered["number"], 0, 1)
    assert (first["language"], second["language"]) == ("en", "zh")
    assert (first["label"], first["stable_label"], second["stable_label"]) == (
        "location", "location", "number",
    )  # fmt: skip
    assert (first["confidence"], first["margin"], first["scores"]) == (0.75, 0.5, [0.75, 0.25])
    assert (first["text"], first["characters"]) == (None, 18)
    assert first["features"] == features("Where is Iceland ?")
    assert first["hash"] != second["hash"]
    for path in (tmp_path / "var").iterdir():
        held = path.read_bytes()
        assert b"Iceland" not in held
        assert "冰岛".encode() not in held
        assert b"anna" not in held
    assert (recorder.written, recorder.dropped, recorder.state) == (2, 0, "ok")


def test_a_kept_text_is_masked_before_it_is_cut(tmp_path: Path) -> None:
    text = "请打 13800138000 或写信到 anna@example.com 联系我"
    with recorder_in(tmp_path, text="masked", characters=12) as recorder:
        recorder.put(entry(1, [text]))
    (row,) = all_of(tmp_path, predictions)
    assert row["text"] == "请打 [PHONE] 或写信到 [EMAIL] 联系我"[:12]
    held = b"".join(path.read_bytes() for path in (tmp_path / "var").iterdir())
    assert b"13800138000" not in held
    assert b"example.com" not in held


def test_switches_leave_out_what_they_name(tmp_path: Path) -> None:
    with recorder_in(tmp_path, language=False, features=False) as recorder:
        recorder.put(entry(1))
    (row,) = all_of(tmp_path, predictions)
    assert (row["language"], row["features"], row["text"]) == (None, None, None)


def test_of_very_many_texts_a_random_share_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(rows.time, "monotonic", lambda: clock[0])
    made = rows.Rows(knobs(), b"0" * 32)
    shares = []
    for _batch in range(20):
        made.begin(500)
        shares.append(made.measured)
        clock[0] += 0.5
    assert shares[:6] == [1.0] * 6
    assert shares[-1] == pytest.approx(50 * 0.5 / 500)
    values = [made.predictions(entry(1, ["a"] * 100)) for _ in range(20)]
    measured = [one for some in values for one in some if one["features"] is not None]
    assert 50 < len(measured) < 160  # 100 of 2,000, standard deviation 10
    assert all(one["language"] is not None for one in measured)
    clock[0] += 3600
    made.begin(500)
    assert made.measured == 1.0


@pytest.mark.parametrize(
    "text", ["\0", "\ud800", "a\udfff\0b", "👩‍👩‍👧", "", "=cmd()", "x" * 1_000_000, "\x1b[31m\r\n"]
)
def test_any_text_is_written_down(tmp_path: Path, text: str) -> None:
    with recorder_in(tmp_path, text="masked") as recorder:
        recorder.put(entry(1, [text], client=text, labels=[text[:10]]))
        recorder.put(Feedback(NOON, "request-000001", 0, text, "down", text, text))
    (row,) = all_of(tmp_path, predictions)
    assert row["characters"] == len(text)
    assert len(row["text"]) <= 2000
    assert counted(tmp_path, "feedback") == 1
    assert recorder.dropped == 0


@given(
    scores=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
        elements=st.floats(0, 1) | st.sampled_from([np.nan, np.inf]),
    )
)
def test_certainty_is_a_share_or_unknown(scores: np.ndarray[Any, Any]) -> None:
    found = certainty(scores, len(scores))
    assert len(found) == len(scores)
    for row, (confidence, margin, told) in zip(scores, found, strict=True):
        if not np.isfinite(row).all():
            assert (confidence, margin, told) == (None, None, None)
        elif len(row) == 1:
            assert (confidence, margin) == (None, None)
            assert told == [round(float(row[0]), 4)]
        else:
            assert confidence is not None
            assert margin is not None
            assert 0 <= margin <= 1
            assert 0 <= confidence <= 1


def test_certainty_knows_one_label_from_several() -> None:
    one = certainty(np.array([[0.7, 0.2, 0.1]]), 1)[0]
    assert one[:2] == (pytest.approx(0.7), pytest.approx(0.5))
    several = certainty(np.array([[0.9, 0.6, 0.05], [0.99, 0.01, 0.98]]), 2)
    assert several[0][:2] == (pytest.approx(0.6), pytest.approx(0.2))
    assert several[1][:2] == (pytest.approx(0.98), pytest.approx(0.96))
    assert certainty(None, 2) == [(None, None, None)] * 2
    assert certainty(np.full((1, 65), 1 / 65), 1)[0][2] is None  # too many to keep


@pytest.mark.usefixtures("_impatient")
def test_a_locked_database_holds_up_nobody_and_loses_nothing(tmp_path: Path) -> None:
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(0))
        wait_until(lambda: recorder.written == 1, "written")
        with locked(tmp_path):
            started = time.monotonic()
            for number in range(1, 1001):
                recorder.put(entry(number))
            assert time.monotonic() - started < 0.5
            wait_until(lambda: recorder.state == "locked", "locked")
            assert [one.text for one in recorder.reasons()]
            assert recorder.waiting == 1000
        wait_until(lambda: recorder.written == 1001, "all written")
        wait_until(lambda: recorder.state == "ok", "ok")
    assert recorder.dropped == 0
    assert [row["id"] for row in all_of(tmp_path, requests)] == [
        f"request-{number:06d}" for number in range(1001)
    ]


@pytest.mark.usefixtures("_impatient")
def test_what_does_not_fit_is_counted_and_told_in_the_database(tmp_path: Path) -> None:
    with recorder_in(tmp_path, queue=10) as recorder:
        recorder.put(entry(0))
        wait_until(lambda: recorder.written == 1, "written")
        with locked(tmp_path):
            recorder.put(entry(1, ["a"] * 8))
            recorder.put(entry(2, ["a"] * 3))  # too many with the eight before
            recorder.put(entry(3, ["a"] * 2))
            recorder.put(entry(4))
            assert (recorder.dropped, recorder.waiting) == (2, 10)
            wait_until(lambda: recorder.state == "locked", "locked")
        wait_until(lambda: recorder.written == 3, "written")
        wait_until(lambda: recorder.state == "ok", "ok")
        wait_until(lambda: counted(tmp_path, "events") == 1, "told")
    engine = database.open("", tmp_path)
    now = all_of(tmp_path, events)[0]["at"]
    assert reading.dropped(engine, now, now + timedelta(seconds=1)) == 2
    assert reading.dropped(engine, now - timedelta(seconds=1), now) == 0
    engine.dispose()


def test_a_request_larger_than_the_queue_is_taken_when_it_is_alone(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, queue=2, batch=2)
    recorder.put(entry(1, ["a"] * 5))
    recorder.put(entry(2))
    assert (recorder.waiting, recorder.dropped, recorder.state) == (5, 1, "behind")
    recorder.start()
    wait_until(lambda: recorder.state == "ok", "ok")
    recorder.stop()
    assert counted(tmp_path, "predictions") == 5


def test_a_full_disk_is_told_and_got_over(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, text="masked")
    pages = [200]
    event.listen(
        recorder.engine,
        "connect",
        lambda connection, _record: connection.execute(f"PRAGMA max_page_count = {pages[0]}"),
    )
    with recorder:
        for number in range(1000):
            recorder.put(entry(number, ["x" * 2000]))
        wait_until(lambda: recorder.state == "full", "full")
        pages[0] = 1_000_000
        wait_until(lambda: recorder.written == 1000, "written")
        wait_until(lambda: recorder.state == "ok", "ok")
    assert recorder.dropped == 0


@pytest.mark.parametrize("leaves_sidecars", [True, False])
def test_a_deleted_database_is_made_again_and_told(tmp_path: Path, leaves_sidecars: bool) -> None:
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1))
        wait_until(lambda: recorder.written == 1, "written")
        (tmp_path / FILE).unlink()
        if not leaves_sidecars:
            for ending in ("-wal", "-shm"):
                (tmp_path / f"{FILE}{ending}").unlink()
        recorder.put(entry(2))
        wait_until(lambda: recorder.written == 2, "written again")
        assert recorder.state == "deleted"
        assert recorder.reasons()
        recorder.put(entry(3))
    assert [row["id"] for row in all_of(tmp_path, requests)] == ["request-000002", "request-000003"]
    assert [row["kind"] for row in all_of(tmp_path, events)] == [RECREATED]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_whole_folder_may_go(tmp_path: Path) -> None:
    import shutil

    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1))
        wait_until(lambda: recorder.written == 1, "written")
        shutil.rmtree(tmp_path / "var")
        recorder.put(entry(2))
        wait_until(lambda: recorder.written == 2, "written again")
    assert [row["id"] for row in all_of(tmp_path, requests)] == ["request-000002"]


def test_a_database_moved_away_keeps_what_was_written(tmp_path: Path) -> None:
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1))
        wait_until(lambda: recorder.written == 1, "written")
        (tmp_path / "elsewhere/var").mkdir(parents=True)
        (tmp_path / FILE).rename(tmp_path / "elsewhere" / FILE)
        recorder.put(entry(2))
        wait_until(lambda: recorder.written == 2, "written again")
    assert [row["id"] for row in all_of(tmp_path, requests)] == ["request-000002"]
    kept = [row["id"] for row in all_of(tmp_path / "elsewhere", requests)]
    # The second is there too where the file was moved between the look at its name and the writing.
    assert kept in (["request-000001"], ["request-000001", "request-000002"])


def test_what_is_written_ahead_may_be_deleted(tmp_path: Path) -> None:
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1))
        wait_until(lambda: recorder.written == 1, "written")
        Path(f"{tmp_path / FILE}-wal").unlink()
        recorder.put(entry(2))
        wait_until(lambda: recorder.written == 2, "written again")
        assert recorder.state == "ok"
    assert counted(tmp_path) == 2


def test_a_damaged_database_is_set_aside(tmp_path: Path) -> None:
    with recorder_in(tmp_path, text="masked") as recorder:
        for number in range(2000):  # more than SQLite keeps in memory
            recorder.put(entry(number, ["x" * 2000]))
        wait_until(lambda: recorder.written == 2000, "written")
        size = (tmp_path / FILE).stat().st_size
        with (tmp_path / FILE).open("r+b") as target:
            target.write(os.urandom(size))
        for number in range(2000, 3000):
            recorder.put(entry(number, ["x" * 2000]))
        wait_until(lambda: recorder.waiting == 0, "written again")
        wait_until(lambda: recorder.state == "deleted", "well again, and told")
    assert (tmp_path / "var/traffic.sqlite.damaged").stat().st_size >= size
    assert 0 < counted(tmp_path) <= 1000
    assert [row["kind"] for row in all_of(tmp_path, events)] == [RECREATED]


def test_a_database_that_comes_later_gets_what_waits(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where the folder should be")
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1))
        wait_until(lambda: recorder.state != "ok", "in trouble")
        (tmp_path / "var").unlink()
        wait_until(lambda: recorder.written == 1, "written")


def test_stopping_writes_what_waits(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, flush_ms=60_000).start()
    for number in range(1200):
        recorder.put(entry(number))
    recorder.stop()
    recorder.put(entry(2000))
    assert counted(tmp_path) == 1200
    assert recorder.dropped == 1
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == [
        "secret", "traffic.sqlite", "traffic.sqlite.lock",
    ]  # fmt: skip


@pytest.mark.usefixtures("_impatient")
def test_stopping_ends_in_time_and_counts_what_is_lost(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path).start()
    recorder.put(entry(0))
    wait_until(lambda: recorder.written == 1, "written")
    with locked(tmp_path):
        for number in range(1, 8):
            recorder.put(entry(number))
        started = time.monotonic()
        recorder.stop(0.5)
        assert time.monotonic() - started < 2
    assert (recorder.dropped, recorder.waiting) == (7, 0)


def test_stopping_what_was_never_started_counts_too(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.put(entry(1))
    recorder.stop()
    assert recorder.dropped == 1


def test_one_item_that_cannot_be_written_takes_no_other_with_it(tmp_path: Path) -> None:
    with recorder_in(tmp_path, flush_ms=500) as recorder:
        recorder.put(entry(1))
        recorder.put(entry(2, labels=["one too", "many"]))
        recorder.put(entry(3, at=NOON.replace(tzinfo=None)))
        recorder.put(Event(NOON, "test", {"a": object()}))
        recorder.put(entry(4))
        recorder.put(entry(1))  # an id that is there
    assert [row["id"] for row in all_of(tmp_path, requests)] == ["request-000001", "request-000004"]
    assert recorder.dropped == 4
    assert counted(tmp_path, "predictions") == 2


def test_put_never_raises(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.put(replace(entry(1), texts=5))
    assert recorder.dropped == 1


def test_batches_of_any_size_share_their_statements(tmp_path: Path) -> None:
    """Each statement stays in memory, in Python and in SQLite."""
    engine, seen = database.open("", tmp_path), set()
    event.listen(engine, "before_cursor_execute", lambda *told: seen.add(told[2]))
    made = rows.Rows(knobs(language=False, features=False), b"key")
    for size in range(1, 120):
        several = [entry(1_000 * size + one) for one in range(size)]
        with database.writing(engine) as connection:
            assert store(connection, made, several).requests == size
    engine.dispose()
    assert len(seen) < 2 * database.ROWS_A_STATEMENT
    assert counted(tmp_path) == sum(range(1, 120))


def test_many_threads_lose_no_count(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, queue=50, language=False, features=False).start()

    def putting(first: int) -> None:
        for number in range(first, first + 300):
            recorder.put(entry(number))

    threads = [threading.Thread(target=putting, args=(1000 * one,)) for one in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    recorder.stop()
    assert recorder.written + recorder.dropped == 2400
    assert recorder.written == counted(tmp_path) > 0


def test_who_changes_their_mind_is_counted_once(tmp_path: Path) -> None:
    reason = "ruf +49 30 12345678 oder anna@example.com an"
    with recorder_in(tmp_path) as recorder:
        recorder.put(entry(1, ["a", "b"]))
        recorder.put(Feedback(NOON, "request-000001", 1, "anna", "up"))
        recorder.put(Feedback(LATER, "request-000001", 1, "anna", "down", "number", reason))
        recorder.put(Feedback(NOON, "request-000001", 1, "bert", "up"))
        recorder.put(Feedback(NOON, "request-000001", 2, "anna", "up"))  # no such text
        recorder.put(Feedback(NOON, "request-000009", 0, "anna", "up"))  # no such request
    anna, bert = all_of(tmp_path, feedback)
    assert (anna["verdict"], anna["label"], anna["at"]) == ("down", "number", LATER)
    assert "[EMAIL]" in anna["reason"]
    assert "example" not in anna["reason"]
    assert (bert["verdict"], bert["reason"]) == ("up", None)


KILLED = """
import sys, itertools, signal
signal.alarm(60)  # whatever happens to the test
from pathlib import Path
from pipeline.traffic import database
from pipeline.traffic.recording import Recorder
from tests.pipeline.made_traffic import entry, knobs
root = Path(sys.argv[1])
recorder = Recorder(database.connect("", root), knobs(batch=20, flush_ms=10), root).start()
for number in itertools.count(int(sys.argv[2])):
    recorder.put(entry(number, ["a", "b", "c"]))
    while recorder.waiting > 100:
        pass
    if number % 100 == 0:
        print(recorder.written, flush=True)
"""


def test_a_kill_leaves_whole_requests_only(tmp_path: Path) -> None:
    for turn in range(2):
        before = counted(tmp_path) if turn else 0
        words = [sys.executable, "-c", KILLED, str(tmp_path), str(1_000_000 * turn)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = 0
            while told < 200:
                told = int(process.stdout.readline())
            process.kill()
        with sqlite3.connect(tmp_path / FILE) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            found, texts = connection.execute(
                "SELECT count(*), sum(texts) FROM requests"
            ).fetchone()
        connection.close()
        assert found - before >= told
        assert texts == counted(tmp_path, "predictions")
