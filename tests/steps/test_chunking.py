"""Chunks: nothing is lost, nothing exceeds the size, and cuts stand where a reader expects them."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.steps.chunking import chunks, headed, headings, placed, spans

TEXTS = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="ab .#\n\f`，。！é\u0301", max_size=400),
    st.lists(
        st.sampled_from(
            [
                "# Setup\n",
                "## Paper\n",
                "One two three. ",
                "纸卡住了，请打开后盖。",
                "\n\n",
                "- item\n",
            ]
        ),
        max_size=40,
    ).map("".join),
)
SIZES = st.integers(1, 60)


def bare(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())


@given(TEXTS, SIZES)
@example("a\u0301" * 30, 1)
def test_pieces_without_overlap_are_the_text(text: str, size: int) -> None:
    assert bare("".join(chunks(text, size=size, overlap=0))) == bare(text)


@given(TEXTS, SIZES, st.integers(0, 30))
def test_no_piece_is_empty_or_above_the_size(text: str, size: int, overlap: int) -> None:
    pieces = chunks(text, size=size, overlap=min(overlap, size // 2))
    assert all(0 < len(piece) <= size and piece == piece.strip() for piece in pieces)


@given(TEXTS, SIZES, st.integers(0, 30))
def test_only_the_overlap_is_repeated(text: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size // 2)
    found = list(spans(text, size=size, overlap=overlap))
    assert all(0 <= span.fresh - span.start <= overlap for span in found)
    assert all(span.fresh < span.end <= span.start + size for span in found)
    assert bare("".join(text[span.fresh : span.end] for span in found)) == bare(text)


@given(TEXTS)
def test_without_a_size_the_text_stays_whole(text: str) -> None:
    assert chunks(text, size=None, overlap=0) == ([text.strip()] if text.strip() else [])


@given(TEXTS)
def test_sections_are_the_text(text: str) -> None:
    assert "".join(section for _path, section in headed(text)) == text


@given(TEXTS, SIZES, st.integers(0, 30))
def test_places_go_with_the_same_pieces(text: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size // 2)
    found = list(placed(text, size=size, overlap=overlap, marked=True))
    assert [piece for _path, piece in found] == chunks(text, size=size, overlap=overlap)
    titles = {heading.title for heading in headings(text)}
    assert all(set(path) <= titles for path, _piece in found)


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("# A\n\none two\n\n# B\n\nthree four", 26, ["# A\n\none two", "# B\n\nthree four"]),
        ("one two three.\n\nfour five six. seven", 30, ["one two three.", "four five six. seven"]),
        ("One two three. Four five six seven", 24, ["One two three.", "Four five six seven"]),
        ("请打开后盖，取出纸。然后合上后盖吧！", 14, ["请打开后盖，取出纸。", "然后合上后盖吧！"]),
        ("请轻轻打开后盖，取出卡住的纸张", 10, ["请轻轻打开后盖，", "取出卡住的纸张"]),
        ("alpha beta gamma", 12, ["alpha beta", "gamma"]),
        ("alpha unbreakable", 12, ["alpha", "unbreakable"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("| a | b |\n| c | d |\n| e | f |", 22, ["| a | b |\n| c | d |", "| e | f |"]),
        ("page one\fpage two", 12, ["page one", "page two"]),
        ("version 3.14 of it. New", 20, ["version 3.14 of it.", "New"]),
    ],
    ids=[
        "heading",
        "paragraph",
        "sentence",
        "chinese",
        "comma",
        "word",
        "early",
        "hard",
        "rows",
        "page",
        "3.14",
    ],
)
def test_the_strongest_boundary_wins(text: str, size: int, expected: list[str]) -> None:
    assert chunks(text, size=size, overlap=0) == expected


def test_the_overlap_starts_with_a_word() -> None:
    assert chunks("one two three four five six", size=14, overlap=7) == [
        "one two three", "three four", "four five six",
    ]  # fmt: skip


def test_a_heading_within_code_is_none() -> None:
    text = "# Real\n```sh\n# comment\n```\n## Under\n~~~\n# open to the end\n"
    assert [heading.title for heading in headings(text)] == ["Real", "Under"]


def test_titles_are_those_above() -> None:
    text = "before\n# A\n## B ##\ntext\n### C\n## D\n# E\n#no heading"
    assert [path for path, _section in headed(text)] == [
        (), ("A",), ("A", "B"), ("A", "B", "C"), ("A", "D"), ("E",),
    ]  # fmt: skip


def test_a_piece_knows_its_section_even_when_the_title_stands_in_another() -> None:
    text = "# Setup\n\n" + "Load the paper. " * 10 + "\n\n# Jams\n\n" + "Open the door. " * 5
    found = list(placed(text, size=60, overlap=20, marked=True))
    assert [path for path, _piece in found] == [("Setup",)] * 5 + [("Jams",)] * 2
    assert found[-2][1].startswith("# Jams")  # and repeats nothing of the section before
    assert "# Jams" not in found[-1][1]
    assert {path for path, _piece in placed(text, size=60, overlap=20, marked=False)} == {()}


@pytest.mark.parametrize(
    "unit", ["word ", "一二三。", "x", "# t\n", "```\n# a\n", " \n", "\n", ". "]
)
def test_time_grows_with_the_length_only(unit: str) -> None:
    started = time.process_time()
    chunks(unit * (1_000_000 // len(unit)), size=500, overlap=50)
    assert time.process_time() - started < 20
