"""Parts that the pages of the model stages share: heads, states, tables, figures, gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from app.studio import model_reading, outcomes, reading, roles
from app.studio.forms.drawing import section_form
from app.studio.layout import BY_NAME, link, live
from app.studio.project_files import Project
from app.studio.runs import diagnosing, following
from app.studio.runs.records import Run
from app.studio.search_running import is_search
from app.studio.speech import ago, duration, figure, plain, say
from pipeline.errors import MofangError, Text
from pipeline.i18n import Message, _

EVERY = 2.0  # seconds between two looks at a run that works
TALLEST = 420  # pixels of a table; a longer one scrolls
METRIC = 138  # pixels of a figure that stands large, with or without a change
LINES = 11  # rows that a table shows without scrolling
Kind = Literal["text", "number", "small", "percent", "count", "signed"]
FORMATS: Mapping[str, str] = {
    "number": "%.3f", "small": "%.1e", "percent": "percent", "count": "localized", "signed": "%+.3f"
}  # fmt: skip
Row = Mapping[str, Any]
Panel = tuple[Text, Callable[[], None]]

SIGNS: dict[str, Message] = {
    model_reading.PASSED: _("✓ holds"),
    model_reading.FAILED: _("✗ does not hold"),
    model_reading.SKIPPED: _("– not judged"),
}


@dataclass(frozen=True)
class Column:
    """A column of a table: the key of its rows, what it is called, and how it is written."""

    key: str
    title: Text
    kind: Kind = "text"
    help: Text = ""
    width: Literal["small", "medium", "large"] | None = None


def head(name: str, sentence: Message) -> None:
    """Draw the title of a page and what the page is for."""
    st.title(say(BY_NAME[name].title), anchor=False)
    st.caption(say(sentence))


def panels(found: Sequence[Panel], key: str) -> None:
    """Draw tabs, of which only the open one is worked out."""
    tabs = st.tabs([say(title) for title, _draw in found], key=key, on_change="rerun")
    for tab, (_title, draw) in zip(tabs, found, strict=True):
        if tab.open:
            with tab:
                draw()


def folded(
    title: Text,
    draw: Callable[[], object],
    *,
    key: str,
    icon: str = "table",
    unfolded: bool = False,
) -> None:
    """Draw a fold that a reader opens, of which nothing is worked out before."""
    fold = st.expander(
        say(title), expanded=unfolded, key=key, icon=f":material/{icon}:", on_change="rerun"
    )
    if fold.open:
        with fold:
            draw()


def stage_page(
    project: Project,
    stage: str,
    sentence: Message,
    parts: Callable[[dict[str, Any]], Sequence[Panel]],
) -> None:
    """Draw the page of a stage that tells all it has to tell in its report.

    :param parts: returns the tabs for a report; the settings are the last one.
    """
    head(stage, sentence)
    standing(project, stage)
    report = reading.report(project, stage)
    if report is None:
        nothing_yet(stage)
    found = [] if report is None else parts(report)
    panels([*found, settings(stage, project)], key=f"{stage}_tabs")


def settings(section: str, project: Project) -> Panel:
    """Return the tab with the form of a section."""

    def draw() -> None:
        section_form(section, project, key=section)
        link("runs", _("Start a run with these values"))

    return _("Settings"), draw


def standing(project: Project, stage: str) -> None:
    """Draw what a run does with a stage at this moment, or why the last one failed there."""
    run = following.current(project)
    at_work = run is not None and not is_search(run)
    live(draw_standing, EVERY if at_work else None, project, stage, at_work)


def draw_standing(project: Project, stage: str, at_work: bool) -> None:
    """Draw the state of a stage; when the run is over the whole page is drawn anew."""
    run = following.current(project)
    if run is not None and not is_search(run):
        works(run, stage)
        return
    if at_work:
        st.rerun()
    last = following.latest(project)
    if last is not None and not is_search(last) and last.state in ("failed", "stopped"):
        ended_badly(last, stage)


def works(run: Run, stage: str) -> None:
    """Draw how far a stage of the run is that works now."""
    state = following.stages(run).get(stage)
    if state == "running":
        progress = following.progress(run)
        if progress is None or progress.stage != stage or not progress.total:
            text = _("{user} started a run {ago}; this stage works now.",
                     user=run.by, ago=ago(run.began))  # fmt: skip
            st.info(say(text), icon=":material/sync:")
            return
        text = _("This stage works: step {step} of {total}, about {left} left.",
                 step=progress.step, total=progress.total,
                 left=duration(progress.seconds_left))  # fmt: skip
        st.progress(min(1.0, progress.step / progress.total), text=say(text))
    elif state == "waiting":
        text = _("A run works, and this stage waits for its turn. What stands here is from before.")
        st.info(say(text), icon=":material/hourglass_empty:")


def ended_badly(run: Run, stage: str) -> None:
    """Draw why the last run came to no end in this stage."""
    if following.stages(run).get(stage) not in ("failed", "stopped"):
        return
    found = diagnosing.explain(run)
    if run.state == "stopped" or found is None:
        text = _("The last run was stopped in this stage. What stands here is from before.")
        st.warning(say(text), icon=":material/stop_circle:")
    else:
        st.error(f"{say(found.cause)}\n\n{say(found.hint)}", icon=":material/error:")
    link("runs", _("See the run"))


def nothing_yet(stage: str) -> None:
    """Say that a stage has no result, and where one comes from."""
    text = _("There is no result yet: the stage {stage} has not run in this project.", stage=stage)
    st.info(say(text), icon=":material/info:")
    link("runs", _("Start a run"))


def table(
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    key: str,
    title: Text,
    selects: bool = False,
) -> int | None:
    """Draw a table and return the place of the row that was chosen, if one can be.

    :param title: read out where the table cannot be seen.
    """
    import pyarrow as pa

    # Streamlit would turn a data frame into the same, in ten times the time.
    cells = {one.key: [cell(row, one) for row in rows] for one in columns}
    found = pa.table({name: pa.array(some, from_pandas=True) for name, some in cells.items()})
    shape: Any = "content" if len(rows) <= LINES else TALLEST
    chosen = st.dataframe(
        found,
        key=key,
        hide_index=True,
        height=shape,
        column_config={column.key: configured(column) for column in columns},
        on_select="rerun" if selects else "ignore",
        selection_mode="single-row",
        alt=plain(title),
    )
    picked = chosen["selection"]["rows"] if selects else []  # type: ignore[index]
    return int(picked[0]) if picked and picked[0] < len(rows) else None


def cell(row: Row, column: Column) -> Any:
    """Return a value as the table holds it: words as text, numbers as they are."""
    value = row.get(column.key)
    if column.kind == "text":
        return "" if value is None else plain(value)
    return value


def configured(column: Column) -> Any:
    """Return how a column is shown."""
    told = plain(column.help) or None
    label = plain(column.title)
    if column.kind == "text":
        return st.column_config.TextColumn(label, help=told, width=column.width)
    form: Any = FORMATS[column.kind]
    return st.column_config.NumberColumn(label, help=told, format=form, width=column.width)


def headlines(rows: Sequence[Row], beside: Message | None) -> None:
    """Draw the figures that count most, with their intervals and what is gained.

    :param beside: what the gain is over, as a sentence; None where there is none.
    """
    chosen = model_reading.headlines(rows)
    if not chosen:
        return
    for place, row in zip(st.columns(len(chosen)), chosen, strict=True):
        less = plain(row["better"]) == plain(_("less"))
        change = None if row["baseline"] is None else row["model"] - row["baseline"]
        place.metric(
            say(model_reading.SHORT.get(row["name"], row["figure"])),
            figure(row["model"]),
            None if change is None else f"{change:+.3f}",
            delta_color="inverse" if less else "normal",
            help=say(row["meaning"]) or None,
            border=True,
            height=METRIC,
        )
        if row["low"] is not None:
            ends = _("between {low} and {high}", low=figure(row["low"]), high=figure(row["high"]))
            place.caption(say(ends))
    if beside is not None:
        st.caption(say(beside))


FIGURES = (
    Column("figure", _("Figure"), width="large"),
    Column("model", _("the model"), "number"),
    Column("low", _("from"), "number"),
    Column("high", _("to"), "number"),
    Column("baseline", _("best cheap model"), "number"),
    Column("gain", _("gain"), "signed", _("Positive where the model is better.")),
    Column("better", _("better is")),
    Column("meaning", _("Meaning"), width="large"),
)


def all_figures(rows: Sequence[Row], key: str) -> None:
    """Draw every figure with its meaning, folded away."""
    title = _("All figures")
    draw = partial(table, rows, FIGURES, key=key, title=title)
    folded(title, draw, key=f"{key}_fold", icon="list")


def gates(
    judged: Sequence[Mapping[str, Any]], strongest: str | None, key: str, *, variant: bool = False
) -> None:
    """Draw whether the model may go on, and every gate with what was found.

    :param variant: whether it is about a variant, which may ship or not.
    """
    rows = model_reading.gate_rows(judged, strongest)
    failed = [row for row in rows if row["state"] == model_reading.FAILED]
    counts = {"failed": len(failed), "all": len(rows)}
    if not rows:
        st.info(say(_("No gate is set: every model may go on.")), icon=":material/info:")
        return
    if failed:
        text = _("The model may not go on: {failed} of {all} gates do not hold.", **counts)
        if variant:
            text = _("It may not ship: {failed} of {all} gates do not hold.", **counts)
        st.error(say(text), icon=":material/block:")
    else:
        text = _("The model may go on: all {all} gates hold.", **counts)
        if variant:
            text = _("It may ship: all {all} gates hold.", **counts)
        st.success(say(text), icon=":material/check_circle:")
    shown = [{**row, "state": SIGNS[row["state"]]} for row in rows]
    columns = (
        Column("state", _("Result")),
        Column("figure", _("Figure"), width="medium"),
        Column("asked", _("Asked for"), width="large"),
        Column("found", _("Found"), "number"),
        Column("room", _("Room"), "signed", _("How far the figure lies on the good side.")),
    )
    table(shown, columns, key=key, title=_("Every gate and what was found"))
    for row in (one for one in rows if one["fix"]):
        st.markdown(f"- **{say(row['figure'])}**: {say(row['fix'])}")


def download(path: Path, label: Message, mime: str, key: str, icon: str = "download") -> None:
    """Draw a button that hands out a file, read only when it is pressed."""
    if not path.is_file():
        return
    reason = roles.why_not(roles.DOWNLOAD)

    def content() -> bytes:
        roles.require(roles.DOWNLOAD, path.name)
        return path.read_bytes()

    st.download_button(
        say(label),
        content,
        file_name=path.name,
        mime=mime,
        key=key,
        icon=f":material/{icon}:",
        disabled=reason is not None,
        help=say(reason) if reason else None,
        on_click="ignore",
    )


def acted(work: Callable[[], object], done: Message | None = None) -> bool:
    """Do what a button asks for; say that it is done, or what has to be mended."""
    try:
        work()
    except MofangError as error:
        outcomes.tell(error)
        return False
    if done is not None:
        outcomes.tell(done)
    return True
