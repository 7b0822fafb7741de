"""Variants of one model side by side: answers, size, speed, and which of them ships."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.evaluation import metrics
from pipeline.progress import Progress

if TYPE_CHECKING:
    from pipeline.predictor import BasePredictor

ORIGINAL = "torch_fp32"
BATCHES = (1, 32)


@dataclass(frozen=True)
class Line:
    """One variant in the table. Latencies are medians, from text to scores, in milliseconds."""

    bytes: int
    latency_ms: dict[str, float]  # batch size → milliseconds
    validation: dict[str, float]
    test: dict[str, float]
    agreement: float  # share of validation records with the original's label
    points_lost: float  # macro-F1 on the validation part, in points


def latencies(
    models: Mapping[str, BasePredictor], texts: Sequence[str], rounds: int
) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of each model at each batch size, after a warm-up.

    The models take turns, text by text, so that a busy machine slows all of them alike.
    """
    from statistics import median

    found: dict[str, dict[str, list[float]]] = {
        name: {str(size): [] for size in BATCHES} for name in models
    }
    with Progress("optimize", rounds * len(BATCHES)) as progress:
        for size in BATCHES:
            for turn in range(rounds + 2):
                start = (turn * size) % max(1, len(texts) - size)
                for name, model in models.items():
                    begun = time.perf_counter()
                    model.probabilities(texts[start : start + size], size)
                    if turn >= 2:
                        found[name][str(size)].append(1_000 * (time.perf_counter() - begun))
                progress.advance(int(turn >= 2))
    return {
        name: {size: median(values) for size, values in sizes.items()}
        for name, sizes in found.items()
    }


def compare(
    models: Mapping[str, BasePredictor],
    sizes: Mapping[str, int],
    parts: Mapping[str, Sequence[dict[str, Any]]],
    *,
    rounds: int,
) -> dict[str, Line]:
    """Return a line for each model.

    :param models: the original first, under ``ORIGINAL``.
    :param sizes: of each model's files, in bytes.
    :param parts: records of ``validation`` and ``test``.
    """
    texts = {part: [one["text"] for one in records] for part, records in parts.items()}
    truth = {part: [one["label"] for one in records] for part, records in parts.items()}
    speed = latencies(models, texts["validation"], rounds)
    answers = {
        name: {part: [best[0].label for best in model.predict(texts[part])] for part in parts}
        for name, model in models.items()
    }
    labels = models[ORIGINAL].labels
    scores = {
        name: {part: metrics.figures(truth[part], found[part], labels) for part in parts}
        for name, found in answers.items()
    }
    first = answers[ORIGINAL]["validation"]
    return {
        name: Line(
            bytes=sizes[name],
            latency_ms=speed[name],
            validation=scores[name]["validation"],
            test=scores[name]["test"],
            agreement=sum(a == b for a, b in zip(answers[name]["validation"], first, strict=True))
            / len(first),
            points_lost=100
            * (scores[ORIGINAL]["validation"]["macro_f1"] - scores[name]["validation"]["macro_f1"]),
        )
        for name in models
    }


def choose(
    table: Mapping[str, Line], *, rule: str, max_points_lost: float, min_agreement: float
) -> str | None:
    """Return the smallest or fastest variant that keeps both limits, or None.

    Only the validation part decides; the test part is reported and never chooses.
    """
    fit = [
        name
        for name, line in table.items()
        if name != ORIGINAL
        and line.points_lost <= max_points_lost
        and line.agreement >= min_agreement
    ]
    cost = {
        "smallest": lambda name: table[name].bytes,
        "fastest": lambda name: table[name].latency_ms["1"],
    }
    return min(fit, key=cost[rule], default=None)


def as_json(table: Mapping[str, Line]) -> dict[str, dict[str, Any]]:
    """Return the table as plain values."""
    return {name: asdict(line) for name, line in table.items()}
