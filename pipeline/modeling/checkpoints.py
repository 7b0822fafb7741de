"""Checkpoints that survive a ``kill -9``: a manifest comes last, and what has none does not count.

Trainer's own checkpoints are not atomic. Here each one gets a manifest after it is complete; older
ones are removed only then, so that at every moment one whole checkpoint is on the disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipeline.artifacts import (
    MANIFEST,
    OUT_OF_SPACE,
    nearly_full,
    read_json,
    sha256,
    sync,
    verify_manifest,
    write_bytes,
    write_json,
    write_manifest,
)
from pipeline.errors import BusyError, ModelError, MofangError, StorageError
from pipeline.i18n import _

FINISHED = "finished.json"
RUNS_KEPT = 3
WITHOUT_EFFECT = ("baselines", "costs")
CODE = ("modeling", "tasks", "evaluation")
CODE_FILES = ("predictor.py", "steps/targets.py")
LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "peft")
# What libraries say of a full disk, or of a file at its limit, when they hide the errno.
FULL = ("os error 28", "os error 27", "No space left", "File too large", "PytorchStreamWriter",
        "unexpected pos")  # fmt: skip


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


def fingerprint(values: Mapping[str, object], inputs: Sequence[Path]) -> str:
    """Return a name for a training run: the same knobs, data, code and libraries give the same.

    A run that was killed goes on only from checkpoints under its own name. Knobs of ``train`` that
    do not change what is learnt (``WITHOUT_EFFECT``) do not change the name.
    """
    told = {name: value for name, value in values.items() if name not in WITHOUT_EFFECT}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    package = Path(__file__).parents[1]
    code = [path for folder in CODE for path in sorted((package / folder).glob("*.py"))]
    for path in [*inputs, *code, *(package / name for name in CODE_FILES)]:
        digest.update(sha256(path).encode())
    for name in LIBRARIES:
        digest.update(version(name).encode())
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


@contextmanager
def full_disk_named(folder: Path, needed: int) -> Iterator[None]:
    """Turn whatever a library raises on a full disk into one error, and sweep what it left.

    :param needed: bytes of one checkpoint.
    :raises StorageError: naming them.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MofangError) or not is_full(error, folder):
            raise
        newest_valid(folder)
        raise StorageError.at(
            folder,
            found=_("no space left on the disk"),
            allowed=_("at least {needed} MB for a checkpoint", needed=-(-needed // 1_000_000)),
            fix=_("Free some space, then start again: training goes on from the last checkpoint."),
        ) from error


def is_full(error: Exception, folder: Path) -> bool:
    """Return whether an error is the fault of a full disk."""
    if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
        return True
    return any(one in str(error) for one in FULL) or nearly_full(folder)


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
