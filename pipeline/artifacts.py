"""Every path and file format of the pipeline, and the only code that writes them.

Outputs are written whole or not at all: into a folder beside the final one, every file synced, a
manifest with the sha256 of each file last, then renamed. Paths are relative to the project, which
is where DVC starts its stages.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, ModelError, MofangError, Problem, StorageError
from pipeline.i18n import _

if TYPE_CHECKING:
    import pyarrow as pa

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
ANNOTATIONS = Path("data/annotations")
SYNONYMS = Path("data/synonyms")
WORK = Path("work")

COLLECT = Path("data/collect")
CLEAN = Path("data/clean")
LABEL = Path("data/label")
SPLIT = Path("data/split")
INIT = Path("models/init")
TRAIN = Path("models/train")
VALIDATE = Path("models/validate")
TEST = Path("models/test")
OPTIMIZE = Path("models/optimize")

RECORDS = "records.parquet"
DROPPED = "dropped.parquet"
REPORT = "report.json"
METRICS = "metrics.json"
MANIFEST = "manifest.json"
SHARD = 16_384  # records at most in a row group, which is what one process works on at a time
PARTS = ("train", "validation", "test")

OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NEARLY_FULL = 64 * 1024  # bytes: less free space than this, and a failed write was the disk's fault


def part(name: str) -> Path:
    """Return the records of a part of the split: ``train``, ``validation`` or ``test``."""
    return SPLIT / f"{name}.parquet"


def record_schema() -> pa.Schema:
    """Return the one schema of records; later stages add columns to it."""
    import pyarrow as pa

    columns = [(name, pa.string()) for name in ("id", "text", "label", "source", "group")]
    columns += [("created_at", pa.timestamp("us", tz="UTC")), ("meta", pa.string())]
    return pa.schema(columns)


def write_records(path: Path, table: pa.Table) -> None:
    """Write records as one parquet shard; the same records give the same bytes."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", row_group_size=65_536, store_schema=False)


def read_records(path: Path) -> pa.Table:
    """Read a shard of records.

    :raises DataError: if it is missing, cut off or not parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError.at(
            path,
            found=str(error).splitlines()[0],
            allowed=_("a whole parquet file of records"),
            fix=_("Run dvc repro, which writes it again."),
        ) from error


def read_annotations() -> dict[str, list[str]]:
    """Return the lines of every file of annotations, by its path."""
    files = sorted(ANNOTATIONS.glob("*.jsonl"))
    return {str(path): read_text(path).split("\n") for path in files}


def read_text(path: Path) -> str:
    """Read a text file that people may have edited.

    :raises DataError: if it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError.at(
            path,
            found=_("byte {position} is not UTF-8", position=error.start),
            allowed=_("text in UTF-8"),
            fix=_("Save the file as UTF-8."),
        ) from None


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all.

    :raises ValueError: for NaN or infinity, which JSON does not know.
    """
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def read_json(path: Path) -> Any:
    """Read JSON.

    :raises DataError: if the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError.at(
            path,
            found=str(error),
            allowed=_("a JSON file that a stage wrote"),
            fix=_("Run dvc repro, which writes it again."),
        ) from error


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table for ``dvc plots``."""
    import csv

    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with disk_full_explained(path):
        try:
            with temporary.open("wb") as target:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def output_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``final``, with its manifest, when the block ends well.

    When the block fails nothing of it is left and ``final`` is what it was before.

    :raises StorageError: if the disk is full.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep(final)
    building = final.with_name(f".{final.name}.tmp-{os.getpid()}")
    previous = final.with_name(f".{final.name}.old-{os.getpid()}")
    with disk_full_explained(final):
        try:
            building.mkdir()
            yield building
            write_manifest(building)
            if final.exists():
                final.rename(previous)
            building.rename(final)
            sync(final.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)
            shutil.rmtree(previous, ignore_errors=True)


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Yield an empty folder below ``work`` that is gone after the block.

    :raises StorageError: if the disk is full.
    """
    final = WORK / name
    final.parent.mkdir(exist_ok=True)
    sweep(final)
    folder = final.with_name(f".{name}.tmp-{os.getpid()}")
    with disk_full_explained(final):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(final: Path) -> None:
    """Remove what earlier, killed runs left beside ``final``; another living process keeps its own.

    What bears this process's number is from an earlier one: in a container numbers come again.
    """
    for pattern in (f".{final.name}.tmp-*", f".{final.name}.old-*"):
        for leftover in final.parent.glob(pattern):
            number = int(leftover.name.rpartition("-")[2])
            if number == os.getpid() or not is_alive(number):
                shutil.rmtree(leftover, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Return whether a process with this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_manifest(folder: Path) -> None:
    """Sync every file of ``folder``, then write their sha256 and sizes as the last file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    for path in files:
        sync(path)
    for inner in {path.parent for path in files}:
        sync(inner)
    write_json(
        folder / MANIFEST,
        {
            str(path.relative_to(folder)): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in files
        },
    )


def verify_manifest(folder: Path) -> None:
    """Compare a folder with its manifest.

    :raises ModelError: naming every file that is missing or differs.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(folder / MANIFEST, _("no readable manifest")) from error
    problems: list[Problem] = []
    for name, entry in manifest.items():
        path = folder / name
        if not path.is_file():
            problems += damaged(path, _("no such file")).problems
        elif sha256(path) != entry["sha256"]:
            problems += damaged(path, _("content that differs from the manifest")).problems
    if problems:
        raise ModelError(*problems)


def damaged(path: Path, found: Any) -> ModelError:
    """Return the error for a file that is not what its manifest says."""
    return ModelError.at(
        path,
        found=found,
        allowed=_("the file whose sha256 stands in manifest.json"),
        fix=_("Copy the folder again from where it was made, or run dvc repro."),
    )


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file or a folder's entries onto the disk, so that a power cut cannot undo them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below ``folder``, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def require_space(folder: Path, needed: int) -> None:
    """Refuse to start what cannot be finished.

    :param needed: bytes.
    :raises StorageError: naming what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError.at(
            folder,
            found=_("{free} MB free", free=free // 1_000_000),
            allowed=_("at least {needed} MB", needed=-(-needed // 1_000_000)),
            fix=_("Free some space (dvc gc -w removes old versions), then start again."),
        )


@contextlib.contextmanager
def disk_full_explained(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a full disk into one ``StorageError``.

    Libraries hide the errno (safetensors, torch), so the disk itself is asked as well.
    """
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in OUT_OF_SPACE
        if isinstance(error, MofangError) or not (full or nearly_full(path)):
            raise
        raise StorageError.at(
            path,
            found=_("no space left on the disk"),
            allowed=_("room for the whole output"),
            fix=_("Free some space, then start again. Earlier results are as they were."),
        ) from error


def nearly_full(path: Path) -> bool:
    """Return whether the disk of ``path`` has no room for even a small file."""
    return shutil.disk_usage(path.parent).free < NEARLY_FULL
