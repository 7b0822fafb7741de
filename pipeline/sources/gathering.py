"""Open each source by its kind, give its rows their ids and say what came of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pipeline.errors import Problem, SourceError
from pipeline.i18n import _
from pipeline.sources import file, package
from pipeline.sources.delivery import Delivery, Row

OPENERS: dict[str, Any] = {"file": file.open_source, "package": package.open_source}


def gather(sources: Sequence[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the records of all sources in their order, and a line of the report for each.

    :raises SourceError: with the reason of every required source that failed, or when nothing
        came at all. A failing optional source is only listed.
    """
    records: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for source in sources:
        stated = {"name": source.name, "licence": source.licence, "required": source.required}
        try:
            found, entry = read(source)
        except SourceError as error:
            problems += error.problems if source.required else []
            found, entry = [], {"records": 0, "missing": error.render("en")}
        records += found
        entries.append(stated | entry)
    if problems:
        raise SourceError(*problems)
    if not records:
        raise nothing_came(entries)
    return records, entries


def read(source: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the records of one source and its line in the report."""
    started = time.monotonic()
    delivery: Delivery = OPENERS[source.kind](source)
    records = list(with_ids(source.name, islice(delivery.rows, source.limit)))
    count = delivery.count
    return records, {
        "records": len(records),
        "rows_read": count.read,
        "empty": count.empty,
        "unmatched": count.unmatched,
        "unmatched_rows": count.unmatched_rows,
        "files": len(delivery.files),
        "bytes": delivery.bytes,
        "sha256": delivery.sha256,
        "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 3),
    }


def with_ids(name: str, rows: Iterable[Row]) -> Iterable[dict[str, Any]]:
    """Yield rows as records; equal rows of a source differ by how often they came before."""
    seen: Counter[str] = Counter()
    for row in rows:
        content = json.dumps([name, row.text, row.label], ensure_ascii=False)
        seen[content] += 1
        yield {
            "id": hashlib.sha256(f"{content}{seen[content]}".encode()).hexdigest()[:20],
            "text": row.text,
            "label": row.label,
            "source": name,
            "group": row.group,
            "created_at": row.created_at,
            "meta": json.dumps(row.meta, ensure_ascii=False),
        }


def nothing_came(entries: Sequence[dict[str, Any]]) -> SourceError:
    """Return the error for sources that gave no record at all."""
    reasons = "; ".join(f"{entry['name']}: {entry.get('missing', '0')}" for entry in entries)
    return SourceError.at(
        "params.yaml, collect.sources",
        found=_("no record ({reasons})", reasons=reasons),
        allowed=_("at least one record"),
        fix=_("Correct a source, or make one required to see its reason."),
    )
