"""Tiny honest tasks of each kind, a tiny real model that learnt one, and the folders of a run."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline import artifacts
from pipeline.params import Params
from pipeline.predictor import CARD, Card
from pipeline.steps.targets import JOINT, MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed, record

SIGNS = {"account": "password", "delivery": "parcel", "refund": "money"}
LABELS = sorted(SIGNS)
FILLERS = ["please", "today", "hello", "urgent", "my", "the", "is", "late", "wrong", "help"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = [*SPECIAL, *FILLERS, *SIGNS.values(), "good", "bad"]
PLAIN = SimpleNamespace(label_smoothing=0.0, focal_gamma=0.0, regression="squared")
KINDS = ("majority", "linear_svc")
SIZES = {"train": 240, "validation": 80, "test": 80}


def labels_of(name: str) -> list[str]:
    """Return the labels of a task."""
    return [] if name == REGRESSION else LABELS


def example(name: str, chance: random.Random) -> tuple[str, str]:
    """Return a text and its label: what stands in the text decides it, and nothing else."""
    words = chance.choices(FILLERS, k=chance.randint(3, 8))
    if name == REGRESSION:
        good, bad = chance.randint(0, 3), chance.randint(0, 3)
        words += ["good"] * good + ["bad"] * bad
        label = str(float(20 + 3 * (good - bad)))
    else:
        count = chance.randint(0, 3) if name == MULTI else 1
        named = sorted(chance.sample(LABELS, count))
        words += [SIGNS[one] for one in named]
        label = JOINT.join(named)
    chance.shuffle(words)
    return " ".join(words), label


def records(name: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Return records of a task."""
    chance = random.Random(seed)
    return [record(at, *example(name, chance)) for at in range(count)]


def tokenizer() -> Any:
    """Return a tokenizer that knows each word of these tasks."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


@cache
def model(name: str, steps: int = 60) -> Any:
    """Return a tiny BERT that learnt a task in so many steps; 0 leaves it as it was drawn.

    Tests share it and must not change it.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    task = tasks.of(name, labels_of(name))
    torch.manual_seed(4)
    made = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=1,
            num_attention_heads=2, intermediate_size=64, max_position_embeddings=32,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0,
            num_labels=len(task.outputs), id2label=dict(enumerate(task.outputs)),
            label2id={label: at for at, label in enumerate(task.outputs)},
            problem_type=task.problem_type,
        )
    )  # fmt: skip
    learn(made, task, records(name, SIZES["train"], 1), steps)
    return made.eval()


def learn(made: Any, task: Any, some: list[dict[str, Any]], steps: int) -> None:
    """Train a model on all records at once; a number's scaling ends up in the last layer."""
    import torch

    reads = tokenizer()
    reads.enable_padding(pad_id=0, pad_token="[PAD]")
    encoded = reads.encode_batch([one["text"] for one in some])
    ids = torch.tensor([one.ids for one in encoded])
    mask = torch.tensor([one.attention_mask for one in encoded])
    truth = task.targets([one["label"] for one in some])
    mean, deviation = task.scaling(truth)
    targets = torch.from_numpy((truth - mean) / deviation if task.name == REGRESSION else truth)
    optimizer = torch.optim.AdamW(made.parameters(), lr=5e-3)
    for _step in range(steps):
        logits = made(input_ids=ids, attention_mask=mask).logits
        optimizer.zero_grad()
        task.loss(logits, targets, knobs=PLAIN).backward()
        optimizer.step()
    with torch.no_grad():
        made.classifier.weight *= deviation
        made.classifier.bias.mul_(deviation).add_(mean)


def params_of(name: str, **changes: Any) -> Params:
    """Return the project's params for a task."""
    label: dict[str, Any] = {"label.task": name, "label.labels": labels_of(name)}
    label |= {"label.mapping": {}, "label.definitions": {}, "label.rules": []}
    quick: dict[str, Any] = {
        "test.bootstrap_samples": 200,
        "optimize.measuring.rounds": 3,
        "validate.bootstrap_samples": 200,
        "optimize.calibration_records": 30,
    }
    quick |= {"train.baselines.kinds": list(KINDS)}
    quick |= {"validate.gates": [], "validate.better_than_baseline": False}
    return changed(label | quick | {key.replace("__", "."): one for key, one in changes.items()})


def save_model(folder: Path, made: Any, name: str) -> None:
    """Write a model folder as train does."""
    folder.mkdir(parents=True)
    made.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    whole = changed().clean.normalize.model_dump()
    card = Card(name, labels_of(name), 32, whole, {"kinds": [], "region": "US"})
    (folder / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")


def lay_out(name: str, steps: int = 60, kinds: Sequence[str] = KINDS) -> None:
    """Write what validate, test and optimize read, below the current folder.

    :param kinds: of baselines.
    """
    import pyarrow as pa

    from pipeline.modeling import baselines

    artifacts.SPLIT.mkdir(parents=True)
    parts = {part: records(name, size, at) for at, (part, size) in enumerate(SIZES.items(), 1)}
    for part, some in parts.items():
        table = pa.Table.from_pylist(some, schema=artifacts.record_schema())
        artifacts.write_records(artifacts.part(part), table)
    with artifacts.output_folder(artifacts.TRAIN) as folder:
        save_model(folder / "model", model(name, steps), name)
        baselines.fit_all(
            tasks.of(name, labels_of(name)), parts["train"], parts["validation"],
            params_of(name, train__baselines__kinds=list(kinds)).train.baselines, seed=1,
            start=folder / "model", cache=artifacts.WORK / "embeddings",
        ).save(folder / "baselines")  # fmt: skip


EVERY = (SINGLE, MULTI, REGRESSION)
