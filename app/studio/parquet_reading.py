"""How records are read from parquet: a row group at a time, and only the columns that are shown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.studio.stamps import Stamp, damaged

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH = 4_096  # rows that are decoded at once


@dataclass(frozen=True)
class Found:
    """A part of a file's records that fit what was asked for."""

    frame: pd.DataFrame  # its index is the position in the file
    next: int | None  # where to go on; None: the file has no further record
    looked: int  # how many records were looked at
    total: int  # how many records the file has


def search(
    file: pq.ParquetFile,
    asked: tuple[str, tuple[tuple[str, str], ...]],
    page: tuple[int, int],
    columns: tuple[str, ...] | None,
    deadline: float,
) -> Found:
    """Return a page of the records that fit; at least one batch is looked at."""
    contains, equals = asked
    start, limit = page
    total, names = file.metadata.num_rows, known(file, columns)
    needed = list(dict.fromkeys([name for name, _value in equals] + ["text"] * bool(contains)))
    if any(name not in file.schema_arrow.names for name in needed):
        return Found(nothing(), None, 0, total)
    every = list(dict.fromkeys([*names, *needed]))
    parts: list[pa.RecordBatch] = []
    places: list[int] = []
    looked, goes_on = 0, None
    for first, batch in batches(file, every, start, total):
        skipped = max(0, start - first)
        batch = batch.slice(skipped)
        hits = fitting(batch, contains, equals)[: limit - len(places)]
        parts.append(batch.take(hits).select(names))
        places += [first + skipped + one for one in hits.to_pylist()]
        looked += len(batch)
        if len(places) >= limit:
            goes_on = places[-1] + 1
            break
        if time.monotonic() > deadline:
            goes_on = first + skipped + len(batch)
            break
    if goes_on is not None and goes_on >= total:
        goes_on = None
    return Found(frame_of(file, parts, names, places), goes_on, looked, total)


def fitting(
    batch: pa.RecordBatch, contains: str, equals: tuple[tuple[str, str], ...]
) -> pa.UInt64Array:
    """Return the positions of the rows that fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fits = pa.array([True]).take(pa.array([0] * len(batch), pa.int8()))
    for name, value in equals:
        fits = pc.and_(fits, pc.equal(batch[name].cast(pa.string()), value))
    if contains:
        text = batch["text"].cast(pa.string())
        fits = pc.and_(fits, pc.match_substring(text, contains, ignore_case=True))
    return pc.indices_nonzero(pc.fill_null(fits, False))


class opened:  # noqa: N801 - reads as a phrase
    """Holds a parquet file open; ``file`` is None where it went away, damage is explained."""

    def __init__(self, stamp: Stamp) -> None:
        self.path = stamp.path
        self.file: pq.ParquetFile | None = None

    def __enter__(self) -> opened:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self.file = pq.ParquetFile(self.path)
        except FileNotFoundError:
            self.file = None
        except (OSError, pa.ArrowException) as error:
            raise damaged(self.path, str(error).splitlines()[0]) from error
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if self.file is not None:
            self.file.close()
        if isinstance(error, OSError | pa.ArrowException):
            raise damaged(self.path, str(error).splitlines()[0]) from error


def known(file: pq.ParquetFile, columns: tuple[str, ...] | None) -> list[str]:
    """Return the columns that are asked for and that the file has."""
    names = file.schema_arrow.names
    return names if columns is None else [name for name in columns if name in names]


def batches(
    file: pq.ParquetFile, columns: Sequence[str], start: int, end: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the batches with the rows from ``start`` up to ``end``, and where each begins."""
    first = 0
    for number in range(file.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if first + rows > start and first < end:
            at = first
            wanted = file.iter_batches(
                BATCH, row_groups=[number], columns=list(columns), use_threads=False
            )
            for batch in wanted:
                if at + len(batch) > start:
                    yield at, batch
                at += len(batch)
                if at >= end:
                    return
        first += rows


def frame_of(
    file: pq.ParquetFile, parts: Sequence[pa.RecordBatch], names: list[str], places: Sequence[int]
) -> pd.DataFrame:
    """Return batches as one table whose index is the position in the file."""
    import pandas as pd
    import pyarrow as pa

    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    frame = pa.Table.from_batches(parts, schema=schema).to_pandas()
    frame.index = pd.Index(places[: len(frame)], dtype="int64")
    return frame


def records(
    file: pq.ParquetFile, ids: Sequence[str], columns: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Return some records by their ids; it ends with the row group of the last one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = known(file, columns)
    missing, found = set(ids), dict[str, dict[str, Any]]()
    for number in range(file.num_row_groups):
        if not missing:
            break
        own = file.read_row_group(number, columns=["id"], use_threads=False)["id"]
        hits = pc.indices_nonzero(pc.is_in(own, pa.array(sorted(missing), own.type)))
        if len(hits):
            rows = file.read_row_group(number, columns=[*names, "id"], use_threads=False)
            for row in rows.take(hits).to_pylist():
                found[row["id"]] = {name: row[name] for name in names}
            missing -= found.keys()
    return found


def nothing() -> pd.DataFrame:
    """Return a table without rows and columns."""
    import pandas as pd

    return pd.DataFrame()
