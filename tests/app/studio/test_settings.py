"""Settings and help: words, the machine, the test of notifications, roles, audit lines."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.studio import audit, glossary, system
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User, acting_as
from app.studio.speech import plain
from pipeline.errors import BusyError
from pipeline.evaluation.naming import EXPLAINED, FIGURES
from pipeline.i18n import translate
from tests.app.studio.data_pages import tab
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(project: Path) -> Project:
    """Return a project with the files that settings read."""
    for name in ("dvc.yaml", "params.yaml", "requirements-service.txt"):
        shutil.copy(ROOT / name, project)
    return Project(project)


def found(checks: list[system.Check], title: str) -> system.Check:
    (check,) = [one for one in checks if one.title.text == title]
    return check


# Words


def test_each_word_has_one_meaning() -> None:
    words = [term.word.text for term in glossary.terms()]
    assert len(words) == len(set(words))
    assert len(words) > 40
    assert set(EXPLAINED) <= set(FIGURES)


def test_words_are_found_by_word_and_by_meaning() -> None:
    assert [one.word.text for one in glossary.found("CANARY", plain)] == ["canary"]
    assert "epoch" in [one.word.text for one in glossary.found("one pass", plain)]
    assert glossary.found("no such word", plain) == []


# The machine


def test_this_machine_is_described(here: Project) -> None:
    checks = system.checks(here)
    assert len({one.title.text for one in checks}) == len(checks) == 10
    assert found(checks, "Python").state == "good"
    assert all(plain(one.found) for one in checks)


def test_a_package_of_another_version_is_named(here: Project) -> None:
    (here.root / "requirements.txt").write_text("pytest==0.0.1\nnosuch[x]==1.0  # why\n# a==1\n")
    check = system.packages(here)
    assert check.state == "warning"
    assert "pytest" in plain(check.found)
    assert "nosuch missing" in plain(check.found)
    assert "a " not in plain(check.found).split("≠")[0]


def test_a_project_outside_of_git_is_told_so(here: Project) -> None:
    assert system.git(here).state == "warning"
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=here.root, check=True)
    check = system.git(here)
    assert check.state == "good"
    assert "main" in plain(check.found)


def test_a_copy_of_the_data_is_named_without_its_password(here: Project) -> None:
    assert system.remote(here).state == "warning"
    (here.root / ".dvc").mkdir()
    (here.root / ".dvc/config").write_text("[core]\n    remote = store\n")
    (here.root / ".dvc/config.local").write_text(
        "['remote \"store\"']\n    url = ssh://ada:s3cret@example.org/x%20y\n"
    )
    check = system.remote(here)
    assert plain(check.found) == "store: ssh://example.org/x%20y"


def test_a_program_that_hangs_or_fails_answers_nothing(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "SECONDS", 0.2)
    began = time.monotonic()
    assert system.answer(["sleep", "5"], here) is None
    assert time.monotonic() - began < 3
    assert system.answer(["false"], here) is None
    assert system.answer(["no-such-program"], here) is None


# Notifications


def monitor(here: Project, text: str) -> None:
    """Put a program in the monitor's place."""
    folder = here.root / "pipeline"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "monitor.py").write_text(text)


@pytest.mark.parametrize("code", [0, 1])
def test_what_the_monitor_says_is_shown(here: Project, code: int) -> None:
    monitor(here, f"import sys\nprint('target 1:', sys.argv[1:])\nsys.exit({code})\n")
    told = system.test_notification(here)
    assert told.good is (code == 0)
    assert told.lines == "target 1: ['alerts', 'test']"
    assert audit.lines(here)[0].action == "test_notification"


def test_a_target_that_never_answers_does_not_hold_the_page(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "NOTIFICATION_SECONDS", 0.5)
    monitor(here, "import time\ntime.sleep(30)\n")
    with pytest.raises(BusyError):
        system.test_notification(here)


def test_only_an_operator_sends_a_test(here: Project) -> None:
    monitor(here, "raise SystemExit(open('ran', 'w').close())\n")
    with acting_as(User("grace", Role.EDITOR)), pytest.raises(RoleError):
        system.test_notification(here)
    assert not (here.root / "ran").exists()


# The page

TABS = ("Words", "This machine", "Notifications", "Preferences", "Roles", "Who did what")


def opened(here: Project, name: str, language: str = "en", role: Role = Role.OPERATOR) -> AppTest:
    """Return the page with a tab open."""
    return tab(open_page("settings", here, language, role=role), "settings", name, language)


@LANGUAGES
def test_only_the_open_tab_is_drawn(here: Project, language: str) -> None:
    page = open_page("settings", here, language)
    assert page.title
    assert [one.label for one in page.tabs] == [translate(name, language) for name in TABS]
    for name in TABS:
        tab(page, "settings", name, language)
        assert [one.label for one in page.tabs if one.children] == [translate(name, language)]


@LANGUAGES
def test_a_word_that_is_not_there(here: Project, language: str) -> None:
    page = open_page("settings", here, language)
    assert not page.info
    page.text_input(key="settings_word").set_value("no such word").run()
    assert_sound(page)
    assert page.info


@LANGUAGES
def test_what_was_found_of_the_machine_stays(here: Project, language: str) -> None:
    page = opened(here, "This machine", language)
    page.button(key="settings_check").click().run()
    assert_sound(page)
    bold = [one.value for one in page.markdown if one.value.startswith(":material/")]
    assert len(bold) == 10
    tab(page, "settings", "Roles", language)
    tab(page, "settings", "This machine", language)
    assert bold == [one.value for one in page.markdown if one.value.startswith(":material/")]


@LANGUAGES
def test_a_viewer_sees_no_audit_and_cannot_send(here: Project, language: str) -> None:
    page = opened(here, "Notifications", language, Role.VIEWER)
    assert [one.label for one in page.tabs] == [translate(name, language) for name in TABS[:-1]]
    assert page.button(key="settings_notify").disabled
    assert page.button(key="settings_notify").help


def test_audit_lines_are_turned_over(here: Project) -> None:
    for number in range(60):
        audit.write(here, audit.Doing("<b>eve</b>", "editor", "label", f"={number}"))
    page = opened(here, "Who did what")
    assert len(page.dataframe[0].value) == 50
    page.number_input(key="settings_page").set_value(2).run()
    assert_sound(page)
    assert list(page.dataframe[0].value["On"]) == [f"={number}" for number in range(9, -1, -1)]


def test_a_test_notification_by_click(here: Project) -> None:
    monitor(here, "print('target 1: taken')\n")
    page = opened(here, "Notifications")
    page.button(key="settings_notify").click().run()
    assert_sound(page)
    assert page.success
    assert page.code[0].value == "target 1: taken"


def test_preferences_are_forgotten_by_click(here: Project) -> None:
    page = opened(here, "Preferences")
    page.button(key="settings_forget").click().run()
    assert_sound(page)
    assert page.success
