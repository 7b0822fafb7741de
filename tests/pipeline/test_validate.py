"""Gates: at the bound, below it, without a figure, of groups; the stage itself on each task."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import artifacts
from pipeline.errors import DataError, GateError, ModelError
from pipeline.evaluation import answers, calibration, evidence, gates
from pipeline.modeling.baselines import Baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import CARD, Card
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from pipeline.validate import validate
from tests.helpers import changed, report
from tests.pipeline import made_models

FIGURES = {
    "accuracy": 0.9, "macro_f1": 0.8, "baseline_macro_f1": 0.8, "loss": math.nan,
    "rmse": math.inf, "macro_f1_low": 0.75,
}  # fmt: skip
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "label": {
        "human": {"records": 40, "small": False, "recall": 0.7, "accuracy": 0.7,
                  "figure": "recall", "low": 0.6, "high": 0.8},
        "two words": {"records": 30, "small": False, "recall": math.nan, "figure": "recall",
                      "low": None, "high": None},
    },
    "region": {"south": {"records": 3, "small": True, "accuracy": 1.0, "figure": "accuracy"}},
}  # fmt: skip


def judged(gate: str) -> gates.Verdict:
    return gates.judge([gate], FIGURES, GROUPS)[0]


def passed(gate: str) -> bool:
    return judged(gate).passed


@pytest.mark.parametrize(
    ("gate", "holds"),
    [
        ("accuracy >= 0.9", True),
        ("accuracy >= 0.9000001", False),
        ("accuracy <= 0.9", True),
        ("accuracy <= 0.8999999", False),
        ("accuracy>=0.5", True),
        ("loss <= 10", False),
        ("loss >= -10", False),
        ("rmse >= 0", False),
        ("no_such_figure >= 0", False),
        ("macro_f1_low >= 0.75", True),
        ("macro_f1_low >= 0.7500001", False),
        ("recall[label=human] >= 0.7", True),
        ("recall[label=human] >= 0.7000001", False),
        ("recall[label=human]<=0.7", True),
        ("recall_low[label=human] >= 0.6", True),
        ("recall_low[label=human] >= 0.6000001", False),
        ("recall_high[label=human] <= 0.8", True),
        ("accuracy_low[label=human] >= 0", False),
        ("recall[label=two words] >= 0", False),
        ("recall_low[label=two words] >= 0", False),
        ("recall[label=nobody] >= 0", False),
        ("recall[nothing=human] >= 0", False),
        ("figure[label=human] >= 0", False),
        ("accuracy[region=south] >= 0.5", False),
    ],
)
def test_gates_at_their_bounds(gate: str, holds: bool) -> None:
    assert passed(gate) is holds


def test_a_group_that_is_too_small_proves_nothing() -> None:
    """All of three records are right; that is no reason to let the model pass."""
    found = judged("accuracy[region=south] >= 0.5")
    assert (found.passed, found.found, found.too_small) == (False, None, 3)
    with pytest.raises(GateError, match=r"accuracy\[region=south\]: found a group of only 3 rec"):
        gates.refuse_failed([found], FIGURES)


def test_a_figure_that_a_group_does_not_have_is_explained() -> None:
    with pytest.raises(GateError, match=r"validate, f1\[label=human\]: found no such figure"):
        gates.refuse_failed([judged("f1[label=human] >= 0")], FIGURES)


@pytest.mark.parametrize(
    "gate",
    ["difference_to_released >= 0.1", "difference_to_released_low >= 0", "released_macro_f1 >= 1",
     "mcnemar_released_p <= 0.05"],
)  # fmt: skip
def test_without_a_release_what_speaks_of_it_is_skipped(gate: str) -> None:
    found = judged(gate)
    assert (found.passed, found.found, found.skipped) == (True, None, gates.NO_RELEASE)
    assert "released names no release" in gates.SKIPPED[gates.NO_RELEASE].render("en")
    there = FIGURES | {"released_accuracy": 0.8}
    missing = gates.judge([gate], there)[0]
    assert (missing.passed, missing.skipped) == (False, None), "with one it has to be there"


def test_a_difference_to_the_released_model_at_its_bound() -> None:
    there = FIGURES | {"difference_to_released": -0.005, "difference_to_released_low": -0.0051}
    kept, lost = gates.judge(
        ["difference_to_released >= -0.005", "difference_to_released_low >= -0.005"], there
    )
    assert kept.passed
    assert not lost.passed


def test_equal_to_the_baseline_is_not_better() -> None:
    verdict = gates.judge([], FIGURES, beat="macro_f1")[0]
    assert not verdict.passed
    better = gates.judge([], FIGURES | {"macro_f1": 0.81}, beat="macro_f1")[0]
    assert better.passed


def test_every_failed_gate_is_named_with_found_and_required() -> None:
    wanted = ["accuracy >= 0.95", "macro_f1 >= 0.5", "speed >= 1"]
    verdicts = gates.judge(wanted, FIGURES, beat="macro_f1")
    with pytest.raises(GateError) as caught:
        gates.refuse_failed(verdicts, FIGURES)
    text = caught.value.render("en")
    assert "validate, accuracy: found 0.9000, allowed >= 0.9500." in text
    assert "validate, macro_f1: found 0.8000, allowed > 0.8000." in text
    assert "validate, speed: found no such figure" in text
    assert len(caught.value.problems) == 3


def test_nothing_is_raised_when_all_hold() -> None:
    gates.refuse_failed(gates.judge(["accuracy >= 0.5"], FIGURES), FIGURES)


def test_less_is_better_where_it_is() -> None:
    errors = {"mae": 0.9, "baseline_mae": 1.0}
    assert gates.judge(["mae <= 0.9"], errors, beat="mae", greater=False)[0].passed
    assert gates.judge([], errors, beat="mae", greater=False)[0].passed
    equal = gates.judge([], errors | {"baseline_mae": 0.9}, beat="mae", greater=False)[0]
    assert (equal.sign, equal.passed) == ("<", False)


def test_what_is_no_gate_is_refused() -> None:
    for text in ("accuracy is good", "recall[label] >= 1", "recall[a=b=c] >= 1", "a >= 1]"):
        with pytest.raises(ValueError, match="not a gate"):
            gates.split(text)


# --- the stage


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifacts.VALIDATE / artifacts.METRICS).read_text())
    return found


def params(task: str, **changes: Any) -> Any:
    """Return params with few samples; gates that compare with nothing are left out."""
    return made_models.params_of(task, **{"validate__bootstrap_samples": 200, **changes})


COMPARISONS = ("baseline", "difference_to", "mcnemar")
COSTS = {"size_mb", "latency_ms_p50", "latency_ms_p95"}


@pytest.mark.parametrize(
    ("task", "held", "wrong"),
    [
        (SINGLE, ["macro_f1 >= 0.9", "accuracy_low >= 0.8", "worst_class_recall >= 0.7",
                  "recall[label=refund] >= 0.7", "ece <= 0.3", "mcnemar_baseline_p <= 1"], "mae"),
        (MULTI, ["hamming_loss <= 0.2", "macro_f1_low >= 0.5", "pr_auc >= 0.5"], "accuracy"),
        (REGRESSION, ["mae <= 2", "mse <= 9", "mae_high <= 3"], "macro_f1"),
    ],
)  # fmt: skip
def test_a_model_of_each_task_is_judged_by_its_own_figures(
    project: Path, task: str, held: list[str], wrong: str
) -> None:
    made_models.lay_out(task)
    usual = ["size_mb <= 5", "latency_ms_p95 <= 5000", "difference_to_baseline_high >= -5",
             "difference_to_released >= 9"]  # fmt: skip
    validate(params(task, validate__gates=[*held, *usual], validate__groups__min_records=10))
    figures, known = measured(), tasks.of(task, made_models.labels_of(task))
    told = report(artifacts.VALIDATE)
    kinds = Baselines.load(artifacts.TRAIN / "baselines").figures
    assert figures["baselines"] == {kind: pytest.approx(found) for kind, found in kinds.items()}
    ends = {f"{name}_{end}" for name in known.quick for end in ("low", "high")}
    own = {name for name in figures if not name.startswith(COMPARISONS)}
    assert own == set(known.figures_named) | ends | COSTS
    best = max(kinds, key=lambda kind: kinds[kind][known.main])
    assert told["strongest"] == best
    assert figures[f"baseline_{known.main}"] == pytest.approx(kinds[best][known.main])
    assert [gate["passed"] for gate in told["gates"]] == [True] * (len(held) + 4)
    assert told["gates"][-1]["skipped"] == gates.NO_RELEASE
    assert told["costs"]["size_mb"] == pytest.approx(
        artifacts.folder_bytes(artifacts.TRAIN / "model") / 1e6
    )

    with pytest.raises(GateError, match="no such figure") as caught:
        validate(params(task, validate__gates=[f"{wrong} >= 0.1"]))
    assert known.main in str(caught.value), "it says which figures there are"


def test_a_model_that_learnt_nothing_does_not_beat_the_baseline(project: Path) -> None:
    made_models.lay_out(REGRESSION, steps=0)
    with pytest.raises(GateError, match=r"validate, r2: found .*, allowed > \d"):
        validate(params(REGRESSION, validate__better_than_baseline=True))
    assert measured()["r2"] < measured()["baseline_r2"], "figures are written all the same"


def test_the_model_and_the_baseline_are_compared_on_the_same_records(project: Path) -> None:
    made_models.lay_out(SINGLE, steps=10)
    validate(params(SINGLE))
    figures, told = measured(), report(artifacts.VALIDATE)
    line = told["significance"]["baseline"]
    assert line["kind"] == told["strongest"]
    assert line["difference"] == figures["difference_to_baseline"]
    assert line["difference"] == pytest.approx(figures["macro_f1"] - figures["baseline_macro_f1"])
    assert line["low"] <= line["difference"] <= line["high"]
    test = line["mcnemar"]
    gained = (test["b"] - test["c"]) / told["records"]
    assert gained == pytest.approx(figures["accuracy"] - figures["baseline_accuracy"])
    assert figures["mcnemar_baseline_p"] == test["p"]
    assert line["tuned_on_this_part"] is True
    assert told["tuned_on_this_part"] == ["the best epoch", "the strongest baseline", "temperature"]
    assert told["released"] is None
    ends = [figures["accuracy_low"], figures["accuracy_high"]]
    assert told["intervals"]["model"]["accuracy"] == ends


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_what_was_fitted_here_is_what_a_loaded_model_answers_with(project: Path, task: str) -> None:
    made_models.lay_out(task, steps=25)
    validate(params(task, validate__calibration={"temperature": True, "thresholds": "fitted"}))
    fitted = calibration.Fitted.read(artifacts.VALIDATE / calibration.FILE)
    assert fitted.temperature != 1.0
    assert set(fitted.thresholds) == (set(made_models.LABELS) if task == MULTI else set())
    told = report(artifacts.VALIDATE)
    assert told["calibration"] == fitted.report
    assert fitted.report["loss"]["after"] < fitted.report["loss"]["before"]
    model = TorchPredictor.load(artifacts.TRAIN / "model", fitted)
    records = artifacts.read_records(artifacts.part("validation")).to_pylist()
    texts, truth = [one["text"] for one in records], [one["label"] for one in records]
    found = model.task.figures(truth, model.answers(texts))
    found |= model.task.score_figures(truth, model.scores(texts))
    assert {name: measured()[name] for name in found} == pytest.approx(found)
    assert ("thresholds" in told["tuned_on_this_part"]) is (task == MULTI)
    plain = TorchPredictor.load(artifacts.TRAIN / "model")
    assert plain.card.temperature == 1.0, "the trained model itself is left as it was"


def test_test_asks_the_model_as_validate_left_it(project: Path) -> None:
    made_models.lay_out(SINGLE, steps=25)
    validate(params(SINGLE))
    fitted = calibration.Fitted.read(artifacts.VALIDATE / calibration.FILE)
    found = answers.ask(
        TorchPredictor.load(artifacts.TRAIN / "model", fitted),
        Baselines.load(artifacts.TRAIN / "baselines"), artifacts.part("validation"), 32,
    )  # fmt: skip
    assert found.fitted.temperature == fitted.temperature
    assert found.scores == pytest.approx(found.task.activate(found.logits / fitted.temperature))
    assert found.figures()["ece"] == pytest.approx(measured()["ece"])
    assert evidence.tuned(found, params(SINGLE).validate_.calibration) == [
        "the best epoch", "the strongest baseline",
    ]  # fmt: skip


def put_regions(names: Sequence[str]) -> None:
    """Write a region into each record of the validation part."""
    path = artifacts.part("validation")
    records = artifacts.read_records(path).to_pylist()
    for record, name in zip(records, names, strict=True):
        record["meta"] = json.dumps({"region": name})
    table = pa.Table.from_pylist(records, schema=artifacts.record_schema())
    artifacts.write_records(path, table)


def test_groups_of_a_declared_column_are_judged(project: Path) -> None:
    made_models.lay_out(SINGLE)
    put_regions(["north", "south"] * 38 + ["north"] + ["east"] * 3)
    wanted = ["accuracy[region=north] >= 0.5", "demographic_parity_gap <= 1", "accuracy_gap <= 1"]
    column = {"validate__groups__columns": ["region"]}
    validate(params(SINGLE, **column, validate__gates=wanted))
    told = report(artifacts.VALIDATE)
    assert told["slices"]["region"]["north"]["records"] == 39
    assert told["slices"]["region"]["east"]["small"]
    assert [gate["group"] for gate in told["gates"]] == ["region=north", None, None]
    with pytest.raises(GateError, match="a group of only 3 records"):
        validate(params(SINGLE, **column, validate__gates=["accuracy[region=east] >= 0"]))
    with pytest.raises(DataError, match="colour"):
        validate(params(SINGLE, validate__groups__columns=["colour"]))


def test_what_training_took_can_be_gated(project: Path) -> None:
    made_models.lay_out(SINGLE, kinds=["majority"])
    actual = {"seconds": 12.5, "co2_kg": None, "money": 0.25, "peak_memory_bytes": 7}
    artifacts.write_json(artifacts.TRAIN / artifacts.REPORT, {"actual": actual})
    wanted = ["train_seconds <= 12.5", "train_cost <= 0.25", "train_kg_co2 <= 1"]
    with pytest.raises(GateError, match="validate, train_kg_co2: found no such figure") as caught:
        validate(params(SINGLE, validate__gates=wanted))
    assert len(caught.value.problems) == 1, "nobody knows the CO2; the other two hold"


# --- the released model


def release(version: str, labels: list[str]) -> Path:
    """Write a release whose model, run by OpenVINO, counts the word that decides each label."""
    import openvino
    from openvino import opset13 as ops

    folder = Path("releases") / version / "model"
    folder.parent.mkdir(parents=True)
    counts = np.zeros((len(made_models.VOCABULARY), len(labels)), dtype=np.float32)
    for at, label in enumerate(sorted(made_models.SIGNS)[: len(labels)]):
        counts[made_models.VOCABULARY.index(made_models.SIGNS[label]), at] = 5.0
    tokens = ops.parameter([-1, -1], np.int64, name="input_ids")
    tokens.output(0).set_names({"input_ids"})
    rows = ops.gather(ops.constant(counts), tokens, ops.constant(np.int64(0)))
    logits = ops.reduce_sum(rows, ops.constant(np.array([1])), keep_dims=False)
    with artifacts.output_folder(folder) as place:
        openvino.save_model(
            openvino.Model([logits], [tokens]), place / "openvino_model.xml", compress_to_fp16=False
        )
        made_models.tokenizer().save(str(place / "tokenizer.json"))
        whole = changed().clean.normalize.model_dump()
        card = Card(SINGLE, labels, 32, whole, {"kinds": [], "region": "US"})
        artifacts.write_json(place / CARD, asdict(card))
    return folder


def test_the_released_model_answers_the_same_records(project: Path) -> None:
    made_models.lay_out(SINGLE, steps=10)
    release("1.2.0", made_models.LABELS)
    named = {"validate__released": "1.2.0"}
    validate(params(SINGLE, **named, validate__gates=["difference_to_released >= -1"]))
    figures, told = measured(), report(artifacts.VALIDATE)
    assert figures["released_macro_f1"] == 1.0, "it knows the deciding words"
    assert figures["difference_to_released"] == pytest.approx(figures["macro_f1"] - 1.0)
    assert figures["difference_to_released_low"] <= figures["difference_to_released"] < 0
    test = told["significance"]["released"]["mcnemar"]
    assert test["b"] == 0, "it is never wrong"
    assert test["c"] == round((1 - figures["accuracy"]) * told["records"])
    assert figures["mcnemar_released_p"] == test["p"]
    assert told["released"] == "1.2.0"
    assert told["gates"][0]["skipped"] is None
    with pytest.raises(GateError, match="validate, difference_to_released_low: found -"):
        validate(params(SINGLE, **named, validate__gates=["difference_to_released_low >= 0"]))


def test_a_release_that_is_not_there_or_not_whole_is_named(project: Path) -> None:
    made_models.lay_out(SINGLE, kinds=["majority"])
    folder = release("1.2.0", made_models.LABELS)
    with pytest.raises(ModelError, match=r"1\.3\.0.*: found no such folder, allowed 1\.2\.0"):
        validate(params(SINGLE, validate__released="1.3.0"))
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    (folder / CARD).write_text(json.dumps(card | {"temperature": 9.0}), encoding="utf-8")
    with pytest.raises(ModelError, match="differs from the manifest"):
        validate(params(SINGLE, validate__released="1.2.0"))
    assert answers.released("") is None


def test_a_release_with_other_labels_is_refused(project: Path) -> None:
    made_models.lay_out(SINGLE, kinds=["majority"])
    release("1.2.0", ["account", "cancel"])
    with pytest.raises(ModelError, match=r"validate\.released: found single_label, cancel"):
        validate(params(SINGLE, validate__released="1.2.0"))
