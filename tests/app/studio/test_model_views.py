"""The pages of the model stages: what they show in every state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.studio import model_errors, model_examples, search_running
from app.studio.forms import present
from app.studio.project_files import Project
from app.studio.roles import Role
from pipeline import artifacts
from pipeline.errors import words
from pipeline.i18n import Message, translate
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.app.studio.data_pages import tab
from tests.app.studio.model_project import (
    FIGURE,
    fill,
    keep,
    run,
    search_folder,
    stand_in,
    whole,
)
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page, shown
from tests.pipeline.made_reports import HOSTILE

TASKS = pytest.mark.parametrize("task", [SINGLE, MULTI, REGRESSION])
VIEWS = {"model": "init", "train": "train", "validate": "validate", "test": "test",
         "optimize": "optimize"}  # fmt: skip
PAGES = pytest.mark.parametrize("view", VIEWS)
TABS = {
    "model": ["Recommendation", "Where training starts"],
    "train": ["Curves", "Worth and costs", "Search"],
    "validate": ["Gates and figures", "Groups and fairness", "Calibration"],
    "test": ["Verdict", "Labels and confusions", "Groups and fairness", "Errors",
             "Confidence and data"],
    "optimize": ["What ships", "All variants", "Same answers"],
}  # fmt: skip


@pytest.fixture
def here(project: Path) -> Project:
    """Return a project with results of one label a record."""
    return fill(Project(project))


@pytest.fixture
def child(here: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program that stands in for ``pipeline.plan``."""
    return stand_in(here, monkeypatch)


# Pages


@PAGES
@LANGUAGES
def test_a_page_without_results_says_so(project: Path, view: str, language: str) -> None:
    here = Project(project)
    fill(here)
    for stage in VIEWS.values():
        here.report(stage).unlink()
    page = open_page(view, here, language)
    if view == "model":
        tab(page, view, "Where training starts", language)
    told = Message("There is no result yet: the stage {stage} has not run in this project.",
                   {"stage": VIEWS[view]})  # fmt: skip
    assert words(told, language) in shown(page)


@PAGES
@LANGUAGES
@TASKS
def test_every_tab_of_a_page_with_results(
    here: Project, view: str, language: str, task: str
) -> None:
    fill(here, task)
    keep(here)
    search_folder(here)
    page = open_page(view, here, language)
    for name in TABS[view]:
        tab(page, view, name, language)
        assert [bool(one.children) for one in page.tabs].count(True) == 1


@pytest.mark.parametrize(
    ("view", "name", "fold"),
    [
        ("model", "Where training starts", "model_parts_fold"),
        ("train", "Search", "search_trials"),
        ("validate", "Gates and figures", "validate_figures_fold"),
        ("validate", "Gates and figures", "validate_costs_fold"),
        ("validate", "Groups and fairness", "validate_groups_fold"),
        ("test", "Verdict", "test_figures_fold"),
        ("test", "Groups and fairness", "test_groups_fold"),
        ("test", "Confidence and data", "test_changed_fold"),
    ],
)
def test_the_table_of_a_fold_is_made_when_it_is_opened(
    here: Project, view: str, name: str, fold: str
) -> None:
    search_folder(here)
    page = tab(open_page(view, here), view, name)
    folded = len(page.dataframe)
    page.session_state[fold] = True
    page.run()
    assert_sound(page)
    assert len(page.dataframe) == folded + 1


@PAGES
@LANGUAGES
def test_a_page_beside_a_run_that_works(here: Project, view: str, language: str) -> None:
    stage = VIEWS[view]
    made = run(here, "running", f"Running stage '{stage}':\n")
    line = {"time": 4e9, "stage": stage, "step": 3, "total": 10, "seconds_left": 70.0}
    made.progress_lines.write_text(json.dumps(line) + "\n")
    page = open_page(view, here, language)
    told = translate("This stage works: step {step} of {total}, about {left} left.", language)
    assert told.partition("{step}")[0] in texts(page)


@PAGES
@LANGUAGES
def test_a_page_after_a_run_that_failed_there(here: Project, view: str, language: str) -> None:
    stage = VIEWS[view]
    log = f"Running stage '{stage}':\nMemoryError\nERROR: failed to reproduce '{stage}'\n"
    run(here, "failed", log)
    page = open_page(view, here, language)
    assert page.error


@PAGES
@LANGUAGES
def test_a_page_after_a_run_that_was_stopped(here: Project, view: str, language: str) -> None:
    stage = VIEWS[view]
    run(here, "stopped", f"Running stage '{stage}':\nERROR: failed to reproduce '{stage}'\n")
    page = open_page(view, here, language)
    stopped = "The last run was stopped in this stage. What stands here is from before."
    assert translate(stopped, language) in [one.value for one in page.warning]


def texts(page: AppTest) -> str:
    """Return all texts of a page, those of progress bars too, which ``shown`` does not know."""
    found = [shown(page)]
    for element in page.main:
        proto = getattr(element, "proto", None)
        found.append(str(getattr(proto, "text", "")))
    return "\n".join(found)


def test_a_failed_gate_is_named_with_its_way_out(project: Path) -> None:
    page = open_page("validate", fill(Project(project), bound=0.99))
    assert any("may not go on" in one.value for one in page.error)
    assert "Improve data or training" in shown(page)


def test_choosing_a_cell_shows_its_records(here: Project) -> None:
    page = tab(open_page("test", here), "test", "Labels and confusions")
    before = len(page.dataframe)
    report, _answers = whole(SINGLE)
    listed = model_errors.listed(model_examples.cells(report))
    page.selectbox(key="test_cell").set_value(listed[0]).run()
    assert_sound(page)
    assert len(page.dataframe) == before + 1
    frame = page.dataframe[-1].value
    most = max(one["records"] for one in model_examples.cells(report) if not one["right"])
    assert len(frame) == most
    assert set(frame["label"]) <= set(HOSTILE)


def test_what_people_wrote_stays_what_it_is(here: Project) -> None:
    page = open_page("test", here)
    for name in TABS["test"]:
        tab(page, "test", name)
        for element in page.markdown:
            assert not element.allow_html
            for bad in ("<script>", "<img ", "<svg "):
                assert bad not in element.value.replace("\\<", "&lt;")


def test_a_report_is_handed_out_with_an_audit_line(here: Project) -> None:
    page = open_page("test", here)
    keys = [one.proto.id for one in page.get("download_button")]
    assert any("test_page" in one for one in keys)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LABELLER])
def test_who_may_only_look_can_press_nothing_that_acts(here: Project, role: Role) -> None:
    keep(here, data="older")
    search_folder(here)
    page = open_page("model", here, role=role)
    assert page.button(key="model_ask").disabled
    assert page.button(key="model_use").disabled
    page = tab(open_page("train", here, role=role), "train", "Search")
    assert page.button(key="search_start").disabled
    assert page.button(key="search_apply").disabled


def test_the_recommendation_is_asked_and_used_by_clicks(here: Project, child: Path) -> None:
    page = open_page("model", here)
    assert not page.button(key="model_ask").disabled
    page.button(key="model_ask").click().run()
    assert_sound(page)
    assert "MiniLM" in shown(page)
    page.button(key="model_use").click().run()
    assert_sound(page)
    assert not page.error
    values = present.read(here).values
    assert values["init"]["max_tokens"] == 48
    assert values["train"]["learning_rate"] == 3e-4
    assert any("already" in one.value for one in page.success)


def test_without_labelled_records_nothing_can_be_recommended(here: Project) -> None:
    for part in artifacts.PARTS:
        (here.root / artifacts.part(part)).unlink()
    page = open_page("model", here)
    assert page.button(key="model_ask").disabled


def test_a_search_that_works_is_followed(here: Project) -> None:
    line = "trial 0  done  macro_f1 0.9123  train.learning_rate 0.0002  61.3 s"
    made = run(here, "running", f"{line}\n", search_running.COMMAND)
    progress = {"time": 4e9, "stage": "search", "step": 1, "total": 20, "seconds_left": 70.0}
    made.progress_lines.write_text(json.dumps(progress) + "\n")
    page = tab(open_page("train", here), "train", "Search")
    assert page.button(key="search_stop")
    assert page.dataframe[0].value["figure"].tolist() == [0.9123]
    with pytest.raises(KeyError):
        page.button(key="search_start")


def test_a_search_waits_for_the_run_that_works(here: Project) -> None:
    run(here, "running", "Running stage 'clean':\n")
    page = tab(open_page("train", here), "train", "Search")
    assert page.button(key="search_start").disabled
    assert "one works at a time" in str(page.button(key="search_start").help)


def test_a_search_that_failed_shows_what_it_said(here: Project) -> None:
    run(here, "failed", "params.yaml, train.metric: found 'x'\n", search_running.COMMAND)
    page = tab(open_page("train", here), "train", "Search")
    assert any("train.metric" in one.value for one in page.code)


def test_live_curves_are_drawn_while_training(here: Project) -> None:
    made = run(here, "running", "Running stage 'train':\n")
    folder = here.work / "train/abc/live/plots/metrics"
    for name in ("train/loss", "validation/macro_f1"):
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"step\t{path.stem}\n1\t0.5\n2\t0.4\n")
    assert made.works
    page = open_page("train", here)
    assert [one.value for one in page.metric] == ["0.4"]


def test_every_figure_of_a_task_has_its_main_one() -> None:
    for task, main in FIGURE.items():
        assert whole(task)[0]["main"] == main
