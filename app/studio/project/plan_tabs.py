"""The tabs of the plan that say when, by whom, for how much, and what can go wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import streamlit as st

from app.studio import charts, roles
from app.studio.chart_specs import Chart, kept
from app.studio.project import (
    budget,
    choices,
    document,
    gantt,
    matrix,
    printing,
    risks,
    schedule,
    schema,
)  # fmt: skip
from app.studio.project.drawing import part_form, rows_button, table_form
from app.studio.project.rows import frame_of
from app.studio.project.tabs import Page, cards, whole_money
from app.studio.project.wording import day, plain, say, worded
from app.studio.reading import spreadsheet
from app.studio.speech import language, literal, number, percent
from pipeline.i18n import Message, _

GRAVEST = 6
TASKS = {"name": 165, "phase": 115, "days": 72, "days_most": 130, "after": 110, "owner": 95,
         "done": 125, "start": 130}  # fmt: skip
REGISTER = {"name": 190, "kind": 120, "likelihood": 110, "impact": 95, "owner": 85,
            "measure": 215, "answer": 180, "sign": 260}  # fmt: skip


def when(page: Page) -> None:
    """Draw the Gantt chart, and the tables of tasks and milestones."""
    line, plan = page.evidence.timeline, page.plan.schedule
    for problem in line.problems:
        st.warning(say(problem), icon=":material/warning:")
    if line.bars:
        ends(page)
        told = _("Gantt chart of {count} tasks, from {first} to {last}.", count=len(line.bars),
                 first=min(bar.start for bar in line.bars), last=line.worst_end or "")  # fmt: skip
        drawn = gantt.chart(line, page.evidence.today, plan.deadline)
        charts.show(drawn, worded(told), "project.gantt")
        st.caption(say(_("Dark: done. Light: as expected. Grey: at worst. Days are working days.")))
    tasks = page.form("schedule.tasks", schema.Task, _("Tasks"))
    st.subheader(say(_("Tasks")), anchor=False)
    if not plan.tasks:
        st.caption(say(_("None yet. Begin with the usual phases, and change what is different.")))
        rows_button(tasks, _("Fill in the usual phases"), lambda: schedule.usual(plain))
    table_form(tasks, widths=TASKS)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(say(_("Milestones")), anchor=False)
        table_form(
            page.form("schedule.milestones", schema.Milestone, _("Milestones")),
            widths={"name": 140, "on": 95, "after": 125, "reached": 85},
        )
    with right:
        st.subheader(say(_("Start and deadline")), anchor=False)
        title = _("Start and deadline")
        part_form(page.form("schedule", schema.Schedule, title))


def ends(page: Page) -> None:
    """Draw how far it is, when it ends and by when it has to."""
    line, deadline = page.evidence.timeline, page.plan.schedule.deadline
    late = bool(deadline and line.worst_end and line.worst_end > deadline)
    sign = ":material/warning: " if late else ""
    cards(
        (_("done"), percent(line.done, 0), None),
        (_("ends as expected"), literal(day(line.end)), None),
        (_("ends at worst"), sign + literal(day(line.worst_end)),
         _("after the deadline") if late else None),
        (_("deadline"), literal(day(deadline)) if deadline else say(_("not set yet")), None),
    )  # fmt: skip


def money(page: Page) -> None:
    """Draw the budget, and the tables of people, computing and other spending."""
    plan = page.plan
    sums = budget.added_up(plan)
    if sums.empty and sums.limit is None:
        st.caption(say(_("Nothing is planned yet. Begin with the people, and what they cost.")))
    else:
        totals(sums, plan.budget.currency)
    if sums.over:
        st.error(say(_("More is planned or spent than there is.")), icon=":material/error:")
    if not sums.empty:
        spending(sums)
    last_training(page)
    st.subheader(say(_("People")), anchor=False)
    table_form(page.form("resources.people", schema.Person, _("People")))
    st.subheader(say(_("Computing")), anchor=False)
    table_form(
        page.form("resources.machines", schema.Machine, _("Computing")),
        widths={"what": 140, "kind": 110, "use": 140},
    )
    st.subheader(say(_("Other spending")), anchor=False)
    table_form(
        page.form("budget.lines", schema.Spending, _("Other spending")),
        widths={"item": 280, "kind": 160},
    )
    st.subheader(say(_("Budget")), anchor=False)
    part_form(page.form("budget", schema.Budget, _("Budget")), columns=3)


def totals(sums: budget.Sums, currency: str) -> None:
    """Draw what is planned, spent, there and left."""

    def told(value: float | None) -> str:
        return say(_("not set yet")) if value is None else literal(whole_money(value, currency))

    cards(
        (_("planned, with reserve"), told(sums.total), None),
        (_("spent"), told(sums.all_spent), None),
        (_("budget"), told(sums.limit), None),
        *([(_("still left"), told(sums.left), None)] if sums.limit is not None else []),
    )


def spending(sums: budget.Sums) -> None:
    """Draw what is planned and spent, by kind."""
    rows = []
    for kind, title in budget.KINDS.items():
        if sums.planned[kind] or sums.spent[kind]:
            rows.append((plain(title), plain(_("planned")), sums.planned[kind]))
            rows.append((plain(title), plain(_("spent")), sums.spent[kind]))
    charts.show(bars(rows), _("Planned and spent money by kind."), "project.spending")


@kept
def bars(rows: list[tuple[str, str, float]]) -> Chart:
    """Return two bars a kind, one for each side; the legend names them."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["name", "side", "value"])
    frame["shown"] = [number(one, 0) for one in frame["value"]]
    names, sides = list(dict.fromkeys(frame["name"])), list(dict.fromkeys(frame["side"]))
    base = alt.Chart(frame).encode(
        y=charts.names_of(names), yOffset=alt.YOffset("side:N", sort=sides)
    )
    drawn = base.mark_bar(height={"band": 0.85}).encode(
        x=alt.X("value:Q", title=None, axis=charts.axis()),
        color=charts.coloured(sides, field="side"),
        tooltip=charts.tips(name=None, side=None, shown=None),
    )
    told = base.mark_text(align="left", dx=4).encode(x="value:Q", text="shown:N")
    return alt.layer(drawn, told).properties(height=60 + 50 * len(names))


def last_training(page: Page) -> None:
    """Draw what the last training took, as it was measured."""
    taken = page.evidence.measured.training
    if taken is None:
        return
    time = timedelta(seconds=taken.seconds)
    told = _("The last training took {time} here.", time=time)
    if taken.kwh is not None and taken.co2_kg is not None:
        told = _("The last training took {time}, {kwh} kWh and caused {co2} g of CO₂.",
                 time=time, kwh=taken.kwh, co2=taken.co2_kg * 1000)  # fmt: skip
    st.caption(f":material/bolt: {say(told)}")


def wrong(page: Page) -> None:
    """Draw what the files show, the matrix, the gravest risks and the register."""
    plan = page.plan
    noticed(page)
    if plan.risks:
        left, right = st.columns([5, 4], gap="large")
        with left:
            told = _("{count} open risks by likelihood and impact.",
                     count=len(risks.living(plan.risks)))  # fmt: skip
            charts.show(matrix.chart(plan.risks), told, "project.matrix")
        with right:
            gravest(page)
    form = page.form("risks", schema.Risk, _("Risk register"))
    st.subheader(say(_("Risk register")), anchor=False)
    missing = risks.usual(plain, plan.risks)
    if missing:
        st.caption(say(_("Projects of this kind usually have some risks that are not here yet.")))
        rows_button(form, _("Add the usual risks"), lambda: missing)
    table_form(form, widths=REGISTER)
    download(
        _("Register as a table"),
        lambda: spreadsheet(frame_of(schema.Risk, [one.model_dump() for one in plan.risks])),
        ("risks.csv", "text/csv"),
    )


def noticed(page: Page) -> None:
    """Draw the risks that the project's own files show."""
    found = list(risks.noticed(page.plan, page.evidence.measured, page.evidence.timeline))
    if not found:
        return
    with st.container(border=True):
        st.markdown(f"**{say(_('What the files of the project show'))}**")
        for one in found:
            icon = risks.ICONS["high" if one.grave else "medium"]
            st.markdown(f"{icon} {say(choices.RISKS[one.kind])}: {say(one.told)}")


def gravest(page: Page) -> None:
    """Draw the gravest risks with who watches them."""
    st.markdown(f"**{say(_('The gravest'))}**")
    for one in risks.living(page.plan.risks)[:GRAVEST]:
        points = risks.score(one)
        level = risks.level(points)
        owner = literal(one.owner) if one.owner.strip() else say(_("nobody watches it"))
        st.markdown(
            f"{risks.ICONS[level]} **{literal(one.name)}**  \n"
            f"{say(risks.LEVELS[level])} ({points}) · :material/person: {owner}"
        )


def paper(page: Page) -> None:
    """Draw the document, and the buttons that hand it out."""
    blocks = document.blocks(page.evidence, page.project.name)
    name = page.project.name
    text = printing.markdown(blocks)
    left, right = st.columns(2)
    with left:
        download(
            _("Document to print (HTML)"),
            lambda: printing.html(blocks, page.plan.about.name or name, language()).encode(),
            (f"{name}.html", "text/html"),
        )
    with right:
        download(
            _("Document as Markdown"), text.encode, (f"{name}.md", "text/markdown")
        )  # fmt: skip
    with st.container(border=True):
        st.markdown(text)


def download(label: Message, content: Callable[[], bytes], file: tuple[str, str]) -> None:
    """Draw a button that hands out what is made when it is pressed."""
    reason = roles.why_not(roles.DOWNLOAD)
    name, mime = file

    def made() -> bytes:
        roles.require(roles.DOWNLOAD, name)
        return content()

    st.download_button(
        say(label),
        made,
        file_name=name,
        mime=mime,
        key=f"project.download.{mime}",
        icon=":material/download:",
        disabled=reason is not None,
        help=say(reason) if reason else None,
        on_click="ignore",
    )
