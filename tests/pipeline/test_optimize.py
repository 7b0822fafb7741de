"""Which variant ships, and that what ships needs no torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.evaluation.comparison import ORIGINAL, Line, choose
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import Predictor
from tests.e2e.project import Project, requests


def line(size: int, latency: float, *, lost: float = 0.0, agreement: float = 1.0) -> Line:
    return Line(size, {"1": latency, "32": 1.0}, {}, {}, agreement, lost)


TABLE = {ORIGINAL: line(1, 0.1), "large": line(100, 1.0), "small": line(25, 3.0, lost=1.0)}


@pytest.mark.parametrize(
    ("rule", "lost", "agreement", "chosen"),
    [
        ("smallest", 1.0, 1.0, "small"),
        ("fastest", 1.0, 1.0, "large"),
        ("smallest", 0.99, 1.0, "large"),
        ("smallest", 5.0, 1.01, None),
    ],
)
def test_the_rule_chooses_within_the_limits(
    rule: str, lost: float, agreement: float, chosen: str | None
) -> None:
    assert choose(TABLE, rule=rule, max_points_lost=lost, min_agreement=agreement) == chosen


@pytest.mark.e2e
def test_the_table_is_measured(built: Project) -> None:
    report = json.loads((built.folder / "models/optimize/report.json").read_text())
    assert list(report["table"]) == ["torch_fp32", "openvino_fp32", "openvino_int8"]
    original = report["table"]["torch_fp32"]
    assert original["agreement"] == 1.0
    assert original["points_lost"] == 0.0
    assert report["table"]["openvino_fp32"]["agreement"] == 1.0
    for entry in report["table"].values():
        assert entry["bytes"] > 0
        assert all(value > 0 for value in entry["latency_ms"].values())
        assert 0 <= entry["test"]["macro_f1"] <= 1


@pytest.mark.e2e
def test_what_ships_holds_no_torch_file(built: Project) -> None:
    folder = built.folder / "models/optimize/model"
    artifacts.verify_manifest(folder)
    assert {path.name for path in folder.iterdir()} >= {
        "openvino_model.xml", "openvino_model.bin", "tokenizer.json", "mofang.json",
        "manifest.json",
    }  # fmt: skip
    assert not list(folder.glob("*.safetensors"))


@pytest.mark.e2e
def test_the_exported_model_answers_as_torch_does(built: Project, tmp_path: Path) -> None:
    project = built.copy(tmp_path / "exported")
    project.change("optimize", variants=["openvino_fp32"], max_points_lost=0.0, min_agreement=1.0)
    project.stage("optimize")
    report = json.loads((project.folder / "models/optimize/report.json").read_text())
    assert report["chosen"] == report["shipped"] == "openvino_fp32"
    assert list(report["table"]) == ["torch_fp32", "openvino_fp32"]

    original = TorchPredictor.load(project.folder / "models/train/model")
    shipped = Predictor.load(project.folder / "models/optimize/model")
    texts = [one["request"] for one in requests(300)]
    ours, theirs = shipped.probabilities(texts), original.probabilities(texts)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
    assert abs(ours - theirs).max() < 1e-4
