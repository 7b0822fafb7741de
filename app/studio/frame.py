"""The frame of every page: login, navigation and the sidebar with language, user and run."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping

import streamlit as st

from app.studio import layout, overview, preferences, roles, run_states
from app.studio.__main__ import is_own
from app.studio.project_files import Project
from app.studio.roles import Role, User
from app.studio.runs import following
from app.studio.runs.records import Run
from app.studio.speech import KEY, NAMES, ago, duration, literal, number, percent, plain, say
from pipeline.i18n import LANGUAGES, Message, _, current_language
from pipeline.quiet import be_quiet

SECONDS_BETWEEN_LOOKS = 2.0
SEEN = "seen_run"  # in the session: the run that the page was drawn with
# A cube. The browser would fetch a named icon from another host, also those of the pages, which
# count only where none is set before.
ICON = """<svg viewBox="0 0 24 24" fill="none" stroke="#0b5cad" stroke-width="2">
<path d="M12 2 21 7v10l-9 5-9-5V7zM3 7l9 5 9-5M12 12v10M7.5 4.5l9 5v10M16.5 4.5l-9 5v10"/></svg>"""


def main() -> None:
    """Draw the page that the reader chose, with its frame; what goes wrong is explained."""
    be_quiet()
    st.set_page_config(page_icon=ICON, layout="wide")
    with layout.explained():
        draw(Project.here())
    fetch_libraries()


@functools.cache
def fetch_libraries() -> None:
    """Import what draws tables and charts, beside the first page: no later one waits for it."""
    threading.Thread(target=import_libraries, name="libraries", daemon=True).start()


def import_libraries() -> None:
    """Import what takes a second."""
    import altair  # noqa: F401
    import pandas  # noqa: F401


def draw(project: Project) -> None:
    """Draw the page for who may see it, and the way in for who may not."""
    user = User("", Role.NOBODY)
    with layout.explained():
        user = roles.current(project)
    settle_language(project, user)
    if is_open() or user.role is Role.NOBODY:
        draw_door(user)
        return
    page = layout.navigation(user)
    st.session_state[SEEN] = seen(overview.newest_run(project))
    with st.sidebar, st.container(gap="xsmall"):
        draw_language(project)
        draw_user(user, project)
        layout.live(draw_run, SECONDS_BETWEEN_LOOKS, project)
        layout.draw_links()
    page.run()


def is_open() -> bool:
    """Return whether other machines may come in while nobody has to log in.

    ``python -m app.studio`` refuses to start so; ``streamlit run`` by hand ends here.
    """
    address = st.get_option("server.address")
    return roles.login() is None and not (address and is_own(address))


def settle_language(project: Project, user: User) -> None:
    """Choose the first language: of the address, of the user's preferences, of the browser."""
    if st.session_state.get(KEY) in LANGUAGES:
        return
    wanted = (
        st.query_params.get(KEY),
        preferences.get(project, user.name, KEY) if user.name else None,
        (st.context.locale or "")[:2].lower(),
        current_language(),
    )
    st.session_state[KEY] = next(one for one in wanted if one in LANGUAGES)


def draw_language(project: Project) -> None:
    """Draw the switch of languages."""
    st.segmented_control(
        say(_("Language")),
        LANGUAGES,
        key=KEY,
        format_func=NAMES.__getitem__,
        required=True,
        label_visibility="collapsed",
        on_change=remember_language,
        args=(project,),
    )


def remember_language(project: Project) -> None:
    """Keep the language that the reader chose, for the next visit."""
    if KEY in st.query_params:  # else loading the page again would undo the choice
        st.query_params[KEY] = st.session_state[KEY]
    with layout.explained():
        preferences.put(project, KEY, st.session_state[KEY])


def draw_run(project: Project) -> None:
    """Draw what the run does at this moment."""
    run = overview.newest_run(project)
    if st.session_state.get(SEEN) != seen(run):
        st.rerun()  # a run began or ended: every page tells something else now
    if run is None:
        st.caption(f":material/radio_button_unchecked: {say(_('No run yet'))}")
        return
    state = f"{run_states.ICONS[run.state]} **{say(run_states.STATES[run.state])}**"
    line = f"{state} · {literal(run.by)} · "
    when = _("began {ago}", ago=ago(run.began))
    if not run.works:
        when = _("ended {ago}", ago=ago(run.ended))
    st.caption(line + say(when))
    if run.works:
        draw_progress(run)


def seen(run: Run | None) -> tuple[str, str] | None:
    """Return what makes pages draw themselves again when it changes."""
    return (run.id, run.state) if run else None


def draw_progress(run: Run) -> None:
    """Draw how far a run is."""
    progress = following.progress(run)
    if progress is None or not progress.total:
        return
    share = min(1.0, max(0.0, progress.step / progress.total))
    view = layout.BY_NAME.get(layout.VIEW_OF_STAGE.get(progress.stage, ""))
    title = view.title if view else progress.stage
    st.progress(share, text=f"{say(title)} {percent(share, 0)}")
    left = following.seconds_left(run)
    if left is not None:
        st.caption(say(_("about {time} left", time=duration(left))))


def draw_user(user: User, project: Project) -> None:
    """Draw who is there, in which role, in which project, and the way out."""
    st.caption(
        f":material/person: {literal(user.name)} · {say(user.role.title)}  \n"
        f":material/folder: {literal(project.name)}"
    )
    if roles.login() is not None:
        st.button(say(_("Log out")), key="log_out", on_click=st.logout)


def draw_door(user: User) -> None:
    """Draw why somebody cannot come in, or the way to log in."""
    st.set_page_config(page_title="Mofang")  # the pages have titles of their own
    st.title("Mofang")
    draw_language_at_door()
    if is_open():
        reason: Message = _(
            "This studio can be reached from other machines, and nobody has to log in. Start it "
            "with python -m app.studio, which listens to this machine only."
        )
        st.error(say(reason), icon=":material/lock:")
        return
    claims = roles.login() or {}
    if claims.get("is_logged_in"):
        st.warning(
            say(
                _(
                    "{name} is logged in, but has no role here, or the login is older than "
                    "{hours} hours. Log in again, or ask an operator to give the address a role.",
                    name=user.name,
                    hours=number(roles.LONGEST_LOGIN / 3600),
                )
            ),
            icon=":material/lock:",
        )
        st.button(say(_("Log out")), key="log_out", on_click=st.logout)
        return
    st.markdown(say(_("Log in to go on.")))
    for provider in providers():
        label = _("Log in with {provider}", provider=provider) if provider else _("Log in")
        st.button(
            say(label),
            key=f"log_in_{provider}",
            type="primary",
            on_click=st.login,
            args=(provider,) if provider else (),
        )


def providers() -> list[str]:
    """Return the names of the ways to log in; an empty one where there is only one, without name.

    As ``st.login`` reads ``secrets.toml``: ``[auth]`` itself, or a section ``[auth.name]`` each.
    """
    auth = st.secrets.get("auth", {})
    named = [name for name, one in auth.items() if isinstance(one, Mapping)]
    return named or [""]


def draw_language_at_door() -> None:
    """Draw the switch of languages, which nobody remembers yet."""
    st.segmented_control(
        plain(_("Language")),
        LANGUAGES,
        key=KEY,
        format_func=NAMES.__getitem__,
        required=True,
        label_visibility="collapsed",
    )
