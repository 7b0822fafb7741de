"""Who may do what: one decision for each role and action, made where the action happens."""

from __future__ import annotations

import ast
import json
import threading
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from app.studio import audit, roles
from app.studio.layout import VIEWS
from app.studio.project_files import Project
from app.studio.roles import ACTIONS, LONGEST_LOGIN, Role, RoleError, User, acting_as
from pipeline.errors import ParamsError
from pipeline.i18n import LANGUAGES
from tests.app.studio.pages import open_page

STUDIO = Path(roles.__file__).parent
LOOKS = {name for name in ACTIONS if name == "see" or name.startswith("see_")}
PAIRS = [(role, action) for role in Role for action in ACTIONS]


@pytest.mark.parametrize(
    ("role", "action"), PAIRS, ids=[f"{role.name.lower()}-{action}" for role, action in PAIRS]
)
def test_one_decision_for_each_role_and_action(project: Path, role: Role, action: str) -> None:
    user, allowed = User("grace", role), role >= ACTIONS[action].role
    with acting_as(user):
        assert roles.may(action) is allowed
        assert (roles.why_not(action) is None) is allowed
        if allowed:
            assert roles.require(action, "1.2.0") == roles.allow(action) == user
        else:
            for asked in (roles.require, roles.allow):
                with pytest.raises(RoleError) as refused:
                    asked(action)
            for language in LANGUAGES:
                assert refused.value.render(language)
    (line,) = audit.lines(Project(project))
    assert (line.user, line.action, line.allowed) == ("grace", action, allowed)


def test_each_action_has_one_name_and_a_role_that_somebody_can_have() -> None:
    constants = {
        value
        for name, value in vars(roles).items()
        if name.isupper() and isinstance(value, str) and value in ACTIONS
    }
    assert constants == set(ACTIONS)
    assert all(action.role in tuple(Role)[1:] for action in ACTIONS.values())
    assert {action.role for action in ACTIONS.values()} == set(tuple(Role)[1:])


ASKED_WHEN_DRAWN = ("button", "may", "why_not")


def decided() -> set[str]:
    """Return the actions that the studio names elsewhere than where it draws a button."""
    found: set[str] = set()
    for path in STUDIO.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        drawn = {
            id(argument)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ASKED_WHEN_DRAWN
            for argument in node.args
        }
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "roles"
            and id(node) not in drawn
        }
    return {str(getattr(roles, name)) for name in found if name.isupper()}


def test_each_action_is_decided_where_it_happens() -> None:
    assert set(ACTIONS) - LOOKS - decided() == set()


def test_each_page_needs_a_role() -> None:
    assert {one.action for one in VIEWS} <= LOOKS


BELOW = [(one.name, role) for one in VIEWS for role in Role if role < ACTIONS[one.action].role]


@pytest.mark.parametrize(("view", "role"), BELOW)
def test_a_page_is_refused_to_who_may_not_see_it(project: Path, view: str, role: Role) -> None:
    page = open_page(view, project, role=role)
    (refusal,) = page.error
    assert "role" in refusal.value
    drawn = [one.type for one in page.main if isinstance(one, Element)]
    assert drawn == ["error"]  # the refusal, and nothing of the page


def claims(**others: object) -> dict[str, object]:
    return {"is_logged_in": True, "email": "Ada@Example.org", "iat": time.time()} | others


@pytest.fixture
def known(project: Path) -> Project:
    """Return a project in which ada is an editor."""
    found = Project(project)
    found.studio.mkdir(parents=True)
    (found.studio / roles.FILE).write_text(json.dumps({"ada@example.org": "editor"}))
    return found


def test_an_address_has_the_role_that_the_file_gives(known: Project) -> None:
    assert roles.logged_in(claims(), known) == User("ada@example.org", Role.EDITOR)


@pytest.mark.parametrize(
    "others",
    [
        {"is_logged_in": False},
        {"email": "eve@example.org"},
        {"email": ""},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "false"},
        {"iat": None},
        {"iat": "now"},
        {"iat": time.time() - LONGEST_LOGIN - 1},
    ],
)
def test_who_is_not_known_for_sure_may_nothing(known: Project, others: dict[str, object]) -> None:
    assert roles.logged_in(claims(**others), known).role is Role.NOBODY


def test_a_role_that_is_taken_away_is_gone_at_once(known: Project) -> None:
    (known.studio / roles.FILE).write_text("{}")
    assert roles.logged_in(claims(), known).role is Role.NOBODY


def test_the_environment_wins_over_the_file(
    known: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(roles.VARIABLE, "ada@example.org:viewer\n\n bob@example.org: Operator\n")
    assert roles.given(known) == {
        "ada@example.org": Role.VIEWER,
        "bob@example.org": Role.OPERATOR,
    }


@pytest.mark.parametrize("line", ["ada@example.org", "ada:editor", "ada@example.org:nobody", ":"])
def test_a_line_that_is_none_is_refused(
    known: Project, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv(roles.VARIABLE, f"bob@example.org:viewer\n{line}")
    with pytest.raises(ParamsError) as refused:
        roles.given(known)
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize("content", ["", "[]", "{", '{"ada@example.org": 4}'])
def test_a_damaged_file_of_roles_is_refused(known: Project, content: str) -> None:
    (known.studio / roles.FILE).write_text(content)
    with pytest.raises(ParamsError):
        roles.given(known)


def test_outside_of_a_page_the_one_at_the_keyboard_acts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOFANG_USER", "lin")
    assert roles.current(Project(project)) == User("lin", Role.OPERATOR)


def who(into: str) -> None:
    """Write down who acts on a page, and who in a thread of it."""
    import threading
    from pathlib import Path

    from app.studio import roles

    found = [roles.current()]
    thread = threading.Thread(target=lambda: found.append(roles.current()))
    thread.start()
    thread.join()
    Path(into).write_text(" ".join(one.role.name for one in found), encoding="utf-8")


def test_nobody_acts_by_way_of_a_thread(project: Path) -> None:
    into = project / "who"
    page = AppTest.from_function(who, default_timeout=30, kwargs={"into": str(into)}).run()
    assert not page.exception
    assert into.read_text() == "OPERATOR NOBODY"


def test_acting_as_somebody_ends_with_its_block(project: Path) -> None:
    before = roles.current()
    with acting_as(User("grace", Role.VIEWER)):
        other: list[User] = []
        thread = threading.Thread(target=lambda: other.append(roles.current()))
        thread.start()
        thread.join()
        assert roles.current().name == "grace"
        assert other[0].name != "grace"
    assert roles.current() == before
