"""The pages of the studio and what they share: links, buttons and parts that live.

``VIEWS`` is the one list of pages; ``main`` navigates by it and tests walk through it.
"""

from __future__ import annotations

import importlib
import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Literal, ParamSpec
from urllib.parse import urlsplit

import streamlit as st
from streamlit.navigation.page import Page

from app.studio import outcomes, roles
from app.studio.project_files import Project
from app.studio.roles import User
from app.studio.speech import plain, say, show_error
from pipeline.errors import MofangError
from pipeline.i18n import Message, _

P = ParamSpec("P")
PAGES = "pages"  # in the session: the pages of the navigation, by the names of their views
Kind = Literal["primary", "secondary", "tertiary"]

logger = logging.getLogger("mofang.studio")


@dataclass(frozen=True)
class View:
    """One page: a module of ``app.studio.views`` with ``draw(project)``."""

    name: str  # in the address
    title: Message
    icon: str
    module: str
    action: str  # what one must be allowed to do to see it
    group: Message


GROUPS = PROJECT, DATA, MODEL, USE = _("Project"), _("Data"), _("Model"), _("Use")
HOME, ROOT = "home", "root"  # the first page, and what Streamlit calls the address / besides
BETWEEN_LINKS = 7  # pixels: all links, and what stands above them, fit a screen of 800


def view(name: str, title: Message, icon: str, group: Message, action: str = roles.SEE) -> View:
    """Return a view whose module has its name."""
    return View(name, title, f":material/{icon}:", f"app.studio.views.{name}", action, group)


VIEWS: Sequence[View] = (
    view("home", _("Home"), "home", PROJECT),
    view("start", _("New project"), "add_circle", PROJECT, roles.SEE_START),
    view("project", _("Requirements and plan"), "assignment", PROJECT),
    view("settings", _("Settings and help"), "settings", PROJECT),
    view("collect", _("Collect"), "download", DATA),
    view("clean", _("Clean"), "filter_alt", DATA),
    view("label", _("Label records"), "label", DATA, roles.SEE_LABEL),
    view("split", _("Split and augment"), "call_split", DATA),
    view("model", _("Model and start"), "account_tree", MODEL),
    view("train", _("Train"), "model_training", MODEL),
    view("validate", _("Validate"), "rule", MODEL),
    view("test", _("Test"), "science", MODEL),
    view("optimize", _("Optimize"), "speed", MODEL),
    view("runs", _("Runs and compare"), "play_circle", USE),
    view("deploy", _("Deploy"), "rocket_launch", USE),
    view("monitor", _("Monitor"), "monitoring", USE),
)
BY_NAME = {one.name: one for one in VIEWS}
DATA_STAGES = ("collect", "clean", "label", "split")
MODEL_STAGES = ("init", "train", "validate", "test", "optimize")
VIEW_OF_STAGE = {
    name: "model" if name == "init" else name for name in (*DATA_STAGES, *MODEL_STAGES)
}


def draw(view: View) -> None:
    """Draw a page for who may see it; what goes wrong is explained there."""
    with outcomes.kept(view.name), explained():
        roles.allow(view.action)
        importlib.import_module(view.module).draw(Project.here())


@contextmanager
def explained() -> Iterator[None]:
    """Show what goes wrong in the block, in the reader's language and never as a traceback."""
    try:
        yield
    except MofangError as error:
        show_error(error)
    except Exception:
        number = secrets.token_hex(4)
        logger.exception("incident %s", number)
        st.error(
            say(
                _(
                    "Something went wrong that nobody foresaw. Nothing that was saved is lost. "
                    "Load the page again; if it comes back, send the number {number} and what "
                    "the studio's terminal says to whoever looks after it.",
                    number=number,
                )
            ),
            icon=":material/bug_report:",
        )


def live(draw: Callable[P, None], every: float | None, *args: P.args, **kwargs: P.kwargs) -> None:
    """Draw a part of a page that draws itself again every so many seconds; None: when used."""

    @wraps(draw)
    def guarded() -> None:
        with explained():
            draw(*args, **kwargs)

    st.fragment(guarded, run_every=every)()


def button(
    label: Message,
    action: str,
    *,
    key: str,
    icon: str | None = None,
    kind: Kind = "secondary",
    why_not: Message | None = None,
    **others: Any,
) -> bool:
    """Return whether a button was pressed; it is disabled, and says why, for who may not.

    What came of it when it was pressed last stands under it: see ``outcomes``.

    :param action: of ``roles.ACTIONS``.
    :param why_not: another reason that it cannot be pressed now.
    :param others: as ``st.button`` takes them.
    """
    reason = roles.why_not(action) or why_not
    if reason is not None:
        others["help"] = say(reason)
    if st.button(say(label), key=key, icon=icon, type=kind, disabled=reason is not None, **others):
        outcomes.pressed(key)
        return True
    outcomes.under(key)
    return False


def link(name: str, label: Message | None = None) -> None:
    """Draw a link to another page; the label is its title where none is given."""
    target = BY_NAME[name]
    shown = say(label or target.title)
    known = st.session_state.get(PAGES, {})
    if name in known:
        st.page_link(known[name], label=shown, icon=target.icon)
    elif roles.may(target.action):  # a page that stands alone, as in a test
        st.markdown(f"{target.icon} {shown}")


def go(name: str, **query: str) -> None:
    """Open another page, with these query parameters."""
    known = st.session_state.get(PAGES, {})
    if name in known:
        st.switch_page(known[name], query_params=query)


def navigation(user: User) -> Page:
    """Return the page that the reader chose; links lead to those that the reader may see.

    The others are pages too: who goes there by address is told which role it needs.
    """
    known = {
        one.name: st.Page(
            partial(draw, one), title=plain(one.title), icon=one.icon, url_path=one.name
        )
        for one in VIEWS
    }
    # Streamlit gives its default page no address but /, at which a link from elsewhere misses it.
    root = st.Page(
        partial(draw, BY_NAME[HOME]), title=known[HOME].title, url_path=ROOT, default=True
    )
    # Streamlit's own links would stand above all else in the sidebar, and fill a small screen.
    page = st.navigation([root, *known.values(), *lost(known)], position="hidden")
    if page is root:
        known[HOME] = root  # so that the link to it is the one that stands out
    st.session_state[PAGES] = {
        name: one for name, one in known.items() if roles.allows(user, BY_NAME[name].action)
    }
    return page


def lost(known: Collection[str]) -> list[Page]:
    """Return a page for an address that has none: Streamlit's own word on it is English only."""
    asked = urlsplit(st.context.url or "").path.strip("/")
    if not asked or "/" in asked or asked in (*known, ROOT):
        return []
    return [st.Page(draw_lost, title=plain(_("No such page")), url_path=asked)]


def draw_lost() -> None:
    """Say that an address is no page."""
    st.title(say(_("No such page")), anchor=False)
    st.info(say(_("The address has no page. The links at the side lead to all there are.")))
    link(HOME)


def draw_links() -> None:
    """Draw the links to all pages that the reader may see, in their groups."""
    known = st.session_state[PAGES]
    with st.container(gap=BETWEEN_LINKS):
        for group in GROUPS:
            names = [one.name for one in VIEWS if one.group is group and one.name in known]
            if names:
                st.caption(say(group))
            for name in names:
                st.page_link(known[name], icon=BY_NAME[name].icon, width="stretch")
