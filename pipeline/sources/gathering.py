"""Read each source in a process of its own, join what came, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.errors import Problem, SourceError, packed, unpacked
from pipeline.i18n import _
from pipeline.progress import Progress
from pipeline.records.writing import RecordWriter
from pipeline.sources import child, confined, merging
from pipeline.sources.kinds import OPENERS as OPENERS
from pipeline.sources.merging import Part

STATED = ("name", "kind", "licence", "permitted_use", "personal_data", "required")
Entry = dict[str, Any]


def gather(
    sources: Sequence[Any],
    target: Path,
    *,
    merge: str,
    sort_by: str | None,
    seed: int,
    limits: dict[str, int],
) -> list[Entry]:
    """Write the records of all sources to ``target``, and return a line of the report for each.

    :param limits: of one source: ``memory`` and ``size`` in MB, ``seconds``.
    :raises SourceError: with the reason of every required source that failed, or when nothing
        came at all. A failing optional source is only listed.
    """
    with (
        artifacts.scratch("collect") as folder,
        Progress("collect", len(sources) + 1) as progress,
    ):
        parts, entries = read_all(sources, folder, seed, limits, progress)
        tables = merging.merged(parts, merge=merge, sort_by=sort_by, folder=folder / "sorted")
        with RecordWriter(target, artifacts.record_schema()) as writer:
            for table in tables:
                writer.add(table)
                progress.advance(0, records=float(writer.written))
        progress.advance(records=float(writer.written))
    return entries


def read_all(
    sources: Sequence[Any], folder: Path, seed: int, limits: dict[str, int], progress: Progress
) -> tuple[list[Part], list[Entry]]:
    """Return the rows of each source that could be read, and a line of the report for each."""
    parts: list[Part] = []
    entries: list[Entry] = []
    problems: list[Problem] = []
    for number, source in enumerate(sources):
        stated = {name: getattr(source, name) for name in STATED}
        try:
            part, entry = read(source, folder / str(number), seed, limits, progress)
            parts.append(part)
        except SourceError as error:
            problems += error.problems if source.required else []
            entry = {"records": 0, "missing": packed(error)}
        entries.append(stated | entry)
        progress.advance(records=float(entry["records"]))
    if problems:
        raise SourceError(*problems)
    if not any(part.records for part in parts):
        raise nothing_came(entries)
    return parts, entries


def read(
    source: Any, folder: Path, seed: int, limits: dict[str, int], progress: Progress
) -> tuple[Part, Entry]:
    """Return the rows of one source and its line in the report."""
    started = time.monotonic()

    def watch(records: int, size: int) -> None:
        if records:
            progress.advance(0, records=records, megabytes=confined.megabytes(size))

    entry = confined.read(source, folder, limits, watch)
    part = merging.part_of(
        source.name,
        folder / child.ROWS,
        size=entry.pop("size"),
        limit=source.limit,
        sample=source.sample,
        seed=seed,
    )
    return part, entry | {
        "records": part.records,
        "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 3),
    }


def nothing_came(entries: Sequence[Entry]) -> SourceError:
    """Return the error for sources that gave no record at all."""
    reasons = "; ".join(
        f"{entry['name']}: {unpacked(entry['missing']) if 'missing' in entry else '0'}"
        for entry in entries
    )
    return SourceError.at(
        "params.yaml, collect.sources",
        found=_("no record ({reasons})", reasons=reasons),
        allowed=_("at least one record"),
        fix=_("Correct a source, or make one required to see its reason."),
    )
