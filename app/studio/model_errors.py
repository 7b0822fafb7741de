"""What page test shows of wrong answers: the confusion table, its records, the worst errors.

A click on a cell of the table and the list beside it choose the same cell; the list is for the
keyboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app.studio import charts, model_charts, model_examples, model_reading, reading
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column
from app.studio.model_examples import Cell
from app.studio.project_files import Project
from app.studio.speech import number, plain, say
from pipeline import artifacts
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import _
from pipeline.steps.targets import REGRESSION

CHART, CELL, LABEL = "test_confusion", "test_cell", "test_confusion_label"
ROUND = "test_confusion_round"  # counts choices of the list, which take a click on the chart back
COLUMNS = ["id", "text", "label", "source"]
BLOCK = 500  # records that are read at once
Option = tuple[str, str]


def confusions(project: Project, report: Mapping[str, Any]) -> None:
    """Draw what is taken for what, and the records of the cell that the reader chose."""
    st.subheader(say(_("What is taken for what")), anchor=False)
    label = None
    if model_reading.has_several(report):
        label = st.selectbox(
            say(_("Label")), list(report["confusion"]["labels"]), key=LABEL, width=320
        )
    cells = named(model_examples.cells(report, label), label)
    options = listed(cells)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.vega_lite_chart(
            spec=model_charts.confusion(cells).content,
            width="stretch",
            key=chart_key(),
            on_select=take_click,
            alt=plain(_("Rows: what it was; columns: what it was taken for")),
        )
    with right:
        names = {(one["actual"], one["predicted"]): told(one) for one in cells}
        chosen = st.selectbox(
            say(_("Records of one cell: click on the table, or choose here")),
            options,
            index=None,
            key=CELL,
            on_change=forget_click,
            format_func=lambda option: names.get(option, ""),
            placeholder=plain(_("was → was taken for")),
        )
        summary(report, cells)
    if chosen is not None:
        records(project, report, Cell(chosen[0], chosen[1], label))


def named(cells: Sequence[dict[str, Any]], label: str | None) -> list[dict[str, Any]]:
    """Return cells of one of several labels with words for having it and not."""
    if label is None:
        return list(cells)
    words: dict[str, Text] = {str(label): _("with it"), f"not {label}": _("without it")}
    return [
        {
            **cell,
            "actual_words": words[cell["actual"]],
            "predicted_words": words[cell["predicted"]],
        }
        for cell in cells
    ]


def listed(cells: Sequence[Mapping[str, Any]]) -> list[Option]:
    """Return the cells that hold records: wrong answers first, the most frequent first."""
    known = [one for one in cells if one["records"]]
    known.sort(key=lambda one: (one["right"], -one["records"]))
    return [(one["actual"], one["predicted"]) for one in known]


def told(cell: Mapping[str, Any]) -> str:
    """Return a cell as the list names it."""
    sign = "✓ " if cell["right"] else ""
    return (f"{sign}{plain(cell['actual_words'])} → {plain(cell['predicted_words'])} "
            f"({number(cell['records'], 0)})")  # fmt: skip


def take_click() -> None:
    """Choose in the list what was clicked in the table."""
    chosen = clicked(st.session_state.get(chart_key()))
    if chosen is not None:
        st.session_state[CELL] = chosen


def forget_click() -> None:
    """Draw the chart anew, without a cell that stands out, when the list chose another one."""
    st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1


def chart_key() -> str:
    """Return the name of the chart until the list is used."""
    return f"{CHART}_{st.session_state.get(ROUND, 0)}"


def clicked(state: Any) -> Option | None:
    """Return the cell of a selection, None where it is empty."""
    points = state["selection"].get(model_charts.CELL) if state else None
    if not points:
        return None
    return str(points[0]["actual"]), str(points[0]["predicted"])


def summary(report: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> None:
    """Say how many answers are right, and what happens most often."""
    total = sum(one["records"] for one in cells)
    right = sum(one["records"] for one in cells if one["right"])
    text = _("{right} of {total} answers stand on the diagonal, where they are right.",
             right=number(right, 0), total=number(total, 0))  # fmt: skip
    if report["task"] == REGRESSION:
        text = _("{right} of {total} numbers lie in the right band.",
                 right=number(right, 0), total=number(total, 0))  # fmt: skip
    st.caption(say(text))


def records(project: Project, report: Mapping[str, Any], cell: Cell) -> None:
    """Draw the records of a cell, those first of which the model was surest."""
    folder, path = project.stage("test"), project.root / artifacts.part("test")

    def read(place: int) -> Mapping[str, Any] | None:
        start = place - place % BLOCK  # a page of many records is read once, and kept
        found = reading.page(path, start, BLOCK, COLUMNS)
        if place - start >= len(found):
            return None
        return {str(key): one for key, one in found.iloc[place - start].items()}

    rows = model_examples.examples(folder, report, cell, read)
    if not rows:
        text = _("The records of this cell cannot be shown: the data were split anew since the "
                 "test. Start a run to test again.")  # fmt: skip
        st.info(say(text), icon=":material/info:")
        return
    measure = "error" if "error" in rows[0] else "confidence"
    shown = [answered(row, report["task"], measure) for row in rows]
    columns = [
        Column("text", _("Text"), width="large"),
        Column("label", _("Truth")),
        Column("predicted", _("Answer")),
    ]
    if any(row["measure"] is not None for row in shown):
        title: Text = _("Error") if measure == "error" else _("Confidence")
        columns.append(Column("measure", title, "number"))
    columns.append(Column("source", _("Source")))
    title = _("Records of the chosen cell")
    drawing.table(shown, columns, key="test_records", title=title)
    if len(rows) == model_examples.MOST:
        st.caption(say(_("The first {most} are shown.", most=model_examples.MOST)))


def answered(row: Mapping[str, Any], task: str, measure: str) -> dict[str, Any]:
    """Return a record as the table shows it."""
    return {
        "text": row["text"],
        "label": naming.answer(str(row["label"]), task),
        "predicted": naming.answer(str(row["predicted"]), task),
        "measure": row.get(measure),
        "source": row.get("source", ""),
    }


def draw(folder: Path, report: Mapping[str, Any]) -> None:
    """Draw the worst errors, and of the one that is chosen why it may have happened."""
    worst = report.get("worst_errors") or []
    if not worst:
        st.success(say(_("No answer was wrong.")), icon=":material/check_circle:")
        return
    text = _("Read them: an error beside nearly the same text with another label points at labels "
             "that disagree; one without anything like it, at data that is missing. Each error "
             "stands in errors.csv.")  # fmt: skip
    st.caption(say(text))
    numbers = report["task"] == REGRESSION
    measure = "error" if numbers else "confidence"
    title = _("The largest errors") if numbers else _("The most confident errors")
    rows = [answered(one, report["task"], measure) for one in worst]
    columns = (
        Column("text", _("Text"), width="large"),
        Column("label", _("Truth")),
        Column("predicted", _("Answer")),
        Column("measure", _("Error") if numbers else _("Confidence"), "number"),
    )
    st.subheader(say(title), anchor=False)
    at = drawing.table(rows, columns, key="test_worst", title=title, selects=True)
    if at is None:
        st.caption(say(_("Choose a row to see which words decided and what it resembles.")))
    else:
        detail(worst[at], report["task"])


def detail(one: Mapping[str, Any], task: str) -> None:
    """Draw one wrong answer: its text, the words that decided, the training records like it."""
    st.text(one["text"])
    left, right = st.columns(2, gap="large")
    with left:
        if one.get("words"):
            title = _("What decided for {output}:", output=one["output"])
            if task == REGRESSION:
                title = _("What made the number larger or smaller:")
            st.markdown(say(title))
            charts.show(model_charts.words(one["words"]), title, key="test_words")
        else:
            st.caption(say(_("Which words decided was not worked out for this one.")))
    with right:
        found = one.get("neighbours") or []
        if found:
            title = _("The most similar training records")
            st.markdown(say(title))
            rows = [{**near, "label": naming.answer(str(near["label"]), task)} for near in found]
            columns = (
                Column("text", _("Text"), width="large"),
                Column("label", _("Label")),
                Column("similarity", _("Similarity"), "number"),
            )
            drawing.table(rows, columns, key="test_neighbours", title=title)
