"""A run that outlives what people look at it with, and two people at once.

Browser, studio and supervisor are killed, each alone, while a run works. All processes are real;
only what the stages work on is not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.studio.project_files import Project
from app.studio.runs import following, processes, records
from app.studio.runs.records import Run
from tests.app.studio import small_project as small
from tests.e2e.project import NO_CACHE
from tests.e2e.studio_browser import Browser, Reader, Studio, finds, launched, needs_browser
from tests.helpers import ROOT

pytestmark = [pytest.mark.e2e, needs_browser]
STEPS, PAUSE = 2_000, 0.3  # seconds each, unless somebody says that it is enough


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Studio]]:
    """A project with runs that last, and its studio."""
    project = small.create(tmp_path_factory.mktemp("runs") / "project")
    # The studio runs in the project's folder, so the real package has to be there as well.
    shutil.copytree(
        ROOT / "pipeline", project.root / "pipeline", ignore=NO_CACHE, dirs_exist_ok=True
    )
    work = project.root / "pipeline/work.py"
    enough = '    if os.path.exists(plan.get("enough", "")):\n        break\n'
    text = work.read_text().replace(', "loss": 1 / step', "")  # curves cost the browser much
    before, then, after = text.partition('if plan.get("says"):')
    work.write_text(before + enough + then + after)
    for words in (["add", "-A"], ["commit", "-qm", "code"]):
        subprocess.run(["git", *words], cwd=project.root, check=True)
    with Studio(project.root) as studio:
        yield project, studio


@pytest.fixture
def project(kept: tuple[Project, Studio], tmp_path: Path) -> Iterator[Project]:
    plan = {"steps": STEPS, "pause": PAUSE, "enough": str(tmp_path / "enough")}
    small.set_plan(kept[0].root, train=plan)
    (kept[0].root / "data/raw/words.txt").write_text(tmp_path.name)  # train has something to do
    with small.swept(kept[0]):
        yield kept[0]


@pytest.fixture
def studio(kept: tuple[Project, Studio], project: Project) -> Iterator[Studio]:
    yield kept[1]
    assert not kept[1].incidents(), kept[1].told()


def begun(reader: Reader, project: Project) -> Run:
    """Start a run by its button and return it as soon as it trains."""
    before = {one.id for one in following.history(project)}
    reader.open("runs")
    reader.press("runs_start")

    def new() -> bool:
        return bool({one.id for one in following.history(project)} - before)

    reader.wait(new, 15.0, "a run")
    run = following.history(project, 1)[0]
    small.works_on(run, "train", 3)
    reader.wait(lambda: reader.sees("runs_stop"), 10.0, "the run, on the page")
    return run


def ends_without_a_gap(run: Run, folder: Path) -> None:
    """Hold that a run comes to its end, and that its log has each line once, in order."""
    seen = len(steps(run))
    small.until(lambda: len(steps(run)) > seen)  # it still works
    (folder / "enough").touch()
    done = small.over(run, 60.0)
    assert done.state == "done", (done.notes, done.log.read_text())
    told = steps(run)
    assert told == [f"train step {step}" for step in range(1, 1 + len(told))]
    lines = [json.loads(line) for line in done.progress_lines.read_text().splitlines()]
    found = [one["step"] for one in lines if one["stage"] == "train"]
    assert found == list(range(1, 1 + len(told)))


def found(browser: Browser, studio: Studio, run: Run) -> None:
    """Hold that somebody new sees the run in time, and its log."""
    reader = finds(browser, studio.address)
    reader.wait(partial(reader.says, "Running stage 'collect'"), 10.0, "its log")
    assert small.now(run).works, "it was over before it was found"


def steps(run: Run) -> list[str]:
    """Return the lines of a run's log that tell of training."""
    lines = run.log.read_text().splitlines()
    return [line for line in lines if line.startswith("train step")]


@pytest.mark.slow
def test_a_killed_browser_leaves_the_run_alone(
    project: Project, studio: Studio, playwright: Any, browser: Browser, tmp_path: Path
) -> None:
    with launched(playwright) as first:
        run = begun(first.reader(studio.address), project)
        first.kill()
    found(browser, studio, run)
    ends_without_a_gap(run, tmp_path)


@pytest.mark.slow
def test_a_killed_studio_leaves_the_run_alone(
    project: Project, studio: Studio, browser: Browser, tmp_path: Path
) -> None:
    run = begun(browser.tab(studio.address), project)
    supervisor = small.now(run).supervisor
    studio.kill()
    studio.start()
    found(browser, studio, run)
    assert small.now(run).supervisor == supervisor
    ends_without_a_gap(run, tmp_path)


@pytest.mark.slow
def test_a_killed_supervisor_is_replaced(
    project: Project, studio: Studio, browser: Browser, tmp_path: Path
) -> None:
    reader = browser.tab(studio.address)
    run = begun(reader, project)
    first = small.now(run).supervisor
    assert first is not None
    psutil.Process(first.pid).kill()

    def replaced() -> bool:
        now = small.now(run).supervisor
        return now != first and processes.alive(now)

    print(f"replaced after {reader.wait(replaced, 10.0, 'another supervisor'):.2f} s")
    found(browser, studio, run)
    assert reader.sees("runs_stop")
    ends_without_a_gap(run, tmp_path)
    reader.wait(lambda: "The run is done." in reader.text, 5.0, "the end, on the page")


def test_two_people_at_once_and_the_second_is_told(
    project: Project, studio: Studio, browser: Browser
) -> None:
    """F3: there is one run, and whoever starts a second one is told who runs what since when."""
    before = set(records.ids(project))
    one, other = browser.tab(studio.address), browser.reader(studio.address, "zh-CN")
    for reader in (one, other):
        reader.open("runs")
        reader.wait(partial(reader.sees, "runs_start"), 10.0, "the button that starts")
    for reader in (one, other):  # both press before either page has told anything
        reader.button("runs_start").click(no_wait_after=True)
    for reader in (one, other):
        reader.wait(partial(reader.sees, "runs_stop"), 15.0, "the run, for both")
        reader.wait(partial(reader.says, "ada"), 5.0, "who started it")
    run = following.history(project, 1)[0]
    told = subprocess.run(
        [sys.executable, "-c", START],
        cwd=project.root, capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MOFANG_USER": "bob"},
    ).stdout  # fmt: skip
    for word in ("BusyError", "ada", "dvc repro", f"{records.moment(run.began):%Y-%m-%d %H:%M:%S}"):
        assert word in told
    assert set(records.ids(project)) - before == {run.id}
    other.press("runs_stop")
    other.wait(lambda: small.now(run).state == "stopped", 10.0, "a stopped run")
    one.wait(lambda: "stopped" in one.text.lower(), 5.0, "the stop, at the other one")
    assert not processes.marked(str(run.folder))


START = """
from app.studio.project_files import Project
from app.studio.runs import starting
try:
    starting.start(Project.here())
except Exception as error:
    print(type(error).__name__, error)
"""
