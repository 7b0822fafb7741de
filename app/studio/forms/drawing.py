"""Draw a section of ``params.yaml`` as a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from app.studio import layout, roles
from app.studio.forms import saving, showing
from app.studio.forms.describing import FieldView, describe
from app.studio.forms.form import Form
from app.studio.forms.groups import Sheet, draw_views
from app.studio.forms.present import Present
from app.studio.forms.saving import Change, Saved
from app.studio.project_files import Project
from app.studio.speech import explained, plain, say, show_error
from pipeline.errors import MofangError, Problem, Text
from pipeline.i18n import Message, _

BASIC, ALL = "basic", "all"
SHOWN = 20  # changes of somebody else


def section_form(section: str, project: Project, key: str) -> None:
    """Draw a whole section with its save button; each view draws its own.

    Fields, bounds and texts come from the schema. Nothing is written before the button is
    pressed, which needs the role for ``roles.EDIT_PARAMS``. A change of a field draws the form
    anew, not the page around it.

    :param section: ``clean``, ``train``, ``validate`` …; a dotted path draws only that group, as
        in ``train.costs``.
    :param key: what the widgets' names begin with; differs wherever two forms stand on one page.
    """
    layout.live(draw_form, None, section, project, key)


def section_forms(titles: Mapping[str, Text], project: Project, key: str) -> None:
    """Draw the form of one of several sections, and above it which one; the first is open.

    :param titles: section → what the reader calls it.
    """
    section = st.segmented_control(
        say(_("Section")),
        list(titles),
        key=f"{key}_section",
        required=True,
        default=next(iter(titles)),
        format_func=lambda one: plain(titles[one]),
        label_visibility="collapsed",
    )
    section_form(section, project, key=f"{key}_{section}")


def draw_form(section: str, project: Project, key: str) -> None:
    """Draw a form once."""
    form = Form(section, project, key)
    views = describe(section)
    sheet = Sheet(form, draw_level(form, views))
    notice = st.container()
    draw_views(sheet, views)
    typed, done, wanted = form.changes()
    problems = found_problems(form, wanted)
    form.memory.pending = tuple(typed)
    if typed:  # the button may be far below
        notice.info(showing.counted(typed), icon=":material/edit:")
    unplaced = place_problems(sheet, problems)
    draw_bar(form, typed, done, unplaced, bool(problems))


def draw_level(form: Form, views: Sequence[FieldView]) -> bool:
    """Draw the choice between basic fields and all of them, where there are both."""
    names = {BASIC: plain(_("Basic")), ALL: plain(_("All"))}
    left, right = st.columns([3, 1], vertical_alignment="center")
    with right:
        level = st.segmented_control(
            say(_("Fields")),
            [BASIC, ALL],
            default=BASIC,
            required=True,
            format_func=names.__getitem__,
            key=f"{form.key}:level",
            label_visibility="collapsed",
            persist_state="session",
        )
    with left:
        about = _(
            "Values of the section {section} in params.yaml. A change is checked at once and "
            "written when you save it.",
            section=form.section,
        )
        st.caption(say(about))
    return bool(level == ALL)


def found_problems(form: Form, wanted: Mapping[str, Any]) -> dict[str, list[Problem]]:
    """Return what is not allowed, by path; a name twice in a table is no matter of the schema."""
    problems = form.problems(wanted)
    for path, names in form.doubles.items():
        if names:
            problem = Problem(
                path,
                _("the name {names} twice", names=", ".join(names)),
                _("each name once"),
                _("Rename or remove one of them."),
            )
            problems.setdefault(path, []).append(problem)
    return problems


def place_problems(sheet: Sheet, problems: Mapping[str, Sequence[Problem]]) -> list[Problem]:
    """Show each problem beside its field, and return those whose field is not drawn."""
    unplaced: list[Problem] = []
    for path, several in problems.items():
        steps = path.split(".")
        places = [".".join(steps[:end]) for end in range(len(steps), 0, -1)]
        slot = next((sheet.slots[one] for one in places if one in sheet.slots), None)
        if slot is None:
            unplaced += several
            continue
        with slot:
            for problem in several:
                st.error(explained(problem), icon=":material/error:")
    return unplaced


def draw_bar(
    form: Form,
    typed: Mapping[str, Any],
    done: Sequence[Change],
    unplaced: Sequence[Problem],
    wrong: bool,
) -> None:
    """Draw what waits to be saved, what speaks against it, and the buttons."""
    theirs = form.theirs()
    if theirs is not None and not typed:
        form.show(theirs)
        st.rerun()
    with st.container(border=True, key=f"{form.key}-bar"):
        if unplaced:
            show_error(MofangError(*unplaced))
        if theirs is not None:
            draw_conflict(form, typed, theirs)
        if not typed:
            draw_told(form)
        else:
            st.session_state.pop(told_key(form), None)
            st.markdown(f"**{showing.counted(typed)}**")
            own = [one for one in done if one.path in typed]
            st.markdown(showing.changes_text(own))
            others = [one for one in done if one.path not in typed]
            if others:
                st.caption(say(_("Changed along, because it would contradict the rest:")))
                st.markdown(showing.changes_text(others))
        why = obstacle(typed, wrong, theirs is not None)
        with st.container(horizontal=True, vertical_alignment="center"):
            if layout.button(
                _("Save"),
                roles.EDIT_PARAMS,
                key=f"{form.key}:save",
                icon=":material/save:",
                kind="primary",
                why_not=why,
            ):
                press_save(form, typed)
            st.button(
                say(_("Discard changes")),
                key=f"{form.key}:discard",
                icon=":material/close:",
                disabled=not typed,
                on_click=form.discard,
            )


def obstacle(typed: Mapping[str, Any], wrong: bool, meanwhile: bool) -> Message | None:
    """Return why nothing can be saved now."""
    if not typed:
        return _("There is nothing to save.")
    if meanwhile:
        return _("Somebody else has changed the file; look at the differences first.")
    return _("Mend what is marked first.") if wrong else None


def press_save(form: Form, typed: Mapping[str, Any]) -> None:
    """Save, and begin anew with the file as it is then."""
    try:
        saved = saving.save(typed, form.memory.seen.sha256, form.project)
    except MofangError as error:
        show_error(error)
        return
    st.session_state[told_key(form)] = saved
    form.discard()
    st.rerun()


def told_key(form: Form) -> str:
    """Return where the session keeps what the last save said."""
    return f"{form.key}:told"


def draw_told(form: Form) -> None:
    """Say what was saved last, and what became of its record in Git."""
    saved = st.session_state.get(told_key(form))
    if not isinstance(saved, Saved):
        st.caption(say(_("Nothing is changed.")))
        return
    st.success(
        say(_("Saved in params.yaml.")) + "\n\n" + showing.changes_text(saved.changes),
        icon=":material/check_circle:",
    )
    if saved.recorded is not None:
        st.caption(say(saved.recorded.told))
        if saved.recorded.problem is not None:
            st.warning(explained(saved.recorded.problem), icon=":material/warning:")


def draw_conflict(form: Form, typed: Mapping[str, Any], theirs: Present) -> None:
    """Show what somebody else changed meanwhile, and offer ways to go on; nothing is lost."""
    changes = saving.compared(form.memory.seen.values, theirs.values)
    st.warning(
        say(_("Somebody else changed params.yaml while this page was open:"))
        + "\n\n"
        + showing.changes_text(changes[:SHOWN]),
        icon=":material/group:",
    )
    both = [one.path for one in changes if one.path in typed]
    if both:
        paths = ", ".join(both)
        st.caption(say(_("You changed these too; your values go on top: {paths}.", paths=paths)))
    with st.container(horizontal=True):
        st.button(
            say(_("Take theirs, keep my changes on top")),
            key=f"{form.key}:merge",
            icon=":material/merge:",
            on_click=partial(form.show, theirs, dict(typed)),
        )
        st.button(
            say(_("Take theirs, discard mine")),
            key=f"{form.key}:theirs",
            icon=":material/close:",
            on_click=form.discard,
        )
