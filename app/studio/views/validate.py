"""Validate: may the model go on, for whom it is good, and whether its confidence can be trusted."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from app.studio import model_drawing as drawing
from app.studio import model_groups, model_reading, reading
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import number, say
from pipeline.evaluation import naming
from pipeline.evaluation.evidence import TUNED
from pipeline.i18n import _
from pipeline.steps.targets import REGRESSION

STAGE = "validate"


def draw(project: Project) -> None:
    """Draw the page."""
    sentence = _("Whether the model may go on: judged on the validation part, by gates.")

    def parts(report: dict[str, Any]) -> list[drawing.Panel]:
        return [
            (_("Gates and figures"), partial(judged, project, report)),
            (_("Groups and fairness"), partial(model_groups.draw, report, task_of(report), STAGE)),
            (_("Calibration"), partial(calibration, report)),
        ]

    drawing.stage_page(project, STAGE, sentence, parts)


def judged(project: Project, report: dict[str, Any]) -> None:
    """Draw the gates, the figures that count most, and all others."""
    drawing.gates(report["gates"], report.get("strongest"), key="validate_gates")
    rows = model_reading.validation_figures(reading.metrics(project, STAGE) or {}, report)
    beside = _("{records} records; the change is over the best cheap model: {baseline}.",
               records=report["records"],
               baseline=naming.baseline(str(report.get("strongest"))))  # fmt: skip
    st.subheader(say(_("How good it is")), anchor=False)
    drawing.headlines(rows, beside)
    drawing.all_figures(rows, key="validate_figures")
    costs(report.get("costs", {}))


def costs(found: dict[str, float]) -> None:
    """Draw what the model costs: size, latency, and what training took."""
    rows = [
        {"figure": model_reading.OWN_FIGURES.get(name, name), "value": value}
        for name, value in found.items()
    ]
    if rows:
        columns = (
            Column("figure", _("Figure"), width="large"),
            Column("value", _("Value"), "number"),
        )
        title = _("Size, speed and cost")
        table = partial(drawing.table, rows, columns, key="validate_costs", title=title)
        drawing.folded(title, table, key="validate_costs_fold", icon="payments")


def task_of(report: dict[str, Any]) -> str:
    """Return what groups by label are: bands of numbers where no group has a recall."""
    groups = report.get("slices", {}).get("label", {})
    return REGRESSION if groups and not any("recall" in one for one in groups.values()) else ""


def calibration(report: dict[str, Any]) -> None:
    """Draw what was fitted so that confidences mean what they say."""
    told = report.get("calibration") or {}
    if "ece" not in told:
        text = _("Nothing was calibrated: the task has numbers, or calibration is switched off.")
        st.info(say(text), icon=":material/info:")
    else:
        temperature(told)
    thresholds = told.get("thresholds") or {}
    if thresholds:
        rows = [{"label": name, "at": at} for name, at in thresholds.items()]
        columns = (Column("label", _("Label")), Column("at", _("Probability"), "number"))
        title = _("From which probability a label is given")
        st.subheader(say(title), anchor=False)
        drawing.table(rows, columns, key="validate_thresholds", title=title)
    known = {text.render("en"): text for text in TUNED.values()}
    for name in report.get("tuned_on_this_part", []):
        text = _("Chosen by these very records, which flatters their figures: {what}.",
                 what=known.get(name, name))  # fmt: skip
        st.caption(say(text))


def temperature(told: dict[str, Any]) -> None:
    """Draw figures before and after confidences were divided by the temperature."""
    names = [name for name in ("ece", "loss") if name in told]
    places = st.columns(1 + len(names))
    places[0].metric(say(_("temperature")), number(told["temperature"]), border=True)
    for place, name in zip(places[1:], names, strict=True):
        before, after = told[name]["before"], told[name]["after"]
        place.metric(
            say(naming.figure(name)),
            number(after),
            f"{after - before:+.3f}",
            delta_color="inverse",
            help=say(naming.EXPLAINED.get(name, "")),
            border=True,
        )
    text = _("Confidences are divided by the temperature, which was fitted on the {records} "
             "records of the validation part. The change is from before to after; less is better.",
             records=told["records"])  # fmt: skip
    st.caption(say(text))
    if told.get("undetermined"):
        text = _("These records do not determine it: every answer is right, or all are wrong.")
        st.warning(say(text), icon=":material/help:")
