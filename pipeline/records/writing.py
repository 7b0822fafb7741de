"""Records into one parquet file, row group by row group, however many there are.

Where a row group ends depends on the records alone, not on how they were handed over: the same
records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.artifacts import SHARD

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BYTES = 32 << 20  # of text at most in a row group; a single larger record stands alone


class RecordWriter:
    """Collects records until a row group is full, then writes it; holds no more than that."""

    def __init__(self, path: Path, schema: pa.Schema, *, rows: int = SHARD) -> None:
        import pyarrow.parquet as pq

        self.schema, self.rows, self.written = schema, rows, 0
        self.waiting: list[pa.Table] = []
        self.sizes: list[np.ndarray[Any, Any]] = []
        self.writer = pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *failure: object) -> None:
        if kind is None:
            self.close()
        else:
            self.writer.close()

    def add(self, rows: pa.Table | pa.RecordBatch | Sequence[Mapping[str, Any]]) -> None:
        """Take more records: a table, a batch, or dictionaries with the columns' names."""
        import pyarrow as pa

        if isinstance(rows, pa.RecordBatch):
            rows = pa.Table.from_batches([rows])
        elif not isinstance(rows, pa.Table):
            rows = pa.Table.from_pylist([dict(row) for row in rows], schema=self.schema)
        if len(rows):
            self.waiting.append(rows.select(self.schema.names).cast(self.schema))
            self.sizes.append(sizes(rows))
            self.write_full()

    def write_full(self) -> None:
        """Write every row group that further records cannot change any more."""
        import numpy as np

        if not self.is_full():
            return
        import pyarrow as pa

        table, weights = pa.concat_tables(self.waiting), np.concatenate(self.sizes)
        total = np.cumsum(weights)
        start = 0
        while (end := full_at(total, start, self.rows)) is not None:
            self.write(table.slice(start, end - start))
            start = end
        self.waiting, self.sizes = [table.slice(start)], [weights[start:]]

    def is_full(self) -> bool:
        """Return whether a row group is complete."""
        rows = sum(len(table) for table in self.waiting)
        return rows >= self.rows or sum(int(one.sum()) for one in self.sizes) > BYTES

    def write(self, table: pa.Table) -> None:
        """Write one row group."""
        self.writer.write_table(table.combine_chunks(), row_group_size=self.rows)
        self.written += len(table)

    def close(self) -> None:
        """Write what is left and end the file."""
        import pyarrow as pa

        rest = pa.concat_tables(self.waiting) if self.waiting else []
        if len(rest):
            self.write(rest)
        self.waiting, self.sizes = [], []
        self.writer.close()


def full_at(total: np.ndarray[Any, Any], start: int, rows: int) -> int | None:
    """Return where the row group that begins at ``start`` ends, None while it may still grow.

    :param total: bytes of all records up to each one.
    """
    import numpy as np

    before = int(total[start - 1]) if start else 0
    by_bytes = max(start + 1, int(np.searchsorted(total, before + BYTES, side="right")))
    end = min(start + rows, by_bytes)
    return end if end < len(total) or end == start + rows <= len(total) else None


def sizes(rows: pa.Table) -> np.ndarray[Any, Any]:
    """Return the bytes of text of each record."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    total = np.zeros(len(rows), dtype=np.int64)
    for column in rows.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            lengths = pc.fill_null(pc.binary_length(column), 0)
            total += lengths.to_numpy().astype(np.int64)
    return total
