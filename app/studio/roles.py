"""Who may do what: viewer < labeller < editor < operator, decided where the action happens.

On a laptop there is no login: whoever opens the studio is its operator, and the studio listens to
its own machine only. On a server people log in with OIDC (``st.login``), and have the role that
``MOFANG_ROLES`` or ``var/studio/roles.json`` gives to their mail address; who has none may nothing.

A function that acts calls ``require`` with the name of its action, which also writes the audit
line; a view asks ``may`` only to disable a button. Outside of a page (tests) ``acting_as`` names
the user.
"""

from __future__ import annotations

import contextlib
import contextvars
import getpass
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

from app.studio import audit
from app.studio.project_files import Project
from app.studio.stamps import readable
from pipeline.errors import MofangError, ParamsError, Problem
from pipeline.i18n import Message, _

VARIABLE = "MOFANG_ROLES"
FILE = "roles.json"
LONGEST_LOGIN = 12 * 3600  # seconds; Streamlit's own cookie lasts 30 days, unlooked at


class RoleError(MofangError):
    """Somebody has not the role that an action needs."""


class Role(IntEnum):
    """What somebody may do; each role may also do what those before it may."""

    NOBODY = 0
    VIEWER = 1
    LABELLER = 2
    EDITOR = 3
    OPERATOR = 4

    @property
    def title(self) -> Message:
        """The role's name for people."""
        return TITLES[self]


TITLES = {
    Role.NOBODY: _("no role"),
    Role.VIEWER: _("viewer"),
    Role.LABELLER: _("labeller"),
    Role.EDITOR: _("editor"),
    Role.OPERATOR: _("operator"),
}


class Place(Enum):
    """Where code runs."""

    OUTSIDE = "outside of Streamlit"
    PAGE = "a page"
    THREAD = "a thread of the studio that draws no page"


@dataclass(frozen=True)
class User:
    """Who is there."""

    name: str
    role: Role


@dataclass(frozen=True)
class Action:
    """Something that can be done, and the role that it needs."""

    name: str
    role: Role
    title: Message  # an infinitive phrase: "change parameters"


SEE = "see"
SEE_LABEL = "see_label"
SEE_START = "see_start"
SEE_AUDIT = "see_audit"
CHANGE_PREFERENCES = "change_preferences"
CHECK_SYSTEM = "check_system"
TRY_MODEL = "try_model"
DOWNLOAD = "download"
LABEL = "label"
ADJUDICATE = "adjudicate"
EDIT_PARAMS = "edit_params"
EDIT_PROJECT = "edit_project"
START_PROJECT = "start_project"
UPLOAD = "upload"
START_RUN = "start_run"
STOP_RUN = "stop_run"
RESTORE_RUN = "restore_run"
CLEAR_LOCK = "clear_lock"
ACKNOWLEDGE = "acknowledge"
WATCH = "watch"
DECIDE_PROPOSAL = "decide_proposal"
CREATE_RELEASE = "create_release"
PROMOTE = "promote"
CANARY = "canary"
ROLL_BACK = "roll_back"
REMOVE_RELEASE = "remove_release"
RUN_SERVICE = "run_service"
TEST_NOTIFICATION = "test_notification"
SWITCH_RECORD = "switch_record"

ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action(SEE, Role.VIEWER, _("look at the project")),
        Action(CHANGE_PREFERENCES, Role.VIEWER, _("change one's own preferences")),
        Action(CHECK_SYSTEM, Role.VIEWER, _("check the system")),
        Action(TRY_MODEL, Role.VIEWER, _("try a model")),
        Action(DOWNLOAD, Role.VIEWER, _("download a table or a report")),
        Action(SEE_LABEL, Role.LABELLER, _("open the labelling page")),
        Action(LABEL, Role.LABELLER, _("label records")),
        Action(ADJUDICATE, Role.EDITOR, _("settle disagreements between labels")),
        Action(SEE_START, Role.EDITOR, _("open the page for a new project")),
        Action(START_PROJECT, Role.EDITOR, _("start a new project")),
        Action(UPLOAD, Role.EDITOR, _("upload data")),
        Action(EDIT_PARAMS, Role.EDITOR, _("change parameters")),
        Action(EDIT_PROJECT, Role.EDITOR, _("change the project's plan")),
        Action(START_RUN, Role.EDITOR, _("start a run")),
        Action(STOP_RUN, Role.EDITOR, _("stop a run")),
        Action(RESTORE_RUN, Role.EDITOR, _("restore an earlier run")),
        Action(WATCH, Role.EDITOR, _("look at the traffic now")),
        Action(ACKNOWLEDGE, Role.EDITOR, _("acknowledge an alert")),
        Action(CLEAR_LOCK, Role.OPERATOR, _("clear a stale lock")),
        Action(DECIDE_PROPOSAL, Role.OPERATOR, _("decide on a proposal to train again")),
        Action(CREATE_RELEASE, Role.OPERATOR, _("make a release")),
        Action(PROMOTE, Role.OPERATOR, _("promote a release")),
        Action(CANARY, Role.OPERATOR, _("send a share of the traffic to a release")),
        Action(ROLL_BACK, Role.OPERATOR, _("go back to an earlier release")),
        Action(REMOVE_RELEASE, Role.OPERATOR, _("remove a release")),
        Action(RUN_SERVICE, Role.OPERATOR, _("start or stop the service")),
        Action(TEST_NOTIFICATION, Role.OPERATOR, _("send a test notification")),
        Action(SWITCH_RECORD, Role.OPERATOR, _("switch the Git record on or off")),
        Action(SEE_AUDIT, Role.OPERATOR, _("read the audit lines")),
    )
}

_acting: contextvars.ContextVar[User | None] = contextvars.ContextVar("acting", default=None)


@contextlib.contextmanager
def acting_as(user: User) -> Iterator[User]:
    """Let a block act as somebody, outside of a page."""
    token = _acting.set(user)
    try:
        yield user
    finally:
        _acting.reset(token)


def current(project: Project | None = None) -> User:
    """Return who acts: ``acting_as``, else who is logged in on the page, else the system's user."""
    acting = _acting.get()
    if acting:
        return acting
    place = standing()
    if place is Place.THREAD:
        return User(system_user(), Role.NOBODY)
    claims = login() if place is Place.PAGE else None
    if claims is None:
        return User(system_user(), Role.OPERATOR)
    return logged_in(claims, project or Project.here())


def may(action: str) -> bool:
    """Return whether the user's role allows an action."""
    return allows(current(), action)


def allows(user: User, action: str) -> bool:
    """Return whether somebody's role allows an action."""
    return user.role >= ACTIONS[action].role


def allow(action: str) -> User:
    """Return who looks, where nothing is done: no audit line.

    :raises RoleError: if the user's role does not allow it.
    """
    user = current()
    if not allows(user, action):
        raise refusal(user, ACTIONS[action])
    return user


def require(action: str, what: str = "") -> User:
    """Return who acts, and write the audit line; refuse who may not.

    :param what: the thing that is acted on, such as a version or a field; never a secret.
    :raises RoleError: if the user's role does not allow it.
    """
    project = Project.here()
    user = current(project)
    allowed = allows(user, action)
    role = user.role.name.lower()
    audit.write(project, audit.Doing(user.name, role, action, what, allowed=allowed))
    if not allowed:
        raise refusal(user, ACTIONS[action])
    return user


def refusal(user: User, action: Action) -> RoleError:
    """Return the error that says which role is needed."""
    return RoleError.at(
        _("{action} ({user})", action=action.title, user=user.name),
        found=_("the role {role}", role=user.role.title),
        allowed=_("the role {role}, or one above it", role=action.role.title),
        fix=_("Ask an operator to do it, or to give you the role."),
    )


def why_not(action: str) -> Message | None:
    """Return why a button is disabled; None where the user may press it."""
    if may(action):
        return None
    return _("This needs the role {role}.", role=ACTIONS[action].role.title)


def system_user() -> str:
    """Return the name of the one at the keyboard: ``MOFANG_USER``, or the system's user."""
    try:
        return os.environ.get("MOFANG_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number and no name
        return f"uid {os.getuid()}"


def standing() -> Place:
    """Return where this code runs; nobody acts by way of a thread that belongs to no page."""
    runtime = sys.modules.get("streamlit.runtime")
    if runtime is None or not runtime.exists():
        return Place.OUTSIDE
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    return Place.THREAD if get_script_run_ctx(suppress_warning=True) is None else Place.PAGE


def login() -> dict[str, Any] | None:
    """Return what the login says of who looks at the page; None where no login is set up."""
    import streamlit as st

    claims: dict[str, Any] = st.user.to_dict()
    return claims if "is_logged_in" in claims else None


def logged_in(claims: Mapping[str, Any], project: Project) -> User:
    """Return the user of a login, with the role that the operator gave to the address.

    A login older than twelve hours counts for nothing, nor does an address that the provider has
    not verified.
    """
    address = str(claims.get("email") or "").strip().lower()
    issued = claims.get("iat")
    fresh = isinstance(issued, int | float) and time.time() - issued < LONGEST_LOGIN
    if not (claims.get("is_logged_in") and address and fresh):
        return User(address, Role.NOBODY)
    if claims.get("email_verified") in (False, "false"):  # some providers send words
        return User(address, Role.NOBODY)
    return User(address, given(project).get(address, Role.NOBODY))


def given(project: Project) -> dict[str, Role]:
    """Return the roles by mail address: those of ``MOFANG_ROLES``, else those of the file.

    It is read again for every action, so that a role that is taken away is gone at once.

    :raises ParamsError: naming every line that is none.
    """
    text = os.environ.get(VARIABLE)
    if text is not None:
        lines = [line.rpartition(":") for line in text.splitlines() if line.strip()]
        return roles_of({address: role for address, _colon, role in lines}, VARIABLE)
    path = project.studio / FILE
    if not path.exists():
        return {}
    content = readable(path)
    if content is None:
        raise ParamsError.at(
            path,
            found=_("what is no JSON object"),
            allowed='{"ada@example.org": "editor"}',
            fix=_("Write one address and its role a line."),
        )
    return roles_of(content, str(path))


def roles_of(content: Mapping[str, object], where: str) -> dict[str, Role]:
    """Return roles by address.

    :raises ParamsError: naming every line that is none.
    """
    known = {role.name.lower(): role for role in Role if role}
    found: dict[str, Role] = {}
    problems: list[Problem] = []
    for address, role in content.items():
        named = known.get(str(role).strip().lower())
        if named is None or "@" not in address:
            problem = Problem(
                where,
                f"{address}:{role}",
                _("an address and one of {roles}", roles=", ".join(known)),
                _("Write one address and its role a line."),
            )
            problems.append(problem)
        else:
            found[address.strip().lower()] = named
    if problems:
        raise ParamsError(*problems)
    return found
