"""Runs and compare: the run that works now, earlier ones, and runs side by side."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.studio import model_drawing as drawing
from app.studio import run_history, run_now
from app.studio.project_files import Project
from pipeline.i18n import _

TABS, FIRST = "runs_tabs", "runs_compare_first"


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head("runs", _("Start a run, watch it, stop it; compare earlier ones and go back."))
    panels = [
        (_("Now"), partial(run_now.draw, project)),
        (_("Earlier runs"), partial(run_history.draw_list, project)),
        (_("Compare"), partial(run_history.draw_compare, project)),
    ]
    # Decided once a visit, or the tabs would change places under the reader's hands.
    if st.session_state.setdefault(FIRST, run_history.ADDRESS in st.query_params):
        panels = [panels[2], *panels[:2]]  # who follows a shared address came to compare
    drawing.panels(panels, key=TABS)
