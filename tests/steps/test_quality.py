"""Quality: every rule keeps what it should, names what it does not, and stands any text."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.steps import lexicon, quality, reasons
from pipeline.steps.text import normalize
from tests.helpers import changed

KNOBS: dict[str, Any] = changed().clean.quality.model_dump()
NORMALIZE = changed().clean.normalize.model_dump()
ENGLISH = "The parcel has not been delivered, and nobody can tell me where it is."
CHINESE = "这个酒店的位置很好，离地铁站很近，房间也很干净，服务员态度不错。"
TEXTS = st.text(st.characters(), max_size=80) | st.lists(
    st.sampled_from(
        ["the", "好", "坏的", "1", "#", " ", "\n", "<br>", "<p>", "Share this", "ไทย", "ß"]
    )
).map("".join)


def knobs(**others: dict[str, Any]) -> dict[str, Any]:
    """Return the section with all rules off but those named, whose values may differ."""
    off = {name: rule | {"enabled": False} for name, rule in KNOBS.items()}
    return off | {name: KNOBS[name] | {"enabled": True} | rule for name, rule in others.items()}


ALL_ON = knobs(
    **{name: {} for name in KNOBS} | {"word_list": {"words": ["spam", "bad luck", "垃圾"]}}
)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_ordinary_texts_stay(text: str) -> None:
    assert quality.judge(text, ALL_ON) is None
    assert quality.before(text, ALL_ON) == (text, None)


@given(TEXTS)
def test_any_text_gets_a_known_reason_or_none(text: str) -> None:
    known = {None, *reasons.REASONS}
    assert quality.judge(text, ALL_ON) in known
    left, reason = quality.before(text, ALL_ON)
    assert reason in known
    assert quality.judge(normalize(left, **NORMALIZE), ALL_ON) in known


@given(TEXTS)
def test_all_rules_off_keep_everything(text: str) -> None:
    assert quality.judge(text, knobs()) is None
    assert quality.before(text, knobs()) == (text, None)


@given(TEXTS)
def test_bounds_that_allow_everything_keep_everything(text: str) -> None:
    generous = knobs(
        length={"min_characters": 0, "max_characters": 10**6},
        symbols={"max_symbols": 1, "max_digits": 1},
        repetition={"max_lines": 1, "max_ngrams": 1},
        words={"min_mean": 0, "max_mean": 10**6},
        wording={"min_stop_words": 0, "min_han": 0},
        word_list={"words": []},
    )
    assert quality.judge(text, generous) is None


def test_the_first_reason_in_the_order_of_the_knobs_counts() -> None:
    rules = ALL_ON | {"length": KNOBS["length"] | {"enabled": True, "min_characters": 20}}
    assert quality.judge("$$$ spam $$$", rules) == reasons.TOO_SHORT
    assert quality.judge("$$$ spam $$$", ALL_ON) == reasons.SYMBOLS
    assert list(quality.RULES) == [name for name in KNOBS if name in quality.RULES]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("ab", "too_short"), ("abc", None), ("x" * 6, "too_long"), ("你好吗", None)],
)
def test_length(text: str, reason: str | None) -> None:
    assert quality.length(text, min_characters=3, max_characters=5) == reason


@pytest.mark.parametrize(
    ("text", "symbols", "digits"),
    [
        ("a1 b2?!_", 3, 2),
        ("好，坏。１２", 2, 2),
        ("नमस्ते", 0, 0),  # vowel signs are marks
        ("e\u0301 😀", 1, 0),
        ("½ Ⅳ ٣", 0, 1),  # numbers, of which only the last is a digit
        ("", 0, 0),
    ],
)
def test_symbols_and_digits_are_counted(text: str, symbols: int, digits: int) -> None:
    assert quality.symbol_count(text) == symbols
    assert quality.digit_count(text) == digits


# Han characters that this Python does not know yet are letters all the same.
@given(st.text(st.characters(exclude_categories=["Cn"]), max_size=40))
@example("\u4dc0")  # a hexagram, which stands between two blocks of Han characters
def test_symbols_are_neither_letter_digit_mark_nor_space(text: str) -> None:
    def is_symbol(one: str) -> bool:
        plain = one.isalnum() or one.isspace() or unicodedata.category(one)[0] in "LNM"
        return not plain

    assert quality.symbol_count(text) == sum(map(is_symbol, text))


def test_symbols_at_the_bound_stay() -> None:
    assert quality.symbols("a" * 71 + "#" * 29, max_symbols=0.29, max_digits=0) is None
    assert quality.symbols("a" * 70 + "#" * 30, max_symbols=0.29, max_digits=0) == reasons.SYMBOLS
    assert quality.symbols("a1", max_symbols=0, max_digits=0.4) == reasons.DIGITS


@pytest.mark.parametrize(
    ("text", "share"),  # of lines that stood there before
    [
        ("one\ntwo\nthree", 0),
        ("Buy now\nbuy now \r\nbuy now\nlast", 2 / 4),
        ("<p>Buy</p><p>Buy</p><p>Sell</p>", 1 / 3),
        ("再见<br>再见<br/>你好", 1 / 3),
        ("\n\n\n", 0),
    ],
)
def test_repeated_lines(text: str, share: float) -> None:
    assert quality.repeated_lines(text, max_lines=share) is None
    if share:
        assert quality.repeated_lines(text, max_lines=share - 0.01) == reasons.REPEATED_LINES


@pytest.mark.parametrize(
    ("text", "ngram", "share"),  # of phrases that stood there before
    [
        ("a b c d e", 2, 0),
        ("a b a b a B", 2, 3 / 5),  # ab ba ab ba ab
        ("a b c a b c", 3, 1 / 4),  # abc bca cab abc
        ("很好很好很好", 2, 3 / 5),
        ("很好 很好", 2, 1 / 3),
        ("a a", 3, 0),  # too short for any phrase
        ("x x x x", 1, 3 / 4),
    ],
)
def test_repeated_phrases(text: str, ngram: int, share: float) -> None:
    assert quality.repeated_phrases(text, ngram=ngram, max_ngrams=share) is None
    if share:
        found = quality.repeated_phrases(text, ngram=ngram, max_ngrams=share - 0.01)
        assert found == reasons.REPEATED_PHRASES


@given(st.text("ab 好的", max_size=30), st.integers(1, 4), st.floats(0, 1))
def test_the_short_cut_gives_what_counting_gives(text: str, ngram: int, bound: float) -> None:
    unspaced = lexicon.script(text).unspaced
    units = list("".join(text.split())) if unspaced else text.split()
    phrases = [tuple(units[at : at + ngram]) for at in range(len(units) - ngram + 1)]
    share = (len(phrases) - len(set(phrases))) / max(1, len(phrases))
    wanted = reasons.REPEATED_PHRASES if share > bound else None
    assert quality.repeated_phrases(text, ngram=ngram, max_ngrams=bound) == wanted


def test_repetition_names_lines_and_phrases_apart() -> None:
    bounds: dict[str, Any] = {"max_lines": 0.3, "ngram": 2, "max_ngrams": 0.5}
    assert quality.repetition("no\nno", **bounds) == reasons.REPEATED_LINES
    assert quality.repetition("no no no no no", **bounds) == reasons.REPEATED_PHRASES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a b c d", "short_words"),
        ("x" * 50, "long_words"),
        ("good words here", None),
        (CHINESE, None),  # no spaces between words
        ("ภาษาไทยไม่มีช่องว่างระหว่างคำ", None),
        ("これはとてもいいホテルです", None),
        ("", None),
    ],
)
def test_words(text: str, reason: str | None) -> None:
    assert quality.words(text, min_mean=2, max_mean=15) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The end of it", None),
        ("shoes women cheap black size", "no_stop_words"),
        ("Isn't THE", None),
        ("买了macbook pro很好", "little_han"),  # 4 of 14 characters
        ("买了个macbook pro真的很好", None),
        ("I love 北京 so much", None),  # English prevails
        ("哈！！！！￥￥￥", "little_han"),
        ("это другой язык", None),  # neither Latin nor Han: passed over
        ("123 456", None),
        ("", None),
    ],
)
def test_wording(text: str, reason: str | None) -> None:
    assert quality.wording(text, min_stop_words=1, min_han=0.3) == reason


def test_stop_words_count_once_each() -> None:
    assert quality.wording("the the the", min_stop_words=2, min_han=0) == reasons.NO_STOP_WORDS
    assert quality.wording("the end of", min_stop_words=2, min_han=0) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("first class seat", False),
        ("what an ASS!", True),
        ("真垃圾的东西", True),
        ("买spam了", True),
        ("spammer", False),
        ("e-mail me", True),
        ("the-mail", False),
        ("Bad  luck", True),
        ("bad lucky", False),
        ("STRASSE", True),
        ("", False),
    ],
)
def test_word_list(text: str, found: bool) -> None:
    words = ["ass", "垃圾", "Spam", "e-mail", "bad luck", "Straße"]
    assert (quality.word_list(text, words=words) == reasons.WORD_LIST) is found
    rules = knobs(word_list={"words": words})
    assert quality.judge(text, rules) == quality.word_list(text, words=words)


@given(
    st.text("ab好 c", max_size=12), st.lists(st.text("ab好 ", min_size=1, max_size=3), max_size=60)
)
def test_a_long_list_finds_what_a_short_one_finds(text: str, words: list[str]) -> None:
    alone = any(quality.word_list(text, words=[word]) for word in words)
    many = [*words, *(f"{chr(0x4E00 + at)}丙" for at in range(40))]
    assert (quality.word_list(text, words=many) is not None) is alone


PHRASES = ["All rights reserved", "Share this", "版权所有"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Good news.\nShare this!\nThe end.", "Good news.\n\nThe end."),
        ("© 2024 Acme. ALL RIGHTS RESERVED.", ""),
        ("He said that all rights reserved for kings are gone now.", None),
        ("好酒店\n版权所有 © 某某", "好酒店\n"),
        ("他们在讨论版权所有的问题，说了很多很多话。", None),
        ("<p>News</p><p><a href='http://x.example.com/y'>Share this</a></p>", "<p>News</p><p></p>"),
        ("Share this | All  rights reserved | 版权所有", ""),
        ("nothing of it\n", None),
        ("", None),
    ],
)
def test_boilerplate(text: str, left: str | None) -> None:
    assert quality.without_boilerplate(text, PHRASES) == (text if left is None else left)


@given(TEXTS)
def test_boilerplate_goes_at_once(text: str) -> None:
    once = quality.without_boilerplate(text, PHRASES)
    assert quality.without_boilerplate(once, PHRASES) == once
    assert quality.without_boilerplate(text, []) == text


def test_repeated_boilerplate_is_no_repeated_line() -> None:
    rules = knobs(boilerplate={"phrases": PHRASES}, repetition={"max_lines": 0.3})
    text = "One.\nShare this\nTwo.\nShare this"
    assert quality.before(text, rules) == ("One.\n\nTwo.\n", None)
    assert quality.before(text, knobs(repetition={"max_lines": 0.2}))[1] == reasons.REPEATED_LINES
