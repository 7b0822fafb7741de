"""A real ``dvc repro``: once, again, after a change, with a gate that fails, pushed and pulled."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.project import Project

pytestmark = pytest.mark.e2e
STAGES = ["collect", "clean", "label", "split", "init", "train", "validate", "test", "optimize"]
RUNS = re.compile(r"^Running stage '(\w+)':", re.MULTILINE)
SKIPS = re.compile(r"^Stage '(\w+)' didn't change, skipping", re.MULTILINE)


def read(project: Project, path: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.folder / path).read_text(encoding="utf-8"))
    return found


def test_a_whole_run(built: Project) -> None:
    log = (built.folder / "first-run.log").read_text(encoding="utf-8")
    assert RUNS.findall(log) == STAGES
    lock = YAML(typ="safe", pure=True).load((built.folder / "dvc.lock").read_text())
    assert list(lock["stages"]) == STAGES
    clean = read(built, "data/clean/report.json")
    assert clean["collected"] == 363
    assert clean["dropped"] == {"duplicate": 2, "too_short": 1}
    assert clean["kept"] == 360
    figures = read(built, "models/test/metrics.json")
    assert figures["model"]["accuracy"] > 0.6  # type: ignore[index]
    report = read(built, "models/test/report.json")
    low, high = report["intervals"]["model"]["accuracy"]  # type: ignore[index]
    assert low <= figures["model"]["accuracy"] <= high  # type: ignore[index]
    assert read(built, "models/optimize/report.json")["shipped"] == "openvino_int8"
    assert "\u200b" not in (built.folder / "models/test/report.json").read_text(encoding="utf-8")


def test_nothing_is_left_beside_the_outputs(built: Project) -> None:
    assert not [path for path in built.folder.rglob(".*.tmp-*") if ".dvc" not in path.parts]
    assert not [path for path in built.folder.rglob(".*.old-*") if ".dvc" not in path.parts]
    assert not list((built.folder / "work").glob("optimize-*"))


def test_git_sees_metrics_and_the_lock_only(built: Project) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "data", "models", "dvc.lock"],
        cwd=built.folder, text=True, capture_output=True, check=True,
    ).stdout.split()  # fmt: skip
    assert sorted(tracked) == [
        "data/annotations/README.md", "data/annotations/guideline.md", "data/raw/README.md",
        "data/raw/requests.csv", "data/snapshots/README.md", "data/synonyms/README.md", "dvc.lock",
        "models/base/README.md", "models/optimize/metrics.json", "models/test/metrics.json",
        "models/validate/metrics.json",
    ]  # fmt: skip


def test_the_second_run_does_nothing(built: Project) -> None:
    log = built.repro()
    assert not RUNS.findall(log)
    assert SKIPS.findall(log) == STAGES
    built.run("dvc", "status", "-q")


def test_a_training_value_runs_training_and_what_follows(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path / "changed")
    project.change("train", epochs=5)
    log = project.repro("--dry", "--force-downstream")
    assert RUNS.findall(log) == STAGES[5:]
    assert SKIPS.findall(log) == STAGES[:5]


def test_a_failed_gate_stops_the_pipeline_and_says_why(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path / "gated")
    project.change("validate", gates=["accuracy >= 1.01", "macro_f1 >= 0.1", "speed >= 3"])
    shipped = (project.folder / "models/optimize/manifest.json").read_bytes()
    log = project.repro(code=255)
    assert re.search(r"validate, accuracy: found [01]\.\d{4}, allowed >= 1\.0100\.", log)
    assert "validate, speed: found no such figure" in log
    assert "macro_f1:" not in log
    assert RUNS.findall(log) == ["validate"]
    assert (project.folder / "models/optimize/manifest.json").read_bytes() == shipped
    verdicts = read(project, "models/validate/report.json")["gates"]
    assert [one["passed"] for one in verdicts] == [False, True, False]  # type: ignore[attr-defined]


def test_push_and_pull_through_a_folder(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path / "pushing")
    project.run("dvc", "remote", "add", "-d", "shelf", str(tmp_path / "shelf"))
    project.run("dvc", "push")
    project.commit()
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(project.folder), str(clone)], check=True)
    other = Project(clone)
    other.run("dvc", "status", "-q", code=1)
    other.run("dvc", "pull")
    other.run("dvc", "status", "-q")
    assert other.weights() == project.weights()
    answer = other.run(sys.executable, "-m", "pipeline.predict", "where is my parcel")
    assert "delivery" in answer


def test_the_summary_is_there_in_both_languages(built: Project) -> None:
    english = built.run(sys.executable, "-m", "pipeline.summary")
    assert "dropped: duplicate" in english
    chinese = subprocess.run(
        [sys.executable, "-m", "pipeline.summary"],
        cwd=built.folder, env=built.environment | {"MOFANG_LANGUAGE": "zh"},
        text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert "dropped" not in chinese
    assert "duplicate" not in chinese


def test_plots_are_drawn(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path / "plots")
    project.run("dvc", "plots", "show", "-o", "plots")
    page = (project.folder / "plots/index.html").read_text(encoding="utf-8")
    for title in ("Training loss", "Loss on the validation part", "What was taken for what"):
        assert title in page


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(built: Project, tmp_path: Path) -> None:
    """Through DVC, too; test_kills tries many more moments."""
    project = built.copy(tmp_path / "killed")
    shutil.rmtree(project.folder / "work")
    shutil.rmtree(project.folder / "models/train")
    project.progress.unlink()
    process = project.start(sys.executable, "-m", "pipeline.train")
    project.wait_for_step(20, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    assert not (project.folder / "models/train").exists()
    project.repro("train", "--single-item", "--force")
    assert project.weights() == built.weights()
    assert read(project, "models/train/report.json")["resumed_from_step"] >= 14


@pytest.fixture
def small_disk(built: Project, tmp_path: Path) -> Iterator[Project]:
    """A project whose data lie on a disk of 600 kB."""
    project = built.copy(tmp_path / "full")
    data = project.folder / "data"
    data.rename(tmp_path / "keep")
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(data)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        shutil.copytree(tmp_path / "keep", data, dirs_exist_ok=True)
        yield project
    finally:
        subprocess.run(["umount", str(data)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as target:
        while True:
            target.write(b"x" * 4096)


def test_a_full_disk_leaves_the_earlier_result(small_disk: Project) -> None:
    data = small_disk.folder / "data"
    before = (data / "collect/manifest.json").read_bytes()
    with pytest.raises(OSError, match="No space"):
        fill(data / "ballast")
    log = small_disk.stage("collect", code=1)
    assert "collect: found no space left on the disk" in log
    assert (data / "collect/manifest.json").read_bytes() == before
    assert not list(data.glob(".*"))
    (data / "ballast").unlink()
    small_disk.stage("collect")
