"""From a model folder and records to a trained model folder, checked after it was written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import read_records
from pipeline.errors import ModelError
from pipeline.evaluation import metrics
from pipeline.i18n import _
from pipeline.modeling import training
from pipeline.modeling.architecture import with_own_names
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import Card

CHECKED = 64  # records whose answers the saved model must repeat
TOLERANCE = 1e-5  # of a logit: the same weights on the same machine


def fit(
    start: Path, files: Mapping[str, Path], knobs: Any, work: Path
) -> tuple[Any, training.Outcome]:
    """Train the model of ``start``; return it with what training came to.

    :param files: records of ``train`` and ``validation``.
    :param work: for checkpoints.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(knobs.seed)
    card = Card.read(start)
    model = with_own_names(
        AutoModelForSequenceClassification.from_pretrained(start, use_safetensors=True)
    )
    fast = Tokenizer.from_file(str(start / "tokenizer.json"))
    fast.no_padding()
    fast.enable_truncation(card.max_tokens)
    parts = {}
    for name, path in files.items():
        table = read_records(path)
        labels = [card.labels.index(label) for label in table["label"].to_pylist()]
        parts[name] = training.encode(fast, table["text"].to_pylist(), labels)

    def score(prediction: Any) -> dict[str, float]:
        chosen = prediction.predictions.argmax(axis=1)
        truth = [card.labels[at] for at in prediction.label_ids]
        return metrics.figures(truth, [card.labels[at] for at in chosen], card.labels)

    padder = AutoTokenizer.from_pretrained(start)
    outcome = training.train(model, padder, parts, knobs, work, score)
    return model, outcome


def save(model: Any, start: Path, folder: Path, texts: Sequence[str]) -> None:
    """Write the model with its tokenizer and card, load it again and compare their answers.

    :raises ModelError: if the saved model answers differently.
    """
    model.save_pretrained(folder)
    for path in start.iterdir():
        if path.suffix == ".json" and path.name != "config.json":
            shutil.copy2(path, folder / path.name)
    saved = TorchPredictor.load(folder)
    here = TorchPredictor(Card.read(folder), saved.tokenizer, model)
    some = texts[:CHECKED]
    difference = float(np.abs(saved.logits(some) - here.logits(some)).max())
    if difference > TOLERANCE:
        raise ModelError.at(
            folder,
            found=_("answers that differ by {difference} from the model in memory",
                    difference=f"{difference:.2g}"),
            allowed=_("at most {limit}", limit=TOLERANCE),
            fix=_("Please report this: a saved model must be the trained one."),
        )  # fmt: skip


def curves(
    history: Sequence[Mapping[str, float]],
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the rows of the two tables that ``dvc plots`` draws: by step and by epoch."""
    steps = [
        [entry["step"], entry["loss"], entry["learning_rate"], entry["grad_norm"]]
        for entry in history
        if "loss" in entry
    ]
    epochs = [
        [entry["epoch"], entry["eval_loss"], entry["eval_accuracy"], entry["eval_macro_f1"]]
        for entry in history
        if "eval_loss" in entry
    ]
    return steps, epochs
