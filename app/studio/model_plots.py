"""Charts over an axis of numbers: reliability, more data, variants, trials.

As in ``model_charts``: rows come in, what Vega-Lite draws goes out, and no chart speaks by colour
alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.studio.chart_specs import Chart, kept
from app.studio.charts import BLUE, GREEN, GREY, LABEL, ORANGE, RED
from app.studio.model_charts import Row, tips
from app.studio.speech import plain
from pipeline.errors import Text
from pipeline.i18n import _


@kept
def reliability(points: Sequence[Row]) -> Chart:
    """Return how often answers of a confidence were right; on the line they mean what they say."""
    import altair as alt
    import pandas as pd

    lines = pd.DataFrame(
        [
            {
                "confidence": one["confidence"],
                "right": one["accuracy"],
                "records": one["records"],
            }
            for one in points
        ]
    )
    whole = alt.Scale(domain=[0, 1])
    ideal = (
        alt.Chart(pd.DataFrame({"confidence": [0, 1], "right": [0, 1]}))
        .mark_line(strokeDash=[4, 4], color=GREY)
        .encode(x="confidence:Q", y="right:Q")
    )
    base = alt.Chart(lines).encode(
        x=alt.X("confidence:Q", scale=whole, title=plain(_("Confidence")),
                axis=alt.Axis(format=".0%")),
        y=alt.Y("right:Q", scale=whole, title=plain(_("Share of right answers")),
                axis=alt.Axis(format=".0%")),
    )  # fmt: skip
    found = base.mark_line(color=BLUE, opacity=0.5)
    marks = base.mark_circle(color=BLUE, opacity=0.9).encode(
        size=alt.Size("records:Q", scale=alt.Scale(range=[30, 400]),
                      legend=alt.Legend(title=plain(_("Answers")), orient="bottom",
                                        tickCount=3)),
        tooltip=tips("confidence", "right", "records"),
    )  # fmt: skip
    return alt.layer(ideal, found, marks).properties(height=320)


@kept
def learning_curve(points: Sequence[Row], doubled: float | None, title: Text) -> Chart:
    """Return the figure by number of training records, and what twice as many would bring."""
    import altair as alt
    import pandas as pd

    lines = pd.DataFrame([{key: one[key] for key in ("records", "mean", "low", "high")}
                          for one in points])  # fmt: skip
    across = alt.X(
        "records:Q", title=plain(_("Training records")), axis=alt.Axis(format="~s", tickCount=6)
    )
    scale = alt.Scale(zero=False)
    base = alt.Chart(lines)
    band = base.mark_area(opacity=0.18, color=BLUE).encode(
        x=across, y=alt.Y("low:Q", scale=scale, title=plain(title)), y2="high:Q"
    )
    line = base.mark_line(color=BLUE, point=True).encode(
        x=across,
        y=alt.Y("mean:Q", scale=scale, title=plain(title)),
        tooltip=tips("records", "mean", "low", "high"),
    )
    layers = [band, line]
    if doubled is not None:
        last = points[-1]
        ahead = pd.DataFrame(
            {
                "records": [last["records"], 2 * last["records"]],
                "mean": [last["mean"], doubled],
                "name": ["", plain(_("expected"))],
            }
        )
        dashed = alt.Chart(ahead).encode(x="records:Q", y="mean:Q")
        layers.append(dashed.mark_line(color=ORANGE, strokeDash=[5, 4]))
        layers.append(dashed.mark_point(color=ORANGE, shape="diamond", size=60))
        layers.append(dashed.mark_text(color=ORANGE, dy=-12, align="right").encode(text="name:N"))
    return alt.layer(*layers).properties(height=320)


STATES: tuple[tuple[str, Text, str, str], ...] = (
    ("ships", _("ships"), GREEN, "circle"),
    ("kept", _("keeps parity and all gates"), BLUE, "square"),
    ("refused", _("refused"), RED, "cross"),
    ("original", _("the trained model"), GREY, "diamond"),
)


@kept
def pareto(
    rows: Sequence[Row], front: Sequence[int], price: str, titles: tuple[Text, Text]
) -> Chart:
    """Return quality over a price; the dashed line joins the variants that none beats.

    :param rows: with ``number``, ``name``, ``state``, ``quality``, ``low``, ``high`` and prices.
    :param front: positions of the rows on the front.
    :param price: key of the price.
    :param titles: of the price and of the quality.
    """
    import altair as alt
    import pandas as pd

    words = {key: plain(text) for key, text, _colour, _form in STATES}
    lines = pd.DataFrame(
        [
            {
                "number": str(row["number"]),
                "name": row["name"],
                "state": words[row["state"]],
                "price": row[price],
                "quality": row["quality"],
                "low": row["low"],
                "high": row["high"],
            }
            for row in rows
        ]
    )
    domain = list(words.values())
    legend = alt.Legend(title=None, orient="bottom", columns=2, labelLimit=LABEL,
                        symbolOpacity=1)  # fmt: skip
    colours = alt.Scale(domain=domain, range=[one[2] for one in STATES])
    forms = alt.Scale(domain=domain, range=[one[3] for one in STATES])
    colour = alt.Color("state:N", scale=colours, legend=legend)
    form = alt.Shape("state:N", scale=forms, legend=legend)
    ends_of = [0.8 * float(lines["price"].min()), 1.3 * float(lines["price"].max())]
    across = alt.X("price:Q", scale=alt.Scale(type="log", nice=False, domain=ends_of),
                   title=plain(titles[0]), axis=alt.Axis(format="~g", tickCount=5))  # fmt: skip
    up = alt.Y("quality:Q", scale=alt.Scale(zero=False), title=plain(titles[1]))
    base = alt.Chart(lines)
    steps = (
        alt.Chart(lines.iloc[list(front)])
        .mark_line(interpolate="step-after", strokeDash=[4, 4], color=GREY)
        .encode(x=across, y=up)
    )
    ends = base.mark_rule(opacity=0.35).encode(x=across, y=alt.Y("low:Q"), y2="high:Q",
                                               color=colour)  # fmt: skip
    points = base.mark_point(size=110, filled=True, opacity=1).encode(
        x=across, y=up, color=colour, shape=form, tooltip=tips("name", "state", "price", "quality")
    )
    sides = [  # two variants that lie on one place keep their numbers apart
        base.transform_filter(f"toNumber(datum.number) % 2 == {odd}")
        .mark_text(dx=dx, dy=-10, fontSize=12)
        .encode(x=across, y=up, text="number:N")
        for odd, dx in ((1, 11), (0, -11))
    ]
    return alt.layer(steps, ends, points, *sides).properties(height=390)


@kept
def trials(rows: Sequence[Row], title: Text) -> Chart:
    """Return the figure of each trial as a point, and the best until then as a line."""
    import altair as alt
    import pandas as pd

    lines = pd.DataFrame(list(rows), columns=["trial", "value", "best"])
    across = alt.X("trial:Q", title=plain(_("trial")), axis=alt.Axis(tickMinStep=1, format="d"))
    scale = alt.Scale(zero=False)
    base = alt.Chart(lines)
    points = base.mark_point(size=60, filled=True, color=BLUE).encode(
        x=across,
        y=alt.Y("value:Q", scale=scale, title=plain(title)),
        tooltip=tips("trial", "value", "best"),
    )
    best = base.mark_line(interpolate="step-after", color=ORANGE, strokeDash=[5, 3]).encode(
        x=across, y=alt.Y("best:Q", scale=scale, title=plain(title))
    )
    return alt.layer(best, points).properties(height=260)
