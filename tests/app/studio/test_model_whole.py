"""The page Model asks the real plan, and a real search runs, is stopped, goes on and is applied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.studio import model_plan, model_search, search_running
from app.studio.forms import present
from app.studio.project_files import Project
from app.studio.roles import Role, User, acting_as
from app.studio.runs import following, starting, stopping
from pipeline.i18n import translate
from tests.app.studio import small_project as small
from tests.app.studio.pages import open_page, shown
from tests.e2e.project import Project as Whole

pytestmark = pytest.mark.slow
ADA = User("ada", Role.OPERATOR)
TRIALS = 3
SEARCH = {"fields": ["train.epochs"], "trials": TRIALS, "minutes": 10, "sampler": "random"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a small project that really ran as far as init."""
    whole = Whole.create(tmp_path_factory.mktemp("whole") / "project", rows=240)
    whole.change("search", **SEARCH)
    whole.change("train", epochs=1)  # so few that a trial with more is better
    whole.commit()
    project = Project(whole.folder.resolve())
    before = Path.cwd()
    os.chdir(project.root)
    with small.swept(project):
        with acting_as(ADA):
            done = small.over(starting.start(project, ["init"], device="cpu"), 240.0)
        assert done.state == "done", done.log.read_text()
        yield project
    os.chdir(before)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_real_plan_is_asked_on_the_page(prepared: Project, language: str) -> None:
    page = open_page("model", prepared, language)
    page.button(key="model_ask").click().run(timeout=240)
    assert not page.error
    asked = model_plan.kept(prepared, language)
    assert asked is not None
    assert len(asked.candidates) >= 5
    assert all(one["estimate"]["seconds"] > 0 for one in asked.candidates if not one["excluded"])
    table = page.dataframe[0].value
    assert len(table) == len(asked.candidates)
    assert translate("encoder", language) in "\n".join(table["family"])
    assert str(asked.content["why"][0])[:20] in shown(page)


def test_a_real_search_is_stopped_goes_on_and_is_applied(prepared: Project) -> None:
    project = prepared
    os.chdir(project.root)
    with acting_as(ADA):
        starting.start(project, command=search_running.command(fresh=True))
        run = following.current(project)
        assert run is not None
        assert search_running.is_search(run)
        small.until(lambda: search_running.told(following.tail(run, 400)), 120.0)
        page = open_page("train", project)
        page.session_state["train_tabs"] = "Search"
        page.run()
        assert page.button(key="search_stop")
        stopping.stop(run)
        stopped = small.over(run)
        assert stopped.state == "stopped"
        first = search_running.told(following.tail(stopped, 400))
        assert len(first) < TRIALS
        starting.start(project, command=search_running.command())
        again = following.latest(project)
        assert again is not None
        done = small.over(again, 240.0)
        assert done.state == "done", done.log.read_text()
        found = search_running.proposal(project)
        assert found is not None
        rows = search_running.trials(found.folder)
        assert {0, 1, 2} <= {row["trial"] for row in rows}
        assert first[0]["trial"] in {row["trial"] for row in rows if row["state"] == "done"}
        assert set(found.changes) == {"train.epochs"}
        model_search.apply(project, found, present.read(project))
    wanted = found.changes["train.epochs"]["new"]
    assert present.read(project).values["train"]["epochs"] == wanted
