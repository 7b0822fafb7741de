"""A record before its annotator: what is known about it, and the keys that decide it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal
from unicodedata import east_asian_width

import streamlit as st

from app.studio import labelling, roles
from app.studio.data_drawing import written
from app.studio.label_lists import CHECKS, DISPUTES, QUEUE, SUSPECTS, Table
from app.studio.labelling import Labels, Task
from app.studio.project_files import Project
from app.studio.speech import ago, literal, percent, plain, say
from pipeline.errors import MofangError, Text
from pipeline.i18n import Message, _
from pipeline.records import desk
from pipeline.steps import targets
from pipeline.steps.annotations import ACCEPT, RETURN, Annotation

TEXT_HEIGHT = 150  # pixels: the keys stay where they are while texts come and go
MOST_BUTTONS = 30  # labels; more are chosen from a list
NARROW = 13  # letters that fit a button where three stand in a row
HELD = 0.35  # seconds; the same key again sooner is held down, or pressed without reading
WHY: dict[str, Message] = {
    desk.RETURNED: _("A checker returned this record."),
    desk.UNLABELLED: _("Nobody and no source has labelled this record yet."),
    desk.DOUBTFUL: _("The model is unsure about this record."),
}


def draw_task(table: Table, task: Task) -> None:
    """Draw a record with what there is to press.

    The text is drawn last, when its keys are there: who reads it can press at once.
    """
    card = st.container(border=True, height=TEXT_HEIGHT, key=f"label_text_{task.list}")
    text = card.container()
    background = card.container() if task.list == QUEUE else st.container()
    if task.list == CHECKS:
        draw_verdicts(table, task)
    elif table.scheme.numeric:
        draw_number(table, task)
    elif table.scheme.several:
        draw_several(table, task)
    else:
        draw_labels(table, task)
    draw_others(table, task)
    with background:
        draw_background(table, task)
    shown = written(task.item.text)
    text.markdown(f"##### {shown}" if short(task) else shown)


def short(task: Task) -> bool:
    """Return whether a text is one short line, which is shown larger."""
    return len(task.item.text) <= 200 and "\n" not in task.item.text


def draw_background(table: Table, task: Task) -> None:
    """Draw what one may know about the record; of the queue never what others said."""
    item = task.item
    lines: list[str] = []
    if task.earlier is not None and task.held:
        given = shown_labels(table, task.earlier)
        lines.append(say(_("You said **{label}** {ago}.", label=given, ago=ago(task.earlier.time))))
    elif item.why in WHY:
        lines.append(say(WHY[item.why]))
    if item.suggested is not None:
        text = _(
            "It has the label **{label}** ({chance} likely); a simple model says **{suggested}**.",
            label=item.label or "–",
            chance=percent(item.probability),
            suggested=item.suggested,
        )
        lines.append(say(text))
    if task.list in (DISPUTES, CHECKS):
        for who, label in table.spoken.labels(item.record).items():
            lines.append(say(_("{name} says **{label}**", name=who, label=shown(table, label))))
        for one in table.spoken.notes(item.record):
            lines.append(say(_("{name} notes: {note}", name=one.annotator, note=one.note)))
    if lines:
        st.caption("  \n".join(lines))


def shown_labels(table: Table, one: Annotation) -> str:
    """Return the labels of an annotation in words."""
    return ", ".join(one.labels) if one.labels or not table.scheme.several else plain(_("none"))


def shown(table: Table, label: str) -> str:
    """Return a record's label in words."""
    return ", ".join(table.scheme.parts(label)) or plain(_("none"))


def draw_labels(table: Table, task: Task) -> None:
    """Draw a button for each label: its number gives the label and the next record follows."""
    named = labelling.choices(table.scheme.labels)
    if len(named) > MOST_BUTTONS:
        draw_long_list(table, task)
        return
    wide = 3 if len(named) > 2 and max(width(one) for one, _key in named) <= NARROW else 2
    rows = [named[at : at + wide] for at in range(0, len(named), wide)]
    for row in rows:
        for place, (label, key) in zip(st.columns(wide), row, strict=False):
            place.button(
                literal(label),
                key=f"label_{table.scheme.labels.index(label)}_{task.list}_{task.item.record}",
                shortcut=key or None,
                help=meaning(table, label),
                width="stretch",
                wrap=True,
                on_click=press,
                args=(partial(decide, table.project, task, label), task.list),
            )


def width(label: str) -> int:
    """Return how many letters wide a label is; one of Chinese is as wide as two."""
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in label)


def draw_long_list(table: Table, task: Task) -> None:
    """Draw a list to choose from, where labels are too many for keys."""
    record = task.item.record
    label = st.selectbox(
        say(_("Label")), table.scheme.labels, index=None, key=f"label_of_{task.list}_{record}"
    )
    st.button(
        say(_("Save and next")),
        key=f"label_save_{task.list}_{record}",
        shortcut="N",
        type="primary",
        disabled=label is None,
        on_click=press,
        args=(partial(decide, table.project, task, label or ""), task.list),
    )


def draw_several(table: Table, task: Task) -> None:
    """Draw a switch for each label, by its number, and what saves them all."""
    record = task.item.record
    state = f"label_chosen_{task.list}_{record}"
    if state not in st.session_state:
        st.session_state[state] = set(task.earlier.labels) if task.earlier else set()
    chosen: set[str] = st.session_state[state]
    named = labelling.choices(table.scheme.labels)
    for at in range(0, len(named), 2):
        for place, (label, key) in zip(st.columns(2), named[at : at + 2], strict=False):
            on = label in chosen
            place.button(
                literal(label),
                key=f"label_{table.scheme.labels.index(label)}_{task.list}_{record}",
                shortcut=key or None,
                icon=":material/check_box:" if on else ":material/check_box_outline_blank:",
                type="primary" if on else "secondary",
                help=meaning(table, label),
                width="stretch",
                wrap=True,
                on_click=chosen.symmetric_difference_update,
                args=({label},),
            )
    named_now = [label for label in table.scheme.labels if label in chosen]
    st.button(
        say(_("Save and next")) if named_now else say(_("None of them fits: save and next")),
        key=f"label_save_{task.list}_{record}",
        shortcut="N",
        type="primary",
        width="stretch",
        on_click=press,
        args=(partial(decide, table.project, task, named_now), task.list),
    )


def draw_number(table: Table, task: Task) -> None:
    """Draw a field for a number; Enter saves it and the next record follows."""
    scheme, record = table.scheme, task.item.record
    said = targets.number(task.earlier.labels[0]) if task.earlier else None
    field = f"label_value_{task.list}_{record}"
    with st.form(f"label_number_{task.list}_{record}", border=False):
        st.number_input(
            say(_("Number (Enter saves it)")),
            min_value=scheme.low,
            max_value=scheme.high,
            value=said,
            format="%g",
            key=field,
        )
        st.form_submit_button(
            say(_("Save and next")),
            type="primary",
            on_click=press,
            args=(partial(decide_number, table.project, task, field), task.list),
        )


def draw_verdicts(table: Table, task: Task) -> None:
    """Draw the two verdicts of a second look."""
    verdicts: tuple[tuple[str, Message, str], ...] = (
        (ACCEPT, _("Accept"), ":material/thumb_up:"),
        (RETURN, _("Return, to be labelled again"), ":material/undo:"),
    )
    for at, (place, (verdict, title, icon)) in enumerate(
        zip(st.columns(2), verdicts, strict=True), 1
    ):
        place.button(
            say(title),
            key=f"label_{verdict}_{task.item.record}",
            shortcut=str(at),
            icon=icon,
            width="stretch",
            wrap=True,
            disabled=not roles.may(roles.ADJUDICATE),
            on_click=press,
            args=(partial(decide, table.project, task, verdict, title), task.list),
        )


def draw_others(table: Table, task: Task) -> None:
    """Draw what else can be done with a record: back, skip, keep, a note."""
    project, which, record = table.project, task.list, task.item.record
    back, aside, keep = st.columns([1, 1, 1.5])
    with back:
        draw_undo(project, which)
    aside.button(
        say(_("Leave it so")) if task.held and task.earlier else say(_("Skip")),
        key=f"label_skip_{which}_{record}",
        icon=":material/skip_next:",
        shortcut="S",
        width="stretch",
        wrap=True,
        on_click=press,
        args=(partial(put_aside, project, task), which),
    )
    if which == SUSPECTS and task.item.label in table.scheme.known:
        keep.button(
            say(_("The label is right")),
            key=f"label_keep_{record}",
            icon=":material/check:",
            shortcut="K",
            width="stretch",
            wrap=True,
            on_click=press,
            args=(partial(decide, project, task, task.item.label or ""), which),
        )
    field = note_key(task)
    if field not in st.session_state:
        st.session_state[field] = task.note
    st.text_input(
        say(_("Note, saved with the label")),
        key=field,
        max_chars=labelling.LONGEST_NOTE,
        placeholder=plain(_("Why it was hard to decide, if it was")),
        on_change=press,
        args=(partial(keep_note, project, task), which),
    )


def draw_undo(
    project: Project, which: str, width: Literal["stretch", "content"] = "stretch"
) -> None:
    """Draw the button that brings the last record back."""
    st.button(
        say(_("Undo")),
        key=f"label_undo_{which}",
        icon=":material/undo:",
        shortcut="U",
        help=say(_("Brings the last record back. What you said stays until you say otherwise.")),
        width=width,
        on_click=press,
        args=(partial(step_back, project, which), which),
    )


def note_key(task: Task) -> str:
    """Return the name of the field of a record's note."""
    return f"label_note_{task.list}_{task.item.record}"


def meaning(table: Table, label: str) -> str | None:
    """Return what a label means, for who points at its button."""
    found = table.params.label.definitions.get(label)
    if found is None:
        return None
    examples = [f"- {literal(one)}" for one in found.examples[:5]]
    return "\n".join([literal(found.meaning), "", *examples])


def press(work: Callable[[], None], which: str) -> None:
    """Do what a key asks for; what goes wrong is shown above the record."""
    try:
        work()
    except MofangError as error:
        st.session_state[f"label_error_{which}"] = error


def tell(which: str, message: Message) -> None:
    """Say something when the page is drawn; a callback must not draw itself."""
    st.session_state[told_key(which)] = message


def told_key(which: str) -> str:
    """Return where the session keeps what is said when the page is drawn."""
    return f"label_told_{which}"


def decide(project: Project, task: Task, said: Labels, title: Text | None = None) -> None:
    """Save a decision and remember it for the line above the next record.

    While a page redraws, one press may reach the keys of the last record and those of the next,
    in this order: only what is saved counts as a press.
    """
    record = task.item.record
    note = st.session_state.get(note_key(task), task.note)
    if held_down(task.list, said) or not labelling.give(project, task.list, record, said, note):
        tell(task.list, _("That press came too soon after the last one; nothing was saved for it."))
        return
    remember(task.list, said)
    st.session_state.pop(told_key(task.list), None)
    if title is None:
        several = isinstance(said, list)
        title = ", ".join(said) if several else str(said)  # type: ignore[arg-type]
    st.session_state[f"label_last_{task.list}"] = (title or _("none"), task.item.text)


def held_down(which: str, said: Labels) -> bool:
    """Return whether a key repeats itself: it would label texts that nobody has read.

    Each repetition starts the time anew, so that a key counts again once it was let go.
    """
    before: tuple[Labels, float] | None = st.session_state.get(f"label_pressed_{which}")
    held = before is not None and before[0] == said and time.monotonic() - before[1] < HELD
    if held:
        remember(which, said)
    return held


def remember(which: str, said: Labels) -> None:
    """Remember what was said last, and when."""
    st.session_state[f"label_pressed_{which}"] = (said, time.monotonic())


def decide_number(project: Project, task: Task, field: str) -> None:
    """Save the number that was typed; nothing where none was."""
    value = st.session_state.get(field)
    if value is not None:
        decide(project, task, float(value))


def put_aside(project: Project, task: Task) -> None:
    """Skip a record."""
    if labelling.skip(project, task.list, task.item.record):
        told = _("left as it is") if task.held and task.earlier else _("skipped")
        st.session_state[f"label_last_{task.list}"] = (told, task.item.text)


def step_back(project: Project, which: str) -> None:
    """Undo, once more each time."""
    if labelling.undo(project, which):
        st.session_state.pop(f"label_last_{which}", None)
    else:
        tell(which, _("There is nothing before this."))


def keep_note(project: Project, task: Task) -> None:
    """Keep a note as it is now."""
    note = st.session_state.get(note_key(task), "")
    labelling.keep_note(project, task.list, task.item.record, note)
