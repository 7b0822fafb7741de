"""Whether the database is still the one that was written last, and another one if it is not.

Somebody may delete a SQLite file or move it away. Open connections would go on to write to what has
no name any more, and nothing would fail. So the recorder asks before each batch, which costs two
looks at the file system.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pipeline.traffic import database
from pipeline.traffic.address import aside_of, file_of, log_of
from pipeline.traffic.troubles import DAMAGED, by_sqlite

Identity = tuple[int, int] | None  # device and file number; None where there is no file


class Upkeep:
    """Keeps a database in its place, for the one thread that writes."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.path = engine, file_of(engine)
        self._sure = False  # that tables are there and of this version
        self._damaged = False
        self._lost = False  # what was written before is not in its place any more
        self._seen: tuple[Identity, Identity] = (None, None)

    def doubt(self, name: str) -> None:
        """Look again before the next write, because of a trouble of this name."""
        self._sure = False
        self._damaged = name == DAMAGED

    def in_place(self) -> bool:
        """Return whether the files are still those that were written."""
        return self._found() == self._seen

    def recreated(self) -> bool:
        """Make sure that the database can be written, and tell, once, whether it is another one.

        :raises Exception: what keeps it from being written, see ``troubles``.
        """
        if self._sure and self.in_place():
            return False
        now = self._found()[0]
        # Asked while the old file is open: its number cannot be given to a new one meanwhile.
        if self._seen[0] is not None and now != self._seen[0]:
            self._lost = True
            take_leave(self.engine)
        self.engine.dispose()  # of connections to what is gone
        if self._damaged and self._seen[0] is not None and self.path is not None:
            self._lost = set_aside(self.path) or self._lost
        database.prepare(self.engine)
        with database.writing(self.engine):
            pass  # the connection stays in the pool, and with it the file that is written ahead
        self._seen, self._sure, self._damaged = self._found(), True, False
        lost, self._lost = self._lost, False
        return lost

    def _found(self) -> tuple[Identity, Identity]:
        """Return which files are in place: the database, and what is written ahead of it."""
        if self.path is None:
            return None, None
        return identity(self.path), identity(log_of(self.path))


def take_leave(engine: Engine) -> None:
    """Move what was written ahead into a file that has another name by now.

    SQLite does not do so when it closes such a file.
    """
    with contextlib.suppress(SQLAlchemyError, sqlite3.Error):  # then there is nothing to save
        driver: Any = engine.raw_connection()
        try:
            driver.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            driver.close()


def identity(path: Path) -> Identity:
    """Return which file a path names."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path) -> bool:
    """Rename a file that is no whole database any more, and tell whether it was one.

    One such file is kept, until it is as old as requests may be, or one of them is forgotten.
    """
    if not is_damaged(path):
        return False
    path.replace(aside_of(path))
    return True


def is_damaged(path: Path) -> bool:
    """Return whether SQLite finds that a file is no whole database."""
    connection = sqlite3.connect(path, timeout=database.BUSY_SECONDS)
    try:
        return connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]
    except sqlite3.Error as error:
        return by_sqlite(error) == DAMAGED
    finally:
        connection.close()
