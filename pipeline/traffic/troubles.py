"""What a database suffers from, in one word, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.artifacts import OUT_OF_SPACE
from pipeline.errors import StorageError
from pipeline.i18n import Message, _
from pipeline.sources.database import first_line, hidden
from pipeline.traffic.address import place

LOCKED, FULL, AWAY, DAMAGED, NEWER = "locked", "full", "away", "damaged", "newer"
KEYLESS, DELETED, BEHIND = "keyless", "deleted", "behind"  # what only a recorder notices
REASONS: Mapping[str, Message] = {
    LOCKED: _("The traffic database is locked by another program; requests wait to be written."),
    FULL: _("There is no room left for the traffic database; requests wait to be written."),
    AWAY: _("The traffic database cannot be reached; requests wait to be written."),
    DAMAGED: _("The traffic database is damaged; requests wait to be written."),
    NEWER: _("The traffic database is of a newer Mofang; requests wait to be written."),
    KEYLESS: _("The key of hashes, var/secret, cannot be used; requests wait to be written."),
    DELETED: _("The traffic database was deleted or moved; an empty one was made in its place."),
    BEHIND: _("Requests come faster than they can be written; some are not recorded."),
}
FIXES: Mapping[str, Message] = {
    LOCKED: _("Try again in a moment, or end the program that holds it."),
    FULL: _("Free some space, then try again."),
    AWAY: _("Check that it runs, that MOFANG_DATABASE_URL is right, and who may write there."),
    DAMAGED: _("Move it away; the next start makes an empty one in its place."),
}
BY_SQLITE = {  # primary result codes: https://www.sqlite.org/rescode.html
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_PROTOCOL: LOCKED,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: AWAY,
    sqlite3.SQLITE_CANTOPEN: AWAY,
    sqlite3.SQLITE_READONLY: AWAY,
    sqlite3.SQLITE_PERM: AWAY,
    sqlite3.SQLITE_AUTH: AWAY,
    sqlite3.SQLITE_NOMEM: AWAY,
    sqlite3.SQLITE_ERROR: DAMAGED,  # a table is missing, or not as it should be
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}
PRIMARY = 0xFF  # the part of an extended result code that is its primary one
BY_STATE = {  # SQLSTATE, or the class that its first two characters name: PostgreSQL, appendix A
    "53100": FULL,
    "55": LOCKED,
    "57014": LOCKED,  # a statement that took too long
    "40": LOCKED,
    "42": DAMAGED,  # a table is missing, or not as it should be
    "XX": DAMAGED,
    "08": AWAY,
    "25006": AWAY,  # a server that takes no writes for now
    "28": AWAY,
    "3D": AWAY,
    "53": AWAY,
    "57": AWAY,
    "58": AWAY,
}


class NewerError(StorageError):
    """Tables that this version of Mofang does not know."""


def trouble(error: BaseException) -> str | None:
    """Return what a database suffers from; None where it is well and the rows are to blame."""
    if isinstance(error, NewerError):
        return NEWER
    if isinstance(error, StorageError):  # of ``privacy.secret``
        return KEYLESS
    if isinstance(error, TimeoutError):  # another process makes the tables
        return LOCKED
    if isinstance(error, PoolTimeout):
        return AWAY
    if isinstance(error, OSError):
        return FULL if error.errno in OUT_OF_SPACE else AWAY
    if isinstance(error, sqlite3.Error):
        return by_sqlite(error)
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return by_sqlite(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # the driver itself: no server, or none any more
        broken = (
            isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        )
        return AWAY if broken or error.connection_invalidated else None
    return BY_STATE.get(state) or BY_STATE.get(state[:2])


def by_sqlite(error: sqlite3.Error) -> str | None:
    """Return what a SQLite file suffers from."""
    code = getattr(error, "sqlite_errorcode", None)  # none where the driver itself refused
    return None if code is None else BY_SQLITE.get(code & PRIMARY)


@contextlib.contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn what a database suffers from into an error that shows no address.

    :raises StorageError: in place of what SQLAlchemy, a driver or the system raised.
    """
    try:
        yield
    except (DBAPIError, PoolTimeout, sqlite3.Error, OSError) as error:
        name = trouble(error)
        if name is None:
            raise
        found = first_line(error)
        if engine.dialect.name != "sqlite":
            found = hidden(found, engine.url, connecting=True)
        raise StorageError.at(
            place(engine),
            found=found,
            allowed=_("a traffic database that can be written"),
            fix=FIXES[name],
        ) from None
