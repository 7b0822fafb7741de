"""The stage: what ships, that it answers as what was tested, and that it needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import artifacts, summary
from pipeline.errors import GateError, words
from pipeline.evaluation import calibration, comparison, parity
from pipeline.evaluation.calibration import Fitted
from pipeline.modeling import baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.timing import Speed
from pipeline.optimize import optimize
from pipeline.params import Params
from pipeline.predictor import Card, Predictor
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.e2e.project import Project
from tests.helpers import changed, report
from tests.pipeline import made_models

FITTED = {
    SINGLE: Fitted(1.5, {}),
    MULTI: Fitted(1.25, {made_models.LABELS[0]: 0.4}),
    REGRESSION: Fitted(),
}


def lay_out(task: str, steps: int = 60) -> None:
    """Write what optimize reads, below the current folder."""
    artifacts.SPLIT.mkdir(parents=True)
    for at, (part, size) in enumerate(made_models.SIZES.items(), 1):
        some = made_models.records(task, size, at)
        table = pa.Table.from_pylist(some, schema=artifacts.record_schema())
        artifacts.write_records(artifacts.part(part), table)
    with artifacts.output_folder(artifacts.TRAIN) as folder:
        made_models.save_model(folder / "model", made_models.model(task, steps), task)
    artifacts.VALIDATE.mkdir(parents=True)
    FITTED[task].write(artifacts.VALIDATE / calibration.FILE)


def params(task: str, variants: Sequence[str], gates: Sequence[str], **more: Any) -> Params:
    """Return the project's params for a tiny model, with other values in ``optimize``."""
    label = {"label.task": task, "label.labels": made_models.labels_of(task), "label.mapping": {},
             "label.definitions": {}, "label.rules": []}  # fmt: skip
    quick = {"rounds": 3, "batches": [1, 4], "lengths": [8], "threads": 1}
    own = {"variants": list(variants), "gates": list(gates), "measuring": quick,
           "calibration_records": 30, **more}  # fmt: skip
    metric = {"train.metric": "r2"} if task == REGRESSION else {}
    return changed(
        label | metric | {"validate.bootstrap_samples": 100, "validate.groups.min_records": 10}
        | {f"optimize.{name.replace('__', '.')}": value for name, value in own.items()}
    )  # fmt: skip


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the same times for every variant, so that no process is started for each."""

    def same(made: Mapping[str, Any], *_others: Any) -> tuple[dict[str, Speed], dict[str, Any]]:
        cells = {"1x8": {"p50": 1.0, "p95": 2.0}}
        one = Speed(1.0, 100.0, 120.0, cells, 1.0, 2.0, 500.0, None)
        return dict.fromkeys([comparison.ORIGINAL, *made], one), {"rounds": 3}

    monkeypatch.setattr(comparison, "time_all", same)


def test_the_whole_stage(project: Path) -> None:
    lay_out(SINGLE)
    gates = ["points_lost <= 1", "agreement >= 0.97", "recall[label=refund] >= 0.5",
             "size_mb <= 5", "memory_mb <= 2000", "cold_start_s <= 100",
             "latency_ms_p95 <= 5000", "texts_per_second >= 1", "macro_f1_low >= 0.1"]  # fmt: skip
    optimize(params(SINGLE, ["openvino_fp32", "torch_int8"], gates))
    told = report(artifacts.OPTIMIZE)
    table = told["table"]
    assert list(table) == ["torch_fp32", "openvino_fp32", "torch_int8"]
    assert told["chosen"] == told["shipped"] == "openvino_fp32"
    assert "openvino_fp32 ships: the fastest" in told["why"]["en"]
    assert "(1 of 2 do)" in told["why"]["en"]
    assert table["torch_int8"]["unavailable"]["en"] == "this machine has no GPU"
    assert "GPU" in table["torch_int8"]["unavailable"]["zh"]
    original, exact = table["torch_fp32"], table["openvino_fp32"]
    assert (original["agreement"], original["points_lost"], original["parity"]) == (1.0, 0.0, None)
    for line in (original, exact):
        assert line["size_mb"] * 1e6 == line["bytes"] > 10_000
        assert line["cold_start_s"] > 0.05
        assert line["peak_memory_mb"] >= line["memory_mb"] > 20
        assert list(line["latency_ms"]) == ["1x8", "4x8"]
        for cell in [*line["latency_ms"].values(), {"p50": line["latency_ms_p50"],
                                                   "p95": line["latency_ms_p95"]}]:  # fmt: skip
            assert 0 < cell["p50"] <= cell["p95"]
        for part in ("validation", "test"):
            low, high = line["intervals"][part]["macro_f1"]
            assert low <= line[part]["macro_f1"] <= high
    assert exact["parity"]["holds"]
    assert [one["figure"] for one in exact["gates"]] == [one.split(" ")[0].split("[")[0]
                                                         for one in gates]  # fmt: skip
    assert all(one["passed"] for one in exact["gates"])
    # What needs torch and transformers to start takes longer and holds more.
    assert exact["cold_start_s"] < original["cold_start_s"]
    assert exact["memory_mb"] < original["memory_mb"]
    measured = told["measured"]
    assert (measured["threads"], measured["lengths"]) == (1, [8])
    assert measured["rounds"] == {"1x8": 3, "4x8": 3}

    files = {path.relative_to(artifacts.OPTIMIZE).as_posix()
             for path in artifacts.OPTIMIZE.rglob("*") if path.is_file()}  # fmt: skip
    assert files >= {"model/openvino_model.xml", "model/mofang.json", "model/manifest.json",
                     "metrics.json", "report.json", "variants.csv", "disagreements.csv",
                     "plots/pareto.png", "plots/pareto.svg", "manifest.json"}  # fmt: skip
    artifacts.verify_manifest(artifacts.OPTIMIZE)
    artifacts.verify_manifest(artifacts.OPTIMIZE / "model")
    assert not list(artifacts.WORK.glob(".optimize*")), "nothing is left behind"

    shown = summary.size_rows()
    assert [words(row[0], "en") for row in shown] == [
        "torch_fp32", "openvino_fp32 ←", "torch_int8",
    ]  # fmt: skip
    assert {len(row) for row in shown} == {8}
    assert words(shown[2][-1], "en") == "unavailable"
    assert summary.why_it_ships() == told["why"]["en"]


@pytest.mark.parametrize("task", made_models.EVERY)
def test_what_ships_answers_as_what_was_tested(project: Path, untimed: None, task: str) -> None:
    lay_out(task)
    optimize(params(task, ["openvino_fp32"], ["points_lost <= 0.01", "agreement >= 1"]))
    told = report(artifacts.OPTIMIZE)
    assert told["chosen"] == told["shipped"] == "openvino_fp32"
    known = tasks.of(task, made_models.labels_of(task))
    assert told["main"] == known.main
    assert known.main in told["meaning"]["points_lost"]
    assert ("deviations" in told["meaning"]["agreement"]) == (task == REGRESSION)
    assert set(told["table"]["torch_fp32"]["test"]) <= set(known.figures_named)
    assert {known.main, "loss"} <= set(told["table"]["openvino_fp32"]["test"])

    texts = [one["text"] for one in made_models.records(task, 100, 9)]
    shipped = Predictor.load(artifacts.OPTIMIZE / "model")
    original = TorchPredictor.load(artifacts.TRAIN / "model", FITTED[task])
    assert shipped.card == original.card, "calibration travels with the model"
    assert shipped.scores(texts) == pytest.approx(original.scores(texts), abs=1e-4)
    if task != REGRESSION:  # the last digit of a number is not the same
        assert shipped.answers(texts) == original.answers(texts)
    knobs = params(task, ["openvino_fp32"], []).optimize.parity
    assert parity.check(original, shipped, texts, knobs)["holds"]


def test_nothing_ships_that_answers_otherwise(project: Path, untimed: None) -> None:
    lay_out(SINGLE)
    strict = {"margin": 0.5, "tolerance": 0.0, "invariance": 0.0}
    with pytest.raises(GateError, match="openvino_fp32, refused for: scores"):
        optimize(params(SINGLE, ["openvino_fp32"], [], parity=strict))
    assert not artifacts.OPTIMIZE.exists()


def test_when_no_variant_keeps_the_gates_the_original_ships(project: Path, untimed: None) -> None:
    """Gates may speak of the baseline and of the release, too."""
    lay_out(SINGLE)
    some = {part: made_models.records(SINGLE, size, at)
            for at, (part, size) in enumerate(made_models.SIZES.items(), 1)}  # fmt: skip
    knobs = changed({"train.baselines.kinds": ["majority", "linear_svc"]}).train.baselines
    baselines.fit_all(
        tasks.of(SINGLE, made_models.LABELS), some["train"], some["validation"], knobs, seed=1,
        start=artifacts.TRAIN / "model", cache=artifacts.WORK / "embeddings",
    ).save(artifacts.TRAIN / "baselines")  # fmt: skip
    artifacts.write_manifest(artifacts.TRAIN)
    gates = ["difference_to_baseline >= 0.9", "difference_to_released >= 0", "accuracy >= 0.5"]
    optimize(params(SINGLE, ["openvino_fp32"], gates))
    told = report(artifacts.OPTIMIZE)
    assert (told["chosen"], told["shipped"]) == (None, "openvino_fp32")
    assert told["why"]["en"].startswith("No variant keeps parity and all gates (0 of 1 do)")
    line = told["table"]["openvino_fp32"]
    assert line["refused_for"] == ["difference_to_baseline >= 0.9"]
    assert [(one["passed"], one["skipped"]) for one in line["gates"]] == [
        (False, None), (True, "no_release"), (True, None),
    ]  # fmt: skip
    original = TorchPredictor.load(artifacts.TRAIN / "model", FITTED[SINGLE])
    texts = [one["text"] for one in made_models.records(SINGLE, 50, 9)]
    shipped = Predictor.load(artifacts.OPTIMIZE / "model")
    assert shipped.scores(texts) == pytest.approx(original.scores(texts), abs=1e-4)


@pytest.mark.slow
def test_a_student_is_calibrated_by_itself_and_a_bundle_for_phones_is_made(
    project: Path, untimed: None
) -> None:
    lay_out(SINGLE)
    optimize(
        params(SINGLE, ["distilled+openvino_fp32"], ["agreement >= 0.5"], mobile=True,
               distillation__layers=1, distillation__width=0.5, distillation__epochs=3)
    )  # fmt: skip
    told = report(artifacts.OPTIMIZE)
    assert told["shipped"] == "distilled+openvino_fp32"
    line = told["table"]["distilled+openvino_fp32"]
    assert line["parity"]["holds"], "with the student that it was made from"
    card = Card.read(artifacts.OPTIMIZE / "model")
    assert card.temperature != FITTED[SINGLE].temperature
    assert told["mobile"]["parity"]["holds"]
    bundle = artifacts.OPTIMIZE / "mobile"
    artifacts.verify_manifest(bundle)
    assert Card.read(bundle).temperature == FITTED[SINGLE].temperature
    assert "1.5" in (bundle / "README.md").read_text(encoding="utf-8")


@pytest.mark.e2e
def test_the_table_is_measured(built: Project) -> None:
    told = json.loads((built.folder / "models/optimize/report.json").read_text())
    assert list(told["table"]) == ["torch_fp32", "openvino_fp32", "openvino_int8"]
    original = told["table"]["torch_fp32"]
    assert original["agreement"] == 1.0
    assert original["points_lost"] == 0.0
    assert told["table"]["openvino_fp32"]["agreement"] == 1.0
    for line in told["table"].values():
        assert line["bytes"] > 0
        assert line["texts_per_second"] > 0
        assert 0 <= line["test"]["macro_f1"] <= 1


@pytest.mark.e2e
def test_what_ships_holds_no_torch_file(built: Project) -> None:
    folder = built.folder / "models/optimize/model"
    artifacts.verify_manifest(folder)
    assert {path.name for path in folder.iterdir()} >= {
        "openvino_model.xml", "openvino_model.bin", "tokenizer.json", "mofang.json",
        "manifest.json",
    }  # fmt: skip
    assert not list(folder.glob("*.safetensors"))
