"""The whole pipeline as a run of the studio, killed for want of memory and continued to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.studio.project_files import Project
from app.studio.runs import comparing, devices, diagnosing, following, starting
from tests.app.studio import small_project as small
from tests.e2e.project import Project as Whole

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
STARTS = "def train(params: Params) -> None:\n"
KILLER = """    import os, signal  # injected: what the kernel does when memory runs out
    if params.train.batch_size > 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_too_little_memory_then_one_click_then_a_model(tmp_path: Path) -> None:
    whole = Whole.create(tmp_path / "project", rows=240)
    code = whole.folder / "pipeline/train.py"
    text = code.read_text(encoding="utf-8")
    docstring_end = text.index('"""\n', text.index(STARTS) + len(STARTS) + 8) + 4
    code.write_text(text[:docstring_end] + KILLER + text[docstring_end:], encoding="utf-8")
    project = Project(whole.folder.resolve())
    with small.swept(project):
        failed = small.over(starting.start(project, device="cpu"), 120.0)
        assert failed.state == "failed", failed.log.read_text()
        found = diagnosing.explain(failed)
        assert found is not None
        assert (found.kind, found.stage) == ("memory", "train")
        assert found.smaller == {"train.batch_size": 8, "train.accumulation": 2}
        assert (project.root / "data/split/report.json").exists()  # what was done came home
        assert not (project.root / "models/train").exists()
        run = diagnosing.continue_smaller(failed)
        done = small.over(run, 240.0)
        assert done.state == "done", done.log.read_text()
        states = following.stages(done)
        assert [states[name] for name in ("collect", "split", "init")] == ["skipped"] * 3
        assert {states[name] for name in ("train", "validate", "test", "optimize")} == {"done"}
        assert whole.run("dvc", "status").strip() == "Data and pipelines are up to date."
        found_curves = following.curves(done)
        assert {"train/loss", "validation/loss", "validation/macro_f1"} <= found_curves.keys()
        report = json.loads((project.root / "models/train/report.json").read_text())
        assert report["halvings"] == []
        row = comparing.find(project, done.id)
        assert row.metrics["test.accuracy"] > 0.4
        assert row.metrics["optimize.size_mb"] > 0
        assert devices.uses(done)[-1].memory > 0
        took = following.durations(project, "9")
        assert took.keys() == states.keys()
