"""Runs side by side, and the way back to one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User
from app.studio.runs import (
    comparing,
    curves,
    diagnosing,
    figures,
    following,
    logbook,
    restoring,
    starting,
)
from app.studio.runs.records import Run
from pipeline.errors import DataError
from pipeline.i18n import translate
from tests.app.studio import small_project as small
from tests.helpers import ROOT

project = small.project  # a fixture


def test_two_runs_are_compared_and_the_first_one_comes_back(project: Project) -> None:
    text = project.params.read_text()
    first = small.over(starting.start(project))
    small.edit(project, "  epochs: 3 ", "  epochs: 4 ")
    second = small.over(starting.start(project))
    found = comparing.compare(project, [first.id, second.id])
    assert found.params == {"train.epochs": (3, 4)}
    by_name = {one.name: one for one in found.figures}
    score, error = by_name["test.macro_f1"], by_name["test.ece"]
    assert score.values == pytest.approx((0.8, 0.9))
    assert (score.smaller_is_better, score.best) == (False, (1,))
    assert score.deltas == pytest.approx((0.0, 0.1))
    assert (error.smaller_is_better, error.best) == (True, (1,))
    rows = comparing.rows(project)
    assert [one.id for one in rows] == [second.id, first.id]  # their own commits are not repeated
    assert comparing.count(project) == 2
    with pytest.raises(RoleError):
        restoring.restore(project, first.id, by=User("eve", Role.VIEWER))
    restoring.restore_results(project, first.id)
    assert project.params.read_text() == text
    told = json.loads((project.root / "models/test/report.json").read_text())
    assert told["epochs"] == 3
    score = json.loads((project.root / "models/test/metrics.json").read_text())
    assert score["model"]["macro_f1"] == pytest.approx(0.8)
    assert small.dvc(project, "status").stdout.strip() == "Data and pipelines are up to date."
    assert restoring.restore(project, first.id) is None


@pytest.mark.slow
def test_runs_made_elsewhere_are_known_by_their_commits(project: Project) -> None:
    assert small.dvc(project, "repro").returncode == 0
    for words in (["add", "-A"], ["commit", "-qm", "by hand"]):
        subprocess.run(["git", *words], cwd=project.root, check=True)
    (row,) = comparing.rows(project)
    assert (row.origin, row.title, row.by) == ("git", "by hand", "t")
    assert row.metrics["test.macro_f1"] == pytest.approx(0.8)
    small.edit(project, "  epochs: 3 ", "  epochs: 4 ")
    run = small.over(starting.start(project))
    found = comparing.compare(project, [row.id[:10], run.id])
    assert found.params == {"train.epochs": (3, 4)}
    with pytest.raises(DataError):
        comparing.compare(project, [row.id, "20200101-000000-abcd"])
    with pytest.raises(DataError):
        comparing.compare(project, [row.id, "--output=x"])


@pytest.mark.parametrize(
    ("name", "better"),
    [("test.macro_f1", False), ("test.loss", True), ("test.brier", True), ("test.mae", True),
     ("optimize.latency_ms_p95", True), ("optimize.texts_per_second", False),
     ("optimize.size_mb", True), ("validate.train_seconds", True), ("test.own", True),
     ("validate.mcnemar_p", None)],
)  # fmt: skip
def test_each_figure_has_its_direction(name: str, better: bool | None) -> None:
    assert figures.smaller_is_better(name, ["own"]) is better


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_full_disk_is_told_from_what_a_stage_printed_in_either_language(language: str) -> None:
    """There was no room to write it down as data."""
    said = translate("no space left on the disk", language)
    assert diagnosing.says(f"train: {said}", diagnosing.FULL)
    assert not diagnosing.says("train: something else", diagnosing.FULL)


def knobs(**train: object) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = following.values(ROOT / "params.yaml")
    return {**found, "train": {**found["train"], **train}}


def test_the_next_smaller_setting_changes_as_little_as_it_can() -> None:
    smaller = diagnosing.smaller_training
    half = {"train.batch_size": 16, "train.accumulation": 2}
    assert smaller(knobs(), single=False) == half
    assert smaller(knobs(batch_size=1), single=False) == {"train.gradient_checkpointing": True}
    assert smaller(knobs(), single=True) == {"train.gradient_checkpointing": True}
    saved = knobs(batch_size=1, gradient_checkpointing=True)
    assert smaller(saved, single=False) == {"train.method": "lora"}
    last = knobs(batch_size=1, gradient_checkpointing=True, method="lora")
    assert smaller(last, single=False) == {"init.max_tokens": 32}
    last["init"] = {**last["init"], "max_tokens": 16}
    assert smaller(last, single=False) is None


def test_a_log_tells_the_states_of_stages(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "Stage 'collect' didn't change, skipping\n"
        "Stage 'clean' is cached - skipping run, checking out outputs\n"
        "Running stage 'label':\n> python -m pipeline.label\nlabel: 1.5 s\n"
        "Running stage 'split':\n> python -m pipeline.split\n"
        "ERROR: failed to reproduce 'split': failed to run: …, exited with -9\n"
    )
    states = {"collect": "skipped", "clean": "cached", "label": "done", "split": "failed"}
    assert logbook.told(log) == states
    assert logbook.seconds(log) == {"label": 1.5}
    assert logbook.stage_names(ROOT / "dvc.yaml") == [
        "collect", "clean", "label", "split", "init", "train", "validate", "test", "optimize"
    ]  # fmt: skip


def test_a_log_that_grows_is_read_once_and_one_that_is_new_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Running stage 'collect':\nRunning sta")
    assert logbook.told(log) == {"collect": "running"}
    with log.open("a") as target:
        target.write("ge 'clean':\n")
    assert logbook.told(log) == {"collect": "done", "clean": "running"}
    logbook.told(log)["collect"] = "failed"  # a copy
    assert logbook.told(log)["collect"] == "done"
    log.write_text("Running stage 'test':\n")
    assert logbook.told(log) == {"test": "running"}
    log.unlink()
    assert logbook.told(log) == {}


def test_curves_grow_and_keep_their_peaks_when_they_are_thinned(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    lines = [{"stage": "train", "step": step, "loss": 9.0 if step == 777 else 1.0 / step}
             for step in range(1, 2001)]  # fmt: skip
    path.write_text("".join(json.dumps(one) + "\n" for one in lines[:1000]))
    assert len(dict(curves.told(path))["train/loss"]) == 1000
    with path.open("a") as target:
        target.write("".join(json.dumps(one) + "\n" for one in lines[1000:]) + '{"stage": "tra')
    points = dict(curves.told(path))["train/loss"]
    assert [step for step, _value in points] == list(range(1, 2001))
    few = curves.thinned(points, 120)
    assert len(few) <= 122
    assert {points[0], points[-1], (777, 9.0)} <= set(few)
    assert few == sorted(few)
    assert curves.thinned(points[:120], 120) == points[:120]


def test_the_tail_of_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number} of a log\n" for number in range(200_000)))
    assert logbook.tail(log, 2) == ["line 199998 of a log", "line 199999 of a log"]
    assert logbook.tail(tmp_path / "none", 2) == []


def test_a_run_without_records_of_its_own_fails_to_be_found(project: Project) -> None:
    (project.runs / "20260101-000000-aaaa").mkdir(parents=True)
    assert following.history(project) == []
    assert following.latest(project) is None
    assert isinstance(following.current(project), Run | None)
