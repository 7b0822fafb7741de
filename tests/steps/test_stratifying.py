"""Strata: each label and each tenth of the numbers is in every part, families stay whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps import strata, stratifying

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def parts(groups: Sequence[str], labels: Sequence[str], seed: int = 1) -> list[str]:
    return stratifying.split([one.encode() for one in groups], labels, shares=SHARES, seed=seed)


def test_deciles_hold_a_tenth_each_and_equal_numbers_together() -> None:
    assert Counter(strata.deciles([str(one) for one in range(200)])) == {
        str(tenth): 20 for tenth in range(10)
    }
    found = strata.deciles(["5"] * 15 + [str(one) for one in range(6, 11)])
    assert len(set(found[:15])) == 1
    assert strata.deciles([]) == []
    assert strata.deciles(["-10", "9", "-9.5"]) == ["0", "6", "3"], "as numbers, not as texts"


def test_the_rarest_label_of_a_record() -> None:
    assert strata.rarest(["a|b", "a", "a|c", "c", ""]) == ["b", "a", "c", "c", ""]
    assert strata.rarest(["b|a"]) == ["a"], "of equals the first"


def test_quantiles_are_numpys() -> None:
    random_numbers = np.random.default_rng(1).normal(size=37)
    found = strata.quantiles([str(one) for one in random_numbers])
    for share, value in found.items():
        assert value == pytest.approx(np.quantile(random_numbers, float(share)), abs=1e-6)
    assert strata.quantiles(["2"]) == dict.fromkeys(found, 2.0)
    assert strata.quantiles([]) == {}


def made(records: int, seed: int = 0) -> list[str]:
    """Return records of labels that are frequent, less so and rare, alone or together."""
    draw = random.Random(seed)
    chances = {"a": 0.6, "b": 0.3, "c": 0.1, "d": 0.04}
    return ["|".join(n for n, chance in chances.items() if draw.random() < chance)
            for _ in range(records)]  # fmt: skip


def test_every_label_gets_its_share_in_every_part() -> None:
    labels = made(2_000)
    found = parts([f"f{at}" for at in range(2_000)], labels)
    sizes = Counter(found)
    assert abs(sizes["validation"] - 200) < 10
    assert abs(sizes["test"] - 200) < 10
    every = strata.counts(labels, "multi_label")
    for part in ("validation", "test"):
        own = strata.counts(
            [label for label, at in zip(labels, found, strict=True) if at == part], "multi_label"
        )
        for name, count in every.items():
            assert abs(own[name] - count / 10) <= 2, (part, name)


def test_it_spreads_rare_labels_better_than_chance() -> None:
    labels = made(500)
    found = parts([f"f{at}" for at in range(500)], labels)
    total = strata.counts(labels, "multi_label")["d"]
    own = [sum("d" in one.split("|") for one, at in zip(labels, found, strict=True) if at == part)
           for part in ("validation", "test")]  # fmt: skip
    assert all(abs(one - total / 10) < 1 for one in own)


@given(
    st.lists(
        st.tuples(st.sampled_from("uvwxyz"), st.lists(st.sampled_from("abc"), unique=True)),
        min_size=1,
    ),
    st.integers(0, 3),
)
def test_a_family_is_in_one_part_and_the_order_does_not_matter(
    rows: list[tuple[str, list[str]]], seed: int
) -> None:
    groups, labels = [row[0] for row in rows], ["|".join(row[1]) for row in rows]
    found = parts(groups, labels, seed)
    part = dict(zip(groups, found, strict=True))
    assert all(part[name] == one for name, one in zip(groups, found, strict=True))
    assert parts(groups[::-1], labels[::-1], seed) == found[::-1]


def test_records_without_a_label_are_divided_by_the_shares_too() -> None:
    found = parts([f"f{at}" for at in range(100)], [""] * 100)
    assert Counter(found) == {"train": 80, "validation": 10, "test": 10}


def test_the_seed_decides() -> None:
    groups, labels = [f"f{at}" for at in range(100)], made(100)
    assert parts(groups, labels) == parts(groups, labels)
    assert parts(groups, labels, seed=2) != parts(groups, labels)
