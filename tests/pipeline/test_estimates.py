"""Counted costs against hand-worked ones, and a probe that leaves a run as it was."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.modeling import counting, estimates, fitting, machine, material, probing
from pipeline.modeling.counting import Estimate, Rates, Shape, Work
from tests.pipeline import runs

# One layer, width 2: small enough to count by hand.
SMALL = Shape(parameters=110, embeddings=10, layers=1, hidden=2, heads=1)
BERT = Shape(109_482_240, 30_522 * 768, 12, 768, 12)
WORK = Work(lengths=[3, 4], validation=[5], epochs=2, batch_size=2)
RATES = Rates("cpu", 1e9, watts=100.0, co2_kg_per_kwh=0.5, price_per_hour=3.6, currency="EUR")


def test_operations_by_hand() -> None:
    # 2 · 100 weights · 7 tokens + 4 · 1 layer · 2 wide · (9 + 16) pairs.
    assert counting.forward(SMALL, [3, 4]) == 1_400 + 200
    assert counting.training(SMALL, WORK) == 3 * 1_600 * 2
    assert counting.training(SMALL, Work([3, 4], [5], 2, 2, method="lora")) == 2 * 1_600 * 2
    assert counting.training(SMALL, Work([3, 4], [5], 2, 2, method="frozen")) == 1_600
    again = Work([3, 4], [5], 2, 2, gradient_checkpointing=True)
    assert counting.training(SMALL, again) == 4 * 1_600 * 2
    assert counting.evaluation(SMALL, WORK) == 2 * (2 * 100 * 5 + 8 * 25)


def test_a_layer_of_bert_as_published() -> None:
    # Korthikanti et al. 2022, appendix A: 24·B·s·h² + 4·B·s²·h operations a layer, forwards.
    layer = Shape(12 * 768**2, 0, 1, 768, 12)
    assert counting.forward(layer, [512]) == 24 * 512 * 768**2 + 4 * 512**2 * 768


def test_memory_by_hand() -> None:
    # Equation 2 of Korthikanti et al. 2022 in bytes, twice for fp32:
    # 2 · 2 texts · (34 · 5 tokens · 2 wide + 5 · 1 head · 25).
    assert counting.activations(SMALL, WORK) == 4 * (340 + 125)
    # Weights, 4 bytes; gradients of the 100 that change; two moments of each.
    expected = counting.BASE_BYTES["cpu"] + 4 * 110 + 4 * 100 + 8 * 100 + 1_860
    assert counting.memory(SMALL, WORK) == expected


@pytest.mark.parametrize(
    ("optimizer", "momentum", "numbers"),
    [("adamw", 0.9, 2), ("sgd", 0.9, 1), ("sgd", 0.0, 0), ("rmsprop", 0.9, 2),
     ("rmsprop", 0.0, 1)],
)  # fmt: skip
def test_what_optimizers_remember(optimizer: str, momentum: float, numbers: int) -> None:
    work = Work([8], [8], 1, 1, optimizer=optimizer, momentum=momentum, freeze_embeddings=False)
    assert counting.optimizer_bytes(BERT, work) == numbers * 4 * BERT.parameters


def test_methods_take_less_memory_in_their_order() -> None:
    full, lora, frozen = (
        counting.memory(BERT, Work([128] * 32, [128], 1, 32, method=method))
        for method in ("full", "lora", "frozen")
    )
    saving = counting.memory(BERT, Work([128] * 32, [128], 1, 32, gradient_checkpointing=True))
    assert frozen < lora < full
    assert saving < full


def test_time_becomes_energy_co2_and_money() -> None:
    found = counting.priced({"training": 1_800.0}, 7, RATES, steps=3, how="counted")
    assert found.kwh == pytest.approx(0.05)  # half an hour at 100 W
    assert found.co2_kg == pytest.approx(0.025)
    assert found.money == pytest.approx(1.8)
    assert (found.seconds, found.peak_memory_bytes, found.currency) == (1_800.0, 7, "EUR")


def test_without_power_nothing_is_said_about_energy() -> None:
    found = counting.priced({"training": 10.0}, 7, Rates("cpu", 1e9), steps=1, how="counted")
    assert (found.kwh, found.co2_kg, found.money) == (None, None, 0.0)


def test_errors_are_relative_to_what_was() -> None:
    estimate = Estimate(90.0, 100, None, 0.5, 0.0, "EUR", "probe", 1)
    actual = {"seconds": 100.0, "peak_memory_bytes": 80, "kwh": 1.0, "co2_kg": None, "money": 0.0}
    table = counting.compared(estimate, actual)
    assert table["seconds"] == {"estimate": 90.0, "actual": 100.0, "error": pytest.approx(-0.1)}
    assert table["peak_memory_bytes"]["error"] == pytest.approx(0.25)
    assert [table[name]["error"] for name in ("kwh", "co2_kg", "money")] == [None, None, None]


def test_the_fit_finds_what_steps_cost() -> None:
    def cost(texts: int, length: int) -> float:
        return 0.01 + 2e-5 * texts * length + 1e-7 * texts * length**2

    sizes = [(32, length) for length in (4, 8, 12, 20, 40, 80, 160)]
    seconds = probing.fit([probing.Step(*size, cost(*size), 0.0) for size in sizes])
    assert seconds([(16, 100), (32, 30)]) == pytest.approx(cost(16, 100) + cost(32, 30), rel=1e-3)
    assert seconds([]) == 0.0


def test_the_largest_batch_comes_first_then_all_sizes() -> None:
    sizes = [(32, length) for length in range(1, 101)]
    chosen = probing.chosen(sizes)
    assert chosen[0] == 99
    assert len(chosen) == probing.STEPS
    assert min(chosen) < 10
    assert len(set(chosen)) == probing.STEPS


@pytest.fixture
def started(project: Path) -> Any:
    """A folder with records and a tiny model."""
    runs.lay_out()
    return lambda **changes: (runs.START, runs.FILES, runs.knobs_of(**changes))


def foreseen(start: Path, files: Any, knobs: Any) -> tuple[Estimate, material.Material]:
    made = material.gather(start, files, knobs)
    return estimates.foresee(start, files, knobs, made.model, made.parts), made


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_after_a_probe_gives_the_same_bytes(
    started: Any, tmp_path: Path, method: str
) -> None:
    start, files, knobs = started(method=method, epochs=1)
    plain, _outcome = fitting.fit(start, files, knobs, tmp_path / "without")
    expected = runs.fingerprint_of(plain)
    foreseen(start, files, knobs)
    after, _outcome = fitting.fit(start, files, knobs, tmp_path / "with")
    assert runs.fingerprint_of(after) == expected


def test_a_probe_changes_nothing(started: Any) -> None:
    import torch

    start, files, knobs = started()
    made = material.gather(start, files, knobs)
    before = runs.fingerprint_of(made.model)
    drawn, threads = torch.get_rng_state(), torch.get_num_threads()
    random.seed(3)
    np.random.seed(3)
    plain, arrays = random.getstate(), np.random.get_state()
    expected = np.random.random()
    np.random.set_state(arrays)
    estimates.foresee(start, files, knobs, made.model, made.parts)
    assert runs.fingerprint_of(made.model) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert random.getstate() == plain
    assert str(np.random.get_state()) == str(arrays)
    assert np.random.random() == expected
    assert torch.get_num_threads() == threads
    assert all(one.grad is None for one in made.model.parameters())
    assert not list(Path("work").glob("**/*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, {"starting", "training", "evaluation", "checkpoints"}),
        ({"method": "frozen"}, {"starting", "training", "embedding", "checkpoints"}),
        ({"accumulation": 4, "gradient_checkpointing": True}, {"starting", "training", "evaluation",
                                                               "checkpoints"}),
        ({"contrastive__enabled": True, "l2": 1e-3}, {"starting", "training", "evaluation",
                                                      "checkpoints", "contrastive"}),
    ],
)  # fmt: skip
def test_every_way_of_training_is_foreseen(
    started: Any, changes: dict[str, Any], named: set[str]
) -> None:
    found, _made = foreseen(*started(**changes))
    assert found.how == "probe"
    assert set(found.seconds_of) == named
    assert found.seconds == pytest.approx(sum(found.seconds_of.values()))
    assert all(seconds >= 0 for seconds in found.seconds_of.values())
    accumulated = changes.get("accumulation", 1)
    # 240 records in batches of 16, three epochs.
    assert found.steps == -(-15 // accumulated) * 3
    assert 100 * 2**20 < found.peak_memory_bytes < 4 * 2**30


def test_twice_the_epochs_take_twice_the_training(started: Any) -> None:
    def training(epochs: int) -> float:
        start, files, knobs = started(epochs=epochs)
        made = material.gather(start, files, knobs)
        plan = estimates.Plan(made.parts, knobs)
        steps = [probing.Step(16, length, 1e-3 * length, 0.0) for length in (4, 8, 12)]
        tried = probing.Findings(steps, steps, 0.0, 0.0)
        return estimates.training_seconds(tried, plan, made.model, "cpu")["training"]

    assert training(8) == pytest.approx(2 * training(4), rel=0.05)


def test_a_model_that_cannot_fit_is_counted_not_tried(
    started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SimpleNamespace(room_bytes=2**20)
    monkeypatch.setattr(machine, "look", lambda: small)
    found, _made = foreseen(*started())
    assert found.how == "counted"
    assert found.peak_memory_bytes > small.room_bytes


def test_the_estimate_of_memory_is_near(started: Any, tmp_path: Path) -> None:
    from pipeline.modeling import measuring

    start, files, knobs = started(epochs=1)
    estimate, made = foreseen(start, files, knobs)
    del made
    with measuring.Meter(knobs.costs) as meter:
        fitting.fit(start, files, knobs, tmp_path / "run")
    error = estimates.compared(estimate, meter.actual())["peak_memory_bytes"]["error"]
    assert abs(error) < 0.25  # tiny models are nearly all libraries; make bench-estimate is exact
