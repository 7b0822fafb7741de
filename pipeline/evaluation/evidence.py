"""All figures that a gate of validate may name, and the tables that stand behind them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.evaluation import fairness, intervals, plain, significance, slices
from pipeline.evaluation.answers import answers_of
from pipeline.i18n import Message, _

if TYPE_CHECKING:
    from pipeline.evaluation.answers import Answers
    from pipeline.predictor import BasePredictor
    from pipeline.tasks.base import Figures

BASELINE, RELEASED = "baseline", "released"
TIMED, WARM_UP = 100, 5  # texts
MEGABYTE = 1_000_000
# Names in models/train/report.json → figures.
TRAINING = {"seconds": "train_seconds", "co2_kg": "train_kg_co2", "money": "train_cost"}
TUNED: dict[str, Message] = {
    "epoch": _("the best epoch"),
    "baseline": _("the strongest baseline"),
    "temperature": _("temperature"),
    "thresholds": _("thresholds"),
}


@dataclass(frozen=True)
class Evidence:
    """Figures by name, figures of groups (column → group → figures), and the report's tables."""

    figures: Figures
    slices: dict[str, dict[str, dict[str, Any]]]
    report: dict[str, Any]


def gather(answers: Answers, knobs: Any, others: Mapping[str, Sequence[str]]) -> Evidence:
    """Return what the answers say about the model, alone, beside others, and group by group.

    :param knobs: section ``validate``.
    :param others: ``BASELINE`` and perhaps ``RELEASED`` → what that model answers.
    """
    task, truth = answers.task, answers.truth
    drawn = {
        "samples": knobs.bootstrap_samples,
        "confidence": knobs.confidence,
        "seed": knobs.seed,
    }
    sure = intervals.bootstrap(task, truth, {intervals.MODEL: answers.predicted, **others}, **drawn)
    figures = answers.figures()
    figures |= with_ends(sure[intervals.MODEL])
    compared: dict[str, Any] = {}
    for name, found in others.items():
        theirs = task.figures(truth, found)
        pair = sure[f"{intervals.MODEL} - {name}"]
        compared[name] = beside(answers, name, found, figures[task.main] - theirs[task.main], pair)
        figures |= {f"{name}_{key}": value for key, value in theirs.items()}
        figures |= told(name, compared[name])
    groups = slices.columns_of(task, answers.records, knobs.groups)
    limits = {"min_records": knobs.groups.min_records, **drawn}
    by_group = slices.table(task, truth, answers.predicted, groups, **limits)
    fair = fairness.table(
        task, truth, answers.predicted, groups, declared=list(knobs.groups.columns), **limits
    )
    return Evidence(
        plain.known(figures | fairness.figures(fair)),
        by_group,
        {
            "confidence": knobs.confidence,
            "intervals": sure,
            "significance": compared,
            "slices": by_group,
            "fairness": fair,
        },
    )


def beside(
    answers: Answers,
    name: str,
    found: Sequence[str],
    difference: float,
    pair: Mapping[str, intervals.Interval],
) -> dict[str, Any]:
    """Return how far the model is from another one on the same records, and how sure that is.

    :param difference: in the main figure, model - other.
    :param pair: figure → interval of that difference (paired bootstrap).
    """
    task, truth = answers.task, answers.truth
    mine = significance.right(task, truth, answers.predicted)
    theirs = significance.right(task, truth, found)
    test = None if mine is None or theirs is None else significance.mcnemar(mine, theirs)
    low, high = pair[task.main]
    kind = {"kind": answers.strongest} if name == BASELINE else {}
    return kind | {
        "figure": task.main,
        "difference": difference,
        "low": low,
        "high": high,
        "mcnemar": test,
        "tuned_on_this_part": True,  # the model was, by its best epoch at least
    }


def told(name: str, line: Mapping[str, Any]) -> Figures:
    """Return the figures of one comparison, as gates name them."""
    figure = f"difference_to_{name}"
    figures = {figure: line["difference"], f"{figure}_low": line["low"]}
    figures[f"{figure}_high"] = line["high"]
    if line["mcnemar"] is not None:
        figures[f"mcnemar_{name}_p"] = line["mcnemar"]["p"]
    return figures


def with_ends(sure: Mapping[str, intervals.Interval]) -> Figures:
    """Return both ends of each interval, as ``macro_f1_low`` and ``macro_f1_high``."""
    return {
        f"{name}_{end}": value
        for name, ends in sure.items()
        for end, value in zip(("low", "high"), ends, strict=True)
    }


def others(
    answers: Answers, release: BasePredictor | None, batch_size: int
) -> dict[str, Sequence[str]]:
    """Return what the strongest baseline and the released model, if any, answer."""
    found: dict[str, Sequence[str]] = {BASELINE: answers.baselines[answers.strongest]}
    if release is not None:
        texts = [one["text"] for one in answers.records]
        found[RELEASED] = answers_of(release, answers.task, texts, batch_size)
    return found


def costs(model: BasePredictor, folder: Path, texts: Sequence[str], trained: Path) -> Figures:
    """Return size on disk, latency of one text, and what training took where that is known.

    :param folder: of the model; ``size_mb`` counts 1,000,000 bytes.
    :param texts: the first of them are timed, from text to scores.
    :param trained: report of train.
    """
    figures: Figures = {"size_mb": artifacts.folder_bytes(folder) / MEGABYTE}
    figures |= latency(model, texts)
    actual = artifacts.read_json(trained).get("actual", {}) if trained.is_file() else {}
    known = {figure: actual.get(name) for name, figure in TRAINING.items()}
    figures |= {name: value for name, value in known.items() if value is not None}
    return plain.known(figures)


def latency(model: BasePredictor, texts: Sequence[str]) -> Figures:
    """Return median and 95th percentile of the milliseconds that one text takes by itself."""
    import numpy as np

    some = list(texts[:TIMED])
    for text in some[:WARM_UP]:
        model.scores([text], 1)
    spent = []
    for text in some:
        begun = time.perf_counter()
        model.scores([text], 1)
        spent.append(1_000 * (time.perf_counter() - begun))
    if not spent:
        return {}
    return {f"latency_ms_p{at}": float(np.percentile(spent, at)) for at in (50, 95)}


def tuned(answers: Answers, knobs: Any) -> list[str]:
    """Return what was chosen by the records that judge here, so that figures flatter it.

    :param knobs: section ``validate.calibration``.
    """
    chosen = ["epoch", "baseline"]
    if "temperature" in answers.fitted.report and knobs.temperature:
        chosen.append("temperature")
    if answers.fitted.thresholds:
        chosen.append("thresholds")
    return [TUNED[one].render("en") for one in chosen]
