"""Gates: at the bound, below it, without a figure; the stage itself on each task."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.errors import GateError
from pipeline.evaluation import gates
from pipeline.modeling.baselines import Baselines
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from pipeline.validate import validate
from tests.helpers import report
from tests.pipeline import made_models

FIGURES = {"accuracy": 0.9, "macro_f1": 0.8, "baseline_macro_f1": 0.8, "loss": math.nan}


def passed(gate: str) -> bool:
    return gates.judge([gate], FIGURES, beat=None)[0].passed


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
    gates.refuse_failed(gates.judge(["accuracy >= 0.5"], FIGURES, beat=None), FIGURES)


def test_less_is_better_where_it_is() -> None:
    errors = {"mae": 0.9, "baseline_mae": 1.0}
    assert gates.judge(["mae <= 0.9"], errors, beat="mae", greater=False)[0].passed
    assert gates.judge([], errors, beat="mae", greater=False)[0].passed
    equal = gates.judge([], errors | {"baseline_mae": 0.9}, beat="mae", greater=False)[0]
    assert (equal.sign, equal.passed) == ("<", False)


def test_what_is_no_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="not a gate"):
        gates.split("accuracy is good")


# --- the stage


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifacts.VALIDATE / artifacts.METRICS).read_text())
    return found


@pytest.mark.parametrize(
    ("task", "gate", "wrong"),
    [
        (SINGLE, "macro_f1 >= 0.9", "mae <= 1"),
        (MULTI, "hamming_loss <= 0.2", "accuracy >= 0.1"),
        (REGRESSION, "mae <= 2", "macro_f1 >= 0.1"),
    ],
)
def test_a_model_of_each_task_is_judged_by_its_own_figures(
    project: Path, task: str, gate: str, wrong: str
) -> None:
    made_models.lay_out(task)
    validate(made_models.params_of(task, validate__gates=[gate]))
    figures, known = measured(), tasks.of(task, made_models.labels_of(task))
    kinds = Baselines.load(artifacts.TRAIN / "baselines").figures
    assert figures["baselines"] == {kind: pytest.approx(found) for kind, found in kinds.items()}
    own = {name for name in figures if not name.startswith("baseline")}
    assert own == set(known.figures_named)
    best = max(kinds, key=lambda kind: kinds[kind][known.main])
    assert report(artifacts.VALIDATE)["strongest"] == best
    assert figures[f"baseline_{known.main}"] == pytest.approx(kinds[best][known.main])
    assert report(artifacts.VALIDATE)["gates"][0]["passed"]

    with pytest.raises(GateError, match="no such figure") as caught:
        validate(made_models.params_of(task, validate__gates=[wrong]))
    assert known.main in str(caught.value), "it says which figures there are"


def test_a_model_that_learnt_nothing_does_not_beat_the_baseline(project: Path) -> None:
    made_models.lay_out(REGRESSION, steps=0)
    with pytest.raises(GateError, match=r"validate, r2: found .*, allowed > \d"):
        validate(made_models.params_of(REGRESSION, validate__better_than_baseline=True))
    assert measured()["r2"] < measured()["baseline_r2"], "figures are written all the same"
