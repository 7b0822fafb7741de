"""The risks by likelihood and impact, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from app.studio.chart_specs import INK, Chart, kept
from app.studio.project import choices, risks
from app.studio.project.schema import Risk
from app.studio.project.wording import plain
from pipeline.i18n import _

COLOURS = {"low": "#DDEFE3", "medium": "#FBE7C6", "high": "#F6CFCB"}  # each with dark text on it
GRADES = (1, 2, 3, 4, 5)


@kept
def chart(register: Sequence[Risk]) -> Chart:
    """Return a table of 25 cells: its level in words, and how many risks lie in each."""
    import altair as alt
    import pandas as pd

    cells = risks.matrix(register)
    rows = []
    for likelihood in GRADES:
        for impact in GRADES:
            names = cells.get((likelihood, impact), [])
            level = risks.level(likelihood * impact)
            rows.append(
                {
                    "likelihood": plain(choices.LIKELIHOOD[str(likelihood)]),
                    "impact": plain(choices.IMPACT[str(impact)]),
                    "level": plain(risks.LEVELS[level]),
                    "count": str(len(names)) if names else "",
                    "names": "; ".join(names) or "–",
                }
            )
    across = [plain(choices.IMPACT[str(one)]) for one in GRADES]
    up = [plain(choices.LIKELIHOOD[str(one)]) for one in reversed(GRADES)]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("impact:N", sort=across, title=plain(_("Impact")),
                axis=alt.Axis(labelAngle=0, labelAlign="center", labelOverlap=False, ticks=False,
                             labelExpr="split(datum.label, ' ')")),
        y=alt.Y("likelihood:N", sort=up, title=plain(_("Likelihood")),
                axis=alt.Axis(labelLimit=160, ticks=False)),
        tooltip=[alt.Tooltip("names:N", title=plain(_("Risks"))),
                 alt.Tooltip("level:N", title=plain(_("Level")))],
    )  # fmt: skip
    colour = alt.Color(
        "level:N", title=None, legend=None,
        scale=alt.Scale(domain=[plain(one) for one in risks.LEVELS.values()],
                        range=[COLOURS[one] for one in risks.LEVELS]),
    )  # fmt: skip
    squares = base.mark_rect(stroke="white", strokeWidth=2).encode(color=colour)
    counts = base.mark_text(fontSize=18, fontWeight="bold", color=INK, dy=-5).encode(text="count:N")
    words = base.mark_text(fontSize=10, color="#4A5563", dy=14).encode(text="level:N")
    return alt.layer(squares, counts, words).properties(height=360)
