"""Rows of several sources into one stream of records: ids, sample, merge and order.

Only numbers are held for all records, 8 bytes each while ids are counted; texts stay on the disk
and pass in batches. The same sources give the same stream, byte for byte.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import record_schema
from pipeline.records.writing import RecordWriter
from pipeline.sources.child import content_of, identity

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Numbers = np.ndarray[Any, Any]

BATCH = 1_024  # records that pass at a time
BLOCK = 32 << 20  # bytes of all sources together that are interleaved at a time
RUN_ROWS = 65_536  # records that are sorted at a time
RUN_BYTES = 64 << 20
FAN = 32  # sorted runs that are merged at a time
BUFFER = 1 << 16  # bytes read at a time from a column
CHUNK = 1 << 20  # numbers compared at a time
ID_BYTES = 10


@dataclass(frozen=True)
class Part:
    """The rows of one source, and what has to be known before they can pass.

    :param mean: bytes of a record, on average.
    :param again: places of the rows that came before with the same text and label, sorted.
    :param times: for each of them, how often it came, itself included.
    :param kept: for each row whether the sample takes it; None takes all.
    """

    name: str
    path: Path
    records: int
    mean: float
    again: Numbers
    times: Numbers
    kept: Numbers | None


def part_of(name: str, path: Path, *, size: int, limit: int | None, sample: str, seed: int) -> Part:
    """Return the rows of a source, with repetitions counted and the sample drawn.

    :param size: bytes of all its records.
    """
    numbers = numbers_of(path)
    again, times = repetitions(numbers)
    kept = None
    if sample == "random" and limit is not None and limit < len(numbers):
        kept = drawn(numbers, again, times, limit, seed)
    records = len(numbers) if kept is None else int(kept.sum())
    return Part(name, path, records, size / max(1, len(numbers)), again, times, kept)


def numbers_of(path: Path) -> Numbers:
    """Return the first eight bytes of each row's hash of text and label."""
    import numpy as np

    found = []
    for batch in raw_batches(path, ["id"]):
        digests = bytes.fromhex("".join(batch.column(0).to_pylist()))
        rows = np.frombuffer(digests, dtype=np.uint8).reshape(-1, ID_BYTES)
        found.append(np.ascontiguousarray(rows[:, :8]).view(">u8").ravel().astype(np.uint64))
    return np.concatenate(found) if found else np.empty(0, dtype=np.uint64)


def repetitions(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Return the places of rows that came before, and the how manieth each of them is."""
    import numpy as np

    ordered = np.sort(numbers)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(repeated):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    places = np.concatenate(
        [
            start + np.flatnonzero(np.isin(numbers[start : start + CHUNK], repeated))
            for start in range(0, len(numbers), CHUNK)
        ]
    )
    order = np.argsort(numbers[places], kind="stable")
    same = numbers[places][order]
    first = np.flatnonzero(np.concatenate([[True], same[1:] != same[:-1]]))
    lengths = np.diff(np.append(first, len(same)))
    times = np.empty(len(places), dtype=np.int64)
    times[order] = np.arange(len(same)) - np.repeat(first, lengths) + 1
    return places[times > 1], times[times > 1]


def drawn(numbers: Numbers, again: Numbers, times: Numbers, limit: int, seed: int) -> Numbers:
    """Return which rows a random sample takes: those with the smallest seeded hash."""
    import numpy as np

    chance = mixed(numbers ^ mixed(np.array([seed], dtype=np.uint64)))
    chance[again] = mixed(chance[again] + times.astype(np.uint64))
    bound = np.partition(chance, limit - 1)[limit - 1]
    kept = chance < bound
    ties = np.flatnonzero(chance == bound)
    kept[ties[: limit - int(kept.sum())]] = True
    chosen: Numbers = kept
    return chosen


def mixed(numbers: Numbers) -> Numbers:
    """Return splitmix64 of each number (Steele, Lea and Flood 2014)."""
    import numpy as np

    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    stirred: Numbers = numbers ^ (numbers >> np.uint64(31))
    return stirred


def raw_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a file batch by batch; only a few pages of it are in memory."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) as source:
        yield from source.iter_batches(BATCH, columns=columns, use_threads=False)


def records_of(part: Part) -> Iterator[pa.Table]:
    """Yield the records of a source in their order, batch by batch."""
    import numpy as np
    import pyarrow as pa

    start = 0
    for batch in raw_batches(part.path):
        end = start + len(batch)
        table = pa.Table.from_batches([batch])
        low, high = np.searchsorted(part.again, [start, end])
        if low < high:
            places, times = part.again[low:high] - start, part.times[low:high]
            table = table.set_column(0, "id", [renamed(part.name, table, places, times)])
        table = table.append_column("source", [pa.array([part.name] * len(table), pa.string())])
        if part.kept is not None:
            table = table.filter(pa.array(part.kept[start:end]))
        if len(table):
            yield table.select(record_schema().names)
        start = end


def renamed(name: str, table: pa.Table, places: Numbers, times: Numbers) -> pa.Array:
    """Return the ids of a batch in which some rows came before."""
    import pyarrow as pa

    ids = table.column("id").to_pylist()
    for place, count in zip(places.tolist(), times.tolist(), strict=True):
        text, label = table.column("text")[place].as_py(), table.column("label")[place].as_py()
        ids[place] = identity(content_of(name, text, label), count)
    return pa.array(ids, pa.string())


def merged(
    parts: Sequence[Part], *, merge: str, sort_by: str | None, folder: Path
) -> Iterator[pa.Table]:
    """Yield the records of all sources: appended or in turn, then sorted by a column if wanted.

    :param folder: for temporary files.
    """
    interleaving = merge == "interleave" and len(parts) > 1
    tables = in_turn(parts) if interleaving else appended(parts)
    return tables if sort_by is None else in_order(tables, sort_by, folder)


def appended(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """Yield one source after the other."""
    for part in parts:
        yield from records_of(part)


def in_turn(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """Yield one record of each source in turn; when one ends, the others go on."""
    import numpy as np
    import pyarrow as pa

    feeds = [Feed(records_of(part)) for part in parts]
    size = int(BLOCK // (sum(part.mean for part in parts) + 1))
    size = max(1, min(BATCH, size))
    while True:
        tables = [feed.take(size) for feed in feeds]
        rounds = np.concatenate([np.arange(len(table)) for table in tables])
        if not len(rounds):
            return
        # The sort is stable: within a round the sources keep their order.
        yield pa.concat_tables(tables).take(pa.array(np.argsort(rounds, kind="stable")))


class Feed:
    """Hands out a stream of tables in pieces of a wanted size."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self.tables = tables
        self.rest = record_schema().empty_table()

    def take(self, rows: int) -> pa.Table:
        """Return the next ``rows`` records, fewer only at the end."""
        import pyarrow as pa

        while len(self.rest) < rows and (table := next(self.tables, None)) is not None:
            self.rest = pa.concat_tables([self.rest, table])
        taken, self.rest = self.rest.slice(0, rows), self.rest.slice(rows)
        return taken


def in_order(tables: Iterable[pa.Table], column: str, folder: Path) -> Iterator[pa.Table]:
    """Yield records sorted by a column, equal ones as they came, those without a value last.

    Sorted runs go to the disk and are merged, as many at a time as open files allow.
    """
    folder.mkdir()
    numbers = iter(range(1 << 62))
    runs = []
    for run in runs_of(tables, column):
        runs.append(folder / f"{next(numbers)}.parquet")
        write([run], runs[-1])
    while len(runs) > FAN:
        groups, longer = iter(runs), []
        while group := list(islice(groups, FAN)):
            longer.append(folder / f"{next(numbers)}.parquet")
            write(merged_runs(group, column), longer[-1])
            for path in group:
                path.unlink()
        runs = longer
    yield from merged_runs(runs, column)


def runs_of(tables: Iterable[pa.Table], column: str) -> Iterator[pa.Table]:
    """Yield sorted tables, each as large as memory may hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    waiting: list[pa.Table] = []

    def taken() -> pa.Table:
        table = pa.concat_tables(waiting).combine_chunks()
        keys = [(column, "ascending", "at_end")]
        return table.take(pc.sort_indices(table, sort_keys=keys))

    for table in tables:
        waiting.append(table)
        rows, size = sum(map(len, waiting)), sum(one.nbytes for one in waiting)
        if rows >= RUN_ROWS or size >= RUN_BYTES:
            yield taken()
            waiting = []
    if waiting:
        yield taken()


def write(tables: Iterable[pa.Table], path: Path) -> None:
    """Write records to a temporary file."""
    with RecordWriter(path, record_schema()) as writer:
        for table in tables:
            writer.add(table)


def merged_runs(paths: Sequence[Path], column: str) -> Iterator[pa.Table]:
    """Yield the records of sorted files in their common order."""
    cursors = [Cursor(path, column) for path in paths]
    heap = [(*cursor.key, number) for number, cursor in enumerate(cursors) if cursor.is_open]
    heapq.heapify(heap)
    order: list[int] = []
    while heap:
        number = heap[0][-1]
        cursor = cursors[number]
        order.append(number)
        cursor.advance()
        if cursor.is_open:
            heapq.heapreplace(heap, (*cursor.key, number))
        else:
            heapq.heappop(heap)
        if len(order) == BATCH:
            yield woven(cursors, order)
            order = []
    if order:
        yield woven(cursors, order)


def woven(cursors: Sequence[Cursor], order: list[int]) -> pa.Table:
    """Return the rows that were passed, each from the cursor that ``order`` names for it."""
    import numpy as np
    import pyarrow as pa

    table = pa.concat_tables([piece for cursor in cursors for piece in cursor.passed()])
    from_cursor = np.argsort(np.array(order), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[from_cursor] = np.arange(len(order))
    return table.take(pa.array(place))


class Cursor:
    """Walks through a sorted file, row by row, and remembers what it passed."""

    def __init__(self, path: Path, column: str) -> None:
        self.batches, self.column = raw_batches(path), column
        self.pieces: list[pa.Table] = []
        self.table, self.start, self.place = record_schema().empty_table(), 0, 0
        self.keys: list[tuple[bool, Any]] = []
        self.is_open = True
        self.fill()

    @property
    def key(self) -> tuple[bool, Any]:
        """Return what the present row is sorted by: rows without a value last."""
        return self.keys[self.place]

    def advance(self) -> None:
        """Pass one row."""
        self.place += 1
        if self.place == len(self.table):
            self.fill()

    def fill(self) -> None:
        """Take the next batch, if there is one."""
        import pyarrow as pa

        self.pieces.append(self.table.slice(self.start))
        batch = next(self.batches, None)
        self.is_open = batch is not None
        self.table = record_schema().empty_table()
        self.start = self.place = 0
        if batch is not None:
            self.table = pa.Table.from_batches([batch])
            values = self.table.column(self.column)
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.int64())
            found = values.to_pylist()
            nothing = 0 if pa.types.is_integer(values.type) else ""
            self.keys = [(one is None, nothing if one is None else one) for one in found]

    def passed(self) -> list[pa.Table]:
        """Return the rows passed since the last call."""
        pieces = [*self.pieces, self.table.slice(self.start, self.place - self.start)]
        self.pieces, self.start = [], self.place
        return pieces
