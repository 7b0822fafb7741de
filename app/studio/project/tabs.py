"""The tabs of the plan that say what is wanted and whether it can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import streamlit as st

from app.studio import model_plan, roles
from app.studio.layout import button, link
from app.studio.project import budget, completeness, feasibility, risks, schema
from app.studio.project.drawing import Form, part_form, table_form
from app.studio.project.feasibility import Evidence, Need
from app.studio.project.fields import Part
from app.studio.project.schedule import Timeline
from app.studio.project.schema import Plan, Risk
from app.studio.project.wording import amount, plain, say
from app.studio.project_files import Project
from app.studio.speech import DASH, duration, literal, number, percent, show_error, size
from pipeline.errors import MofangError, Text
from pipeline.i18n import LANGUAGES, Message, _

TABS = "project_tabs"  # in the session: the open tab
SHOWN = 12  # models that the table shows
EXPLAINED = 3
STARS: dict[bool | None, str] = {
    True: ":material/check_circle:",
    False: ":material/cancel:",
    None: ":material/help:",
}


@dataclass(frozen=True)
class Page:
    """What all tabs draw from."""

    project: Project
    evidence: Evidence
    asked: model_plan.Asked | None

    @property
    def plan(self) -> Plan:
        """The plan as it lies there."""
        return self.evidence.plan

    def form(self, where: str, model: type[Part], title: Message) -> Form:
        """Return the form of a part."""
        return Form(where, model, title, self.project, self.plan)


def overview(page: Page, open_tab: Any) -> None:
    """Draw where the project stands, and what is not written down yet.

    :param open_tab: opens a tab by its name.
    """
    standing(page)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(say(_("Measures of success")), anchor=False)
        measures(page)
        needs(page)
    with right:
        missing(page, open_tab)


def standing(page: Page) -> None:
    """Draw the four figures that sum the project up."""
    verdict = feasibility.whole(feasibility.answers(page.evidence))
    told = f"{feasibility.ICONS[verdict]} {say(feasibility.VERDICTS[verdict])}"
    cards(
        (_("Feasibility"), told, None),
        (_("Timetable"), *progress(page.evidence.timeline)),
        (_("Budget"), *planned(page.plan)),
        (_("Risks"), *grave(page.plan.risks)),
    )


def progress(line: Timeline) -> tuple[str, Text | None]:
    """Return how far the tasks are, and when they end."""
    if line.end is None:
        return say(_("no tasks yet")), None
    return f"{percent(line.done, 0)} {say(_('done'))}", _("ends on {day}", day=line.end)


def planned(plan: Plan) -> tuple[str, Text | None]:
    """Return what is planned to be spent, and what there is."""
    sums, currency = budget.added_up(plan), plan.budget.currency
    remark = _("no budget is set yet")
    if sums.limit is not None:
        remark = _("planned, of {limit}", limit=whole_money(sums.limit, currency))
    if sums.empty:
        return say(_("nothing planned yet")), remark if sums.limit is not None else None
    sign = ":material/error: " if sums.over else ""
    return sign + literal(whole_money(sums.total, currency)), remark


def grave(register: Sequence[Risk]) -> tuple[str, Text | None]:
    """Return how many grave risks are open."""
    if not register:
        return say(_("none written down yet")), None
    living = risks.living(register)
    count = sum(risks.level(risks.score(one)) == "high" for one in living)
    sign = risks.ICONS["high" if count else "low"]
    told = say(_("{count} grave", count=count))
    return f"{sign} {told}", _("of {count} that are open", count=len(living))


def cards(*found: tuple[Text, str, Text | None]) -> None:
    """Draw figures side by side, each with its title and a remark; none of them is cut short."""
    for place, (title, value, remark) in zip(st.columns(len(found)), found, strict=True):
        with place.container(border=True, height="stretch", gap="xsmall"):
            st.caption(say(title))
            st.markdown(f"##### {value}")
            if remark is not None:
                st.caption(say(remark))


def whole_money(value: float, currency: str) -> str:
    """Return an amount of money without its cents."""
    return f"{number(value, 0)} {currency}"


def measures(page: Page) -> None:
    """Draw the measures of success with their values."""
    if not page.plan.success:
        st.caption(say(_("None yet. Write them on tab Requirements.")))
        return
    for one in page.plan.success:
        need = feasibility.success(one, page.evidence.measured)
        icon = STARS[need.met if need else None]
        st.markdown(f"{icon} **{literal(one.name)}**: {say(standing_of(need, one.unit))}")


def needs(page: Page) -> None:
    """Draw what is needed of the model beside what was measured."""
    found = feasibility.needs(page.plan, page.evidence.measured)
    if not found:
        return
    st.subheader(say(_("Performance")), anchor=False)
    for one in found:
        st.markdown(f"{STARS[one.met]} **{say(one.name)}**: {say(standing_of(one))}")


def standing_of(need: Need | None, unit: str = "") -> Message:
    """Return what is needed beside what was measured."""
    if need is None:
        return _("no target yet")
    target = f"{need.sign} {amount(need.target)} {unit}".strip()
    if need.value is None:
        return _("needed {target}, not measured yet", target=target)
    return _("needed {target}, measured {value}", target=target,
             value=f"{amount(need.value)} {unit}".strip())  # fmt: skip


def missing(page: Page, open_tab: Any) -> None:
    """Draw what is written down and what is not, each with the way there."""
    items = completeness.items(page.plan, compared=page.asked is not None)
    open_ones = [one for one in items if not one.done]
    st.subheader(say(_("Still open")), anchor=False)
    done = len(items) - len(open_ones)
    st.progress(done / len(items), text=say(_("{done} of {all} written down",
                                              done=done, all=len(items))))  # fmt: skip
    for at, one in enumerate(open_ones):
        st.button(
            say(one.title),
            key=f"project.open.{at}",
            icon=":material/edit:",
            type="tertiary",
            on_click=open_tab,
            args=(one.tab,),
        )
    if not open_ones:
        st.success(say(_("Everything is written down.")), icon=":material/check_circle:")


def requirements(page: Page) -> None:
    """Draw the forms of what is wanted."""
    st.subheader(say(_("Goal and users")), anchor=False)
    part_form(page.form("about", schema.About, _("Goal and users")))
    st.divider()
    st.subheader(say(_("Measures of success")), anchor=False)
    st.caption(say(_("By what you will tell that it was worth it. A row each; + adds one.")))
    table_form(
        page.form("success", schema.Measure, _("Measures of success")),
        widths={"name": 170, "how": 170, "figure": 190},
    )
    parts: tuple[tuple[str, type[Part], Message], ...] = (
        ("performance", schema.Performance, _("Performance: how well and how fast")),
        ("function", schema.Function, _("Function: what it does, and where it ends")),
        ("data", schema.DataNeeds, _("Data: what is learnt from")),
        ("safety", schema.Safety, _("Safety: what must not happen")),
        ("cost", schema.Cost, _("Cost: what it may take")),
    )
    st.divider()
    st.subheader(say(_("Needs")), anchor=False)
    for where, model, title in parts:
        with st.expander(say(title), expanded=where == "performance"):
            part_form(page.form(where, model, title))


def feasible(page: Page) -> None:
    """Draw whether it can be done, part by part, and what people decided."""
    found = feasibility.answers(page.evidence)
    verdict = feasibility.whole(found)
    box = {"yes": st.success, "conditions": st.warning, "no": st.error, "unknown": st.info}
    title = _("As far as is known, the project is {verdict}.",
              verdict=feasibility.VERDICTS[verdict])  # fmt: skip
    if verdict == "unknown":
        title = _("Whether the project is feasible is not known yet: see what is missing below.")
    box[verdict](say(title), icon=feasibility.ICONS[verdict])
    compare(page)
    places = st.columns(2, gap="medium")
    for at, one in enumerate(found):
        with places[at % 2].container(border=True):
            name = say(feasibility.TITLES[one.part])
            said = say(feasibility.VERDICTS[one.verdict])
            st.markdown(f"**{name}** · {feasibility.ICONS[one.verdict]} {said}")
            for which, why in one.reasons:
                st.markdown(f"{feasibility.ICONS[which]} {say(why)}")
    st.subheader(say(_("Decision")), anchor=False)
    part_form(page.form("decision", schema.Decision, _("Decision")))


def compare(page: Page) -> None:
    """Draw when models were compared, and the button that compares them again."""
    asked, project = page.asked, page.project
    told: Text = _("Models, memory, time and cost have not been estimated yet.")
    if asked is not None:
        told = _("Estimated on {day} for these data and this machine.", day=made(asked))
        if asked.data != model_plan.data_of(project):
            told = _("Estimated on {day}; the data have changed since.", day=made(asked))
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.caption(say(told))
    reason = None
    if not model_plan.can_ask(project):
        reason = _("There are no labelled records yet. Run the data stages first.")
    with right:
        pressed = button(
            _("Estimate now"), roles.START_RUN, key="project.compare",
            icon=":material/calculate:", why_not=reason,
        )  # fmt: skip
    if not pressed:
        return
    try:
        with st.spinner(say(_("Measuring the machine and weighing models: half a minute."))):
            model_plan.ask(project, LANGUAGES)
    except MofangError as error:
        show_error(error)
        return
    st.rerun()


def made(asked: model_plan.Asked) -> date:
    """Return the day of an answer."""
    return date.fromisoformat(asked.made[:10])


def models(page: Page) -> None:
    """Draw the recommended models with their reasons, and which one is taken."""
    compare(page)
    candidates: Sequence[Mapping[str, Any]] = page.asked.candidates if page.asked else ()
    if candidates:
        family(page)
        table(candidates)
        for place, one in enumerate(candidates[:EXPLAINED], 1):
            explain(place, one)
        link("model", _("Take one of them over into the parameters"))
    st.subheader(say(_("Choice")), anchor=False)
    part_form(page.form("models", schema.Models, _("Models")))


def family(page: Page) -> None:
    """Draw which family suits the task, and why."""
    content = page.evidence.asked or {}
    reasons = content.get("why") or ()
    st.markdown(f"**{say(_('Family: {family}', family=content.get('family', '')))}**")
    st.caption(" ".join(literal(one) for one in reasons))


def table(candidates: Sequence[Mapping[str, Any]]) -> None:
    """Draw the models with what they cost."""
    import pandas as pd

    rows = []
    for place, one in enumerate(candidates[:SHOWN], 1):
        estimate = one["estimate"]
        co2 = estimate.get("co2_kg")
        rows.append(
            {
                plain(_("rank")): DASH if one["excluded"] else str(place),
                plain(_("model")): one["name"],
                plain(_("family")): one["family"],
                plain(_("method")): one["method"],
                plain(_("time of training")): duration(estimate["seconds"]),
                plain(_("memory")): size(estimate["peak_memory_bytes"]),
                plain(_("CO₂")): DASH if co2 is None else f"{number(co2 * 1000, 2)} g",
                plain(_("fits")): plain(_("✓ yes") if one["fits"] else _("✗ no")),
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", key="project.models")


def explain(place: int, one: Mapping[str, Any]) -> None:
    """Draw what speaks for and against a model."""
    with st.expander(f"{place}. {literal(one['name'])}", expanded=place == 1):
        left, right = st.columns(2)
        with left:
            for text in one["reasons"]:
                st.markdown(f":material/arrow_right: {literal(text)}")
        with right:
            for text in one["strengths"]:
                st.markdown(f":material/add_circle: {literal(text)}")
            for text in one["weaknesses"]:
                st.markdown(f":material/do_not_disturb_on: {literal(text)}")
