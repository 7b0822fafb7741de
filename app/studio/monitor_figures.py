"""The parts of the page Monitor about figures: what comes in now, windows of time, and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, drift_pages, monitor_charts, roles, serving, watching
from app.studio import model_drawing as drawing
from app.studio.chart_specs import Spec
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.speech import date, number, percent, plain, say
from app.studio.stamps import Stamps
from app.studio.watching import Drifted
from pipeline.errors import Text
from pipeline.i18n import Message, _

MINUTES = 60  # of a window, where params.yaml is not allowed
BEFORE = "monitor_before"  # in the session: where older pages of windows end
TALLEST = 700  # pixels of the drift page
ODD = 10  # sentences about what was out of the ordinary
WINDOWS = (
    Column("since", _("From")),
    Column("requests", _("Requests"), "count"),
    Column("failed_share", _("Failed"), "percent", _("The service's fault: status 500 and above.")),
    Column("refused_share", _("Refused"), "percent", _("Status 400 to 499.")),
    Column("p50", _("p50, ms"), "number", _("Half of the answers took less.")),
    Column("p95", _("p95, ms"), "number", _("95 of 100 answers took less.")),
    Column("p99", _("p99, ms"), "number", _("99 of 100 answers took less.")),
    Column("confidence", _("Confidence"), "number"),
    Column("disagreement", _("Disagreement"), "percent", _("Of a canary with stable.")),
    Column("verdicts", _("Judged"), "count"),
    Column("accuracy", _("Found right"), "percent"),
    Column("memory", _("Memory, MB"), "count"),
    Column("processor", _("Processor"), "percent"),
    Column("odd", _("Out of the ordinary")),
)
RELEASES = (
    Column("version", _("Release")),
    Column("requests", _("Requests"), "count"),
    Column("failed_share", _("Failed"), "percent"),
    Column("p95", _("p95 of the slowest window, ms"), "number"),
    Column("confidence", _("Confidence"), "number"),
    Column("verdicts", _("Judged"), "count"),
    Column("accuracy", _("Found right"), "percent"),
)
CHANGES = (
    Column("kind", _("Of what")),
    Column("name", _("Which"), width="large"),
    Column("before", _("Training data"), "percent"),
    Column("now", _("Now"), "percent"),
)


def minutes(project: Project) -> int:
    """Return how long a window is."""
    known = serving.values(project)
    return MINUTES if known is None else known.monitor.window_minutes


def draw_now(project: Project) -> None:
    """Draw what came in since the window that is open began."""
    found = current(str(project.root), watching.stamp(project), minutes(project))
    window = found.window or {}
    seconds = window.get("seconds") or {}
    told = _("In the window that is open, since {time}:", time=date(found.since))
    st.caption(say(told))
    shown: list[tuple[Message, str]] = [
        (_("Requests"), number(found.requests, 0)),
        (_("Failed"), percent(window.get("failed_share"))),
        (_("Median"), milliseconds(seconds.get("p50"))),
        (_("p95"), milliseconds(seconds.get("p95"))),
        (_("Confidence"), percent((window.get("confidence") or {}).get("mean"))),
    ]
    for place, (title, value) in zip(st.columns(len(shown)), shown, strict=True):
        place.metric(say(title), value, border=True)


def milliseconds(seconds: float | None) -> str:
    """Return a latency as a person reads it."""
    return "–" if seconds is None else f"{number(1000 * seconds, 1)} ms"


@st.cache_data(max_entries=4, ttl=60, show_spinner=False)
def current(root: str, stamp: Stamps | int, minutes: int) -> watching.Now:
    """Return what came in, read again when something was written, or after a minute."""
    return watching.now(Project.here(), minutes)


@st.cache_data(max_entries=8, show_spinner=False)
def windows(
    root: str, stamp: Stamps | int, minutes: int, days: int, before: str | None
) -> list[dict[str, Any]]:
    """Return windows of figures, read again when something was written."""
    end = datetime.fromisoformat(before) if before else None
    since = (end or datetime.now(UTC)) - timedelta(days=days)
    return watching.windows(Project.here(), minutes, since, end)


def draw(project: Project, days: int) -> None:
    """Draw the figures of windows as charts, what was odd about them, and as a table."""
    earlier: list[str] = st.session_state.setdefault(BEFORE, [])
    before = earlier[-1] if earlier else None
    found = windows(str(project.root), watching.stamp(project), minutes(project), days, before)
    draw_pages(found, earlier)
    if not found:
        told = _(
            "No window of {minutes} minutes has been judged in this time. The monitor judges one "
            "when it has ended; Look now does it at once.",
            minutes=minutes(project),
        )
        st.info(say(told), icon=":material/info:")
        return
    rows = watching.rows(found)
    draw_charts(rows, watching.label_shares(found))
    draw_odd(found)
    st.subheader(say(_("By release")))
    title = _("Figures of each release")
    drawing.table(watching.by_release(found), RELEASES, key="monitor_releases", title=title)
    table = partial(draw_windows, rows)
    drawing.folded(_("All windows as a table"), table, key="monitor_windows_fold")


def draw_windows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the figures of all windows, the newest first."""
    listed = [{**row, "since": date(row["since"])} for row in reversed(rows)]
    drawing.table(listed, WINDOWS, key="monitor_windows", title=_("Figures of each window"))


def draw_pages(found: Sequence[Mapping[str, Any]], earlier: list[str]) -> None:
    """Draw the way to older windows, and back, where there are more than a page shows."""
    if len(found) < watching.MOST_WINDOWS and not earlier:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            say(_("Older")),
            key="monitor_older",
            icon=":material/arrow_back:",
            disabled=len(found) < watching.MOST_WINDOWS,
        ):
            earlier.append(str(found[0]["since"]))
            st.rerun()
        if st.button(
            say(_("Newer")),
            key="monitor_newer",
            icon=":material/arrow_forward:",
            disabled=not earlier,
        ):
            earlier.pop()
            st.rerun()
        if found:
            ends = {"since": date(found[0]["since"]), "until": date(found[-1]["until"])}
            st.caption(say(_("{since} to {until}", **ends)))


def draw_charts(rows: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]]) -> None:
    """Draw the figures that have values, two beside each other."""
    quantiles: dict[str, Text] = {
        "p50": _("half within"),
        "p95": _("95 % within"),
        "p99": _("99 % within"),
    }
    outcomes: dict[str, Text] = {
        "failed_share": _("failed requests"),
        "refused_share": _("refused requests"),
    }
    said: dict[str, Text] = {"confidence": _("mean confidence"), "accuracy": _("found right")}
    lines = monitor_charts.lines
    made: list[tuple[Message, Spec]] = [
        (_("Latency"), lines(rows, quantiles, _("milliseconds"))),
        (_("Requests"), monitor_charts.counts(rows, _("requests a window"))),
        (_("Errors"), lines(rows, outcomes, _("share of requests"), form=".1~%")),
        (_("Confidence and quality"), lines(rows, present(said, rows), _("share"), form=".0%")),
    ]
    if answers:
        title = _("How often each answer was given")
        made.append((title, monitor_charts.shares(answers, _("share of answers"))))
    if any(row["memory"] is not None for row in rows):
        memory: dict[str, Text] = {"memory": _("memory")}
        made.append((_("Memory of the service"), lines(rows, memory, _("megabytes"))))
    for at in range(0, len(made), 2):
        for place, (title, chart) in zip(st.columns(2), made[at : at + 2], strict=False):
            with place:
                st.markdown(f"**{say(title)}**")
                charts.show(chart, title, key=f"monitor_chart_{at}_{title.text[:9]}")


def present(series: dict[str, Text], rows: Sequence[Mapping[str, Any]]) -> dict[str, Text]:
    """Return the series that have a value somewhere, or all where none has."""
    found = {key: one for key, one in series.items() if any(row[key] is not None for row in rows)}
    return found or series


def draw_odd(found: Sequence[Mapping[str, Any]]) -> None:
    """Say what was out of the ordinary; a triangle in the charts stands over these windows."""
    odd = watching.anomalies(found)
    if not odd:
        st.caption(say(_("No figure of these windows is out of the ordinary.")))
        return
    st.markdown(f"**▼ {say(_('Out of the ordinary'))}**")
    for since, sentence in odd[:ODD]:
        st.markdown(f"- {date(since)}: {say(sentence)}")
    if len(odd) > ODD:
        st.caption(say(_("and {count} more, see the table", count=len(odd) - ODD)))


@st.cache_data(max_entries=8, show_spinner=False)
def drifts(root: str, stamp: Stamps | int, days: int) -> list[Drifted]:
    """Return the judged windows, read again when something was written."""
    return watching.drift(Project.here(), datetime.now(UTC) - timedelta(days=days))


def draw_drift(project: Project, days: int) -> None:
    """Draw how far requests are from the training data, and Evidently's pages about it."""
    found = drifts(str(project.root), watching.stamp(project), days)
    if not found:
        told = _(
            "No window of texts was compared with the training data in this time. That takes "
            "enough texts and hours, as the settings say."
        )
        st.info(say(told), icon=":material/info:")
    else:
        draw_distances(found)
    draw_page(project)


def draw_distances(found: Sequence[Drifted]) -> None:
    """Draw the newest verdict on each kind, its course, and what changed most."""
    kinds = list(dict.fromkeys(one.kind for one in found))
    latest = {kind: [one for one in found if one.kind == kind][-1] for kind in kinds}
    far = [one for one in latest.values() if one.drifted]
    if far:
        names = ", ".join(plain(watching.kind_name(one.kind)) for one in far)
        told = _("The newest window is unlike the training data: {kinds}.", kinds=names)
        st.warning(say(told), icon=":material/warning:")
    else:
        told = _("The newest window is like the training data.")
        st.success(say(told), icon=":material/check_circle:")
    for at in range(0, len(kinds), 2):
        for place, kind in zip(st.columns(2), kinds[at : at + 2], strict=False):
            with place:
                draw_kind(kind, [one for one in found if one.kind == kind])
    changes = [
        {"kind": watching.kind_name(one.kind), **change}
        for one in latest.values()
        for change in one.changes[:5]
    ]
    if changes:
        title = _("What changed most in the newest window")
        table = partial(drawing.table, changes, CHANGES, key="monitor_changes", title=title)
        drawing.folded(title, table, key="monitor_changes_fold", unfolded=bool(far))


def draw_kind(kind: str, found: Sequence[Drifted]) -> None:
    """Draw the distances of one kind over time."""
    title, newest = watching.kind_name(kind), found[-1]
    word = _("drifted") if newest.drifted else _("alike")
    icon = "warning" if newest.drifted else "check_circle"
    st.markdown(f"**{say(title)}** :material/{icon}: {say(word)}")
    rows = [
        {"since": one.at, "score": one.score, "threshold": one.threshold, "drifted": one.drifted}
        for one in found
    ]
    charts.show(monitor_charts.distances(rows, title), title, key=f"monitor_drift_{kind}")


def draw_page(project: Project) -> None:
    """Draw a page by Evidently, shut up in a frame of its own."""
    names = drift_pages.pages(project)
    if not names:
        return
    st.subheader(say(_("The whole report")))
    name = st.selectbox(
        say(_("Window")),
        names,
        key="monitor_page",
        width=320,
        format_func=lambda one: f"{one[:4]}-{one[4:6]}-{one[6:8]} {one[9:11]}:{one[11:13]} UTC",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = st.toggle(say(_("Show it here")), key="monitor_page_shown")
        path = drift_pages.path_of(project, str(name))
        drawing.download(path, _("Download it"), "text/html", key="monitor_page_download")
    st.caption(
        say(
            _(
                "It is drawn by Evidently, in English, in a frame that reaches neither the studio "
                "nor any other machine."
            )
        )
    )
    if wanted and name:
        roles.allow(roles.SEE)
        inner = drift_pages.page(project, str(name))
        title = plain(_("Drift report"))
        st.iframe(drift_pages.boxed(inner, title), height=TALLEST, alt=title)
