"""Items into the database, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.traffic.entries import Entry, Event, Feedback, Item
from pipeline.traffic.rows import Rows
from pipeline.traffic.tables import events, feedback, predictions, requests

INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of items."""

    requests: int  # that were written
    size: int  # bytes that they take in the database, about
    lost: int  # requests that were not written, because their id is there already

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.requests + other.requests, self.size + other.size, self.lost + other.lost)


def store(connection: Connection, rows: Rows, items: Sequence[Item]) -> Taken:
    """Write items in the order in which they came."""
    entries = [one for one in items if isinstance(one, Entry)]
    rows.begin(sum(len(one.texts) for one in entries))
    taken, size = store_requests(connection, rows, entries)
    store_feedback(connection, rows, [one for one in items if isinstance(one, Feedback)])
    found = [rows.event(one) for one in items if isinstance(one, Event)]
    if found:
        connection.execute(insert(events), found)
    return Taken(taken, size, len(entries) - taken)


def store_requests(connection: Connection, rows: Rows, entries: Sequence[Entry]) -> tuple[int, int]:
    """Write requests and their answers, and return how many, and about how many bytes."""
    if not entries:
        return 0, 0
    first: dict[str, Entry] = {}
    for entry in entries:  # an id may come twice
        first.setdefault(entry.id, entry)
    made = [rows.request(entry) for entry in first.values()]
    asked = INSERTS[connection.dialect.name](requests).on_conflict_do_nothing()
    answer = connection.execute(asked.returning(requests.c.id, requests.c.number), made)
    numbers: dict[str, int] = {one.id: one.number for one in answer}
    answers = [
        {"request": number, **prediction}
        for id_, number in numbers.items()
        for prediction in rows.predictions(first[id_])
    ]
    if answers:
        connection.execute(insert(predictions), answers)
    return len(numbers), sum(one["bytes"] for one in made if one["id"] in numbers)


def store_feedback(connection: Connection, rows: Rows, said: Iterable[Feedback]) -> None:
    """Write what was said about answers that are there; who says something else is believed."""
    made = INSERTS[connection.dialect.name](feedback)
    on = ["request", "index", "client"]
    changed = {name: made.excluded[name] for name in ("at", "verdict", "label", "reason")}
    upsert = made.on_conflict_do_update(index_elements=on, set_=changed)
    for one in said:
        number = connection.execute(judged(one)).scalar()
        if number is not None:
            connection.execute(upsert, {"request": number, **rows.feedback(one)})


def judged(said: Feedback) -> Any:
    """Return the question for the number of the request whose answer is spoken of."""
    return (
        select(requests.c.number)
        .join(predictions, predictions.c.request == requests.c.number)
        .where(requests.c.id == said.request_id, predictions.c.index == said.index)
    )
