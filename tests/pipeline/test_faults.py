"""What training does when memory, disk, numbers or power fail, and that it ends the same."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.errors import ModelError, StorageError
from pipeline.modeling import batching, checkpoints, fitting, training
from pipeline.steps.targets import REGRESSION, SINGLE
from tests.pipeline import runs


class Killed(BaseException):
    """Ends a run as if the process had died: nothing but ``finally`` runs after it."""


@pytest.fixture
def start(project: Path) -> Path:
    """A folder with what training reads."""
    runs.lay_out(SINGLE)
    return project


def learnt(work: str, knobs: Any, watch: Any = None) -> tuple[str, fitting.Outcome]:
    """Return the fingerprint of the weights that a run ends with, and its outcome."""
    model, outcome = fitting.fit(runs.START, runs.FILES, knobs, Path(work), watch)
    return runs.fingerprint_of(model), outcome


def dies_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let training die in the middle of a step."""
    original = training.ResumableTrainer.training_step

    def step_or_die(self: Any, *given: Any, **named: Any) -> Any:
        if self.state.global_step == step:
            raise Killed
        return original(self, *given, **named)

    monkeypatch.setattr(training.ResumableTrainer, "training_step", step_or_die)


VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"method": "lora"},
    "frozen": {"method": "frozen"},
    "accumulation": {"batch_size": 8, "accumulation": 2},
    "shuffled": {"group_by_length": False},
    "plateau": {"schedule__kind": "plateau"},
    "weighted": {"loss__class_weights": "balanced", "l2": 0.01},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_that_died_twice_ends_as_one_that_did_not(
    start: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    knobs = runs.knobs_of(epochs=2, **VARIANTS[name])
    wanted, whole = learnt("work/whole", knobs)
    for moment in (10, 24):
        with monkeypatch.context() as patched:
            dies_at(patched, moment)
            with pytest.raises(Killed):
                learnt("work/died", knobs)
    found, outcome = learnt("work/died", knobs)
    assert found == wanted
    assert outcome.resumed_from == 21
    assert [one["step"] for one in outcome.history] == [one["step"] for one in whole.history]


def test_curves_after_a_resume_tell_each_step_once(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = runs.knobs_of(epochs=2, checkpoint_steps=4)
    with monkeypatch.context() as patched:
        dies_at(patched, 13)  # after step 10 was told, before a checkpoint has it
        with pytest.raises(Killed):
            learnt("work/run", knobs)
    seen: list[list[str]] = []
    table = Path("work/run/live/plots/metrics/train/loss.tsv")

    def look(epoch: float, figures: dict[str, float]) -> None:
        seen.append([line.split("\t")[0] for line in table.read_text().splitlines()])

    learnt("work/run", knobs, look)
    assert seen == [["step", "10"], ["step", "10", "20", "30"]]


def test_watching_tells_each_epoch_and_may_end_the_run(start: Path) -> None:
    class PrunedError(Exception):
        pass

    told: list[tuple[float, float]] = []

    def watch(epoch: float, figures: dict[str, float]) -> None:
        told.append((epoch, figures["macro_f1"]))
        if epoch == 2.0:
            raise PrunedError

    with pytest.raises(PrunedError):
        learnt("work/watched", runs.knobs_of(), watch)
    assert [epoch for epoch, _value in told] == [1.0, 2.0]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(
    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)], ids=["python", "torch"])  # fmt: skip
def test_less_memory_halves_the_batch_and_keeps_the_step(
    start: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    """A model that cannot take more than four texts once ten steps have been taken."""
    original = training.ResumableTrainer.compute_loss
    sizes: list[int] = []

    def too_large(self: Any, model: Any, inputs: dict[str, Any], *given: Any, **named: Any) -> Any:
        if model.training:
            sizes.append(len(inputs["labels"]))
            if self.state.global_step >= 10 and sizes[-1] > 4:
                raise error
        return original(self, model, inputs, *given, **named)

    monkeypatch.setattr(training.ResumableTrainer, "compute_loss", too_large)
    knobs = runs.knobs_of(epochs=2)
    _found, outcome = learnt("work/small", knobs)
    assert outcome.halvings == [
        {"step": 7, "batch_size": 8, "accumulation": 2},
        {"step": 7, "batch_size": 4, "accumulation": 4},
    ]
    assert outcome.steps == 30
    assert set(sizes[-40:]) == {4}
    told = capsys.readouterr().err
    assert "memory ran out; from step 7 on, 4 texts at once and 4 batches a step" in told
    # What was found out outlives the process.
    assert batching.batch(Path("work/small"), knobs) == (4, 4)


def test_a_single_text_that_is_too_much_is_named(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_given: Any, **_named: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(training.ResumableTrainer, "compute_loss", never)
    with pytest.raises(ModelError, match="found too little memory for 1 texts at once"):
        learnt("work/none", runs.knobs_of(batch_size=6))
    halvings = batching.halvings(Path("work/none"))
    assert [one["batch_size"] for one in halvings] == [3, 1]
    assert {one["batch_size"] * one["accumulation"] for one in halvings} == {6}


def test_halves_take_the_same_step_as_the_whole_batch(start: Path) -> None:
    """Without dropout the gradient of a step is the same, whatever it is divided into."""
    import torch

    runs.lay_out(SINGLE, dropout=0.0)
    weighted: dict[str, Any] = {"loss__class_weights": "balanced", "epochs": 1, "head_rate": 1.0}
    model, _outcome = fitting.fit(
        runs.START, runs.FILES, runs.knobs_of(batch_size=16, **weighted), Path("work/one")
    )
    other, _outcome = fitting.fit(
        runs.START, runs.FILES, runs.knobs_of(batch_size=4, accumulation=4, **weighted),
        Path("work/four"),
    )  # fmt: skip
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=2e-3)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = training.ResumableTrainer.compute_loss

    def spoilt(self: Any, model: Any, *given: Any, **named: Any) -> Any:
        loss = original(self, model, *given, **named)
        return loss * math.nan if model.training and self.state.global_step == 17 else loss

    monkeypatch.setattr(training.ResumableTrainer, "compute_loss", spoilt)
    with pytest.raises(ModelError, match="train, step 18: found a loss that is not a number"):
        learnt("work/nan", runs.knobs_of())
    newest = checkpoints.newest_valid(Path("work/nan"))
    assert newest is not None
    assert newest.name == "checkpoint-15"


def test_a_gradient_that_is_no_number_never_reaches_the_weights(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = training.ResumableTrainer.training_step

    def spoilt(self: Any, *given: Any, **named: Any) -> Any:
        loss = original(self, *given, **named)
        if self.state.global_step == 6:
            self.trained[0].grad[0] = math.inf
        return loss

    monkeypatch.setattr(training.ResumableTrainer, "training_step", spoilt)
    with pytest.raises(ModelError, match="train, step 7: found a gradient that is not a number"):
        learnt("work/inf", runs.knobs_of())


def test_weights_that_are_no_numbers_are_never_saved(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    original = training.ResumableTrainer._save_checkpoint

    def spoilt(self: Any, *given: Any) -> Any:
        with torch.no_grad():
            self.trained[-1][0] = math.nan
        return original(self, *given)

    monkeypatch.setattr(training.ResumableTrainer, "_save_checkpoint", spoilt)
    with pytest.raises(ModelError, match="train, step 7: found weights that are not numbers"):
        learnt("work/weights", runs.knobs_of())
    assert not list(Path("work/weights").glob("checkpoint-*"))


def test_a_figure_that_is_no_number_is_never_the_best(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.modeling import material

    turn = iter([0.2, math.nan, 0.1])
    monkeypatch.setattr(material, "judge", lambda *_all: lambda _given: {"macro_f1": next(turn)})
    _found, outcome = learnt("work/figures", runs.knobs_of())
    assert (outcome.best_step, outcome.best_value) == (15, 0.2)
    turn = iter([math.nan] * 3)
    with pytest.raises(ModelError, match="no epoch whose macro_f1 is a number"):
        learnt("work/never", runs.knobs_of())


def test_a_figure_of_another_task_is_named(start: Path) -> None:
    with pytest.raises(ModelError, match=r"train\.metric: found r2, allowed accuracy, "):
        learnt("work/metric", runs.knobs_of(metric="r2"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json",
                                  "manifest.json"])  # fmt: skip
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_power_cut_in_any_file_of_a_checkpoint(
    start: Path, tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    """The reader takes the whole checkpoint before it, and says nothing of the torn one."""
    work = checkpointed(start)
    torn = max(work.glob("checkpoint-*"), key=checkpoints.step_of)
    content = (torn / name).read_bytes()
    (torn / name).write_bytes(content[: int(len(content) * share)])
    found = checkpoints.resumable(work)
    assert found is not None
    assert checkpoints.step_of(found) < checkpoints.step_of(torn)
    assert not torn.exists()


def checkpointed(start: Path) -> Path:
    """Return the work folder of a run that died, with two checkpoints."""
    work = start / "work/two"
    work.mkdir(parents=True)
    for step in (15, 21):
        made = work / f"checkpoint-{step}"
        made.mkdir()
        for name in ("model.safetensors", "optimizer.pt"):
            (made / name).write_bytes(os.urandom(4_096))
        best = str(work / "checkpoint-15")
        (made / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": best}))
        artifacts.write_manifest(made)
    return work


def test_a_torn_checkpoint_changes_nothing_of_the_result(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = runs.knobs_of(epochs=2)
    wanted, _outcome = learnt("work/whole", knobs)
    with monkeypatch.context() as patched:
        dies_at(patched, 24)
        with pytest.raises(Killed):
            learnt("work/torn", knobs)
    newest = max(Path("work/torn").glob("checkpoint-*"), key=checkpoints.step_of)
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    found, outcome = learnt("work/torn", knobs)
    assert found == wanted
    assert outcome.resumed_from is not None
    assert outcome.resumed_from < checkpoints.step_of(newest)


def test_the_manifest_comes_after_everything_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of ``seal``, in order: sync of the files, then the manifest, then the folder."""
    made = tmp_path / "checkpoint-5"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    told: list[str] = []
    sync, write = os.fsync, Path.replace

    def synced(handle: int) -> None:
        told.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        told.append(f"rename {Path(target).name}")
        return write(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    checkpoints.seal(tmp_path, 5, None)
    at = {name: told.index(name) for name in told}
    assert at["sync model.safetensors"] < at["rename manifest.json"]
    assert told[at["rename manifest.json"] - 1].startswith("sync .manifest.json.tmp")
    assert told[-2:] == ["sync checkpoint-5", f"sync {tmp_path.name}"]


class DiskFullError(OSError):
    """What the system says when the disk is full."""

    def __init__(self) -> None:
        super().__init__(28, "No space left on device")


@pytest.mark.parametrize("place", ["weights", "optimizer", "manifest"])
def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    start: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    import torch

    knobs = runs.knobs_of(epochs=2)
    wanted, _outcome = learnt("work/whole", knobs)
    calls = {"count": 0}

    def fails_the_second_time(original: Any, error: Exception) -> Any:
        def wrapped(*given: Any, **named: Any) -> Any:
            calls["count"] += 1
            if calls["count"] == 2:
                raise error
            return original(*given, **named)

        return wrapped

    with monkeypatch.context() as patched:
        if place == "weights":
            kind = training.ResumableTrainer
            patched.setattr(kind, "_save", fails_the_second_time(kind._save, DiskFullError()))
        elif place == "optimizer":
            kind = training.ResumableTrainer
            hidden = RuntimeError(
                "PytorchStreamWriter failed writing file data/3: file write failed"
            )
            name = "_save_optimizer_and_scheduler"
            patched.setattr(kind, name, fails_the_second_time(getattr(kind, name), hidden))
        else:
            writer = fails_the_second_time(artifacts.write_manifest, DiskFullError())
            patched.setattr(checkpoints, "write_manifest", writer)
        with pytest.raises(StorageError, match=r"no space left on the disk, allowed at least 1 MB"):
            learnt("work/full", knobs)
    kept = sorted(path.name for path in Path("work/full").glob("checkpoint-*"))
    assert kept == ["checkpoint-7"], "the one before is kept, the torn one is swept"
    found, outcome = learnt("work/full", knobs)
    assert found == wanted
    assert outcome.resumed_from == 7
    assert torch.is_grad_enabled()


@pytest.fixture
def small_disk(start: Path) -> Iterator[Path]:
    """A work folder on a disk of 1.5 MB."""
    work = start / "work"
    work.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(work)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        yield work
    finally:
        subprocess.run(["umount", "-l", str(work)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """Ballast takes the room after the first checkpoint; once it is gone the run goes on."""
    knobs = runs.knobs_of(epochs=2, checkpoint_steps=5)
    ballast = small_disk / "ballast"

    def fill(epoch: float, figures: dict[str, float]) -> None:
        with ballast.open("wb", buffering=0) as target:
            for _block in range(2**20):
                target.write(b"x" * 4_096)

    with pytest.raises((StorageError, OSError), match=r"[Nn]o space left"):
        learnt("work/run", knobs, fill)
    kept = checkpoints.newest_valid(small_disk / "run")
    assert kept is not None
    ballast.unlink()
    _found, outcome = learnt("work/run", knobs)
    assert outcome.steps == 30
    assert outcome.resumed_from == checkpoints.step_of(kept)


def test_a_finished_run_is_only_read_again(start: Path) -> None:
    knobs = runs.knobs_of(epochs=1)
    wanted, _outcome = learnt("work/ended", knobs)

    def never(epoch: float, figures: dict[str, float]) -> None:
        raise AssertionError

    found, outcome = learnt("work/ended", knobs, never)
    assert found == wanted
    assert outcome.resumed_from == outcome.steps


def test_numbers_are_scaled_back_once_however_often_they_are_read(project: Path) -> None:
    runs.lay_out(REGRESSION)
    knobs = runs.knobs_of(REGRESSION, epochs=2)
    wanted, outcome = learnt("work/numbers", knobs)
    assert outcome.scaling[0] == pytest.approx(20, abs=2)
    again, _outcome = learnt("work/numbers", knobs)
    assert again == wanted
    shutil.rmtree("work/numbers/live")
    assert learnt("work/numbers", knobs)[0] == wanted


def test_deterministic_runs_are_the_same_and_leave_torch_as_it_was(start: Path) -> None:
    import torch

    knobs = runs.knobs_of(epochs=1, deterministic=True)
    try:
        assert learnt("work/a", knobs)[0] == learnt("work/b", knobs)[0]
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("changes", [
    {"dropout": 0.4}, {"gradient_checkpointing": True}, {"precision": "bf16"},
    {"freeze_embeddings": True}, {"loss__focal_gamma": 2.0}, {"max_gradient_norm": 0.0},
    {"patience": 1, "min_improvement": 1.0}, {"metric": "loss"}, {"optimizer__kind": "sgd"},
], ids=str)  # fmt: skip
def test_other_ways_of_training_come_to_an_end(start: Path, changes: dict[str, Any]) -> None:
    _found, outcome = learnt("work/ways", runs.knobs_of(epochs=2, **changes))
    assert outcome.steps == 30
    assert math.isfinite(outcome.best["loss"])
