"""Gates: at the bound, below it, without a figure."""

from __future__ import annotations

import math

import pytest

from pipeline.errors import GateError
from pipeline.evaluation import gates

FIGURES = {"accuracy": 0.9, "macro_f1": 0.8, "baseline_macro_f1": 0.8, "loss": math.nan}


def passed(gate: str) -> bool:
    return gates.judge([gate], FIGURES, better_than_baseline=False)[0].passed


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
        ("no_such_figure >= 0", False),
    ],
)
def test_gates_at_their_bounds(gate: str, holds: bool) -> None:
    assert passed(gate) is holds


def test_equal_to_the_baseline_is_not_better() -> None:
    verdict = gates.judge([], FIGURES, better_than_baseline=True)[0]
    assert not verdict.passed
    better = gates.judge([], FIGURES | {"macro_f1": 0.81}, better_than_baseline=True)[0]
    assert better.passed


def test_every_failed_gate_is_named_with_found_and_required() -> None:
    wanted = ["accuracy >= 0.95", "macro_f1 >= 0.5", "speed >= 1"]
    verdicts = gates.judge(wanted, FIGURES, better_than_baseline=True)
    with pytest.raises(GateError) as caught:
        gates.refuse_failed(verdicts, FIGURES)
    text = caught.value.render("en")
    assert "validate, accuracy: found 0.9000, allowed >= 0.9500." in text
    assert "validate, macro_f1: found 0.8000, allowed > 0.8000." in text
    assert "validate, speed: found no such figure" in text
    assert len(caught.value.problems) == 3


def test_nothing_is_raised_when_all_hold() -> None:
    gates.refuse_failed(
        gates.judge(["accuracy >= 0.5"], FIGURES, better_than_baseline=False), FIGURES
    )


def test_what_is_no_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="not a gate"):
        gates.split("accuracy is good")
