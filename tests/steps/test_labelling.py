"""Mapping and deciding: exact names first, people before sources, sources before rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.steps import labelling
from pipeline.steps.annotations import Said, by_record, read
from pipeline.steps.labelling import Labelled, ruled
from pipeline.steps.scheme import Scheme, mapped
from tests.steps.schemes import numbers, several, single

ABC = single("abc")
MAPPING = {"DESC:*": "description", "DESC:exp": "meaning", "[x]*": "odd", "*": "rest"}


def decide(label: str | None, votes: Sequence[tuple[str, str]], scheme: Scheme = ABC) -> Labelled:
    return labelling.decide(label, votes, scheme)


def settle(label: str | None, said: Said | None, scheme: Scheme = ABC) -> Labelled:
    return labelling.settle(label, said, scheme)


def outvoted(one: Labelled, said: Said | None, consensus: str | None) -> Labelled:
    return labelling.outvoted(one, said, consensus, ABC)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("DESC:manner", "description"),
        ("DESC:exp", "meaning"),
        ("[x]y", "odd"),
        ("x", "rest"),
    ],
)
def test_mapping(label: str, expected: str) -> None:
    assert mapped(label, MAPPING) == expected
    assert single("a", MAPPING).names(label) == [expected]


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
    return by_record(read({"f": lines}, ABC))["r"]


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


def test_several_labels_come_by_majority_each() -> None:
    scheme = several("abc")
    decided = decide(None, [("ann", "a|b"), ("bob", "b"), ("cid", "b|c")], scheme)
    assert decided.label == "b"
    # Common over all labels with "b": a|b 1/2, b 1, b|c 1/2.
    assert decided.agreement == pytest.approx(2 / 3)
    assert decide(None, [("ann", "a"), ("bob", ""), ("cid", "")], scheme).label == ""
    assert decide(None, [("ann", ""), ("bob", "")], scheme).agreement == 1


def test_of_a_label_that_half_gave_the_latest_annotator_decides() -> None:
    scheme = several("abc")
    assert decide(None, [("ann", "a|b"), ("bob", "b|c")], scheme).label == "b|c"
    assert decide(None, [("bob", "b|c"), ("ann", "a|b")], scheme).label == "a|b"


def test_the_majority_of_labels_can_be_what_nobody_gave() -> None:
    decided = decide(None, [("u", "a|b"), ("v", "b|c"), ("w", "a|c")], several("abc"))
    assert decided.label == "a|b|c"
    assert decided.agreement == pytest.approx(2 / 3)


def test_of_numbers_the_median_counts() -> None:
    scheme = numbers()
    decided = decide("9.0", [("u", "1.0"), ("v", "2.0"), ("w", "50.0")], scheme)
    assert (decided.label, decided.agreement) == ("2.0", None)
    assert decide(None, [("u", "1.0"), ("v", "2.0")], scheme).label == "1.5"


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9))
def test_the_median_lies_among_the_numbers(said: list[float]) -> None:
    votes = [(f"p{at}", repr(one)) for at, one in enumerate(said)]
    label = decide(None, votes, numbers()).label
    assert min(said) <= float(str(label)) <= max(said)


def test_an_adjudicator_gives_several_labels_or_a_number() -> None:
    line = {"record": "r", "time": "2026-11-01", "annotator": "judy", "role": "adjudicator"}
    for scheme, label, text in (
        (several("abc"), ["c", "a"], "a|c"),
        (several("abc"), [], ""),
        (numbers(), 3, "3.0"),
    ):
        spoken = by_record(read({"f": [json.dumps(line | {"label": label})]}, scheme))["r"]
        assert settle("b", spoken, scheme).label == text


def test_strange_cells_are_refused_where_nobody_said_otherwise() -> None:
    scheme = several("ab", ",")
    cells = ["a,x", "y,x", "b", "x", None]
    decided = [decide(scheme.sourced(one), [], scheme) for one in cells]
    decided[3] = decide("x", [("ann", "a")], scheme)
    metas = [json.dumps({"file": "f.csv", "row": row}) for row in range(5)]
    with pytest.raises(DataError) as caught:
        labelling.refuse_strange(decided, cells, metas, scheme)
    assert [one.where for one in caught.value.problems] == ["f.csv:0, f.csv:1", "f.csv:1"]
    assert "the label 'x' in 2 records" in str(caught.value)


def test_a_strange_number_is_refused_with_the_bounds() -> None:
    scheme = numbers(-4, 4)
    cells = ["3.5", "4.5", "many"]
    decided = [decide(scheme.sourced(one), [], scheme) for one in cells]
    metas = [json.dumps({"file": "f.csv", "row": row}) for row in range(3)]
    with pytest.raises(DataError) as caught:
        labelling.refuse_strange(decided, cells, metas, scheme)
    assert [one.where for one in caught.value.problems] == ["f.csv:1", "f.csv:2"]
    assert "allowed a number from -4 to 4" in caught.value.render("en")
