"""The schedule as a picture: for the page an Altair chart, for the document a plain SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from html import escape
from typing import Any

from app.studio.chart_specs import INK, Chart, kept
from app.studio.charts import BLUE, GREEN, GREY, PURPLE, RED
from app.studio.project import choices
from app.studio.project.schedule import Bar, Mark, State, Timeline
from app.studio.project.wording import day, plain
from pipeline.i18n import Message, _

STATES: dict[State, Message] = {
    "done": _("done"),
    "now": _("under way"),
    "late": _("late"),
    "planned": _("planned"),
}
SIGNS: dict[State, str] = {"done": "✓", "now": "▶", "late": "!", "planned": "○"}
COLOURS: dict[State, str] = {"done": GREEN, "now": BLUE, "late": RED, "planned": GREY}
RESERVE = "#D5DCE6"
WIDTH, LABELS, ROW, TOP = 960, 300, 26, 40  # pixels of the SVG
WIDE = 2  # what a Chinese character takes, in half widths
ROOM = 40  # half widths of a label


def rows(timeline: Timeline) -> list[dict[str, Any]]:
    """Return one row a bar, with words; ends are the midnights after the last days."""
    one = timedelta(days=1)
    return [
        {
            "name": bar.task.name,
            "sign": f"{SIGNS[bar.state]} {bar.task.done} %",
            "state": plain(STATES[bar.state]),
            "start": midnight(bar.start),
            "end": midnight(bar.end + one),
            "reached": midnight(bar.start + (bar.end + one - bar.start) * bar.task.done / 100),
            "worst": midnight(max(bar.worst_end, bar.end) + one),
            "first": day(bar.start),
            "last": day(bar.end),
            "latest": day(bar.worst_end),
            "owner": bar.task.owner or "–",
            "phase": plain(choices.PHASES[bar.task.phase]),
            "critical": plain(_("yes") if bar.critical else _("no")),
        }
        for bar in timeline.bars
    ]


def midnight(day: date) -> str:
    """Return when a day begins where the reader is; Vega takes a bare date for one in UTC."""
    return f"{day.isoformat()}T00:00:00"


@kept
def chart(timeline: Timeline, today: date, deadline: date | None) -> Chart:
    """Return the Gantt chart: bars by state with sign and share, reserve, milestones, today."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame(rows(timeline))
    names = [*frame["name"], *(row_of(one) for one in timeline.marks if one.on)]
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=names, title=None,
                axis=alt.Axis(labelLimit=LABELS, ticks=False, labelPadding=8)),
        tooltip=tips(),
    )  # fmt: skip
    days_axis = alt.Axis(format="%Y-%m-%d", labelAngle=0, tickCount=8, labelOverlap=True)
    x = alt.X("start:T", title=None, axis=days_axis)
    reserve = base.mark_bar(color=RESERVE, height={"band": 0.35}).encode(x=x, x2="worst:T")
    colour = alt.Color(
        "state:N", title=None,
        scale=alt.Scale(domain=[plain(one) for one in STATES.values()],
                        range=[COLOURS[one] for one in STATES]),
        legend=alt.Legend(orient="top", labelLimit=LABELS, symbolType="square"),
    )  # fmt: skip
    expected = base.mark_bar(opacity=0.45, height={"band": 0.7}).encode(
        x=x, x2="end:T", color=colour
    )
    reached = base.mark_bar(height={"band": 0.7}).encode(x=x, x2="reached:T", color=colour)
    told = base.mark_text(align="left", dx=5, color=INK, fontSize=11).encode(
        x=alt.X("worst:T"), text="sign:N"
    )
    layers = [reserve, expected, reached, told, *diamonds(timeline, names), *days(today, deadline)]
    return alt.layer(*layers).properties(height=70 + 30 * len(names))


def tips() -> list[Any]:
    """Return what is shown under the pointer."""
    import altair as alt

    titles = {
        "name": _("Task"), "phase": _("Phase"), "owner": _("Owner"), "state": _("State"),
        "first": _("First day"), "last": _("Last day"), "latest": _("At worst"),
        "critical": _("Delays the end"),
    }  # fmt: skip
    return [alt.Tooltip(f"{name}:N", title=plain(title)) for name, title in titles.items()]


def days(today: date, deadline: date | None) -> Iterator[Any]:
    """Yield lines for today and the deadline."""
    import altair as alt
    import pandas as pd

    lines = [(today, plain(_("today")), INK, [4, 3])]
    lines += [(deadline, plain(_("deadline")), COLOURS["late"], [1, 0])] if deadline else []
    for on, word, colour, dash in lines:
        frame = pd.DataFrame({"on": [midnight(on)], "word": [word]})
        base = alt.Chart(frame).encode(x="on:T")
        yield base.mark_rule(color=colour, strokeDash=dash, strokeWidth=1.5)
        yield base.mark_text(align="left", dx=4, dy=-6, color=colour, baseline="bottom").encode(
            text="word:N", y=alt.value(0)
        )


def diamonds(timeline: Timeline, order: Sequence[str]) -> Iterator[Any]:
    """Yield a row for each milestone: a diamond, filled when it is reached, and the day."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame(
        {
            "name": [row_of(one) for one in timeline.marks if one.on],
            "on": [midnight(one.on) for one in timeline.marks if one.on],
            "day": [day(one.on) for one in timeline.marks if one.on],
        }
    )
    if frame.empty:
        return
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=list(order), title=None),
        x="on:T",
        tooltip=[
            alt.Tooltip("name:N", title=plain(_("Milestone"))),
            alt.Tooltip("day:N", title=plain(_("Day"))),
        ],
    )
    yield base.mark_point(shape="diamond", size=110, filled=True, color=PURPLE, opacity=1)
    yield base.mark_text(align="left", dx=9, color=PURPLE, fontSize=11).encode(text="day:N")


def row_of(mark: Mark) -> str:
    """Return the name of a milestone's row, with a sign that says whether it is reached."""
    return f"{'◆' if mark.milestone.reached else '◇'} {mark.milestone.name}"


def svg(timeline: Timeline, today: date, deadline: date | None) -> str:
    """Return the Gantt chart as an SVG that needs nothing from outside; all text is escaped."""
    bars = timeline.bars
    if not bars:
        return ""
    first = min(bar.start for bar in bars)
    moments = [*(max(bar.end, bar.worst_end) for bar in bars), *([deadline] if deadline else [])]
    moments += [one.on for one in timeline.marks if one.on]
    last = max(moments) + timedelta(days=1)
    span = max(1, (last - first).days)

    def at(moment: date) -> float:
        return LABELS + (WIDTH - LABELS - 60) * (moment - first).days / span

    height = TOP + ROW * len(bars) + ROW * len(timeline.marks) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(plain(_("Gantt chart")))}</title>'
    ]
    parts += months(first, last, at, height)
    for row, bar in enumerate(bars):
        parts += bar_of(bar, TOP + ROW * row, at)
    for row, one in enumerate(timeline.marks, len(bars)):
        if one.on:
            y = TOP + ROW * row + 17
            text = f"{'◆' if one.milestone.reached else '◇'} {day(one.on)}"
            parts.append(label(one.milestone.name, y))
            parts.append(
                f'<text x="{at(one.on):.1f}" y="{y}" fill="{PURPLE}">{escape(text)}</text>'
            )
    for moment, word, colour in (
        (today, _("today"), INK), (deadline, _("deadline"), COLOURS["late"])
    ):  # fmt: skip
        if moment and first <= moment <= last:
            x = at(moment)
            parts.append(
                f'<path d="M{x:.1f} 22V{height}" stroke="{colour}" stroke-dasharray="4 3"/>'
                f'<text x="{x + 3:.1f}" y="32" fill="{colour}">{escape(plain(word))}</text>'
            )
    return "".join([*parts, "</svg>"])


def months(first: date, last: date, at: Any, height: int) -> Iterator[str]:
    """Yield a line and a name for every month, or every quarter of a long schedule."""
    step = 1 if (last - first).days < 400 else 3
    month = date(first.year, first.month, 1)
    while month <= last:
        if month >= first and (month.month - 1) % step == 0:
            yield (
                f'<path d="M{at(month):.1f} 8V{height}" stroke="{RESERVE}"/>'
                f'<text x="{at(month) + 3:.1f}" y="16" fill="{INK}">{month:%Y-%m}</text>'
            )
        month = (month + timedelta(days=32)).replace(day=1)


def bar_of(bar: Bar, y: int, at: Any) -> Iterator[str]:
    """Yield a task: its name, its reserve, its bar and its sign."""
    one = timedelta(days=1)
    left, right = at(bar.start), at(bar.end + one)
    worst = at(max(bar.worst_end, bar.end) + one)
    colour = COLOURS[bar.state]
    yield label(bar.task.name, y + 17)
    yield (
        f'<rect x="{left:.1f}" y="{y + 9}" width="{worst - left:.1f}" height="8" '
        f'fill="{RESERVE}"/>'
        f'<rect x="{left:.1f}" y="{y + 4}" width="{right - left:.1f}" height="18" rx="2" '
        f'fill="{colour}"/>'
        f'<text x="{worst + 4:.1f}" y="{y + 17}">{SIGNS[bar.state]} {bar.task.done} %</text>'
    )


def label(text: str, y: int) -> str:
    """Return a name at the left edge, cut where it would run into the bars."""
    kept, room = "", ROOM
    for letter in text:
        room -= WIDE if ord(letter) > 0x2E7F else 1
        if room < 0:
            kept += "…"
            break
        kept += letter
    return f'<text x="4" y="{y}" fill="{INK}">{escape(kept)}</text>'
