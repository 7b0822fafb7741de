"""The charts of all views: one look, readable without colours, described for screen readers.

A function takes rows and words that are in the reader's language already, and returns what
Vega-Lite draws, kept by ``chart_specs``; ``show`` draws it with a text that says what there is to
see. Names of fields are our own, so that data never reach Vega's little language. Series differ by
colour and by dash, form or a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from app.studio.chart_specs import Chart, Spec, kept
from app.studio.speech import number, percent, plain
from pipeline.errors import Text
from pipeline.i18n import _

if TYPE_CHECKING:
    import altair as alt

BLUE, ORANGE, GREEN, RED, GREY = "#0F6CBD", "#B3560B", "#1B7F4B", "#B4232F", "#6B7280"
PURPLE, PINK, TEAL = "#6D4AA8", "#B03A78", "#0E7490"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, GREY, PINK, TEAL, RED)
DASHES = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2), (1, 3), (10, 4), (4, 1), (3, 3, 1, 3))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke", "arrow")
ROW, FRAME = 30, 74  # pixels of a line of a chart, and around all of them
LABEL = 260  # pixels that a name may take
TALL = 260
MOST_BARS = 40  # a longer list is a table, not a chart

Point = tuple[float, float]


def show(chart: Spec, alt_text: Text, key: str) -> None:
    """Draw a chart over the width of the page.

    :param alt_text: what there is to see, for who does not see it.
    """
    st.vega_lite_chart(spec=chart.content, key=key, width="stretch", alt=plain(alt_text))


def height(lines: int) -> int:
    """Return the height of a chart with so many lines."""
    return FRAME + ROW * max(1, lines)


@kept
def bars(values: Mapping[str, float], title: Text, *, shares: bool = False) -> Chart:
    """Return a bar for each name, in their order, its number at its end.

    :param title: what is counted.
    :param shares: whether the numbers are shares, shown as per cents.
    """
    import altair as alt
    import pandas as pd

    most = dict(list(values.items())[:MOST_BARS])
    told = percent if shares else number
    frame = pd.DataFrame(
        {"name": most.keys(), "value": most.values(), "shown": [told(one) for one in most.values()]}
    )
    base = alt.Chart(frame).encode(y=names_of(list(most)))
    drawn = base.mark_bar(color=BLUE, height={"band": 0.7}).encode(
        x=alt.X("value:Q", title=plain(title), axis=axis(shares=shares)),
        tooltip=tips(name=None, shown=title),
    )
    told_text = base.mark_text(align="left", dx=4).encode(x="value:Q", text="shown:N")
    return alt.layer(drawn, told_text).properties(height=height(len(most)))


@kept
def stacked(
    rows: Sequence[tuple[str, str, float]],
    title: Text,
    *,
    parts: Sequence[str],
    shares: bool = False,
) -> Chart:
    """Return a bar for each name that is divided into parts, each with its number inside.

    :param rows: name of the bar, name of the part, number.
    :param parts: in their order; the legend names them.
    :param shares: whether every bar is drawn as long as the others, as its parts' shares.
    """
    import altair as alt
    import pandas as pd

    given = list(dict.fromkeys(name for name, _part, _value in rows))[:MOST_BARS]
    most = [row for row in rows if row[0] in given]
    total = {name: sum(value for one, _part, value in most if one == name) for name in given}
    frame = pd.DataFrame(
        {
            "name": [name for name, _part, _value in most],
            "part": [part for _name, part, _value in most],
            "order": [list(parts).index(part) for _name, part, _value in most],
            "value": [value for _name, _part, value in most],
            "shown": [number(value) for _name, _part, value in most],
            "wide": [value >= 0.07 * max(total[name], 1) for name, _part, value in most],
            "share": [
                percent(value / total[name]) if total[name] else "" for name, _p, value in most
            ],
        }
    )
    how: Literal["normalize", "zero"] = "normalize" if shares else "zero"
    base = alt.Chart(frame).encode(
        y=names_of(given),
        x=alt.X("value:Q", stack=how, title=plain(title), axis=axis(shares=shares)),
        order=alt.Order("order:Q"),
    )
    scale = alt.Scale(domain=list(parts), range=list(SERIES[: len(parts)]))
    drawn = base.mark_bar(height={"band": 0.7}, stroke="white").encode(
        color=alt.Color("part:N", scale=scale, title=None, legend=legend()),
        tooltip=tips(name=None, part=None, shown=title, share=_("share")),
    )
    inside = base.mark_text(color="white", fontWeight="bold").encode(
        x=alt.X("value:Q", stack=how, bandPosition=0.5),
        text=alt.condition("datum.wide", "shown:N", alt.value("")),
        detail="part:N",
    )
    return alt.layer(drawn, inside).properties(height=height(len(given)) + 64)


@kept
def waterfall(rows: Sequence[tuple[str, str, float, float]], title: Text) -> Chart:
    """Return what came in, what each step took away and what is left, from the top down.

    :param rows: name, kind (``in``, ``dropped`` or ``out``), the left and the right end.
    """
    import altair as alt
    import pandas as pd

    signs = {"in": "", "dropped": "−", "out": ""}
    frame = pd.DataFrame(
        {
            "name": [name for name, _kind, _low, _high in rows],
            "low": [low for _name, _kind, low, _high in rows],
            "high": [high for _name, _kind, _low, high in rows],
            "colour": [
                {"in": GREY, "dropped": ORANGE, "out": BLUE}[kind] for _name, kind, *_ends in rows
            ],
            "shown": [f"{signs[kind]}{number(high - low)}" for _name, kind, low, high in rows],
        }
    )
    base = alt.Chart(frame).encode(y=names_of([name for name, *_rest in rows]))
    drawn = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X("low:Q", title=plain(title), axis=axis()),
        x2="high:Q",
        color=alt.Color("colour:N", scale=None),
        tooltip=tips(name=None, shown=title),
    )
    told = base.mark_text(align="left", dx=4).encode(x="high:Q", text="shown:N")
    return alt.layer(drawn, told).properties(height=height(len(rows)))


@kept
def curves(
    series: Mapping[str, Sequence[Point]], x: Text, y: Text, *, marks: Sequence[float] = ()
) -> Chart:
    """Return a line for each series; they differ by colour and dash.

    :param series: name → points.
    :param marks: places on the horizontal axis that a thin line points out.
    """
    import altair as alt
    import pandas as pd

    rows = [(name, *point) for name, points in series.items() for point in points]
    frame = pd.DataFrame(rows, columns=["name", "x", "y"])
    frame["shown"] = [number(one) for one in frame["y"]]
    given = list(series)
    drawn = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22) if len(rows) < 200 else False)
        .encode(
            x=alt.X("x:Q", title=plain(x), axis=axis()),
            y=alt.Y("y:Q", title=plain(y), scale=alt.Scale(zero=False)),
            color=coloured(given),
            strokeDash=alt.StrokeDash(
                "name:N",
                scale=alt.Scale(domain=given, range=[list(one) for one in spread(DASHES, given)]),
                title=None,
                legend=legend() if len(given) > 1 else None,
            ),
            tooltip=tips(name=None, x=x, shown=y),
        )
    )
    rules = alt.Chart(pd.DataFrame({"x": list(marks)})).mark_rule(color=GREY, strokeDash=[4, 4])
    layers = [drawn, rules.encode(x="x:Q")] if marks else [drawn]
    return alt.layer(*layers).properties(height=TALL)


@kept
def scatter(rows: Sequence[tuple[str, str, float, float]], x: Text, y: Text) -> Chart:
    """Return points with their names beside them; kinds differ by colour and form.

    :param rows: name, kind, horizontal and vertical place.
    """
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["name", "kind", "x", "y"])
    frame["across"] = [number(one) for one in frame["x"]]
    frame["up"] = [number(one) for one in frame["y"]]
    kinds = list(dict.fromkeys(frame["kind"]))
    base = alt.Chart(frame).encode(
        x=alt.X("x:Q", title=plain(x), scale=alt.Scale(zero=False, padding=20)),
        y=alt.Y("y:Q", title=plain(y), scale=alt.Scale(zero=False, padding=20)),
    )
    drawn = base.mark_point(size=90, filled=True, opacity=1).encode(
        color=coloured(kinds, field="kind"),
        shape=alt.Shape(
            "kind:N", scale=alt.Scale(domain=kinds, range=list(spread(SHAPES, kinds))), title=None
        ),
        tooltip=tips(name=None, kind=None, across=x, up=y),
    )
    told = base.mark_text(align="left", dx=8, limit=LABEL).encode(text="name:N")
    return alt.layer(drawn, told).properties(height=TALL + 60)


def names_of(given: Sequence[str]) -> alt.Y:
    """Return the axis of names, in their order, none of them cut short."""
    import altair as alt

    return alt.Y(
        "name:N",
        sort=list(given),
        title=None,
        axis=alt.Axis(labelLimit=LABEL, labelOverlap=False, ticks=False),
    )


def axis(*, shares: bool = False) -> alt.Axis:
    """Return an axis of numbers."""
    import altair as alt

    return alt.Axis(format="%" if shares else "~s", tickCount=6, labelFlush=True)


def legend() -> alt.Legend:
    """Return a legend above the chart whose words are not cut short."""
    import altair as alt

    return alt.Legend(orient="top", labelLimit=LABEL)


def coloured(given: Sequence[str], field: str = "name") -> alt.Color:
    """Return a colour for each name; with one name there is no legend."""
    import altair as alt

    scale = alt.Scale(domain=list(given), range=list(spread(SERIES, given)))
    shown = legend() if len(given) > 1 else None
    return alt.Color(f"{field}:N", scale=scale, title=None, legend=shown)


def spread(values: Sequence[Any], given: Sequence[str]) -> list[Any]:
    """Return as many values as there are names, from the start again where they run out."""
    return [values[at % len(values)] for at in range(len(given))]


def tips(**fields: Text | None) -> list[alt.Tooltip]:
    """Return what is shown under the pointer: field → its title, None for the bare value."""
    import altair as alt

    return [
        alt.Tooltip(f"{name}:N", title=" " if title is None else plain(title))
        for name, title in fields.items()
    ]
