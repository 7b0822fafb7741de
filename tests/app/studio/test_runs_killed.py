"""Runs that are killed for real, in part and in whole, and stopped; locks that were left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.studio.project_files import Project
from app.studio.roles import Role, User
from app.studio.runs import (
    diagnosing,
    execute,
    following,
    locks,
    processes,
    starting,
    stopping,
    workplace,
)
from pipeline.errors import BusyError
from tests.app.studio import small_project as small
from tests.helpers import ROOT

SLOW = {"steps": 60, "pause": 0.1}
LOWEST = 19  # priority that a system knows
REFUSING = """
import os, sys
from pathlib import Path
from app.studio.runs import execute
def refuse(_step):
    raise PermissionError(13, "not here")
os.nice = refuse
sys.exit(execute.main(Path(sys.argv[1])))
"""


project = small.project  # a fixture


def test_five_starts_at_once_give_one_run(project: Project) -> None:
    """F9."""
    small.set_plan(project.root, collect=SLOW)
    began, refused = [], []
    ready = threading.Barrier(5)

    def one(name: str) -> None:
        ready.wait()
        try:
            began.append(starting.start(project, by=User(name, Role.EDITOR)))
        except BusyError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=one, args=(name,)) for name in "abcde"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(began) == 1
    assert len(refused) == 4
    run = began[0]
    with pytest.raises(BusyError, match=f"a run that {run.by} started at 20.*dvc repro"):
        starting.start(project)
    assert all("one run at a time" in text for text in refused)
    with pytest.raises(BusyError):  # F8: never while a run lives
        locks.clear_stale_as_asked(project)
    stopping.stop(run)
    (project.root / locks.RWLOCK).write_text("{")
    (moved,) = locks.clear_stale_as_asked(project)
    assert moved.read_text() == "{"


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_killing_dvc_alone_leaves_no_trainer(project: Project, how: signal.Signals) -> None:
    """F2."""
    small.set_plan(project.root, train={"steps": 600, "pause": 0.1})
    run = starting.start(project)
    small.works_on(run, "train")
    (trainer, *_shell) = small.processes_of(run, "pipeline.work")
    small.kill(*[one for one in small.processes_of(run, "dvc repro")
                 if "execute" not in " ".join(psutil.Process(one).cmdline())], how=how)  # fmt: skip
    assert small.until(lambda: not small.lives(trainer)) < 5.0
    failed = small.over(run, 10.0)
    assert failed.state == "failed"
    found = diagnosing.explain(failed)
    assert found is not None
    assert found.kind == "killed"


def test_a_killed_supervisor_is_replaced_and_the_log_has_no_gap(project: Project) -> None:
    small.set_plan(project.root, train={"steps": 50, "pause": 0.1})
    run = starting.start(project)
    small.works_on(run, "train")
    first = small.now(run).supervisor
    assert first is not None
    small.kill(first.pid)
    assert small.until(lambda: processes.alive(small.now(run).supervisor), 5.0) < 3.0
    assert following.current(project) is not None
    with pytest.raises(BusyError):
        starting.start(project)
    done = small.over(run)
    assert (done.state, done.code) == ("done", 0), run.log.read_text()
    said = [line for line in run.log.read_text().splitlines() if line.startswith("train step")]
    assert said == [f"train step {step}" for step in range(1, 51)]
    assert small.content(project, "models/test/report.json")["read"] == "test"


def test_the_programs_of_a_run_let_pages_go_first(project: Project) -> None:
    small.set_plan(project.root, train=SLOW)
    run = starting.start(project)
    small.works_on(run, "train")
    first = small.now(run).supervisor
    assert first is not None
    own, later = psutil.Process().nice(), min(LOWEST, psutil.Process().nice() + execute.LATER)
    (watchman,) = small.processes_of(run, "execute.py")
    programs = {*small.processes_of(run, "")} - {watchman}
    assert {*small.processes_of(run, "pipeline.work")} < programs
    assert {psutil.Process(one).nice() for one in programs} == {later}
    assert psutil.Process(watchman).nice() == psutil.Process(first.pid).nice() == own
    small.kill(first.pid)  # the next one is started by the watchman
    small.until(lambda: processes.alive(small.now(run).supervisor), 5.0)
    second = small.now(run).supervisor
    assert second is not None
    assert psutil.Process(second.pid).nice() == own
    stopping.stop(run)


def test_a_system_that_refuses_another_priority_fails_no_run(tmp_path: Path) -> None:
    job = {"argv": [sys.executable, "-c", "print(1)"], "exit": str(tmp_path / "exit"), "pass": []}
    (tmp_path / "job").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-c", REFUSING, str(tmp_path / "job")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert json.loads((tmp_path / "exit").read_text()) == {"code": 0}


def test_a_run_outlives_the_studio_that_started_it(project: Project) -> None:
    """F15: ``kill -9`` of the whole session of Streamlit."""
    small.set_plan(project.root, train={"steps": 30, "pause": 0.1})
    program = (
        "import sys, time; from pathlib import Path; from app.studio.runs import starting;"
        "from app.studio.project_files import Project;"
        "starting.start(Project(Path(sys.argv[1]))); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(project.root)], cwd=ROOT, start_new_session=True
    ) as studio:
        small.until(lambda: following.current(project))
        run = following.current(project)
        assert run is not None
        small.works_on(run, "train")
        os.killpg(studio.pid, signal.SIGKILL)
    began = time.monotonic()
    found = following.current(project)
    assert found is not None
    assert found.id == run.id
    assert time.monotonic() - began < 3.0
    assert small.over(run).state == "done"


@pytest.mark.slow
def test_all_but_the_trainer_killed_is_found_and_ended(project: Project) -> None:
    """The supervisor, its watchman and DVC at once: a page that looks puts it in order."""
    small.set_plan(project.root, train={"steps": 600, "pause": 0.1})
    run = starting.start(project)
    small.works_on(run, "train")
    (trainer, *_shell) = small.processes_of(run, "pipeline.work")
    first = small.now(run).supervisor
    assert first is not None
    small.kill(first.pid, *small.processes_of(run, "execute.py"), *small.processes_of(run, "dvc"))
    assert small.lives(trainer)

    def gone() -> bool:
        following.current(project)  # what every page does every two seconds
        return not small.lives(trainer)

    assert small.until(gone) < 5.0
    assert small.over(run, 10.0).state == "failed"
    small.set_plan(project.root)
    assert small.over(starting.start(project)).state == "done"


@pytest.mark.slow
def test_a_start_settles_a_run_that_nobody_looked_after(project: Project) -> None:
    small.set_plan(project.root, train={"steps": 600, "pause": 0.1})
    run = starting.start(project)
    small.works_on(run, "train")
    first = small.now(run).supervisor
    assert first is not None
    small.kill(first.pid, *small.processes_of(run, "execute.py"), *small.processes_of(run, ""))
    small.set_plan(project.root)
    assert small.over(starting.start(project)).state == "done"
    assert small.now(run).state == "failed"


@pytest.mark.parametrize("deaf", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_stop_ends_everything_within_ten_seconds(project: Project, deaf: bool) -> None:
    """F3; a stage that listens to no interrupt is killed."""
    small.set_plan(project.root, train={"steps": 600, "pause": 0.1, "deaf": deaf})
    run = starting.start(project)
    small.works_on(run, "train")
    running = [one.pid for one in processes.marked(str(run.folder))]
    assert len(running) >= 3
    began = time.monotonic()
    stopped = stopping.stop(run, by=User("bob", Role.OPERATOR))
    assert time.monotonic() - began < 10.0
    assert (stopped.state, stopped.stopped_by) == ("stopped", "bob")
    assert not any(map(small.lives, running))
    assert following.stages(stopped)["train"] == "stopped"
    assert small.content(project, "data/collect/report.json")["read"] == "collect"
    found = diagnosing.explain(stopped)
    assert found is not None
    assert "bob stopped the run" in str(found.cause)
    assert stopping.stop(stopped) == stopped


@pytest.mark.slow
def test_a_stop_without_a_supervisor_works_too(project: Project) -> None:
    small.set_plan(project.root, train={"steps": 600, "pause": 0.1, "deaf": True})
    run = starting.start(project)
    small.works_on(run, "train")
    first = small.now(run).supervisor
    assert first is not None
    small.kill(first.pid)
    began = time.monotonic()
    stopped = stopping.stop(run)
    assert time.monotonic() - began < 10.0
    assert stopped.state == "stopped"
    assert not processes.marked(str(run.folder))
    small.set_plan(project.root)
    assert small.over(starting.start(project)).state == "done"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("cut", "zombie"),
        pytest.param("alien", "cut", marks=pytest.mark.slow),
        pytest.param("zombie", "alien", marks=pytest.mark.slow),
    ],
)
def test_stale_locks_are_cleared_by_the_next_run(project: Project, here: str, there: str) -> None:
    """F8: in the project, and in the folder where runs work."""
    with left_behind(project.root, here), left_behind(workplace.tree_of(project), there):
        run = small.over(starting.start(project))
    assert run.state == "done", run.log.read_text()
    for root in (project.root, workplace.tree_of(project)):
        assert list((root / locks.RWLOCK).parent.glob("rwlock.bad-*"))


@contextlib.contextmanager
def left_behind(root: Path, fault: str) -> Iterator[None]:
    """Leave a lock of DVC that nobody holds: cut off, of an alien process, or of a zombie."""
    lock = root / locks.RWLOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    output = str(root / "data/collect")
    if fault == "cut":
        lock.write_text('{"write": {"' + output)
        assert locks.is_stale(root)
        yield
        return
    # An alien is a living process that was born after the lock was written.
    program = [sys.executable, "-c", "input()"] if fault == "alien" else ["true"]
    child = subprocess.Popen(program, stdin=subprocess.PIPE, cwd="/")
    try:
        if fault == "zombie":
            small.until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        lock.write_text(json.dumps({"write": {output: {"pid": child.pid, "cmd": "dvc repro"}}}))
        assert locks.is_stale(root)
        yield
    finally:
        child.kill()
        child.communicate()
