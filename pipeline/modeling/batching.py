"""How many texts are taken at once; less when memory runs out, with more batches a step.

A step sees the same texts however it is divided. What was found out is kept in the work folder of a
run, so that it goes on with it after a kill.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

from pipeline.artifacts import read_json, write_json
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import checkpoints

BATCHES = "batches.json"


def halvings(work: Path) -> list[dict[str, int]]:
    """Return how the batch of this run was halved, oldest first."""
    path = work / BATCHES
    return list(read_json(path)) if path.exists() else []


def batch(work: Path, knobs: Any) -> tuple[int, int]:
    """Return how many texts one process takes at once, and how many such batches make a step.

    :raises ModelError: if the batch cannot be shared out among the processes.
    """
    from pipeline.modeling import training

    remembered = halvings(work)
    if remembered:
        return remembered[-1]["batch_size"], remembered[-1]["accumulation"]
    size, rest = divmod(knobs.batch_size, training.world())
    if rest or not size:
        raise ModelError.at(
            "params.yaml, train.batch_size",
            found=str(knobs.batch_size),
            allowed=_("a multiple of {processes} processes", processes=training.world()),
            fix=_("Change train.batch_size or train.launcher."),
        )
    return size, knobs.accumulation


def halve(work: Path, knobs: Any) -> None:
    """Take half as many texts at once from now on, and add up twice as many batches.

    A step sees the same texts as before. The choice is kept: a run that is resumed starts with it.

    :raises ModelError: if a single text is too much.
    """
    size, accumulation = batch(work, knobs)
    if size == 1:
        raise too_small(1)
    whole = size * accumulation
    smaller = max(one for one in range(1, size // 2 + 1) if whole % one == 0)
    newest = checkpoints.newest_valid(work)
    entry = {
        "step": checkpoints.step_of(newest) if newest else 0,
        "batch_size": smaller,
        "accumulation": whole // smaller,
    }
    write_json(work / BATCHES, [*halvings(work), entry])
    told = _(
        "train: memory ran out; from step {step} on, {batch_size} texts at once and {accumulation} "
        "batches a step",
        **entry,
    )
    print(told, file=sys.stderr, flush=True)


def too_small(size: int) -> ModelError:
    """Return the error for a machine whose memory is too small."""
    return ModelError.at(
        "train",
        found=_("too little memory for {size} texts at once", size=size),
        allowed=_("a model that fits this machine"),
        fix=_("Set train.method to lora or frozen, switch on train.gradient_checkpointing, lower "
              "init.max_tokens or train.batch_size, or take a smaller model."),
    )  # fmt: skip


def free_memory() -> None:
    """Give back what a failed attempt held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
