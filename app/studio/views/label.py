"""Label: what each text is, decided by people, a key each; and how far labels can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import (
    agreement_drawing,
    data_drawing,
    label_drawing,
    labelling,
    layout,
    reading,
    roles,
)
from app.studio import model_drawing as drawing
from app.studio.data_drawing import Filter, Listing
from app.studio.label_lists import CHECKS, QUEUE, SUSPECTS
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import say
from app.studio.views.split import ORIGINS
from pipeline import artifacts
from pipeline.errors import Text
from pipeline.i18n import _

STAGE = "label"


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head(STAGE, _("What each text is, decided by people: a number labels and goes on."))
    drawing.standing(project, STAGE)
    drawing.panels(
        [
            (_("Labelling"), partial(label_drawing.draw, project, QUEUE)),
            (_("Suspects"), partial(label_drawing.draw, project, SUSPECTS)),
            (_("Agreement"), partial(agreement_drawing.draw, project)),
            (_("Second look"), partial(second_look, project)),
            (_("Records"), partial(records, project)),
            drawing.settings(STAGE, project),
        ],
        key="label_tabs",
    )


def second_look(project: Project) -> None:
    """Draw the labels of others that were drawn for a check."""
    reason = roles.why_not(roles.ADJUDICATE)
    if reason is not None:
        st.info(say(reason), icon=":material/lock:")
        return
    label_drawing.draw(project, CHECKS)


def records(project: Project) -> None:
    """Draw the records with the labels they have, each of which can be labelled again."""
    labelled = project.stage(STAGE) / artifacts.RECORDS
    if not labelled.is_file():
        cleaned = Listing(
            path=project.stage("clean") / artifacts.RECORDS,
            columns=(
                Column("text", _("Text"), width="large"),
                Column("label", _("Source label"), width="small"),
            ),
            more=(Column("meta", _("Origin")), Column("id", _("Record"))),
            key="label_cleaned",
            title=_("Cleaned records"),
        )
        data_drawing.leaf(cleaned, partial(label_it, project))
        return
    report = reading.report(project, STAGE)
    counts = {} if report is None else report["labels"]
    by: dict[str, Text] = {name: title for name, title in ORIGINS.items() if name != "augmented"}
    listing = Listing(
        path=labelled,
        columns=(
            Column("text", _("Text"), width="large"),
            Column("label", _("Label"), width="small"),
            Column("origin", _("Label by"), width="small"),
            Column("agreement", _("Agreement"), width="small"),
        ),
        more=(
            Column("annotators", _("Annotators")),
            Column("baseline_probability", _("Probability by a simple model")),
            Column("source", _("Source")),
            Column("meta", _("Origin")),
            Column("id", _("Record")),
        ),
        key="label_records",
        title=_("Labelled records"),
        filters=(
            *data_drawing.label_filter(project, counts),
            Filter("label_origin", _("Label by"), by),
        ),
        words={"origin": ("label_origin", ORIGINS)},
    )
    data_drawing.leaf(listing, partial(label_it, project))


def label_it(project: Project, row: Mapping[str, Any]) -> None:
    """Draw the button that puts a record before the reader."""
    if layout.button(
        _("Label this record"), roles.LABEL, key=f"label_it_{row['id']}", icon=":material/label:"
    ):
        if labelling.ask_for(project, str(row["id"])):
            text = _("It lies before you: open “Labelling” above.")
            st.success(say(text), icon=":material/label:")
        else:
            st.warning(say(_("This record is no longer in the data.")), icon=":material/warning:")
