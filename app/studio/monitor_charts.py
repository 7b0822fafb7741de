"""Charts of windows of traffic over time: lines, bars of counts, and marks where something is odd.

Rows come in, what Vega-Lite draws goes out, in the look of ``charts``. A window that is out of the
ordinary has a triangle, which the page beside it puts into words. Times are the reader's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from app.studio.chart_specs import Chart, kept
from app.studio.charts import BLUE, DASHES, GREY, LABEL, RED, SERIES, spread
from app.studio.speech import plain
from pipeline.errors import Text
from pipeline.i18n import _

HEIGHT = 220
# Numbers only: the names of months would be English in every language.
TIME = (
    "timeFormat(datum.value, '%H:%M') == '00:00' ? timeFormat(datum.value, '%m-%d')"
    " : timeFormat(datum.value, '%H:%M')"
)
LONG = "%Y-%m-%d %H:%M"
ABREAST = 3  # names of a legend that stand side by side in half a page
FIELDS = ("since", "value", "name", "odd")
Row = Mapping[str, Any]


@kept
def lines(
    rows: Sequence[Row], series: Mapping[str, Text], title: Text, *, form: str = ",.4~r"
) -> Chart:
    """Return a line for each series; a window without the figure leaves a gap.

    :param rows: with ``since`` and the keys of ``series``; ``odd`` marks a window.
    :param series: key → what the line is called, in the order of the legend.
    :param form: of numbers, as d3 writes formats.
    """
    points = [
        (row["since"], row[key], plain(name), row.get("odd") or "")
        for key, name in series.items()
        for row in rows
    ]
    return drawn(points, [plain(name) for name in series.values()], title, form)


@kept
def shares(rows: Sequence[Row], title: Text) -> Chart:
    """Return a line for each label: its part of a window's answers.

    :param rows: of ``since``, ``label`` and ``share``.
    """
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["label"]] = sums.get(row["label"], 0.0) + row["share"]
    order = sorted(sums, key=lambda label: -sums[label])
    points = [(row["since"], row["share"], row["label"], "") for row in rows]
    return drawn(points, order, title, ".0%")


def drawn(
    points: Sequence[tuple[str, float | None, str, str]],
    names: Sequence[str],
    title: Text,
    form: str,
) -> Chart:
    """Return lines, one a name, with triangles over what is odd."""
    upright = alt.Y(
        "value:Q", title=plain(title), axis=alt.Axis(format=form), scale=alt.Scale(zero=False)
    )
    base = alt.Chart(pd.DataFrame(points, columns=FIELDS)).encode(x=along(), y=upright)
    colours = alt.Scale(domain=list(names), range=spread(SERIES, names))
    dashes = alt.Scale(domain=list(names), range=[list(one) for one in spread(DASHES, names)])
    shown = legend(len(names)) if len(names) > 1 else None
    found = tips(title, form)
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18)).encode(
        color=alt.Color("name:N", scale=colours, title=None, legend=shown),
        strokeDash=alt.StrokeDash("name:N", scale=dashes, title=None, legend=shown),
        tooltip=found,
    )
    return alt.layer(line, odd(base, found), height=HEIGHT)


@kept
def counts(rows: Sequence[Row], title: Text) -> Chart:
    """Return a bar for each window: how many requests it had."""
    name = plain(_("requests"))
    points = [(row["since"], row["requests"], name, row.get("odd") or "") for row in rows]
    upright = alt.Y("value:Q", title=plain(title), axis=alt.Axis(format=",~d", tickMinStep=1))
    base = alt.Chart(pd.DataFrame(points, columns=FIELDS)).encode(x=along(), y=upright)
    width = max(1, min(16, 240 // max(1, len(rows))))
    found = tips(title, ",d")
    bars = base.mark_bar(size=width, color=BLUE).encode(tooltip=found)
    return alt.layer(bars, odd(base, found), height=HEIGHT)


@kept
def distances(rows: Sequence[Row], title: Text) -> Chart:
    """Return the distance from the training data over time, with the bound up to which it is small.

    :param rows: of ``since``, ``score``, ``threshold`` and ``drifted``, all of one kind.
    """
    word, name = plain(_("drifted")), plain(title)
    points = [
        (row["since"], row["score"], name, word if row["drifted"] else "", row["threshold"])
        for row in rows
    ]
    frame = pd.DataFrame(points, columns=(*FIELDS, "bound"))
    distance = plain(_("distance"))
    upright = alt.Y("value:Q", title=distance, axis=alt.Axis(format=".3~f"))
    base = alt.Chart(frame).encode(x=along(), y=upright)
    bounded = alt.Tooltip("bound:Q", title=plain(_("alike up to")), format=".3f")
    found = [*tips(title, ".3f"), bounded]
    line = base.mark_line(strokeWidth=2, point=True, color=BLUE).encode(tooltip=found)
    bound = base.mark_line(strokeWidth=1.5, strokeDash=[6, 3], color=GREY).encode(
        y=alt.Y("bound:Q", title=distance)
    )
    return alt.layer(bound, line, odd(base, found), height=HEIGHT - 60)


def along() -> alt.X:
    """Return the axis of time."""
    axis = alt.Axis(labelExpr=TIME, tickCount=8, labelOverlap="greedy")
    return alt.X("since:T", title=None, axis=axis)


def legend(names: int) -> alt.Legend:
    """Return a legend that shows each line as it is drawn, with its dash; many names take lines."""
    return alt.Legend(
        orient="top", labelLimit=LABEL, symbolType="stroke", symbolSize=400, symbolStrokeWidth=2,
        columns=min(names, ABREAST),
    )  # fmt: skip


def odd(base: alt.Chart, found: Sequence[alt.Tooltip]) -> alt.Chart:
    """Return a triangle on top of each window that is out of the ordinary."""
    why = alt.Tooltip("odd:N", title=plain(_("out of the ordinary")))
    marked: alt.Chart = base.transform_filter("datum.odd != ''")
    triangles = marked.mark_point(shape="triangle-down", size=90, color=RED, filled=True, opacity=1)
    told: alt.Chart = triangles.encode(y=alt.value(-7), tooltip=[*found, why])
    return told


def tips(title: Text, form: str) -> list[alt.Tooltip]:
    """Return what is told about a point."""
    return [
        alt.Tooltip("since:T", title=plain(_("from")), format=LONG),
        alt.Tooltip("name:N", title=plain(_("what"))),
        alt.Tooltip("value:Q", title=plain(title), format=form),
    ]
