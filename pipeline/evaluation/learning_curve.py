"""Whether more data would be worth it, told by a cheap model.

The model learns from growing shares of the training part and is judged on the validation part each
time; the test part is not for planning. What a text is turned into (states of the frozen starting
model, or TF-IDF) is computed once for all shares: it looks at no label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import artifacts
from pipeline.modeling import baselines, linear
from pipeline.progress import Progress
from pipeline.steps.targets import MULTI

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

    Records = Sequence[Mapping[str, Any]]

FEWEST = 2  # records that anything can be learnt from
TRIED = 1_000  # records on which two cheap models are compared
POINTS = 4  # that a curve of three numbers is drawn through
WORTH = 0.01  # of the main figure: less is not worth twice the labelling
SLOPES = (0.25, 0.5, 1.0)  # exponents from which the search for the best one starts
STEEPEST = 2.0
# Reads Chinese and English alike, and typing errors too.
CHARACTERS = SimpleNamespace(analyzer="char_wb", longest=3, max_features=50_000)


def curve(
    task: Task,
    train: Records,
    judged: Records,
    knobs: Any,
    *,
    start: Path | None,
    cache: Path,
    seed: int,
) -> dict[str, Any]:
    """Return the main figure by number of training records, and what twice as many would bring.

    Each point holds the mean over the draws and the lowest and highest of them; the whole part can
    be drawn in one way only. ``fit`` are a, b and c of ``figure = a - b · records ** -c``, the
    inverse power law by which learning curves run (Figueroa et al. 2012); ``doubled`` is its value
    at twice the records. ``worth`` is ``yes`` where that gains ``WORTH`` or more, ``little`` where
    it gains less, ``unknown`` where there are too few points or they scatter by more than they
    rise.

    :param train: with ``text`` and ``label``; varied copies do not count.
    :param judged: the validation part.
    :param knobs: section ``test.learning_curve``.
    :param start: folder of the starting model, whose states are tried beside TF-IDF; None or a
        folder without weights: TF-IDF alone.
    :param cache: where states are kept.
    """
    points, model = [], None
    rows = [at for at, one in enumerate(train) if not one.get("augmented_from")]
    if rows and judged and knobs.shares:
        labels = np.array([str(one["label"]) for one in train], dtype=object)
        truth = [str(one["label"]) for one in judged]
        exams = {
            name: Exam(task, learnt, labels, asked, truth, seed)
            for name, learnt, asked in features(train, judged, start, cache)
        }
        model = better(exams, rows, seed)
        points = measured(exams[model], rows, knobs) if model else []
    fit = power_law([one["records"] for one in points], [one["mean"] for one in points])
    doubled = None if fit is None else value_at(fit, 2 * points[-1]["records"])
    return {
        "model": model,
        "figure": task.main,
        "points": points,
        "fit": fit,
        "doubled": doubled,
        "worth": worth(points, fit),
    }


def features(
    train: Records, judged: Records, start: Path | None, cache: Path
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each cheap model and its features of both parts.

    All training texts are read in their order, as the baselines do: their states are kept already.
    """
    texts, others = ([str(one["text"]) for one in part] for part in (train, judged))
    if start is not None and (start / baselines.WEIGHTS).is_file():
        encoder = baselines.Encoder(start, artifacts.sha256(start / baselines.WEIGHTS), cache)
        yield baselines.FROZEN, encoder.features(texts), encoder.features(others)
    words = linear.fit_words(texts, CHARACTERS)
    if words is not None:
        yield linear.LOGISTIC, words.features(texts), words.features(others)


def better(exams: Mapping[str, Exam], rows: Sequence[int], seed: int) -> str | None:
    """Return the model that answers better, the first of equals, None where there is none.

    States of a model that was never trained, or in another language, say less than TF-IDF.
    """
    if len(exams) < 2:
        return next(iter(exams), None)
    some = np.random.default_rng(seed).permutation(rows)[:TRIED].tolist()
    return max(exams, key=lambda name: exams[name].figure(some))


class Exam:
    """Learns from some rows and tells how well the judged records are answered."""

    def __init__(
        self,
        task: Task,
        learnt: Any,
        labels: NDArray[np.object_],
        asked: Any,
        truth: Sequence[str],
        seed: int,
    ) -> None:
        self.task, self.learnt, self.labels, self.asked = task, learnt, labels, asked
        self.truth, self.seed = task.coded(truth), seed

    def figure(self, rows: Sequence[int]) -> float:
        """Return the task's main figure after learning from ``rows``."""
        labels = list(self.labels[rows])
        model, _converged = linear.fit(
            linear.LOGISTIC, self.task, self.learnt[rows], labels, seed=self.seed
        )
        if model is None:  # all of them say the same
            answers = [baselines.most_common(self.task, labels)] * len(self.truth)
        else:
            values = model.values(self.asked)
            if self.task.name == MULTI:
                values = (values > 0).astype(np.float64)
            answers = self.task.decide(values)
        return float(self.task.quick[self.task.main](self.truth, self.task.coded(answers)))


def measured(exam: Exam, rows: Sequence[int], knobs: Any) -> list[dict[str, float]]:
    """Return a point for each share; of one draw, a smaller share is part of each larger one."""
    draws = [
        np.random.default_rng([exam.seed, draw]).permutation(rows).tolist()
        for draw in range(knobs.draws)
    ]
    points: dict[int, dict[str, float]] = {}
    with Progress("learning_curve", len(knobs.shares)) as progress:
        for share in knobs.shares:
            size = round(share * len(rows))
            progress.advance()
            if size < FEWEST or size in points:
                continue
            some = draws if size < len(rows) else draws[:1]
            values = [exam.figure(draw[:size]) for draw in some]
            points[size] = {
                "share": share,
                "records": size,
                "mean": float(np.mean(values)),
                "low": min(values),
                "high": max(values),
            }
    return list(points.values())


def power_law(records: Sequence[float], figures: Sequence[float]) -> dict[str, float] | None:
    """Return a, b and c of the least squares fit ``figure = a - b · records ** -c``.

    a is at most 1, b at least 0 and c between 0 and ``STEEPEST``. None for fewer than ``POINTS``.
    """
    if len(records) < POINTS:
        return None
    from scipy.optimize import least_squares

    most = max(records)
    x, y = np.asarray(records, dtype=float) / most, np.asarray(figures, dtype=float)

    def left(found: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, c = found
        rest: NDArray[np.float64] = a - b * x**-c - y
        return rest

    bounds = ([-np.inf, 0.0, 0.0], [1.0, np.inf, STEEPEST])
    first = [min(1.0, float(y.max())), max(0.0, float(np.ptp(y)))]
    tries = [least_squares(left, [*first, slope], bounds=bounds) for slope in SLOPES]
    a, b, c = (float(one) for one in min(tries, key=lambda one: float(one.cost)).x)
    return {"a": a, "b": b * most**c, "c": c}


def value_at(fit: Mapping[str, float], records: float) -> float:
    """Return the figure that a fit expects of so many records."""
    return float(fit["a"] - fit["b"] * records ** -fit["c"])


def worth(points: Sequence[Mapping[str, float]], fit: Mapping[str, float] | None) -> str:
    """Return whether twice the records are worth it: ``yes``, ``little`` or ``unknown``."""
    if fit is None:
        return "unknown"
    now = points[-1]["records"]
    gain = value_at(fit, 2 * now) - value_at(fit, now)
    off = [one["mean"] - value_at(fit, one["records"]) for one in points]
    if float(np.sqrt(np.mean(np.square(off)))) > max(gain, WORTH):
        return "unknown"
    return "yes" if gain >= WORTH else "little"
