"""What the reports of validate, test and optimize say, as rows that a table can show.

Nothing here draws or reads a file: a report comes in, rows with stable keys go out. Words are
lazy messages, put into the reader's language by whoever shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import Text
from pipeline.evaluation import fairness, gates, naming, sections
from pipeline.i18n import _
from pipeline.steps.targets import MULTI, REGRESSION
from pipeline.tasks.base import SMALLER_IS_BETTER

Report = Mapping[str, Any]
Row = dict[str, Any]

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
SIGNS = {">=": "≥", "<=": "≤", ">": ">", "<": "<"}
RATIO = "demographic_parity_ratio"
HEADLINES = 4  # figures that stand large on top of a page
SHORT: dict[str, Text] = {  # names for a small place
    "ece": _("calibration error"),
    "worst_class_recall": _("weakest recall"),
    "rmse": _("root of mean square"),
    "mae": _("mean error, absolute"),
    "subset_accuracy": _("exact match"),
}


def smaller_is_better(figure: str, report: Report | None = None) -> bool:
    """Return whether less of a figure is better, as the report says it where it does."""
    told = (report or {}).get("smaller_is_better")
    return figure in (SMALLER_IS_BETTER if told is None else told)


def gate_rows(judged: Sequence[Mapping[str, Any]], strongest: str | None = None) -> list[Row]:
    """Return one row for each gate: what it asks for, what was found, whether it holds.

    :param judged: ``gates`` of a report.
    :param strongest: name of the baseline that stands behind the gates without a group.
    """
    return [gate_row(gates.Verdict(**one), strongest) for one in judged]


def gate_row(one: gates.Verdict, strongest: str | None) -> Row:
    """Return one gate as a row; ``room`` is how far the figure lies on the good side."""
    room = None
    if one.found is not None:
        room = one.found - one.bound if one.sign.startswith(">") else one.bound - one.found
    beats = one.sign in ("<", ">") and strongest is not None
    asked: Text = f"{SIGNS.get(one.sign, one.sign)} {one.bound:.4g}"
    if beats:
        asked = _("{asked}, of: {baseline}", baseline=naming.baseline(str(strongest)), asked=asked)
    state = SKIPPED if one.skipped else PASSED if one.passed else FAILED
    fix: Text = ""
    if state == FAILED:
        fix = gates.explain(one, {}).fix
    elif one.skipped:
        fix = gates.SKIPPED.get(one.skipped, one.skipped)
    return {
        "state": state,
        "figure": gate_name(one),
        "asked": asked,
        "found": one.found,
        "room": room,
        "fix": fix,
        "too_small": one.too_small,
    }


def gate_name(one: gates.Verdict) -> Text:
    """Return what a gate speaks of: the figure's name, and the group where it has one."""
    called = OWN_FIGURES.get(one.figure) or naming.figure(one.figure)
    if one.group is None:
        return called
    column, _sign, group = one.group.partition("=")
    return _("{figure} where {column} is {group}", figure=called, column=naming.column(column),
             group=group)  # fmt: skip


OWN_FIGURES: dict[str, Text] = {
    "points_lost": _("points lost to the original"),
    "agreement": _("answers as the original's"),
    "size_mb": _("size on disk, MB"),
    "memory_mb": _("memory, MB"),
    "peak_memory_mb": _("peak memory, MB"),
    "cold_start_s": _("start, seconds"),
    "latency_ms_p50": _("one text, ms (median)"),
    "latency_ms_p95": _("one text, ms (95th percentile)"),
    "texts_per_second": _("texts a second"),
    "wh_per_1000_texts": _("Wh for 1,000 texts"),
    "train_seconds": _("training, seconds"),
    "train_kg_co2": _("training, kg CO₂"),
    "train_cost": _("training, money"),
}


def figure_rows(
    figures: Mapping[str, Any],
    cheap: Mapping[str, Any],
    intervals: Mapping[str, Sequence[float]],
    report: Report,
) -> list[Row]:
    """Return the figures of the task, the main one first, beside those of the best baseline.

    :param figures: of the model; what is no figure of a task is left out.
    :param cheap: figures of the strongest baseline.
    :param intervals: figure → low, high.
    """
    main = report.get("main")
    known = [name for name in figures if name in naming.FIGURES]
    order = sorted(known, key=lambda name: (name != main, name not in intervals))
    return [figure_row(name, figures[name], cheap.get(name), intervals, report) for name in order]


def figure_row(
    name: str,
    value: float,
    cheap: float | None,
    intervals: Mapping[str, Sequence[float]],
    report: Report,
) -> Row:
    """Return one figure; ``gain`` is positive where the model is better than the baseline."""
    low, high = intervals.get(name, (None, None))
    sign = -1 if smaller_is_better(name, report) else 1
    return {
        "name": name,
        "figure": naming.figure(name),
        "model": value,
        "low": low,
        "high": high,
        "baseline": cheap,
        "gain": None if cheap is None else sign * (value - cheap),
        "better": _("less") if sign < 0 else _("more"),
        "meaning": naming.EXPLAINED.get(name, ""),
    }


def headlines(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the figures that stand large on top: the main one and those with an interval."""
    sure = [row for row in rows if row["low"] is not None]
    others = [row for row in rows if row["name"] in ("worst_class_recall", "ece", "rmse")]
    return (sure + [row for row in others if row not in sure])[:HEADLINES]


def validation_figures(figures: Report, report: Report) -> list[Row]:
    """Return the rows of ``models/validate/metrics.json``."""
    cheap = {
        name.removeprefix("baseline_"): value
        for name, value in figures.items()
        if name.startswith("baseline_")
    }
    sure = report.get("intervals", {}).get("model", {})
    return figure_rows(figures, cheap, sure, report)


def tested_figures(report: Report) -> list[Row]:
    """Return the rows of ``models/test/report.json``."""
    cheap = report["baselines"].get(report["strongest"], {})
    return figure_rows(report["figures"], cheap, report["intervals"]["model"], report)


def baseline_rows(
    figures: Mapping[str, Mapping[str, float]], main: str, model: float | None
) -> list[Row]:
    """Return model and baselines by the main figure, the best first.

    :param figures: baseline → figures.
    """
    rows: list[Row] = [
        {"name": name, "kind": naming.baseline(name), "value": one.get(main), "model": False}
        for name, one in figures.items()
    ]
    if model is not None:
        rows.append({"name": "model", "kind": _("the trained model"), "value": model,
                     "model": True})  # fmt: skip
    sign = 1 if smaller_is_better(main) else -1
    known = [row for row in rows if row["value"] is not None]
    return sorted(known, key=lambda row: sign * row["value"])


def label_rows(report: Report) -> list[Row]:
    """Return figures of each label, or of each band of numbers, with the interval that is known."""
    task, sure = report["task"], report.get("slices", {}).get("label", {})
    rows = []
    for name, line in report["per_label"].items():
        one = sure.get(name, {})
        rows.append(
            {
                "name": name,
                "label": naming.label(name, task),
                **{key: value for key, value in line.items() if key != "records"},
                "low": one.get("low"),
                "high": one.get("high"),
                "of": one.get("figure"),
                "records": int(line["records"]),
                "small": bool(one.get("small", line["records"] < report.get("min_records", 0))),
            }
        )
    return rows


def slice_rows(report: Report, column: str, task: str) -> list[Row]:
    """Return the figure of each group of a column, with its interval, the weakest first."""
    rows = [
        {
            "name": group,
            "group": naming.group(group, column, task),
            "figure": line["figure"],
            "value": line.get(line["figure"]),
            "low": line.get("low"),
            "high": line.get("high"),
            "records": line["records"],
            "small": line["small"],
        }
        for group, line in report.get("slices", {}).get(column, {}).items()
    ]
    sign = -1 if rows and smaller_is_better(str(rows[0]["figure"])) else 1
    return sorted(rows, key=lambda row: (row["small"], sign * (row["value"] or 0.0)))


def fairness_rows(entry: Report) -> list[Row]:
    """Return the claims of one declared column: each gap, its interval, and its two ends."""
    return [
        {
            "gap": sections.GAPS.get(name, name),
            "value": one["value"],
            "low": one["low"],
            "high": one["high"],
            "lowest": one["lowest"],
            "highest": one["highest"],
            "label": one.get("label") or "",
            "chance": one["low"] <= (1.0 if name == RATIO else 0.0) <= one["high"],
        }
        for name, one in (entry.get("claim") or {}).items()
    ]


def fairness_said(column: str, entry: Report) -> Text:
    """Return in a sentence what can be said of one declared column."""
    return fairness.explained(column, dict(entry))


def robustness_rows(report: Report) -> list[Row]:
    """Return for each disturbance how many answers stay, with the interval."""
    return [
        {
            "name": name,
            "kind": naming.disturbance(name),
            "same": line["same_answer"],
            "low": line["low"],
            "high": line["high"],
            "records": line["records"],
            "examples": line.get("examples", []),
        }
        for name, line in report.get("robustness", {}).items()
        if "skipped" not in line
    ]


def calibration_points(report: Report) -> list[Row]:
    """Return the points of the reliability curve; none for numbers."""
    return list((report.get("calibration") or {}).get("curve") or [])


def is_numeric(report: Report) -> bool:
    """Return whether the task is about numbers."""
    return report.get("task") == REGRESSION


def has_several(report: Report) -> bool:
    """Return whether a record may have several labels."""
    return report.get("task") == MULTI
