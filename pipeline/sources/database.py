"""A database of any kind that SQLAlchemy speaks to: one SELECT, read-only, its address kept secret.

Nothing can be written: SQLite opens its file, and no other one, read-only; PostgreSQL answers
through a cursor of a read-only transaction; nothing is ever committed. The address stands in an
environment variable; no message shows it, nor its host or password.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.errors import SourceError, Text
from pipeline.i18n import _
from pipeline.sources.delivery import problem

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

WAITS = (0.5, 2.0)  # seconds before the second and the third attempt to connect
TIMEOUT = 10  # seconds until a server that does not answer counts as unreachable
LIMITS_CONNECT = ("psycopg", "psycopg2", "pymysql", "mysqldb")  # drivers that know connect_timeout
BY_STATEMENT = ("mysql", "mariadb", "oracle")  # where a statement makes a transaction read-only
QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/""", re.DOTALL
)
COLON = re.compile(r"(?<![:\w\\]):watermark\b|:")
ADDRESS = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.I
)
HIDDEN = "…"


@dataclass(frozen=True)
class Start:
    """A watermark as typed in ``params.yaml``: its type is the compared column's."""

    text: str


@dataclass(frozen=True)
class Asked:
    """A query and how it is to be answered."""

    name: str
    query: str
    batch: int
    watermark: object
    needed: list[str]


def one_select(query: str, name: str) -> str:
    """Return a query with every colon but that of ``:watermark`` escaped for SQLAlchemy.

    :raises SourceError: for anything but a single SELECT.
    """
    found = list(pieces(query))
    bare = "".join(
        code + (" " if quoted.startswith(("--", "/*")) else "''") for code, quoted in found
    )
    bare = bare.removesuffix("''")  # of the empty last piece
    first, _end, second = bare.partition(";")
    words = first.replace("(", " ").split()
    if not words or words[0].lower() not in ("select", "with", "values"):
        raise no_select(name, repr(words[0]) if words else _("no statement"))
    if second.strip("; \t\r\n"):
        raise no_select(name, _("a second statement after ;"))
    return "".join(
        COLON.sub(lambda one: one[0] if len(one[0]) > 1 else r"\:", code)
        + quoted.replace(":", r"\:")
        for code, quoted in found
    )


def pieces(query: str) -> Iterator[tuple[str, str]]:
    """Yield code and the literal, quoted name or comment that follows it, until the end."""
    end = 0
    for match in QUOTED.finditer(query):
        yield query[end : match.start()], match[0]
        end = match.end()
    yield query[end:], ""


def has_watermark(query: str) -> bool:
    """Return whether a query has the parameter ``:watermark``, outside of texts and comments."""
    return any(
        len(match[0]) > 1 for code, _quoted in pieces(query) for match in COLON.finditer(code)
    )


def no_select(name: str, found: Text) -> SourceError:
    """Return the error for what is not one question."""
    return problem(
        name,
        found,
        _("one SELECT"),
        _("Write the query as a single SELECT; a source only reads."),
    )


def address(variable: str, name: str) -> URL:
    """Return the address that stands in an environment variable.

    :raises SourceError: if it is not set or no address; what it holds is never shown.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    value = os.environ.get(variable, "").strip()
    if value:
        try:
            return make_url(value)
        except (ArgumentError, ValueError):
            pass
    raise problem(
        f"{name}, {variable}",
        _("what is no address") if value else _("no such environment variable"),
        _("a SQLAlchemy URL such as postgresql+psycopg://user:password@host/database"),
        _("Set the variable before the run; write special characters of a password as %40."),
    ) from None


def engine(url: URL, name: str) -> Engine:
    """Return what connects to an address; it keeps no connection open.

    :raises SourceError: for a database whose driver is not there, and a missing SQLite file.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import NullPool

    kind = url.drivername if re.fullmatch(r"[a-z0-9_+]{1,40}", url.drivername) else HIDDEN
    if url.get_backend_name() == "sqlite":
        url = read_only_file(url, name)
    try:
        limited = url.get_driver_name() in LIMITS_CONNECT and "connect_timeout" not in url.query
        extra = {"connect_timeout": TIMEOUT} if limited else {}
        return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=extra)
    except (ImportError, ArgumentError):
        raise problem(
            name,
            _("no driver for {kind}", kind=kind),
            _("a database whose driver is installed, such as postgresql+psycopg or sqlite"),
            _("Install the driver, or write the name of another one before :// in the address."),
        ) from None


def read_only_file(url: URL, name: str) -> URL:
    """Return the address of a SQLite file that can only be read, and is not made when missing."""
    database = url.database or ""
    if not database.startswith("file:"):
        if not Path(database).is_file():
            raise problem(
                name,
                _("no SQLite file where the address points"),
                _("a file, as in sqlite:///data/raw/reviews.db"),
                _("Correct the address; its path is relative to the project's folder."),
            )
        url = url.set(database="file:" + quote(str(Path(database).absolute())))
    return url.update_query_dict({"mode": "ro", "uri": "true"})


def answer(asked: Asked, url: URL) -> Generator[dict[str, object]]:
    """Return an iterator over the rows of a query, never holding more than a batch of them.

    :raises SourceError: at once for a query or an address that cannot be used; while rows are
        taken for what the database refuses.
    """
    return fetched(engine(url, asked.name), one_select(asked.query, asked.name), asked)


def fetched(made: Engine, statement: str, asked: Asked) -> Generator[dict[str, object]]:
    """Yield the rows of a statement as the driver gives them."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    bound: dict[str, object] = {}
    if asked.watermark is not None:
        bound["watermark"] = as_bound(asked.watermark, made.dialect.name)
    connection = connected(made, asked.name)
    try:
        only_reads(connection)
        options = {"stream_results": True, "yield_per": asked.batch}
        result = connection.execute(text(statement), bound, execution_options=options)
        with contextlib.closing(result):
            names = list(result.keys())
            require(names, asked)
            for batch in result.partitions():
                for values in batch:
                    yield dict(zip(names, values, strict=True))
    except SQLAlchemyError as error:
        raise refused(error, asked.name, made.url) from None
    finally:
        with contextlib.suppress(SQLAlchemyError):  # a server that is gone cannot roll back
            connection.close()
        made.dispose()


def as_bound(watermark: object, dialect: str) -> object:
    """Return a watermark as the driver takes it.

    SQLite compares a number with a text by their types, so a start that is a number becomes one;
    elsewhere a text takes the type of what it is compared with.
    """
    if not isinstance(watermark, Start):
        return watermark
    if dialect == "sqlite":
        for number in (int, float):
            try:
                return number(watermark.text)
            except ValueError:
                continue
    return watermark.text


def connected(made: Engine, name: str) -> Connection:
    """Return a connection; a server that cannot be reached is asked three times.

    :raises SourceError: without the server's address in it.
    """
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    for wait in (*WAITS, None):
        try:
            return made.connect()
        except OperationalError as error:
            if wait is None:
                found = hidden(first_line(error), made.url, connecting=True)
                raise problem(
                    name,
                    found,
                    _("a database that can be reached"),
                    _("Check that it runs, and the host, user and password of the address."),
                ) from None
            time.sleep(wait)
        except SQLAlchemyError as error:
            raise refused(error, name, made.url, connecting=True) from None
    raise AssertionError("the last attempt returns or raises")


def only_reads(connection: Connection) -> None:
    """Let a connection refuse to write."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execution_options(postgresql_readonly=True)
    elif dialect == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        # query_only and mode=ro do not keep ATTACH from making another file.
        driver: Any = connection.connection.driver_connection
        driver.set_authorizer(allowed_in_sqlite)
    elif dialect in BY_STATEMENT:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")


def allowed_in_sqlite(action: int, first: str | None, *_others: object) -> int:
    """Answer SQLite's question whether a statement may do something."""
    import sqlite3

    other_file = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    # Full-text search looks at data_version by itself; a query has no setting to change.
    setting = action == sqlite3.SQLITE_PRAGMA and first != "data_version"
    return sqlite3.SQLITE_DENY if other_file or setting else sqlite3.SQLITE_OK


def require(names: list[str], asked: Asked) -> None:
    """Refuse an answer that lacks a column, or has two of one name."""
    twice = sorted({one for one in names if names.count(one) > 1})
    missing = [one for one in asked.needed if one not in names]
    if twice or missing:
        raise problem(
            asked.name,
            _("the columns {columns}", columns=", ".join(names)),
            _("a column {missing}", missing=", ".join(missing))
            if missing
            else _("each column once"),
            _("Name the right column under columns, or give it that name in the query with AS."),
        )


def refused(error: Exception, name: str, url: URL, *, connecting: bool = False) -> SourceError:
    """Return the error for what a database or its driver refuses."""
    return problem(
        name,
        hidden(first_line(error), url, connecting=connecting),
        _("a query that the database can answer"),
        _("Try the query in the database's own shell, then correct it in params.yaml."),
    )


def first_line(error: Exception) -> str:
    """Return what the driver says, without the statement and the parameters."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].partition(" (Background on this error")[0] if lines else type(error).__name__


def hidden(message: str, url: URL, *, connecting: bool) -> str:
    """Return a message without the parts of the address that stand in it.

    A user's or database's name is hidden only while connecting: later it may be a table's.
    """
    secrets = [str(url.password or ""), url.host or ""]
    if connecting:
        secrets += [url.username or "", url.database or ""]
        for value in url.query.values():
            secrets += [value] if isinstance(value, str) else value
        message = ADDRESS.sub(HIDDEN, message)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        pattern = re.escape(secret)
        # A short one would be found inside of words.
        message = re.sub(
            pattern if len(secret) > 4 else rf"(?<!\w){pattern}(?!\w)", HIDDEN, message
        )
    return message
