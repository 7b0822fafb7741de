"""Mapping and deciding: an exact name goes first, people go before sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps.labelling import decide, mapped

MAPPING = {"DESC:*": "description", "DESC:exp": "meaning", "[x]*": "odd", "*": "rest"}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("DESC:manner", "description"),
        ("DESC:exp", "meaning"),
        ("[x]y", "odd"),
        ("x", "rest"),
        (None, None),
    ],
)
def test_mapping(label: str | None, expected: str | None) -> None:
    assert mapped(label, MAPPING) == expected


def test_what_nothing_fits_stays() -> None:
    assert mapped("other", {"DESC:*": "description"}) == "other"
    assert mapped("a?c", {"a?c*": "literal"}) == "literal"
    assert mapped("abc", {"a?c*": "literal"}) == "abc"


def test_no_annotation_leaves_the_source() -> None:
    assert decide("a", []).label == "a"
    assert decide(None, []).origin is None


def test_each_annotator_counts_once_with_the_last_word() -> None:
    decided = decide("a", [("ann", "b"), ("ann", "c"), ("bob", "b"), ("ann", "d")])
    assert decided.label == "d", "of equal votes the latest, and ann spoke last"
    assert decided.agreement == 0.5
    assert decide("a", [("ann", "b"), ("ann", "c")]).label == "c"


def test_of_equal_votes_the_latest_wins() -> None:
    assert decide("a", [("ann", "b"), ("bob", "c")]).label == "c"


@given(st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abc")), min_size=1))
def test_the_winner_has_the_most_votes(said: list[tuple[str, str]]) -> None:
    decided = decide("source", said)
    votes = list(dict(said).values())  # each annotator's last word
    assert votes.count(str(decided.label)) == max(votes.count(one) for one in votes)
    assert decided.agreement == votes.count(str(decided.label)) / len(votes)
    assert list(decided.annotators) == sorted(dict(said))
