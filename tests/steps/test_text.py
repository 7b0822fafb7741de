"""Normalization: the same text in training and serving, and the same again when applied twice."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.params import Params
from pipeline.steps.text import SUSPECT, key, normalize, repaired
from tests.helpers import changed

OFF: dict[str, Any] = {
    "repair": False,
    "html": False,
    "unicode": False,
    "width": False,
    "simplified": False,
    "urls": "keep",
    "emails": "keep",
    "control": False,
    "white_space": False,
}
USUAL = OFF | dict.fromkeys(("repair", "html", "unicode", "control", "white_space"), True)
TREATMENTS = ("keep", "remove", "mask")
COMBINATIONS = [
    dict(zip(OFF, values, strict=True))
    for values in itertools.product(
        *(TREATMENTS if isinstance(value, str) else (False, True) for value in OFF.values())
    )
]
SWITCHES = st.sampled_from(COMBINATIONS)
PIECES = st.lists(
    st.sampled_from(
        ["<b>", "</b>", "<p>", "&amp;", "&lt;", "lt;", "<script>", "</script>", "<!--", "-->", "x",
         "<", ">", "=", '"', "'", " ", "\n", "\u200b", "\u3000", "Ã©", "Â ", "ﬁ", "＜", "＆", "ａ",
         "：", "ﾊ", "ﾞ", "ハ", "http://", "HTTPS://", "www.", "a.com", "a@b.co", "@", ".", "，",
         "(", ")", "[URL]", "[EMAIL]", "畢昇", "薴", "發", "乾", "\ud83d", "&#60;", "&#x3C;", "/",
         "&nbsp;"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


def test_the_switches_here_are_those_of_the_params() -> None:
    params: Params = changed()
    assert set(params.clean.normalize.model_dump()) == set(OFF)


@settings(max_examples=400)
@given(st.text(st.characters(), max_size=60) | PIECES, SWITCHES)
@example("畢昇", OFF | {"simplified": True})
@example("<<b>b>x", USUAL)
@example("&amp;lt;b&amp;gt;x", USUAL)
def test_twice_is_as_once(text: str, switches: dict[str, Any]) -> None:
    once = normalize(text, **switches)
    assert normalize(once, **switches) == once


@pytest.mark.parametrize(
    "text",
    ["<p>看＜b＞http://a.com/發，a@b.co\u200b  ﾊﾞ Ã©</p> &lt;i&gt;", "x<y http(www.a.b) <!-- 乾"],
)
def test_twice_is_as_once_in_every_combination(text: str) -> None:
    for switches in COMBINATIONS:
        once = normalize(text, **switches)
        assert normalize(once, **switches) == once, switches


@given(st.text(st.characters(), max_size=60) | PIECES)
def test_all_switches_off_change_nothing(text: str) -> None:
    assert normalize(text, **OFF) == text


@given(PIECES, SWITCHES)
def test_what_is_switched_on_is_not_there_afterwards(text: str, switches: dict[str, Any]) -> None:
    once = normalize(text, **switches)
    if switches["control"]:
        assert not set("\u200b\ud83d\ufeff") & set(once)
    if switches["white_space"]:
        assert once == " ".join(once.split())
    if switches["width"] or switches["unicode"]:
        assert not set("＜＆ａ：ﾊﾞ") & set(once)
    if switches["emails"] != "keep":
        assert "a@b.co" not in re.split(r"[^a-z@.]", once)
    if switches["urls"] != "keep":
        assert not re.search(r"https?://a\.com", once, re.IGNORECASE)


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
    assert normalize(text, **USUAL) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A stray < loses nothing of what follows, whatever stands beside it.
        ("<b>a</b> x<y and more", "a x<y and more"),
        ("if a<b and c>d then <i>e</i>", "if a<b and c>d then e"),
        ("<p>x<3 hearts</p>", "x<3 hearts"),
        ("Ann <ann@example.org> wrote", "Ann <ann@example.org> wrote"),
        ("#include <stdio.h>", "#include <stdio.h>"),
        ("see <http://example.org/a>", "see <http://example.org/a>"),
        ("How does the <script> tag work?", "How does the tag work?"),
        ("a <!-- note --> b", "a b"),
        ("a <!-- never closed", "a <!-- never closed"),
        ("<!DOCTYPE html><html><head><title>T</title></head><body>x", "T x"),
        ("<?xml version='1.0'?>x", "x"),
        ("<img src=a.png/>x<br/>y", "x y"),
        ("<a title=\"a > b\" href='c'>link</a>", "link"),
        ('<a title="never closed>link</a> more', "link more"),
        ("<input disabled>x<td nowrap>y", "x y"),
        ("<SCRIPT>a<b</SCRIPT >kept", "kept"),
        ("&#20320;&#x597D;&nbsp;&copy; &unknown; &", "你好 © &unknown; &"),
        ("a&copy=1&b", "a&copy=1&b"),
        ("&#" + "9" * 40 + ";", "&#" + "9" * 40 + ";"),
    ],
)
def test_markup_goes_and_nothing_else(text: str, expected: str) -> None:
    assert (
        normalize(text, **OFF | {"html": True, "white_space": True}).replace("\xa0", " ")
        == expected
    )


@pytest.mark.parametrize(
    "page",
    [
        "<html><head><title>A page</title><style>p{color:red}</style></head><body>"
        "<h1>Head</h1><p class='x'>First <b>bold</b>, <i>then</i>&nbsp;more.</p>"
        "<ul><li>one<li>two</ul><script>if (a<b) {}</script><!-- no --></body></html>",
        '<div data-x="1 > 0">你好，<span>世界</span><br/>再见 &amp; 谢谢</div>',
    ],
)
def test_a_well_formed_page_reads_as_a_parser_reads_it(page: str) -> None:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(re.sub(r"</?(?:h1|p|ul|li|br|div|title|body|head)\b", r" \g<0>", page))
    tree.strip_tags(["script", "style"], recursive=True)
    assert tree.root is not None
    wanted = " ".join(tree.root.text(separator="").split())
    assert normalize(page, **OFF | {"html": True, "white_space": True}) == wanted


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("看http://example.com/a?b=1，很好", "看[URL]，很好"),
        ("见 https://例子 和 www.example.com。完", "见 https://例子 和 [URL]。完"),
        ("（http://a.cn/x）", "（[URL]）"),
        ("(see http://a.cn/x).", "(see [URL])."),
        ("http://en.wikipedia.org/wiki/A_(b), yes", "[URL], yes"),
        ("HTTP://A.COM! WWW.B.COM?", "[URL]! [URL]?"),
        ("http://münchen.de/straße x", "[URL] x"),
        ("http://a.com谢谢", "[URL]谢谢"),
        ("awww.so cute www. no http:// no", "awww.so cute www. no http:// no"),
        ("[URL] http://a.com[URL]", "[URL] [URL][URL]"),
        ("http://user:pw@host.org:80/", "[URL]"),
    ],
)
def test_web_addresses(text: str, masked: str) -> None:
    assert normalize(text, **OFF | {"urls": "mask"}) == masked
    removed = normalize(text, **OFF | {"urls": "remove"})
    assert removed == masked.replace("[URL]", "") or "[URL]" in text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("联系a.b@c.com谢谢", "联系[EMAIL]谢谢"),
        ("mail me@x.co.uk.", "mail [EMAIL]."),
        ("<me+tag@x-y.org>", "<[EMAIL]>"),
        ("[EMAIL]", "[EMAIL]"),
        ("@name and a@b and a @ b.com", "@name and a@b and a @ b.com"),
    ],
)
def test_email_addresses(text: str, masked: str) -> None:
    assert normalize(text, **OFF | {"emails": "mask"}) == masked
    assert normalize(text, **OFF | {"emails": "remove"}) == masked.replace("[EMAIL]", "") or (
        "[EMAIL]" in text
    )


@pytest.mark.parametrize(
    ("switch", "text", "expected"),
    [
        ("html", "<b>x</b>ﬁ", "xﬁ"),
        ("unicode", "ﬁ①ｱ", "fi1ア"),
        ("width", "ﬁ①ＡＢ１，ｱﾊﾞハﾞ｡㌔", "ﬁ①AB1,アババ。㌔"),
        ("simplified", "頭髮發了，abc \ud83d後", "头发发了，abc \ud83d后"),
        ("simplified", "これは漢字", "これは汉字"),
        ("control", "a\x00\u200b\tb", "a\tb"),
        ("white_space", " a  b\u3000\n", "a b"),
        ("white_space", "a\tb", "a b"),
        ("repair", "Ã© x", "é x"),
    ],
)
def test_each_switch_does_its_own_part(switch: str, text: str, expected: str) -> None:
    assert normalize(text, **OFF | {switch: True}) == expected


MOJIBAKE = "·–—―‘’‚“”„•…‹›ÃÂâ€œ©®™\xa0\x85ÐГВаβœ│²×°à aZ.,中"


@given(st.text(st.sampled_from(MOJIBAKE), max_size=12))
def test_what_is_not_suspect_needs_no_repair(text: str) -> None:
    if not SUSPECT.search(text):
        assert repaired(text) == text


def test_a_clean_text_comes_back_itself() -> None:
    switches = {name: "mask" if value == "keep" else True for name, value in OFF.items()}
    for text in ("What is the full form of .com?", "这个酒店的位置很好。", "a < b & c"):
        assert normalize(text, **switches) is text or "这" in text
        assert normalize(text, **switches) == text


@pytest.mark.parametrize(
    "piece",
    ["<", "<<b>", "<b ", "<!--", "<script>", '<a "', "<a '\"", "&amp;", "&", "&lt;b&gt;", "a@",
     "a@b.", "a'", "a@b.co-@", "http://", "www.", "http://(", "www.,", "<b>\u200b", "(", "Â ", "ｱﾞ"],
)  # fmt: skip
def test_no_text_takes_quadratic_time(piece: str) -> None:
    """A text of 100,000 characters takes seconds at most; quadratic ones took minutes."""
    switches = {name: "mask" if value == "keep" else True for name, value in OFF.items()}
    began = time.process_time()
    normalize(piece * (100_000 // len(piece)), **switches)
    normalize("<" * 30_000 + "b>" * 30_000, **switches)
    assert time.process_time() - began < 10


@given(st.text(max_size=40))
def test_case_and_spacing_do_not_tell_texts_apart(text: str) -> None:
    assert key(f"  {text.upper().lower()}\n") == key(text.upper().lower())
    assert key(key(text)) == key(text)
