"""What a training run starts from: a model, its tokenizer, and records encoded for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts import read_records
from pipeline.predictor import Card, read_tokenizer
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    from pipeline.modeling.training import Example
    from pipeline.tasks.base import Task

Scaling = tuple[float, float]  # mean and deviation of the numbers to learn
AS_THEY_ARE: Scaling = (0.0, 1.0)


@dataclass
class Material:
    """What a run starts from: a model, its tokenizer and encoded records."""

    task: Task
    model: Any
    padder: Any  # tokenizer of transformers
    parts: dict[str, list[Example]]
    scaling: Scaling


def gather(start: Path, files: Mapping[str, Path], knobs: Any) -> Material:
    """Return the model of ``start`` and the records of ``files``, encoded for it.

    The validation part is sorted by length: its figures do not depend on the order.
    """
    import torch
    from transformers import AutoTokenizer

    from pipeline.modeling import training

    torch.manual_seed(knobs.seed)
    card = Card.read(start)
    task = tasks.of(card.task, card.labels)
    model = load(start, knobs)
    fast = read_tokenizer(start)
    fast.no_padding()
    fast.enable_truncation(card.max_tokens)
    tables = {name: read_records(path) for name, path in files.items()}
    targets = {name: task.targets(one["label"].to_pylist()) for name, one in tables.items()}
    scaling = scaling_of(model, task, targets["train"])
    parts = {}
    for name, table in tables.items():
        wanted = targets[name]
        if scaling != AS_THEY_ARE:
            wanted = (wanted - scaling[0]) / scaling[1]
        parts[name] = training.encode(fast, table["text"].to_pylist(), wanted.tolist())
    parts["validation"].sort(key=lambda one: len(one["input_ids"]))
    return Material(task, model, AutoTokenizer.from_pretrained(start), parts, scaling)


def load(start: Path, knobs: Any) -> Any:
    """Return the model that training starts from, with the dropout that ``params.yaml`` names."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from pipeline.modeling.architecture import with_own_names

    config = AutoConfig.from_pretrained(start)
    if knobs.dropout is not None:
        for name in dropouts(config):
            setattr(config, name, knobs.dropout)
    return with_own_names(
        AutoModelForSequenceClassification.from_pretrained(
            start, config=config, use_safetensors=True, trust_remote_code=False
        )
    )


def dropouts(config: Any) -> list[str]:
    """Return the names under which a model's configuration keeps shares of dropout."""
    return [
        name
        for name, value in config.to_dict().items()
        if ("dropout" in name or name.endswith("_pdrop"))
        and (isinstance(value, float) or (value is None and name == "classifier_dropout"))
    ]


def scaling_of(model: Any, task: Task, targets: Any) -> Scaling:
    """Return mean and deviation by which numbers are standardized; (0, 1) where there are none.

    An output layer without a bias cannot add a mean: there the numbers are only divided, by their
    root mean square.
    """
    from pipeline.modeling import anatomy

    mean, deviation = task.scaling(targets)
    if (mean, deviation) == AS_THEY_ARE or anatomy.output_layer(model).bias is not None:
        return mean, deviation
    return 0.0, math.hypot(mean, deviation)


def judge(task: Task, scaling: Scaling) -> Any:
    """Return what turns logits and targets (``EvalPrediction``) into the task's figures."""
    mean, deviation = scaling

    def answers(values: Any) -> list[str]:
        return task.decide(values * deviation + mean)

    def score(prediction: Any) -> dict[str, float]:
        given = np.asarray(prediction.label_ids)
        if given.dtype.kind == "i":
            truth = [task.labels[at] for at in given]
        else:
            truth = answers(given.astype(np.float64).reshape(len(given), -1))
        logits = prediction.predictions * deviation + mean
        return task.figures(truth, task.decide(task.activate(logits)))

    return score


def unstandardize(model: Any, scaling: Scaling) -> None:
    """Fold mean and deviation of the numbers into the output layer."""
    import torch

    from pipeline.modeling import anatomy

    mean, deviation = scaling
    if scaling == AS_THEY_ARE:
        return
    last = anatomy.output_layer(model)
    with torch.no_grad():
        last.weight.mul_(deviation)
        if last.bias is not None:
            last.bias.mul_(deviation).add_(mean)
