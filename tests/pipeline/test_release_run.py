"""Releases of a real ``dvc repro``: what its stages write is what a release takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.errors import GateError
from pipeline.predictor import Predictor
from pipeline.releases import state, store, tags
from tests.e2e.project import Project
from tests.pipeline import made_releases

pytestmark = pytest.mark.e2e


@pytest.fixture
def run(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a copy of the project that was run and committed, in which the test runs."""
    project = built.copy(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("MOFANG_LANGUAGE", "en")
    return project


def test_a_real_run_is_released_tagged_and_served_without_its_outputs(run: Project) -> None:
    made = made_releases.create()
    assert made.origin["dvc_lock"] == artifacts.sha256(Path("dvc.lock"))
    assert made.origin["dirty"] is False
    assert tags.register(made).render("en") == "Git tag: model@v0.1.0"
    assert state.promote("0.1.0", "anna").stable == "0.1.0"
    assert 0.5 <= made.figures["macro_f1"] <= 1.0
    known = [one["label"] for one in made.examples()]
    assert set(known) == {"account", "delivery", "refund"}
    texts = ["where is my parcel", "I forgot my password"]
    before = Predictor.load(artifacts.OPTIMIZE / "model").scores(texts)
    assert Predictor.load(made.model).scores(texts) == pytest.approx(before)
    assert run.run("git", "status", "--porcelain") == "", "releases are not Git's"


@pytest.mark.slow
def test_a_model_of_one_run_and_gates_of_another_are_refused(run: Project) -> None:
    run.change("train", seed=7)
    run.repro("validate")
    with pytest.raises(GateError) as caught:
        made_releases.create()
    said = str(caught.value)
    assert "models/train/manifest.json: found another file than" in said
    assert "models/validate/metrics.json, loss" in said
    assert store.versions() == []
