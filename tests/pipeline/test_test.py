"""Figures against hand-worked cases, intervals against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evaluation import intervals, metrics

# Worked by hand: cat 2 of 3 found and 2 of 2 right, dog 1 of 2 found and 1 of 3 right, bird 1 of 1.
TRUTH = ["cat", "cat", "cat", "dog", "dog", "bird"]
FOUND = ["cat", "cat", "dog", "dog", "bird", "bird"]
LABELS = ["bird", "cat", "dog"]


def test_figures_by_hand() -> None:
    found = metrics.figures(TRUTH, FOUND, LABELS)
    f1 = {"cat": 0.8, "dog": 0.5, "bird": 2 / 3}
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_precision"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert found["macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found["macro_f1"] == pytest.approx(sum(f1.values()) / 3)
    assert found["weighted_f1"] == pytest.approx((3 * f1["cat"] + 2 * f1["dog"] + f1["bird"]) / 6)


def test_a_label_that_is_never_predicted_counts_as_zero() -> None:
    found = metrics.figures(["a", "b"], ["a", "a"], ["a", "b"])
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_per_label_and_confusion() -> None:
    table = metrics.per_label(TRUTH, FOUND, LABELS)
    assert table["cat"] == {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "records": 3.0}
    assert metrics.confusion(TRUTH, FOUND, LABELS) == [[1, 0, 0], [0, 2, 1], [1, 0, 1]]


def test_log_loss_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.2, 0.8]])
    expected = -(math.log(0.5) + math.log(0.8)) / 2
    assert metrics.log_loss(["a", "b"], probabilities, ["a", "b"]) == pytest.approx(expected)


def test_worst_errors_are_the_surest_wrong_answers() -> None:
    records = [{"id": str(at), "text": "t", "label": "a"} for at in range(4)]
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    found = metrics.worst_errors(records, probabilities, ["a", "b"], count=2)
    assert [(one["id"], one["predicted"], one["confidence"]) for one in found] == [
        ("2", "b", 0.9),
        ("3", "b", 0.8),
    ]


def test_fast_figures_equal_scikit_learn() -> None:
    random = np.random.default_rng(5)
    names = [f"label{at}" for at in range(6)]
    for _ in range(50):
        truth = [names[at] for at in random.integers(0, 5, 40)]
        found = [names[at] for at in random.integers(0, 6, 40)]
        true, guess = intervals.codes(truth, names), intervals.codes(found, names)
        slow = metrics.figures(truth, found, names)
        assert intervals.macro_f1(true, guess, 6) == pytest.approx(slow["macro_f1"])
        assert intervals.accuracy(true, guess, 6) == pytest.approx(slow["accuracy"])


def bounds(
    seed: int, truth: list[str], **answers: list[str]
) -> dict[str, dict[str, tuple[float, float]]]:
    return intervals.bootstrap(truth, answers, ["a", "b"], samples=400, confidence=0.95, seed=seed)


def test_intervals_are_repeatable_and_paired() -> None:
    random = np.random.default_rng(1)
    truth = [str(one) for one in random.choice(["a", "b"], 200)]
    good = [one if random.random() < 0.9 else "a" for one in truth]
    first = bounds(7, truth, model=good, baseline=list(good))
    assert first == bounds(7, truth, model=good, baseline=list(good))
    assert first["model - baseline"]["accuracy"] == (0.0, 0.0), "equal models never differ"


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Accuracy 0.8 on 200 records, 400 draws: 95 % ± 3 of the intervals hold it."""
    random = np.random.default_rng(11)
    truth, hits, draws = ["a"] * 200, 0, 400
    for draw in range(draws):
        answers = ["a" if right else "b" for right in random.random(200) < 0.8]
        low, high = intervals.bootstrap(
            truth, {"m": answers}, ["a", "b"], samples=200, confidence=0.95, seed=draw
        )["m"]["accuracy"]
        hits += low <= 0.8 <= high
    assert 0.92 <= hits / draws <= 0.98
