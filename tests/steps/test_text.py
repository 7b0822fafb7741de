"""Normalization: the same text in training and serving, and the same again when applied twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps.text import key, normalize

ALL = dict.fromkeys(("repair", "html", "unicode", "control", "white_space"), True)
SWITCHES = st.fixed_dictionaries(dict.fromkeys(ALL, st.booleans()))
MARKUP = st.lists(
    st.sampled_from(
        ["<b>", "</b>", "<p>", "&amp;", "&lt;", "lt;", "<script>", "x", " ", "\u200b", "Ã©", "ﬁ"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(st.text(st.characters(), max_size=60) | MARKUP, SWITCHES)
def test_twice_is_as_once(text: str, switches: dict[str, bool]) -> None:
    once = normalize(text, **switches)
    assert normalize(once, **switches) == once


@given(st.text(max_size=60))
def test_all_switches_off_change_nothing(text: str) -> None:
    assert normalize(text, **dict.fromkeys(ALL, False)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("caf\u00c3\u00a9", "café"),
        ("<p>Hello <b>you</b></p>", "Hello you"),
        ("a<script>alert(1)</script>b", "ab"),
        ("<style>p {}</style>text", "text"),
        ("<b>w</b>ord<br>next<p>one</p>two", "word next one two"),
        ("<td>1</td><TD>2</TD>", "1 2"),
        ("R&amp;D &lt;b&gt;", "R&D"),
        ("3 < 4 and 5 > 2", "3 < 4 and 5 > 2"),
        ("if x<y then z", "if x<y then z"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ １２", "Full width 12"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a\x00b\x07c", "abc"),
        ("\ud83d broken", "broken"),
        ("👩‍👧 family", "👩‍👧 family"),
        ("  many \t\n spaces\u3000", "many spaces"),
        ("我的包裹在哪里？", "我的包裹在哪里?"),
        ("right\u202eleft", "rightleft"),
        ("", ""),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert normalize(text, **ALL) == expected


def test_each_switch_does_its_own_part() -> None:
    off = dict.fromkeys(ALL, False)
    assert normalize("<b>x</b>", **off | {"html": True}) == "x"
    assert normalize("ﬁ", **off | {"unicode": True}) == "fi"
    assert normalize("a\x00", **off | {"control": True}) == "a"
    assert normalize(" a  b ", **off | {"white_space": True}) == "a b"
    assert normalize("Ã©", **off | {"repair": True}) == "é"


@given(st.text(max_size=40))
def test_case_and_spacing_do_not_tell_texts_apart(text: str) -> None:
    assert key(f"  {text.upper().lower()}\n") == key(text.upper().lower())
    assert key(key(text)) == key(text)
