"""Which variant ships, that each task and each family can, and that it needs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.errors import ModelError
from pipeline.evaluation.comparison import ORIGINAL, Line, agreement, choose
from pipeline.modeling import architecture, compression
from pipeline.modeling.predictor import TorchPredictor
from pipeline.optimize import optimize
from pipeline.predictor import CARD, Card, Predictor
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.e2e.project import Project, requests
from tests.helpers import changed, report
from tests.pipeline import made_models


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


def test_answers_agree_when_they_are_the_same_or_near() -> None:
    one, several = tasks.of(SINGLE, ["a", "b"]), tasks.of(MULTI, ["a", "b"])
    assert agreement(one, ["a", "b", "a", "a"], ["a", "b", "b", "a"]) == 0.75
    assert agreement(several, ["a|b", ""], ["a", ""]) == 0.5
    # The first deviate by 1 from their mean, so one tenth is near.
    number = tasks.of(REGRESSION, [])
    assert agreement(number, ["-1", "1"], ["-1.09", "1.11"]) == 0.5


@pytest.mark.parametrize("task", [MULTI, REGRESSION])
def test_each_task_is_made_small_and_ships(project: Path, task: str) -> None:
    made_models.lay_out(task)
    optimize(
        made_models.params_of(task, optimize__variants=["openvino_fp32"],
                              optimize__max_points_lost=0.01, optimize__min_agreement=1.0)
    )  # fmt: skip
    told = report(artifacts.OPTIMIZE)
    assert told["chosen"] == told["shipped"] == "openvino_fp32"
    known = tasks.of(task, made_models.labels_of(task))
    assert told["main"] == known.main
    assert known.main in told["meaning"]["points_lost"]
    assert ("deviations" in told["meaning"]["agreement"]) == (task == REGRESSION)
    assert abs(told["table"]["openvino_fp32"]["points_lost"]) < 0.01
    assert set(told["table"]["torch_fp32"]["test"]) == {*known.figures_named} - {"loss"}

    texts = [one["text"] for one in made_models.records(task, 100, 9)]
    shipped = Predictor.load(artifacts.OPTIMIZE / "model")
    original = TorchPredictor.load(artifacts.TRAIN / "model")
    assert shipped.scores(texts) == pytest.approx(original.scores(texts), abs=1e-4)


def untrained(folder: Path, family: str, positions: str) -> None:
    """Write a model of a family as init builds it, with weights that tell texts apart."""
    import torch

    knobs = changed({"init.scratch.family": family, "init.scratch.positions": positions}).init
    sizes = {"layers": 2, "hidden": 32, "heads": 2, "intermediate": 64}
    texts = [one["text"] for one in made_models.records(SINGLE, 60, 1)]
    model, tokenizer = architecture.from_scratch(
        texts, tasks.of(SINGLE, made_models.LABELS),
        knobs.scratch.model_copy(update=sizes), knobs.weights, max_tokens=24, seed=3,
    )  # fmt: skip
    torch.manual_seed(3)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    whole = changed().clean.normalize.model_dump()
    card = Card(SINGLE, made_models.LABELS, 24, whole, {"kinds": [], "region": "US"})
    (folder / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")


@pytest.mark.parametrize(
    ("family", "positions"),
    [
        ("encoder", "rotary"),  # ModernBERT, which optimum does not know
        ("encoder_decoder", "relative"),  # T5, which it knows, but not as a classifier
        pytest.param("encoder_decoder", "learned", marks=pytest.mark.slow),
        pytest.param("encoder", "learned", marks=pytest.mark.slow),
        pytest.param("decoder", "learned", marks=pytest.mark.slow),
        pytest.param("decoder", "rotary", marks=pytest.mark.slow),
    ],
)
def test_every_family_is_exported_and_answers_the_same(
    tmp_path: Path, family: str, positions: str
) -> None:
    source = tmp_path / "source"
    untrained(source, family, positions)
    texts = [one["text"] for one in made_models.records(SINGLE, 40, 2)]
    folders = compression.build(source, tmp_path, ["openvino_int8"], texts[:20])
    texts += ["", "money", "word " * 100]
    wanted = TorchPredictor.load(source).logits(texts)
    exact, small = (Predictor.load(folders[name]).logits(texts) for name in folders)
    assert np.abs(exact - wanted).max() < 1e-3
    assert np.ptp(wanted, axis=0).min() > 0.1, "texts are told apart"
    # int8 is harsh on weights as wild as these; a trained model loses far less.
    assert np.corrcoef(small.ravel(), wanted.ravel())[0, 1] > 0.5
    weights = "openvino_model.bin"
    full, packed = (folders[name] / weights for name in ("openvino_fp32", "openvino_int8"))
    assert packed.stat().st_size < full.stat().st_size


def test_a_copy_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    for name, steps in (("learnt", 60), ("drawn", 0)):
        made_models.save_model(tmp_path / name, made_models.model(SINGLE, steps), SINGLE)
    compression.export(tmp_path / "learnt", tmp_path / "copy")
    compression.refuse_other_answers(tmp_path / "learnt", tmp_path / "copy")
    with pytest.raises(ModelError, match="answers that differ by"):
        compression.refuse_other_answers(tmp_path / "drawn", tmp_path / "copy")


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
    ours, theirs = shipped.scores(texts), original.scores(texts)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
    assert abs(ours - theirs).max() < 1e-4
