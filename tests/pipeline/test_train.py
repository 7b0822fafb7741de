"""Order of batches, checkpoints, curves, and what a run leaves: what training rests on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.errors import BusyError, ModelError, StorageError
from pipeline.modeling import (
    callbacks,
    checkpoints,
    fitting,
    material,
    recording,
    reporting,
    sampling,
    saving,
    training,
)
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.e2e.project import Project
from tests.helpers import changed, report
from tests.pipeline import made_models, runs

LENGTHS = [int(length) for length in np.random.default_rng(3).integers(3, 40, 1_003)]


def order(epoch: int, seed: int = 1) -> list[int]:
    sampler = sampling.GroupedByLength(LENGTHS, 16, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def shuffled(epoch: int, seed: int = 1) -> list[int]:
    sampler = sampling.Shuffled(len(LENGTHS), seed)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("kind", [order, shuffled])
def test_the_order_depends_on_seed_and_epoch_alone(kind: Callable[..., list[int]]) -> None:
    assert sorted(kind(0)) == list(range(len(LENGTHS)))
    assert kind(2) == kind(2)
    assert kind(2) != kind(3)
    assert kind(2) != kind(2, seed=5)


def test_batches_hold_texts_of_like_length() -> None:
    flat = order(0)
    batches = [
        [LENGTHS[at] for at in flat[start : start + 16]] for start in range(0, len(flat), 16)
    ]
    padded = sum(len(batch) * max(batch) for batch in batches)
    assert padded < 1.1 * sum(LENGTHS)
    assert len(batches[-1]) == len(LENGTHS) % 16


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights" * step)
    if whole:
        artifacts.write_manifest(made)
    return made


def test_the_newest_whole_checkpoint_counts_and_torn_ones_go(tmp_path: Path) -> None:
    checkpoint(tmp_path, 5)
    good = checkpoint(tmp_path, 10)
    torn = checkpoint(tmp_path, 20)
    (torn / "model.safetensors").write_bytes(b"weig")
    unsealed = checkpoint(tmp_path, 100, whole=False)
    assert checkpoints.newest_valid(tmp_path) == good
    assert not torn.exists()
    assert not unsealed.exists()


def test_a_damaged_best_checkpoint_starts_the_run_again(tmp_path: Path) -> None:
    best, newest = checkpoint(tmp_path, 5), checkpoint(tmp_path, 10, whole=False)
    (newest / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": str(best)}))
    artifacts.write_manifest(newest)
    checkpoints.finish(tmp_path, {"best_step": 5})
    assert checkpoints.resumable(tmp_path) == newest
    (best / "model.safetensors").write_bytes(b"flipped")
    assert checkpoints.resumable(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_sealing_keeps_the_best_and_the_newest(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 20, whole=False)
    checkpoints.seal(tmp_path, 20, str(tmp_path / "checkpoint-10"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-20"]
    artifacts.verify_manifest(tmp_path / "checkpoint-20")


def test_the_fingerprint_follows_knobs_and_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"1")
    first = checkpoints.fingerprint({"epochs": 1}, [data])
    assert checkpoints.fingerprint({"epochs": 1}, [data]) == first
    assert checkpoints.fingerprint({"epochs": 2}, [data]) != first
    for without_effect in ("costs", "baselines"):
        told = {"epochs": 1, without_effect: {"price_per_hour": 2.0}}
        assert checkpoints.fingerprint(told, [data]) == first
    data.write_bytes(b"2")
    assert checkpoints.fingerprint({"epochs": 1}, [data]) != first


def test_the_lock_is_free_after_use(tmp_path: Path) -> None:
    again = checkpoints.only_one(tmp_path)
    with (
        checkpoints.only_one(tmp_path),
        pytest.raises(BusyError, match="a trainer at work"),
    ):
        again.__enter__()
    with checkpoints.only_one(tmp_path):
        pass


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    import os

    for number in range(6):
        (tmp_path / f"run{number}").mkdir()
        os.utime(tmp_path / f"run{number}", (number, number))
    checkpoints.forget_old(tmp_path, tmp_path / "run0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run0", "run4", "run5"]


def test_too_little_space_is_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"MB free, allowed at least 1000000000000 MB"):
        artifacts.require_space(tmp_path, 10**18)


@pytest.mark.parametrize(
    ("greater", "least", "values", "waited"),
    [
        (True, 0.0, [], 0),
        (True, 0.0, [0.5, 0.6], 0),
        (True, 0.0, [0.6, 0.5, 0.55], 2),
        (True, 0.0, [0.6, 0.6, 0.6], 2),
        (True, 0.05, [0.50, 0.54, 0.58], 0),  # 0.54 is not enough, 0.58 is
        (True, 0.05, [0.50, 0.54, 0.545, 0.54], 3),
        (False, 0.0, [0.6, 0.5, 0.4], 0),
        (False, 0.0, [0.4, 0.5, 0.4], 2),
        (True, 0.0, [math.nan, math.nan], 2),
        (True, 0.0, [0.3, math.nan, 0.4], 0),
        (False, 0.0, [0.3, -math.inf], 1),
    ],
)
def test_epochs_without_a_better_one(
    greater: bool, least: float, values: list[float], waited: int
) -> None:
    found = callbacks.epochs_without_better(values, least, greater_is_better=greater)
    assert found == waited


@pytest.mark.parametrize("patience", [0, 2])
def test_patience_stops_the_run(tmp_path: Path, patience: int) -> None:
    knobs = runs.knobs_of(patience=patience)
    habits = callbacks.Habits(tmp_path, knobs, greater_is_better=True)
    values = [0.6, 0.5, 0.55]
    state = SimpleNamespace(
        log_history=[{"eval_macro_f1": value} for value in values], is_world_process_zero=True
    )
    control = SimpleNamespace(should_training_stop=False)
    habits.on_evaluate(None, state, control)
    assert control.should_training_stop is (patience == 2)


def test_a_nan_that_was_logged_ends_the_run(tmp_path: Path) -> None:
    habits = callbacks.Habits(tmp_path, runs.knobs_of(), greater_is_better=True)
    state, control = SimpleNamespace(global_step=7), SimpleNamespace()
    with pytest.raises(ModelError, match="train, step 7: found a loss that is not a number"):
        habits.on_log(None, state, control, {"loss": math.nan})


HISTORY: list[dict[str, float]] = [
    {"step": 10, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": 2.0, "epoch": 0.5,
     "examples_per_second": 30.0, "memory_bytes": 7, "seconds_left": 4.0},
    {"step": 20, "eval_loss": 0.5, "eval_macro_f1": 0.7, "eval_accuracy": 0.8, "epoch": 1.0,
     "eval_runtime": 3.0},
    {"step": 30, "eval_loss": 0.4, "eval_macro_f1": math.nan, "eval_accuracy": 0.9, "epoch": 2.0},
]  # fmt: skip


def test_curves_take_what_was_logged() -> None:
    steps, epochs = recording.curves(HISTORY, "accuracy")
    assert steps == (
        ["step", "loss", "learning_rate", "gradient_norm", "examples_per_second", "memory_bytes",
         "seconds_left"],
        [[10, 1.0, 1e-4, 2.0, 30.0, 7, 4.0]],
    )  # fmt: skip
    assert epochs[0] == ["epoch", "step", "chosen_by", "loss", "accuracy", "macro_f1"]
    assert epochs[1][0] == [1.0, 20, 0.8, 0.5, 0.8, 0.7]


def test_what_is_recorded_can_be_read_by_dvclive_and_tensorboard(tmp_path: Path) -> None:
    import struct

    from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]

    recording.export(HISTORY, tmp_path)
    told = (tmp_path / "live/plots/metrics/validation/accuracy.tsv").read_text().splitlines()
    assert told == ["step\taccuracy", "20\t0.8", "30\t0.9"]
    lacks_nan = (tmp_path / "live/plots/metrics/validation/macro_f1.tsv").read_text().splitlines()
    assert lacks_nan == ["step\tmacro_f1", "20\t0.7"]
    assert json.loads((tmp_path / "live/metrics.json").read_text())["train"]["loss"] == 1.0
    assert not (tmp_path / "dvc.yaml").exists()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content, at = events.read_bytes(), 0
    found: dict[tuple[str, int], float] = {}
    while at < len(content):  # TFRecord: length, its checksum, the event, its checksum
        (length,) = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + length])
        found |= {(one.tag, event.step): one.simple_value for one in event.summary.value}
        at += 12 + length + 4
    assert found["train/loss", 10] == 1.0
    assert found["validation/accuracy", 30] == pytest.approx(0.9)
    assert len(found) == 6 + 3 + 2


def test_precision_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert training.precision("auto", cpu=True) == "bf16"
    assert training.precision("fp32", cpu=True) == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    assert training.precision("auto", cpu=True) == "fp32"
    with pytest.raises(ModelError, match=r"train\.precision: found fp16, allowed auto, fp32, bf16"):
        training.precision("fp16", cpu=True)
    assert training.precision("fp16", cpu=False) == "fp16"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.device("auto") == "cpu"
    with pytest.raises(ModelError, match=r"train\.device: found no GPU"):
        training.device("cuda")


@pytest.mark.parametrize(("mean", "deviation"), [(20.0, 4.0), (0.0, 2.0)])
def test_numbers_are_judged_and_saved_in_their_own_unit(mean: float, deviation: float) -> None:
    import torch

    task = tasks.of(REGRESSION, [])
    score = material.judge(task, (mean, deviation))
    given = SimpleNamespace(
        label_ids=np.array([-1.0, 0.0, 1.0], np.float32),
        predictions=np.array([[-1.0], [0.5], [1.0]], np.float32),
    )
    assert score(given)["mae"] == pytest.approx(0.5 * deviation / 3)
    model = made_models.model(REGRESSION, steps=0)
    ids = torch.tensor([[2, 5, 3]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        material.unstandardize(model, (mean, deviation))
        after = model(input_ids=ids).logits
    assert torch.allclose(after, before * deviation + mean, atol=1e-5)


def test_without_a_bias_numbers_are_only_divided() -> None:
    task = tasks.of(REGRESSION, [])
    model = made_models.model(REGRESSION, steps=0)
    numbers = np.array([2.0, 4.0], np.float32)  # mean 3, deviation 1, root mean square √10
    assert material.scaling_of(model, task, numbers) == (3.0, 1.0)
    model.classifier.bias = None
    mean, deviation = material.scaling_of(model, task, numbers)
    assert mean == 0.0
    assert deviation == pytest.approx(math.sqrt(10))


def test_several_labels_are_judged() -> None:
    score = material.judge(tasks.of(MULTI, ["a", "b"]), (0.0, 1.0))
    given = SimpleNamespace(
        label_ids=np.array([[1, 0], [1, 1]], np.float32),
        predictions=np.array([[2.0, -2.0], [2.0, -2.0]], np.float32),
    )
    assert score(given)["subset_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("task", "model", "baseline", "pays"),
    [(SINGLE, 0.9, 0.8, True), (SINGLE, 0.8, 0.8, False), (REGRESSION, 0.5, 0.6, False)],
)
def test_whether_the_large_model_pays(task: str, model: float, baseline: float, pays: bool) -> None:
    one = tasks.of(task, made_models.labels_of(task))
    history: Any = [{"step": 4, "epoch": 1.0, "eval_loss": 1.0, f"eval_{one.main}": model}]
    outcome = fitting.Outcome(history, 4, 4, model, None)
    cheap: Any = SimpleNamespace(strongest="majority", figures={"majority": {one.main: baseline}})
    assert reporting.worth(one, outcome, cheap) == {
        "figure": one.main, "model": model, "strongest_baseline": "majority",
        "baseline": baseline, "worth_it": pays,
    }  # fmt: skip


def test_a_saved_model_that_answers_differently_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.save_start(tmp_path / "start", SINGLE)
    model = made_models.model(SINGLE, steps=0)
    texts = ["my parcel is late", "help"]
    saving.save(model, tmp_path / "start", tmp_path / "good", texts)
    original = type(model).save_pretrained

    def flip_a_weight(self: Any, folder: Path) -> None:
        self.classifier.bias.data[0] += 0.01
        original(self, folder)
        self.classifier.bias.data[0] -= 0.01

    monkeypatch.setattr(type(model), "save_pretrained", flip_a_weight)
    with pytest.raises(ModelError, match="answers that differ by"):
        saving.save(model, tmp_path / "start", tmp_path / "bad", texts)


METHODS = ("full", "lora", "frozen")


@pytest.mark.parametrize("task", made_models.EVERY)
@pytest.mark.parametrize("method", METHODS)
def test_plain_transformers_answers_as_the_trained_model(
    project: Path, task: str, method: str
) -> None:
    """The whole stage, and then ``transformers.pipeline`` on the folder that it left."""
    from transformers import pipeline

    from pipeline.modeling.predictor import TorchPredictor
    from pipeline.params import load
    from pipeline.train import train

    runs.lay_out(task, method=method, epochs=1, optimizer__kind="adamw")
    train(load())
    folder = project / "models/train/model"
    ours = TorchPredictor.load(folder)
    classify = pipeline("text-classification", model=str(folder), top_k=None)
    texts = ["my parcel is late", "please help", "good good money"]
    config = json.loads((folder / "config.json").read_text())
    assert list(config["id2label"].values()) == ours.task.outputs
    for text, scores in zip(texts, ours.scores(texts), strict=True):
        found = {one["label"]: one["score"] for one in classify([text])[0]}
        for label, score in zip(ours.task.outputs, scores, strict=True):
            assert found[label] == pytest.approx(score, abs=1e-4)


def test_what_training_reports_and_leaves(project: Path) -> None:
    from pipeline.params import load
    from pipeline.train import train

    runs.lay_out(SINGLE)
    train(load())
    folder = project / artifacts.TRAIN
    artifacts.verify_manifest(folder)
    told = report(folder)
    steps = 3 * math.ceil(runs.SIZES["train"] / 16)
    assert told["records"] == runs.SIZES["train"]
    assert told["steps"] == steps
    assert told["resumed_from_step"] is None
    assert told["halvings"] == []
    assert told["baselines"]["strongest"] == told["strongest_baseline"]
    assert set(told["estimate"]) == set(told["actual"]) == set(told["error"])
    assert told["actual"]["peak_memory_bytes"] > 0
    epochs = (folder / "epochs.csv").read_text().splitlines()
    assert epochs[0].startswith("epoch,step,chosen_by,loss,accuracy,")
    rows = [line.split(",") for line in epochs[1:]]
    main = epochs[0].split(",").index("macro_f1")
    assert [row[2] for row in rows] == [row[main] for row in rows]
    best = max(float(row[2]) for row in rows)
    assert best == pytest.approx(told["best_macro_f1"]) == pytest.approx(told["model"])
    logged = [int(line.split(",")[0]) for line in (folder / "steps.csv").read_text().split()[1:]]
    assert logged == list(range(10, steps + 1, 10))
    origin = json.loads((folder / "model/origin.json").read_text())
    assert origin["task"] == SINGLE
    assert origin["shipped"]["metric"] == "macro_f1"
    assert origin["shipped"]["value"] == told["best_macro_f1"]
    assert origin["shipped"]["step"] == told["best_step"]
    assert origin["data"]["data/split/train.parquet"] == artifacts.sha256(artifacts.part("train"))
    assert origin["train"] == changed(runs.changes_of(SINGLE)).train.model_dump(mode="json")
    assert origin["environment"]["packages"]["torch"]
    assert origin["git"] is None
    assert (folder / "baselines").is_dir()
    assert list((folder / "tensorboard").iterdir())
    assert (folder / "live/metrics.json").exists()


def test_the_commit_and_what_differs_from_it_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("1")
    for words in (["init", "-q"], ["add", "-A"],
                  ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):  # fmt: skip
        subprocess.run(["git", *words], check=True)
    told = saving.git()
    assert told is not None
    assert told["clean"] is True
    assert len(told["commit"]) == 40
    (tmp_path / "a").write_text("2")
    assert saving.git() == told | {"clean": False, "changed": ["a"]}


@pytest.mark.e2e
def test_training_within_the_pipeline(built: Project) -> None:
    folder = built.folder / "models/train"
    artifacts.verify_manifest(folder)
    told = report(folder)
    assert told["steps"] == 4 * math.ceil(told["records"] / 16)
    origin = json.loads((folder / "model/origin.json").read_text())
    assert len(origin["git"]["commit"]) == 40
    lines = [json.loads(line) for line in built.progress.read_text().splitlines()]
    train = [line for line in lines if line["stage"] == "train"]
    assert [line["step"] for line in train] == list(range(1, told["steps"] + 1))
    assert {"loss", "learning_rate", "examples_per_second", "seconds_left"} <= set(train[-1])
