"""Checkpoints that survive a ``kill -9``: a manifest comes last, and what has none does not count.

Trainer's own checkpoints are not atomic. Here each one gets a manifest after it is complete; older
ones are removed only then, so that at every moment one whole checkpoint is on the disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipeline.artifacts import (
    MANIFEST,
    read_json,
    sha256,
    sync,
    verify_manifest,
    write_bytes,
    write_json,
    write_manifest,
)
from pipeline.errors import BusyError, ModelError
from pipeline.i18n import _

FINISHED = "finished.json"
RUNS_KEPT = 3


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of a work folder, so that two trainers never share it.

    The kernel lets go of it when the process ends, however it ends.

    :raises BusyError: saying who holds it and since when.
    """
    import os

    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "holder.json"
    try:
        lock = FileLock(folder / "lock", timeout=0)
        with lock:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(holder, {"pid": os.getpid(), "since": since})
            yield
    except Timeout:
        who = read_json(holder) if holder.exists() else {"pid": "?", "since": "?"}
        raise BusyError.at(
            folder,
            found=_("a trainer at work: process {pid}, since {since}", **who),
            allowed=_("one trainer at a time"),
            fix=_("Wait until it ends, or stop that process."),
        ) from None


def fingerprint(values: Mapping[str, object], inputs: list[Path]) -> str:
    """Return a name for a training run: the same knobs, data, code and libraries give the same.

    A run that was killed goes on only from checkpoints under its own name.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    code = sorted(Path(__file__).parent.glob("*.py"))
    for path in [*inputs, *code]:
        digest.update(sha256(path).encode())
    for package in ("torch", "transformers", "tokenizers"):
        digest.update(version(package).encode())
    return digest.hexdigest()[:16]


def newest_valid(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, and remove those that a kill left half written."""
    best = None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of):
        try:
            verify_manifest(checkpoint)
            best = checkpoint
        except ModelError:
            shutil.rmtree(checkpoint)
    return best


def resumable(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, or None where training has to start again.

    A checkpoint whose best one was damaged cannot lead to the same model: all of them go.
    """
    newest = newest_valid(folder)
    best = newest and read_json(newest / "trainer_state.json")["best_model_checkpoint"]
    if best and not (folder / Path(best).name).is_dir():
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        newest = None
    if newest is None:
        (folder / FINISHED).unlink(missing_ok=True)
    return newest


def seal(folder: Path, step: int, best: str | None) -> None:
    """Declare a checkpoint complete, then remove those that neither resume nor the result needs."""
    checkpoint = folder / f"checkpoint-{step}"
    write_manifest(checkpoint)
    sync(folder)
    for other in folder.glob("checkpoint-*"):
        if other != checkpoint and (best is None or other.name != Path(best).name):
            # Without its manifest a folder that is only half removed does not count any more.
            (other / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(other)


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint folder is named after."""
    return int(checkpoint.name.rpartition("-")[2])


def finish(folder: Path, values: Mapping[str, object]) -> None:
    """Note that training is over; what is left is to export it."""
    write_bytes(folder / FINISHED, json.dumps(values).encode())


def forget_old(work: Path, current: Path) -> None:
    """Remove the work folders of the oldest runs."""
    runs = [path for path in work.iterdir() if path.is_dir() and path != current]
    for old in sorted(runs, key=lambda path: path.stat().st_mtime)[: 1 - RUNS_KEPT]:
        shutil.rmtree(old)
