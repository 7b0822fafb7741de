"""The answer to one query, in batches: what is in a database becomes records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

from pipeline.i18n import _
from pipeline.sources import database, reading
from pipeline.sources.delivery import Count, Delivery, Row

LINES = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class Query(Protocol):
    """What is asked of which database (``params.yaml``, a source or feed of kind ``sql``)."""

    @property
    def url_from(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def columns(self) -> Any: ...


class Wanted(Query, Protocol):
    """A source of kind ``sql``."""

    @property
    def name(self) -> str: ...


def open_source(source: Wanted) -> Delivery:
    """Return the rows that the query answers with; ORDER BY makes two answers comparable.

    ``bytes`` and ``sha256`` are those of the rows as JSON lines, and grow while rows are taken.

    :raises SourceError: without an address, driver, server, valid SELECT, row or wanted column.
    """
    answered = answer(source, source.name)
    delivery = Delivery(rows=iter(()), count=Count(), bytes=0, sha256="", files=[])
    delivery.rows = mapped(answered, source, delivery)
    return delivery


def mapped(
    answered: Generator[dict[str, Any]], source: Wanted, delivery: Delivery
) -> Iterator[Row]:
    """Yield the rows of an answer, and hash and count them."""
    digest = hashlib.sha256()
    count, names = delivery.count, reading.named(source.columns)
    with closing(answered):
        for number, values in enumerate(answered, 1):
            where = f"{source.name}:{number}"
            found = readable(values, names, where)
            line = as_line(found)
            digest.update(line)
            delivery.bytes += len(line)
            delivery.sha256 = digest.hexdigest()
            count.read += 1
            count.took(len(line), where)
            yield from reading.mapped(found, where, source.name, number, source.columns, count)
    if not count.read:
        raise reading.problem(
            source.name, _("an answer without rows"), _("at least one record"),
            _("Check the query, and that the database is the one you mean."),
        )  # fmt: skip


def as_line(values: dict[str, Any]) -> bytes:
    """Return a row as one line of JSON, always written the same way."""
    return LINES.encode(values).encode() + b"\n"


def answer(
    source: Query, name: str, watermark: object = None, needed: Sequence[str] = ()
) -> Generator[dict[str, Any]]:
    """Return an iterator over the rows of a query, as the driver gives them.

    :param name: how messages call the source.
    :param watermark: the value of ``:watermark`` in the query: it is bound, never pasted.
    :param needed: columns beyond those of ``source.columns`` that the answer must have.
    :raises SourceError: at once for an address or a query that cannot be used; while rows are
        taken for what the database refuses.
    """
    url = database.address(source.url_from, name)
    names = [*reading.named(source.columns), *needed]
    return database.answer(database.Asked(name, source.query, source.batch, watermark, names), url)


def readable(values: dict[str, Any], taken: Sequence[str], where: str) -> dict[str, Any]:
    """Return a row in values that JSON can hold; times are in UTC.

    :param taken: the columns that become part of a record.
    :raises SourceError: for bytes in one of them.
    """
    found = {}
    for name, value in values.items():
        if isinstance(value, bytes | bytearray | memoryview):
            if name in taken:
                raise reading.problem(
                    where,
                    _("bytes in the column {column}", column=name),
                    _("text, numbers or times"),
                    _("Let the query decode them, as convert_from(column, 'UTF8') does."),
                )
            value = hashlib.sha256(value).hexdigest()
        found[name] = value if type(value) in (str, int, type(None)) else plain(value, where)
    return found


def plain(value: Any, where: str) -> Any:
    """Return a value of a database as one that JSON can hold."""
    if isinstance(value, bool | float):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, datetime):
        return in_utc(value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list):
        written = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
        try:
            written.encode()
        except UnicodeEncodeError as error:
            raise reading.problem(
                where, str(error), _("text in UTF-8"), _("Mend this row.")
            ) from None
        return written
    return str(value)


def in_utc(when: datetime) -> datetime:
    """Return a point in time in UTC; one without a zone is taken as UTC."""
    try:
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except OverflowError:  # the first or last day of the calendar, in another zone
        return when.replace(tzinfo=UTC)
