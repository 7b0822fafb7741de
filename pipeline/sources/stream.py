"""Continuous collection: what grows between runs, of which each run takes only what is new.

What a run takes becomes a snapshot in ``data/snapshots/<source>/``; the source's records are those
of all snapshots that are kept, the oldest first.

What is promised of a table: a row is taken once, in the run after its watermark came above the
highest one seen. A row that comes later with the same or a lower watermark is missed: so compare a
column in which every row has a value of its own, such as an id, and where transactions may end in
another order than they began, let the query leave out the youngest rows
(``AND created < now() - interval '5 minutes'``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from pipeline import artifacts
from pipeline.errors import BusyError, Text
from pipeline.i18n import _
from pipeline.locks import held
from pipeline.sources import database, growing, reading, snapshots, sql
from pipeline.sources.delivery import Count, Delivery, Row, problem
from pipeline.sources.snapshots import Taken

# They change how the rest is read, not what the feed is.
MAY_CHANGE = ("batch", "encoding", "unmatched")
KINDS: dict[type, tuple[str, Callable[[str], Any]]] = {
    int: ("integer", int),
    float: ("float", float),
    Decimal: ("decimal", Decimal),
    str: ("text", str),
    datetime: ("time", datetime.fromisoformat),
    date: ("date", date.fromisoformat),
}
FROM_TEXT = dict(KINDS.values())
NUMBERS = (int, float, Decimal)


class Wanted(Protocol):
    """A source of kind ``stream`` (``params.yaml``)."""

    @property
    def name(self) -> str: ...
    @property
    def feed(self) -> Any: ...
    @property
    def keep_snapshots(self) -> int | None: ...
    @property
    def keep_days(self) -> int | None: ...


@dataclass
class StreamDelivery(Delivery):
    """A delivery that says what this run brought and deleted."""

    notes: dict[str, int] = field(default_factory=dict)


def open_source(source: Wanted) -> StreamDelivery:
    """Return the rows of all kept snapshots; taking the first collects what is new before it.

    ``bytes``, ``sha256``, ``files`` and ``notes`` are known once the first row was taken.

    :raises SourceError: for a query without ``:watermark``; while rows are taken for what cannot be
        read, a feed that is another one now, a file or a watermark that went back.
    :raises BusyError: while rows are taken, if another run collects the same source.
    """
    feed = source.feed
    if feed.kind == "sql" and not database.has_watermark(feed.query):
        raise problem(
            source.name,
            _("a query without :watermark"),
            _("a query that asks for what is new"),
            _("Compare the growing column, as in WHERE id > :watermark ORDER BY id."),
        )
    delivery = StreamDelivery(rows=iter(()), count=Count(), bytes=0, sha256="", files=[])
    delivery.rows = collected(source, delivery)
    return delivery


def collected(source: Wanted, delivery: StreamDelivery) -> Iterator[Row]:
    """Take what is new, delete what is too old, then yield the rows of what is kept."""
    folder = snapshots.SNAPSHOTS / source.name
    with alone(source.name):
        before = snapshots.load(folder, definition(source.feed.model_dump(mode="json")))
        taken = take(source, before, delivery.count)
        state = snapshots.add(folder, before, taken)
        keep = {"snapshots": source.keep_snapshots, "days": source.keep_days}
        state = snapshots.settle(folder, before, state, **keep)
        delivery.count.skipped = taken.count.skipped
        delivery.count.unmatched_rows = taken.count.unmatched_rows
        delivery.files = [snapshots.path_of(folder, one.name) for one in state.snapshots]
        delivery.bytes = sum(path.stat().st_size for path in delivery.files)
        delivery.sha256 = snapshots.joint_hash(state)
        delivery.notes = taken.notes | {
            "new_rows": state.rows - before.rows,
            "new_empty": taken.count.empty,
            "new_unmatched": taken.count.unmatched,
            "snapshots": len(state.snapshots),
            "snapshots_deleted": len(state.dropping),
            "rows_ever": state.rows,
        }
        yield from snapshots.rows_of(folder, state, delivery.count)


def take(source: Wanted, state: snapshots.State, count: Count) -> Taken:
    """Return what the feed has beyond the position that is known."""
    own = Count(allowed=count.allowed)  # snapshots keep the counts of what they brought
    if source.feed.kind == "sql":
        taken = Taken(iter(()), own, dict(state.position))
        taken.rows = table_rows(source.feed, source.name, taken)
        return taken
    place = snapshots.SNAPSHOTS / source.name / snapshots.PART
    return growing.take(source.feed, state.position, own, place)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Keep other runs from collecting the same source during the block."""
    busy = BusyError.at(
        snapshots.SNAPSHOTS / name,
        found=_("another run that collects this source"),
        allowed=_("one run at a time"),
        fix=_("Wait until it ends, then start again."),
    )
    artifacts.WORK.mkdir(exist_ok=True)
    with held(artifacts.WORK / f"collect-{name}.lock", busy):
        yield


def definition(feed: dict[str, Any]) -> dict[str, Any]:
    """Return what makes a feed this one and no other."""
    return {
        name: definition(value) if isinstance(value, dict) else value
        for name, value in feed.items()
        if name not in MAY_CHANGE
    }


def table_rows(feed: Any, name: str, taken: Taken) -> Iterator[Row]:
    """Yield the rows above the watermark, and keep the highest one seen.

    :raises SourceError: for a row whose watermark is not above the last run's, or whose turn was
        before the row above it.
    """
    stored = taken.position.get("watermark")
    old = FROM_TEXT[stored["type"]](stored["value"]) if stored else None
    names = reading.named(feed.columns)
    highest, numbered = old, taken.position.get("numbered", 0)
    bound = database.Start(feed.start) if stored is None else old
    with closing(sql.answer(feed, name, bound, [feed.watermark])) as answered:
        for values in answered:
            numbered += 1
            where = f"{name}:{numbered}"
            mark = values[feed.watermark]
            refuse_type(mark, highest, where, feed.watermark)
            refuse_order(mark, old, highest, where, feed.watermark)
            highest = mark
            found = sql.readable(values, names, where)
            taken.count.read += 1
            taken.count.took(len(sql.as_line(found)), where)
            yield from reading.mapped(found, where, name, numbered, feed.columns, taken.count)
    if highest is not None:
        kind = KINDS[type(highest)][0]
        value = highest.isoformat() if isinstance(highest, date) else str(highest)
        taken.position |= {"watermark": {"type": kind, "value": value}, "numbered": numbered}


def refuse_type(mark: Any, highest: Any, where: str, column: str) -> None:
    """Refuse a watermark that cannot be compared."""
    if type(mark) not in KINDS or mark != mark:  # NaN differs from itself
        shown: Text = _("no value") if mark is None else type(mark).__name__
        raise problem(
            where,
            _("{found} in the column {column}", found=shown, column=column),
            _("a number, a text, a date or a time"),
            _("Leave such rows out of the query, or compare another column."),
        )
    if highest is not None and order_of(mark) != order_of(highest):
        raise problem(
            where,
            _("{found} in the column {column}", found=type(mark).__name__, column=column),
            _("{type}, as in the rows before", type=type(highest).__name__),
            _("Let the query give the column one type, with CAST."),
        )


def order_of(mark: Any) -> tuple[object, bool]:
    """Return what two watermarks must share to be compared; a zone makes another time."""
    kind = "number" if isinstance(mark, NUMBERS) else KINDS[type(mark)][0]
    return kind, isinstance(mark, datetime) and mark.tzinfo is not None


def refuse_order(mark: Any, old: Any, highest: Any, where: str, column: str) -> None:
    """Refuse a row that was taken before, and one that comes out of its turn."""
    if old is not None and not mark > old:
        raise problem(
            where,
            _("{column} = {value}", column=column, value=str(mark)),
            _("above {value}, the highest of the last run", value=str(old)),
            _(
                'Compare with > in the query; for a text, write {column} COLLATE "C".',
                column=column,
            ),
        )
    if highest is not None and mark < highest:
        raise problem(
            where,
            _("{column} = {value}", column=column, value=str(mark)),
            _("{value} or above, as in the row before", value=str(highest)),
            _('End the query with ORDER BY {column}; for a text, COLLATE "C".', column=column),
        )
