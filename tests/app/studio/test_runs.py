"""Runs that are started and edited beside, for real; who may, and with what."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.studio import roles
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User
from app.studio.runs import (
    comparing,
    diagnosing,
    following,
    locks,
    processes,
    records,
    starting,
    stopping,
    workplace,
)
from app.studio.runs.records import Run
from pipeline.errors import BusyError, DataError, ParamsError
from tests.app.studio import small_project as small
from tests.helpers import quickest

SLOW = {"steps": 60, "pause": 0.1}


project = small.project  # a fixture


def test_a_run_brings_its_results_home_and_the_next_one_skips(project: Project) -> None:
    began = time.monotonic()
    run = starting.start(project, device="cpu")
    assert time.monotonic() - began < 5.0
    assert (run.state, run.by, run.command) == ("running", "ada", ("dvc", "repro"))
    assert following.current(project) == small.now(run)
    done = small.over(run)
    assert (done.state, done.code) == ("done", 0), run.log.read_text()
    assert following.current(project) is None
    assert following.latest(project) == small.now(done)
    assert following.stages(done) == {"collect": "done", "train": "done", "test": "done"}
    assert small.content(project, "models/test/report.json")["epochs"] == 3
    assert small.dvc(project, "status").stdout.strip() == "Data and pipelines are up to date."
    assert not locks.holders(project.root)
    assert following.durations(project, "9") == {"collect": 0.1, "train": 0.1, "test": 0.1}
    again = small.over(starting.start(project))
    assert set(following.stages(again).values()) == {"skipped"}
    assert [one.id for one in following.history(project)] == [again.id, done.id]
    assert any("Git" in str(note) for note in small.now(done).notes)
    told = subprocess.run(
        ["git", "show", "--stat", "--format=%B"], cwd=project.root, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert "Repeat: dvc repro" in told
    assert "dvc.lock" in told


def test_edits_during_a_run_wait_for_the_next_one(project: Project) -> None:
    """F10: parameters, data and code, while a stage works that has read them."""
    small.set_plan(project.root, collect={"steps": 20, "pause": 0.1})
    run = starting.start(project)
    small.works_on(run, "collect")
    small.edit(project, "  epochs: 3 ", "  epochs: 4 ")
    (project.root / "data/raw/words.txt").write_text("second")
    work = project.root / "pipeline/work.py"
    work.write_text(work.read_text().replace('"read": stage', '"read": "other"'))
    assert following.waiting_edits(run) == ["train.epochs"]
    done = small.over(run)
    assert done.state == "done", run.log.read_text()
    told = small.content(project, "models/test/report.json")
    assert (told["epochs"], told["raw"], told["read"]) == (3, "first", "test")
    recorded = workplace.recorded(project.lock)
    assert recorded is not None
    assert recorded["train"]["params"]["params.yaml"]["train"]["epochs"] == 3
    assert "  epochs: 4 " in project.params.read_text()
    assert "train" in small.dvc(project, "status").stdout
    next_one = small.over(starting.start(project))
    told = small.content(project, "models/test/report.json")
    assert (told["epochs"], told["raw"], told["read"]) == (4, "second", "other"), next_one


def test_a_record_of_other_values_fails_the_run(project: Project) -> None:
    """What DVC recorded is compared with the snapshot, whoever reached into the tree."""
    small.set_plan(project.root, collect={"steps": 15, "pause": 0.1})
    run = starting.start(project, ["train"])
    small.works_on(run, "collect")
    inside = workplace.tree_of(project) / "params.yaml"
    inside.write_text(inside.read_text().replace("  epochs: 3 ", "  epochs: 5 "))
    failed = small.over(run)
    assert failed.state == "failed"
    told = " ".join(map(str, failed.notes))
    assert "Somebody changed" in told
    assert "DVC recorded another value of train for the stage train" in told
    assert not project.lock.exists()


def test_two_hundred_runs_are_listed_fast(project: Project) -> None:
    for number in range(200):
        run = Run(
            project=project, id=f"20260101-{number:06d}-aaaa", command=("dvc", "repro"),
            device="auto", by="ada", state="done", began=records.now(), ended=records.now(),
            params_sha256="", commit=None, lock_sha256=None,
        )  # fmt: skip
        run.folder.mkdir(parents=True)
        records.write(run)
    found, seconds = quickest(lambda: following.current(project))
    assert found is None
    assert seconds < 0.05
    began = time.monotonic()  # once: what was read is kept
    assert len(comparing.rows(project, 50)) == 50
    assert comparing.count(project) == 200
    assert time.monotonic() - began < 1.0


def test_a_failed_stage_is_told_at_once(project: Project) -> None:
    small.set_plan(project.root, train={"says": "train: found nothing, allowed something. Mend."})
    run = starting.start(project)
    small.works_on(run, "train", 3)
    small.until(lambda: "ERROR: failed to reproduce" in run.log.read_text())
    assert small.until(lambda: not small.now(run).works) < 5.0
    failed = small.now(run)
    assert failed.state == "failed"
    assert following.stages(failed) == {"collect": "done", "train": "failed", "test": "waiting"}
    found = diagnosing.explain(failed)
    assert found is not None
    assert found.stage == "train"
    assert "found nothing" in str(found.cause)


@pytest.mark.slow
def test_out_of_memory_continues_smaller_with_one_call(project: Project) -> None:
    small.set_plan(project.root, train={"killed_above": 8})
    run = small.over(starting.start(project))
    settings = []
    while run.state == "failed":
        found = diagnosing.explain(run)
        assert found is not None
        assert found.kind == "memory"
        assert found.smaller is not None
        settings.append(dict(found.smaller))
        run = small.over(diagnosing.continue_smaller(run))
    assert settings == [
        {"train.batch_size": 16, "train.accumulation": 2},
        {"train.batch_size": 8, "train.accumulation": 4},
    ]
    assert run.state == "done"
    assert small.content(project, "models/train/report.json")["batch_size"] == 8
    assert "# texts a step; halved when memory runs out" in project.params.read_text()
    assert following.stages(run)["collect"] == "skipped"


def test_who_only_looks_at_the_stages_refuses_no_start(project: Project) -> None:
    """The preview of a run asks ``dvc status``, which holds DVC's lock for seconds."""
    lock = project.root / locks.RWLOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=project.root
    ) as other:
        for command, refused in (("dvc status --json", False), ("dvc repro", True)):
            entry = {"pid": other.pid, "cmd": command}
            lock.write_text(json.dumps({"read": {str(project.root / "data"): [entry]}}))
            assert [one.command for one in locks.holders(project.root)] == [command]
            with pytest.raises(BusyError) if refused else contextlib.nullcontext():
                starting.refuse_terminal(project)


@pytest.mark.slow
def test_a_terminal_and_the_studio_know_of_each_other(project: Project) -> None:
    small.set_plan(project.root, collect=SLOW)
    run = starting.start(project)
    small.works_on(run, "collect")
    refused = small.dvc(project, "repro")
    assert refused.returncode
    assert f"mofang run {run.id} (ada)" in refused.stderr
    assert small.dvc(project, "status").returncode == 0
    stopping.stop(run)
    tools = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "MOFANG_PROGRESS": "/dev/null"}
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=project.root, env=tools,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as terminal:  # fmt: skip
        small.until(lambda: any("dvc" in one.command for one in locks.holders(project.root)))
        with pytest.raises(BusyError, match=str(terminal.pid)):
            starting.start(project)
        for one in psutil.Process(terminal.pid).children(recursive=True):
            one.kill()
        terminal.kill()


@pytest.mark.slow
def test_progress_curves_and_time_left_are_read_from_disk(project: Project) -> None:
    small.over(starting.start(project))
    small.set_plan(project.root, train={"steps": 40, "pause": 0.1})
    (project.root / "data/raw/words.txt").write_text("second")
    run = starting.start(project)
    small.works_on(run, "train", 5)
    small.until(lambda: following.began(run).get("train"))
    small.until(lambda: following.progress(run) is not None)
    told = following.progress(run)
    assert told is not None
    assert (told.stage, told.total, told.epochs) == ("train", 40, 3)
    assert told.epoch == pytest.approx(told.step / 40 * 3)
    left = following.seconds_left(run)
    assert left is not None
    assert 0 < left < 10
    assert following.curves(run)["train/loss"][:2] == [(1, 1.0), (2, 0.5)]
    stopping.stop(run)
    assert following.progress(run) is None or not small.now(run).works


def test_only_who_may_acts_and_no_secret_reaches_a_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = User("eve", Role.VIEWER)
    with pytest.raises(RoleError):
        starting.start(project, by=viewer)
    assert not records.ids(project)
    for name in ("MOFANG_KEYS", "STREAMLIT_AUTH_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sentinel-5d1c")
    small.set_plan(project.root, collect=SLOW)
    run = starting.start(project)
    small.works_on(run, "collect")
    found = processes.marked(str(run.folder))
    assert len(found) >= 3
    for one in found:
        assert "sentinel-5d1c" not in one.environ().values()
        assert not {"STREAMLIT_AUTH_CLIENT_SECRET", "MOFANG_KEYS"} & one.environ().keys()
    with pytest.raises(RoleError):
        stopping.stop(run, by=viewer)
    with roles.acting_as(viewer), pytest.raises(RoleError):
        locks.clear_stale_as_asked(project)
    assert small.now(run).works
    stopping.stop(run)
    for path in project.runs.rglob("*"):
        if path.is_file() and "tree" not in path.parts:
            assert b"sentinel-5d1c" not in path.read_bytes()


def test_what_is_no_stage_device_or_command_is_refused(project: Project) -> None:
    hostile = ["$(touch PWNED)", "../x", "-f", "train; touch PWNED"]
    for word in hostile:
        with pytest.raises(ParamsError):
            starting.start(project, [word])
        with pytest.raises(ParamsError):
            starting.start(project, device=word)
        with pytest.raises(ParamsError):
            starting.start(project, command=("python", "-m", "pipeline.search", f"{word} &"))
    with pytest.raises(ParamsError):
        starting.start(project, command=("python", "-c", "print(1)"))
    with pytest.raises(DataError):
        following.of(project, "../../etc")
    assert not records.ids(project)
    assert not list(project.root.rglob("PWNED"))


def test_bad_parameters_start_nothing(project: Project) -> None:
    small.edit(project, "  epochs: 3 ", "  epochs: 0 ")
    with pytest.raises(ParamsError, match=r"train\.epochs"):
        starting.start(project)
    assert not records.ids(project)


def test_nothing_heavy_is_imported_by_what_pages_use() -> None:
    program = (
        "import sys, app.studio.runs.starting, app.studio.runs.comparing, "
        "app.studio.runs.diagnosing, app.studio.runs.restoring, app.studio.runs.stopping;"
        "heavy = {'torch', 'transformers', 'sklearn', 'dvc', 'evidently', 'openvino', 'gradio', "
        "'optuna', 'matplotlib', 'plotly', 'streamlit'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
