"""Charts of what a model is worth: intervals, bars, confusions, words; ``model_plots`` has more.

Rows come in, what Vega-Lite draws goes out; nothing is drawn here. No chart says by colour alone
what it says: form, place or a text says it too. Names of fields are our own, so that data never
reach Vega's little language; what people wrote stands in values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.studio.chart_specs import Chart, kept
from app.studio.charts import BLUE, FRAME, LABEL, ORANGE
from app.studio.speech import number, plain
from pipeline.errors import Text
from pipeline.i18n import _

if TYPE_CHECKING:
    import altair as alt

CELL = "cell"  # the selection of the confusion table
LINE, EDGE = 36, 96  # pixels of a line with a number above it, and around them
MANY_LABELS = 14  # from here on cells are smaller

EVERY_NAME: Any = {"labelOverlap": False, "labelFlush": False}  # none left out or moved aside

Row = Mapping[str, Any]


@kept
def intervals(
    rows: Sequence[Row],
    title: Text,
    *,
    name: str = "label",
    value: str = "value",
    noted: str | None = None,
) -> Chart:
    """Return a line for each row: its value as a point with a number, its interval as a bar.

    :param name: key of what the line is called.
    :param value: key of the value; ``low`` and ``high`` are the ends, which may be None.
    :param noted: key of a flag; such lines are hollow and make no claim.
    """
    import altair as alt
    import pandas as pd

    lines = pd.DataFrame(
        {
            "name": [plain(row[name]) for row in rows],
            "value": [row[value] for row in rows],
            "low": [row.get("low") for row in rows],
            "high": [row.get("high") for row in rows],
            "shown": [number(row[value]) for row in rows],
            "weak": [bool(noted and row.get(noted)) for row in rows],
        }
    )
    scale = alt.Scale(zero=False, nice=True)
    across = alt.X("value:Q", title=plain(title), scale=scale, axis=alt.Axis(tickCount=8))
    up = alt.Y("name:N", title=None, sort=list(lines["name"]),
               axis=alt.Axis(labelLimit=LABEL, labelOverlap=False))  # fmt: skip
    fill = alt.condition("datum.weak", alt.value("transparent"), alt.value(BLUE))
    base = alt.Chart(lines)
    ends = base.mark_rule(color=BLUE, opacity=0.6, strokeWidth=2).encode(
        x=alt.X("low:Q", title=plain(title), scale=scale, axis=alt.Axis(tickCount=8)),
        x2="high:Q",
        y=up,
    )
    points = base.mark_point(size=70, stroke=BLUE, strokeWidth=2, opacity=1).encode(
        x=across, y=up, fill=fill, tooltip=tips("name", "shown", "low", "high")
    )
    texts = base.mark_text(dy=-11, fontSize=11).encode(x=across, y=up, text="shown:N")
    return alt.layer(ends, points, texts).properties(height=EDGE + LINE * len(rows))


@kept
def confusion(cells: Sequence[Row], *, selects: bool = True) -> Chart:
    """Return the table of what was taken for what; a click on a cell selects it.

    The colour is the share of the row, the number the records.

    :param cells: as ``model_examples.cells`` returns them.
    """
    import altair as alt
    import pandas as pd

    lines = pd.DataFrame(
        [
            {
                "actual": cell["actual"],
                "predicted": cell["predicted"],
                "was": plain(cell["actual_words"]),
                "taken": plain(cell["predicted_words"]),
                "records": cell["records"],
                "share": cell["share"],
                "text": number(cell["records"], 0) if cell["records"] else "·",
            }
            for cell in cells
        ]
    )
    order = list(dict.fromkeys(lines["was"]))
    labels = alt.Axis(labelLimit=150, ticks=False, domain=False, **EVERY_NAME)
    base = alt.Chart(lines).encode(
        x=alt.X("taken:N", sort=order, title=plain(_("was taken for")),
                axis=alt.Axis(labelLimit=120, labelAngle=-45, orient="top", ticks=False,
                              domain=False, **EVERY_NAME)),
        y=alt.Y("was:N", sort=order, title=plain(_("was")), axis=labels),
    )  # fmt: skip
    boxes = base.mark_rect(stroke="white", strokeWidth=1, cursor="pointer").encode(
        color=alt.Color("share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]),
                        legend=alt.Legend(title=plain(_("share of the row")), format=".0%",
                                          orient="right", gradientLength=120)),
        tooltip=tips("was", "taken", "records", "share"),
    )  # fmt: skip
    if selects:
        chosen = alt.selection_point(name=CELL, fields=["actual", "predicted"], toggle=False)
        boxes = boxes.encode(opacity=alt.condition(chosen, alt.value(1.0), alt.value(0.55)))
        boxes = boxes.add_params(chosen)
    size = 22 if len(order) > MANY_LABELS else 42
    texts = base.mark_text(fontSize=10 if len(order) > MANY_LABELS else 12).encode(
        text="text:N",
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#1F2937")),
    )
    return alt.layer(boxes, texts).properties(height=90 + size * len(order))


@kept
def words(found: Sequence[Sequence[Any]]) -> Chart:
    """Return how much each word of a text spoke for the answer, or against it, in their order."""
    import altair as alt
    import pandas as pd

    rows = [
        {"name": f"{at}  {word}", "word": str(word), "weight": float(weight)}
        for at, (word, weight) in enumerate(found, 1)  # a word may come twice
    ]
    lines = pd.DataFrame(rows, columns=["name", "word", "weight"])
    made: alt.Chart = (
        alt.Chart(lines)
        .mark_bar(height=14)
        .encode(
            x=alt.X("weight:Q", title=plain(_("against the answer ← → for the answer"))),
            y=alt.Y("name:N", title=None, sort=list(lines["name"]), axis=alt.Axis(labelLimit=160)),
            color=alt.condition("datum.weight >= 0", alt.value(BLUE), alt.value(ORANGE)),
            tooltip=tips("word", "weight"),
        )
    )
    made.height = FRAME + 20 * max(1, len(rows))
    return made


TIPS: dict[str, tuple[Text, str]] = {
    "name": (_("name"), "N"),
    "shown": (_("value"), "N"),
    "value": (_("value"), "Q"),
    "low": (_("from"), "Q"),
    "high": (_("to"), "Q"),
    "step": (_("step"), "Q"),
    "was": (_("was"), "N"),
    "taken": (_("was taken for"), "N"),
    "records": (_("records"), "Q"),
    "share": (_("share of the row"), "Q"),
    "confidence": (_("Confidence"), "Q"),
    "right": (_("Share of right answers"), "Q"),
    "mean": (_("mean"), "Q"),
    "state": (_("state"), "N"),
    "price": (_("price"), "Q"),
    "quality": (_("quality"), "Q"),
    "trial": (_("trial"), "Q"),
    "best": (_("best until then"), "Q"),
    "word": (_("word"), "N"),
    "weight": (_("weight"), "Q"),
}


def tips(*fields: str) -> list[alt.Tooltip]:
    """Return what stands beside the pointer."""
    import altair as alt

    made = []
    for name in fields:
        title, kind = TIPS[name]
        tip = alt.Tooltip(f"{name}:{kind}", title=plain(title))
        made.append(tip if kind == "N" else tip.format(".4~g"))
    return made
