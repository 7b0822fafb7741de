"""Figures of a window of time, from the log of requests.

Latencies are streamed and sorted as numbers, 8 bytes a request; all else is counted by the
database. Percentiles are exact, with linear interpolation (Hyndman and Fan 1996, type 7).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.watching import journal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

    from pipeline.traffic.reading import Accuracy

SAMPLE = "sample"  # kind of event: what the service says about itself at each look
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SERVER_ERROR, CLIENT_ERROR = 500, 400
AT_ONCE = 10_000  # rows fetched together
MOST_LATENCIES = 5_000_000  # of a window; 40 MB; the rest is counted but not sorted
MOST_LABELS = 200  # with a number of their own; the rest is counted as OTHER
OTHER = "…"
DIGITS = 6  # of figures as they are kept

Window = dict[str, Any]


def window(engine: Engine, since: datetime, until: datetime) -> Window:
    """Return the figures of all requests in ``[since, until)`` that a client saw.

    Latencies and waits in seconds, shares 0 to 1, memory in bytes. ``versions`` has the same by
    release, with answers that no client saw (``shadow``) too.

    :raises StorageError: if the database cannot be read.
    """
    from pipeline.traffic import reading
    from pipeline.traffic.troubles import explained

    with explained(engine), engine.connect() as connection:
        counts = list(counted(connection, since, until))
        seconds = latencies(connection, since, until)
        answers = answered(connection, since, until)
    people = reading.feedback_accuracy(engine, since, until)
    seconds_open = max((until - since).total_seconds(), 1e-9)
    found = summed([one for one in counts if not one["shadow"]])
    found |= {
        "since": journal.iso(since),
        "until": journal.iso(until),
        "minutes": round(seconds_open / 60, DIGITS),
        "per_second": round(found["requests"] / seconds_open, DIGITS),
        "seconds": quantiles([one for key, one in seconds["seconds"].items() if not key[1]]),
        "waited": quantiles([one for key, one in seconds["waited"].items() if not key[1]]),
        **answers_of([one for one in answers if not one["shadow"]]),
        "feedback": feedback_of(people.values()),
        "resources": resources(engine, since, until),
        "dropped": reading.dropped(engine, since, until),
        "versions": {},
    }
    for version in sorted({one["version"] for one in counts if one["version"] is not None}):
        own = [one for one in counts if one["version"] == version]
        found["versions"][version] = summed(own) | {
            "roles": sorted({one["role"] for one in own if one["role"]}),
            "shadow": sum(one["requests"] for one in own if one["shadow"]),
            "seconds": quantiles([v for key, v in seconds["seconds"].items() if key[0] == version]),
            **answers_of([one for one in answers if one["version"] == version]),
            "feedback": feedback_of(one for name, one in people.items() if name == version),
        }
    return found


def inside(since: datetime, until: datetime) -> Any:
    """Return the condition that a request came in a window."""
    from pipeline.traffic.tables import requests

    return (requests.c.at >= since) & (requests.c.at < until)


def counted(
    connection: Connection, since: datetime, until: datetime
) -> Iterator[Mapping[str, Any]]:
    """Yield the number of requests, texts, characters and tokens by version, role and status."""
    from sqlalchemy import func, select

    from pipeline.traffic.tables import requests as table

    by = (table.c.version, table.c.role, table.c.shadow, table.c.code)
    sums = [func.sum(table.c[name]).label(name) for name in ("texts", "characters", "tokens")]
    wanted = select(*by, func.count().label("requests"), *sums).where(inside(since, until))
    for row in connection.execute(wanted.group_by(*by)):
        yield row._asdict()


def summed(counts: Sequence[Mapping[str, Any]]) -> Window:
    """Return the sums of some lines of ``counted``."""
    codes: dict[str, int] = {}
    for one in counts:
        codes[str(one["code"])] = codes.get(str(one["code"]), 0) + one["requests"]
    total = sum(codes.values())
    failed = sum(n for code, n in codes.items() if int(code) >= SERVER_ERROR)
    refused = sum(n for code, n in codes.items() if CLIENT_ERROR <= int(code) < SERVER_ERROR)
    return {
        "requests": total,
        "codes": dict(sorted(codes.items())),
        "failed": failed,
        "refused": refused,
        "failed_share": round(failed / total, DIGITS) if total else None,
        "refused_share": round(refused / total, DIGITS) if total else None,
        **{name: int(sum(one[name] or 0 for one in counts))
           for name in ("texts", "characters", "tokens")},
    }  # fmt: skip


def latencies(
    connection: Connection, since: datetime, until: datetime
) -> dict[str, dict[tuple[str | None, bool], array[float]]]:
    """Return the seconds that answers took and waited, by version and whether they were shadows.

    Only requests that were answered count: a refusal is quick, and says nothing about the model.
    """
    from sqlalchemy import select

    from pipeline.traffic.tables import requests as table

    found: dict[str, dict[tuple[str | None, bool], array[float]]] = {"seconds": {}, "waited": {}}
    wanted = (
        select(table.c.version, table.c.shadow, table.c.seconds, table.c.waited)
        .where(inside(since, until), table.c.code < CLIENT_ERROR)
        .limit(MOST_LATENCIES)
    )
    stream = connection.execution_options(stream_results=True).execute(wanted)
    for version, shadow, seconds, waited in stream.yield_per(AT_ONCE):
        key = (version, bool(shadow))
        found["seconds"].setdefault(key, array("d")).append(seconds)
        found["waited"].setdefault(key, array("d")).append(waited)
    return found


def quantiles(parts: Sequence[array[float]]) -> dict[str, float] | None:
    """Return p50, p95 and p99 of some numbers together; None without any."""
    import numpy as np

    if not parts:
        return None
    values = np.concatenate([np.frombuffer(one) for one in parts])
    found = np.quantile(values, list(QUANTILES.values()))
    return {name: round(float(one), DIGITS) for name, one in zip(QUANTILES, found, strict=True)}


def answered(connection: Connection, since: datetime, until: datetime) -> list[Mapping[str, Any]]:
    """Return by version, shadow and label how many answers there were, and how sure."""
    from sqlalchemy import case, func, select

    from pipeline.traffic.tables import predictions, requests

    by = (requests.c.version, requests.c.shadow, predictions.c.label)
    sure = predictions.c.confidence
    other = predictions.c.stable_label
    wanted: Select[Any] = (
        select(
            *by,
            func.count().label("answers"),
            func.count(sure).label("sure"),
            func.sum(sure).label("confidence"),
            func.count(other).label("compared"),
            func.sum(case((other != predictions.c.label, 1), else_=0)).label("different"),
        )
        .join(requests, predictions.c.request == requests.c.number)
        .where(inside(since, until))
        .group_by(*by)
    )
    return [row._asdict() for row in connection.execute(wanted)]


def answers_of(lines: Sequence[Mapping[str, Any]]) -> Window:
    """Return what some lines of ``answered`` come to."""
    labels: dict[str, int] = {}
    for one in lines:
        if one["label"] is not None and one["sure"]:  # a number is no label
            labels[one["label"]] = labels.get(one["label"], 0) + one["answers"]
    common = sorted(labels, key=lambda label: (-labels[label], label))
    kept = {label: labels[label] for label in common[:MOST_LABELS]}
    if len(common) > MOST_LABELS:
        kept[OTHER] = sum(labels[label] for label in common[MOST_LABELS:])
    sure = sum(one["sure"] for one in lines)
    total = math.fsum(one["confidence"] or 0.0 for one in lines)
    compared = sum(one["compared"] for one in lines)
    different = sum(one["different"] or 0 for one in lines)
    return {
        "labels": kept,
        "confidence": {"mean": round(total / sure, DIGITS), "answers": sure} if sure else None,
        "disagreement": round(different / compared, DIGITS) if compared else None,
        "compared": compared,
    }


def feedback_of(said: Iterable[Accuracy]) -> Window | None:
    """Return the verdicts of people and the share of right answers; None without any.

    By when people said it: the figures of a window that has ended shall not change any more.
    """
    known = list(said)
    total, right = sum(one.judged for one in known), sum(one.right for one in known)
    if not total:
        return None
    return {"verdicts": total, "right": right, "accuracy": round(right / total, DIGITS)}


def resources(engine: Engine, since: datetime, until: datetime) -> Window | None:
    """Return the memory and processor use of the service in a window.

    ``memory_bytes`` is the most, ``cpu_share`` the mean of processor seconds a second.
    """
    found = [one for one in journal.read(engine, (SAMPLE,), since=since) if one.at < until]
    if not found:
        return None
    samples = [one.data for one in found]
    return {
        "memory_bytes": max(one.get("memory_bytes", 0) for one in samples) or None,
        "cpu_share": round(sum(one.get("cpu_share", 0.0) for one in samples) / len(samples), 4),
        "samples": len(samples),
    }


def floor(at: datetime, minutes: int) -> datetime:
    """Return the start of the window that a moment lies in; windows start at whole multiples."""
    length = 60 * minutes
    return datetime.fromtimestamp(at.timestamp() // length * length, UTC)


def due(engine: Engine, after: datetime, now: datetime, minutes: int) -> Iterator[datetime]:
    """Yield the starts of windows that have ended and in which the service ran.

    :param after: no window begins before.
    """
    length, start = timedelta(minutes=minutes), floor(after, minutes)
    start = start if start >= after else start + length
    while start + length <= now:
        sign = first_sign(engine, start)
        if sign is None:
            return
        start = max(start, floor(sign, minutes))
        if start + length <= now:
            yield start
        start += length


def first_sign(engine: Engine, since: datetime) -> datetime | None:
    """Return when the service first did something from a moment on: a request or a sample."""
    from sqlalchemy import func, select

    from pipeline.traffic.tables import events, requests
    from pipeline.traffic.troubles import explained

    asked = (
        select(func.min(requests.c.at)).where(requests.c.at >= since),
        select(func.min(events.c.at)).where(events.c.kind == SAMPLE, events.c.at >= since),
    )
    with explained(engine), engine.connect() as connection:
        found = [connection.execute(one).scalar_one_or_none() for one in asked]
    return min((one for one in found if one is not None), default=None)


def keep(engine: Engine, found: Window) -> None:
    """Keep the figures of a window; those of the same window that are there already stay."""
    from sqlalchemy import insert, select

    from pipeline.traffic.database import writing
    from pipeline.traffic.tables import windows
    from pipeline.traffic.troubles import explained

    since, until = journal.moment(found["since"]), journal.moment(found["until"])
    own = (windows.c.since == since) & (windows.c.until == until)
    with explained(engine), writing(engine) as connection:
        if connection.execute(select(windows.c.number).where(own)).first() is None:
            connection.execute(insert(windows).values(since=since, until=until, data=found))


def kept(engine: Engine, before: datetime, minutes: int, most: int) -> list[Window]:
    """Return the newest windows of a length that ended by ``before``, the newest last."""
    from sqlalchemy import select

    from pipeline.traffic.tables import windows
    from pipeline.traffic.troubles import explained

    wanted = (
        select(windows.c.data)
        .where(windows.c.until <= before)
        .order_by(windows.c.until.desc())
        .limit(most * 2)  # windows of another length may lie among them for a while
    )
    with explained(engine), engine.connect() as connection:
        rows = [dict(row.data) for row in connection.execute(wanted)]
    same = [one for one in rows if one.get("minutes") == minutes][:most]
    return same[::-1]
