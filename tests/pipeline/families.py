"""Models of each family as init builds them, and what variants are built with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import artifacts
from pipeline.modeling import architecture
from pipeline.modeling.variants.base import Context
from pipeline.predictor import CARD, BasePredictor, Card
from pipeline.steps.targets import SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import ROOT, changed
from tests.pipeline import made_models

EVERY = list(architecture.FAMILIES)
ODD = ["", "money", "word " * 100, "价格 是 多少"]  # no word, one, too many, none that is known


def untrained(folder: Path, family: str, positions: str) -> Path:
    """Write a model of a family as init builds it, with weights that tell texts apart."""
    import torch

    knobs = changed({"init.scratch.family": family, "init.scratch.positions": positions}).init
    sizes = {"layers": 2, "hidden": 32, "heads": 2, "intermediate": 64}
    model, tokenizer = architecture.from_scratch(
        texts(60, 1), tasks.of(SINGLE, made_models.LABELS),
        knobs.scratch.model_copy(update=sizes), knobs.weights, max_tokens=24, seed=3,
    )  # fmt: skip
    torch.manual_seed(3)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    whole = changed().clean.normalize.model_dump()
    card = Card(SINGLE, made_models.LABELS, 24, whole, {"kinds": [], "region": "US"})
    (folder / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")
    return folder


def learnt(folder: Path, task: str = SINGLE, steps: int = 60) -> Path:
    """Write the tiny BERT that learnt a task."""
    made_models.save_model(folder, made_models.model(task, steps), task)
    return folder


def texts(count: int, seed: int) -> list[str]:
    """Return texts of the tiny task."""
    return [one["text"] for one in made_models.records(SINGLE, count, seed)]


def context(source: Path, work: Path, calibration: Sequence[str] = ()) -> Context:
    """Return what variants of a model are built with, below an empty folder."""
    work.mkdir(parents=True, exist_ok=True)
    return Context(
        source=source, texts=list(calibration) or texts(30, 5), train=artifacts.part("train"),
        validation=artifacts.part("validation"), knobs=changed().optimize, work=work,
        cache=work / "cache", seed=1,
    )  # fmt: skip


def distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the largest difference of two arrays of logits, as a share of the largest logit."""
    return float(np.abs(one - other).max() / (1 + np.abs(other).max()))


def variance(model: BasePredictor, some: Sequence[str]) -> float:
    """Return how far scores move between a text alone, in a batch and in another order."""
    alone = np.concatenate([model.scores([text]) for text in some])
    order = np.random.default_rng(2).permutation(len(some))
    shuffled = np.empty_like(alone)
    shuffled[order] = model.scores([some[at] for at in order], 32)
    together = model.scores(some, 32)
    return float(max(np.abs(together - alone).max(), np.abs(shuffled - alone).max()))


def served(folder: Path, text: str) -> list[str]:
    """Answer a text in a process of its own.

    :returns: the answer, what is too heavy for a service among the modules, and the engines.
    """
    code = (
        "import sys; from pipeline.predictor import Predictor;"
        f"print(Predictor.load({str(folder)!r}).answers([{text!r}]));"
        "print({'torch', 'transformers', 'onnx', 'optimum', 'nncf'} & set(sys.modules));"
        "print({'openvino', 'onnxruntime'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()


def damaged(folder: Path, below: Path) -> Iterator[tuple[str, Path]]:
    """Yield copies of a model folder with one file cut off or changed, each with its name."""
    for file in json.loads((folder / artifacts.MANIFEST).read_text()):
        for damage in ("cut", "changed"):
            copy = below / f"{file}-{damage}"
            shutil.copytree(folder, copy)
            content = bytearray((copy / file).read_bytes())
            if damage == "cut":
                del content[-1:]
            else:
                content[len(content) // 2] ^= 1
            (copy / file).write_bytes(content)
            yield file, copy
