"""Test: how good the model is on records that nobody looked at, for whom, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from app.studio import charts, model_charts, model_errors, model_groups, model_plots, model_reading
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column, Kind
from app.studio.project_files import Project
from app.studio.speech import language, number, percent, say
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import _

STAGE = "test"
PAGE, CARD, ERRORS = "report.html", "README.md", "errors.csv"  # in models/test


def draw(project: Project) -> None:
    """Draw the page."""
    sentence = _("How good the model is on records that nobody looked at before.")
    folder = project.stage(STAGE)

    def parts(report: dict[str, Any]) -> list[drawing.Panel]:
        return [
            (_("Verdict"), partial(verdict, folder, report)),
            (_("Labels and confusions"), partial(labels, project, report)),
            (_("Groups and fairness"), partial(model_groups.draw, report, report["task"], STAGE)),
            (_("Errors"), partial(model_errors.draw, folder, report)),
            (_("Confidence and data"), partial(trust, report)),
        ]

    drawing.stage_page(project, STAGE, sentence, parts)


def verdict(folder: Path, report: Mapping[str, Any]) -> None:
    """Draw what the report says in sentences, the figures that count, and the report itself."""
    worth = report.get("worth_it", {}).get("answer")
    sentences = report.get("verdict", {}).get(language(), [])
    said = "\n\n".join(say(str(one)) for one in sentences)
    if worth == "yes":
        st.success(said or say(_("The model is worth it.")), icon=":material/check_circle:")
    elif worth == "no":
        st.error(said or say(_("The model is not worth it.")), icon=":material/cancel:")
    else:
        st.warning(said or say(_("Whether the model is worth it is not certain.")),
                   icon=":material/help:")  # fmt: skip
    rows = model_reading.tested_figures(report)
    beside = _("{records} records, {confidence} intervals; the change is over the best cheap "
               "model: {baseline}.", records=report["records"],
               confidence=percent(report["confidence"], 0),
               baseline=naming.baseline(report["strongest"]))  # fmt: skip
    drawing.headlines(rows, beside)
    cheap(report)
    drawing.all_figures(rows, key="test_figures")
    with st.container(horizontal=True):
        drawing.download(folder / PAGE, _("The whole report as a page"), "text/html",
                         "test_page", "description")  # fmt: skip
        drawing.download(folder / CARD, _("Model card"), "text/markdown", "test_card", "badge")
        drawing.download(folder / ERRORS, _("All wrong answers as a table"), "text/csv",
                         "test_errors_csv", "table")  # fmt: skip


def cheap(report: Mapping[str, Any]) -> None:
    """Draw the model beside the cheap models by the main figure, with intervals."""
    main = report["main"]
    known = report["intervals"]
    rows = []
    for row in model_reading.baseline_rows(report["baselines"], main, report["figures"][main]):
        low, high = known.get(row["name"], {}).get(main, (None, None))
        rows.append({**row, "low": low, "high": high})
    title = naming.figure(main)
    text = _("{figure} of the model beside models that cost next to nothing", figure=title)
    st.subheader(say(_("Beside cheap models")), anchor=False)
    chart = model_charts.intervals(rows, title, name="kind")
    charts.show(chart, text, key="test_baselines")


LABELS: dict[str, tuple[Text, Kind]] = {
    "precision": (_("precision"), "percent"),
    "recall": (_("recall"), "percent"),
    "f1": (_("F1"), "percent"),
    "mae": (_("mean absolute error"), "number"),
    "mean_error": (_("mean error"), "signed"),
}


def labels(project: Project, report: Mapping[str, Any]) -> None:
    """Draw figures of each label, and what is taken for what, with the records behind it."""
    rows = model_reading.label_rows(report)
    first: Any = _("Numbers") if model_reading.is_numeric(report) else _("Label")
    columns = [Column("label", first)]
    for name, (title, kind) in LABELS.items():
        if rows and name in rows[0]:
            columns.append(Column(name, title, kind, naming.EXPLAINED.get(name, "")))
    columns.append(Column("records", _("Records"), "count", width="small"))
    if any(row["small"] for row in rows):
        rows = [{**row, "note": _("too small for a claim") if row["small"] else ""} for row in rows]
        columns.append(Column("note", _("Note"), width="medium"))
    drawing.table(rows, columns, key="test_labels", title=_("Figures of each label"))
    model_errors.confusions(project, report)


def trust(report: Mapping[str, Any]) -> None:
    """Draw whether confidences mean what they say, whether small changes matter, and more data."""
    left, right = st.columns(2, gap="large")
    with left:
        reliable(report)
    with right:
        more_data(report)
    steady(report)


def reliable(report: Mapping[str, Any]) -> None:
    """Draw how often answers of a confidence are right."""
    st.subheader(say(_("Can confidences be trusted")), anchor=False)
    points = model_reading.calibration_points(report)
    if not points:
        st.info(say(_("Answers of this task have no confidence.")), icon=":material/info:")
        return
    text = _("How often answers of a confidence were right")
    charts.show(model_plots.reliability(points), text, key="test_reliability")
    error = report["figures"].get("ece")
    if error is not None:
        text = _("On the dashed line a confidence of 80% is right in 80 of 100 cases. The mean "
                 "distance from it is {error}.", error=number(error))  # fmt: skip
        st.caption(say(text))


def more_data(report: Mapping[str, Any]) -> None:
    """Draw what more training records would bring."""
    st.subheader(say(_("Is more data worth it")), anchor=False)
    told = report.get("learning_curve") or {}
    if not told.get("points"):
        st.info(say(_("No learning curve was drawn.")), icon=":material/info:")
        return
    title = naming.figure(report["main"])
    text = _("{figure} by number of training records", figure=title)
    chart = model_plots.learning_curve(told["points"], told.get("doubled"), title)
    charts.show(chart, text, key="test_learning_curve")
    text = _("Told by the cheap model {model} on the validation part: the shape of the curve "
             "counts, not its height.", model=naming.baseline(told["model"]))  # fmt: skip
    st.caption(say(text))


def steady(report: Mapping[str, Any]) -> None:
    """Draw how many answers stay when texts are written a little differently."""
    rows = model_reading.robustness_rows(report)
    if not rows:
        return
    st.subheader(say(_("Written a little differently")), anchor=False)
    title = _("share of answers that stay")
    chart = model_charts.intervals(rows, title, name="kind", value="same")
    charts.show(chart, title, key="test_robustness")
    task = report["task"]
    changed = [
        {
            "kind": row["kind"],
            "text": one["text"],
            "changed": one["changed"],
            "before": naming.answer(one["before"], task),
            "after": naming.answer(one["after"], task),
        }
        for row in rows
        for one in row["examples"]
    ]
    if changed:
        title = _("Texts whose answer changed")
        columns = (
            Column("kind", _("What was changed")),
            Column("text", _("Text"), width="large"),
            Column("changed", _("Changed text"), width="large"),
            Column("before", _("Answer before")),
            Column("after", _("Answer after")),
        )
        table = partial(drawing.table, changed, columns, key="test_changed", title=title)
        drawing.folded(title, table, key="test_changed_fold", icon="edit_note")
