"""The traffic database: made once, by one process, whole; its address and its troubles."""

from __future__ import annotations

import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError, StatementError

from pipeline.errors import StorageError
from pipeline.traffic import database
from pipeline.traffic.address import checked, file_of
from pipeline.traffic.tables import METADATA, events
from pipeline.traffic.troubles import AWAY, DAMAGED, FULL, LOCKED, REASONS, explained, trouble

TABLES = {"requests", "predictions", "feedback", "events", "windows"}


def tables_of(path: Path) -> set[str]:
    """Return the tables of a SQLite file, as another program sees them."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    finally:
        connection.close()
    return {name for (name,) in found} - {"alembic_version", "sqlite_sequence"}


def differences(engine: Engine) -> list[Any]:
    """Return what a migrated database has that ``tables.py`` has not, and the other way round."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, METADATA)


def test_a_database_is_made_below_var_for_its_owner_alone(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    path = tmp_path / "var/traffic.sqlite"
    assert file_of(engine) == path
    assert tables_of(path) == TABLES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "auto_vacuum", "foreign_keys", "secure_delete")
        }
    assert settings == {
        "journal_mode": "wal", "auto_vacuum": 2, "foreign_keys": 1, "secure_delete": 1,
    }  # fmt: skip
    engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    assert differences(engine) == []
    own = {index.name for table in METADATA.tables.values() for index in table.indexes}
    found = {one["name"] for name in TABLES for one in inspect(engine).get_indexes(name)}
    assert own == found
    engine.dispose()


def test_migrations_can_be_taken_back(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    with database.writing(engine) as connection:
        config = Config()
        config.set_main_option("script_location", str(database.MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert tables_of(tmp_path / "var/traffic.sqlite") == set()
    database.prepare(engine)
    assert tables_of(tmp_path / "var/traffic.sqlite") == TABLES
    engine.dispose()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    with database.writing(engine) as connection:
        connection.execute(insert(events).values(at=datetime.now(UTC), kind="kept", data={"a": 1}))
    engine.dispose()
    before = (tmp_path / "var/traffic.sqlite").read_bytes()
    database.open("", tmp_path).dispose()
    assert (tmp_path / "var/traffic.sqlite").read_bytes() == before


def test_many_open_at_once_and_one_makes_it(tmp_path: Path) -> None:
    ready, failures = threading.Barrier(8), []

    def opening() -> None:
        ready.wait()
        try:
            database.open("", tmp_path).dispose()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=opening) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    assert tables_of(tmp_path / "var/traffic.sqlite") == TABLES


def test_a_failure_at_any_statement_leaves_no_table_behind(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    made = 0
    for allowed in range(100):
        engine, left = database.connect("", tmp_path / str(allowed)), [allowed]

        def fail(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.strip().startswith(("CREATE", "INSERT")):
                left[0] -= 1  # noqa: B023 - used before the next round
                if left[0] < 0:  # noqa: B023
                    raise StoppedError

        event.listen(engine, "before_cursor_execute", fail)
        path = tmp_path / str(allowed) / "var/traffic.sqlite"
        try:
            database.prepare(engine)
        except StoppedError:
            assert tables_of(path) == set()
            event.remove(engine, "before_cursor_execute", fail)
            if allowed % 4 == 0:  # and it can be made afterwards
                database.prepare(engine)
                assert tables_of(path) == TABLES
        else:
            made = allowed
        engine.dispose()
        if made:
            break
    assert made > 10


def test_tables_of_a_newer_mofang_are_refused_and_left_alone(tmp_path: Path) -> None:
    database.open("", tmp_path).dispose()
    path = tmp_path / "var/traffic.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match="newer Mofang") as caught:
        database.open("", tmp_path)
    assert REASONS[str(trouble(caught.value))].render("zh")
    assert tables_of(path) == TABLES


@pytest.mark.parametrize("name", ["plain", "a b", "100%", "what?", "no#1", "名字"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    engine = database.open("sqlite:///sub/traffic.db", tmp_path / name)
    assert file_of(engine) == tmp_path / name / "sub/traffic.db"
    assert tables_of(tmp_path / name / "sub/traffic.db") == TABLES
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:traffic.db?uri=true",
        "mysql+pymysql://anna:Tell-no-0ne@host/db",
        "postgresql+psycopg2://anna:Tell-no-0ne@host/db",
        "Tell-no-0ne",
    ],
)
def test_other_addresses_are_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError, match="MOFANG_DATABASE_URL") as caught:
        database.open(url, tmp_path)
    for language in ("en", "zh"):
        assert "Tell-no-0ne" not in caught.value.render(language)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_spoken_to_through_psycopg(scheme: str) -> None:
    found = checked(f"{scheme}://anna:secret@host/db", Path())
    assert found.drivername == "postgresql+psycopg"
    assert found.password == "secret"  # noqa: S105 - of nobody


def test_a_mere_connection_makes_no_file(tmp_path: Path) -> None:
    engine = database.connect("", tmp_path)
    (tmp_path / "var").mkdir()
    with pytest.raises(SQLAlchemyError) as caught, engine.connect():
        pass
    assert trouble(caught.value) == AWAY
    assert list((tmp_path / "var").iterdir()) == []


def test_a_locked_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database.open("", tmp_path).dispose()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "var/traffic.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StorageError, match="locked"):
            database.open("", tmp_path)
        engine = database.connect("", tmp_path)
        with pytest.raises(SQLAlchemyError) as caught, database.writing(engine):
            pass
        assert trouble(caught.value) == LOCKED
        with engine.connect() as reader:  # who reads does not wait
            assert reader.execute(select(events)).all() == []
        engine.dispose()
    finally:
        holder.close()


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    note = insert(events).values(at=datetime.now(UTC), kind="much", data={"a": "x" * 100_000})

    def few_pages(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 30")

    engine.dispose()
    event.listen(engine, "connect", few_pages)
    with (
        pytest.raises(StorageError, match="full"),
        explained(engine),
        database.writing(engine) as connection,
    ):
        connection.execute(note)
    with pytest.raises(SQLAlchemyError) as caught, database.writing(engine) as connection:
        connection.execute(note)
    assert trouble(caught.value) == FULL
    engine.dispose()


def test_what_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes and no database. " * 40)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="not a database"):
        database.open("sqlite:///notes.txt", tmp_path)
    assert path.read_bytes() == before


def test_a_missing_table_counts_as_damage(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    with database.writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE events")
    with pytest.raises(SQLAlchemyError) as caught, engine.connect() as connection:
        connection.execute(select(events))
    assert trouble(caught.value) == DAMAGED
    engine.dispose()


def test_errors_of_rows_are_no_trouble_and_show_nothing(tmp_path: Path) -> None:
    engine = database.open("", tmp_path)
    row = {"at": datetime.now(UTC), "kind": None, "data": {"text": "secret words"}}
    with pytest.raises(SQLAlchemyError) as caught, database.writing(engine) as connection:
        connection.execute(insert(events), [row])
    assert trouble(caught.value) is None
    assert "secret words" not in str(caught.value)
    with pytest.raises(StatementError, match="without a zone"), database.writing(engine) as one:
        one.execute(insert(events).values(at=datetime(2026, 1, 1), kind="x", data={}))
    engine.dispose()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine = database.open("", tmp_path_factory.mktemp("moments"))
    yield engine
    engine.dispose()


@given(
    at=st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_moments_come_back_in_utc_and_sort(opened: Engine, at: datetime, minutes: int) -> None:
    moment = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    with opened.connect() as connection:
        connection.execute(insert(events).values(at=moment, kind="one", data={}))
        found = connection.execute(select(events.c.at)).scalar_one()
        text = connection.exec_driver_sql("SELECT at FROM events").scalar_one()
        later = connection.execute(select(events).where(events.c.at > moment)).all()
        connection.rollback()
    assert found == moment
    assert found.utcoffset() == timedelta(0)
    assert datetime.fromisoformat(text) == moment  # ISO 8601, with its zone
    assert later == []
