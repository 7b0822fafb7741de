"""The page of an annotator: a text, the keys that decide it, and the guideline beside them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.studio import label_keys, label_lists, label_texts, labelling, layout, roles
from app.studio.label_keys import press
from app.studio.label_lists import CHECKS, DISPUTES, QUEUE, SUSPECTS, Table, Work
from app.studio.labelling import Progress
from app.studio.model_drawing import acted
from app.studio.project_files import Project
from app.studio.speech import language, literal, number, plural, say, show_error
from app.studio.stamps import stamp_of
from pipeline import artifacts
from pipeline.errors import MofangError, Text
from pipeline.i18n import Message, _
from pipeline.records.trust import GUIDELINE

GUIDELINE_HEIGHT = 560  # pixels
SHOWN = 60  # characters of the last text
EMPTY: dict[str, Message] = {
    SUSPECTS: _("No label is suspect now. The label stage looks for them each time it runs."),
    DISPUTES: _("Annotators agree about every record that several of them labelled."),
    CHECKS: _("No label of somebody else waits for a second look."),
}


def draw(project: Project, which: str) -> None:
    """Draw a list of work: the record that is next, its keys, and the guideline beside them."""
    left, right = st.columns([4, 3], gap="medium")
    with left:
        layout.live(draw_desk, None, project, which)
    with right:
        draw_guideline(project)


def draw_desk(project: Project, which: str) -> None:
    """Draw the record that lies before the reader, or why there is none."""
    told = st.session_state.pop(label_keys.told_key(which), None)
    if told is not None:
        st.toast(say(told), icon=":material/info:")
    error = st.session_state.pop(f"label_error_{which}", None)
    if error is not None:
        show_error(error)
    table = Table.of(project)
    now = label_lists.work(table, which)
    name = labelling.me()
    task = labelling.next_task(table, now, name)
    how_far = labelling.progress(table, now, name)
    # The keys and the text come last: a press while the rest is still drawn would be ignored.
    above, below = st.container(), st.container()
    with below:
        draw_care(table, now, name)
    with above:
        draw_progress(now, how_far)
        if task is None:
            draw_end(table, now, how_far)
        else:
            draw_last(which)
            label_keys.draw_task(table, task)


def draw_progress(now: Work, how_far: Progress) -> None:
    """Draw how far the list is."""
    if not how_far.total:
        return
    values = {
        "done": number(how_far.done),
        "total": number(how_far.total),
        "mine": number(how_far.mine),
        "open": number(how_far.open),
        "others": number(how_far.others),
    }
    if now.name in (QUEUE, SUSPECTS):
        text = _("{done} of {total} done · {mine} by you · {open} left for you", **values)
        if how_far.others > 0:
            text = _(
                "{done} of {total} done · {mine} by you · {open} left for you · {others} wait for "
                "another person",
                **values,
            )
        st.progress(min(1.0, how_far.done / how_far.total), text=say(text))
    else:
        st.caption(say(plural(how_far.open, _("{count} record left"), _("{count} records left"))))


def draw_last(which: str) -> None:
    """Say what the last press did, so that a slip is seen at once."""
    last: tuple[Text, str] | None = st.session_state.get(f"label_last_{which}")
    if last is None:
        st.caption(say(_("Press a number to label the text; the next one follows at once.")))
        return
    what, text = last
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    st.caption(f":material/check: {say(what)} · {literal(short)}")


def draw_end(table: Table, now: Work, how_far: Progress) -> None:
    """Say that nothing is left, and what can be done then."""
    if not has_records(table.project):
        text = _("There are no cleaned records yet. Start a run first.")
    elif how_far.open:
        text = _("Others have the remaining records before them. Look again in a while.")
    elif how_far.others and now.name == QUEUE:
        text = _(
            "You have labelled all that you can. {count} records wait for another person: several "
            "people label them without seeing each other, to measure how far they agree.",
            count=how_far.others,
        )
    elif how_far.total and now.name == QUEUE:
        text = _("The list is done. Run the label stage, or make a new list.")
    elif now.name == QUEUE:
        text = _("There is no list of work yet. Make one: it begins with what helps most.")
    else:
        text = EMPTY[now.name]
    st.info(say(text), icon=":material/task_alt:")
    with st.container(horizontal=True, key=f"label_end_{now.name}"):
        if how_far.mine or how_far.skipped or table.spoken.people.get(labelling.me()):
            label_keys.draw_undo(table.project, now.name, width="content")
        layout.link("runs", _("Start a run"))


def draw_care(table: Table, now: Work, name: str) -> None:
    """Draw what keeps the work in order: skipped records, a new list, the Git record."""
    project = table.project
    problems = table.spoken.problems
    if problems:
        show_error(MofangError(*problems))
    if now.name == QUEUE and label_lists.is_older(table, now):
        text = _("The records were cleaned again after this list was made. Make a new one.")
        st.warning(say(text), icon=":material/update:")
    with st.container(horizontal=True, key=f"label_care_{now.name}"):
        draw_skipped(project, now.name, name)
        if now.name == QUEUE:
            draw_new_list(table, now)
        draw_record(project, name)


def draw_skipped(project: Project, which: str, name: str) -> None:
    """Draw the button that takes up what was skipped."""
    count = len(label_lists.skipped(project, which, name))
    if not count:
        return
    text = plural(count, _("Take up {count} skipped record"), _("Take up {count} skipped records"))
    st.button(
        say(text),
        key=f"label_take_up_{which}",
        icon=":material/replay:",
        on_click=press,
        args=(partial(labelling.take_up_skipped, project, which), which),
    )


def draw_new_list(table: Table, now: Work) -> None:
    """Draw the button that makes the list of work anew."""
    if not has_records(table.project):
        return
    label = _("Make a new list") if now.records else _("Make the list")
    kind: layout.Kind = "secondary" if now.records else "primary"
    if layout.button(label, roles.LABEL, key="label_list", icon=":material/list:", kind=kind):
        with st.spinner(say(_("Looking for the records that help most…")), show_time=True):
            done = acted(partial(make_list, table.project), _("The list is made."))
        if done:
            st.rerun()


def has_records(project: Project) -> bool:
    """Return whether there is anything to label."""
    return (project.stage("clean") / artifacts.RECORDS).is_file()


def make_list(project: Project) -> None:
    """Make the list of work anew."""
    label_lists.make_queue(project, language())


def draw_record(project: Project, name: str) -> None:
    """Draw how many labels stand in no commit yet; every so many are committed by themselves."""
    waiting = labelling.unrecorded(project, name)
    if not waiting:
        return
    if waiting % labelling.RECORDED_EVERY == 0:
        record_labels(project)
        return
    text = plural(waiting, _("Record {count} label in Git"), _("Record {count} labels in Git"))
    if st.button(say(text), key="label_record", icon=":material/history:"):
        record_labels(project)


def record_labels(project: Project) -> None:
    """Record the labels in Git, and say what came of it."""
    told = labelling.record_labels(project)
    st.toast(say(told.told), icon=":material/history:")
    if told.problem is not None:
        show_error(MofangError(told.problem))


def draw_guideline(project: Project) -> None:
    """Draw the guideline in the reader's language."""
    text = guideline_of(project)
    with st.container(border=True, height=GUIDELINE_HEIGHT, key="label_guideline"):
        if text is None:
            told = _(
                "There is no guideline yet. Write what each label means, with examples, into "
                "{path}: people agree more, and each label notes which version it followed.",
                path=str(GUIDELINE),
            )
            st.info(say(told), icon=":material/menu_book:")
        else:
            st.markdown(text)


def guideline_of(project: Project) -> str | None:
    """Return the part of the guideline that is in the reader's language."""
    stamp = stamp_of(project.root / GUIDELINE)
    return None if stamp is None else label_texts.guideline(stamp, language())
