"""The traffic database: how it is opened, made, and written to.

``open`` gives an engine whose tables are there and of this version. SQLite writes ahead (WAL):
readers never wait for the writer, and a transaction that a ``kill -9`` cut off never was. Its file
is 0600 and made under a lock, by one process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select

from pipeline.artifacts import sync
from pipeline.i18n import _
from pipeline.traffic.address import checked, file_of, place
from pipeline.traffic.tables import METADATA, requests
from pipeline.traffic.troubles import NewerError, explained

MIGRATIONS = Path(__file__).parent / "migrations"

BUSY_SECONDS = 5.0  # that one who wants to write waits for another one
CONNECT_SECONDS = 5
# A statement is kept compiled, so each number of rows in one is paid for in memory: with up to the
# usual thousand, 400 batches of 20 to 400 requests cost 50 MB, with 25 they cost 5.
ROWS_A_STATEMENT = 25
LOG_PAGES = 250  # of 4 KB that SQLite writes ahead before it moves them into its file
LOG_BYTES = 4_000_000  # to which it then cuts the file that it writes ahead
ON_CONNECT = (  # foreign_keys: rows go with their request; secure_delete: deleted is overwritten
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA wal_autocheckpoint = {LOG_PAGES}",
    f"PRAGMA journal_size_limit = {LOG_BYTES}",
)
ON_CREATE = ("PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL")  # in this order
SETTINGS = (  # of a session of PostgreSQL, in milliseconds
    "-c lock_timeout=5000 -c statement_timeout=60000 "
    "-c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
)
ADVISORY_LOCK = 0x6D6F66616E67  # "mofang": who holds it brings the tables to its version
BEGIN = "mofang_begin"  # execution option: how SQLite begins a transaction
PAGES_AT_ONCE = 1_000
MIGRATING = Lock()  # Alembic's context is one for the whole process


def open(url: str, root: Path) -> Engine:  # noqa: A001
    """Return what connects to the traffic database, with tables of this version.

    :param url: as SQLAlchemy writes it; empty for the SQLite file below ``root``/var.
    :param root: the project's folder; a relative path of SQLite starts there.
    :raises StorageError: if it cannot be reached, is locked, full, damaged, or of a newer Mofang.
    """
    made = connect(url, root)
    try:
        with explained(made):
            prepare(made)
    except BaseException:
        made.dispose()
        raise
    return made


def connect(url: str, root: Path) -> Engine:
    """Return what connects to the traffic database, without asking whether it is there.

    A service starts with this: its recorder makes the tables as soon as it can.

    :raises StorageError: for an address that is none, or of another kind of database.
    """
    address = checked(url, root)
    if address.get_backend_name() == "sqlite":
        made = create_engine(
            address,
            hide_parameters=True,
            insertmanyvalues_page_size=ROWS_A_STATEMENT,
            connect_args={"timeout": BUSY_SECONDS},
        )
        event.listen(made, "connect", set_pragmas)
        event.listen(made, "begin", begin)
        return made
    limits: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": 10_000,  # ms until a server that went without a word counts as gone
        "options": SETTINGS,
    }
    return create_engine(
        address,
        hide_parameters=True,  # an error's message holds nothing of a request
        insertmanyvalues_page_size=ROWS_A_STATEMENT,
        pool_pre_ping=True,
        pool_timeout=CONNECT_SECONDS,
        connect_args={name: one for name, one in limits.items() if name not in address.query},
    )


def set_pragmas(connection: Any, _record: object) -> None:
    """Prepare a new connection to SQLite, and leave it to ``begin`` to begin transactions.

    The driver would begin only before it changes rows, so that neither what is read nor what a
    migration does would be one transaction.
    """
    connection.isolation_level = None
    for statement in ON_CONNECT:
        connection.execute(statement)


def begin(connection: Connection) -> None:
    """Begin a transaction of SQLite."""
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose transaction may write, and commit it when the block ends well.

    SQLite takes the lock first: a transaction that reads and then wants to write fails when
    somebody else wrote in between.
    """
    with engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
        yield connection


def prepare(engine: Engine) -> None:
    """Make the database, or bring its tables to this version; nothing when they are.

    Several processes may call this at once: one does it, the others wait. What fails is raised as
    it is, see ``troubles``.

    :raises StorageError: if the tables are of a newer Mofang.
    """
    path = file_of(engine)
    with MIGRATING, only_one(path):
        if path is not None:
            create(path)
        with writing(engine) as connection:
            if path is None:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            upgrade(connection)


@contextlib.contextmanager
def only_one(path: Path | None) -> Iterator[None]:
    """Let one process at a time make a file; PostgreSQL has a lock of its own.

    :raises TimeoutError: if another one takes too long.
    """
    from filelock import FileLock

    if path is None:
        yield
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=BUSY_SECONDS):
        yield


def create(path: Path) -> None:
    """Make an empty database that only its owner may read; an existing one stays as it is."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        sync(path.parent)
    if path.stat().st_size:
        return
    # A file without a byte is also what a kill at this very place leaves.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        for statement in ON_CREATE:
            connection.execute(statement)
    finally:
        connection.close()


def upgrade(connection: Connection) -> None:
    """Run the migrations that a database has not seen.

    :raises StorageError: if it has seen some that this version does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerError.at(
            place(connection.engine),
            found=str(error),
            allowed=_("tables that this version of Mofang knows"),
            fix=_("Use the newer Mofang that made them, or another database."),
        ) from None


def used_bytes(connection: Connection) -> int:
    """Return how much a database holds, in bytes.

    SQLite: the pages of its file that are in use. PostgreSQL: about what its rows take, because
    the room of deleted rows is used again but rarely handed back.
    """
    if connection.dialect.name == "sqlite":
        pages, free, size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)
    total = select(func.coalesce(func.sum(requests.c.bytes), 0))
    return int(connection.execute(total).scalar_one())


def tidy(engine: Engine) -> None:
    """Let what was deleted leave the disk too, so that no old page stays readable.

    On SQLite a reader may hold up a part of it, which a later call then does.
    """
    if engine.dialect.name != "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"VACUUM {', '.join(METADATA.tables)}")
        return
    driver: Any = engine.raw_connection()
    try:
        cursor = driver.cursor()
        before = None
        while (free := cursor.execute("PRAGMA freelist_count").fetchone()[0]) and free != before:
            # A few pages a transaction: others who want to write wait for its end. Each page is
            # a step of the answer, so that what is not fetched is not done.
            cursor.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
            before = free
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        driver.close()
