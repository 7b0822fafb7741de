"""The part of the page Monitor about alerts: what people should know, and who knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from app.studio import deciding, layout, roles, watching
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import ago, date, language, literal, plural, say
from app.studio.stamps import Stamps
from app.studio.watching import Looked
from pipeline.i18n import Message, _
from pipeline.watching.alerts import CRITICAL, INFO, WARNING, WORDS

MOST = 30  # alerts that wait and are drawn one by one
SHOWN = 3  # in the verdict
ICONS = {INFO: "info", WARNING: "warning", CRITICAL: "error"}
COLOURS = {INFO: "blue", WARNING: "orange", CRITICAL: "red"}
KNOWN = (
    Column("at", _("Time")),
    Column("severity", _("Severity")),
    Column("title", _("What"), width="large"),
    Column("by", _("acknowledged by")),
    Column("sent", _("sent to")),
)

Alert = Mapping[str, Any]


def listed(project: Project, days: int) -> list[dict[str, Any]]:
    """Return the alerts of some days, read again when something was written."""
    return kept(str(project.root), watching.stamp(project), days)


@st.cache_data(max_entries=16, show_spinner=False)
def kept(root: str, stamp: Stamps | int, days: int) -> list[dict[str, Any]]:
    """Return the alerts of some days."""
    return watching.alerts(Project.here(), datetime.now(UTC) - timedelta(days=days))


def looked(project: Project) -> Looked | None:
    """Return what the last look found, read again when something was written."""
    return last(str(project.root), watching.stamp(project))


@st.cache_data(max_entries=4, show_spinner=False)
def last(root: str, stamp: Stamps | int) -> Looked | None:
    """Return what the last look found."""
    return watching.looked(Project.here())


def draw_verdict(waiting: Sequence[Alert], looked: bool) -> None:
    """Draw in one box whether something is out of the ordinary."""
    if not looked and not waiting:
        told: Message = _(
            "The monitor has not looked yet. It does by itself while the service runs, or now."
        )
        st.info(say(told), icon=":material/info:")
        return
    grave = [one for one in waiting if one["severity"] != INFO]
    if not grave:
        st.success(say(_("Nothing is out of the ordinary.")), icon=":material/check_circle:")
        return
    title = plural(
        len(grave),
        _("{count} alert that nobody acknowledged"),
        _("{count} alerts that nobody acknowledged"),
    )
    lines = [f"- {said(one, 'title')} ({ago(one['at'])})" for one in grave[:SHOWN]]
    text = "\n".join([f"**{say(title)}**", "", *lines])
    if any(one["severity"] == CRITICAL for one in grave):
        st.error(text, icon=":material/error:")
    else:
        st.warning(text, icon=":material/warning:")


def said(alert: Alert, name: str) -> str:
    """Return a sentence of an alert in the reader's language, for a place that reads Markdown."""
    return literal(alert[name].get(language(), ""))


def draw(project: Project, days: int) -> None:
    """Draw the alerts: first those that wait for somebody, then those that somebody knows."""
    found = listed(project, days)
    waiting = [one for one in found if one["acknowledged_by"] is None]
    if not found:
        st.caption(say(_("There was no alert in this time.")))
    for one in waiting[:MOST]:
        draw_one(project, one)
    if len(waiting) > MOST:
        st.caption(say(_("{count} older ones follow in the table.", count=len(waiting) - MOST)))
    rest = [one for one in found if one["acknowledged_by"] is not None] + waiting[MOST:]
    if rest:
        st.subheader(say(_("Known alerts")))
        rows = [
            {
                "at": date(one["at"]),
                "severity": WORDS[one["severity"]],
                "title": one["title"].get(language(), ""),
                "by": one["acknowledged_by"] or "",
                "sent": sent(one),
            }
            for one in rest
        ]
        drawing.table(rows, KNOWN, key="monitor_known", title=_("Known alerts"))
    layout.link("settings", _("Send a test to every target"))


def sent(alert: Alert) -> str:
    """Return which targets took an alert; one that did not stands in brackets."""
    return ", ".join(name if good else f"({name})" for name, good in alert["sent"].items())


def draw_one(project: Project, alert: Alert) -> None:
    """Draw an alert that nobody acknowledged, and the way to do so."""
    severity, number = alert["severity"], int(alert["id"])
    with st.container(border=True):
        left, right = st.columns([4, 1], vertical_alignment="top")
        with left:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(
                    say(WORDS[severity]),
                    icon=f":material/{ICONS[severity]}:",
                    color=COLOURS[severity],  # type: ignore[arg-type]
                )
                st.markdown(f"**{said(alert, 'title')}**")
            for line in alert["lines"].get(language(), ()):
                st.markdown(f"- {literal(line)}")
            told = _("number {number}, {date}", number=number, date=date(alert["at"]))
            targets = sent(alert)
            st.caption(
                say(told)
                + (f" · {say(_('sent to {targets}', targets=targets))}" if targets else "")
            )
        with right:
            draw_acknowledging(project, alert, number)


def draw_acknowledging(project: Project, alert: Alert, number: int) -> None:
    """Draw what somebody says who knows of an alert."""
    with st.popover(say(_("I know")), icon=":material/done_all:", width="stretch"):
        note = st.text_input(say(_("What you found")), key=f"monitor_note_{number}", max_chars=500)
        normal = str(alert["key"]).startswith("anomaly.") and st.checkbox(
            say(_("From now on this is normal")),
            key=f"monitor_normal_{number}",
            help=say(_("Later windows are compared with these too, and raise no alarm.")),
        )
        if layout.button(
            _("Acknowledge"),
            roles.ACKNOWLEDGE,
            key=f"monitor_ack_{number}",
            kind="primary",
            icon=":material/done_all:",
        ) and drawing.acted(
            lambda: deciding.acknowledge(project, number, normal, note), _("Acknowledged.")
        ):
            st.rerun()
