"""What annotators read: the texts of records, each when it is its turn, and the guideline.

A list of work may name a hundred thousand records of a million. Their texts are read a screenful
ahead and kept as long as the file that they come from stays the same.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.studio import reading
from app.studio.project_files import Project
from app.studio.stamps import Stamp, stamp_of
from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.i18n import _

AHEAD = 200  # records whose texts are looked up together
MOST_HELD = 20_000  # texts that are kept
SUSPECT = ("id", "text", "label", "suggested", "probability")


@dataclass(frozen=True)
class Item:
    """A record on a list."""

    record: str
    text: str
    why: str = ""  # it is on the queue: returned, unlabelled or doubtful
    label: str | None = None  # of a suspect: the label that it has
    suggested: str | None = None  # … and what a cheap model says
    probability: float | None = None  # … of the label that it has, by that model


def queued(stamp: Stamp) -> list[Item]:
    """Read the queue that ``pipeline.annotation queue`` wrote.

    :raises DataError: if it is damaged.
    """
    path = Path(stamp.path)
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return [Item(str(row["record"]), str(row["text"]), str(row["why"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError.at(
            path,
            found=str(error),
            allowed=_("a queue of records"),
            fix=_("Make a new list."),
        ) from error


def suspect(stamp: Stamp, at: int) -> Item | None:
    """Return the suspect at a place of the list that the label stage wrote.

    :raises DataError: if it is damaged.
    """
    some = suspects(stamp, at // AHEAD)
    return some[at % AHEAD] if at % AHEAD < len(some) else None


@functools.lru_cache(maxsize=8)
def suspects(stamp: Stamp, number: int) -> list[Item]:
    """Read a page of the suspects."""
    frame = reading.page(Path(stamp.path), number * AHEAD, AHEAD, SUSPECT)
    return [
        Item(
            str(row["id"]),
            str(row["text"]),
            label=optional(row.get("label")),
            suggested=optional(row.get("suggested")),
            probability=row.get("probability"),
        )
        for row in frame.to_dict("records")
    ]


def optional(value: object) -> str | None:
    """Return a text, None for what is missing in a table."""
    return value if isinstance(value, str) else None


def cleaned(project: Project, record: str, ahead: Sequence[str] = ()) -> Item | None:
    """Return a cleaned record; None where it is in the data no more.

    :param ahead: records that are probably asked for next: their texts are read with it.
    :raises DataError: if the file is damaged.
    """
    path = project.stage("clean") / artifacts.RECORDS
    stamp = stamp_of(path)
    if stamp is None:
        return None
    held = shelf(stamp)
    if record not in held:
        if len(held) > MOST_HELD:
            held.clear()
        wanted = [one for one in dict.fromkeys([record, *ahead]) if one not in held]
        found = reading.lookup(path, wanted, ["text"])
        held.update({one: found[one]["text"] if one in found else None for one in wanted})
    text = held.get(record)
    return None if text is None else Item(record, text)


def present(project: Project, ids: Sequence[str]) -> list[str]:
    """Return some records without those that are known to be in the data no more.

    The first ones are looked up; what comes later is known when it is its turn.
    """
    if not ids:
        return []
    cleaned(project, ids[0], ids[:AHEAD])
    stamp = stamp_of(project.stage("clean") / artifacts.RECORDS)
    held = {} if stamp is None else shelf(stamp)
    return [one for one in ids if held.get(one, "") is not None]


@functools.lru_cache(maxsize=2)
def shelf(stamp: Stamp) -> dict[str, str | None]:
    """Return the texts of a file that were read so far; None for a record that it does not have."""
    return {}


@functools.lru_cache(maxsize=8)
def guideline(stamp: Stamp, language: str) -> str:
    """Return the part of a guideline that is in a language; all of it where it has one part only.

    The parts stand between lines of dashes; the one with the larger share of Han characters is
    Chinese. Titles become small, and pictures are left out: they would be fetched from elsewhere.
    """
    text = Path(stamp.path).read_text(encoding="utf-8", errors="replace").replace("![", "\\![")
    text = re.sub(
        r"^(#{1,3}) ", r"###\1 ", text, flags=re.MULTILINE
    )  # it stands in a narrow column
    parts = [one.strip() for one in re.split(r"^-{3,}\s*$", text, flags=re.MULTILINE)]
    parts = [one for one in parts if one]
    if len(parts) < 2:
        return text
    ranked = sorted(parts, key=han)
    return ranked[-1] if language == "zh" else ranked[0]


def han(text: str) -> float:
    """Return the share of Han characters among the letters of a text."""
    letters = [one for one in text if one.isalpha()]
    return sum("\u4e00" <= one <= "\u9fff" for one in letters) / max(1, len(letters))
