"""Forms for parts of the plan and for its tables: what is wrong stands beside the field.

A form shows what its part was when the form was first drawn, so that typing survives whatever
others save meanwhile; saving then compares, and who comes second decides what stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import streamlit as st

from app.studio import roles
from app.studio.layout import button
from app.studio.project import saving
from app.studio.project.fields import FieldView, Part, views
from app.studio.project.rows import frame_of, rows_of
from app.studio.project.saving import ChangedMeanwhileError
from app.studio.project.schema import Plan
from app.studio.project.wording import plain, say
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.speech import explained, show_error
from pipeline.errors import MofangError, Problem
from pipeline.i18n import Message, _

DRAFTS, TOLD, CONFLICTS = "project_drafts", "project_told", "project_conflicts"
TALL, LOW = 110, 68  # pixels of a text area
FIRST, LAST = date(2000, 1, 1), date(2100, 12, 31)
Place = tuple[str | int, ...]
Problems = Mapping[Place, Problem]


@dataclass
class Draft:
    """What a form began with."""

    seen: Any
    version: int  # counts the beginnings, so that each has widgets of its own


@dataclass(frozen=True)
class Form:
    """One form: a part of the plan, or one of its tables."""

    where: str  # dotted, as in schedule.tasks
    model: type[Part]
    title: Message
    project: Project
    plan: Plan

    @property
    def key(self) -> str:
        """The beginning of the keys of its widgets, another one after each save."""
        return f"project.{self.where}.{draft(self).version}"


def drafts() -> dict[str, Draft]:
    """Return what the forms of this session began with."""
    found: dict[str, Draft] = st.session_state.setdefault(DRAFTS, {})
    return found


def draft(form: Form) -> Draft:
    """Return what a form began with: what lies there now, unless the form stands on the page.

    Streamlit forgets the keys of widgets that were not drawn last time, so a key that is still
    there means that somebody may be typing.
    """
    now = saving.value_at(form.plan, form.where)
    kept = drafts().get(form.where)
    if kept is None:
        kept = drafts()[form.where] = Draft(now, 0)
    elif kept.seen != now and f"project.{form.where}.{kept.version}.save" not in st.session_state:
        kept = drafts()[form.where] = Draft(now, kept.version + 1)
    return kept


def part_form(form: Form, columns: int = 2) -> None:
    """Draw the fields of a part in so many columns, and the button that saves them."""
    seen, key = draft(form).seen, form.key
    with st.form(f"{key}.form", border=False):
        slots: dict[Place, Any] = {}
        values: dict[str, Any] = {}
        places = st.columns(columns, gap="medium")
        for at, field in enumerate(views(form.model)):
            place: Any = st if field.kind == "text" else places[at % columns]
            values[field.name] = entered(place, field, seen[field.name], f"{key}.{field.name}")
            slots[(field.name,)] = place.empty()
        pressed = submitted(key)
    finish(form, {form.where: values}, slots, pressed=pressed)


def submitted(key: str) -> bool:
    """Draw the button that saves a form and return whether it was pressed."""
    reason = roles.why_not(roles.EDIT_PROJECT)
    return bool(
        st.form_submit_button(
            say(_("Save")),
            key=f"{key}.save",
            type="primary",
            icon=":material/save:",
            disabled=reason is not None,
            help=say(reason) if reason else None,
        )
    )


def entered(place: Any, field: FieldView, value: Any, key: str) -> Any:
    """Draw one field and return what stands in it."""
    title = say(field.title)
    if field.unit is not None:
        title = f"{title} ({say(field.unit)})"
    common: dict[str, Any] = {"key": key, "help": say(field.help)}
    if field.kind == "choice":
        names = {code: plain(text) for code, text in field.choices.items()}
        codes = list(names)
        return place.selectbox(
            title, codes, index=codes.index(value), format_func=names.__getitem__, **common
        )
    if field.kind == "text":
        tall = TALL if value and value.count("\n") > 1 else LOW
        return place.text_area(title, value, max_chars=field.longest, height=tall, **common)
    if field.kind == "line":
        return place.text_input(title, value, max_chars=field.longest, **common)
    if field.kind == "day":
        return place.date_input(title, value, min_value=FIRST, max_value=LAST, **common)
    if field.kind == "switch":
        return place.toggle(title, value, **common)
    return numeric(place, field, title, value, common)


def numeric(place: Any, field: FieldView, title: str, value: Any, common: dict[str, Any]) -> Any:
    """Draw the field of a number."""
    whole = field.kind == "whole"
    kind: type = int if whole else float
    low = None if field.low is None else kind(field.low)
    high = None if field.high is None or field.high >= 1e9 else kind(field.high)
    return place.number_input(
        title,
        min_value=low,
        max_value=high,
        value=None if value is None else kind(value),
        step=1 if whole else None,
        format="%d" if whole else "%g",
        placeholder=plain(_("not decided")) if field.optional else None,
        **common,
    )


def table_form(form: Form, *, widths: Mapping[str, int] | None = None) -> None:
    """Draw an editable table of a part's rows, and the button that saves them."""
    seen, key = draft(form).seen, form.key
    with st.form(f"{key}.form", border=False):
        edited = st.data_editor(
            frame_of(form.model, seen),
            key=f"{key}.table",
            num_rows="dynamic",
            hide_index=True,
            width="stretch",
            height="content",
            column_config={
                one.name: column(one, (widths or {}).get(one.name)) for one in views(form.model)
            },
            disabled=not roles.may(roles.EDIT_PROJECT),
            placeholder="",
            alt=plain(form.title),
        )
        slot = st.empty()
        pressed = submitted(key)
    finish(form, {form.where: rows_of(form.model, edited)}, {(): slot}, pressed=pressed)


def column(field: FieldView, width: Any = None) -> Any:
    """Return how a table shows a field."""
    config = st.column_config
    title = plain(field.title) + (f" ({plain(field.unit)})" if field.unit else "")
    common: dict[str, Any] = {"help": say(field.help), "width": width}
    if field.required:
        common["required"] = True
    elif not field.optional:
        common["default"] = field.default
    if field.kind == "choice":
        names = {code: plain(text) for code, text in field.choices.items()}
        return config.SelectboxColumn(
            title, options=list(names), format_func=names.__getitem__, **common
        )
    if field.kind in ("line", "text"):
        return config.TextColumn(title, max_chars=field.longest, **common)
    if field.kind == "day":
        return config.DateColumn(title, min_value=FIRST, max_value=LAST, **common)
    if field.kind == "switch":
        return config.CheckboxColumn(title, **common)
    return config.NumberColumn(
        title,
        min_value=field.low,
        max_value=field.high,
        step=1 if field.kind == "whole" else None,
        **common,
    )


def finish(
    form: Form, changes: Mapping[str, Any], slots: Mapping[Place, Any], *, pressed: bool
) -> None:
    """Save what a form holds if its button was pressed; say what keeps it from that."""
    values = cleaned(changes[form.where])
    if pressed:
        problems = saving.part_problems(form.model, values)
        if problems:
            show_problems(form, problems, slots)
            return
        keep(form, values, draft(form).seen)
    settle(form)


def cleaned(values: Any) -> Any:
    """Return values with line ends as YAML has them."""
    if isinstance(values, dict):
        return {name: cleaned(one) for name, one in values.items()}
    if isinstance(values, list):
        return [cleaned(one) for one in values]
    return values.replace("\r\n", "\n").strip() if isinstance(values, str) else values


def show_problems(form: Form, problems: Problems, slots: Mapping[Place, Any]) -> None:
    """Show each problem beside its field; those of rows below their table, with the row."""
    titles = {one.name: one.title for one in views(form.model)}
    rows = []
    for place, problem in problems.items():
        if place in slots:
            slots[place].error(say(told(problem, titles[str(place[0])])))
        else:
            row, name = (place[0], place[1]) if len(place) > 1 else (0, place[0])
            text = _("Row {row}: {problem}", row=int(row) + 1,
                     problem=told(problem, titles.get(str(name), form.title)))  # fmt: skip
            rows.append(say(text))
    if rows and () in slots:
        slots[()].error("\n\n".join(rows))


def told(problem: Problem, title: Message) -> Message:
    """Return a problem as a sentence about a field."""
    return _(
        "{title}: found {found}, allowed {allowed}. {fix}",
        title=title,
        found=problem.found,
        allowed=problem.allowed,
        fix=problem.fix,
    )


def keep(form: Form, values: Any, seen: Any) -> None:
    """Save the values of a form; what goes wrong is shown, and nothing typed is lost."""
    try:
        saved = saving.save(form.project, {form.where: values}, {form.where: seen}, form.title)
    except ChangedMeanwhileError as error:
        conflicts()[form.where] = (values, error)
        return
    except MofangError as error:
        show_error(error)
        return
    conflicts().pop(form.where, None)
    begin_anew(form, saving.value_at(saved.plan, form.where))
    tell(saved.recorded)
    st.rerun()


def begin_anew(form: Form, value: Any) -> None:
    """Let a form begin with another value."""
    drafts()[form.where] = Draft(value, draft(form).version + 1)


def conflicts() -> dict[str, tuple[Any, ChangedMeanwhileError]]:
    """Return what could not be saved in this session because somebody else came first."""
    found: dict[str, tuple[Any, ChangedMeanwhileError]] = st.session_state.setdefault(CONFLICTS, {})
    return found


def settle(form: Form) -> None:
    """Draw the choice between two versions, where somebody else saved the same part meanwhile."""
    waiting = conflicts().get(form.where)
    if waiting is None:
        notice(form)
        return
    values, error = waiting
    with st.container(border=True):
        st.warning(
            say(_("Somebody else saved “{title}” meanwhile. Nothing is lost: choose.",
                  title=form.title)),
            icon=":material/group:",
        )  # fmt: skip
        show_error(error)
        left, right = st.columns(2)
        with left:
            mine = button(_("Save mine"), roles.EDIT_PROJECT, key=f"{form.key}.mine")
        with right:
            theirs = button(_("Take theirs"), roles.SEE, key=f"{form.key}.theirs")
    if mine:
        keep(form, values, error.theirs)
    if theirs:
        conflicts().pop(form.where, None)
        begin_anew(form, error.theirs)
        st.rerun()


def notice(form: Form) -> None:
    """Say that somebody else saved this part since the form was drawn."""
    now = saving.value_at(form.plan, form.where)
    if draft(form).seen == now:
        return
    st.info(
        say(_("Somebody else saved “{title}” since this was drawn.", title=form.title)),
        icon=":material/group:",
    )
    if button(_("Show theirs"), roles.SEE, key=f"{form.key}.refresh"):
        begin_anew(form, now)
        st.rerun()


def tell(recorded: Recorded) -> None:
    """Say on the next drawing what became of a save."""
    st.session_state[TOLD] = recorded


def show_told() -> None:
    """Draw what became of the last save."""
    recorded: Recorded | None = st.session_state.pop(TOLD, None)
    if recorded is None:
        return
    if recorded.problem is None:
        st.toast(say(recorded.told), icon=":material/check_circle:")
        return
    st.warning(say(recorded.told), icon=":material/history:")
    st.warning(explained(recorded.problem), icon=":material/build:")


def rows_button(form: Form, label: Message, rows: Callable[[], list[dict[str, Any]]]) -> None:
    """Draw a button that adds rows to a table and saves it."""
    if button(label, roles.EDIT_PROJECT, key=f"{form.key}.fill", icon=":material/playlist_add:"):
        seen = saving.value_at(form.plan, form.where)
        keep(form, [*seen, *rows()], seen)
