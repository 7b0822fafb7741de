"""Figures about probabilities: by hand, as scikit-learn documents them, and against it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.tasks import probabilities
from pipeline.tasks import task as tasks

ANIMALS = ["bird", "cat", "dog"]
SINGLE = tasks.of("single_label", ANIMALS)
MULTI = tasks.of("multi_label", ANIMALS)
NUMBER = tasks.of("regression", [])


def test_scores_of_one_label_by_hand() -> None:
    two = tasks.of("single_label", ["a", "b"])
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    figures = two.score_figures(["a", "a", "b"], scores)
    # b's probabilities: 0.6 with it, 0.1 and 0.9 without: it is above one of two.
    assert figures["roc_auc"] == pytest.approx(1 / 2)
    # a: precision 1 at the first hit, 2/3 at the second. b: 1/2 at its only hit.
    assert figures["pr_auc"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert figures["loss"] == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6)) / 3)
    assert figures["brier"] == pytest.approx(2 * (0.01 + 0.81 + 0.16) / 3)
    # Promised 0.9 twice and right once, promised 0.6 and right.
    assert figures["ece"] == pytest.approx((2 * 0.4 + 1 * 0.4) / 3)


def test_scores_of_several_labels_by_hand() -> None:
    """Every one of six entries counts the same in loss, Brier score and calibration error."""
    scores = np.array([[0.9, 0.3, 0.1], [0.3, 0.3, 0.9]])
    figures = MULTI.score_figures(["bird", "cat|dog"], scores)
    chosen = (0.9, 0.7, 0.9, 0.7, 0.3, 0.9)
    assert figures["loss"] == pytest.approx(-sum(math.log(one) for one in chosen) / 6)
    assert figures["brier"] == pytest.approx(sum((1 - one) ** 2 for one in chosen) / 6)
    # 0.9 came true twice of twice, 0.3 once of three times, 0.1 never.
    expected = (2 * 0.1 + 3 * (1 / 3 - 0.3) + 1 * 0.1) / 6
    assert figures["ece"] == pytest.approx(expected)
    assert figures["roc_auc"] == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_scores_as_scikit_learn_documents_them() -> None:
    """Its examples of areas (roc_auc_score's guide, average_precision_score) and of Brier."""
    two = tasks.of("multi_label", ["a", "b"])
    scores = np.array([[0.1, 0.5], [0.4, 0.5], [0.35, 0.5], [0.8, 0.5]])
    figures = two.score_figures(["b", "b", "a|b", "a|b"], scores)  # all have b: it has no curve
    assert figures["roc_auc"] == pytest.approx(0.75)
    assert figures["pr_auc"] == pytest.approx(0.83, abs=5e-3)
    eggs = tasks.of("single_label", ["eggs", "ham", "spam"])
    shares = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])
    brier = eggs.score_figures(["eggs", "ham", "spam"], shares)["brier"]
    assert brier == pytest.approx(0.146, abs=1e-3)


def test_areas_and_distances_equal_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    random = np.random.default_rng(8)
    for _ in range(10):
        places = np.concatenate([[0, 1, 2], random.integers(0, 3, 30)])
        scores = SINGLE.activate(random.normal(size=(33, 3)))
        found = SINGLE.score_figures([ANIMALS[at] for at in places], scores)
        ovr = roc_auc_score(places, scores, multi_class="ovr", average="macro")
        assert found["roc_auc"] == pytest.approx(ovr)
        has = np.eye(3)[places]
        assert found["pr_auc"] == pytest.approx(average_precision_score(has, scores))
        assert found["loss"] == pytest.approx(log_loss(places, scores, labels=[0, 1, 2]))
        brier = brier_score_loss(places, scores, labels=[0, 1, 2])
        assert found["brier"] == pytest.approx(brier)
        chances = random.random((33, 3))
        several = MULTI.score_figures(MULTI.decide(has), chances)
        assert several["roc_auc"] == pytest.approx(roc_auc_score(has, chances))
        assert several["brier"] == pytest.approx(brier_score_loss(has.ravel(), chances.ravel()))


def test_a_curve_that_no_label_has_is_left_out() -> None:
    """All records are cats: nothing can be ranked above anything else."""
    found = SINGLE.score_figures(["cat", "cat"], np.full((2, 3), 1 / 3))
    assert set(found) == {"loss", "brier", "ece"}
    assert all(math.isfinite(value) for value in found.values())


def test_a_number_promises_nothing() -> None:
    scores = np.array([[2.0], [5.0]])
    assert NUMBER.score_figures(["1", "2"], scores) == {"loss": pytest.approx((1 + 9) / 2)}
    sure, right = NUMBER.confidences(["1", "2"], scores)
    assert len(sure) == len(right) == 0


def test_bins_take_their_upper_edge_in() -> None:
    """Of four bins (0, 1/4], (1/4, 1/2], … 0 belongs to the first (Guo et al. 2017, section 2)."""
    sure = np.array([0.0, 0.25, 0.26, 0.5, 1.0])
    rows = probabilities.curve(sure, np.array([False, True, True, False, True]), bins=4)
    assert [row["records"] for row in rows] == [2, 2, 1]
    assert [row["accuracy"] for row in rows] == [0.5, 0.5, 1.0]
    assert [row["confidence"] for row in rows] == pytest.approx([0.125, 0.38, 1.0])
    assert probabilities.curve(np.zeros(0), np.zeros(0, dtype=bool)) == []
    assert probabilities.calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) == 0.0


def test_log_losses_by_hand() -> None:
    two = tasks.of("single_label", ["a", "b"])
    scores = np.array([[0.5, 0.5], [0.2, 0.8]])
    expected = -(math.log(0.5) + math.log(0.8)) / 2
    assert two.log_loss(["a", "b"], scores) == pytest.approx(expected)
    several = tasks.of("multi_label", ["a", "b"])
    expected = -(math.log(0.5) + math.log(0.5) + math.log(0.8) + math.log(0.8)) / 4
    assert several.log_loss(["a", "b"], scores) == pytest.approx(expected)
    assert NUMBER.log_loss(["1", "2"], np.array([[2.0], [5.0]])) == pytest.approx((1 + 9) / 2)
