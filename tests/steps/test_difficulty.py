"""Difficulty: three bands by thirds of what the training part loses."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps.difficulty import Bounds, band, loss, terciles


def test_loss_is_the_negative_logarithm() -> None:
    assert loss(0.5) == pytest.approx(math.log(2))
    assert str(loss(1.0)) == "0.0"
    assert loss(0.0) == pytest.approx(27.63, abs=0.01)
    assert [loss(one) for one in (None, math.nan, -0.1, 1.5)] == [None] * 4


@given(st.lists(st.floats(0, 30), min_size=3, max_size=90, unique=True))
def test_bands_are_thirds_of_the_training_part(losses: list[float]) -> None:
    bounds = terciles([*losses, None])
    found = Counter(band(one, bounds) for one in losses)
    assert max(found.values()) - min(found[name] for name in ("easy", "medium", "hard")) <= 1


def test_bands_rise_with_the_loss() -> None:
    bounds = Bounds(1.0, 2.0)
    assert [band(one, bounds) for one in (0.5, 1.0, 1.5, 2.0, 2.5)] == [
        "easy", "easy", "medium", "medium", "hard",
    ]  # fmt: skip


def test_nothing_known_has_no_band() -> None:
    assert terciles([None, None]) is None
    assert band(0.5, None) is None
    assert band(None, Bounds(1.0, 2.0)) is None
