"""What is fitted on the validation part after training: a temperature, and thresholds.

Both travel with the model in its card, so that what serves answers as what was tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.i18n import _
from pipeline.steps.targets import MULTI, REGRESSION
from pipeline.tasks import probabilities
from pipeline.tasks.base import LOSS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.predictor import Card
    from pipeline.tasks.base import Task

FILE = "calibration.json"  # in models/validate
PART = "validation"
LOWEST, HIGHEST = 0.05, 20.0  # temperatures that are tried
NOTHING = 1e-9  # nats: two losses this near are one


@dataclass(frozen=True)
class Fitted:
    """A temperature (1 changes nothing), thresholds by label, and what they brought."""

    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def on(self, card: Card) -> Card:
        """Return the card with temperature and thresholds."""
        return replace(card, temperature=self.temperature, thresholds=dict(self.thresholds))

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        artifacts.write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Fitted:
        """Read what ``write`` wrote.

        :raises DataError: if it is missing, damaged or something else.
        """
        content = artifacts.read_json(path)
        try:
            return cls(**content)
        except TypeError as error:
            raise DataError.at(
                path,
                found=str(error),
                allowed=_("the calibration that validate writes"),
                fix=_("Run dvc repro, which writes it again."),
            ) from error


def fit(task: Task, logits: NDArray[Any], truth: Sequence[str], knobs: Any) -> Fitted:
    """Return temperature and thresholds that suit these records best.

    The temperature is the one of the lowest log loss (Guo et al. 2017, section 4.2); it changes no
    answer. Thresholds are those of the highest F1 of each label; of two labels, of the highest
    mean of both.

    :param logits: [n, outputs].
    :param knobs: section ``validate.calibration``.
    """
    if task.name == REGRESSION or not len(truth):
        return Fitted(report={"fitted_on": PART, "records": len(truth), "undetermined": False})
    found = best_temperature(task, logits, truth) if knobs.temperature else 1.0
    temperature = 1.0 if found is None else found
    before, after = task.activate(logits), task.activate(logits / temperature)
    thresholds = fit_thresholds(task, after, truth) if knobs.thresholds == "fitted" else {}
    was, now = task.score_figures(truth, before), task.score_figures(truth, after)
    answered = task.figures(truth, task.decide(after))[task.main]
    answers = task.figures(truth, task.decide(after, thresholds))[task.main]
    report = {
        "fitted_on": PART,
        "records": len(truth),
        "undetermined": found is None,
        "temperature": temperature,
        "thresholds": thresholds,
        **{name: {"before": was[name], "after": now[name]} for name in ("ece", LOSS)},
        task.main: {"before": answered, "after": answers},
    }
    return Fitted(temperature, thresholds, report)


def best_temperature(task: Task, logits: NDArray[Any], truth: Sequence[str]) -> float | None:
    """Return the temperature of the lowest log loss, or None where none is lowest.

    Where all answers are right, or no better than chance, the loss falls as far as one looks: the
    surer, or the vaguer, the better. Such records do not say how sure to be.
    """
    from scipy.optimize import minimize_scalar

    wide = logits.astype("float64")

    def loss(power: float) -> float:
        return task.log_loss(truth, task.activate(wide / math.exp(power)))

    low, high = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    least = float(found.fun)
    if min(loss(low), loss(high)) <= least + NOTHING:
        return None
    return math.exp(float(found.x)) if least < loss(0.0) else 1.0


def fit_thresholds(
    task: Task, scores: NDArray[np.float64], truth: Sequence[str]
) -> dict[str, float]:
    """Return the probability from which each label is given; nothing for three labels or more.

    :param scores: calibrated, [n, outputs].
    """
    if task.name == MULTI:
        has = task.coded(truth)
        return {
            label: best_threshold(has[:, at], scores[:, at], both=False)
            for at, label in enumerate(task.labels)
        }
    if len(task.labels) == 2:
        second = task.coded(truth) == 1
        return {task.labels[1]: best_threshold(second, scores[:, 1], both=True)}
    return {}


def best_threshold(has: NDArray[np.bool_], scores: NDArray[np.float64], *, both: bool) -> float:
    """Return the probability from which a label is given so that F1 is highest.

    It lies half-way between the scores on its two sides, so that a last digit decides nothing. Of
    equally good ones the nearest to one half wins; a label that all records have, or none, keeps
    one half.

    :param has: which records have the label, [n].
    :param both: whether the F1 of not having it counts as much.
    """
    import numpy as np

    if has.all() or not has.any():
        return probabilities.LIKELY
    steps, last = np.unique(-scores, return_counts=True)
    given = np.concatenate([[0], np.cumsum(last)])  # how many get the label at each cut
    hits = np.concatenate([[0], np.cumsum(has[np.argsort(-scores, kind="stable")])])[given]
    edges = np.concatenate([[1.0], -steps, [0.0]])
    cuts = (edges[:-1] + edges[1:]) / 2
    whole, number = int(has.sum()), len(has)
    f1 = 2 * hits / (given + whole)
    if both:
        left = number - given - (whole - hits)  # rightly without it
        f1 = (f1 + 2 * left / (2 * number - given - whole)) / 2
    best = np.flatnonzero(np.isclose(f1, f1.max(), rtol=0, atol=1e-12))
    return float(cuts[best[np.abs(cuts[best] - probabilities.LIKELY).argmin()]])


def curve(task: Task, truth: Sequence[str], scores: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return ``confidence``, ``accuracy`` and ``records`` of each bin that is not empty.

    The bins are those of ``ece`` (Guo et al. 2017); a number promises nothing and has none.

    :param scores: [n, outputs].
    """
    return probabilities.curve(*task.confidences(truth, scores))
