"""A project whose stages take seconds and do nothing, for runs that are killed for real.

DVC, its locks and all processes are real; only what a stage works on is not. The stages have names
of the pipeline, so that pages know them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from app.studio.project_files import Project
from app.studio.runs import following, processes, records
from app.studio.runs.records import Run
from tests.helpers import ROOT

STAGES = """\
stages:
  collect:
    cmd: python -m pipeline.work collect
    deps: [data/raw, pipeline/work.py]
    params: [collect.seed]
    outs: [data/collect]
  train:
    cmd: python -m pipeline.work train
    deps: [data/collect, pipeline/work.py]
    params: [train]
    outs: [models/train]
  test:
    cmd: python -m pipeline.work test
    deps: [models/train, pipeline/work.py]
    params: [test]
    outs: [models/test/report.json]
    metrics:
      - models/test/metrics.json: {cache: false}
"""
WORK = '''\
"""What a stage does: say how far it is, take its time, write what it read at its start."""
import json, os, signal, sys, time
from pathlib import Path
from ruamel.yaml import YAML

stage = sys.argv[1]
values = YAML(typ="safe").load(Path("params.yaml").read_text())
plan = json.loads(Path("data/raw/plan.json").read_text()).get(stage, {})
if plan.get("deaf"):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if plan.get("killed_above") and values["train"]["batch_size"] > plan["killed_above"]:
    os.kill(os.getpid(), signal.SIGKILL)
steps = plan.get("steps", 3)
for step in range(1, steps + 1):
    time.sleep(plan.get("pause", 0.01))
    line = {"time": time.time(), "stage": stage, "step": step, "total": steps,
            "seconds_left": 0.1 * (steps - step), "loss": 1 / step}
    with open(os.environ["MOFANG_PROGRESS"], "a") as target:
        target.write(json.dumps(line) + "\\n")
    print(f"{stage} step {step}", flush=True)
if plan.get("says"):
    sys.exit(plan["says"])
found = {"epochs": values["train"]["epochs"], "batch_size": values["train"]["batch_size"],
         "raw": Path("data/raw/words.txt").read_text(), "read": stage}
folder = Path({"collect": "data/collect"}.get(stage, f"models/{stage}"))
folder.mkdir(parents=True, exist_ok=True)
(folder / "report.json").write_text(json.dumps(found | {"smaller_is_better": ["ece"]}))
if stage == "test":
    score = min(0.99, 0.5 + 0.1 * values["train"]["epochs"])
    told = {"model": {"macro_f1": score, "ece": 1 - score}, "baseline": {"macro_f1": 0.4}}
    (folder / "metrics.json").write_text(json.dumps(told))
print(f"{stage}: 0.1 s")
'''
GIT = (
    ["init", "-q"],
    ["config", "user.name", "t"],
    ["config", "user.email", "t@t"],
    ["config", "commit.gpgsign", "false"],
    ["add", "-A"],
    ["commit", "-qm", "x"],
)


def create(folder: Path, **plan: Mapping[str, object]) -> Project:
    """Make a project; ``plan`` says how long each stage takes and how it ends."""
    for name in ("data/raw", "pipeline", ".dvc", "models", "data/annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / "pipeline/work.py").write_text(WORK)
    (folder / "pipeline/__init__.py").touch()
    (folder / "data/raw/words.txt").write_text("first")
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n")
    shutil.copy2(ROOT / "params.yaml", folder / "params.yaml")
    for name in (".gitignore", ".dvcignore"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    set_plan(folder, **plan)
    for words in GIT:
        subprocess.run(["git", *words], cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return Project(folder.resolve())


def set_plan(folder: Path, **plan: Mapping[str, object]) -> None:
    """Say how the stages behave from now on; it is data, so that collect runs again."""
    (folder / "data/raw/plan.json").write_text(json.dumps(plan))


def edit(project: Project, old: str, new: str) -> None:
    """Change a text of ``params.yaml`` as somebody with an editor does."""
    text = project.params.read_text(encoding="utf-8")
    assert old in text
    project.params.write_text(text.replace(old, new, 1), encoding="utf-8")


def content(project: Project, path: str) -> dict[str, object]:
    """Return what a stage wrote."""
    found: dict[str, object] = json.loads((project.root / path).read_text(encoding="utf-8"))
    return found


def until(done: Callable[[], object], seconds: float = 20.0) -> float:
    """Wait until something is so and return how long that took; fail where it never is."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - began


def now(run: Run) -> Run:
    """Return a run as its record stands."""
    return records.read(run.project, run.id)


def over(run: Run, seconds: float = 40.0) -> Run:
    """Wait for the end of a run, as a page does, and return it."""

    def ended() -> bool:
        following.current(run.project)
        return not now(run).works

    until(ended, seconds)
    return now(run)


def works_on(run: Run, stage: str, step: int = 1) -> None:
    """Wait until a stage has done some steps."""

    def does() -> bool:
        assert now(run).works, run.log.read_text()
        return f"{stage} step {step}" in run.log.read_text()

    until(does, 30.0)


def processes_of(run: Run, word: str) -> list[int]:
    """Return the processes of a run with a word in their command line."""
    found = []
    for one in processes.marked(str(run.folder)):
        with contextlib.suppress(Exception):
            if word in " ".join(one.cmdline()):
                found.append(one.pid)
    return found


def lives(number: int) -> bool:
    """Return whether a process lives; one that only waits to be counted does not."""
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def kill(*numbers: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes of a run."""
    for one in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, how)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Return a project of the test's own; nothing that it starts outlives the test."""
    made = create(tmp_path / "project")
    with swept(made):
        yield made


@contextlib.contextmanager
def swept(project: Project) -> Iterator[None]:
    """Leave no process of the project's runs behind, however the test ends."""
    try:
        yield
    finally:
        for one in following.history(project, 10_000):
            if one.works and one.supervisor is not None and processes.alive(one.supervisor):
                kill(one.supervisor.pid)
        while found := [one.pid for one in psutil.process_iter() if belongs(one, project)]:
            kill(*found)
            time.sleep(0.05)


def belongs(process: psutil.Process, project: Project) -> bool:
    """Return whether a living process is one of any run of a project."""
    with contextlib.suppress(psutil.Error, OSError):
        mark = process.environ().get(processes.MARK, "")
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return bool(mark.startswith(str(project.runs)) and not zombie)
    return False


def dvc(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """Run DVC in the project as somebody in a terminal does."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=project.root, env=os.environ | {"PATH": tools, "MOFANG_PROGRESS": os.devnull},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
