"""The Git record: whether it is on, what is in its way, what waits and what was recorded."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.studio import history, record_desk, roles
from app.studio.layout import button
from app.studio.project.drawing import tell
from app.studio.project_files import Project
from app.studio.record_desk import Entry, Status
from app.studio.recording import no_identity
from app.studio.speech import date, explained, literal, plain, plural, say, show_error
from pipeline.errors import MofangError
from pipeline.i18n import _

PAGE = 20  # commits
ON, PUSH, OLDER = "record.on", "record.push", "record.older"


def draw(project: Project) -> None:
    """Draw the record of a project."""
    status = record_desk.status(project)
    st.caption(
        say(_("Every change of values or of the plan, every finished run, labels and releases are "
              "kept in Git, with who, what and the command that repeats it."))
    )  # fmt: skip
    if not status.held:
        st.info(
            say(_("No Git repository holds this project, so nothing is recorded. Everything is "
                  "saved all the same. To begin one: git init, then git add and git commit.")),
            icon=":material/info:",
        )  # fmt: skip
        return
    switches(project, status)
    if status.obstacle is not None and status.switch.on:
        st.warning(explained(status.obstacle), icon=":material/build:")
        if status.obstacle == no_identity():
            identity(project)
    waiting(project, status)
    past(project)


def switches(project: Project, status: Status) -> None:
    """Draw the branch and both switches."""
    where = status.standing
    places = st.columns([2, 1, 1], vertical_alignment="center")
    branch = literal(where.branch or "–")
    told = f":material/account_tree: {say(_('Branch'))} **{branch}**"
    if where.upstream:
        sent = plural(where.ahead, _("{count} record not sent yet"), _("{count} records not sent "
                                                                       "yet"))  # fmt: skip
        told += f" → {literal(where.upstream)} · {say(sent)}"
    places[0].markdown(told)
    reason = roles.why_not(roles.SWITCH_RECORD)
    for place, key, value, label in (
        (places[1], ON, status.switch.on, _("Record in Git")),
        (places[2], PUSH, status.switch.push, _("Send to the server")),
    ):
        st.session_state[key] = value
        place.toggle(
            say(label),
            key=key,
            disabled=reason is not None,
            help=say(reason) if reason else None,
            on_change=switched,
            args=(project, key),
        )


def switched(project: Project, key: str) -> None:
    """Do what a switch was turned to."""
    kept = history.switch(project)
    value = bool(st.session_state[key])
    try:
        chosen = replace(kept, on=value) if key == ON else replace(kept, push=value)
        history.set_switch(project, chosen)
    except MofangError as error:
        show_error(error)


def identity(project: Project) -> None:
    """Draw the form that tells Git whom to name."""
    with st.form("record.identity", border=True):
        left, right = st.columns(2)
        name = left.text_input(say(_("Name")), key="record.name", max_chars=100)
        address = right.text_input(say(_("Mail address")), key="record.mail", max_chars=200)
        reason = roles.why_not(roles.SWITCH_RECORD)
        pressed = st.form_submit_button(
            say(_("Name me in records")), key="record.identify", disabled=reason is not None
        )
    if pressed:
        try:
            record_desk.name_yourself(project, name, address)
        except MofangError as error:
            show_error(error)
            return
        st.rerun()


def waiting(project: Project, status: Status) -> None:
    """Draw what is saved and not recorded, with the buttons that record and send."""
    files = status.waiting
    if files:
        told = plural(len(files), _("{count} file is saved and not recorded:"),
                      _("{count} files are saved and not recorded:"))  # fmt: skip
        st.markdown(f":material/pending: {say(told)} {', '.join(literal(one) for one in files)}")
    left, right = st.columns([1, 3])
    off = None if status.switch.on else _("The Git record is switched off.")
    nothing = None if files else _("Everything is recorded.")
    with left:
        pressed = button(
            _("Record now"), roles.EDIT_PROJECT, key="record.now",
            icon=":material/history:", why_not=off or nothing,
        )  # fmt: skip
    with right:
        unsent = None if status.standing.ahead else _("Everything is sent.")
        none = None if status.standing.upstream else _("This branch is sent nowhere.")
        sending = button(
            _("Send now"), roles.SWITCH_RECORD, key="record.send",
            icon=":material/upload:", why_not=none or unsent,
        )  # fmt: skip
    if pressed:
        tell(record_desk.record_waiting(project))
        st.rerun()
    if sending:
        problem = record_desk.send(project)
        if problem is None:
            st.rerun()
        else:
            st.warning(explained(problem), icon=":material/build:")


def past(project: Project) -> None:
    """Draw what was recorded, newest first, a page at a time."""
    st.subheader(say(_("What was recorded")), anchor=False)
    shown = int(st.session_state.get(OLDER, 0))
    entries = record_desk.entries(project, PAGE + 1, shown)
    if not entries:
        st.caption(say(_("Nothing yet.")))
    else:
        picked = st.dataframe(
            table(entries[:PAGE]),
            key=f"record.entries.{shown}",
            hide_index=True,
            width="stretch",
            on_select="rerun",
            selection_mode="single-row",
        )
        rows = picked["selection"]["rows"]
        chosen = entries[rows[0]] if rows and rows[0] < len(entries) else None
        if chosen is not None:
            st.code(f"{chosen.subject}\n\n{chosen.body}".strip(), language=None, wrap_lines=True)
            st.caption(literal(chosen.commit))
        else:
            st.caption(say(_("Choose a line to see all of it.")))
    left, right = st.columns([1, 5])
    newer = None if shown else _("These are the newest.")
    older = None if len(entries) > PAGE else _("There are no older ones.")
    with left:
        back = button(_("Newer"), roles.SEE, key="record.newer", why_not=newer)
    with right:
        on = button(_("Older"), roles.SEE, key="record.older_button", why_not=older)
    if back or on:
        st.session_state[OLDER] = max(0, shown + (PAGE if on else -PAGE))
        st.rerun()


def table(entries: list[Entry]) -> object:
    """Return the commits as a table."""
    import pandas as pd

    return pd.DataFrame(
        {
            plain(_("when")): [date(one.when) for one in entries],
            plain(_("who")): [who(one) for one in entries],
            plain(_("what")): [one.subject for one in entries],
            plain(_("commit")): [one.commit[:7] for one in entries],
        }
    )


def who(entry: Entry) -> str:
    """Return who acted: whom the message names, else the author."""
    named = [line for line in entry.body.splitlines() if line.startswith("By: ")]
    return named[-1].removeprefix("By: ") if named else entry.author
