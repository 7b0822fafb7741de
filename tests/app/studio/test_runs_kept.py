"""What stays of runs: the newest two hundred, and the results of one that was overtaken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.studio.project_files import Project
from app.studio.runs import (
    comparing,
    diagnosing,
    records,
    restoring,
    retention,
    starting,
)
from app.studio.runs.records import Run, State
from tests.app.studio import small_project as small
from tests.app.studio.pages import assert_sound, open_page

project = small.project  # a fixture


def old(project: Project, days: int, state: State = "done") -> Run:
    """Make the record of a run that began some days ago."""
    began = datetime.now(UTC) - timedelta(days=days)
    run = Run(
        project=project, id=f"{began:%Y%m%d-%H%M%S}-aaaa", command=("dvc", "repro"), device="auto",
        by="ada", state=state, began=began.isoformat(), ended=began.isoformat(), params_sha256="",
        commit=None, lock_sha256=None,
    )  # fmt: skip
    run.folder.mkdir(parents=True)
    run.snapshot.write_bytes(project.params.read_bytes())
    return records.write(run)


def test_the_runs_that_nobody_used_for_longest_go(project: Project) -> None:
    runs = [old(project, days) for days in range(1, 9)]
    works = old(project, 90, "running")
    (project.runs / "lock").touch()
    (project.runs / "tree").mkdir()
    comparing.compare(project, [runs[7].id, runs[0].id])
    restoring.restore(project, runs[6].id)
    gone = retention.clear(project, keep=5)
    assert gone == [runs[5].id, runs[4].id, runs[3].id]
    left = {runs[place].id for place in (0, 1, 2, 6, 7)}
    assert set(records.ids(project)) == left | {works.id}
    assert {one.name for one in project.runs.iterdir()} == {*left, works.id, "lock", "tree"}
    assert retention.clear(project, keep=5) == []


def test_a_removal_that_was_cut_off_is_finished_later(project: Project) -> None:
    rest = project.runs / f"{retention.GOING}20260101-000000-aaaa"
    rest.mkdir(parents=True)
    (rest / "log").write_text("x")
    foreign = project.runs / "2026-notes"
    foreign.mkdir()
    assert not records.read_json(rest / "run.json")
    assert retention.clear(project, keep=0) == []
    assert not rest.exists()
    assert foreign.exists()


@pytest.mark.slow
def test_results_of_a_run_that_was_overtaken_are_taken_over_with_one_click(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody fetches another ``dvc.lock`` meanwhile: nothing of theirs is written over."""
    oldest = old(project, 400)
    for days in range(1, retention.KEEP + 1):
        old(project, days)
    small.set_plan(project.root, collect={"steps": 10, "pause": 0.1})
    run = starting.start(project)
    small.works_on(run, "collect")
    project.lock.write_text("schema: '2.0'\nstages: {}\n")
    failed = small.over(run)
    assert failed.state == "failed"
    assert project.lock.read_text() == "schema: '2.0'\nstages: {}\n"
    assert not (project.root / "models/test/report.json").exists()
    small.until(lambda: len(records.ids(project)) == retention.KEEP)  # it made room at its end
    assert not oldest.folder.exists()
    found = diagnosing.explain(failed)
    assert found is not None
    assert found.kind == "aside"
    for language in ("zh", "en"):
        monkeypatch.setenv("MOFANG_LANGUAGE", language)
        page = open_page("runs", project, language)
    page.button(key="runs_take").click().run()
    assert_sound(page)
    told = small.content(project, "models/test/report.json")
    assert (told["epochs"], told["raw"]) == (3, "first")
    assert (project.root / "models/test/metrics.json").exists()
    assert small.dvc(project, "status").stdout.strip() == "Data and pipelines are up to date."
