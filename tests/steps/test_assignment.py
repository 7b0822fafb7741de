"""Assignment: blind, balanced, the same for each seed, and nobody labels a record twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.steps.assignment import assign, draw

RECORDS = [f"r{number}" for number in range(2_000)]
KNOBS = {"per_record": 2, "overlap": 0.1, "seed": 7}


def test_the_overlap_is_labelled_by_several_and_the_rest_once() -> None:
    given_to = assign(RECORDS, ["ann", "bob", "eve"], **KNOBS, done={})
    times = [sum(one in own for own in map(set, given_to.values())) for one in RECORDS]
    assert set(times) == {1, 2}
    assert 160 < times.count(2) < 240
    sizes = [len(own) for own in given_to.values()]
    assert max(sizes) - min(sizes) <= 1


def test_neither_order_nor_repetition_matters() -> None:
    first = assign(RECORDS, ["ann", "bob"], **KNOBS, done={})
    assert assign(RECORDS[::-1], ["bob", "ann", "bob"], **KNOBS, done={}) == first
    assert assign(RECORDS, ["ann", "bob"], **KNOBS | {"seed": 8}, done={}) != first


def test_the_overlap_stays_when_others_come() -> None:
    def shared(records: list[str]) -> set[str]:
        own = assign(records, ["ann", "bob"], **KNOBS, done={})
        return set(own["ann"]) & set(own["bob"])

    assert shared(RECORDS[:500]) == shared(RECORDS) & set(RECORDS[:500])


@given(
    st.sets(st.sampled_from(RECORDS[:40])),
    st.sets(st.sampled_from("uvwxyz"), min_size=3),
    st.integers(1, 3),
    st.floats(0, 1),
    st.dictionaries(st.sampled_from(RECORDS[:40]), st.frozensets(st.sampled_from("uvwk"))),
)
def test_nobody_labels_a_record_twice_and_no_more_than_needed(
    records: set[str],
    people: set[str],
    per_record: int,
    overlap: float,
    done: dict[str, frozenset[str]],
) -> None:
    found = assign(
        sorted(records), sorted(people), per_record=per_record, overlap=overlap, seed=1, done=done
    )
    assert set(found) == people
    for own in found.values():
        assert len(set(own)) == len(own)
    for record in records:
        takers = {name for name, own in found.items() if record in own}
        before = done.get(record, frozenset())
        needed = per_record if draw(1, "overlap", record) < overlap else 1
        assert not takers & before
        assert len(takers) == min(max(0, needed - len(before)), len(people - before))


def test_too_few_annotators_are_named() -> None:
    with pytest.raises(DataError, match="found 1 annotators, allowed at least 2"):
        assign(RECORDS, ["ann"], **KNOBS, done={})
    with pytest.raises(DataError, match="found 0 annotators, allowed at least 1"):
        assign(RECORDS, [], **KNOBS | {"overlap": 0}, done={})
    assert len(assign(RECORDS, ["ann"], **KNOBS | {"overlap": 0}, done={})["ann"]) == len(RECORDS)


def test_draws_are_even_and_do_not_run_into_each_other() -> None:
    values = [draw(1, "x", one) for one in RECORDS]
    assert all(0 <= one < 1 for one in values)
    assert 0.47 < sum(values) / len(values) < 0.53
    assert draw(1, "a", "bc") != draw(1, "ab", "c")
    assert draw(1, "a") != draw(2, "a")
