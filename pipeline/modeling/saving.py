"""A trained model as a folder that anybody can load, checked after it was written.

::

    model.safetensors, config.json   for transformers, with the names of the labels
    tokenizer*.json                  its tokenizer
    mofang.json                      the card: task, labels, normalization
    origin.json                      data, knobs, code and machine it comes from; why this one
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import read_json, require_space, sha256, write_json
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling.fitting import Outcome
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import CARD, Card

ORIGIN = "origin.json"
CHECKED = 64  # records whose answers the saved model must repeat
TOLERANCE = 1e-5  # of a logit: the same weights on the same machine
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "peft", "safetensors", "numpy",
            "scikit-learn", "pyarrow")  # fmt: skip
GIT_SECONDS = 20


def save(model: Any, start: Path, folder: Path, texts: Sequence[str]) -> None:
    """Write the model with its tokenizer and card, load it again and compare their answers.

    :param texts: some, to compare the answers to.
    :raises ModelError: if the saved model answers differently.
    :raises StorageError: if there is no room for it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    require_space(
        folder.parent, sum(one.numel() * one.element_size() for one in model.parameters())
    )
    model.save_pretrained(folder)
    for path in start.iterdir():
        if path.suffix == ".json" and path.name != "config.json":
            shutil.copy2(path, folder / path.name)
    saved = TorchPredictor.load(folder)
    here = TorchPredictor(Card.read(folder), saved.tokenizer, model)
    some = list(texts[:CHECKED])
    expected = here.logits(some)
    # Numbers may be large, and their rounding with them.
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    difference = float(np.abs(saved.logits(some) - expected).max(initial=0.0)) / scale
    if not difference <= TOLERANCE:
        raise ModelError.at(
            folder,
            found=_("answers that differ by {difference} from the model in memory",
                    difference=f"{difference:.2g}"),
            allowed=_("at most {limit}", limit=TOLERANCE),
            fix=_("Please report this: a saved model must be the trained one."),
        )  # fmt: skip


def write_origin(
    folder: Path, knobs: Any, outcome: Outcome, inputs: Sequence[Path], times: Mapping[str, Any]
) -> None:
    """Write where a saved model comes from beside it.

    :param knobs: ``params.train``.
    :param inputs: files that it was made from.
    :param times: when it began and ended, and what it took.
    """
    card = read_json(folder / CARD)
    write_json(
        folder / ORIGIN,
        {
            "task": card["task"],
            "labels": card["labels"],
            "normalize": card["normalize"],
            "mask": card["mask"],
            "shipped": reason(knobs, outcome),
            "data": {path.as_posix(): sha256(path) for path in inputs},
            "train": knobs.model_dump(mode="json"),
            "environment": environment(),
            "git": git(),
            "times": dict(times),
        },
    )


def reason(knobs: Any, outcome: Outcome) -> dict[str, Any]:
    """Return which epoch ships and why."""
    told = {name: value for name, value in outcome.best.items() if name != "epoch"}
    return {
        "epoch": outcome.best.get("epoch"),
        "step": outcome.best_step,
        "of_steps": outcome.steps,
        "metric": knobs.metric,
        "value": outcome.best_value,
        "part": "validation",
        "figures": told,
    }


def environment() -> dict[str, Any]:
    """Return the machine and the versions that a model was trained with."""
    import torch

    gpus = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
    }


def installed(package: str) -> str | None:
    """Return the version of a package, None where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Return the processor's name, as Linux tells it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def git() -> dict[str, Any] | None:
    """Return the commit that is checked out and whether files differ from it; None without git."""
    commit = asked("rev-parse", "HEAD")
    changes = asked("status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    changed = sorted(line[3:] for line in changes.splitlines())
    return {"commit": commit.strip(), "clean": not changed, "changed": changed[:50]}


def asked(*words: str) -> str | None:
    """Return what git answers, or None."""
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
