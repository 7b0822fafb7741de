"""Writes what the stage test found: report, page, card, plots and tables, all into one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.evaluation import card, metrics, plots, report
from pipeline.steps.spreadsheet import guard
from pipeline.steps.targets import REGRESSION

if TYPE_CHECKING:
    from pipeline.evaluation.answers import Answers

PAGE, CARD, PLOTS = "report.html", "README.md", "plots"
ERRORS = 10_000  # wrong answers that errors.csv holds at most

Report = Mapping[str, Any]
Rows = Iterable[Sequence[object]]


def write(folder: Path, told: Report, answers: Answers, languages: Sequence[str]) -> None:
    """Write everything but the figures.

    :param told: the report, as ``judging`` and ``background`` made it.
    :param languages: of the training records.
    """
    artifacts.write_json(folder / artifacts.REPORT, told)
    drawn = plots.every(told)
    (folder / PLOTS).mkdir()
    for name, images in drawn.items():
        artifacts.write_bytes(folder / PLOTS / f"{name}.png", plots.png(name, told))
        artifacts.write_bytes(folder / PLOTS / f"{name}.svg", images["en"])
    artifacts.write_bytes(folder / PAGE, report.render(told, drawn).encode())
    artifacts.write_bytes(folder / CARD, card.render(told, list(drawn), languages).encode())
    write_tables(folder, told, answers)


def write_tables(folder: Path, told: Report, answers: Answers) -> None:
    """Write the tables; no cell of them runs in a spreadsheet."""
    for name, (header, rows) in tables(told, answers).items():
        guarded = [[cell(one) for one in row] for row in rows]
        artifacts.write_csv(folder / name, header, guarded)


def cell(value: object) -> object:
    """Return a value as a cell that no spreadsheet runs; a number stays one."""
    if not isinstance(value, str):
        return value
    try:
        float(value)
    except ValueError:
        return guard(value)
    return value


def tables(told: Report, answers: Answers) -> dict[str, tuple[Sequence[str], Rows]]:
    """Return what ``dvc plots`` draws and what a spreadsheet opens: file → header and rows."""
    task, truth, predicted = answers.task, answers.truth, answers.predicted
    keys = ("mae", "mean_error") if task.name == REGRESSION else ("precision", "recall", "f1")
    groups = [
        (column, group, line["records"], line["figure"], line[line["figure"]], line["low"],
         line["high"])
        for column, found in told["slices"].items() for group, line in found.items()
    ]  # fmt: skip
    steady = [
        (kind, line["same_answer"], line["low"], line["high"])
        for kind, line in told["robustness"].items() if "skipped" not in line
    ]  # fmt: skip
    curve = (told["learning_curve"] or {}).get("points", [])
    return {
        "confusion.csv": (("actual", "predicted"), metrics.pairs(task, truth, predicted)),
        "errors.csv": wrong(answers),
        "per_label.csv": (
            ("label", *keys, "records"),
            [
                (name, *(line[key] for key in (*keys, "records")))
                for name, line in told["per_label"].items()
            ],
        ),
        "slices.csv": (
            ("column", "group", "records", "figure", "value", "low", "high"), groups
        ),
        "robustness.csv": (("kind", "same_answer", "low", "high"), steady),
        "reliability.csv": picked(told["calibration"]["curve"],
                                  ("confidence", "accuracy", "records")),
        "learning_curve.csv": picked(curve, ("records", "mean", "low", "high")),
    }  # fmt: skip


def picked(lines: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> tuple[Sequence[str], Rows]:
    """Return some values of each line, as a table."""
    return keys, [[line[key] for key in keys] for line in lines]


def wrong(answers: Answers) -> tuple[Sequence[str], Rows]:
    """Return every wrong answer, the surest first; of numbers those that are furthest off."""
    found = metrics.worst_errors(
        answers.task, answers.records, answers.scores, answers.predicted, count=ERRORS
    )
    measure = "error" if answers.task.name == REGRESSION else "confidence"
    keys = ("id", "text", "label", "predicted", measure)
    rows = [
        [*(one[key] for key in keys), answers.records[one["at"]].get("source")] for one in found
    ]
    return (*keys, "source"), rows
