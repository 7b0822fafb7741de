"""Filters: every record is kept or dropped for a reason with a name, and the reasons add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps import filters

RECORDS = st.lists(
    st.tuples(st.sampled_from(["a", "A ", "bb", "ccc", ""]), st.sampled_from(["x", "y", None]))
)
NAMES = {filters.TOO_SHORT, filters.TOO_LONG, filters.DUPLICATE, filters.CONTRADICTION}


def judged(records: list[tuple[str, str | None]], **switches: bool) -> list[str | None]:
    wanted = {"duplicates": True, "contradictions": True} | switches
    texts, labels = [one[0] for one in records], [one[1] for one in records]
    return filters.judge(texts, labels, lengths=(1, 2), **wanted)  # type: ignore[arg-type]


@given(RECORDS, st.booleans(), st.booleans())
def test_reasons_add_up(records: list[tuple[str, str | None]], first: bool, second: bool) -> None:
    reasons = judged(records, duplicates=first, contradictions=second)
    assert len(reasons) == len(records)
    assert {one for one in reasons if one} <= NAMES
    assert sum(filters.counts(reasons).values()) + reasons.count(None) == len(records)


@given(RECORDS)
def test_what_is_kept_needs_no_second_cleaning(records: list[tuple[str, str | None]]) -> None:
    kept = [one for one, reason in zip(records, judged(records), strict=True) if reason is None]
    assert judged(kept) == [None] * len(kept)


def test_the_first_of_equal_records_stays() -> None:
    assert judged([("a", "x"), ("A ", "x"), ("a", "x")]) == [None, "duplicate", "duplicate"]


def test_contradictions_drop_all_and_no_label_contradicts_nothing() -> None:
    assert judged([("a", "x"), ("a", "y")]) == ["contradiction", "contradiction"]
    assert judged([("a", "x"), ("a", None)]) == [None, None]
    assert judged([("a", "x"), ("a", "y")], contradictions=False) == [None, None]


def test_bounds_belong_to_what_is_allowed() -> None:
    assert judged([("", "x"), ("a", "x"), ("bb", "x"), ("ccc", "x")]) == [
        "too_short", None, None, "too_long",
    ]  # fmt: skip
