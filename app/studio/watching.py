"""What the monitor knows, for the page Monitor: windows of figures, drift, alerts, what people say.

The traffic database is only read here, a page at a time; connections may not write. What changes
something stands in ``deciding``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.studio.project_files import Project
from app.studio.stamps import Stamps, stamps_of
from pipeline.errors import Text
from pipeline.i18n import Message

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.watching.journal import Event

DATABASE = "MOFANG_DATABASE_URL"
MOST_WINDOWS = 400  # on a page
MOST_ALERTS = 500
MOST_OPEN = 20_000  # requests of the window that is open, of which figures are computed
FRESH = 10  # seconds that an answer of a PostgreSQL database is shown again
COMMON = 8  # labels with a line of their own
OTHERS = "…"


@dataclass(frozen=True)
class Drifted:
    """One kind of drift in one judged window."""

    at: str  # ISO 8601
    version: str
    kind: str
    score: float  # distance from the training data
    threshold: float  # up to which both are alike
    texts: int
    drifted: bool
    changes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Looked:
    """What the last look of the monitor found."""

    at: datetime
    failed: tuple[str, ...]  # parts of it
    quality: Mapping[str, Any] | None  # of the release that serves, see ``quality.Verdict``


@dataclass(frozen=True)
class Feedback:
    """What somebody said about an answer."""

    at: str
    version: str
    answer: str
    verdict: str  # up or down
    label: str  # what would have been right
    reason: str
    text: str  # "" where none was kept


@dataclass(frozen=True)
class Now:
    """What came in since the window that is open began."""

    since: datetime
    until: datetime
    requests: int
    window: Mapping[str, Any] | None  # its figures; None where there are too many to count now


def there(project: Project) -> bool:
    """Return whether a traffic database is there; a server is taken at its word."""
    path = file(project)
    return path is None or (path.is_file() and path.stat().st_size > 0)


def file(project: Project) -> Path | None:
    """Return the file of the traffic database; None where it is on a server.

    :raises StorageError: if the address of the database is none.
    """
    return file_in(os.environ.get(DATABASE, ""), project.root)


@functools.lru_cache(maxsize=4)
def file_in(url: str, root: Path) -> Path | None:
    """Return the file that an address means; None where it means a server."""
    from pipeline.traffic import address

    return address.file_in(address.checked(url, root))


def stamp(project: Project) -> Stamps | int:
    """Return what changes when something is written into the traffic database.

    What is written to a server is not seen: there it changes with time.
    """
    from pipeline.traffic import address

    path = file(project)
    if path is None:
        return int(time.time()) // FRESH
    return stamps_of((path, address.log_of(path)))


@contextlib.contextmanager
def reading(project: Project) -> Iterator[Engine]:
    """Yield what connects to the traffic database and may not change it.

    :raises StorageError: if the address of the database is none.
    """
    from sqlalchemy import event

    from pipeline.traffic import database

    engine = database.connect(os.environ.get(DATABASE, ""), project.root)
    try:
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", only_read)
            yield engine
        else:
            yield engine.execution_options(postgresql_readonly=True)
    finally:
        engine.dispose()


def only_read(connection: Any, _record: object) -> None:
    """Let a connection to SQLite refuse every change."""
    connection.execute("PRAGMA query_only = ON")


def windows(
    project: Project, minutes: int, since: datetime, before: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the newest windows of a length that have ended, the newest last.

    :param before: only those that had ended by then, for an older page.
    :raises StorageError: if the database cannot be read.
    """
    from pipeline.watching import figures, journal

    until = before or datetime.now(UTC)
    most = int((until - since) / timedelta(minutes=minutes)) + 1
    with reading(project) as engine:
        found = figures.kept(engine, until, minutes, max(1, min(most, MOST_WINDOWS)))
    return [one for one in found if journal.moment(one["since"]) >= since]


def now(project: Project, minutes: int) -> Now:
    """Return what came in since the window that is open began.

    :raises StorageError: if the database cannot be read.
    """
    from sqlalchemy import func, select

    from pipeline.traffic import reading as traffic
    from pipeline.traffic.tables import requests
    from pipeline.watching import figures

    until = datetime.now(UTC)
    since = figures.floor(until, minutes)
    with reading(project) as engine:
        asked = select(func.count()).select_from(requests).where(requests.c.at >= since)
        count = int(traffic.fetched(engine, asked)[0][0])
        window = figures.window(engine, since, until) if count <= MOST_OPEN else None
    return Now(since, until, count, window)


def looked(project: Project) -> Looked | None:
    """Return what the last look found; None where there was none yet.

    :raises StorageError: if the database cannot be read.
    """
    from pipeline.watching import journal

    with reading(project) as engine:
        found = journal.last(engine, "look")
    if found is None:
        return None
    return Looked(found.at, tuple(found.data.get("failed", ())), found.data.get("quality"))


def alerts(project: Project, since: datetime) -> list[dict[str, Any]]:
    """Return alerts, the newest first, with who got them and who knows of them.

    :raises StorageError: if the database cannot be read.
    """
    from pipeline.watching import alerts as told

    with reading(project) as engine:
        return told.listed(engine, since)[:MOST_ALERTS]


def drift(project: Project, since: datetime) -> list[Drifted]:
    """Return the judged windows kind by kind, the newest last.

    :raises StorageError: if the database cannot be read.
    """
    from pipeline.watching import driftwatch, journal

    with reading(project) as engine:
        events = journal.read(engine, (driftwatch.EVENT,), since=since)
    return [one for event in events for one in drifted(event)]


def drifted(event: Event) -> Iterator[Drifted]:
    """Yield the kinds of a judged window."""
    from pipeline.watching import journal

    for kind, one in event.data["kinds"].items():
        yield Drifted(
            journal.iso(event.at), str(event.data["version"]), kind, float(one["score"]),
            float(one["threshold"]), int(one["texts"]), bool(one["drifted"]),
            tuple(one.get("changes", ())),
        )  # fmt: skip


def feedback(project: Project, limit: int = 20, offset: int = 0) -> list[Feedback]:
    """Return a page of what people said, the newest first.

    :raises StorageError: if the database cannot be read.
    """
    from sqlalchemy import select

    from pipeline.traffic import reading as traffic
    from pipeline.traffic.tables import feedback as said
    from pipeline.traffic.tables import predictions, requests
    from pipeline.watching import journal

    same = (predictions.c.request == said.c.request) & (predictions.c.index == said.c.index)
    asked = (
        select(said.c.at, requests.c.version, predictions.c.label.label("answer"), said.c.verdict,
               said.c.label, said.c.reason, predictions.c.text)
        .join(requests, said.c.request == requests.c.number)
        .outerjoin(predictions, same)
        .order_by(said.c.number.desc())
        .limit(limit)
        .offset(offset)
    )  # fmt: skip
    with reading(project) as engine:
        rows = traffic.fetched(engine, asked)
    return [Feedback(journal.iso(row[0]), *(str(one or "") for one in row[1:])) for row in rows]


def rows(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a flat row a window: what charts and tables show; a figure that is not there is None.

    Latencies are in milliseconds, memory in megabytes, shares 0 to 1.
    """
    return [row(one) for one in found]


def row(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a window side by side."""
    seconds, said = one["seconds"] or {}, one["feedback"] or {}
    used = one["resources"] or {}
    memory = used.get("memory_bytes")
    return {
        "since": one["since"],
        "requests": one["requests"],
        "failed_share": one["failed_share"],
        "refused_share": one["refused_share"],
        **{name: 1000 * seconds[name] if name in seconds else None
           for name in ("p50", "p95", "p99")},
        "confidence": (one["confidence"] or {}).get("mean"),
        "disagreement": one["disagreement"],
        "verdicts": said.get("verdicts", 0),
        "accuracy": said.get("accuracy"),
        "memory": None if memory is None else memory / 1e6,
        "processor": used.get("cpu_share"),
        "odd": ", ".join(sorted({str(two["family"]) for two in one.get("anomalies", ())})),
    }  # fmt: skip


def by_release(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of each release over some windows, the busiest release first.

    Quantiles cannot be added up: of latencies the worst window counts.
    """
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for window in found:
        for version, one in window["versions"].items():
            parts.setdefault(version, []).append(one)
    made = [summed(version, some) for version, some in parts.items()]
    return sorted(made, key=lambda one: (-one["requests"], one["version"]))


def summed(version: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of a release in several windows together."""
    requests = sum(one["requests"] for one in parts)
    slowest = [1000 * one["seconds"]["p95"] for one in parts if one["seconds"]]
    sure = [one["confidence"] for one in parts if one["confidence"]]
    answers = sum(one["answers"] for one in sure)
    said = [one["feedback"] for one in parts if one["feedback"]]
    verdicts = sum(one["verdicts"] for one in said)
    return {
        "version": version,
        "requests": requests,
        "failed_share": sum(one["failed"] for one in parts) / requests if requests else None,
        "p95": max(slowest, default=None),
        "confidence": sum(one["mean"] * one["answers"] for one in sure) / answers
        if answers
        else None,
        "verdicts": verdicts,
        "accuracy": sum(one["right"] for one in said) / verdicts if verdicts else None,
    }


def label_shares(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how large a part of each window's answers a label had; rare labels are put together.

    Rows of ``since``, ``label``, ``share`` and ``answers``.
    """
    total: dict[str, int] = {}
    for one in found:
        for label, count in one["labels"].items():
            total[label] = total.get(label, 0) + count
    common = sorted(total, key=lambda label: (-total[label], label))[:COMMON]
    made: list[dict[str, Any]] = []
    for one in found:
        counts: dict[str, int] = {}
        for label, count in one["labels"].items():
            name = label if label in common else OTHERS
            counts[name] = counts.get(name, 0) + count
        answers = sum(counts.values())
        made += [{"since": one["since"], "label": name, "share": count / answers,
                  "answers": count} for name, count in counts.items()]  # fmt: skip
    return made


def anomalies(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, Message]]:
    """Return what was out of the ordinary: start of the window and a sentence, the newest first."""
    from pipeline.watching.anomalies import Anomaly

    told = [(str(window["since"]), one) for window in reversed(found)
            for one in window.get("anomalies", ())]  # fmt: skip
    names = Anomaly.__dataclass_fields__
    return [
        (since, Anomaly(**{name: one[name] for name in names}).sentence()) for since, one in told
    ]


def kind_name(kind: str) -> Text:
    """Return what a kind of drift is about."""
    from pipeline.watching import driftwatch

    return driftwatch.NAMES.get(kind, kind)
