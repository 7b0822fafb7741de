"""Settings and help: words, the machine, notifications, roles, and who did what."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.studio import audit, glossary, layout, preferences, roles, system
from app.studio import model_drawing as drawing
from app.studio.project_files import Project
from app.studio.roles import ACTIONS, Role
from app.studio.speech import KEY, NAMES, date, language, literal, number, plain, say
from pipeline.i18n import Message, _

LINES = 50  # of the audit on one page
CHECKED = "settings_checked"  # in the session: the language, and what was found in it
ICONS = {
    "good": ":material/check_circle:",
    "warning": ":material/warning:",
    "bad": ":material/error:",
}
STATES: dict[str, Message] = {
    "good": _("good"),
    "warning": _("can be better"),
    "bad": _("does not work"),
}


def draw(project: Project) -> None:
    """Draw the page."""
    st.title(say(_("Settings and help")), anchor=False)
    found: list[drawing.Panel] = [
        (_("Words"), draw_words),
        (_("This machine"), partial(draw_machine, project)),
        (_("Notifications"), partial(draw_notifications, project)),
        (_("Preferences"), partial(draw_preferences, project)),
        (_("Roles"), partial(draw_roles, project)),
    ]
    if roles.may(roles.SEE_AUDIT):
        found.append((_("Who did what"), partial(draw_audit, project)))
    drawing.panels(found, key="settings_tabs")


def draw_words() -> None:
    """Draw the glossary."""
    wanted = st.text_input(
        say(_("Look for a word")), key="settings_word", max_chars=60, icon=":material/search:"
    )
    found = glossary.found(wanted, plain)
    if not found:
        st.info(say(_("No word fits. Try a part of it.")), icon=":material/info:")
        return
    rows = {
        say(_("Word")): [f"**{say(term.word)}**" for term in found],
        say(_("Meaning")): [say(term.meaning) for term in found],
    }
    st.table(rows, border="horizontal", hide_index=True)


def draw_machine(project: Project) -> None:
    """Draw what the studio needs, and whether it is there."""
    st.markdown(say(_("What the studio needs of this machine. Nothing is sent anywhere.")))
    asked = layout.button(
        _("Check the system"),
        roles.CHECK_SYSTEM,
        key="settings_check",
        icon=":material/fact_check:",
    )
    spoken, found = st.session_state.get(CHECKED, (None, ()))
    if asked or spoken not in (None, language()):
        found = system.checks(project)  # asks programs, which is too slow for every rerun
        st.session_state[CHECKED] = language(), found
    for check in found:
        name, told = st.columns([1, 3], vertical_alignment="top")
        name.markdown(f"{ICONS[check.state]} **{say(check.title)}**")
        hint = f"  \n{say(check.hint)}" if check.hint else ""
        told.markdown(f"{say(check.found)} ({say(STATES[check.state])}){hint}")


def draw_notifications(project: Project) -> None:
    """Draw the test of the targets that alerts go to."""
    st.markdown(
        say(
            _(
                "Alerts go to the targets in the environment variable MOFANG_ALERTS: mail, "
                "DingTalk, Feishu, WeCom or a webhook, one a line. Their addresses are secrets and "
                "are never shown. A test sends one message to each."
            )
        )
    )
    if not layout.button(
        _("Send a test notification"),
        roles.TEST_NOTIFICATION,
        key="settings_notify",
        icon=":material/notifications:",
    ):
        return
    with st.spinner(say(_("Sending…"))):
        told = system.test_notification(project)
    if told.good:
        st.success(say(_("Every target took it.")), icon=":material/check_circle:")
    else:
        st.warning(say(_("Not every target took it.")), icon=":material/warning:")
    st.code(told.lines or "–", language=None, wrap_lines=True)


def draw_preferences(project: Project) -> None:
    """Draw what the reader prefers."""
    user = roles.current(project)
    chosen = preferences.get(project, user.name, KEY)
    st.markdown(
        say(
            _(
                "The language is switched at the top of the sidebar, and remembered for "
                "{name}: {language}.",
                name=user.name,
                language=NAMES.get(chosen, plain(_("as the browser says"))),
            )
        )
    )
    if layout.button(
        _("Forget my preferences"),
        roles.CHANGE_PREFERENCES,
        key="settings_forget",
        icon=":material/restart_alt:",
    ):
        preferences.forget(project)
        st.success(say(_("Forgotten.")), icon=":material/check_circle:")


def draw_roles(project: Project) -> None:
    """Draw who may do what."""
    user = roles.current(project)
    st.markdown(
        say(_("You are {name}, with the role {role}.", name=user.name, role=user.role.title))
    )
    columns = [role for role in Role if role is not Role.NOBODY]
    rows: dict[str, list[str]] = {
        say(_("Action")): [say(action.title) for action in ACTIONS.values()]
    }
    for role in columns:
        rows[say(role.title)] = ["✓" if role >= action.role else "–" for action in ACTIONS.values()]
    st.table(rows, border="horizontal", hide_index=True)
    if roles.login() is None:
        st.caption(
            say(_("Nobody has to log in here: whoever sits at this machine is its operator."))
        )
    elif roles.may(roles.SEE_AUDIT):
        given = roles.given(project)
        people = {  # st.table reads Markdown in its cells
            say(_("Address")): [literal(one) for one in given],
            say(_("Role")): [say(one.title) for one in given.values()],
        }
        st.table(people, border="horizontal", hide_index=True)


def draw_audit(project: Project) -> None:
    """Draw who did what, the newest first."""
    roles.allow(roles.SEE_AUDIT)
    page = int(st.number_input(say(_("Page")), min_value=1, value=1, step=1, key="settings_page"))
    found = audit.lines(project, LINES + 1, (page - 1) * LINES)
    if not found:
        st.info(say(_("Nothing was done yet on this page.")), icon=":material/info:")
        return
    shown = found[:LINES]
    titles = {name: plain(action.title) for name, action in ACTIONS.items()}
    yes, no = plain(_("yes")), plain(_("refused"))
    rows = {
        plain(_("When")): [date(line.time) for line in shown],
        plain(_("Who")): [line.user for line in shown],
        plain(_("Role")): [title_of(line.role) for line in shown],
        plain(_("What")): [titles.get(line.action, line.action) for line in shown],
        plain(_("On")): [line.what for line in shown],
        plain(_("Allowed")): [yes if line.allowed else no for line in shown],
    }
    st.dataframe(rows, hide_index=True, width="stretch", key="settings_audit")
    if len(found) > LINES:
        st.caption(say(_("Older lines are on page {page}.", page=number(page + 1))))


def title_of(role: str) -> str:
    """Return the name of a role as an audit line holds it."""
    return plain(Role[role.upper()].title) if role.upper() in Role.__members__ else role
