"""Annotations: read whole, or refused with every bad line; a correction is a further line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError, Problem
from pipeline.steps.annotations import (
    ROLES,
    Annotation,
    by_record,
    guidelines,
    parse,
    read,
    workload,
)
from tests.steps.schemes import numbers, several, single

GOOD = {"record": "r1", "annotator": "ann", "label": "a", "time": "2026-11-01T10:00:00Z"}
CHECK = {"record": "r1", "annotator": "eve", "role": "checker", "time": "2026-11-02T10:00:00Z"}


def lines(*entries: object) -> dict[str, list[str]]:
    return {"one.jsonl": [one if isinstance(one, str) else json.dumps(one) for one in entries]}


def said(*entries: dict[str, Any]) -> Any:
    return by_record(read(lines(*entries), single("abc")))["r1"]


def at(hour: int, **values: object) -> dict[str, Any]:
    return GOOD | {"time": f"2026-11-03T{hour:02}:00:00Z"} | values


def test_empty_lines_and_further_fields_do_no_harm() -> None:
    more = {"seconds": 3, "note": "x\u2028y", "colour": [1], "guideline": "0" * 64}
    found = read(lines(GOOD, "", "  ", GOOD | more), single("a"))
    assert [one.where for one in found] == ["one.jsonl:1", "one.jsonl:4"]
    assert (found[0].seconds, found[0].guideline, found[0].role) == (None, None, "annotator")
    assert (found[1].seconds, found[1].guideline, found[1].note) == (3.0, "0" * 64, "x\u2028y")


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        "3",
        "null",
        "[" * 100_000,
        json.dumps({"record": "r1"}),
        *(
            json.dumps(GOOD | one)
            for one in (
                {"label": "z"},
                {"label": None},
                {"label": 3},
                {"label": []},
                {"label": ["a", "a"]},
                {"label": ["a", "b"]},
                {"label": {"a": 1}},
                {"time": "yesterday"},
                {"time": 3},
                {"record": ""},
                {"annotator": "two\nlines"},
                {"annotator": "x" * 201},
                {"annotator": "\ud800"},
                {"seconds": -1},
                {"seconds": True},
                {"seconds": "3"},
                {"seconds": 10**400},
                {"seconds": float("nan")},
                {"guideline": "abc"},
                {"note": 3},
                {"role": "boss"},
                {"role": ["annotator"]},
                {"role": "checker"},
                {"role": "checker", "verdict": "maybe"},
                {"verdict": "accept"},
                {"role": "adjudicator", "verdict": "accept"},
            )
        ),
    ],
)
def test_bad_lines_are_named(bad: str) -> None:
    with pytest.raises(DataError, match=r"one\.jsonl:2"):
        read(lines(GOOD, bad), single("ab"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from([*GOOD, "seconds", "guideline", "note", "role", "verdict"]),
)
def test_no_value_breaks_the_reader(value: object, name: str) -> None:
    found = parse(json.dumps(GOOD | {name: value}), "here")
    assert isinstance(found, Annotation | Problem)


def test_a_task_with_several_labels_takes_lists() -> None:
    found = read(lines(GOOD, GOOD | {"label": ["a", "b"]}), several("ab"))
    assert [one.labels for one in found] == [("a",), ("a", "b")]
    with pytest.raises(DataError, match="found 2 labels, allowed one label"):
        read(lines(GOOD | {"label": ["a", "b"]}), single("ab"))
    assert read(lines(GOOD | {"label": ["a"]}), single("a"))[0].labels == ("a",)
    with pytest.raises(DataError, match="found 'y', 'z', allowed one of a"):
        read(lines(GOOD | {"label": ["y", "a", "z"]}), several("a"))


def test_annotations_come_oldest_first_whatever_file_they_stand_in() -> None:
    early = GOOD | {"time": "2026-10-01T10:00:00+08:00", "label": "b", "annotator": "bob"}
    files = lines(GOOD) | {"two.jsonl": [json.dumps(early)]}
    found = by_record(read(files, single("ab")))["r1"]
    assert found.texts(single("abc")) == [("bob", "b"), ("ann", "a")]


def test_each_annotators_last_word_counts() -> None:
    found = said(at(3, label="c"), at(1, label="b"), at(2, annotator="bob"))
    assert found.texts(single("abc")) == [("bob", "a"), ("ann", "c")]
    assert found.adjudicated is None


def test_the_last_adjudication_wins_whoever_speaks_later() -> None:
    judge = {"annotator": "judy", "role": "adjudicator"}
    found = said(at(2, label="b", **judge), at(1, label="c", **judge), at(9, label="a"))
    assert found.adjudicated.labels == ("b",)
    assert found.texts(single("abc")) == [("ann", "a")], "who adjudicates does not vote"


def test_a_verdict_stands_until_somebody_labels_again() -> None:
    sent_back = CHECK | {"verdict": "return", "time": "2026-11-03T05:00:00Z"}
    assert said(at(1), sent_back).verdict == "return"
    assert said(at(6), sent_back).verdict is None
    assert said(sent_back, at(5)).verdict == "return", "at one moment the checker speaks last"
    assert said(at(1), sent_back | {"verdict": "accept"}).verdict == "accept"
    assert said(at(1), sent_back).texts(single("abc")) == [("ann", "a")], "a checker does not vote"
    later = CHECK | {"verdict": "accept", "time": "2026-11-03T07:00:00Z"}
    assert said(at(1), later, sent_back).verdict == "accept"


def test_workload_and_guidelines_are_counted() -> None:
    entries = read(
        lines(
            GOOD | {"seconds": 2, "guideline": "0" * 64},
            GOOD | {"seconds": 4, "guideline": "1" * 64},
            GOOD | {"record": "r2"},
            CHECK | {"verdict": "accept"},
        ),
        single("a"),
    )
    found = workload(entries)
    assert found["ann"] == {
        "annotations": 3,
        "records": 2,
        "roles": {"annotator": 3},
        "seconds": 3.0,
    }
    assert found["eve"]["seconds"] is None
    assert guidelines(entries, "1" * 64) == {
        "sha256": "1" * 64,
        "outdated_guideline": 1,
        "without_guideline": 1,
    }
    assert guidelines(entries, None)["outdated_guideline"] == 2
    assert set(ROLES) == {"annotator", "adjudicator", "checker"}


@pytest.mark.parametrize(
    ("label", "text"), [(3, "3.0"), (-0.5, "-0.5"), ("2.50", "2.5"), (0, "0.0")]
)
def test_a_number_is_a_label_of_regression(label: object, text: str) -> None:
    scheme = numbers(-4, 4)
    found = by_record(read(lines(GOOD | {"label": label}), scheme))["r1"]
    assert found.texts(scheme) == [("ann", text)]


@pytest.mark.parametrize(
    "label", ["many", "nan", [], [3], ["1", "2"], True, 4.5, "-5", float("nan"), 10**400, None]
)
def test_what_is_no_number_in_the_bounds_is_named(label: object) -> None:
    with pytest.raises(DataError) as caught:
        read(lines(GOOD | {"label": 1}, GOOD | {"label": label}), numbers(-4, 4))
    assert [one.where for one in caught.value.problems] == ["one.jsonl:2"]


def test_a_number_is_no_label_where_labels_are_names() -> None:
    for scheme in (single("ab"), several("ab")):
        with pytest.raises(DataError, match=r"found '3\.0', allowed one of a, b"):
            read(lines(GOOD | {"label": 3}), scheme)


def test_none_of_several_labels_is_an_answer_and_an_old_line_stays_readable() -> None:
    scheme = several("abc")
    found = read(lines(GOOD | {"label": []}, GOOD | {"label": ["c", "a"]}, GOOD), scheme)
    assert [scheme.text(one.labels) for one in found] == ["", "a|c", "a"]
