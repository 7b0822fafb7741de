"""Windows of traffic, a page at a time: nothing here holds a whole table.

A window is all that came in from ``since`` to before ``until``. Each page is a transaction of its
own, so that a slow reader never keeps SQLite from emptying the file that it writes ahead.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, case, func, select, tuple_

from pipeline.traffic.database import used_bytes
from pipeline.traffic.entries import DROPPED
from pipeline.traffic.tables import METADATA, events, feedback, predictions, requests
from pipeline.traffic.troubles import explained

PAGE = 500  # rows fetched together
UP = "up"

Key = tuple[int, int]  # number of a request, index of a text in it


@dataclass(frozen=True, slots=True)
class Row:
    """A text that was answered."""

    number: int  # of its request, as the database counts them
    request_id: str
    index: int  # of the text in its request
    at: datetime  # UTC
    route: str
    version: str | None
    role: str | None  # stable or canary
    shadow: bool  # the client saw another answer
    hash: str  # keyed; equal for equal texts
    characters: int
    text: str | None  # masked; None where none is kept
    language: str | None  # ISO 639 code, or und
    label: str | None
    confidence: float | None  # 0 to 1, see rows.certainty; None for a number
    margin: float | None
    scores: Sequence[float] | None  # four decimals, in the order of the model's outputs
    stable_label: str | None  # what the stable release answered, where it was asked too
    features: bytes | None  # watching.textdrift
    truth: str | None  # what is right, by what somebody said last; None where nobody knows


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What people said about a release's answers."""

    judged: int
    right: int

    @property
    def share(self) -> float:
        """Return the share that was right, 0 to 1."""
        return self.right / self.judged


def rows(
    engine: Engine,
    since: datetime,
    until: datetime,
    limit: int | None = None,
    seed: int = 0,
    *,
    version: str | None = None,
    shadow: bool = False,
) -> Iterator[Row]:
    """Yield the texts that were answered in a window, in the order in which they were written.

    :param limit: at most so many; of more so many are drawn, each as likely as the others.
    :param seed: of the draw: the same window gives the same rows.
    :param version: only of this release.
    :param shadow: also answers that no client saw, which repeat a text of another row.
    :raises StorageError: while rows are taken, if the database cannot be read.
    """
    wanted = matching(version, shadow)
    if limit is None:
        yield from in_order(engine, since, until, wanted)
        return
    drawn = draw(keys(engine, since, until, wanted), limit, random.Random(seed))
    for start in range(0, len(drawn), PAGE):
        page = drawn[start : start + PAGE]
        which = tuple_(predictions.c.request, predictions.c.index).in_(page)
        yield from (Row(*one) for one in fetched(engine, ordered(whole().where(which))))


def count(
    engine: Engine,
    since: datetime,
    until: datetime,
    *,
    version: str | None = None,
    shadow: bool = False,
) -> int:
    """Return how many texts were answered in a window.

    :param version: only of this release.
    :param shadow: also answers that no client saw.
    :raises StorageError: if the database cannot be read.
    """
    asked = select(func.count()).select_from(predictions).join(requests)
    wanted = [requests.c.at >= since, requests.c.at < until]
    found = fetched(engine, asked.where(*wanted, *matching(version, shadow)))
    return int(found[0][0])


def feedback_accuracy(engine: Engine, since: datetime, until: datetime) -> dict[str, Accuracy]:
    """Return by release what people said in a window about its answers.

    Who named the right label is taken at their word: an answer of that label was right.

    :raises StorageError: if the database cannot be read.
    """
    right = case(
        (feedback.c.label.is_not(None), feedback.c.label == predictions.c.label),
        else_=feedback.c.verdict == UP,
    )
    asked = (
        select(requests.c.version, func.count(), func.sum(case((right, 1), else_=0)))
        .select_from(feedback)
        .join(requests, feedback.c.request == requests.c.number)
        .join(predictions, pair(feedback) & (feedback.c.index == predictions.c.index))
        .where(feedback.c.at >= since, feedback.c.at < until, requests.c.version.is_not(None))
        .group_by(requests.c.version)
        .order_by(requests.c.version)
    )
    return {version: Accuracy(judged, sure) for version, judged, sure in fetched(engine, asked)}


def dropped(engine: Engine, since: datetime, until: datetime) -> int:
    """Return how many requests and words of feedback a window lacks, as the recorder told.

    :raises StorageError: if the database cannot be read.
    """
    asked = select(events.c.data).where(
        events.c.kind == DROPPED, events.c.at >= since, events.c.at < until
    )
    return sum(int(one.data["items"]) for one in fetched(engine, asked))


def summary(engine: Engine) -> dict[str, Any]:
    """Return what the database holds: rows by table, bytes, and when requests came in.

    :raises StorageError: if the database cannot be read.
    """
    tables = METADATA.tables.values()
    counts = {
        table.name: fetched(engine, select(func.count()).select_from(table))[0][0]
        for table in tables
    }
    oldest, newest = fetched(engine, select(func.min(requests.c.at), func.max(requests.c.at)))[0]
    by_version = select(requests.c.version, func.count(), func.sum(requests.c.texts)).group_by(
        requests.c.version
    )
    versions = {
        version: {"requests": number, "texts": int(texts)}
        for version, number, texts in fetched(engine, by_version)
    }
    with explained(engine), engine.connect() as connection:
        size = used_bytes(connection)
    found = {"rows": counts, "bytes": size, "oldest": oldest, "newest": newest}
    return found | {"versions": versions}


def fetched(engine: Engine, asked: Select[Any]) -> Sequence[Any]:
    """Return the answer to one question, which is short.

    :raises StorageError: if the database cannot be read.
    """
    with explained(engine), engine.connect() as connection:
        return connection.execute(asked).all()


def matching(version: str | None, shadow: bool) -> list[ColumnElement[bool]]:
    """Return the conditions on a row's request, but those of time."""
    wanted: list[ColumnElement[bool]] = []
    if version is not None:
        wanted.append(requests.c.version == version)
    if not shadow:
        wanted.append(requests.c.shadow.is_(False))
    return wanted


def pair(table: Any) -> Any:
    """Return the condition that a prediction is of the same request as another table's row."""
    return table.c.request == predictions.c.request


def whole() -> Select[Any]:
    """Return the question for whole rows, in the order of ``Row``'s fields."""
    of_request = ("at", "route", "version", "role", "shadow")
    of_text = ("hash", "characters", "text", "language", "label", "confidence", "margin")
    last = ("scores", "stable_label", "features")
    columns = [
        requests.c.number,
        requests.c.id,
        predictions.c.index,
        *(requests.c[name] for name in of_request),
        *(predictions.c[name] for name in (*of_text, *last)),
        truth(),
    ]
    return select(*columns).select_from(predictions).join(requests)


def truth() -> Any:
    """Return the question what is right, by what somebody said last about an answer."""
    said = case((feedback.c.verdict == UP, predictions.c.label), else_=feedback.c.label)
    about = (feedback.c.request == predictions.c.request) & (
        feedback.c.index == predictions.c.index
    )
    asked = select(said).where(about).order_by(feedback.c.at.desc(), feedback.c.number.desc())
    return asked.limit(1).correlate(predictions).scalar_subquery()


def ordered(asked: Select[Any]) -> Select[Any]:
    """Return the question with its answer in the order in which rows were written."""
    return asked.order_by(predictions.c.request, predictions.c.index)


def in_order(
    engine: Engine, since: datetime, until: datetime, wanted: Sequence[ColumnElement[bool]]
) -> Iterator[Row]:
    """Yield all rows of a window."""
    for page in pages(engine, since, until, whole().where(*wanted)):
        yield from (one for one in (Row(*row) for row in page) if since <= one.at < until)


def keys(
    engine: Engine, since: datetime, until: datetime, wanted: Sequence[ColumnElement[bool]]
) -> Iterator[Key]:
    """Yield where all rows of a window are."""
    asked = select(requests.c.number, requests.c.id, predictions.c.index, requests.c.at)
    asked = asked.select_from(predictions).join(requests).where(*wanted)
    for page in pages(engine, since, until, asked):
        yield from ((one.number, one.index) for one in page if since <= one.at < until)


def pages(
    engine: Engine, since: datetime, until: datetime, asked: Select[Any]
) -> Iterator[Sequence[Any]]:
    """Yield the answer to a question about requests of a window and their answers, page by page.

    By numbers, which databases find at once, and not by time: the pages hold a few rows of before
    and after the window, because a request that came first may be written second.
    """
    inside = (requests.c.at >= since) & (requests.c.at < until)
    numbers = select(func.min(requests.c.number), func.max(requests.c.number)).where(inside)
    first, last = fetched(engine, numbers)[0]
    if first is None:
        return
    place: Key = (first, -1)
    while True:
        here = tuple_(predictions.c.request, predictions.c.index) > place
        here &= predictions.c.request <= last
        page = fetched(engine, ordered(asked.where(here)).limit(PAGE))
        if not page:
            return
        yield page
        place = (page[-1].number, page[-1].index)


def draw(found: Iterator[Key], limit: int, chance: random.Random) -> list[Key]:
    """Return ``limit`` of what is found, or all, each as likely as the others, in order.

    Algorithm R of Vitter (1985): one pass, and only what is drawn is held.
    """
    drawn: list[Key] = []
    for position, key in enumerate(found):
        if position < limit:
            drawn.append(key)
        elif (place := chance.randrange(position + 1)) < limit:
            drawn[place] = key
    return sorted(drawn)
