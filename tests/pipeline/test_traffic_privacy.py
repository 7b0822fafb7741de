"""Keys, masks, forgetting, and what goes for want of time or room."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, insert, select

from pipeline.errors import DataError, StorageError
from pipeline.traffic import __main__ as program
from pipeline.traffic import database, privacy, sweeping
from pipeline.traffic.entries import Event, Feedback
from pipeline.traffic.recording import Recorder
from pipeline.traffic.rows import Rows
from pipeline.traffic.storing import store
from pipeline.traffic.tables import METADATA, events, predictions, requests, windows
from pipeline.traffic.troubles import KEYLESS, trouble
from tests.pipeline.made_traffic import NOON, entry, knobs

FILE = Path("var/traffic.sqlite")
SENTINEL = "zinnober"


@pytest.fixture
def engine(project: Path) -> Any:
    made = database.open("", project)
    yield made
    made.dispose()


def write(engine: Engine, *items: Any, **changed: Any) -> None:
    """Write items as the recorder does."""
    with database.writing(engine) as connection:
        store(connection, Rows(knobs(**changed), privacy.secret(Path())), items)


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in METADATA.tables.items()
        }


def on_disk(word: str) -> bool:
    return any(word.encode() in path.read_bytes() for path in Path("var").iterdir())


def test_a_key_is_made_once_for_its_owner_alone(project: Path) -> None:
    key = privacy.secret(project)
    path = project / "var/secret"
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert privacy.secret(project) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["secret"]


def test_all_who_make_a_key_at_once_get_the_same(project: Path) -> None:
    ready, found = threading.Barrier(8), []

    def asking() -> None:
        ready.wait()
        found.append(privacy.secret(project))

    threads = [threading.Thread(target=asking) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("content", ["", "abcd", "no key at all", "é" * 64])
def test_what_is_no_key_is_told_and_left_alone(project: Path, content: str) -> None:
    path = project / "var/secret"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(StorageError, match="32 random bytes") as caught:
        privacy.secret(project)
    assert trouble(caught.value) == KEYLESS
    assert path.read_text() == content
    recorder = Recorder(database.connect("", project), knobs(), project).start()
    recorder.put(entry(1))
    recorder.stop(1)
    assert recorder.state == KEYLESS
    assert recorder.dropped == 1


@given(st.text(), st.text())
def test_a_hash_needs_its_key(one: str, other: str) -> None:
    first, second = privacy.Hasher(b"1" * 32), privacy.Hasher(b"2" * 32)
    assert first.text(one) != second.text(one)
    assert first.text(one) != first.client(one)
    assert (first.text(one) == first.text(other)) == (one == other)
    assert len(first.text(one)) == 32


@given(st.text(st.characters(categories=["Cs", "L", "Cc"])))
def test_storable_keeps_all_that_databases_take(text: str) -> None:
    found = privacy.storable(text)
    assert len(found) == len(text)
    assert "\0" not in found
    found.encode()
    for before, after in zip(text, found, strict=True):
        assert after == before or (before == "\0" or "\ud800" <= before <= "\udfff")


def test_a_forgotten_request_is_nowhere_on_disk(engine: Engine) -> None:
    mine = [entry(number, [f"{SENTINEL} {number}"], client="anna") for number in (1, 2)]
    write(engine, *mine, entry(3, ["another text"], client="bert"), text="masked")
    write(engine, Feedback(NOON, "request-000001", 0, "bert", "down", None, f"says {SENTINEL}"))
    assert on_disk(SENTINEL)
    assert privacy.forget(engine, "request-000001") == {
        "requests": 1, "predictions": 1, "feedback": 1,
    }  # fmt: skip
    assert on_disk(f"{SENTINEL} 2")
    assert not on_disk(f"{SENTINEL} 1")
    assert not on_disk(f"says {SENTINEL}")
    assert privacy.forget(engine, "request-000002")["requests"] == 1
    assert not on_disk(SENTINEL)
    assert on_disk("another text")
    assert counts(engine)["requests"] == 1


def test_a_damaged_database_goes_with_time_and_with_what_is_forgotten(engine: Engine) -> None:
    aside = Path("var/traffic.sqlite.damaged")
    aside.write_text(SENTINEL)
    written = datetime.fromtimestamp(aside.stat().st_mtime, UTC)
    sweeping.sweep(engine, knobs(), written + timedelta(days=29))
    assert aside.exists()
    sweeping.sweep(engine, knobs(), written + timedelta(days=31))
    assert not aside.exists()
    aside.write_text(SENTINEL)
    privacy.forget(engine, client="anna")
    assert not on_disk(SENTINEL)


def test_all_of_a_client_is_forgotten(engine: Engine) -> None:
    mine = [entry(number, [f"{SENTINEL} {number}"], client="anna") for number in range(50)]
    other = entry(60, ["another text"], client="bert")
    write(engine, *mine, other, text="masked")
    write(engine, Feedback(NOON, "request-000060", 0, "anna", "down"))
    write(engine, Feedback(NOON, "request-000060", 0, "bert", "up"))
    found = privacy.forget(engine, client="anna")
    assert found == {"requests": 50, "predictions": 50, "feedback": 1}
    assert not on_disk(SENTINEL)
    after = counts(engine)
    assert (after["requests"], after["predictions"], after["feedback"]) == (1, 1, 1)


def test_forgetting_needs_one_name(engine: Engine) -> None:
    with pytest.raises(ValueError, match="client"):
        privacy.forget(engine)
    with pytest.raises(ValueError, match="client"):
        privacy.forget(engine, "a", client="b")


def test_what_is_too_old_goes(engine: Engine) -> None:
    now = NOON + timedelta(days=31)
    write(engine, entry(0), entry(1, at=now - timedelta(days=30)), entry(2, at=now))
    write(engine, Feedback(NOON, "request-000002", 0, "anna", "up"))
    write(engine, Event(NOON, "kept", {}), Event(NOON - timedelta(days=400), "old", {}))
    old = {"since": NOON - timedelta(days=500), "until": NOON - timedelta(days=400), "data": {}}
    with database.writing(engine) as connection:
        connection.execute(insert(windows), [old, old | {"until": now}])
    assert sweeping.sweep(engine, knobs(), now) == 4
    assert counts(engine) == {
        "requests": 2, "predictions": 2, "feedback": 0, "events": 1, "windows": 1,
    }  # fmt: skip
    with engine.connect() as connection:
        assert connection.execute(select(events.c.kind)).scalars().all() == ["kept"]
    assert sweeping.sweep(engine, knobs(), now) == 0


def test_a_sweep_goes_on_in_small_steps(engine: Engine) -> None:
    write(engine, *(entry(number, ["a"] * 90) for number in range(40)))
    write(engine, entry(40, ["a"] * 2000))
    steps = list(sweeping.steps(engine, knobs(), NOON + timedelta(days=90)))
    assert sum(steps) == 41
    assert steps[:3] == [11, 11, 11]  # a thousand texts each, and at least one request
    assert counts(engine)["predictions"] == 0


def files_bytes() -> int:
    return sum(path.stat().st_size for path in Path("var").glob("traffic.sqlite*"))


def test_the_size_is_bounded_and_the_oldest_go_first(project: Path) -> None:
    recorder = Recorder(
        database.connect("", project),
        knobs(text="masked", mask=[], most_mb=16, features=False, language=False),
    ).start()
    most = 0
    for number in range(9_000):
        recorder.put(entry(number, [f"{number} {'x' * 1900}"]))
        while recorder.waiting > 2_000:
            most = max(most, files_bytes())
            threading.Event().wait(0.01)
    recorder.stop(30)
    assert recorder.dropped == 0
    assert recorder.written == 9_000
    assert most <= 16_000_000
    engine = database.open("", project)
    with engine.connect() as connection:
        numbers = connection.execute(select(requests.c.number).order_by(requests.c.number))
        left = list(numbers.scalars())
        texts = connection.execute(select(func.count(predictions.c.text))).scalar_one()
    engine.dispose()
    assert left == list(range(left[0], 9_001))
    assert 1_000 < len(left) == texts < 4_000


def test_figures_go_when_requests_are_not_what_takes_the_room(engine: Engine) -> None:
    with database.writing(engine) as connection:
        rows = [{"at": NOON, "kind": "k", "data": {"a": "x" * 10_000}} for _ in range(1500)]
        connection.execute(insert(events), rows)
    write(engine, entry(1))
    sweeping.sweep(engine, knobs(most_mb=16), NOON)
    with engine.connect() as connection:
        assert database.used_bytes(connection) <= 8_000_000
    assert 300 < counts(engine)["events"] < 800


def test_the_program_shows_sweeps_and_forgets(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "load", lambda: type("Params", (), {"traffic": knobs()}))
    write(engine, entry(1), entry(2, at=datetime.now(UTC)), entry(3, client="bert"))
    program.commands().run(["show"])
    shown = capsys.readouterr().out
    assert "requests" in shown
    assert "1.0.0" in shown
    assert "2026-11-23T12:00:01+00:00" in shown
    program.commands().run(["forget", "--client", "bert"])
    assert "1 requests, 1 answers" in capsys.readouterr().out
    program.commands().run(["forget", "request-000001"])
    assert counts(engine)["requests"] == 1
    with pytest.raises(DataError, match="nothing of that name"):
        program.commands().run(["forget", "request-000001"])
    program.commands().run(["sweep"])
    assert "0 rows" in capsys.readouterr().out


def test_the_program_shows_an_empty_database(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.commands().run(["show"])
    assert "–" in capsys.readouterr().out


def test_the_program_takes_one_of_a_request_and_a_client(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["forget"], ["forget", "a", "--client", "b"], []):
        with pytest.raises(SystemExit):
            program.commands().run(words)
