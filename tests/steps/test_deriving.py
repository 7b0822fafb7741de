"""Derived columns: counted in texts, read from times, worked out from other columns."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.schema.columns import Derived
from pipeline.steps import deriving


def recipe(formula: str, *of: str, name: str = "new") -> dict[str, Any]:
    return Derived.model_validate({"name": name, "formula": formula, "of": list(of)}).model_dump()


def derive(formula: str, *of: str, **columns: list[object]) -> list[Any]:
    """Return the derived column of records whose texts and times do not matter."""
    count = len(next(iter(columns.values())))
    return deriving.derive([""] * count, [None] * count, columns, [recipe(formula, *of)])["new"]


def test_every_formula_of_the_schema_is_known() -> None:
    known = {*deriving.OF_TEXT, *deriving.OF_TIME, *deriving.OF_COLUMNS}
    assert known == set(get_args(Derived.model_fields["formula"].annotation))


@pytest.mark.parametrize(
    ("text", "characters", "words", "digits", "capitals"),
    [
        ("Hello, World 42!", 16, 3, 2, 2),
        ("我在iPhone 15上写字", 14, 7, 2, 1),  # 我 在 iphone 15 上 写 字
        ("Ünï ١２½", 7, 2, 2, 1),
        ("", 0, 0, 0, 0),
    ],
)
def test_of_the_text(text: str, characters: int, words: int, digits: int, capitals: int) -> None:
    recipes = [recipe(name, name=name) for name in ("characters", "words", "digits", "capitals")]
    assert deriving.derive([text], [None], {}, recipes) == {
        "characters": [characters],
        "words": [words],
        "digits": [digits],
        "capitals": [capitals],
    }


def test_of_the_time() -> None:
    east = timezone(timedelta(hours=8))
    times = [
        datetime(2024, 2, 29, 23, 59, tzinfo=UTC),  # a Thursday
        datetime(2024, 3, 1, 7, 0, tzinfo=east),  # still February in UTC
        datetime(2024, 3, 3, 0, 0),  # a Sunday
        None,
    ]
    recipes = [recipe(name, name=name) for name in ("hour", "weekday", "month")]
    assert deriving.derive([""] * 4, times, {}, recipes) == {
        "hour": [23, 23, 0, None],
        "weekday": [4, 4, 7, None],
        "month": [2, 2, 3, None],
    }


def test_of_columns() -> None:
    columns: dict[str, list[object]] = {"a": [6, "1", 0, None, 5], "b": ["3", 0, 0, 2, ""]}
    assert derive("ratio", "a", "b", **columns) == [2, None, None, None, None]
    assert derive("difference", "a", "b", **columns) == [3, 1, 0, None, None]
    assert derive("product", "b", "a", **columns) == [18, 0, 0, None, None]
    logarithms = derive("logarithm", "a", a=[math.e - 1, 0, -1, -5, None])
    assert logarithms == [pytest.approx(1), 0, None, None, None]
    assert derive("product", "a", "a", a=[1e80]) == [None]  # too large to go on with


def test_a_formula_may_take_an_earlier_one() -> None:
    recipes = [recipe("characters", name="length"), recipe("ratio", "price", "length")]
    made = deriving.derive(["abcd", ""], [None, None], {"price": ["2", "2"]}, recipes)
    assert made == {"length": [4, 0], "new": [0.5, None]}
    with pytest.raises(DataError, match="column length"):
        deriving.derive(["abcd"], [None], {"price": ["2"]}, recipes[::-1])


def test_all_that_is_wrong_is_reported_together() -> None:
    recipes = [recipe("ratio", "a", "gone"), recipe("logarithm", "a", name="other")]
    with pytest.raises(DataError) as caught:
        deriving.derive([""] * 2, [None] * 2, {"a": ["x", "1"]}, recipes)
    assert [problem.where for problem in caught.value.problems] == [
        "clean.derived, new, a",
        "clean.derived, new",
        "clean.derived, other, a",
    ]


VALUES = st.lists(
    st.tuples(st.none() | st.floats(-1e90, 1e90), st.none() | st.floats(-1e90, 1e90)), max_size=20
)


@given(VALUES, st.sampled_from(sorted(deriving.OF_COLUMNS)))
def test_a_result_is_finite_or_none(rows: list[tuple[Any, Any]], formula: str) -> None:
    of = ["a"] if formula == "logarithm" else ["a", "b"]
    columns = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    made = deriving.derive([""] * len(rows), [None] * len(rows), columns, [recipe(formula, *of)])
    assert len(made["new"]) == len(rows)
    assert all(one is None or math.isfinite(one) for one in made["new"])


@given(st.text(st.characters(), max_size=50))
def test_counts_are_never_above_the_length(text: str) -> None:
    recipes = [recipe(name, name=name) for name in deriving.OF_TEXT]
    made = deriving.derive([text], [None], {}, recipes)
    assert all(0 <= one[0] <= len(text) for one in made.values())  # type: ignore[operator]
