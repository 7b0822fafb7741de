"""Project: what is wanted, whether it can be done, when, by whom, for how much, and what if not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

import streamlit as st

from app.studio import model_plan, reading
from app.studio.layout import BY_NAME
from app.studio.project import drawing, plan_tabs, record_tab, saving, tabs
from app.studio.project.feasibility import Evidence
from app.studio.project.measured import measured
from app.studio.project.schedule import timeline
from app.studio.project.schema import Plan
from app.studio.project.tabs import TABS, Page
from app.studio.project_files import Project
from app.studio.speech import language, say
from app.studio.stamps import Stamp, stamp_of
from pipeline.i18n import Message, _

OPEN = "project_tab"  # in the session: the name of the open tab
TITLES: dict[str, Message] = {
    "overview": _("Overview"),
    "requirements": _("Requirements"),
    "feasibility": _("Feasibility"),
    "models": _("Models"),
    "schedule": _("Timetable"),
    "resources": _("Resources"),
    "risks": _("Risks"),
    "document": _("Document"),
    "record": _("Git record"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    st.title(say(BY_NAME["project"].title), anchor=False)
    st.caption(
        say(_("What the project is for, whether it can be done, when, by whom, for how much, and "
              "what can go wrong. Kept in project.yaml, printed as a document."))
    )  # fmt: skip
    drawing.show_told()
    page = page_of(project)
    panels: dict[str, Callable[[], None]] = {
        "overview": partial(tabs.overview, page, open_tab),
        "requirements": partial(tabs.requirements, page),
        "feasibility": partial(tabs.feasible, page),
        "models": partial(tabs.models, page),
        "schedule": partial(plan_tabs.when, page),
        "resources": partial(plan_tabs.money, page),
        "risks": partial(plan_tabs.wrong, page),
        "document": partial(plan_tabs.paper, page),
        "record": partial(record_tab.draw, project),
    }
    names = {say(TITLES[name]): name for name in panels}
    if st.session_state.get(TABS) not in names:  # a new page, or another language
        remembered = st.session_state.get(OPEN) or st.query_params.get("tab")
        st.session_state[TABS] = say(TITLES[remembered if remembered in TITLES else "overview"])
    places = st.tabs(list(names), key=TABS, on_change="rerun")
    for place, (name, panel) in zip(places, panels.items(), strict=True):
        if place.open:
            st.session_state[OPEN] = name
            with place:
                panel()


def page_of(project: Project) -> Page:
    """Return all that the tabs draw from."""
    plan = read(project)
    today = date.today()
    asked = model_plan.kept(project, language())
    evidence = Evidence(
        plan=plan,
        measured=measured(partial(reading.report, project), partial(reading.metrics, project)),
        timeline=timeline(plan.schedule, today),
        asked=None if asked is None else asked.content,
        today=today,
    )
    return Page(project, evidence, asked)


def read(project: Project) -> Plan:
    """Return the plan as it lies there; it is read again when the file is another one."""
    stamp = stamp_of(saving.path_of(project))
    return Plan() if stamp is None else read_at(project, stamp)


@st.cache_data(max_entries=8, show_spinner=False)
def read_at(project: Project, stamp: Stamp) -> Plan:
    """Return the plan of a project; the stamp only tells files apart."""
    return saving.read(project)


def open_tab(name: str) -> None:
    """Open a tab by its name."""
    st.session_state[TABS] = say(TITLES[name])
