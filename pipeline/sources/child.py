"""Reads one source in a process of its own, with limits: ``python -m pipeline.sources.child``.

Whatever a hostile file does to a parser, it does it here. The process gets a folder with
``job.json`` and leaves there ``rows.parquet`` and ``answer.json``, never a pickle. What it has done
so far stands in ``status``, for who waits.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import MofangError, SourceError, StorageError, packed
from pipeline.i18n import _
from pipeline.quiet import be_quiet, leave
from pipeline.records.shards import die_with_parent
from pipeline.sources.delivery import MEGABYTE, Delivery, Row, too_large
from pipeline.sources.kinds import OPENERS

if TYPE_CHECKING:
    import pyarrow as pa

JOB, ROWS, ANSWER, STATUS = "job.json", "rows.parquet", "answer.json", "status"
OUT_OF_MEMORY = 3  # exit status: there may be no memory left to say it in another way
SLACK = 64 * MEGABYTE  # a written file may be larger than what is in it
BATCH_ROWS = 1_024
BATCH_BYTES = 8 << 20
GROUP_ROWS = 8_192

quoted = json.JSONEncoder(ensure_ascii=False).encode  # twice as fast as json.dumps for short texts


def main(folder: Path) -> int:
    """Do the job that lies in ``folder`` and return the exit status."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    confine(job)
    warnings.simplefilter("ignore")  # what a library thinks of a stranger's file helps nobody
    try:
        answer = read(job, folder)
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception as error:
        if os.environ.get("MOFANG_TRACEBACK"):
            traceback.print_exc()
        answer = packed(named(error, job))
    (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def confine(job: dict[str, Any]) -> None:
    """Set the limits of this process, and tie its life to that of its parent."""
    die_with_parent()
    if os.getppid() != job["parent"]:
        sys.exit(1)
    limits = job["limits"]
    largest = limits["size"] * MEGABYTE + SLACK
    limit_to(resource.RLIMIT_CORE, 0)
    limit_to(resource.RLIMIT_FSIZE, largest)
    limit_to(resource.RLIMIT_CPU, limits["seconds"])
    limit_to(resource.RLIMIT_AS, limits["memory"] * MEGABYTE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails with EFBIG instead


def limit_to(kind: int, value: int) -> None:
    """Lower one limit of this process; a stricter one of the machine stays."""
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(ValueError, OSError):  # not every system knows every limit
        resource.setrlimit(kind, (value, hard))


def read(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Read the source and return what is known about it."""
    source = parsed(job["source"])
    delivery = OPENERS[source.kind](source)
    delivery.count.allowed = job["limits"]["size"] * MEGABYTE
    if source.label is not None:
        delivery.rows = labelled(delivery.rows, source.label)
    limit = source.limit if source.sample == "first" else None
    records, size = write(source.name, delivery, limit, folder)
    count = delivery.count
    return {
        "records": records,
        "size": size,
        "rows_read": count.read,
        "empty": count.empty,
        "unmatched": count.unmatched,
        "unmatched_rows": count.unmatched_rows,
        "files": len(delivery.files),
        "files_skipped": count.skipped,
        "bytes": delivery.bytes,
        "sha256": delivery.sha256,
        "notes": getattr(delivery, "notes", {}),
    }


def labelled(rows: Iterator[Row], label: str) -> Iterator[Row]:
    """Yield the rows with the one label that their source states."""
    try:
        for row in rows:
            yield replace(row, label=label)
    finally:
        closing = getattr(rows, "close", None)
        if closing is not None:
            closing()


def parsed(source: dict[str, Any]) -> Any:
    """Return a source of ``params.yaml`` from its JSON."""
    from pydantic import TypeAdapter

    from pipeline.schema.collect import Source

    return TypeAdapter(Source).validate_json(json.dumps(source))


def write(name: str, delivery: Delivery, limit: int | None, folder: Path) -> tuple[int, int]:
    """Write the rows, at most ``limit``, and return how many they are and their bytes."""
    from pipeline.records.writing import RecordWriter

    records = size = 0
    allowed = delivery.count.allowed
    with (
        RecordWriter(folder / ROWS, schema(), rows=GROUP_ROWS) as writer,
        (folder / STATUS).open("wb", buffering=0) as status,
    ):
        for batch, weight in batches(name, islice(delivery.rows, limit)):
            records, size = records + len(batch), size + weight
            if allowed is not None and size > allowed:
                raise too_large(name, allowed)
            writer.add(batch)
            os.pwrite(status.fileno(), b"%020d %020d" % (records, size), 0)
        closing = getattr(delivery.rows, "close", None)
        if closing is not None:
            closing()
    return records, size


def batches(name: str, rows: Iterable[Row]) -> Iterable[tuple[pa.RecordBatch, int]]:
    """Yield rows as batches of a bounded size, with the bytes in them."""
    import pyarrow as pa

    columns: list[list[Any]] = [[] for _name in schema().names]
    size = 0

    def taken() -> tuple[pa.RecordBatch, int]:
        arrays = [
            pa.array(values, field.type) for values, field in zip(columns, schema(), strict=True)
        ]
        return pa.record_batch(arrays, schema=schema()), size

    for row in rows:
        meta = quoted(row.meta)
        content = content_of(name, row.text, row.label)
        size += len(content) + len(meta) if content.isascii() else len(content.encode()) + len(meta)
        values = (identity(content, 1), row.text, row.label, row.group, row.created_at, meta)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        if len(columns[0]) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield taken()
            columns, size = [[] for _name in columns], 0
    if columns[0]:
        yield taken()


def content_of(name: str, text: str, label: str | None) -> str:
    """Return what makes a record the one it is: JSON of source, text and label."""
    return f"[{quoted(name)}, {quoted(text)}, {quoted(label)}]"


def identity(content: str, times: int) -> str:
    """Return the id of a record.

    :param content: as ``content_of`` gives it.
    :param times: how often the source held the same before, and this one.
    """
    return hashlib.sha256(f"{content}{times}".encode()).hexdigest()[:20]


def schema() -> pa.Schema:
    """Return the columns of ``rows.parquet``: a record's, but for the source they all share."""
    from pipeline.artifacts import record_schema

    complete = record_schema()
    return complete.remove(complete.get_field_index("source"))


def named(error: Exception, job: dict[str, Any]) -> MofangError:
    """Return the reason that people are told."""
    written = error.__cause__ if isinstance(error, StorageError) else error
    if isinstance(written, OSError) and written.errno == errno.EFBIG:
        return too_large(job["source"]["name"], job["limits"]["size"] * MEGABYTE)
    if isinstance(error, MofangError):
        return error
    reason = f"{type(error).__name__}: {error}"[:300]
    return SourceError.at(
        job["source"]["name"],
        found=_("a failure of the reader ({reason})", reason=reason),
        allowed=_("a source that can be read"),
        fix=_("Check the file; MOFANG_TRACEBACK=1 shows where it happened."),
    )


if __name__ == "__main__":
    be_quiet()
    leave(main(Path(sys.argv[1])))
