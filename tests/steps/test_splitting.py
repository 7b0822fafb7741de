"""Splitting: families stay whole, the order of the records does not matter, shares are met."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps.splitting import families, split

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
RECORDS = st.lists(
    st.tuples(st.integers(0, 30).map(str), st.sampled_from("ab")), min_size=1, max_size=80
)


def parts(records: list[tuple[str, str]], *, stratify: bool = True, seed: int = 1) -> list[str]:
    groups, labels = [one[0] for one in records], [one[1] for one in records]
    return split(groups, labels, shares=SHARES, stratify=stratify, seed=seed)


@given(RECORDS, st.booleans())
def test_every_record_gets_a_part_and_families_stay_whole(
    records: list[tuple[str, str]], stratify: bool
) -> None:
    found = parts(records, stratify=stratify)
    assert set(found) <= set(SHARES)
    where = {(group, part) for (group, _), part in zip(records, found, strict=True)}
    assert len(where) == len({group for group, _ in records})


@given(RECORDS, st.integers(0, 9))
def test_the_order_of_records_does_not_matter(records: list[tuple[str, str]], seed: int) -> None:
    shuffled = list(enumerate(records))
    random.Random(seed).shuffle(shuffled)
    found = parts([one for _, one in shuffled])
    assert [parts(records)[at] for at, _ in shuffled] == found


@given(st.integers(1, 300), st.integers(0, 99))
def test_shares_are_met_as_near_as_single_records_allow(count: int, seed: int) -> None:
    found = parts([(str(number), "a") for number in range(count)], seed=seed)
    for part, share in SHARES.items():
        assert abs(found.count(part) - share * count) <= 1


def test_seeds_differ() -> None:
    records = [(str(number), "a") for number in range(200)]
    assert parts(records, seed=1) == parts(records, seed=1)
    assert parts(records, seed=1) != parts(records, seed=2)


def test_families_join_through_groups_and_texts() -> None:
    found = families(["g1", "g1", "g2", None, "g3"], ["a", "b", "b", "a", "c"])
    assert len({found[0], found[1], found[2], found[3]}) == 1
    assert found[4] != found[0]


def test_a_group_named_like_a_text_is_another_thing() -> None:
    found = families(["b", None], ["a", "b"])
    assert found[0] != found[1]


@given(st.lists(st.tuples(st.none() | st.integers(0, 5).map(str), st.integers(0, 8).map(str))))
def test_whatever_shares_something_is_one_family(rows: list[tuple[str | None, str]]) -> None:
    found = families([one[0] for one in rows], [one[1] for one in rows])
    for (group, text), name in zip(rows, found, strict=True):
        for (other_group, other_text), other in zip(rows, found, strict=True):
            if text == other_text or (group is not None and group == other_group):
                assert name == other
