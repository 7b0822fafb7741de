"""Learning rates at known steps, worked out by hand from the formulas in the module's docstring."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from pipeline.modeling import schedules
from tests.helpers import changed

# 100 steps, of which the first 10 rise; the rate at the start, the end of the warm-up, half of what
# is left, and the end. cosine_restarts falls three times: half of the way is half of the second
# fall, and two thirds of the way its end, which is where it starts again.
AT = (0, 5, 10, 55, 70, 99, 100)
EXPECTED = {
    "constant": (0, 0.5, 1, 1, 1, 1, 1),
    "linear": (0, 0.5, 1, 0.5, 1 / 3, 1 / 90, 0),
    "cosine": (0, 0.5, 1, 0.5, 0.25, math.sin(math.pi / 180) ** 2, 0),
    "cosine_restarts": (0, 0.5, 1, 0.5, 1, math.sin(math.pi / 60) ** 2, 0),
    "inverse_sqrt": (0, 0.5, 1, math.sqrt(2 / 11), math.sqrt(1 / 7), math.sqrt(10 / 99), 0.1**0.5),
}


def scheduled(
    kind: str, *, steps: int = 100, less: bool = False, **others: Any
) -> tuple[Any, LRScheduler]:
    """Return an optimizer of two groups, with rates 0.4 and 2, and its schedule."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _group in range(2)]
    groups = [{"params": [one], "lr": lr} for one, lr in zip(weights, (0.4, 2.0), strict=True)]
    optimizer = torch.optim.SGD(groups)
    values = {"kind": kind, "warmup_share": 0.1, "cycles": 3, "factor": 0.5, "patience": 1}
    knobs = changed({"train.schedule": values | others}).train.schedule
    return optimizer, schedules.build(optimizer, knobs, steps=steps, greater_is_better=not less)


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("kind", EXPECTED)
def test_rates_are_those_worked_out_by_hand(kind: str) -> None:
    optimizer, schedule = scheduled(kind)
    seen = []
    for _step in range(101):
        seen.append(rates(optimizer))
        optimizer.step()
        schedule.step()
    for step, expected in zip(AT, EXPECTED[kind], strict=True):
        assert seen[step] == pytest.approx([0.4 * expected, 2.0 * expected], abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("constant", "constant_with_warmup"),
        ("linear", "linear"),
        ("cosine", "cosine"),
        ("cosine_restarts", "cosine_with_restarts"),
        ("inverse_sqrt", "inverse_sqrt"),
    ],
)
def test_rates_are_those_of_transformers(kind: str, theirs: str) -> None:
    from transformers import get_scheduler

    optimizer, schedule = scheduled(kind, steps=60, warmup_share=0.25)
    other, _ours = scheduled("constant", warmup_share=0.0)
    special = {"num_cycles": 3} if kind == "cosine_restarts" else None
    reference = get_scheduler(
        theirs, other, num_warmup_steps=15, num_training_steps=60, scheduler_specific_kwargs=special
    )
    for _step in range(60):
        assert rates(optimizer) == pytest.approx(rates(other), abs=1e-12)
        for one in (optimizer, schedule, other, reference):
            one.step()


def test_inverse_sqrt_without_a_warmup_halves_its_rate_after_three_tenths_of_the_steps() -> None:
    found = [
        schedules.share("inverse_sqrt", step, steps=100, warmup=0, cycles=1) for step in (0, 30, 90)
    ]
    assert found == pytest.approx([1, 1 / 2, math.sqrt(1 / 10)])


@pytest.mark.parametrize(
    ("share", "steps", "expected"),
    [(0.0, 100, 0), (0.07, 100, 7), (0.1, 11, 2), (0.9, 1, 1), (0.29, 100, 29)],
)
def test_a_started_step_of_warmup_counts(share: float, steps: int, expected: int) -> None:
    assert schedules.warmup_steps(share, steps) == expected


def test_plateau_rises_first_and_falls_after_its_patience() -> None:
    optimizer, schedule = scheduled("plateau", steps=20, warmup_share=0.2)  # 4 steps rise
    seen = []
    for _step in range(6):
        optimizer.step()
        seen.append(rates(optimizer)[0])
    assert seen == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4])
    found = []
    for figure in (0.5, 0.5, 0.4, 0.6, 0.6, 0.6, 0.7):  # one without a better one is borne
        schedule.step(figure)  # type: ignore[arg-type]
        optimizer.step()
        found.append(rates(optimizer))
    halves = (1, 1, 0.5, 0.5, 0.5, 0.25, 0.25)
    assert found == [pytest.approx([0.4 * one, 2.0 * one]) for one in halves]


def test_plateau_does_not_fall_before_it_has_risen() -> None:
    optimizer, schedule = scheduled("plateau", steps=20, warmup_share=0.5, patience=0)
    for figure in (0.5, 0.4, 0.4):
        optimizer.step()
        schedule.step(figure)  # type: ignore[arg-type]
    assert rates(optimizer) == pytest.approx([0.4 * 2 / 10, 2.0 * 2 / 10])
    for _step in range(10):
        optimizer.step()
    schedule.step(0.45)  # type: ignore[arg-type]  # the best so far is 0.5
    assert rates(optimizer) == pytest.approx([0.2, 1.0])


def test_plateau_takes_the_smallest_as_best_where_less_is_better() -> None:
    optimizer, schedule = scheduled("plateau", less=True, warmup_share=0.0, factor=0.1, patience=0)
    optimizer.step()
    for loss in (0.9, 0.8, 0.7):
        schedule.step(loss)  # type: ignore[arg-type]
    assert rates(optimizer) == [0.4, 2.0]
    schedule.step(0.7)  # type: ignore[arg-type]
    assert rates(optimizer) == pytest.approx([0.04, 0.2])


@pytest.mark.parametrize("kind", [*EXPECTED, "plateau"])
@pytest.mark.parametrize("stopped", [3, 12])
def test_a_schedule_goes_on_from_its_state(kind: str, stopped: int, tmp_path: Path) -> None:
    """Saved as Trainer does, in the middle of the warm-up and after it; read without pickle."""

    def walk(optimizer: Any, schedule: Any, first: int, last: int) -> list[list[float]]:
        seen = []
        for step in range(first, last):
            optimizer.step()
            seen.append(rates(optimizer))
            if kind != "plateau":
                schedule.step()
            elif step % 4 == 3:
                schedule.step(1.0 / (1 + step))
        return seen

    whole = walk(*scheduled(kind, steps=40, warmup_share=0.25), 0, 40)
    optimizer, schedule = scheduled(kind, steps=40, warmup_share=0.25)
    walk(optimizer, schedule, 0, stopped)
    torch.save([optimizer.state_dict(), schedule.state_dict()], tmp_path / "state.pt")
    again, its_schedule = scheduled(kind, steps=40, warmup_share=0.25)
    of_optimizer, of_schedule = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load_state_dict(of_optimizer)
    its_schedule.load_state_dict(of_schedule)
    assert walk(again, its_schedule, stopped, 40) == whole[stopped:]
