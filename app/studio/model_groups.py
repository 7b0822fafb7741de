"""For whom the model is good: groups of records, and gaps between groups of people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, model_charts, model_reading
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column
from app.studio.speech import plain, say
from pipeline.evaluation import naming
from pipeline.i18n import _


def draw(report: Mapping[str, Any], task: str, stage: str) -> None:
    """Draw groups, and gaps between the groups of the columns that were declared."""
    groups(report, task, key=f"{stage}_groups")
    fairness(report, key=f"{stage}_fairness")


def groups(report: Mapping[str, Any], task: str, key: str) -> None:
    """Draw how good the model is for each group of a column that the reader chooses."""
    columns = [name for name, found in report.get("slices", {}).items() if len(found) > 1]
    if not columns:
        st.info(say(_("There are no groups of records to compare.")), icon=":material/info:")
        return
    names = {name: plain(naming.column(name)) for name in columns}
    chosen = st.selectbox(
        say(_("Groups by")),
        columns,
        format_func=names.__getitem__,
        key=f"{key}_column",
        width=320,
    )
    rows = model_reading.slice_rows(report, chosen, task)
    title = naming.figure(str(rows[0]["figure"]))
    alternative = _("{figure} of each group, with its interval", figure=title)
    charts.show(
        model_charts.intervals(rows, title, name="group", noted="small"),
        alternative,
        key=f"{key}_chart",
    )
    if any(row["small"] for row in rows):
        text = _("Hollow points are groups with few records: they are shown and make no claim.")
        st.caption(say(text))
    few = [{**row, "note": _("too small for a claim") if row["small"] else ""} for row in rows]
    listed = (
        Column("group", naming.column(chosen)),
        Column("records", _("Records"), "count"),
        Column("value", title, "number"),
        Column("low", _("from"), "number"),
        Column("high", _("to"), "number"),
        Column("note", _("Note")),
    )
    draw = partial(drawing.table, few, listed, key=f"{key}_table", title=alternative)
    drawing.folded(_("As a table"), draw, key=f"{key}_fold")


def fairness(report: Mapping[str, Any], key: str) -> None:
    """Draw the gaps between groups of the columns that were declared."""
    st.subheader(say(_("For whom: fairness")), anchor=False)
    if not report.get("fairness"):
        text = _("No column is declared for which answers should be alike. Name columns in "
                 "params.yaml, validate.groups.columns, to compare them.")  # fmt: skip
        st.info(say(text), icon=":material/info:")
        return
    for column, entry in report["fairness"].items():
        rows = model_reading.fairness_rows(entry)
        st.markdown(say(model_reading.fairness_said(column, entry)))
        if rows:
            listed = (
                Column("gap", _("Gap"), width="large"),
                Column("value", _("Value"), "number"),
                Column("low", _("from"), "number"),
                Column("high", _("to"), "number"),
                Column("lowest", _("Lowest group")),
                Column("highest", _("Highest group")),
                Column("label", _("Label")),
                Column("sure", _("Certainty")),
            )
            told = [
                {**row, "sure": _("may be chance") if row["chance"] else _("more than chance")}
                for row in rows
            ]
            title = _("Gaps between groups by {column}", column=naming.column(column))
            drawing.table(told, listed, key=f"{key}_{column}", title=title)
