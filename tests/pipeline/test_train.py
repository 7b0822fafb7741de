"""Order of batches, the baseline, checkpoints, curves: what training rests on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.errors import BusyError, ModelError, StorageError
from pipeline.modeling import architecture, baseline, checkpoints, fitting, training
from tests.e2e.project import Project, requests
from tests.helpers import changed

LENGTHS = [int(length) for length in np.random.default_rng(3).integers(3, 40, 1_003)]


def order(epoch: int, seed: int = 1) -> list[int]:
    sampler = training.GroupedByLength(LENGTHS, 16, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_record_comes_once_an_epoch() -> None:
    assert sorted(order(0)) == list(range(len(LENGTHS)))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order(2) == order(2)
    assert order(2) != order(3)
    assert order(2) != order(2, seed=5)


def test_batches_hold_texts_of_like_length() -> None:
    flat = order(0)
    batches = [
        [LENGTHS[at] for at in flat[start : start + 16]] for start in range(0, len(flat), 16)
    ]
    padded = sum(len(batch) * max(batch) for batch in batches)
    assert padded < 1.1 * sum(LENGTHS)
    assert len(batches[-1]) == len(LENGTHS) % 16


@pytest.mark.parametrize("classifier", ["linear_svc", "logistic_regression"])
@pytest.mark.parametrize("analyzer", ["word", "char_wb"])
@pytest.mark.parametrize("kinds", [2, 3])
def test_a_saved_baseline_answers_as_before(
    tmp_path: Path, classifier: str, analyzer: str, kinds: int
) -> None:
    rows = [one for one in requests(300) if kinds == 3 or one["kind"] != "refund"]
    texts, labels = [one["request"] for one in rows], [one["kind"] for one in rows]
    learnt = len(rows) * 2 // 3
    fitted = baseline.fit(
        texts[:learnt], labels[:learnt], classifier=classifier, analyzer=analyzer, longest=2,
        max_features=5_000, seed=1,
    )  # fmt: skip
    fitted.save(tmp_path)
    again = baseline.Baseline.load(tmp_path)
    asked = [*texts[learnt:], "", "words never seen"]
    assert again.predict(asked) == fitted.predict(asked)
    right = sum(a == b for a, b in zip(again.predict(texts[learnt:]), labels[learnt:], strict=True))
    assert right / len(labels[learnt:]) > 0.9


def test_the_baseline_is_what_scikit_learn_predicts() -> None:
    from sklearn.svm import LinearSVC

    rows = requests(200)
    texts, labels = [one["request"] for one in rows], [one["kind"] for one in rows]
    for kinds in (("delivery", "refund"), ("account", "delivery", "refund")):
        some = [at for at, label in enumerate(labels) if label in kinds]
        x, y = [texts[at] for at in some], [labels[at] for at in some]
        ours = baseline.fit(
            x, y, classifier="linear_svc", analyzer="word", longest=1, max_features=1_000, seed=1
        )
        theirs = LinearSVC(random_state=1).fit(ours.features.transform(x), y)
        assert ours.predict(texts) == theirs.predict(ours.features.transform(texts)).tolist()


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


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_manifest_cut_anywhere_makes_a_checkpoint_invalid(tmp_path: Path, cut: int) -> None:
    made = checkpoint(tmp_path, 5)
    manifest = made / artifacts.MANIFEST
    manifest.write_bytes(manifest.read_bytes()[: -3 if cut == -1 else cut])
    assert checkpoints.newest_valid(tmp_path) is None


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


@pytest.mark.parametrize("every", ["grad_norm", "loss"])
def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, every: str) -> None:
    habits = training.Habits(tmp_path, every=5, patience=0, metric="macro_f1")
    state, control = SimpleNamespace(global_step=7), SimpleNamespace()
    if every == "grad_norm":
        habits.on_log(None, state, control, {"loss": 1.0, "grad_norm": math.nan})
    else:
        with pytest.raises(ModelError, match="train, step 7: found a loss that is not a number"):
            habits.on_log(None, state, control, {"loss": math.nan})


@pytest.mark.parametrize(
    ("metric", "values", "stops"),
    [
        ("macro_f1", [0.5, 0.6], False),
        ("macro_f1", [0.6, 0.5, 0.55], True),
        ("macro_f1", [0.6, 0.5], False),
        ("loss", [0.6, 0.5, 0.4], False),
        ("loss", [0.4, 0.5, 0.4], True),
    ],
)
def test_patience_counts_epochs_without_a_better_one(
    tmp_path: Path, metric: str, values: list[float], stops: bool
) -> None:
    habits = training.Habits(tmp_path, every=5, patience=2, metric=metric)
    state = SimpleNamespace(log_history=[{f"eval_{metric}": value} for value in values])
    control = SimpleNamespace(should_training_stop=False)
    habits.on_evaluate(None, state, control)
    assert control.should_training_stop is stops


def test_curves_take_what_was_logged() -> None:
    history = [
        {"step": 10, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": 2.0, "epoch": 0.5},
        {"step": 20, "eval_loss": 0.5, "eval_accuracy": 0.8, "eval_macro_f1": 0.7, "epoch": 1.0},
    ]
    assert fitting.curves(history) == ([[10, 1.0, 1e-4, 2.0]], [[1.0, 0.5, 0.8, 0.7]])


def test_precision_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert training.precision("auto", cpu=True) == "bf16"
    assert training.precision("fp32", cpu=True) == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    assert training.precision("auto", cpu=True) == "fp32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.device("auto") == "cpu"
    with pytest.raises(ModelError, match=r"train\.device: found no GPU"):
        training.device("cuda")


def test_a_saved_model_that_answers_differently_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {
        "vocabulary": 100,
        "layers": 1,
        "hidden": 8,
        "heads": 1,
        "intermediate": 8,
        "dropout": 0.0,
    }
    texts = ["one text", "another text"]
    model, tokenizer = architecture.from_scratch(texts, ["a", "b"], sizes, max_tokens=8, seed=1)
    start = tmp_path / "start"
    tokenizer.save_pretrained(start)
    card = {"task": "single_label", "labels": ["a", "b"], "max_tokens": 8}
    switches = changed().clean.normalize.model_dump()
    told = card | {"normalize": switches, "mask": {"kinds": [], "region": "US"}}
    (start / "mofang.json").write_text(json.dumps(told))
    fitting.save(model, start, tmp_path / "good", texts)
    original = type(model).save_pretrained

    def flip_a_weight(self: object, folder: Path) -> None:
        self.classifier.bias.data[0] += 0.01  # type: ignore[attr-defined]
        original(self, folder)
        self.classifier.bias.data[0] -= 0.01  # type: ignore[attr-defined]

    monkeypatch.setattr(type(model), "save_pretrained", flip_a_weight)
    with pytest.raises(ModelError, match="answers that differ by"):
        fitting.save(model, start, tmp_path / "bad", texts)


@pytest.mark.e2e
def test_what_training_leaves(built: Project) -> None:
    folder = built.folder / "models/train"
    artifacts.verify_manifest(folder)
    report = json.loads((folder / "report.json").read_text())
    assert report["steps"] == 4 * math.ceil(report["records"] / 16)
    assert report["resumed_from_step"] is None
    epochs = (folder / "epochs.csv").read_text().splitlines()
    assert epochs[0] == "epoch,loss,accuracy,macro_f1"
    best = max(float(line.split(",")[3]) for line in epochs[1:])
    assert best == pytest.approx(report["best_macro_f1"])
    lines = [json.loads(line) for line in built.progress.read_text().splitlines()]
    train = [line for line in lines if line["stage"] == "train"]
    assert [line["step"] for line in train] == list(range(1, report["steps"] + 1))
    assert {"loss", "learning_rate", "seconds_left"} <= set(train[-1])


@pytest.mark.e2e
def test_plain_transformers_loads_the_model(built: Project) -> None:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(built.folder / "models/train/model"))
    assert classify("where is my parcel")[0]["label"] in {"account", "delivery", "refund"}
