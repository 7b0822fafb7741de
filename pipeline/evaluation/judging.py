"""The tables of the test report: how good the model is, for whom, why it errs, what would help."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.errors import ModelError
from pipeline.evaluation import (
    calibration,
    fairness,
    intervals,
    learning_curve,
    metrics,
    neighbours,
    plain,
    robustness,
    significance,
    slices,
    verdict,
)
from pipeline.i18n import LANGUAGES
from pipeline.modeling import attributions
from pipeline.modeling.baselines import FROZEN
from pipeline.progress import Progress
from pipeline.steps import synonyms

if TYPE_CHECKING:
    from pipeline.evaluation.answers import Answers
    from pipeline.predictor import BasePredictor

CONFUSED = 20  # pairs of labels
STEPS = 5  # that the bar of the stage counts


@dataclass(frozen=True)
class Material:
    """What judging looks at beside the answers."""

    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    synonyms: synonyms.Table
    folder: Path = artifacts.TRAIN / "model"
    start: Path = artifacts.INIT / "model"
    cache: Path = artifacts.WORK / "embeddings"

    @property
    def languages(self) -> list[str]:
        """The languages of the training records, as far as they are known."""
        return sorted({str(one["language"]) for one in self.train if one.get("language")})


def material(table: str | None) -> Material:
    """Return the other two parts, and the project's table of synonyms where there is one.

    :param table: ``split.augment.synonyms``.
    """
    parts = (artifacts.read_records(artifacts.part(one)) for one in ("train", "validation"))
    train, validation = (part.to_pylist() for part in parts)
    words: synonyms.Table = {}
    if table is not None:
        file = Path(table)
        inside = file.resolve().is_relative_to(artifacts.SYNONYMS.resolve())
        if inside and file.is_file():
            words = synonyms.parse(artifacts.read_text(file), table)
    return Material(train, validation, words)


def judge(
    answers: Answers, model: BasePredictor, others: Material, knobs: Any, groups: Any
) -> dict[str, Any]:
    """Return all tables of the report, as plain values.

    :param model: that gave the answers.
    :param knobs: section ``test``.
    :param groups: section ``validate.groups``.
    """
    task = answers.task
    with Progress("test", STEPS) as progress:
        told = overall(answers, knobs)
        progress.advance()
        told |= by_group(answers, knobs, groups)
        progress.advance()
        told["robustness"] = robustness.table(
            lambda texts: model.answers(texts, knobs.batch_size), task, answers.records,
            knobs.robustness, synonyms=others.synonyms, seed=knobs.seed,
            confidence=knobs.confidence,
        )  # fmt: skip
        progress.advance()
        told["learning_curve"] = learning_curve.curve(
            task, others.train, others.validation, knobs.learning_curve,
            start=others.start if FROZEN in answers.baselines else None,
            cache=others.cache, seed=knobs.seed,
        )  # fmt: skip
        progress.advance()
        told["worst_errors"] = errors(answers, others, knobs.errors)
        progress.advance()
    said = verdict.verdict(told)
    told["verdict"] = {language: [one.render(language) for one in said] for language in LANGUAGES}
    return told


def overall(answers: Answers, knobs: Any) -> dict[str, Any]:
    """Return how good the model is on all records, beside the baselines, and how sure that is."""
    task, truth, predicted = answers.task, answers.truth, answers.predicted
    sure = intervals.bootstrap(
        task, truth, {intervals.MODEL: predicted, **answers.baselines},
        samples=knobs.bootstrap_samples, confidence=knobs.confidence, seed=knobs.seed,
    )  # fmt: skip
    gain = sure[f"{intervals.MODEL} - {answers.strongest}"][task.main]
    table = metrics.confusion(task, truth, predicted)
    known = plain.known(answers.figures())
    return {
        "records": len(truth),
        "task": task.name,
        "main": task.main,
        "labels": list(task.labels),
        "figures": known,
        "baselines": {kind: plain.known(one) for kind, one in answers.baseline_figures().items()},
        "smaller_is_better": sorted(one for one in known if not task.greater_is_better(one)),
        "strongest": answers.strongest,
        "worth_it": intervals.worth_it(task, answers.strongest, gain),
        "confidence": knobs.confidence,
        "intervals": sure,
        "significance": beside(answers),
        "per_label": metrics.per_label(task, truth, predicted),
        "confusion": table,
        "confused": metrics.confused(table, CONFUSED),
        "calibration": {
            "curve": calibration.curve(task, truth, answers.scores),
            "temperature": answers.fitted.temperature,
            "thresholds": answers.fitted.thresholds,
        },
    }


def beside(answers: Answers) -> dict[str, Any]:
    """Return McNemar's test of the model and each baseline; numbers are never right, and have none.

    The test part chose neither of them.
    """
    task, truth = answers.task, answers.truth
    mine = significance.right(task, truth, answers.predicted)
    found = {}
    for kind, theirs in answers.baselines.items():
        right = significance.right(task, truth, theirs)
        if mine is not None and right is not None:
            found[kind] = significance.mcnemar(mine, right)
    return found


def by_group(answers: Answers, knobs: Any, groups: Any) -> dict[str, Any]:
    """Return the figures of groups of records, and gaps between those of declared columns."""
    task, truth, predicted = answers.task, answers.truth, answers.predicted
    names = slices.columns_of(task, answers.records, groups)
    limits = {"min_records": groups.min_records, "samples": knobs.bootstrap_samples,
              "confidence": knobs.confidence, "seed": knobs.seed}  # fmt: skip
    found = slices.table(task, truth, predicted, names, **limits)
    return {
        "min_records": groups.min_records,
        "declared": list(groups.columns),
        "slices": {
            column: {name: plain.known(line) for name, line in table.items()}
            for column, table in found.items()
        },
        "fairness": fairness.table(
            task, truth, predicted, names, declared=list(groups.columns), **limits
        ),
    }


def errors(answers: Answers, others: Material, knobs: Any) -> list[dict[str, Any]]:
    """Return the worst errors, with similar training records and the words that decided.

    :param knobs: section ``test.errors``.
    """
    worst = metrics.worst_errors(
        answers.task, answers.records, answers.scores, answers.predicted, count=knobs.most
    )
    near = neighbours.nearest(worst, others.train, knobs.neighbours)
    explained = worst[: knobs.explained]
    targets = [answers.task.outputs.index(one["output"]) for one in explained]
    words: Sequence[Any] = []
    with contextlib.suppress(ModelError):  # a kind of model that nobody took apart yet
        words = attributions.explain(
            others.folder, [one["text"] for one in explained], targets,
            steps=knobs.steps, fitted=answers.fitted,
        ) if explained else []  # fmt: skip
    made = []
    for at, error in enumerate(worst):
        line = {name: value for name, value in error.items() if name != "at"}
        line["neighbours"] = near[at]
        if at < len(words):
            line["words"] = [[word, float(weight)] for word, weight in words[at]]
            line |= {"difference": words[at].difference, "delta": words[at].delta}
        made.append(line)
    return made
