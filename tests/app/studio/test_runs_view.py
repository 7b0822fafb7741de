"""The page of runs, in both languages and in all states of a run."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from app.studio.project_files import Project
from app.studio.roles import Role
from app.studio.runs import following, records, starting
from app.studio.runs.records import METRICS, Run
from app.studio.views import runs as view
from pipeline.artifacts import write_json
from tests.app.studio import small_project as small
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page, shown

SLOW = {"steps": 600, "pause": 0.1}


project = small.project  # a fixture


@pytest.fixture(autouse=True)
def spoken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest names the options of a page outside of it, where nobody's choice is known."""
    if "language" in request.fixturenames:
        monkeypatch.setenv("MOFANG_LANGUAGE", request.getfixturevalue("language"))


def said(page: object) -> str:
    """Return what a page says, its captions and codes too."""
    return shown(page)  # type: ignore[arg-type]


@LANGUAGES
def test_a_project_without_runs_offers_the_first_one(project: Project, language: str) -> None:
    page = open_page("runs", project, language)
    assert not page.button(key="runs_start").disabled
    assert "dvc repro" in said(page)
    assert page.title[0].value == {"en": "Runs and compare"}.get(language, page.title[0].value)


def both(project: Project, monkeypatch: pytest.MonkeyPatch, ids: str = "") -> list[AppTest]:
    """Return the page in Chinese and in English; AppTest names options by the environment."""
    found = []
    for language in ("zh", "en"):
        monkeypatch.setenv("MOFANG_LANGUAGE", language)
        query = {"ids": ids} if ids else {}
        found.append(open_page("runs", project, language, Role.OPERATOR, **query))
    assert shown(found[0]) != shown(found[1])
    return found


def test_a_run_is_started_watched_and_stopped_from_the_page(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.set_plan(project.root, train=SLOW)
    page, late = open_page("runs", project), open_page("runs", project)
    assert open_page("runs", project, role=Role.VIEWER).button(key="runs_start").disabled
    page.button(key="runs_start").click().run()
    assert_sound(page)
    run = following.current(project)
    assert run is not None
    small.works_on(run, "train", 3)
    small.until(lambda: following.began(run).get("train"))
    late.button(key="runs_start").click().run()  # somebody whose page shows no run yet
    assert_sound(late)
    told = "\n".join(one.value for one in late.error)
    assert "ada" in told or "runs_stop" in [one.key for one in late.button]
    assert open_page("runs", project, role=Role.VIEWER).button(key="runs_stop").disabled
    for elsewhere in both(project, monkeypatch):  # another tab, another browser
        assert "runs_start" not in [one.key for one in elsewhere.button]
        assert "train step 3" in elsewhere.code[0].value
        assert not elsewhere.button(key="runs_stop").disabled
    elsewhere.button(key="runs_stop").click().run()
    assert_sound(elsewhere)
    assert small.now(run).state == "stopped"
    for after in both(project, monkeypatch):
        assert after.warning
        assert not after.button(key="runs_again").disabled


def test_out_of_memory_is_one_click_from_going_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.set_plan(project.root, train={"killed_above": 16})
    small.over(starting.start(project))
    for page in both(project, monkeypatch):
        assert page.error
        assert page.dataframe[0].value["new"].tolist() == ["16", "2"]
    page.button(key="runs_continue").click().run()
    assert_sound(page)
    run = following.latest(project)
    assert run is not None
    assert small.over(run).state == "done"
    assert small.content(project, "models/train/report.json")["batch_size"] == 16
    for done in both(project, monkeypatch):
        assert done.success
        assert "0.8" in done.success[0].value


def test_earlier_runs_are_listed_and_compared_by_their_address(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = finished(project, 3, 0.8), finished(project, 4, 0.9)
    small.edit(project, "  epochs: 3 ", "  epochs: 4 ")
    for page, language in zip(
        both(project, monkeypatch, ids=f"{first},{second}"), ("zh", "en"), strict=True
    ):
        assert page.multiselect(key=f"runs_chosen_{language}").value == [first, second]
        params, figures = page.dataframe[0].value, page.dataframe[1].value
        assert params[["path", "A", "B"]].values.tolist() == [["train.epochs", "3", "4"]]
        cells = dict(zip(figures["figure"], figures["B"], strict=True))
        assert any("★" in one and "▲" in one for one in cells.values())
    page.button(key=f"restore_{first}").click().run()
    assert_sound(page)
    assert not page.error, [one.value for one in page.error]
    assert [one.value for one in page.success] == ["params.yaml is what it was in that run."]
    assert "  epochs: 3 " in project.params.read_text()


def finished(project: Project, epochs: int, score: float) -> str:
    """Write down a run that is done; return its id."""
    run = Run(
        project=project, id=f"20260101-00000{epochs}-aaaa", command=("dvc", "repro"), by="ada",
        device="auto", state="done", began=records.now(), ended=records.now(), params_sha256="",
        commit=None, lock_sha256=None, code=0,
    )  # fmt: skip
    run.folder.mkdir(parents=True)
    text = project.params.read_text()
    run.snapshot.write_text(text.replace("  epochs: 3 ", f"  epochs: {epochs} ", 1))
    write_json(run.folder / METRICS, {"figures": {"test.macro_f1": score}, "smaller": []})
    return records.write(run).id


def test_the_address_of_runs_that_are_gone_shows_the_page(project: Project) -> None:
    page = open_page("runs", project, ids="20260101-000000-aaaa,<script>")
    assert view.TABS
    assert "<script>" not in said(page)
    assert not records.ids(project)


def test_the_log_of_a_run_that_is_done_is_read_when_somebody_opens_it(project: Project) -> None:
    done = small.over(starting.start(project))
    page = open_page("runs", project)
    assert "train step 3" not in said(page)
    page.session_state[f"runs_fold_{done.id}_done"] = True
    page.run()
    assert_sound(page)
    assert "train step 3" in said(page)
