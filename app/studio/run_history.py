"""Earlier runs: the list, two or more side by side, and the way back to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import layout, roles, run_states, run_words
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.runs import comparing, figures, following, restoring
from app.studio.runs.comparing import Comparison, Figure, Row
from app.studio.runs.records import Run
from app.studio.speech import date, duration, language, literal, number, plain, say
from app.studio.stamps import stamp_of
from pipeline.i18n import _

PAGE = 25  # rows of the list at once
MOST = 200  # rows to choose from
TOGETHER = 5  # runs side by side; more columns than a screen can show
ADDRESS = "ids"  # the query parameter that names the compared runs
CHOSEN = "runs_chosen"
MAIN = ("macro_f1", "accuracy", "r2", "mae", "rmse", "loss", "ece", "worst_class_f1", "size_mb",
        "latency_ms_p95", "texts_per_second", "train_seconds", "points_lost",
        "train_kg_co2")  # fmt: skip


def draw_list(project: Project) -> None:
    """Draw all runs, the newest first, a page at a time."""
    count = counted(project, stamp(project))
    if not count:
        st.info(say(_("There is no earlier run.")), icon=":material/info:")
        return
    pages = -(-count // PAGE)
    page = 1
    if pages > 1:
        page = int(st.number_input(
            say(_("Page")), 1, pages, key="runs_page", width=160,
            help=say(_("{count} runs, {page} on a page", count=count, page=PAGE)),
        ))  # fmt: skip
    found = listed(project, PAGE, (page - 1) * PAGE, stamp(project))
    columns = (
        Column("began", _("Began"), width="medium"),
        Column("by", _("By"), width="small"),
        Column("state", _("State"), width="small"),
        Column("result", _("Result"), width="medium"),
        Column("took", _("Took"), width="small"),
        Column("title", _("What"), width="large"),
    )
    picked = drawing.table(
        [shown(row) for row in found], columns, key="runs_list", title=_("Earlier runs"),
        selects=True,
    )  # fmt: skip
    st.caption(say(_("Choose a row to see it; choose runs to compare under “Compare”.")))
    if picked is not None:
        draw_one(project, found[picked])


def stamp(project: Project) -> tuple[Any, ...]:
    """Return what changes when the list of runs does."""
    newest = following.latest(project)
    head = stamp_of(project.root / ".git/logs/HEAD")
    return (newest.id, newest.state) if newest else None, head


@st.cache_data(max_entries=4, show_spinner=False)
def counted(project: Project, state: tuple[Any, ...]) -> int:
    """Return how many rows there are, kept until something changes."""
    return comparing.count(project)


@st.cache_data(max_entries=16, show_spinner=False)
def listed(project: Project, limit: int, offset: int, state: tuple[Any, ...]) -> list[Row]:
    """Return rows of the list, kept until something changes."""
    return comparing.rows(project, limit, offset)


def shown(row: Row) -> dict[str, Any]:
    """Return a row as the list shows it."""
    best = figures.headline(row.metrics)
    state = f"{run_states.SIGNS[row.state]} {plain(run_states.STATES[row.state])}"
    return {
        "began": date(row.began),
        "by": row.by,
        "state": state if row.origin == "run" else f"Git {row.id[:7]}",
        "result": f"{plain(run_words.figure(best[0]))} {number(best[1])}" if best else "",
        "took": duration(row.seconds) if row.seconds is not None else "",
        "title": row.title,
    }


def draw_one(project: Project, row: Row) -> None:
    """Draw one run of the list: its notes, its log, and the way back to it."""
    with st.container(border=True):
        st.markdown(f"**{literal(run_words.name(row))}**  \n`{row.id}`")
        if row.origin == "run":
            run = following.of(project, row.id)
            for note in run.notes:
                st.caption(f":material/info: {say(note)}")
            drawing.folded(
                _("Log"), partial(draw_lines, run), key=f"runs_old_log_{run.id}", icon="terminal"
            )
        draw_restore(project, row)


def draw_lines(run: Run) -> None:
    """Draw the last lines of a run's log."""
    st.code("\n".join(following.tail(run)), language=None, height=240)


def draw_restore(project: Project, row: Row) -> None:
    """Draw the two ways back to a run."""
    left, right = st.columns(2)
    with left:
        if layout.button(
            _("Restore its parameters"), roles.RESTORE_RUN, key=f"restore_{row.id}",
            icon=":material/settings_backup_restore:", width="stretch",
        ):  # fmt: skip
            drawing.acted(
                lambda: restoring.restore(project, row.id),
                _("params.yaml is what it was in that run."),
            )
    with right:
        works = following.current(project) is not None
        why = _("A run works now; its results would be mixed up.") if works else None
        if layout.button(
            _("Restore parameters and results"), roles.RESTORE_RUN, key=f"results_{row.id}",
            icon=":material/history:", why_not=why, width="stretch",
        ):  # fmt: skip
            with st.spinner(say(_("The results are fetched from the cache."))):
                drawing.acted(
                    lambda: restoring.restore_results(project, row.id),
                    _("Parameters and results are those of that run."),
                )
    st.caption(say(_("Releases and what is served stay as they are.")))


def draw_compare(project: Project) -> None:
    """Draw runs side by side; which ones stands in the address, to share it."""
    rows = {row.id: row for row in listed(project, MOST, 0, stamp(project))}
    asked = [one for one in st.query_params.get(ADDRESS, "").split(",") if one in rows]
    # The browser sends back what options are called, so each language has its own widget.
    key = f"{CHOSEN}_{language()}"
    if key not in st.session_state:
        st.session_state[key] = asked[:TOGETHER] or list(rows)[:2]
    chosen = st.multiselect(
        say(_("Runs to compare; the first one is what the others are measured against")),
        list(rows),
        key=key,
        format_func=lambda one: run_words.name(rows[one]) if one in rows else one,
        max_selections=TOGETHER,
    )
    if len(chosen) < 2:
        text = _("Choose two runs or more: what differs between them is shown here.")
        st.info(say(text), icon=":material/compare_arrows:")
        return
    if st.query_params.get(ADDRESS) != ",".join(chosen):
        st.query_params[ADDRESS] = ",".join(chosen)
    st.caption(f":material/link: {say(_('The address of this page shows this comparison.'))}")
    found = compared(project, tuple(chosen), stamp(project))
    draw_legend(found)
    draw_params(found)
    draw_figures(found)
    draw_back(project, found)


@st.cache_data(max_entries=16, show_spinner=False)
def compared(project: Project, ids: tuple[str, ...], state: tuple[Any, ...]) -> Comparison:
    """Return a comparison, kept until something changes."""
    return comparing.compare(project, ids)


def letter(place: int) -> str:
    """Return a short name of a column."""
    return chr(ord("A") + place)


def draw_legend(found: Comparison) -> None:
    """Draw which letter stands for which run."""
    lines = [
        f"**{letter(place)}** {literal(run_words.name(row))}"
        for place, row in enumerate(found.rows)
    ]
    st.markdown("  \n".join(lines))


def columns_of(found: Comparison) -> list[Column]:
    """Return a column for each run."""
    return [Column(letter(place), letter(place)) for place in range(len(found.rows))]


def draw_params(found: Comparison) -> None:
    """Draw the parameters that differ, and only those."""
    st.subheader(say(_("Parameters that differ")), anchor=False)
    if not found.params:
        st.caption(say(_("All parameters are the same.")))
        return
    rows = [
        {"field": run_words.field(path), "path": path}
        | {letter(place): run_words.value(one) for place, one in enumerate(values)}
        for path, values in found.params.items()
    ]
    first = [Column("field", _("Parameter"), width="medium"), Column("path", _("In params.yaml"))]
    title = _("Parameters that differ")
    drawing.table(rows, [*first, *columns_of(found)], key="runs_params", title=title)


def draw_figures(found: Comparison) -> None:
    """Draw the figures with their differences to the first run; the best is marked by a star."""
    st.subheader(say(_("Figures")), anchor=False)
    if not found.figures:
        st.caption(say(_("None of these runs came so far as to be measured.")))
        return
    every = st.toggle(say(_("Show all figures")), key="runs_every")
    chosen = [one for one in found.figures if every or one.name.partition(".")[2] in MAIN]
    rows = [figure_row(one) for one in chosen or found.figures]
    first = [Column("figure", _("Figure"), width="medium"), Column("better", _("Better is"))]
    drawing.table(rows, [*first, *columns_of(found)], key="runs_figures", title=_("Figures"))
    st.caption(say(_("★ the best · ▲ better than A · ▼ worse than A")))


def figure_row(one: Figure) -> dict[str, Any]:
    """Return a figure's row."""
    words = {True: _("less"), False: _("more"), None: "–"}
    row: dict[str, Any] = {
        "figure": run_words.figure(one.name), "better": words[one.smaller_is_better]
    }  # fmt: skip
    for place, value in enumerate(one.values):
        row[letter(place)] = figure_cell(one, place, value)
    return row


def figure_cell(one: Figure, place: int, value: float | None) -> str:
    """Return a value with its difference to the first run and what that means."""
    if value is None:
        return "–"
    star = "★ " if place in one.best else ""
    delta = one.deltas[place]
    if not place or not delta:
        return f"{star}{number(value, 4)}"
    better = (delta < 0) is one.smaller_is_better
    sign = "" if one.smaller_is_better is None else " ▲" if better else " ▼"
    change = f"+{number(delta, 4)}" if delta > 0 else number(delta, 4)
    return f"{star}{number(value, 4)} ({change}{sign})"


def draw_back(project: Project, found: Comparison) -> None:
    """Draw the way back to one of the compared runs."""
    st.subheader(say(_("Go back to one of them")), anchor=False)
    rows: Mapping[str, Row] = {row.id: row for row in found.rows}
    names = list(rows)
    chosen = st.segmented_control(
        say(_("Run")), names, key="runs_back", format_func=lambda one: letter(names.index(one)),
        default=names[0],
    )  # fmt: skip
    if chosen is not None:
        draw_restore(project, rows[chosen])
