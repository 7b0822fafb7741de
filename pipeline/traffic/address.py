"""The address of the traffic database: a SQLite file or PostgreSQL, and never shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from pipeline.errors import StorageError
from pipeline.i18n import Message, _

VARIABLE = "MOFANG_DATABASE_URL"
FOLDER = Path("var")
FILE = "traffic.sqlite"
URI = "file:"
WITHOUT_DRIVER = ("postgres", "postgresql")
POSTGRESQL = "postgresql+psycopg"


def checked(url: str, root: Path) -> URL:
    """Return the address of a database that is supported.

    :param url: as SQLAlchemy writes it; empty for the SQLite file below ``root``/var.
    :param root: where a relative path of SQLite starts.
    :raises StorageError: for any other one; what the address holds is not shown.
    """
    try:
        address = make_url(url.strip() or f"sqlite:///{FOLDER / FILE}")
    except (ArgumentError, ValueError):
        raise unsupported(_("what is no address")) from None
    if address.drivername in WITHOUT_DRIVER:
        address = address.set(drivername=POSTGRESQL)
    if address.drivername == POSTGRESQL:
        return address
    if address.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise unsupported(_("another kind of database"))
    name = address.database or ""
    if name in ("", ":memory:") or name.startswith(URI):
        raise unsupported(_("a SQLite database without a file"))
    # mode=rw: a mere connection never makes the file, so that one which is gone is noticed.
    path = quote(str(root.absolute() / name))
    return URL.create("sqlite", database=URI + path, query={"mode": "rw", "uri": "true"})


def unsupported(found: Message) -> StorageError:
    """Return the error for an address that is none, or of another kind."""
    return StorageError.at(
        VARIABLE,
        found=found,
        allowed=_(
            "a SQLite file or PostgreSQL, as in postgresql+psycopg://user:password@host/name"
        ),
        fix=_("Correct the variable; without it {path} is used.", path=FOLDER / FILE),
    )


def file_of(engine: Engine) -> Path | None:
    """Return the file of a SQLite database; None for PostgreSQL."""
    return file_in(engine.url)


def file_in(address: URL) -> Path | None:
    """Return the file of an address that was ``checked``; None for PostgreSQL."""
    if address.get_backend_name() != "sqlite":
        return None
    return Path(unquote(str(address.database).removeprefix(URI)))


def log_of(path: Path) -> Path:
    """Return the file in which SQLite writes ahead of its database."""
    return path.with_name(f"{path.name}-wal")


def aside_of(path: Path) -> Path:
    """Return where a damaged database is kept for whoever wants to know what happened."""
    return path.with_name(f"{path.name}.damaged")


def place(engine: Engine) -> str:
    """Return what may be shown of where a database is."""
    return str(file_of(engine) or VARIABLE)
