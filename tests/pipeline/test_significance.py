"""McNemar against statsmodels and by hand; intervals that hold the truth as often as they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation import intervals, significance
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks

TWO = tasks.of(SINGLE, ["a", "b"])
SEVERAL = tasks.of(MULTI, ["a", "b"])
NUMBER = tasks.of(REGRESSION, [])
ROUNDING = 1e-9  # 0.75 - 0.6 is not 0.15


def answers(both: int, first: int, second: int, none: int) -> tuple[Any, Any]:
    """Return which answers of two models are right, by how often only one of them is."""
    counts = [both, first, second, none]
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


def test_a_large_sample_by_hand() -> None:
    """Wikipedia's example of McNemar's test: 121 and 59; with Edwards' correction 61² / 180."""
    found = significance.mcnemar(*answers(101, 121, 59, 33))
    assert (found["b"], found["c"], found["exact"]) == (121, 59, False)
    assert found["statistic"] == pytest.approx(61**2 / 180)
    assert found["p"] == pytest.approx(math.erfc(math.sqrt(61**2 / 180 / 2)))


def test_a_small_sample_by_hand() -> None:
    """Of 5 differences 1 for the first: twice (1 + 5) / 2⁵."""
    found = significance.mcnemar(*answers(10, 1, 4, 3))
    assert found == {"b": 1, "c": 4, "statistic": 1.0, "p": pytest.approx(0.375), "exact": True}


def test_models_that_never_differ_are_equal() -> None:
    for counts in ((10, 0, 0, 2), (10, 3, 3, 0)):
        assert significance.mcnemar(*answers(*counts))["p"] == 1.0


def test_it_equals_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    random = np.random.default_rng(4)
    for differences in [*random.integers(1, 80, 60), 24, 25]:
        first = int(random.integers(0, differences + 1))
        second = int(differences - first)
        found = significance.mcnemar(*answers(30, first, second, 10))
        assert found["exact"] is bool(differences < 25)
        theirs = mcnemar([[30, first], [second, 10]], exact=found["exact"], correction=True)
        assert found["p"] == pytest.approx(theirs.pvalue, rel=1e-9)
        assert found["statistic"] == pytest.approx(theirs.statistic)


def test_the_order_of_two_models_does_not_matter() -> None:
    for counts in ((5, 9, 2, 1), (50, 40, 12, 9)):
        one, other = answers(*counts)
        there, back = significance.mcnemar(one, other), significance.mcnemar(other, one)
        assert there["p"] == back["p"]
        assert (there["b"], there["c"]) == (back["c"], back["b"])


def test_answers_to_other_records_are_refused() -> None:
    with pytest.raises(ValueError, match="records"):
        significance.mcnemar(np.array([True]), np.array([True, False]))


def test_right_is_wholly_right() -> None:
    one = significance.right(TWO, ["a", "b"], ["a", "a"])
    assert one is not None
    assert one.tolist() == [True, False]
    several = significance.right(SEVERAL, ["a|b", "a", ""], ["a", "a", ""])
    assert several is not None
    assert several.tolist() == [False, True, True]
    assert significance.right(NUMBER, ["1"], ["1"]) is None


# --- intervals


def test_intervals_hold_the_truth_in_95_of_100_cases() -> None:
    """A model right in 0.75 and a baseline right in 0.6 of all cases; 1,000 draws of 200 records.

    Both intervals, of the model and of the difference of the two on the same records, hold the true
    values 0.75 and 0.15 in 95 ± 2 of 100 draws.
    """
    task = tasks.of(SINGLE, ["a", "b"])
    task.quick = {"accuracy": task.quick["accuracy"]}  # spares time
    random = np.random.default_rng(19)
    truth, draws = ["a"] * 200, 1_000
    hits = {"model": 0, "model - baseline": 0}
    known = {"model": 0.75, "model - baseline": 0.15}
    for draw in range(draws):
        right = random.random((2, 200)) < np.array([[0.75], [0.6]])
        model, baseline = (["a" if one else "b" for one in row] for row in right.tolist())
        found = intervals.bootstrap(
            task, truth, {"model": model, "baseline": baseline},
            samples=500, confidence=0.95, seed=draw,
        )  # fmt: skip
        for name, value in known.items():
            low, high = found[name]["accuracy"]
            hits[name] += low - ROUNDING <= value <= high + ROUNDING
    shares = {name: count / draws for name, count in hits.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


def test_intervals_of_errors_hold_the_truth_too() -> None:
    """Errors of a normal distribution: the mean absolute one is √(2 / π)."""
    task = tasks.of(REGRESSION, [])
    task.quick = {"mae": task.quick["mae"]}
    random = np.random.default_rng(23)
    truth, hits, draws = ["0.0"] * 150, 0, 1_000
    for draw in range(draws):
        found = [repr(one) for one in random.normal(size=150).tolist()]
        low, high = intervals.bootstrap(
            task, truth, {"model": found}, samples=500, confidence=0.95, seed=draw
        )["model"]["mae"]
        hits += low <= math.sqrt(2 / math.pi) <= high
    assert 0.93 <= hits / draws <= 0.97
