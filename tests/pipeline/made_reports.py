"""Whole reports of made answers, with labels and texts that want to run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluation import judging
from pipeline.evaluation.answers import Answers
from pipeline.evaluation.calibration import Fitted
from pipeline.steps.targets import JOINT, MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed, record

HOSTILE = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    '=HYPERLINK("https://evil.example","x")',
    "</style><svg onload=alert(1)>",
    "$\\frac{$ {0} {{ 7*7 }} {% raw %}",
    "中文标签",
]
PLAIN = ["apple", "pear", "plum"]
EVERY = (SINGLE, MULTI, REGRESSION)
RECORDS = 120


class Echo:
    """A model whose answer hangs on the length of a text alone, for what only asks it again."""

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels

    def answers(self, texts: list[str], batch_size: int) -> list[str]:
        return [self.labels[len(text) % len(self.labels)] for text in texts]


def made_records(task: str, labels: list[str], texts: list[str], seed: int) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    found = []
    for at in range(RECORDS):
        label = labels[at % len(labels)]
        if task == REGRESSION:
            label = str(float(at % 10))
        elif task == MULTI:
            label = JOINT.join(one for one in labels if chance.random() < 0.4)
        text = f"{texts[at % len(texts)]} {at}"
        others = {"source": labels[0], "language": "en", "difficulty": "easy"}
        found.append(record(at, text, label) | others)
    return found


def made_answers(task: str, labels: list[str], texts: list[str], *, wrong_every: int) -> Answers:
    """Return answers of which every so-many-th is wrong, with a baseline that is worse."""
    kind = tasks.of(task, [] if task == REGRESSION else labels)
    records = made_records(task, labels, texts, 1)
    truth = [one["label"] for one in records]
    chance = np.random.default_rng(2)
    coded = kind.coded(truth)
    if task == REGRESSION:
        logits = (coded + chance.normal(0, 0.5, len(coded)))[:, None]
    else:
        has = coded if task == MULTI else coded[:, None] == np.arange(len(labels))
        turned = np.arange(len(truth)) % wrong_every == 0
        moved = np.where(turned[:, None], np.roll(has, 1, axis=1), has)
        logits = np.where(moved, 3.0, -1.0) + chance.normal(0, 0.3, has.shape)
    scores = kind.activate(logits)
    return Answers(
        task=kind, records=records, truth=truth, logits=logits.astype(np.float32), scores=scores,
        predicted=kind.decide(scores), baselines={"majority": [truth[1]] * len(truth)},
        strongest="majority", fitted=Fitted(1.0, {}, {}),
    )  # fmt: skip


def params_of(**changes: Any) -> Any:
    quick: dict[str, Any] = {
        "test.bootstrap_samples": 100, "test.errors.explained": 0, "test.robustness.records": 30,
        "test.learning_curve.shares": [0.2, 0.4, 0.6, 0.8, 1.0], "test.learning_curve.draws": 1,
        "validate.groups.min_records": 25, "validate.groups.columns": ["row"],
        "validate.groups.most": 5,
    }  # fmt: skip
    return changed(quick | {key.replace("__", "."): one for key, one in changes.items()})


BACKGROUND: dict[str, Any] = {
    "definitions": {},
    "sources": [{"name": "trec", "kind": "package", "licence": "mit", "permitted_use": "research",
                 "personal_data": True, "records": 120}],
    "parts": {"train": 100, "validation": 10, "test": 10},
    "model": {"method": "pretrained", "origin": {"kind": "package", "name": "minilm==0.1.0",
                                                  "exact": "b9a0018dff09"}},
    "training": {"seconds": 90.0, "kwh": 0.0021, "co2_kg": 0.00105, "device": "cpu",
},
    "gates": [
        {"figure": "macro_f1", "sign": ">=", "bound": 0.5, "found": 0.8, "passed": True,
         "group": None, "skipped": None, "too_small": None},
        {"figure": "recall", "sign": ">=", "bound": 0.9, "found": None, "passed": True,
         "group": "label=<b>", "skipped": "no_release", "too_small": None},
    ],
    "tuned_on_validation": ["the best epoch", "temperature"],
}  # fmt: skip


def judged(task: str, labels: list[str], texts: list[str]) -> tuple[dict[str, Any], Answers]:
    """Return a whole report, made by the code that makes it, and the answers behind it."""
    answers = made_answers(task, labels, texts, wrong_every=5)
    params = params_of()
    others = judging.Material(
        made_records(task, labels, texts, 3), made_records(task, labels, texts, 4), {},
        start=Path("nowhere"), cache=Path("nowhere"),
    )  # fmt: skip
    asked = answers.truth if task == REGRESSION else labels
    told = judging.judge(answers, Echo(asked), others, params.test, params.validate_.groups)  # type: ignore[arg-type]
    for error in told["worst_errors"][:3]:
        output = error["output"]
        error |= {"words": [[labels[0], 0.9], ["my", -0.3], ["包", 0.1], ["裹", 0.0], [output, 2]]}
    return told | BACKGROUND | {"definitions": {labels[0]: labels[1]}}, answers


@cache
def hostile(task: str) -> tuple[dict[str, Any], Answers]:
    return judged(task, HOSTILE, HOSTILE)
