"""The tables of the traffic database, the same on SQLite and PostgreSQL.

::

    requests ──< predictions      one line a text that was answered
             └─< feedback         what people said about an answer
    events                        what happened: alerts, canaries, rows that were not written
    windows                       figures of stretches of time

``requests.id`` is what a client knows. Inside, rows are tied by ``requests.number``, which grows:
new rows lie beside each other, and a reader goes on where it was. Deleting a request deletes its
predictions and feedback. No column holds a client's name or, unless ``traffic.text`` is
``masked``, a text.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.types import TypeEngine

ISO_8601 = DATETIME(  # type: ignore[no-untyped-call]
    storage_format="%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02d"
    ".%(microsecond)06dZ",
    regexp=r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z",
)
HASH = 32  # characters of a hash: 128 bits in hexadecimal
LONGEST_ID = 64  # characters of a request's id


class Moment(TypeDecorator[datetime]):
    """A point in time, in UTC: ``timestamptz``, or ISO 8601 text where SQLite has no such type."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Return the type of the database at hand."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(ISO_8601)
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what is stored.

        :raises ValueError: for a time without a zone, which could be any.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what is read, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite counts up by itself only where the type is INTEGER, which holds 64 bits there.
NUMBER = BigInteger().with_variant(Integer, "sqlite")
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def number() -> Column[int]:
    """Return a number that grows from row to row and is never given twice."""
    return Column("number", NUMBER, primary_key=True, autoincrement=True)


def request() -> Column[int]:
    """Return the request that a row belongs to, and goes with."""
    target = ForeignKey("requests.number", ondelete="CASCADE")
    return Column("request", NUMBER, target, nullable=False)


requests = Table(
    "requests",
    METADATA,
    number(),
    Column("id", String(LONGEST_ID), nullable=False),
    Column("at", Moment, nullable=False),
    Column("route", String(100), nullable=False),
    Column("code", Integer, nullable=False),  # HTTP status
    Column("version", String(50)),  # of the release that answered; null: none did
    Column("role", String(20)),  # stable or canary
    Column("shadow", Boolean, nullable=False),  # the client saw another answer
    Column("client", String(HASH), nullable=False),  # keyed hash
    Column("texts", Integer, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("seconds", Double, nullable=False),  # until the answer
    Column("waited", Double, nullable=False),  # seconds of them in the queue
    Column("bytes", Integer, nullable=False),  # about what the request and its rows take here
    UniqueConstraint("id"),
    Index(None, "at"),
    Index(None, "client"),
    sqlite_autoincrement=True,
)

predictions = Table(
    "predictions",
    METADATA,
    request(),
    Column("index", Integer, nullable=False),  # of the text in its request
    Column("hash", String(HASH), nullable=False),  # keyed, of the text as it came
    Column("characters", Integer, nullable=False),
    Column("text", Text),  # masked and cut; null where none is kept
    Column("language", String(8)),
    Column("label", Text),
    Column("confidence", Double),  # see rows.certainty; null for a number
    Column("margin", Double),
    Column("scores", JSON(none_as_null=True)),  # four decimals, in the order of the model's outputs
    Column("stable_label", Text),  # what the stable release answered, where it was asked too
    Column("features", LargeBinary),  # watching.textdrift
    PrimaryKeyConstraint("request", "index"),
    sqlite_with_rowid=False,
)

feedback = Table(
    "feedback",
    METADATA,
    number(),
    request(),
    Column("at", Moment, nullable=False),
    Column("index", Integer, nullable=False),
    Column("client", String(HASH), nullable=False),
    Column("verdict", String(10), nullable=False),  # up or down
    Column("label", Text),  # what would have been right
    Column("reason", Text),  # masked and cut
    UniqueConstraint("request", "index", "client"),  # who changes their mind is counted once
    Index(None, "at"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    METADATA,
    number(),
    Column("at", Moment, nullable=False),
    Column("kind", String(50), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "at"),
    Index(None, "kind", "at"),
    sqlite_autoincrement=True,
)

windows = Table(
    "windows",
    METADATA,
    number(),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),  # the first moment after it
    Column("data", JSON, nullable=False),
    UniqueConstraint("since", "until"),
    Index(None, "until"),
    sqlite_autoincrement=True,
)
