"""Which requests are worth labelling: those that people disputed, and those the model doubted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.watching import journal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

DISPUTED, DIFFERED, UNCERTAIN = "disputed", "differed", "uncertain"
SPARE = 4  # times as many rows are looked at, because the same text comes again


def worth_labelling(
    engine: Engine, since: datetime, *, most: int, uncertain: float
) -> list[dict[str, Any]]:
    """Return the requests most worth labelling since a moment, each text once.

    First answers that somebody found wrong, then texts that two releases answered differently, then
    the answers with the least confidence. Only texts that were kept (masked) can be labelled.

    :param uncertain: answers with less confidence are uncertain.
    :returns: ``text``, ``why``, ``answer``, ``confidence``, ``request`` and ``at`` of each.
    :raises StorageError: if the database cannot be read.
    """
    from pipeline.traffic.troubles import explained

    found: dict[str, dict[str, Any]] = {}
    with explained(engine), engine.connect() as connection:
        for why, row in rows(connection, since, most * SPARE, uncertain):
            if len(found) >= most:
                break
            if row["text"] and row["hash"] not in found:
                found[row["hash"]] = {
                    "text": row["text"],
                    "why": why,
                    "answer": row["label"],
                    "confidence": row["confidence"],
                    "request": row["id"],
                    "at": journal.iso(row["at"]),
                }
    return list(found.values())


def rows(
    connection: Connection, since: datetime, most: int, uncertain: float
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield why a text may be worth labelling, and its row."""
    from pipeline.traffic.tables import predictions

    for why, wanted in queries(since, uncertain).items():
        kept = wanted.where(predictions.c.text.is_not(None)).limit(most)
        for row in connection.execute(kept):
            yield why, row._asdict()


def queries(since: datetime, uncertain: float) -> dict[str, Select[Any]]:
    """Return the question for each reason, the most telling rows first."""
    from sqlalchemy import exists, select

    from pipeline.traffic.tables import feedback, predictions, requests

    base = (
        select(requests.c.id, requests.c.at, predictions.c.hash, predictions.c.text,
               predictions.c.label, predictions.c.confidence)
        .join(requests, predictions.c.request == requests.c.number)
        .where(requests.c.at >= since, ~requests.c.shadow)
    )  # fmt: skip
    wrong = exists().where(
        feedback.c.request == predictions.c.request,
        feedback.c.index == predictions.c.index,
        feedback.c.verdict == "down",
    )
    other = predictions.c.stable_label
    sure = predictions.c.confidence
    return {
        DISPUTED: base.where(wrong).order_by(requests.c.at.desc()),
        DIFFERED: base.where(other != predictions.c.label).order_by(requests.c.at.desc()),
        UNCERTAIN: base.where(sure < uncertain).order_by(sure),
    }


def counts(engine: Engine, since: datetime, uncertain: float) -> dict[str, int]:
    """Return how many answers there are for each reason, texts kept or not.

    :raises StorageError: if the database cannot be read.
    """
    from sqlalchemy import func, select

    from pipeline.traffic.troubles import explained

    with explained(engine), engine.connect() as connection:
        return {
            why: int(
                connection.execute(
                    select(func.count()).select_from(wanted.order_by(None).subquery())
                ).scalar_one()
            )
            for why, wanted in queries(since, uncertain).items()
        }
