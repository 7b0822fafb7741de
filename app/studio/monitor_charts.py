"""Charts of windows of traffic over time: lines, bars of counts, and marks where something is odd.

Rows come in, what Vega-Lite draws goes out, in the look of ``charts``. A window that is out of the
ordinary has a triangle, which the page beside it puts into words. Times are the reader's own.

The charts are said in Vega-Lite's own words: a page has six of them, and Altair would take a
quarter of a second to build them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app.studio.chart_specs import Written, kept
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
Words = dict[str, Any]  # of Vega-Lite


@kept
def lines(
    rows: Sequence[Row], series: Mapping[str, Text], title: Text, *, form: str = ",.4~r"
) -> Written:
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
def shares(rows: Sequence[Row], title: Text) -> Written:
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
    names: list[str],
    title: Text,
    form: str,
) -> Written:
    """Return lines, one a name, with triangles over what is odd."""
    shown = legend(len(names)) if len(names) > 1 else None
    by_name: Words = {"field": "name", "type": "nominal", "title": None, "legend": shown}
    dashes = [list(one) for one in spread(DASHES, names)]
    line: Words = {
        "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 18}},
        "encoding": {
            "x": along(),
            "y": upright("value", title, axis={"format": form}, scale={"zero": False}),
            "color": by_name | {"scale": {"domain": names, "range": spread(SERIES, names)}},
            "strokeDash": by_name | {"scale": {"domain": names, "range": dashes}},
            "tooltip": tips(title, form),
        },
    }
    frame = pd.DataFrame(points, columns=FIELDS)
    return Written(frame, {"height": HEIGHT, "layer": [line, odd(tips(title, form))]})


@kept
def counts(rows: Sequence[Row], title: Text) -> Written:
    """Return a bar for each window: how many requests it had."""
    name = plain(_("requests"))
    points = [(row["since"], row["requests"], name, row.get("odd") or "") for row in rows]
    bars: Words = {
        "mark": {"type": "bar", "color": BLUE, "size": max(1, min(16, 240 // max(1, len(rows))))},
        "encoding": {
            "x": along(),
            "y": upright("value", title, axis={"format": ",~d", "tickMinStep": 1}),
            "tooltip": tips(title, ",d"),
        },
    }
    frame = pd.DataFrame(points, columns=FIELDS)
    return Written(frame, {"height": HEIGHT, "layer": [bars, odd(tips(title, ",d"))]})


@kept
def distances(rows: Sequence[Row], title: Text) -> Written:
    """Return the distance from the training data over time, with the bound up to which it is small.

    :param rows: of ``since``, ``score``, ``threshold`` and ``drifted``, all of one kind.
    """
    word, name = plain(_("drifted")), plain(title)
    points = [
        (row["since"], row["score"], name, word if row["drifted"] else "", row["threshold"])
        for row in rows
    ]
    frame = pd.DataFrame(points, columns=(*FIELDS, "bound"))
    distance = _("distance")
    alike: Words = {"field": "bound", "type": "quantitative", "title": plain(_("alike up to"))}
    found = [*tips(title, ".3f"), alike | {"format": ".3f"}]
    line: Words = {
        "mark": {"type": "line", "strokeWidth": 2, "point": True, "color": BLUE},
        "encoding": {
            "x": along(),
            "y": upright("value", distance, axis={"format": ".3~f"}),
            "tooltip": found,
        },
    }
    bound: Words = {
        "mark": {"type": "line", "strokeWidth": 1.5, "strokeDash": [6, 3], "color": GREY},
        "encoding": {"x": along(), "y": upright("bound", distance)},
    }
    return Written(frame, {"height": HEIGHT - 60, "layer": [bound, line, odd(found)]})


def along() -> Words:
    """Return the axis of time."""
    axis = {"labelExpr": TIME, "tickCount": 8, "labelOverlap": "greedy"}
    return {"field": "since", "type": "temporal", "title": None, "axis": axis}


def upright(field: str, title: Text, **others: Words) -> Words:
    """Return an axis of numbers."""
    return {"field": field, "type": "quantitative", "title": plain(title), **others}


def legend(names: int) -> Words:
    """Return a legend that shows each line as it is drawn, with its dash; many names take lines."""
    return {
        "orient": "top", "labelLimit": LABEL, "symbolType": "stroke", "symbolSize": 400,
        "symbolStrokeWidth": 2, "columns": min(names, ABREAST),
    }  # fmt: skip


def odd(found: Sequence[Words]) -> Words:
    """Return a triangle on top of each window that is out of the ordinary."""
    why = {"field": "odd", "type": "nominal", "title": plain(_("out of the ordinary"))}
    return {
        "transform": [{"filter": "datum.odd != ''"}],
        "mark": {"type": "point", "shape": "triangle-down", "size": 90, "color": RED,
                 "filled": True, "opacity": 1},
        "encoding": {"x": along(), "y": {"value": -7}, "tooltip": [*found, why]},
    }  # fmt: skip


def tips(title: Text, form: str) -> list[Words]:
    """Return what is told about a point."""
    return [
        {"field": "since", "type": "temporal", "title": plain(_("from")), "format": LONG},
        {"field": "name", "type": "nominal", "title": plain(_("what"))},
        {"field": "value", "type": "quantitative", "title": plain(title), "format": form},
    ]
