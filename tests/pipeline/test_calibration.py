"""Temperature and thresholds: against values worked by hand, and against every other choice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.evaluation import calibration
from pipeline.predictor import Card
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from pipeline.tasks.base import Task

TWO = tasks.of(SINGLE, ["no", "yes"])
THREE = tasks.of(SINGLE, ["a", "b", "c"])
SEVERAL = tasks.of(MULTI, ["a", "b"])
NUMBER = tasks.of(REGRESSION, [])


def knobs(temperature: bool = True, thresholds: str = "fixed") -> SimpleNamespace:
    return SimpleNamespace(temperature=temperature, thresholds=thresholds)


# --- temperature


def sure(margin: float, right: int, wrong: int) -> tuple[Any, list[str]]:
    """Return logits that always prefer yes by ``margin``, and how often that is so."""
    logits = np.tile(np.array([[0.0, margin]], dtype=np.float32), (right + wrong, 1))
    return logits, ["yes"] * right + ["no"] * wrong


def test_a_temperature_by_hand() -> None:
    """Always 4 apart and right in 3 of 4: sigmoid(4 / T) = 3/4, so T = 4 / ln 3."""
    fitted = calibration.fit(TWO, *sure(4.0, 75, 25), knobs())
    assert fitted.temperature == pytest.approx(4 / math.log(3), rel=1e-4)
    told = fitted.report
    assert told["ece"]["before"] == pytest.approx(1 / (1 + math.exp(-4)) - 0.75)
    assert told["ece"]["after"] == pytest.approx(0.0, abs=1e-5)
    assert told["loss"]["after"] == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-6
    )
    assert told["loss"]["before"] > told["loss"]["after"]
    assert (told["records"], told["fitted_on"]) == (100, "validation")


def test_one_that_is_not_sure_enough_is_made_surer() -> None:
    """Always 1 apart and right in 9 of 10: T = 1 / ln 9, which is below 1."""
    fitted = calibration.fit(TWO, *sure(1.0, 90, 10), knobs())
    assert fitted.temperature == pytest.approx(1 / math.log(9), rel=1e-4)


def test_a_temperature_of_several_labels_by_hand() -> None:
    """Each entry is promised with logit 2 and there in 6 of 10: sigmoid(2 / T) = 0.6."""
    logits = np.full((10, 2), 2.0, dtype=np.float32)
    truth = ["a|b"] * 4 + ["a"] * 2 + ["b"] * 2 + [""] * 2
    fitted = calibration.fit(SEVERAL, logits, truth, knobs())
    assert fitted.temperature == pytest.approx(2 / math.log(1.5), rel=1e-4)


def test_the_temperature_that_made_the_labels_is_found() -> None:
    random = np.random.default_rng(6)
    logits = random.normal(0, 3, (4_000, 3)).astype(np.float32)
    chances = THREE.activate(logits / 2.5)
    truth = [str(random.choice(THREE.labels, p=row)) for row in chances]
    fitted = calibration.fit(THREE, logits, truth, knobs())
    assert fitted.temperature == pytest.approx(2.5, rel=0.06)
    assert fitted.report["ece"]["after"] < 0.03 < fitted.report["ece"]["before"]
    scores = THREE.activate(logits / fitted.temperature)
    assert THREE.decide(scores) == THREE.decide(THREE.activate(logits)), "no answer is changed"


@pytest.mark.parametrize("truth", ["yes", "no"])
def test_records_that_do_not_say_how_sure_to_be_change_nothing(truth: str) -> None:
    """All right: the surer the better. All wrong: the vaguer the better."""
    logits, _labels = sure(3.0, 20, 0)
    fitted = calibration.fit(TWO, logits, [truth] * 20, knobs())
    assert fitted.temperature == 1.0
    assert fitted.report["undetermined"]
    assert fitted.report["loss"]["before"] == fitted.report["loss"]["after"]


def test_what_is_calibrated_stays_so() -> None:
    fitted = calibration.fit(TWO, *sure(math.log(3), 75, 25), knobs())
    assert fitted.temperature == pytest.approx(1.0, rel=1e-3)
    assert not fitted.report["undetermined"]


@pytest.mark.parametrize(
    ("task", "wanted"), [(TWO, knobs(temperature=False)), (NUMBER, knobs(thresholds="fitted"))]
)
def test_nothing_is_fitted_that_is_not_asked_for(task: Task, wanted: Any) -> None:
    logits = np.full((4, len(task.outputs)), 3.0, dtype=np.float32)
    truth = ["1", "2", "3", "4"] if task is NUMBER else ["yes", "no", "no", "no"]
    fitted = calibration.fit(task, logits, truth, wanted)
    assert (fitted.temperature, fitted.thresholds) == (1.0, {})
    json.dumps(fitted.report, allow_nan=False)


# --- thresholds


def f1(has: Any, given: Any) -> float:
    return 2 * float((has & given).sum()) / max(1, int(has.sum() + given.sum()))


@pytest.mark.parametrize("both", [False, True])
def test_no_other_threshold_is_better(both: bool) -> None:
    random = np.random.default_rng(12)
    for _ in range(40):
        scores = random.random(25).round(1)  # many are equal
        has = random.random(25) < scores * 0.7
        if not has.any() or has.all():
            continue

        def worth(bound: float, scores: Any = scores, has: Any = has) -> float:
            other = f1(~has, scores < bound)
            return (f1(has, scores >= bound) + other) / 2 if both else f1(has, scores >= bound)

        found = calibration.best_threshold(has, scores, both=both)
        assert worth(found) == pytest.approx(max(worth(at) for at in np.arange(0.0, 1.1, 0.05)))


def test_thresholds_by_hand() -> None:
    """F1 of a: from 0.3 on 3 hits and 1 false alarm, 6/7; from 0.6 on 2 hits, 4/5."""
    chances = np.array([[0.9, 0.5], [0.6, 0.5], [0.4, 0.5], [0.3, 0.5], [0.1, 0.5]])
    logits = np.log(chances / (1 - chances)).astype(np.float32)
    truth = ["a", "a", "", "a", ""]
    fitted = calibration.fit(SEVERAL, logits, truth, knobs(False, "fitted"))
    assert fitted.thresholds == {"a": pytest.approx(0.2), "b": 0.5}, "nothing has b"
    assert fitted.report["macro_f1"] == {
        "before": pytest.approx(0.8 / 2), "after": pytest.approx(6 / 7 / 2)
    }  # fmt: skip


def test_of_two_labels_the_second_has_a_threshold() -> None:
    """Yes is rare and its probabilities are low: from 0.3 on all answers are right."""
    chances = np.array([0.05, 0.1, 0.1, 0.2, 0.4, 0.45])
    logits = np.stack([np.log(1 - chances), np.log(chances)], axis=1).astype(np.float32)
    truth = ["no"] * 4 + ["yes"] * 2
    fitted = calibration.fit(TWO, logits, truth, knobs(False, "fitted"))
    assert fitted.thresholds == {"yes": pytest.approx(0.3)}
    assert fitted.report["macro_f1"]["after"] == 1.0
    assert calibration.fit(TWO, logits, truth, knobs(False, "fixed")).thresholds == {}
    three = np.concatenate([logits, logits[:, :1] - 9], axis=1)
    some = calibration.fit(THREE, three, list("aaaabb"), knobs(False, "fitted"))
    assert some.thresholds == {}, "of three labels the most probable one is the answer"


# --- what travels


CARD = Card("multi_label", ["a", "b"], 16, {}, {"kinds": []})


def test_what_was_fitted_is_written_and_read(tmp_path: Path) -> None:
    fitted = calibration.Fitted(1.7, {"a": 0.3}, {"records": 9})
    path = tmp_path / calibration.FILE
    fitted.write(path)
    assert calibration.Fitted.read(path) == fitted
    card = fitted.on(CARD)
    assert card == replace(CARD, temperature=1.7, thresholds={"a": 0.3})
    assert CARD.temperature == 1.0, "the card that was there stays as it was"


@pytest.mark.parametrize("content", ["{", '{"heat": 2}', "[1]", "3"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / calibration.FILE
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=calibration.FILE):
        calibration.Fitted.read(path)


def test_the_curve_is_the_one_of_the_calibration_error() -> None:
    scores = np.array([[0.1, 0.9], [0.1, 0.9], [0.4, 0.6]])
    truth = ["yes", "no", "yes"]
    rows = calibration.curve(TWO, truth, scores)
    assert [(row["accuracy"], row["records"]) for row in rows] == [(1.0, 1), (0.5, 2)]
    apart = sum(row["records"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / 3
    assert TWO.score_figures(truth, scores)["ece"] == pytest.approx(apart)
    assert calibration.curve(NUMBER, ["1"], np.array([[1.0]])) == []
