"""Verdicts of people: a bad model is found, a good one is left alone however often it is asked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

from pipeline.traffic import database
from pipeline.traffic.entries import Feedback
from pipeline.watching import quality
from tests.pipeline.made_traffic import NOON, entry
from tests.pipeline.watched import monitor, write


@pytest.mark.parametrize(("right", "verdicts"), [(0, 1), (3, 10), (8, 10), (40, 60), (59, 60)])
def test_evidence_is_the_mean_likelihood_ratio_over_all_worse_models(
    right: int, verdicts: int
) -> None:
    def ratio(q: float) -> float:
        return (q / 0.8) ** right * ((1 - q) / 0.2) ** (verdicts - right)

    expected = integrate.quad(ratio, 0, 0.8)[0] / 0.8
    assert quality.evidence(right, verdicts, 0.8) == pytest.approx(expected, rel=1e-6)


def test_ends_of_the_scale() -> None:
    assert quality.evidence(0, 0, 0.8) == 1.0
    assert quality.evidence(0, 100, 0.0) == 1.0
    assert quality.evidence(99, 100, 1.0) == math.inf
    assert quality.evidence(100, 100, 1.0) == 1.0
    assert quality.evidence(5_000, 5_000, 0.1) == pytest.approx(0.0, abs=1e-9)
    assert quality.evidence(0, 100_000, 0.9) > 1e100


def ever_alarms(random: np.random.Generator, accuracy: float, verdicts: int) -> bool:
    """Return whether a model is found bad when it is asked after every verdict."""
    right = np.cumsum(random.random(verdicts) < accuracy)
    return any(quality.evidence(int(k), n, 0.8) >= 100 for n, k in enumerate(right, 1) if n >= 30)


def test_a_model_that_is_just_good_enough_is_left_alone_however_often_it_is_asked() -> None:
    random = np.random.default_rng(3)
    alarms = sum(ever_alarms(random, 0.8, 200) for _ in range(200))
    assert alarms <= 200 * 0.01 + 3 * (200 * 0.01) ** 0.5


def test_a_bad_model_is_found_within_two_hundred_verdicts() -> None:
    random = np.random.default_rng(4)
    assert sum(ever_alarms(random, 0.6, 200) for _ in range(50)) >= 49


def test_verdicts_of_a_release_are_judged(project: Path) -> None:
    engine = database.open("", project)
    for number in range(80):
        version = "1.0.0" if number % 2 else "1.1.0"
        answered = entry(number, version=version)
        right = version == "1.1.0" or number % 4 == 1  # 1.0.0: every second one
        said = Feedback(answered.at, answered.id, 0, "anna", "up" if right else "down")
        write(engine, answered, said)
    now = NOON.replace(hour=13)
    bad = quality.judge(engine, "1.0.0", monitor().quality, now)
    good = quality.judge(engine, "1.1.0", monitor().quality, now)
    unknown = quality.judge(engine, "9.9.9", monitor().quality, now)
    assert (bad.verdicts, bad.right, bad.bad) == (40, 20, True)
    assert (good.verdicts, good.right, good.bad) == (40, 40, False)
    assert (unknown.verdicts, unknown.bad) == (0, False)
    assert "20 of 40" in bad.sentence().render("en")
    few = monitor(quality__min_verdicts=41).quality
    assert not quality.judge(engine, "1.0.0", few, now).bad
    engine.dispose()
