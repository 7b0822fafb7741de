"""What a student learns from: texts, altered copies of them, and what the teacher answers.

The teacher answers once: its logits are kept on the disk, under a name made of its weights and the
tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.modeling import embeddings, material, students
from pipeline.modeling.material import Scaling
from pipeline.predictor import SOME_TOKEN, Card, read_tokenizer
from pipeline.progress import Progress
from pipeline.steps import augmenting, splitting
from pipeline.steps.targets import REGRESSION
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.modeling.variants.base import Context
    from pipeline.tasks.base import Task

    Logits = NDArray[np.float32]

READ_AT_ONCE = 64  # texts
COPIED_BY = ("insert", "delete", "swap")  # ways of altering a text that need no table
WORDS = 0.2  # share of a text's words that a copy alters


@dataclass(frozen=True)
class Lesson:
    """What a student learns from, and by what it is judged. Numbers are standardized."""

    task: Task
    tokens: list[list[int]]  # of the training part, then of altered copies
    teacher: Logits  # [texts and copies, outputs]
    targets: NDArray[Any]  # of the texts alone
    judged: list[list[int]]  # tokens of the validation part
    truth: NDArray[Any]  # its labels, as ``Task.coded`` gives them
    teacher_figure: float  # the task's main figure, of the teacher on the validation part
    scaling: Scaling
    some: list[str]  # texts of the validation part


def prepare(context: Context, copies: int) -> Lesson:
    """Return what there is to learn, answered by the trained model.

    :param copies: altered ones, of each text of the training part.
    """
    import numpy as np

    teacher = context.source
    card = Card.read(teacher)
    task = tasks.of(card.task, card.labels)
    train, validation = (
        artifacts.read_records(path).select(["id", "text", "label"]).to_pydict()
        for path in (context.train, context.validation)
    )
    targets = task.targets(train["label"])
    scaling = material.AS_THEY_ARE
    if task.name == REGRESSION:
        scaling = material.scaling_of(students.read(teacher), task, targets)
    mean, deviation = scaling
    tokens = encoded(teacher, train["text"])
    answers = [logits_of(teacher, tokens, context.cache)]
    if copies:
        more = encoded(teacher, altered(train, copies, context))
        answers.append(logits_of(teacher, more, context.cache))
        tokens = tokens + more
    judged = encoded(teacher, validation["text"])
    truth = task.coded(validation["label"])
    return Lesson(
        task=task,
        tokens=tokens,
        teacher=(np.concatenate(answers) - mean) / deviation,
        targets=(targets - mean) / deviation if task.name == REGRESSION else targets,
        judged=judged,
        truth=truth,
        teacher_figure=figure(task, truth, logits_of(teacher, judged, context.cache)),
        scaling=scaling,
        some=validation["text"][:READ_AT_ONCE],
    )


def encoded(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts that are normalized already, as training and serving have them."""
    tokenizer = read_tokenizer(folder)
    tokenizer.no_padding()
    tokenizer.enable_truncation(Card.read(folder).max_tokens)
    return [one.ids or [SOME_TOKEN] for one in tokenizer.encode_batch(list(texts))]


def altered(train: dict[str, list[Any]], copies: int, context: Context) -> list[str]:
    """Return altered copies of texts; none has a text of another part, punctuation left out.

    :param train: columns of the training part.
    """
    parts = {context.train.with_name(artifacts.part(name).name) for name in artifacts.PARTS[1:]}
    held = {
        splitting.bare_digest(text)
        for path in {*parts, context.validation}
        if path.exists()
        for text in artifacts.read_records(path)["text"].to_pylist()
    }
    recipe = augmenting.Recipe(COPIED_BY, WORDS, {}, context.seed, held)
    texts = train["text"]
    # Labels do not matter here: the teacher answers.
    found = augmenting.copies(
        train["id"], texts, [""] * len(texts), share=float(copies), recipe=recipe
    )
    return [one.text for one in found.made]


def logits_of(folder: Path, tokens: Sequence[Sequence[int]], cache: Path) -> Logits:
    """Return what a saved model answers to tokens, [n, outputs], from the cache or computed now."""
    import numpy as np

    from pipeline.modeling.predictor import TorchPredictor

    place = cache / f"{fingerprint(folder, tokens)}.safetensors"
    found = embeddings.read(place)
    if found is None:
        predictor = TorchPredictor.load(folder)
        logits = np.zeros((len(tokens), len(predictor.task.outputs)), dtype=np.float32)
        with Progress("teacher", len(tokens)) as progress:
            for at in embeddings.of_equal_length(tokens, READ_AT_ONCE):
                logits[at] = predictor.forward(np.array([tokens[one] for one in at]))
                progress.advance(len(at))
        found = {"logits": logits}
        embeddings.keep(place, found)
    return found["logits"]


def fingerprint(folder: Path, tokens: Sequence[Sequence[int]]) -> str:
    """Return a name for all that a model's logits depend on."""
    parts = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    libraries = [version(package) for package in ("torch", "transformers")]
    told = json.dumps([[artifacts.sha256(one) for one in parts], libraries, list(tokens)])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def figure(task: Task, truth: NDArray[Any], logits: NDArray[Any]) -> float:
    """Return the task's main figure.

    :param truth: as ``Task.coded`` gives it.
    :param logits: [n, outputs]; numbers in their unit.
    """
    given = task.decide(task.activate(logits))
    return float(task.quick[task.main](truth, task.coded(given)))
