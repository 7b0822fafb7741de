"""Monitor: how the service fares, what is out of the ordinary, and whether to train again."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.studio import deciding, layout, monitor_retraining, roles, watching
from app.studio import deploy_changes as changes
from app.studio import model_drawing as drawing
from app.studio import monitor_alerts as alerts
from app.studio import monitor_figures as figures
from app.studio.forms.drawing import section_forms
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import ago, date, language, number, percent, plain, say
from app.studio.stamps import Stamps
from app.studio.watching import Feedback
from pipeline.i18n import Message, _

EVERY = 10.0  # seconds between two looks at what comes in
PAGE = 20
SPANS = {1: _("a day"), 7: _("a week"), 30: _("30 days"), 400: _("all")}
SECTIONS = {"monitor": _("Monitor"), "alerts": _("Alerts"), "traffic": _("Request log")}
VERDICTS = {"up": _("right"), "down": _("wrong")}
SAID = (
    Column("at", _("Time")),
    Column("version", _("Release")),
    Column("answer", _("Answer")),
    Column("verdict", _("was found")),
    Column("label", _("Right would be")),
    Column("reason", _("Reason"), width="medium"),
    Column("text", _("Text"), width="large"),
)


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head("monitor", _("What comes in, how it is answered, and what is not as usual."))
    changes.show_outcome()
    watched = watching.there(project)
    if watched:
        draw_standing(project)
        layout.live(figures.draw_now, EVERY, project)
    else:
        draw_nothing()
    settings: drawing.Panel = (_("Settings"), partial(draw_settings, project))
    if not watched:
        drawing.panels([settings], key="monitor_tabs")
        return
    days = st.segmented_control(
        say(_("How far back")),
        list(SPANS),
        key="monitor_days",
        default=7,
        required=True,
        format_func=lambda one: plain(SPANS[one]),
    )
    drawing.panels(
        [
            (_("Figures"), partial(figures.draw, project, days)),
            (_("Drift"), partial(figures.draw_drift, project, days)),
            (_("Alerts"), partial(alerts.draw, project, days)),
            (_("What people say"), partial(draw_said, project)),
            (_("Train again"), partial(monitor_retraining.draw, project)),
            settings,
        ],
        key="monitor_tabs",
    )


def draw_nothing() -> None:
    """Say that nothing was asked yet, and what to do."""
    st.info(
        say(
            _(
                "Nobody asked the service anything yet, so there is nothing to watch. Promote a "
                "release and start the service; what comes in appears here."
            )
        ),
        icon=":material/info:",
    )
    layout.link("deploy")


def draw_standing(project: Project) -> None:
    """Draw whether something is out of the ordinary, when that was last looked at, and look now."""
    waiting = [one for one in alerts.listed(project, 30) if one["acknowledged_by"] is None]
    looked = alerts.looked(project)
    left, right = st.columns([4, 1], vertical_alignment="center")
    with left:
        alerts.draw_verdict(waiting, looked is not None)
        if looked is not None:
            st.caption(say(_("The monitor looked {ago}.", ago=ago(looked.at))))
            for part in looked.failed:
                st.warning(say(_("A part of the monitor failed: {name}", name=part)))
    with right:
        if layout.button(
            _("Look now"),
            roles.WATCH,
            key="monitor_look",
            icon=":material/visibility:",
            width="stretch",
        ):
            changes.act(
                lambda: deciding.look(project, language()), _("The monitor looks at the traffic …")
            )


def draw_said(project: Project) -> None:
    """Draw what people said about answers: whether it is good enough, and each word of it."""
    looked = alerts.looked(project)
    quality = looked.quality if looked else None
    if quality is not None and quality["verdicts"]:
        share = quality["right"] / quality["verdicts"]
        told: Message = _(
            "People found {right} of {all} answers of release {version} right; {bound} are wanted.",
            right=number(quality["right"]),
            all=number(quality["verdicts"]),
            version=quality["version"],
            bound=percent(quality["bound"], 0),
        )
        st.metric(say(_("Found right")), percent(share), border=True, width=240)
        icon = ":material/error:" if quality["bad"] else ":material/check_circle:"
        (st.error if quality["bad"] else st.success)(say(told), icon=icon)
    page = int(st.session_state.get("monitor_said_page", 1))
    found = said(str(project.root), watching.stamp(project), (page - 1) * PAGE)
    if not found and page == 1:
        st.caption(say(_("Nobody said anything about an answer yet.")))
        return
    rows = [
        {
            "at": date(one.at),
            "version": one.version,
            "answer": one.answer,
            "verdict": VERDICTS.get(one.verdict, one.verdict),
            "label": one.label,
            "reason": one.reason,
            "text": one.text,
        }
        for one in found
    ]
    title = _("What people said, the newest first")
    drawing.table(rows, SAID, key="monitor_said", title=title)
    st.number_input(say(_("Page")), 1, None, 1, key="monitor_said_page", width=160)
    layout.link("label")


@st.cache_data(max_entries=16, show_spinner=False)
def said(root: str, stamp: Stamps | int, offset: int) -> list[Feedback]:
    """Return a page of what people said, read again when something was written."""
    return watching.feedback(Project.here(), PAGE, offset)


def draw_settings(project: Project) -> None:
    """Draw the values of ``params.yaml`` by which the monitor judges, tells and records."""
    section_forms(SECTIONS, project, "monitor")
