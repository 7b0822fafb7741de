"""The page Deploy: what it shows, what each button does, and who may not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.studio import deploying, keeper, roles, serving
from app.studio.project_files import Project
from app.studio.releasing import Desk, readable, reason, typed
from app.studio.roles import Role, RoleError, User
from app.studio.speech import literal
from pipeline.errors import BusyError, DataError, ModelError
from pipeline.releases import state
from pipeline.releases.ledger import State
from tests.app.studio import deployed
from tests.app.studio.deployed import OPERATOR, open_tab
from tests.app.studio.pages import LANGUAGES, open_page, shown
from tests.helpers import ROOT, changed_text
from tests.pipeline import made_releases

TABS = ("Change", "New release", "Try it", "Releases", "What happened", "Settings")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with three releases, none of which serves; tests take a copy."""
    return deployed.released(tmp_path_factory.mktemp("deployed"))


project = deployed.project  # a fixture


@pytest.fixture
def running(project: Project) -> Iterator[Callable[[], serving.Service]]:
    """Return what starts the service of a project; it is stopped at the end."""
    quick = {"serve.port": 0, "serve.demo.enabled": False, "serve.workers": 1}
    text = changed_text(made_releases.QUICK | quick | {"monitor.enabled": False})
    project.params.write_text(text, encoding="utf-8")
    with roles.acting_as(OPERATOR):
        yield lambda: serving.start(project)
        serving.stop(project)
        until(lambda: not serving.held(project), "the service is gone")


def until(holds: Callable[[], Any], what: str, seconds: float = 40) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@LANGUAGES
def test_without_a_release_the_page_says_how_one_is_made(tmp_path: Path, language: str) -> None:
    page = open_page("deploy", tmp_path, language)
    assert page.info
    assert not page.error


@LANGUAGES
def test_every_tab_is_drawn_in_every_state(project: Project, language: str) -> None:
    page = open_page("deploy", project, language)
    assert len(page.tabs) == len(TABS)
    assert "1.2.0" in shown(page)
    deployed.promoted(project.root, "1.0.0", "1.1.0")
    state.start_canary("1.2.0", 20, False, "anna", root=project.releases)
    page = open_page("deploy", project, language)
    text = shown(page)
    assert all(f"### {literal(one)}" in text for one in ("1.1.0", "1.2.0", "1.0.0"))
    assert [one.key for one in page.button if one.key == "deploy_canary_end"]


@pytest.mark.parametrize("name", TABS)
@LANGUAGES
def test_tabs(project: Project, language: str, name: str) -> None:
    deployed.promoted(project.root, "1.0.0", "1.1.0")
    state.rollback("anna", "it was | `worse` <b>", root=project.releases)
    page = open_tab(open_page("deploy", project, language), name)
    if name == "What happened":
        (table,) = page.dataframe
        assert "it was | `worse` <b>" in table.value["why"].to_list()
    if name == "Releases":
        assert page.dataframe[0].value["version"].to_list() == ["1.2.0", "1.1.0", "1.0.0"]
    if name == "New release":
        assert page.text_input(key="deploy_version").placeholder == "1.3.0"


def test_a_switch_lets_another_release_answer_and_says_the_command(project: Project) -> None:
    deployed.promoted(project.root, "1.0.0")
    page = open_page("deploy", project)
    page.selectbox(key="deploy_switch_to").select("1.1.0").run()
    page.button(key="deploy_switch").click().run(timeout=60)
    assert State.read(project.releases).stable == "1.1.0"
    text = shown(page)
    assert "python -m pipeline.release promote 1.1.0" in text
    assert "Done" in text
    assert State.read(project.releases).events[-1].by == "ada"


def test_what_is_refused_is_said_and_changes_nothing(project: Project) -> None:
    deployed.promoted(project.root, "1.0.0")
    golden = project.releases / "1.1.0/golden.json"
    golden.write_bytes(golden.read_bytes()[:-20] + b" " * 20)
    page = open_page("deploy", project)
    page.selectbox(key="deploy_switch_to").select("1.1.0").run()
    page.button(key="deploy_switch").click().run(timeout=60)
    assert State.read(project.releases).stable == "1.0.0"
    assert [one.value for one in page.error if "refused" in one.value]
    assert "golden.json" in page.code[0].value
    assert "Traceback" not in page.code[0].value


@pytest.mark.slow
def test_trial_promotion_rollback_and_removal_go_through_the_commands(project: Project) -> None:
    desk = Desk(project)
    with roles.acting_as(OPERATOR):
        assert desk.promote("1.0.0").good
        assert desk.canary("1.1.0", 25).good
        assert State.read(project.releases).canary == state.Canary(
            version="1.1.0", share=25, shadow=False,
            since=State.read(project.releases).canary.since,  # type: ignore[union-attr]
        )  # fmt: skip
        assert desk.end_canary("1.1.0", "--it was\nslow").good
        now = State.read(project.releases)
        assert now.canary is None
        assert now.blocked["1.1.0"].why == "--it was slow"
        refused = desk.promote("1.1.0")
        assert not refused.good
        assert "--it was slow" in refused.said
        assert desk.promote("1.1.0", force=True).good
        assert desk.roll_back("1.0.0", "").good
        assert State.read(project.releases).stable == "1.0.0"
        assert desk.remove("1.2.0").good
        assert not (project.releases / "1.2.0").exists()
        assert "yes, each file is as it was made" in desk.verify("1.0.0").said


def test_a_release_is_made_of_the_last_run(project: Project) -> None:
    page = open_tab(open_page("deploy", project), "New release")
    page.button(key="deploy_create").click().run(timeout=60)
    assert deploying.overview(project).versions[0] == "1.3.0"
    assert deploying.next_version(project) == "1.4.0"
    with roles.acting_as(OPERATOR):
        taken = Desk(project).create("1.3.0")
    assert not taken.good
    assert "1.4.0" in taken.said


def test_a_failed_gate_is_shown_before_anybody_tries(project: Project) -> None:
    made_releases.lay_out(gates=[made_releases.PASSED, made_releases.FAILED])
    found = deploying.source(project)
    assert [held for _name, held in found.gates] == [True, False]
    assert not found.ready
    page = open_tab(open_page("deploy", project), "New release")
    assert page.button(key="deploy_create").disabled
    (project.models / "optimize/report.json").write_text("[]")
    assert not deploying.source(project).ready
    assert deploying.source(project).problem is not None


@pytest.mark.parametrize("version", ["../1.0.0", "1.0", "--help", "1.0.0; touch x", "", "１.0.0"])
def test_nothing_but_a_version_comes_into_a_command(project: Project, version: str) -> None:
    desk = Desk(project)
    with roles.acting_as(OPERATOR):
        for work in (desk.promote, desk.remove, desk.verify, desk.end_canary, desk.roll_back):
            with pytest.raises(ModelError):
                work(version)
        with pytest.raises(ModelError):
            desk.canary(version, 10)


@pytest.mark.parametrize("role", list(Role))
def test_each_change_asks_for_its_role(project: Project, role: Role) -> None:
    deployed.promoted(project.root, "1.0.0")
    before = State.read(project.releases)
    desk = Desk(project)
    works: dict[str, Callable[[], object]] = {
        roles.CREATE_RELEASE: desk.create,
        roles.PROMOTE: lambda: desk.promote("1.1.0"),
        roles.CANARY: lambda: desk.canary("1.1.0", 10),
        roles.ROLL_BACK: lambda: desk.roll_back("1.0.0"),
        roles.REMOVE_RELEASE: lambda: desk.remove("1.2.0"),
        roles.TRY_MODEL: lambda: desk.verify("1.0.0"),
        roles.RUN_SERVICE: lambda: serving.start(project),
    }
    denied = [name for name in works if role < roles.ACTIONS[name].role]
    with roles.acting_as(User("eve", role)):
        for name in denied:
            with pytest.raises(RoleError):
                works[name]()
    assert len(denied) == {Role.OPERATOR: 0, Role.NOBODY: 7}.get(role, 6)
    assert State.read(project.releases) == before
    assert not serving.held(project)


def test_who_may_not_sees_why(project: Project) -> None:
    deployed.promoted(project.root, "1.0.0")
    page = open_page("deploy", project, role=Role.VIEWER)
    for key in ("deploy_start", "deploy_switch", "deploy_canary"):
        assert page.button(key=key).disabled
        assert "operator" in page.button(key=key).help


def test_a_release_is_tried_in_a_process_of_its_own(project: Project) -> None:
    page = open_tab(open_page("deploy", project), "Try it")
    page.selectbox(key="deploy_ask_whom").select("1.1.0").run()
    page.text_area(key="deploy_text").set_value("hello password").run()
    page.button(key="deploy_ask").click().run(timeout=60)
    answer = page.session_state["deploy_answer"]
    assert answer.version == "1.1.0"
    assert answer.labels[0][1] == max(score for _label, score in answer.labels)
    with roles.acting_as(OPERATOR):
        for text in ("", " \n", "x" * 20_001):
            with pytest.raises(DataError):
                Desk(project).ask("1.1.0", text)
        (project.releases / "1.1.0/model/openvino_model.bin").write_bytes(b"")
        with pytest.raises(DataError) as refused:
            Desk(project).ask("1.1.0", "hello")
    assert "Traceback" not in str(refused.value)


def test_the_service_is_started_asked_and_stopped(
    project: Project, running: Callable[[], serving.Service]
) -> None:
    deployed.promoted(project.root, "1.0.0")
    assert serving.status(project).state == "stopped"
    running()
    until(lambda: serving.status(project).answers, "the service answers")
    found = serving.status(project)
    assert (found.state, found.by) == ("running", "olga")
    assert found.port
    with pytest.raises(BusyError) as busy:
        serving.start(project)
    assert "olga" in str(busy.value)
    answer = serving.ask(found, "hello password", "en")
    assert answer.version == "1.0.0"
    assert answer.decided == answer.labels[0][0]
    page = open_page("deploy", project)
    assert not page.button(key="deploy_stop").disabled
    assert not serving.status(project).outdated
    project.params.write_text(changed_text({"canary.share": 33}), encoding="utf-8")
    assert serving.status(project).outdated, "it goes on with the values of its start"
    began = time.monotonic()
    assert serving.stop(project).state in ("stopping", "stopped")
    assert time.monotonic() - began < 10
    until(lambda: serving.status(project).state == "stopped", "the service has stopped")
    assert "Mofang answers at" in "\n".join(serving.log(project))


@pytest.mark.slow
def test_a_service_that_falls_is_started_again_and_found_without_its_keeper(
    project: Project, running: Callable[[], serving.Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.promoted(project.root, "1.0.0")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}")
    monkeypatch.setattr(serving, "KEEPER", "tests.app.studio.hasty")
    running()
    until(lambda: serving.status(project).answers, "the service answers")
    first = serving.record(project)["service"]["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: serving.status(project).restarts == 1, "the fall is noticed")
    until(lambda: serving.status(project).answers, "the service answers again")
    assert serving.record(project)["service"]["pid"] != first
    os.kill(serving.record(project)["keeper"]["pid"], signal.SIGKILL)
    time.sleep(0.3)
    assert serving.status(project).state == "running", "it goes on without its keeper"
    with pytest.raises(BusyError):
        serving.start(project)
    serving.stop(project)
    until(lambda: serving.status(project).state == "stopped", "the service has stopped")


@pytest.mark.slow
def test_five_starts_at_once_start_one_service(
    project: Project, running: Callable[[], serving.Service]
) -> None:
    deployed.promoted(project.root, "1.0.0")
    code = (
        "import sys; from pathlib import Path; from app.studio import serving\n"
        "from app.studio.project_files import Project; from pipeline.errors import BusyError\n"
        "try: serving.start(Project(Path.cwd())); print('started')\n"
        "except BusyError: print('busy')\n"
    )
    with contextlib.ExitStack() as stack:
        starts = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code], cwd=project.root, stdout=subprocess.PIPE,
                    text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
                )
            )
            for _number in range(5)
        ]  # fmt: skip
        said = [one.communicate(timeout=90)[0].strip() for one in starts]
    assert sorted(said) == ["busy"] * 4 + ["started"]


def test_a_service_that_cannot_start_says_why(
    project: Project, running: Callable[[], serving.Service]
) -> None:
    text = changed_text({"serve.host": "0.0.0.0", "serve.port": 0})  # noqa: S104
    project.params.write_text(text, encoding="utf-8")
    running()
    until(lambda: serving.status(project).state == "failed", "the end is written down")
    page = open_page("deploy", project)
    assert "MOFANG_KEYS" in page.code[0].value
    assert not page.button(key="deploy_start").disabled


def test_a_foreign_process_of_the_same_number_is_left_alone(project: Project) -> None:
    told = {"pid": os.getpid(), "started": 1.0}
    assert serving.known(told) is None
    assert serving.known({"pid": "x"}) is None
    keeper.RECORD.parent.mkdir(exist_ok=True)
    (project.root / keeper.RECORD).write_text("[1]")
    assert serving.record(project) == {}
    assert serving.status(project).state == "stopped"


def test_what_is_printed_and_typed() -> None:
    said = 'before\nTraceback (most recent call last):\n  File "x"\nValueError: so it is'
    assert readable(said) == "before\nValueError: so it is"
    assert reason("  ") == []
    assert reason(" a\n b ") == ["--why=a b"]
    assert typed(["pipeline.release", "rollback", "--why=a b"]) == (
        "python -m pipeline.release rollback '--why=a b'"
    )
    assert serving.own_key("bad\nshop:predict:0123456789abcdef:x\n") == "0123456789abcdef:x"
    assert serving.own_key("shop:other:0123456789abcdef") == ""


def test_a_damaged_state_is_explained(project: Project) -> None:
    (project.releases / "state.json").write_text("{")
    page = open_page("deploy", project)
    assert [one for one in page.error if "state.json" in one.value]
    with pytest.raises(ModelError):
        deploying.overview(project)
