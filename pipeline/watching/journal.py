"""What happened, in the traffic database: looks, samples, alerts, steps of a proposal.

Events are added one a transaction and never changed, so that a kill loses at most the one that was
being written. Only looks and samples, of which there are many, are deleted after some weeks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

MOST = 20_000  # events that one question returns, the newest


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    id: int
    at: datetime  # UTC
    kind: str
    data: Mapping[str, Any]


def note(engine: Engine, kind: str, data: Mapping[str, Any], at: datetime) -> Event:
    """Write down what happened.

    :param data: what JSON can hold.
    :raises StorageError: if the database cannot be written.
    """
    from sqlalchemy import insert

    from pipeline.traffic.database import writing
    from pipeline.traffic.tables import events
    from pipeline.traffic.troubles import explained

    with explained(engine), writing(engine) as connection:
        added = insert(events).values(at=at, kind=kind, data=dict(data))
        number = connection.execute(added.returning(events.c.number)).scalar_one()
        return Event(int(number), at, kind, dict(data))


def read(
    engine: Engine, kinds: Sequence[str] = (), *, since: datetime | None = None, most: int = MOST
) -> list[Event]:
    """Return what happened, the newest last.

    :param kinds: which; none of them means all.
    :param most: of more only the newest so many are returned.
    :raises StorageError: if the database cannot be read.
    """
    from sqlalchemy import select

    from pipeline.traffic.tables import events
    from pipeline.traffic.troubles import explained

    wanted = select(events).order_by(events.c.number.desc()).limit(most)
    if kinds:
        wanted = wanted.where(events.c.kind.in_(kinds))
    if since is not None:
        wanted = wanted.where(events.c.at >= since)
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(wanted).all()
    return [Event(row.number, row.at, row.kind, row.data) for row in reversed(rows)]


def last(engine: Engine, kind: str) -> Event | None:
    """Return the newest event of a kind."""
    return next(iter(read(engine, (kind,), most=1)), None)


def one(engine: Engine, number: int) -> Event | None:
    """Return the event of this number."""
    from sqlalchemy import select

    from pipeline.traffic.tables import events
    from pipeline.traffic.troubles import explained

    with explained(engine), engine.connect() as connection:
        row = connection.execute(select(events).where(events.c.number == number)).one_or_none()
    return None if row is None else Event(row.number, row.at, row.kind, row.data)


def forget(engine: Engine, kinds: Sequence[str], before: datetime) -> None:
    """Delete events of some kinds that happened before a moment."""
    from sqlalchemy import delete

    from pipeline.traffic.database import writing
    from pipeline.traffic.tables import events
    from pipeline.traffic.troubles import explained

    old = delete(events).where(events.c.kind.in_(kinds), events.c.at < before)
    with explained(engine), writing(engine) as connection:
        connection.execute(old)


def iso(at: datetime) -> str:
    """Return a moment as files and pages hold it: UTC, ISO 8601, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Return the moment that ISO 8601 text names, in UTC; without a zone it is taken for UTC."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
