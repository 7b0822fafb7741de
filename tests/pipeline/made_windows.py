"""Made-up texts of several subjects and languages, a tiny predictor, and windows of its answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.predictor import BasePredictor, Card
from pipeline.schema.watching import Drift
from pipeline.steps import language
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.traffic.rows import certainty
from pipeline.watching import reference, textdrift
from pipeline.watching.windows import Window, collect
from tests.helpers import changed

KNOBS: dict[str, Any] = {
    "kinds": ["text", "label", "length", "language", "confidence"],
    "every_hours": 6,
    "min_texts": 200,
    "max_texts": 10_000,
    "sample": 300,
    "false_alarms": 0.05,
    "draws": 200,
    "confirmed": 2,
    "report": True,
    "seed": 42,
}
SUBJECTS = {  # phrases without a space or a mark in Chinese, as people write them in a hurry
    "hotel": "房间很干净 早餐不错 服务员态度好 离地铁近 床很舒服 隔音太差 前台办理慢 下次还来住 "
    "空调声音大 窗外风景好 性价比高 卫生间有点小",
    "finance": "央行下调利率 股市大幅上涨 基金净值回落 债券收益率走低 企业贷款增加 外汇储备稳定 "
    "上市公司年报 投资者信心不足 通胀压力上升 监管部门发布新规 银行理财产品 季度利润增长",
    "travel": "room breakfast staff clean bed shower lobby view noisy friendly checkin pool "
    "towels parking quiet location",
    "banking": "interest mortgage account transfer statement overdraft balance deposit branch "
    "refund charge payment loan fee currency credit",
}
PLAIN = ["the", "and", "was", "very", "we", "it", "for", "not", "with", "really"]
SIZE = 200
TRAINING, UNSEEN = 1_000, 400


def knobs(**changes: Any) -> Drift:
    """Return section ``monitor.drift`` with other values in some places."""
    return Drift.model_validate(KNOBS | changes)


def text_of(subject: str, chance: random.Random) -> str:
    """Return a text about a subject."""
    words = SUBJECTS[subject].split()
    if subject in ("hotel", "finance"):
        return "".join(chance.choices(words, k=chance.randint(4, 8)))
    return " ".join(chance.choices(words + PLAIN, k=chance.randint(4, 12)))


def texts_of(subject: str, count: int, seed: int) -> list[str]:
    """Return texts about a subject; ``mixed`` takes Chinese and English in turn."""
    chance = random.Random(f"{subject} {seed}")
    subjects = ["hotel", "travel"] if subject == "mixed" else [subject]
    return [text_of(subjects[at % len(subjects)], chance) for at in range(count)]


def records_of(texts: Sequence[str], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return training records."""
    return [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]


class Counting(BasePredictor):
    """A linear model that reads characters; its weights are drawn, not learnt."""

    def __init__(self, task: str = SINGLE, labels: Sequence[str] = ("bad", "fair", "good")) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        letters = sorted(set("".join([*SUBJECTS.values(), *PLAIN])))
        vocabulary = {letter: at + 1 for at, letter in enumerate(letters)} | {"?": 0}
        made = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
        made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        whole = changed().clean.normalize.model_dump()
        named = [] if task == REGRESSION else list(labels)
        super().__init__(Card(task, named, 64, whole, {"kinds": [], "region": "US"}), made)
        chance = np.random.default_rng(7)
        self.weights = chance.normal(size=(len(vocabulary), len(self.task.outputs)))

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs]."""
        return (2 * self.weights[tokens].mean(axis=1)).astype(np.float32)


def answers_of(texts: Sequence[str], model: BasePredictor) -> list[Any]:
    """Return rows of the database for texts, as the recorder writes them."""
    scores = model.scores(texts)
    labels = model.task.decide(scores, model.card.thresholds)
    return [
        SimpleNamespace(
            features=textdrift.features(text),
            characters=len(text),
            language=language.identify(text)[0],
            label=label,
            confidence=confidence,
            truth=None,
        )
        for text, label, (confidence, _margin, _scores) in zip(
            texts, labels, certainty(scores, len(texts)), strict=True
        )
    ]


def window_of(texts: Sequence[str], model: BasePredictor) -> Window:
    """Return a window of answers to texts."""
    return collect(answers_of(texts, model))


TASKS = (SINGLE, MULTI, REGRESSION)


def made_reference(
    folder: Path, subject: str, *, model: Counting | None = None, **changes: Any
) -> reference.Reference:
    """Return the reference of a model that learnt from texts about a subject."""
    model = model or Counting()
    texts = texts_of(subject, TRAINING + UNSEEN, 1)
    records = records_of(texts, model.answers(texts))
    return reference.build(
        folder, records[:TRAINING], model, knobs(**changes), unseen=records[TRAINING:]
    )
