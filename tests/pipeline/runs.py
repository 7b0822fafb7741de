"""A folder in which training can run by itself: records, a tiny model to start from, params."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import artifacts
from pipeline.predictor import CARD, Card
from pipeline.steps.targets import REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed, changed_text
from tests.pipeline import made_models

SIZES = {"train": 240, "validation": 60}
QUICK: dict[str, Any] = {
    "train.epochs": 3, "train.batch_size": 16, "train.learning_rate": 5e-3,
    "train.freeze_embeddings": False, "train.threads": 1, "train.checkpoint_steps": 7,
    "train.head_rate": 2.0, "train.precision": "fp32", "train.patience": 0, "train.device": "cpu",
    "train.baselines.kinds": ["majority", "linear_svc"], "init.max_tokens": 32,
}  # fmt: skip
FILES = {name: artifacts.SPLIT / f"{name}.parquet" for name in SIZES}
START = artifacts.INIT / "model"


def changes_of(task: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a run of these tests changes in the project's params."""
    label = {
        "label.task": task, "label.labels": made_models.labels_of(task), "label.mapping": {},
        "label.definitions": {}, "label.rules": [],
    }  # fmt: skip
    own = {"train.metric": "r2"} if task == REGRESSION else {}
    return label | QUICK | own | dict(changes or {})


def knobs_of(task: str = SINGLE, **changes: Any) -> Any:
    """Return section ``train``; ``__`` stands for a dot (``loss__class_weights``)."""
    named = {f"train.{name.replace('__', '.')}": value for name, value in changes.items()}
    return changed(changes_of(task, named)).train


def lay_out(task: str = SINGLE, *, layers: int = 1, dropout: float = 0.1, **changes: Any) -> None:
    """Write what train reads, below the current folder."""
    artifacts.SPLIT.mkdir(parents=True, exist_ok=True)
    for at, (name, size) in enumerate(SIZES.items(), 1):
        table = pa.Table.from_pylist(
            made_models.records(task, size, at), schema=artifacts.record_schema()
        )
        artifacts.write_records(artifacts.part(name), table)
    with artifacts.output_folder(artifacts.INIT) as folder:
        save_start(folder / "model", task, layers=layers, dropout=dropout)
    named = {f"train.{name.replace('__', '.')}": value for name, value in changes.items()}
    Path("params.yaml").write_text(changed_text(changes_of(task, named)), encoding="utf-8")


def save_start(folder: Path, name: str, *, layers: int = 1, dropout: float = 0.1) -> None:
    """Write a tiny BERT with drawn weights, as init does."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    task = tasks.of(name, made_models.labels_of(name))
    torch.manual_seed(4)
    made = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(made_models.VOCABULARY), hidden_size=32, num_hidden_layers=layers,
            num_attention_heads=2, intermediate_size=64, max_position_embeddings=32,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, pad_token_id=0,
            num_labels=len(task.outputs), id2label=dict(enumerate(task.outputs)),
            label2id={label: at for at, label in enumerate(task.outputs)},
            problem_type=task.problem_type,
        )
    )  # fmt: skip
    folder.mkdir(parents=True)
    made.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=made_models.tokenizer(), model_max_length=32, pad_token="[PAD]",
        unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    ).save_pretrained(folder)  # fmt: skip
    whole = changed().clean.normalize.model_dump()
    card = Card(name, made_models.labels_of(name), 32, whole, {"kinds": [], "region": "US"})
    (folder / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")


def fingerprint_of(model: Any) -> str:
    """Return the sha256 of a model's weights in memory."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
