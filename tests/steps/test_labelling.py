"""Mapping and deciding: exact names first, people before sources, sources before rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps.annotations import Said, by_record, read
from pipeline.steps.labelling import decide, mapped, outvoted, ruled, settle

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
    assert settle("a", None).origin == "source"


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


def said(*entries: dict[str, Any]) -> Said:
    lines = [json.dumps({"record": "r", "time": "2026-11-01"} | one) for one in entries]
    return by_record(read({"f": lines}, ["a", "b", "c"]))["r"]


ANN, BOB = {"annotator": "ann", "label": "a"}, {"annotator": "bob", "label": "b"}
JUDY = {"annotator": "judy", "label": "c", "role": "adjudicator"}
EVE = {"annotator": "eve", "role": "checker", "verdict": "return"}


def test_an_adjudicator_wins_over_all() -> None:
    decided = settle("b", said(ANN, BOB, JUDY))
    assert (decided.label, decided.origin) == ("c", "adjudication")
    assert decided.annotators == ("ann", "bob", "judy")
    assert decided.agreement == 0
    assert settle("b", said(JUDY)).agreement is None, "nobody voted"


def test_a_checker_gives_no_label() -> None:
    assert settle("b", said(EVE)).origin == "source"
    assert settle(None, said(EVE)).label is None


def test_a_weighed_consensus_replaces_the_majority_only() -> None:
    spoken = said(ANN, BOB)
    decided = outvoted(settle(None, spoken), spoken, "a")
    assert (decided.label, decided.agreement) == ("a", 0.5)
    assert outvoted(settle(None, spoken), spoken, None).label == "b"
    judged = said(ANN, BOB, JUDY)
    assert outvoted(settle(None, judged), judged, "a").label == "c"
    assert outvoted(settle("b", None), None, "a").label == "b"


def test_a_rule_speaks_where_nobody_else_does() -> None:
    assert ruled(settle(None, None), "a").origin == "rule"
    assert ruled(settle("b", None), "a").label == "b"
    assert ruled(settle(None, None), None).origin is None
