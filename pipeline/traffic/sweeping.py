"""What is too old or too much goes, the oldest first, a little at a time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Table, delete, func, literal, select

from pipeline.traffic.address import aside_of, file_of
from pipeline.traffic.database import LOG_BYTES, tidy, used_bytes, writing
from pipeline.traffic.tables import events, feedback, requests, windows

if TYPE_CHECKING:
    from pipeline.schema.traffic import Traffic

MEGABYTE = 1_000_000  # bytes
ROWS = 1_000  # a transaction; of requests so many texts, because their answers go with them
FULL_SHARE = 0.9  # of the size allowed: from here on the oldest go
LEFT_SHARE = 0.8  # of it: until here, so that the next sweep has nothing to do
BY_AGE = (requests, feedback)
FIGURES = (events, windows)


def sweep(engine: Engine, knobs: Traffic, now: datetime) -> int:
    """Delete what is too old or too much, and return how many rows went, answers not counted."""
    return sum(steps(engine, knobs, now))


def steps(engine: Engine, knobs: Traffic, now: datetime) -> Iterator[int]:
    """Delete what is too old or too much; yield after each short transaction how many rows went.

    Others write between two of them.
    """
    remove_aside(engine, now - timedelta(days=knobs.retention_days))
    gone = 0
    for part in (too_old(engine, knobs, now), too_much(engine, knobs)):
        for count in part:
            gone += count
            yield count
    if gone:
        tidy(engine)


def remove_aside(engine: Engine, before: datetime) -> None:
    """Remove a damaged database that nobody wrote to since a moment."""
    path = file_of(engine)
    if path is None:
        return
    with contextlib.suppress(FileNotFoundError):
        if aside_of(path).stat().st_mtime < before.timestamp():
            aside_of(path).unlink()


def too_old(engine: Engine, knobs: Traffic, now: datetime) -> Iterator[int]:
    """Delete what was kept for as long as it may be."""
    for tables, days in ((BY_AGE, knobs.retention_days), (FIGURES, knobs.figures_days)):
        for table in tables:
            while count := delete_oldest(engine, table, before=now - timedelta(days=days)):
                yield count


def too_much(engine: Engine, knobs: Traffic) -> Iterator[int]:
    """Delete the oldest while the database holds more than it may: requests first."""
    allowed = allowed_bytes(engine, knobs)
    if held(engine) <= FULL_SHARE * allowed:
        return
    for table in (*BY_AGE, *FIGURES):
        while (found := held(engine)) > LEFT_SHARE * allowed:
            # About as many as take up the surplus, then it is measured again: that takes long.
            wanted = math.ceil(rows_of(engine, table) * (1 - LEFT_SHARE * allowed / found))
            if not wanted:
                break
            while wanted > 0 and (count := delete_oldest(engine, table)):
                wanted -= count
                yield count


def allowed_bytes(engine: Engine, knobs: Traffic) -> int:
    """Return how much may be held, in bytes; what SQLite writes ahead of its file counts too."""
    ahead = 2 * LOG_BYTES if engine.dialect.name == "sqlite" else 0
    return knobs.most_mb * MEGABYTE - ahead


def held(engine: Engine) -> int:
    """Return how much is held, in bytes."""
    with engine.connect() as connection:
        return used_bytes(connection)


def rows_of(engine: Engine, table: Table) -> int:
    """Return how many rows a table has."""
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def delete_oldest(engine: Engine, table: Table, before: datetime | None = None) -> int:
    """Delete a few of the oldest rows, or of those before a moment, and return how many."""
    with writing(engine) as connection:
        numbers = oldest(connection, table, before)
        if numbers:
            connection.execute(delete(table).where(table.c.number.in_(numbers)))
        return len(numbers)


def oldest(connection: Connection, table: Table, before: datetime | None) -> list[int]:
    """Return the numbers of the oldest rows; with as many texts as one transaction deletes."""
    texts = table.c.texts if table is requests else literal(1)
    found = select(table.c.number, texts).limit(ROWS)
    if before is None:
        found = found.order_by(table.c.number)  # numbers grow as rows come
    else:
        moment = table.c["until" if table is windows else "at"]
        found = found.where(moment < before).order_by(moment)
    numbers: list[int] = []
    total = 0
    for number, count in connection.execute(found):
        total += count
        if numbers and total > ROWS:
            break
        numbers.append(number)
    return numbers
