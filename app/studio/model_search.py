"""The search for better knobs, as page train shows it: start, follow, read, apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from app.studio import charts, layout, model_plan, model_plots, model_reading, roles, search_running
from app.studio import model_drawing as drawing
from app.studio.dotted import value_at
from app.studio.forms import present, saving
from app.studio.forms.drawing import section_form
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.runs import following, starting, stopping
from app.studio.runs.records import Run
from app.studio.search_running import Proposal
from app.studio.speech import ago, duration, number, say
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import _
from pipeline.params import shown

STATES: dict[str, Text] = {
    "done": _("✓ done"),
    "pruned": _("✂ stopped early, behind the others"),
    "failed": _("✗ failed"),
    "interrupted": _("– interrupted"),
    "running": _("… running"),
}


def draw(project: Project) -> None:
    """Draw the search: what works now or what came of the last one, and its settings."""
    run = following.current(project)
    searching = search_running.is_search(run)
    text = _("A search trains with other values of some knobs, judges each trial on the validation "
             "part, and proposes what was best. It changes nothing by itself.")  # fmt: skip
    st.caption(say(text))
    if run is not None and searching:
        layout.live(draw_running, drawing.EVERY, project)
    else:
        draw_start(project, run)
        ended(project)
        draw_proposal(project)
    with st.expander(say(_("What is searched, and for how long")), icon=":material/tune:"):
        section_form("search", project, key="search")


def draw_start(project: Project, run: Run | None) -> None:
    """Draw the button that starts a search, and why it cannot be pressed."""
    why_not: Any = None
    if run is not None:
        why_not = _("{user} started a run {ago}; one works at a time.",
                    user=run.by, ago=ago(run.began))  # fmt: skip
    elif not model_plan.can_ask(project):
        why_not = _("There are no labelled records yet. Run the pipeline as far as init first.")
    fresh = st.checkbox(
        say(_("Forget earlier trials")),
        key="search_fresh",
        help=say(_("Otherwise a search with the same settings goes on where it was.")),
    )
    command = search_running.command(fresh=fresh)
    pressed = layout.button(_("Start the search"), roles.START_RUN, key="search_start",
                            icon=":material/search:", why_not=why_not)  # fmt: skip
    st.code(" ".join(command), language="shell")
    if pressed and drawing.acted(partial(starting.start, project, command=command)):
        st.rerun()


def draw_running(project: Project) -> None:
    """Draw the search that works: how far it is, its trials, the button that stops it."""
    run = following.current(project)
    if run is None or not search_running.is_search(run):
        st.rerun()
        return
    progress = following.progress(run)
    if progress is not None and progress.total:
        text = _("{user} started the search {ago}: {step} of {total} trials, about {left} left.",
                 user=run.by, ago=ago(run.began), step=progress.step, total=progress.total,
                 left=duration(progress.seconds_left))  # fmt: skip
        st.progress(min(1.0, progress.step / progress.total), text=say(text))
    else:
        text = _("{user} started the search {ago}; the first trial works.",
                 user=run.by, ago=ago(run.began))  # fmt: skip
        st.info(say(text), icon=":material/sync:")
    if layout.button(_("Stop the search"), roles.STOP_RUN, key="search_stop",
                     icon=":material/stop_circle:"):  # fmt: skip
        with st.spinner(say(_("Stopping; trials that ended are kept …"))):
            stopped = drawing.acted(partial(stopping.stop, run))
        if stopped:
            st.rerun()
    rows = search_running.told(following.tail(run, search_running.LINES))
    metric = metric_of(rows)
    greater = not model_reading.smaller_is_better(metric)
    draw_trials(rows, metric, greater=greater, key="search_now")


def ended(project: Project) -> None:
    """Say how the last search ended, where that was not well."""
    last = following.latest(project)
    if last is None or not search_running.is_search(last) or last.state == "done":
        return
    if last.state == "stopped":
        text = _("The last search was stopped. Start it again, and it goes on where it was.")
        st.warning(say(text), icon=":material/stop_circle:")
        return
    st.error(say(_("The last search failed:")), icon=":material/error:")
    st.code("\n".join(following.tail(last, 12)), language=None)


def metric_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the figure in trials that are told; knobs have dots in their names."""
    names = (name for row in rows for name in row if name not in search_running.FIXED)
    return next((name for name in names if "." not in name), "")


def draw_trials(rows: Sequence[Mapping[str, Any]], metric: str, *, greater: bool, key: str) -> None:
    """Draw trials as points and as a table."""
    if not rows:
        return
    climbed = search_running.best_so_far(list(map(dict, rows)), metric, greater=greater)
    title = naming.figure(metric)
    if climbed:
        text = _("{figure} of each trial, and the best until then", figure=title)
        charts.show(model_plots.trials(climbed, title), text, key=f"{key}_chart")
    knobs = list(dict.fromkeys(name for row in rows for name in row if "." in name))
    shown_rows = [
        {
            **{name: written(row.get(name)) for name in knobs},
            "trial": row["trial"],
            "state": STATES.get(str(row["state"]), str(row["state"])),
            "figure": row.get(metric),
            "seconds": row.get("seconds"),
            "reason": row.get("reason") or "",
        }
        for row in rows
    ]
    columns = [
        Column("trial", _("trial"), "count"),
        Column("state", _("State")),
        Column("figure", title, "number"),
        *(Column(name, name) for name in knobs),
        Column("seconds", _("seconds"), "count"),
    ]
    if any(row["reason"] for row in shown_rows):
        columns.append(Column("reason", _("Reason"), width="large"))
    drawing.table(shown_rows, columns, key=f"{key}_table", title=_("All trials"))


def written(value: Any) -> str:
    """Return the value of a knob."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def draw_proposal(project: Project) -> None:
    """Draw what the last search proposes, and the button that takes it over."""
    found = search_running.proposal(project)
    if found is None:
        return
    told = found.content
    metric = str(told["metric"])
    st.subheader(say(_("What the last search found")), anchor=False)
    now = present.read(project)
    held = {field: value_at(now.values, field) for field in found.changes}
    figure = naming.figure(metric)
    if told["best"] is None:
        st.info(say(_("No trial came to its end, so nothing is proposed.")))
    elif not found.changes:
        st.info(say(_("Nothing was better than the values of params.yaml.")),
                icon=":material/check:")  # fmt: skip
    elif search_running.is_applied(found, held):
        st.success(say(_("params.yaml holds the proposed values already.")),
                   icon=":material/check_circle:")  # fmt: skip
    else:
        change = None if told["present"] is None else told["best"] - told["present"]
        st.metric(
            say(_("{figure} on the validation part", figure=figure)),
            number(told["best"]),
            None if change is None else f"{change:+.4f}",
            delta_color="normal" if told["greater_is_better"] else "inverse",
            border=True,
            width=360,
        )
        proposed(project, found, now, held)
    greater = bool(told["greater_is_better"])

    def trials() -> None:
        rows = search_running.trials(found.folder)
        draw_trials(rows, metric, greater=greater, key="search_done")

    drawing.folded(_("All trials"), trials, key="search_trials")


def proposed(
    project: Project, found: Proposal, now: present.Present, held: Mapping[str, Any]
) -> None:
    """Draw old and new values, with the button that saves them."""
    rows = [
        {"field": field, "now": shown(held[field]), "new": shown(one["new"])}
        for field, one in found.changes.items()
    ]
    columns = (Column("field", _("Field")), Column("now", _("now")), Column("new", _("proposed")))
    drawing.table(rows, columns, key="search_changes", title=_("What would change in params.yaml"))
    text = _("The best of many is partly luck: trust what test says of it, not this gain.")
    st.caption(say(text))
    if layout.button(_("Use these values"), roles.EDIT_PARAMS, key="search_apply",
                     icon=":material/save:", kind="primary"):  # fmt: skip
        used = partial(apply, project, found, now)
        if drawing.acted(used, _("Saved in params.yaml.")):
            st.rerun()


def apply(project: Project, found: Proposal, now: present.Present) -> None:
    """Save what a search proposes, if ``params.yaml`` is still what it was compared with."""
    held = {field: value_at(now.values, field) for field in found.changes}
    search_running.refuse_changed(found, held)
    changes = {field: one["new"] for field, one in found.changes.items()}
    saving.save(changes, now.sha256, project)
