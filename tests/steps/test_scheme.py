"""Schemes: what a cell of a source says, for each task."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps import targets
from pipeline.steps.scheme import Cells
from tests.steps.schemes import numbers, several, single

ABC = ["b", "a", "c"]  # the task's order is not the alphabet's
CODES = {"HUM": "human", "ind": "person", "desc": "description", "DESC": "description", "X*": "odd"}
TOPICS = several(["description", "human", "person", "odd"], ":", CODES)


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (None, None),
        ("a", "a"),
        ("a|b", "b|a"),
        (" b | a |", "b|a"),
        ("a|a", "a"),
        ("|", ""),
        ("[]", ""),
        ('["a", "b"]', "b|a"),
        ("", ""),
    ],
)
def test_a_cell_of_several_is_written_in_the_order_of_the_task(
    cell: str | None, label: str | None
) -> None:
    assert several(ABC).sourced(cell) == label


def test_each_part_of_a_cell_is_mapped_by_itself() -> None:
    assert TOPICS.sourced("HUM:ind") == "human|person"
    assert TOPICS.sourced("HUM:desc") == "description|human"
    assert TOPICS.sourced("DESC:desc") == "description", "two parts with one label"
    assert TOPICS.sourced("X7:HUM") == "human|odd"


def test_what_is_no_label_is_named_part_by_part() -> None:
    assert TOPICS.strange("HUM:gr:loc") == ["gr", "loc"]
    assert TOPICS.strange("HUM") == []
    assert single("ab").strange("a|b") == ["a|b"]
    assert several("ab", ",").strange("a|b,a") == ["a|b"], "another separator is part of a name"
    assert several(["a|b"], ",").strange("a|b") == []


@given(st.lists(st.sampled_from(ABC), unique=True))
def test_the_text_of_labels_comes_back(names: list[str]) -> None:
    text = several(ABC).text(names)
    assert set(several(ABC).parts(text)) == set(names)
    assert several(ABC).sourced(json.dumps(names)) == text


@pytest.mark.parametrize(
    ("cell", "label"), [("3.50", "3.5"), (" 4 ", "4.0"), ("-0", "0.0"), ("1e2", "100.0")]
)
def test_numbers_are_written_as_short_as_can_be(cell: str, label: str) -> None:
    assert numbers().sourced(cell) == label


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-inf", "1e400", "3,5", "1_000", "three", "", "4 5"]
)
def test_what_is_no_finite_number_is_strange(cell: str) -> None:
    assert numbers().strange(cell) == [cell]
    assert numbers().sourced(cell) == cell, "it stays, to be named"


def test_numbers_have_bounds_that_belong_to_them() -> None:
    stars = numbers(1, 5)
    assert [stars.is_number(one) for one in ("1", "5.0", "0.99", "5.01")] == [
        True,
        True,
        False,
        False,
    ]
    assert numbers(low=0).is_number("1e300")
    assert not numbers(low=0).is_number("-1e-9")
    assert "1" in str(stars.allowed())
    assert "5" in str(stars.allowed())


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_comes_back_to_the_bit(value: float) -> None:
    assert targets.number(targets.number_text(value)) == value


def cells(task: str, **mapping: str) -> Cells:
    return Cells(task, "|", mapping)


def test_cells_that_say_the_same_share_a_key() -> None:
    numeric, names, one = cells("regression"), cells("multi_label", x="a"), cells("single_label")
    assert numeric.key("3.5") == numeric.key("3.50") == numeric.key(" 3.5")
    assert numeric.key("3.5") != numeric.key("3.6")
    assert numeric.key("many") == "many", "label refuses it; clean only compares"
    assert names.key("a|b") == names.key("b | x")
    assert names.key("a|b") != names.key("a")
    assert names.key("|") is not None, "none of the labels is an answer"
    assert one.key("a|b") != one.key("b|a")
    assert [each.key(None) for each in (numeric, names, one)] == [None] * 3
