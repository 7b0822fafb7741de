"""One of several training processes, which torchrun starts: ``-m pipeline.modeling.worker JOB``.

It does what a single process does (``fitting.learn``); what it cannot do reaches the stage as
``error.json``. Only the first process of all speaks: what the others print goes into files.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.artifacts import MANIFEST, read_json
from pipeline.errors import ModelError, MofangError, packed
from pipeline.i18n import _
from pipeline.modeling import checkpoints, launcher
from pipeline.quiet import be_quiet, leave
from pipeline.records.shards import die_with_parent

SECONDS_TO_BE_ENDED = 5.0  # torchrun looks ten times a second whether a process failed


def main(path: Path) -> int:
    """Do the job that ``launcher.run`` wrote down, and return the exit status."""
    die_with_parent()
    if str(os.getppid()) != os.environ[launcher.LAUNCHED_BY]:
        return 1  # torchrun ended before this process was tied to it
    job = read_json(path)
    if os.environ["RANK"] != "0":
        be_silent(path.with_name(f"rank-{os.environ['RANK']}.log"))
    try:
        learn(job, path.parent)
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        if os.environ.get("MOFANG_TRACEBACK") or os.environ["RANK"] != "0":
            traceback.print_exc()
        if lost_another(error):
            time.sleep(SECONDS_TO_BE_ENDED)
        note(error, path.with_name(launcher.ERROR))
        return 1
    return 0


def learn(job: dict[str, Any], folder: Path) -> None:
    """Train with the other processes."""
    import torch

    from pipeline.modeling import fitting
    from pipeline.schema.train import Train

    knobs = Train.model_validate_json(json.dumps(job["knobs"]))
    connect(knobs, folder)
    files, work = {name: Path(path) for name, path in job["files"].items()}, Path(job["work"])
    if knobs.launcher.machines > 1:
        require_same_checkpoint(work)
    fitting.learn(Path(job["start"]), files, knobs, work)
    torch.distributed.barrier()  # nobody leaves while another still needs an answer
    torch.distributed.destroy_process_group()


def connect(knobs: Any, folder: Path) -> None:
    """Meet the other processes; accelerate finds them met."""
    import torch

    where = "env://"
    if knobs.launcher.machines == 1:
        where = (folder / launcher.STORE).resolve().as_uri()
    backend = "gloo"
    if launcher.uses_gpu(knobs.device)[0]:
        backend = "cuda:nccl,cpu:gloo"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group(
        backend,
        init_method=where,
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )


def require_same_checkpoint(work: Path) -> None:
    """Refuse to go on where machines, each with its own disk, would do so from different steps.

    :raises ModelError: naming the oldest and the newest of their checkpoints.
    """
    import torch

    sealed = [path.parent for path in work.glob(f"checkpoint-*/{MANIFEST}")]
    own = torch.tensor([max(map(checkpoints.step_of, sealed), default=0)])
    least, most = own.clone(), own.clone()
    torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    if least != most:
        raise ModelError.at(
            work,
            found=_(
                "checkpoints of different steps on the machines ({least} to {most})",
                least=int(least),
                most=int(most),
            ),
            allowed=_("the same one on each"),
            fix=_("Copy this folder from the machine with the newest to the others."),
        )


def be_silent(log: Path) -> None:
    """Send whatever this process prints, libraries included, into a file."""
    os.environ.pop("MOFANG_PROGRESS", None)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(handle, stream.fileno())
    os.close(handle)


def lost_another(error: Exception) -> bool:
    """Return whether this process only misses another one, which has the cause.

    Where that one was killed and could note nothing, torchrun ends this one before it notes its
    own; only one on another machine is never explained.
    """
    import torch

    kinds = (torch.distributed.DistBackendError, torch.distributed.DistNetworkError)
    return isinstance(error, kinds) or "by peer" in str(error)


def note(error: Exception, path: Path) -> None:
    """Write down what ended this process, unless another was faster.

    The first to fail has the cause; the others only miss it afterwards.
    """
    known = error if isinstance(error, MofangError) else unexpected(error)
    own = path.with_name(f".{path.name}-{os.getpid()}")
    own.write_text(json.dumps(packed(known)), encoding="utf-8")
    with suppress(FileExistsError):
        os.link(own, path)  # whole or not at all, and only once
    own.unlink()


def unexpected(error: Exception) -> ModelError:
    """Return the error for what nobody foresaw."""
    reason = f"{type(error).__name__}: {error}"[:300]
    return ModelError.at(
        "train",
        found=_("a failure of a training process ({reason})", reason=reason),
        allowed=_("processes that train to the end"),
        fix=_("MOFANG_TRACEBACK=1 shows where it happened. The last good checkpoint is kept."),
    )


if __name__ == "__main__":
    be_quiet()
    leave(main(Path(sys.argv[1])))
