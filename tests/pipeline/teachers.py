"""A tiny teacher with records to teach from, laid out as makers of variants find them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import artifacts
from pipeline.modeling.variants.base import Context
from pipeline.steps.targets import SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed
from tests.pipeline import made_models

SIZES = {"train": 120, "validation": 60, "test": 30}


@cache
def teacher(name: str = SINGLE, layers: int = 3) -> Any:
    """Return a tiny BERT of some layers that learnt a task; tests must not change it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    task = tasks.of(name, made_models.labels_of(name))
    torch.manual_seed(1)
    made = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(made_models.VOCABULARY), hidden_size=32, num_hidden_layers=layers,
            num_attention_heads=4, intermediate_size=64, max_position_embeddings=32,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0,
            num_labels=len(task.outputs), id2label=dict(enumerate(task.outputs)),
            label2id={label: at for at, label in enumerate(task.outputs)},
            problem_type=task.problem_type,
        )
    )  # fmt: skip
    made_models.learn(made, task, made_models.records(name, SIZES["train"], 1), 60)
    return made.eval()


def lay_out(place: Path, name: str = SINGLE, *, model: Any = None, **changes: Any) -> Context:
    """Write a teacher and the parts of the split below ``place``.

    :param changes: of section ``optimize``; ``__`` stands for a dot.
    """
    source = place / "model"
    made_models.save_model(source, teacher(name) if model is None else model, name)
    files = {part: place / f"{part}.parquet" for part in SIZES}
    for at, (part, size) in enumerate(SIZES.items(), 1):
        table = pa.Table.from_pylist(
            made_models.records(name, size, at), schema=artifacts.record_schema()
        )
        artifacts.write_records(files[part], table)
    quick: dict[str, Any] = {
        "distillation.layers": 1, "distillation.width": 1.0, "distillation.epochs": 8,
        "distillation.learning_rate": 5e-3, "distillation.batch_size": 16,
        "distillation.temperature": 2.0, "distillation.teacher_share": 0.9,
        "distillation.augmented": 1, "pruning.epochs": 2, "pruning.learning_rate": 1e-3,
        "calibration_records": 60,
    }  # fmt: skip
    named = quick | {key.replace("__", "."): one for key, one in changes.items()}
    work = place / "work"
    work.mkdir()
    return Context(
        source=source,
        texts=[one["text"] for one in made_models.records(name, 30, 1)],
        train=files["train"],
        validation=files["validation"],
        knobs=changed({f"optimize.{key}": one for key, one in named.items()}).optimize,
        work=work,
        cache=place / "cache",
        seed=1,
    )


def with_knobs(context: Context, **changes: Any) -> Context:
    """Return the same place with other knobs."""
    from dataclasses import replace

    content = context.knobs.model_dump()
    for key, value in changes.items():
        section, _dot, last = key.partition("__")
        if last:
            content[section][last] = value
        else:
            content[section] = value
    return replace(context, knobs=type(context.knobs).model_validate(content))
