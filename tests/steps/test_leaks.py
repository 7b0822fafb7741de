"""Leaks: what stands on two sides is found and named, what is almost the same is found."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.steps.leaks import LONG, alike, on_two_sides, one_apart, refuse_leak, units

METAS = [json.dumps({"file": "a.csv", "row": row}) for row in range(50)]
WORDS = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=14)


@given(st.lists(st.tuples(st.none() | st.integers(0, 5), st.sampled_from("xyz")), max_size=30))
def test_what_stands_on_two_sides(rows: list[tuple[int | None, str]]) -> None:
    values, parts = [one[0] for one in rows], [one[1] for one in rows]
    torn = {
        value
        for value in values
        if value is not None and len({part for own, part in rows if own == value}) > 1
    }
    assert on_two_sides(values, parts) == torn


def test_a_leak_is_named_with_its_records() -> None:
    parts = ["train", "test", "train", "test"]
    refuse_leak({"group": ["g", "h", "g", None]}, parts, metas=METAS[:4], column=None)
    with pytest.raises(DataError) as caught:
        refuse_leak(
            {"text": [b"a", b"b", b"b", b"c"], "group": ["g", "g", None, None]},
            parts,
            metas=METAS[:4],
            column="fold",
        )
    text, group = caught.value.problems
    assert text.where == "a.csv:1 (test), a.csv:2 (train)"
    assert "one text" in str(text.found)
    assert "in test, train, 2 records" in str(text.found)
    assert "column fold" in str(text.fix)
    assert group.where == "a.csv:0 (train), a.csv:1 (test)"


def test_many_leaks_are_counted() -> None:
    values = [str(at // 2) for at in range(50)]
    with pytest.raises(DataError) as caught:
        refuse_leak({"group": values}, ["train", "test"] * 25, metas=METAS, column=None)
    assert len(caught.value.problems) == 21
    assert str(caught.value.problems[-1].found) == "5 more of one group"


@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=5))
def test_alike_finds_what_comparing_all_pairs_finds(
    learnt: list[list[str]], asked: list[list[str]]
) -> None:
    found = alike((" ".join(one) for one in learnt), [" ".join(one) for one in asked])
    for words, position in zip(asked, found, strict=True):
        same = [at for at, one in enumerate(learnt) if one_apart(one, words)]
        assert position == (same[0] if same else None)


def test_one_word_may_differ_in_long_texts_only() -> None:
    long = [f"w{at}" for at in range(LONG)]
    learnt = [" ".join(long), "Who wrote it?", "这个酒店的服务真的非常好", "!!!"]
    asked = [
        " ".join(["other", *long[1:]]),
        " ".join([*long[::-1], "more"]),
        " ".join(["two", "others", *long[2:]]),
        "it wrote: WHO",
        "Who wrote that?",
        "这个酒店的服务真的非常差",
        "???",
    ]
    assert alike(learnt, asked) == [0, 0, None, 1, None, 2, None]
    assert units("Ab 天气c!") == ["ab", "天", "气", "c"]
