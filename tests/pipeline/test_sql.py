"""Databases: SQLite files and a real PostgreSQL; nothing is written, no address is told."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.errors import SourceError
from pipeline.schema.feeds import SqlSource
from pipeline.sources import database, sql
from pipeline.sources.delivery import Delivery, Row
from tests.helpers import changed
from tests.helpers import rows as table_rows
from tests.pipeline.postgres import OWNER, PASSWORD, Postgres, server

COLUMNS = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
VARIABLE = "REVIEWS_URL"
FILE = Path("data/raw/reviews.db")


def wanted(query: str, *, batch: int = 1000, **columns: Any) -> SqlSource:
    """Return a source of kind sql."""
    stated = {"name": "reviews", "licence": "made here", "permitted_use": "tests"}
    stated |= {
        "personal_data": False,
        "required": True,
        "limit": None,
        "label": None,
        "sample": "first",
    }
    asked = {"kind": "sql", "url_from": VARIABLE, "query": query, "batch": batch}
    return SqlSource.model_validate({**stated, **asked, "columns": COLUMNS | columns})


def taken(query: str, **others: Any) -> tuple[list[Row], Delivery]:
    """Return the rows of a query, and the delivery after they were taken."""
    delivery = sql.open_source(wanted(query, **others))
    return list(delivery.rows), delivery


def answer_of(query: str, **others: Any) -> list[tuple[str, str | None]]:
    return [(row.text, row.label) for row in taken(query, **others)[0]]


def refusal(query: str, **others: Any) -> str:
    """Return what is said about a query that must be refused."""
    with pytest.raises(SourceError) as caught:
        taken(query, **others)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.render("en")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAITS", (0.0, 0.0))


@pytest.fixture
def reviews(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file with three reviews."""
    with sqlite3.connect(FILE) as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, text TEXT, label TEXT)")
        rows = [(1, "good", "positive"), (2, "", "none"), (3, "很差", "negative")]
        connection.executemany("INSERT INTO reviews VALUES (?, ?, ?)", rows)
    connection.close()
    monkeypatch.setenv(VARIABLE, f"sqlite:///{FILE}")
    return FILE


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with server() as made:
        made.run("CREATE TABLE reviews (id int PRIMARY KEY, text text, label text)")
        rows = [(1, "good", "positive"), (2, "", "none"), (3, "很差", "negative")]
        made.run("INSERT INTO reviews VALUES (%s, %s, %s)", rows)
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both databases, with the same three reviews."""
    request.getfixturevalue("reviews")
    if request.param == "postgres":
        monkeypatch.setenv(VARIABLE, request.getfixturevalue("postgres").url)
    return str(request.param)


@pytest.mark.usefixtures("either")
def test_rows_are_taken_and_counted() -> None:
    rows, delivery = taken("SELECT * FROM reviews ORDER BY id;", meta=["id"])
    assert rows == [
        Row("good", "positive", None, None, {"file": "reviews", "row": 1, "id": 1}),
        Row("很差", "negative", None, None, {"file": "reviews", "row": 3, "id": 3}),
    ]
    assert (delivery.count.read, delivery.count.empty, delivery.files) == (3, 1, [])


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_the_hash_is_that_of_the_rows_whatever_the_batch(batch: int) -> None:
    """The same for both databases: equal rows are equal lines."""
    _rows, delivery = taken("SELECT * FROM reviews ORDER BY id", batch=batch)
    lines = b"".join(
        json.dumps(one, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        for one in (
            {"id": 1, "text": "good", "label": "positive"},
            {"id": 2, "text": "", "label": "none"},
            {"id": 3, "text": "很差", "label": "negative"},
        )
    )
    assert delivery.sha256 == hashlib.sha256(lines).hexdigest()
    assert delivery.bytes == delivery.count.decoded == len(lines)


@pytest.mark.usefixtures("either")
def test_rows_left_untaken_are_not_hashed() -> None:
    whole = taken("SELECT * FROM reviews WHERE id = 1")[1]
    delivery = sql.open_source(wanted("SELECT * FROM reviews ORDER BY id"))
    next(delivery.rows)
    assert (delivery.sha256, delivery.bytes) == (whole.sha256, whole.bytes)
    delivery.rows.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM reviews",
        "INSERT INTO reviews VALUES (9, 'x', 'y') RETURNING text, label",
        "DROP TABLE reviews",
        "UPDATE reviews SET text = 'x'",
        "SELECT text, label FROM reviews; DELETE FROM reviews",
        "SELECT text, label FROM reviews; COMMIT; DELETE FROM reviews",
        "SELECT 1;'",
        "  -- nothing",
        "PRAGMA query_only = OFF",
        "COPY reviews TO '/tmp/x'",
        "WITH gone AS (DELETE FROM reviews RETURNING *) SELECT text, label FROM gone",
    ],
)
def test_anything_but_one_select_is_refused(query: str) -> None:
    assert refusal(query).startswith("reviews: found ")
    assert answer_of("SELECT * FROM reviews ORDER BY id") == [
        ("good", "positive"),
        ("很差", "negative"),
    ]


def test_postgres_answers_in_a_transaction_that_cannot_write(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the check of the statement, the server itself refuses."""
    monkeypatch.setenv(VARIABLE, postgres.url)
    monkeypatch.setattr(database, "one_select", lambda query, name: query)
    postgres.run("CREATE SEQUENCE IF NOT EXISTS numbers")
    writes = "SELECT nextval('numbers')::text AS text, '' AS label"
    assert "read-only transaction" in refusal(writes)
    assert "must be set before" in refusal(
        "SELECT set_config('transaction_read_only', 'off', false) AS text, '' AS label"
    )
    assert "DECLARE CURSOR" in refusal(
        "WITH d AS (DELETE FROM reviews RETURNING *) SELECT text, label FROM d"
    )
    assert "syntax error" in refusal("DELETE FROM reviews RETURNING text, label")
    assert "multiple commands" in refusal("SELECT text, label FROM reviews; COMMIT; DROP TABLE x")
    assert postgres.run("SELECT count(*) FROM reviews") == [(3,)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("DELETE FROM reviews RETURNING text, label", "readonly database"),
        ("ATTACH DATABASE 'data/raw/other.db' AS other", "not authorized"),
        ("ATTACH DATABASE 'file:data/raw/other.db?mode=rwc' AS other", "not authorized"),
        ("PRAGMA query_only = OFF", "not authorized"),
        ("CREATE TABLE x (y)", "readonly database"),
        ("VACUUM INTO 'data/raw/other.db'", "authorization denied"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
    ],
)
def test_sqlite_itself_refuses_to_write(
    reviews: Path, monkeypatch: pytest.MonkeyPatch, query: str, reason: str
) -> None:
    monkeypatch.setattr(database, "one_select", lambda query, name: query)
    before = reviews.read_bytes()
    assert reason in refusal(query)
    assert reviews.read_bytes() == before
    assert [path.name for path in reviews.parent.iterdir()] == [reviews.name]


def test_a_missing_sqlite_file_is_not_created(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("sqlite:///data/raw/secret-place.db", "sqlite://", "sqlite:///:memory:"):
        monkeypatch.setenv(VARIABLE, url)
        said = refusal("SELECT 1 AS text, 2 AS label")
        assert "no SQLite file" in said
        assert "secret" not in said
    monkeypatch.setenv(VARIABLE, "sqlite:///file:data/raw/secret.db?mode=rwc&uri=true")
    assert "unable to open" in refusal("SELECT 1 AS text, 2 AS label")
    assert not list(Path("data/raw").iterdir())


def test_a_sqlite_file_may_have_any_name(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import URL

    odd = reviews.rename(reviews.with_name("a b?c#d%41+文.db"))
    monkeypatch.setenv(VARIABLE, URL.create("sqlite", database=str(odd)).render_as_string())
    assert len(answer_of("SELECT * FROM reviews")) == 2


def test_full_text_search_can_be_read(reviews: Path) -> None:
    with sqlite3.connect(reviews) as connection:
        connection.execute("CREATE VIRTUAL TABLE found USING fts5(text, label)")
        connection.execute("INSERT INTO found SELECT text, label FROM reviews")
        connection.execute("CREATE VIRTUAL TABLE places USING rtree(id, low, high)")
    connection.close()
    assert answer_of("SELECT * FROM found WHERE found MATCH 'good'") == [("good", "positive")]
    assert "an answer without rows" in refusal("SELECT id AS text, low AS label FROM places")


@pytest.mark.usefixtures("project")
def test_the_variable_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SourceError) as caught:
        sql.open_source(wanted("SELECT 1"))
    said = caught.value.render("en")
    assert said.startswith(f"reviews, {VARIABLE}: found no such environment variable")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hunter22@secret.example:port/data",
        "hunter22",
        "postgresql://someone:hunt/er22@secret.example/data",
        "hunter22://someone:x@secret.example/data",
        "HUNTER22+sécret://x",
        "oracle://someone:hunter22@secret.example/data",
        "postgresql+asyncpg://someone:hunter22@secret.example/data",
        "postgres://someone:hunter22@secret.example/data",
        "postgresql://someone:hunter22@no-such-host.secret.invalid/data",
        "postgresql://someone:hunter22@127.0.0.1:9/data",
        "postgresql://someone:hunter22@[::1]:9/data",
        "postgresql://someone:hunter22@/data?host=127.0.0.1&port=9",
        "postgresql://someone:hunter22@/data?host=/secret/place",
        "postgresql://127.0.0.1:9/data?sslmode=hunter22",
    ],
)
def test_no_message_tells_the_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, url)
    said = refusal("SELECT 1 AS text, 2 AS label").lower()
    known_kind = url.startswith("hunter22://")  # a driver's name is no secret
    assert known_kind or "hunter22" not in said
    for secret in ("er22", "secret", "someone", "127.0.0.1", "::1", "postgresql://some"):
        assert known_kind or secret not in said, said
    assert "secret" not in said
    assert said.startswith("reviews")


def test_what_the_server_says_is_told_without_the_address(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        postgres.url.replace(PASSWORD, "wrong-word"): "password authentication failed",
        postgres.url.replace("/postgres", "/nowhere"): "does not exist",
    }
    for url, reason in cases.items():
        monkeypatch.setenv(VARIABLE, url)
        said = refusal("SELECT 1 AS text, 2 AS label")
        assert reason in said
        for secret in (PASSWORD, "wrong-word", OWNER, "127.0.0.1", "nowhere"):
            assert secret not in said
    monkeypatch.setenv(VARIABLE, postgres.url)
    said = refusal(f"SELECT '{PASSWORD}'::int AS text, 2 AS label")
    assert PASSWORD not in said
    assert "invalid input syntax" in said


def test_only_connecting_is_tried_again(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    tries: list[str] = []

    def count_them(dialect: Any, *_others: Any) -> None:
        tries.append(dialect.name)

    event.listen(Engine, "do_connect", count_them)
    try:
        waits: list[float] = []
        monkeypatch.setattr(database.time, "sleep", waits.append)
        monkeypatch.setattr(database, "WAITS", (0.5, 2.0))
        monkeypatch.setenv(VARIABLE, "postgresql://someone@127.0.0.1:9/data")
        refusal("SELECT 1 AS text, 2 AS label")
        assert (len(tries), waits) == (3, [0.5, 2.0])
        monkeypatch.setenv(VARIABLE, postgres.url)
        refusal("SELECT pg_sleep('no')")
        refusal("SELECT pg_terminate_backend(pg_backend_pid())::text AS text, '' AS label")
        assert (len(tries), waits) == (5, [0.5, 2.0])
    finally:
        event.remove(Engine, "do_connect", count_them)


@pytest.mark.usefixtures("postgres")
def test_a_server_that_comes_up_late_is_reached(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import OperationalError

    tries: list[int] = []

    def fail_twice(*_others: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("", {}, Exception("not yet"))

    event.listen(Engine, "do_connect", fail_twice)
    try:
        monkeypatch.setenv(VARIABLE, postgres.url)
        assert len(answer_of("SELECT * FROM reviews")) == 2
        assert len(tries) == 3
    finally:
        event.remove(Engine, "do_connect", fail_twice)


@pytest.mark.usefixtures("either")
def test_what_the_answer_lacks_is_named() -> None:
    said = refusal("SELECT id, text AS content FROM reviews")
    assert "found the columns id, content, allowed a column text, label" in said
    said = refusal("SELECT text, text, label FROM reviews")
    assert "each column once" in said
    assert "an answer without rows" in refusal("SELECT * FROM reviews WHERE id > 99")
    assert "nonexistent" in refusal("SELECT * FROM nonexistent")
    assert refusal("SELECT text label FROM reviews WHERE")


@pytest.mark.usefixtures("either")
def test_colons_and_percents_of_a_query_stay_as_written() -> None:
    query = r"""
        SELECT ':x :smile: 10:20 %s %% \: :watermark ''; --' AS text, -- a comment: :y ; 'it
               CAST('12:30' AS text) AS "label" /* ; :z */ FROM reviews WHERE text LIKE 'g%' ; -- ;
    """
    assert answer_of(query) == [(r":x :smile: 10:20 %s %% \: :watermark '; --", "12:30")]


def test_casts_and_dollar_quotes_of_postgres(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, postgres.url)
    query = "SELECT $q$a;':b$q$::text AS text, (ARRAY['x','y'])[1:2]::text AS label"
    assert answer_of(query) == [("a;':b", "{x,y}")]


def test_types_of_postgres(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, postgres.url)
    query = """SELECT 'x' AS text, 2 AS label, true AS yes, 1.50::numeric AS price,
        0.5::float8 AS half, 'NaN'::float8 AS nan, date '2026-01-02' AS day,
        timestamp '2026-01-02 03:04:05' AS naive,
        timestamptz '2026-01-02 03:04:05+08' AS zoned, '\\xff'::bytea AS raw,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid,
        '{"b": [1, "文"], "a": null}'::jsonb AS json, ARRAY[1,2] AS list,
        interval '90 minutes' AS span, NULL AS nothing"""
    names = ["yes", "price", "half", "nan", "day", "naive", "zoned", "uuid", "json", "list"]
    rows, _delivery = taken(query, meta=[*names, "span", "nothing"], created_at="zoned")
    assert rows[0].label == "2"
    assert rows[0].created_at == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)
    assert {name: rows[0].meta[name] for name in [*names, "span", "nothing"]} == {
        "yes": True,
        "price": "1.50",
        "half": 0.5,
        "nan": None,
        "day": "2026-01-02",
        "naive": "2026-01-02T03:04:05+00:00",
        "zoned": "2026-01-01T19:04:05+00:00",
        "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "json": '{"a": null, "b": [1, "文"]}',
        "list": "[1, 2]",
        "span": "1:30:00",
        "nothing": None,
    }
    for column, when in (("naive", (2026, 1, 2, 3, 4, 5)), ("day", (2026, 1, 2))):
        rows, _delivery = taken(query, created_at=column)
        assert rows[0].created_at == datetime(*when, tzinfo=UTC)  # type: ignore[misc]
    assert taken(query, text="json")[0][0].text == '{"a": null, "b": [1, "文"]}'
    said = refusal(query, text="raw")
    assert said.startswith("reviews:1: found bytes in the column raw")
    late = "SELECT timestamp '99999-01-01' AS text, 1 AS label"
    assert refusal(late).startswith("reviews: found timestamp too large")
    half = """SELECT '{"x": "\\ud800"}'::json AS text, 1 AS label"""
    assert refusal(half).startswith("reviews:1: ")


def test_types_of_sqlite(reviews: Path) -> None:
    assert answer_of("SELECT 1.5 AS text, 7 AS label") == [("1.5", "7")]
    assert refusal("SELECT x'ff' AS text, 'a' AS label").startswith("reviews:1: found bytes in")
    assert "UTF-8" in refusal("SELECT CAST(x'ff' AS TEXT) AS text, 'a' AS label")
    assert taken("SELECT 'a' AS text, 1 AS label, x'ff' AS other")[1].bytes > 0


def test_a_source_larger_than_allowed_is_stopped(reviews: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT i AS text, i AS label FROM n"
    )
    delivery = sql.open_source(wanted(endless))
    delivery.count.allowed = 1_000_000
    with pytest.raises(SourceError, match="more than 1 MB"):
        list(delivery.rows)


def test_no_report_tells_the_address(
    reviews: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the whole stage, whose reading process gets the address from its environment."""
    monkeypatch.setenv("OTHER_URL", postgres.url.replace(PASSWORD, "hunter22"))
    good = wanted("SELECT * FROM reviews").model_dump(mode="json")
    bad = good | {"name": "other", "url_from": "OTHER_URL", "required": False}
    collect(changed({"collect.sources": [good, bad]}))
    written = b"".join(path.read_bytes() for path in artifacts.COLLECT.iterdir())
    assert b"password authentication failed" in written
    for secret in (b"hunter22", OWNER.encode(), b"127.0.0.1", FILE.name.encode()):
        assert secret not in written
    assert len(table_rows(artifacts.COLLECT / artifacts.RECORDS)) == 2


MEASURE = """
import resource, sys
from tests.pipeline.test_sql import wanted
from pipeline.sources import sql
delivery = sql.open_source(wanted(sys.argv[1], batch=1000))
first = next(delivery.rows)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
taken = 1 + sum(1 for _ in delivery.rows)
print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.usefixtures("either")
def test_memory_does_not_grow_with_the_answer(either: str) -> None:
    """60,000 rows of 2 kB: 120 MB pass through, of which 1,000 rows are held."""
    series = "generate_series(1, 60000) AS n(i)"
    if either == "sqlite":
        series = (
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
            " SELECT i FROM n)"
        )
    text = "repeat('x', 2000)" if either == "postgres" else "printf('%.*c', 2000, 'x')"
    query = f"SELECT {text} || i AS text, i AS label FROM {series}"  # noqa: S608
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, query],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    rows, kilobytes = map(int, done.stdout.split())
    assert rows == 60_000
    assert kilobytes < 30_000


def environment() -> dict[str, str]:
    """Return this environment, in which the project's own modules are found from any folder."""
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@given(st.lists(st.sampled_from([":", ":watermark", "'", "x", " ", "::", "\\", "''", ";", "--"])))
def test_what_a_query_says_is_what_is_asked(words: list[str]) -> None:
    """Whatever stands in a text, SQLite gets it as it was written."""
    content = "".join(words).replace("'", "''")
    statement = database.one_select(f"SELECT '{content}' AS text", "reviews")
    from sqlalchemy import text

    compiled = text(statement).compile()
    assert str(compiled) == f"SELECT '{content}' AS text"
    assert not compiled.params
    assert not database.has_watermark(f"SELECT '{content}'")


def test_a_watermark_is_found_only_where_it_is_a_parameter() -> None:
    assert database.has_watermark("SELECT 1 WHERE id > :watermark")
    assert database.has_watermark("SELECT ':x' WHERE (id>:watermark)")
    for query in ("':watermark'", "-- :watermark", "x::watermark", ":watermarks", "/*:watermark*/"):
        assert not database.has_watermark(f"SELECT {query}")


def test_short_secrets_do_not_cut_words() -> None:
    from sqlalchemy import make_url

    url = make_url("postgresql://a:b@db/x")
    assert database.hidden("a bad b at db: table", url, connecting=False) == "a bad … at …: table"
