"""The traffic database on a real PostgreSQL."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from pipeline.errors import StorageError
from pipeline.traffic import database, privacy, reading, sweeping
from pipeline.traffic.entries import Event, Feedback
from pipeline.traffic.recording import Recorder
from pipeline.traffic.tables import METADATA, events, feedback, predictions
from tests.pipeline.made_traffic import LABELS, NOON, entry, knobs, refused, wait_until
from tests.pipeline.postgres import PASSWORD, Postgres, free_port, server
from tests.pipeline.test_traffic_database import differences

LATER = NOON + timedelta(days=1)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with server() as started:
        yield started


@pytest.fixture
def engine(postgres: Postgres, project: Path) -> Iterator[Engine]:
    """An empty database."""
    postgres.run("DROP SCHEMA public CASCADE")
    postgres.run("CREATE SCHEMA public")
    made = database.connect(postgres.url, project)
    yield made
    made.dispose()


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in METADATA.tables.items()
        }


def test_many_make_the_same_tables_at_once(engine: Engine, postgres: Postgres) -> None:
    ready, failures = threading.Barrier(4), []

    def opening() -> None:
        ready.wait()
        try:
            database.open(postgres.url, Path()).dispose()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    assert differences(engine) == []


def test_what_the_recorder_writes_can_be_read(engine: Engine) -> None:
    hostile = "\0\ud800 冰岛"
    with Recorder(engine, knobs(text="masked")) as recorder:
        recorder.put(entry(1, ["Where is Iceland ?", hostile], stable_labels=list(LABELS)))
        recorder.put(refused(2))
        recorder.put(entry(3, labels=["one too", "many"]))
        recorder.put(entry(1))
        recorder.put(Event(NOON, "test", {"a": [1]}))
        recorder.put(Feedback(NOON, "request-000001", 0, "anna", "up"))
        recorder.put(Feedback(LATER, "request-000001", 0, "anna", "down", "number", hostile))
        recorder.put(Feedback(LATER, "request-000009", 0, "anna", "down"))
    assert (recorder.written, recorder.dropped) == (2, 2)
    first, second = reading.rows(engine, NOON, LATER)
    assert (first.at, first.text, first.truth) == (NOON + timedelta(seconds=1),
                                                   "Where is Iceland ?", "number")  # fmt: skip
    assert first.scores == [0.75, 0.25]
    assert len(first.features or b"") == 256
    assert (second.text, second.stable_label) == ("\ufffd\ufffd 冰岛", "number")
    assert reading.feedback_accuracy(engine, NOON, LATER + timedelta(1)) == {
        "1.0.0": reading.Accuracy(1, 0)
    }
    assert counts(engine)["feedback"] == 1
    with engine.connect() as connection:
        found = connection.execute(select(feedback.c.at, feedback.c.reason)).one()
        assert connection.execute(select(events.c.data)).scalars().first() == {"a": [1]}
    assert found == (LATER, "\ufffd\ufffd 冰岛")


def test_a_lost_connection_loses_no_request(engine: Engine, postgres: Postgres) -> None:
    with Recorder(engine, knobs(batch=20, flush_ms=10)) as recorder:
        for number in range(2000):
            recorder.put(entry(number))
            if number % 500 == 250:
                wait_until(lambda: recorder.written > 0, "writing")
                postgres.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = 'postgres'"
                )
        wait_until(lambda: recorder.waiting == 0, "all written", 30)
        wait_until(lambda: recorder.state == "ok", "ok")
    # A transaction whose end nobody heard of is written again, and found to be there already.
    assert counts(engine)["requests"] == 2000
    assert counts(engine)["predictions"] == 2000


def test_a_server_that_is_away_holds_up_nobody(project: Path) -> None:
    url = f"postgresql+psycopg://anna:{PASSWORD}@127.0.0.1:{free_port()}/traffic"
    recorder = Recorder(database.connect(url, project), knobs()).start()
    started = time.monotonic()
    for number in range(100):
        recorder.put(entry(number))
    assert time.monotonic() - started < 0.5
    wait_until(lambda: recorder.state == "away", "away")
    recorder.stop(1)
    assert recorder.dropped == 100


def test_errors_show_no_address(project: Path, postgres: Postgres) -> None:
    wrong = postgres.url.replace(PASSWORD, "Tell-me-0nce")
    with pytest.raises(StorageError) as caught:
        database.open(wrong, project)
    for language in ("en", "zh"):
        told = caught.value.render(language)
        assert "Tell-me-0nce" not in told
        assert "127.0.0.1" not in told
        assert "mofang_owner" not in told
    assert caught.value.__cause__ is None


def test_a_locked_table_is_told(engine: Engine, postgres: Postgres) -> None:
    database.prepare(engine)
    impatient = f"{postgres.url}?options=-c%20lock_timeout%3D100"
    with Recorder(database.connect(impatient, Path()), knobs()) as recorder:
        with engine.begin() as holder:
            holder.exec_driver_sql("LOCK TABLE requests IN ACCESS EXCLUSIVE MODE")
            recorder.put(entry(1))
            wait_until(lambda: recorder.state == "locked", "locked")
        wait_until(lambda: recorder.written == 1, "written")


def test_forgetting_and_sweeping(engine: Engine) -> None:
    database.prepare(engine)
    chance = random.Random(1)
    with Recorder(engine, knobs(text="masked", mask=[], language=False)) as recorder:
        for number in range(2000):
            recorder.put(entry(number, [chance.randbytes(995).hex()] * 4,
                               client="bert" if number % 10 else "anna"))  # fmt: skip
            while recorder.waiting > 1000:
                time.sleep(0.01)
    assert privacy.forget(engine, client="anna") == {
        "requests": 200, "predictions": 800, "feedback": 0,
    }  # fmt: skip
    assert privacy.forget(engine, "request-000001")["predictions"] == 4
    with engine.connect() as connection:
        held = database.used_bytes(connection)
        real: Any = connection.exec_driver_sql(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relname IN ('requests', 'predictions')"
        ).scalar_one()
    assert 0.5 < held / int(real) < 1.5
    assert sweeping.sweep(engine, knobs(most_mb=16), NOON) > 200
    with engine.connect() as connection:
        assert database.used_bytes(connection) <= 0.8 * 16_000_000
        left = connection.execute(select(func.min(predictions.c.request))).scalar_one()
    assert left > 200
    assert sweeping.sweep(engine, knobs(), NOON + timedelta(days=60)) > 500
    assert counts(engine)["predictions"] == 0
