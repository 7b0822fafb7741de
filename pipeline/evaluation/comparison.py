"""Variants of one model side by side: answers, size, speed, and which of them ships."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.progress import Progress
from pipeline.steps.targets import REGRESSION

if TYPE_CHECKING:
    from pipeline.predictor import BasePredictor
    from pipeline.tasks.base import Figures, Task

ORIGINAL = "torch_fp32"
BATCHES = (1, 32)
NEAR = 0.1  # numbers agree when they differ by at most so many deviations of the original's answers


@dataclass(frozen=True)
class Line:
    """One variant in the table. Latencies are medians, from text to scores, in milliseconds."""

    bytes: int
    latency_ms: dict[str, float]  # batch size → milliseconds
    validation: Figures
    test: Figures
    agreement: float  # share of validation records with the original's answer
    points_lost: float  # of the task's main figure on the validation part, in points


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
                    model.scores(texts[start : start + size], size)
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
        name: {part: model.answers(texts[part]) for part in parts} for name, model in models.items()
    }
    task = models[ORIGINAL].task
    figures = {
        name: {part: task.figures(truth[part], found[part]) for part in parts}
        for name, found in answers.items()
    }
    best = figures[ORIGINAL]["validation"][task.main]
    sign = 1 if task.greater_is_better(task.main) else -1
    return {
        name: Line(
            bytes=sizes[name],
            latency_ms=speed[name],
            validation=figures[name]["validation"],
            test=figures[name]["test"],
            agreement=agreement(task, answers[ORIGINAL]["validation"], answers[name]["validation"]),
            points_lost=100 * sign * (best - figures[name]["validation"][task.main]),
        )
        for name in models
    }


def agreement(task: Task, first: Sequence[str], other: Sequence[str]) -> float:
    """Return the share of records that get the answer they got before.

    Two numbers agree when they differ by at most ``NEAR`` standard deviations of the first ones.
    """
    if task.name == REGRESSION:
        was, now = task.coded(first), task.coded(other)
        return float((abs(now - was) <= NEAR * was.std()).mean())
    return sum(one == two for one, two in zip(first, other, strict=True)) / len(first)


def meaning(task: Task) -> dict[str, str]:
    """Return what the two limits of the table are about, for the report."""
    same = "the same labels as the original's"
    near = f"a number within {NEAR} standard deviations of the original's answers"
    return {
        "points_lost": f"100 × {task.main}, on the validation part",
        "agreement": near if task.name == REGRESSION else same,
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
