"""Reads an uploaded table in a process with limits: ``python -m app.studio.forms.peeking FOLDER``.

Whatever a hostile file does to a parser, it does it here. The folder holds ``job.json``; the answer
goes to ``answer.json``, which holds a bounded number of rows and values, each cut short.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import MofangError, SourceError, packed
from pipeline.sources import child, reading
from pipeline.sources.decoding import refuse_other_content
from pipeline.sources.delivery import MEGABYTE, Count

ROWS_LOOKED_AT = 20_000  # from which columns are guessed
ROWS_SHOWN = 20
COLUMNS_LOOKED_AT = 200
VALUES_COUNTED = 1_000  # different ones of a column
VALUES_SHOWN = 50
LABELS_COUNTED = 5_000
LONG = 300  # characters of a shown cell
ROWS_NAMED = 5  # of each problem
HAN = ("\u4e00", "\u9fff")
TEXTS_READ = 2_000  # from which the language is guessed

Cells = Iterator[tuple[int, dict[str, Any]]]


@dataclass
class Seen:
    """What a column holds."""

    filled: int = 0
    letters: int = 0
    numbers: int = 0
    times: int = 0
    values: Counter[str] = field(default_factory=Counter)
    many: bool = False  # more different values than are counted

    def take(self, value: Any) -> None:
        """Count one cell."""
        text = "" if value is None else str(value)
        if not text.strip():
            return
        self.filled += 1
        self.letters += len(text)
        self.numbers += is_number(text)
        self.times += is_time(value)
        if len(self.values) < VALUES_COUNTED or text[:LONG] in self.values:
            self.values[text[:LONG]] += 1
        else:
            self.many = True


def is_number(text: str) -> bool:
    """Return whether a cell is a finite number."""
    with suppress(ValueError):
        return abs(float(text)) < float("inf")
    return False


def is_time(value: Any) -> bool:
    """Return whether a cell is a time as ISO 8601 writes it."""
    if isinstance(value, datetime):
        return True
    text = str(value)
    with suppress(ValueError):
        return len(text) >= 10 and bool(datetime.fromisoformat(text))
    return False


@dataclass(frozen=True)
class Reader:
    """How a table is read, as ``collect.sources.….reader`` says it."""

    format: str
    encoding: str
    sheet: str | None
    columns: Any = None
    pattern: str | None = None
    unmatched: str = "fail"
    members: str = "*"


@dataclass(frozen=True)
class Wanted:
    """The columns of a parquet file that are read."""

    text: str
    meta: list[str]
    label: str | None = None
    group: str | None = None
    created_at: str | None = None


def cells(job: Mapping[str, Any]) -> Cells:
    """Return the rows of the table, with their numbers."""
    path, name = Path(job["path"]), str(job["name"])
    form = reading.format_of(path, name, "auto")
    refuse_other_content(path, name, form)
    wanted = flat_columns(path) if form == "parquet" else None
    reader = Reader(form, "auto", job.get("sheet"), wanted)
    count = Count(allowed=job["limits"]["size"] * MEGABYTE)
    return reading.cells_of(path, name, form, reader, count)


def flat_columns(path: Path) -> Wanted:
    """Return the columns of a parquet file that hold plain values; a damaged one is refused."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError.at(
            path.name, found=str(error).splitlines()[0][:200], allowed="parquet", fix=""
        ) from None
    names = [one.name for one in schema if not pa.types.is_nested(one.type)]
    return Wanted(names[0] if names else "", names[1:COLUMNS_LOOKED_AT])


def columns(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a table and its first rows."""
    seen: dict[str, Seen] = {}
    first: list[dict[str, Any]] = []
    rows, more = 0, False
    for number, values in cells(job):
        if rows >= ROWS_LOOKED_AT:
            more = True
            break
        rows += 1
        names = list(values)[:COLUMNS_LOOKED_AT]
        for name in names:
            seen.setdefault(name, Seen()).take(values[name])
        if len(first) < ROWS_SHOWN:
            first.append({"row": number, "cells": {name: short(values[name]) for name in names}})
    described = [
        {
            "name": name,
            "filled": one.filled,
            "letters": one.letters / max(1, one.filled),
            "numbers": one.numbers,
            "times": one.times,
            "different": len(one.values),
            "many": one.many,
            "values": one.values.most_common(VALUES_SHOWN),
        }
        for name, one in seen.items()
    ]
    return {"rows": rows, "more": more, "columns": described, "first": first}


def short(value: Any) -> str:
    """Return a cell as a page shows it."""
    text = "" if value is None else str(value)
    return text if len(text) <= LONG else f"{text[:LONG]}…"


@dataclass
class Found:
    """How often something was found, and the first rows of it."""

    count: int = 0
    rows: list[int] = field(default_factory=list)

    def at(self, row: int) -> None:
        """Count one row."""
        self.count += 1
        if len(self.rows) < ROWS_NAMED:
            self.rows.append(row)


def records(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the records would be, with the rows that are odd."""
    mapped = job["mapping"]
    text_in, label_in, time_in = mapped["text"], mapped["label"], mapped["created_at"]
    split, regression = mapped["separator"], mapped["task"] == "regression"
    found = {name: Found() for name in ODD}
    labels: Counter[str] = Counter()
    known: dict[int, str] = {}
    rows = kept = han = letters = 0
    for number, values in cells(job):
        rows += 1
        text = str(values.get(text_in) or "")
        label = "" if label_in is None else str(values.get(label_in) or "")
        if not text.strip():
            found["empty"].at(number)
            continue
        kept += 1
        if kept <= TEXTS_READ:
            han += sum(HAN[0] <= one <= HAN[1] for one in text)
            letters += sum(one.isalpha() for one in text)
        if time_in is not None and values.get(time_in) and not is_time(values[time_in]):
            found["time"].at(number)
        if not job["low"] <= len(text) <= job["high"]:
            found["length"].at(number)
        key = hash(" ".join(text.split()).casefold())
        if key in known:
            found["repeated" if known[key] == label else "contradicted"].at(number)
        known.setdefault(key, label)
        if label_in is not None:
            if not label.strip():
                found["unlabelled"].at(number)
            elif regression:
                if not is_number(label):
                    found["number"].at(number)
            else:
                parts = label.split(split) if split else [label]
                for one in filter(None, (part.strip() for part in parts)):
                    if len(labels) < LABELS_COUNTED or one in labels:
                        labels[one] += 1
    odd = {name: {"count": one.count, "rows": one.rows} for name, one in found.items() if one.count}
    return {
        "rows": rows,
        "records": kept,
        "odd": odd,
        "labels": labels.most_common(),
        "chinese": han > 0.3 * max(1, letters),
    }


ODD = ("empty", "unlabelled", "number", "time", "length", "repeated", "contradicted")
TASKS = {"columns": columns, "records": records}


def main(folder: Path) -> int:
    """Do the job that lies in ``folder`` and return the exit status."""
    job = json.loads((folder / child.JOB).read_text(encoding="utf-8"))
    child.confine(job)
    warnings.simplefilter("ignore")  # what a library thinks of a stranger's file helps nobody
    try:
        answer = TASKS[job["task"]](job)
    except MemoryError:
        return child.OUT_OF_MEMORY
    except MofangError as error:
        answer = packed(error)
    except Exception as error:
        answer = packed(child.named(error, {"source": {"name": job["name"]}} | job))
    (folder / child.ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    from pipeline.quiet import be_quiet, leave

    be_quiet()
    leave(main(Path(sys.argv[1])))
