"""How the studio speaks: data that stays what it is, numbers, dates, plurals, errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from app.studio import speech
from pipeline import errors
from pipeline.errors import Text
from pipeline.i18n import Message, _
from pipeline.releases.refusing import Spoken
from pipeline.watching.alerts import Said


def text_of(markdown: str) -> str:
    """Return what a reader sees of one line of Markdown; fail where it is more than a line."""
    blocks = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    assert [one.type for one in blocks] in ([], ["paragraph_open", "inline", "paragraph_close"])
    parts = [one for block in blocks for one in block.children or ()]
    assert {one.type for one in parts} <= {"text", "text_special", "softbreak"}, parts
    return "".join(one.content for one in parts)


@given(some.text(max_size=60))
@example("# title")
@example("1. one")
@example("- one")
@example("> said")
@example("[link](http://example.org) ![picture](http://example.org/x.png)")
@example("<script>alert(1)</script> &lt;b&gt;")
@example("__init__ *a* _b_ **c** `d` ~~e~~ $f$ | g |")
@example("    code")
@example("```\ncode")
@example("===")
@example("a\n===")
@example("---")
@example("\\")
def test_data_stays_what_it_is_in_markdown(data: str) -> None:
    shown = text_of(speech.literal(data)).replace(speech.JOINER, "")
    wanted = data.replace(speech.JOINER, "").replace("\0", "\ufffd")  # as Markdown shows it
    assert shown.split() == wanted.split()


@pytest.mark.parametrize("data", [":material/home:", ":smile:", ":streamlit:", ":100:", "a :+1: b"])
def test_data_names_no_icon(data: str) -> None:
    shown = speech.literal(data)
    assert f":{speech.JOINER}" in shown
    assert shown.replace(speech.JOINER, "").replace("\\", "") == data


@pytest.mark.parametrize("data", [":red[x]", "a :b[c]", ":red", "::name[x]{a=b}", ":::name"])
def test_data_gives_streamlit_no_directive(data: str) -> None:
    shown = speech.literal(data)
    assert not re.search(r"(?<!\\):[\w:]", shown)
    assert text_of(shown) == data


@pytest.mark.parametrize("data", ["a -> b", "<->", "x >= 3", "git add -- a", "a <- b", "b <= c"])
def test_data_keeps_its_signs(data: str) -> None:
    shown = text_of(speech.literal(data))
    assert not re.search(r"(?<!\S)(<->|->|<-|--|>=|<=|~=)(?!\S)", shown)  # what Streamlit looks for
    assert shown.replace(speech.JOINER, "") == data


def test_a_time_is_no_directive() -> None:
    assert speech.literal("12:30:45") == "12:30:45"


def test_a_message_may_be_markdown_and_its_values_are_not() -> None:
    message = _("**{name}** has {count} ({why})", name="*x*", count=3, why=_("<{a}>", a="`b`"))
    assert speech.say(message) == r"**\*x\*** has 3 (<\`b\`>)"
    assert speech.plain(message) == "***x*** has 3 (<`b`>)"
    assert speech.say("*x*") == r"\*x\*"


@pytest.mark.parametrize(
    ("call", "english", "chinese"),
    [
        (lambda: speech.number(1234567.8912), "1,234,567.891", "1,234,567.891"),
        (lambda: speech.number(0.00001), "1E-5", "1E-5"),
        (lambda: speech.number(0), "0", "0"),
        (lambda: speech.number(None), "–", "–"),
        (lambda: speech.percent(0.965), "96.5%", "96.5%"),
        (lambda: speech.money(3.5, "CNY"), "CN¥3.50", "¥3.50"),
        (lambda: speech.size(2_500_000), "2.5 MB", "2.5 MB"),
        (lambda: speech.duration(3.25), "3.2 secs", "3.2秒"),
        (lambda: speech.duration(75), "1 min 15 secs", "1分钟 15秒"),
        (lambda: speech.duration(3_605), "1 hr", "1小时"),
        (lambda: speech.duration(93_600), "1 day 2 hrs", "1天 2小时"),
        (lambda: speech.day("2026-11-23T12:00:00"), "23 Nov 2026", "2026年11月23日"),
        (lambda: speech.date("no moment"), "–", "–"),
    ],
)
def test_each_language_writes_its_own_way(
    monkeypatch: pytest.MonkeyPatch, call: object, english: str, chinese: str
) -> None:
    assert callable(call)
    for language, wanted in (("en", english), ("zh", chinese)):
        monkeypatch.setenv("MOFANG_LANGUAGE", language)
        assert call() == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("trec", "按 trec 统计的记录"),
        ("标签", "按标签统计的记录"),
        (_("label"), "按标签统计的记录"),
        ("标签 · x", "按标签 · x 统计的记录"),
        ("好 评", "按好 评统计的记录"),
    ],
)
def test_a_chinese_value_stands_in_a_chinese_sentence_without_spaces(
    monkeypatch: pytest.MonkeyPatch, value: Text, wanted: str
) -> None:
    monkeypatch.setenv("MOFANG_LANGUAGE", "zh")
    message = _("Records by {columns}", columns=value)
    assert speech.plain(message) == wanted
    assert speech.say(message) == wanted


def test_how_long_ago_something_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = datetime.now(UTC) - timedelta(minutes=3, seconds=2)
    assert speech.ago(before.isoformat()) == "3 minutes ago"
    assert speech.ago(datetime.now(UTC)) == "1 second ago"
    monkeypatch.setenv("MOFANG_LANGUAGE", "zh")
    assert speech.ago(before.timestamp()) == "3分钟前"


def test_a_plural_has_the_form_of_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    def many(count: int) -> Message:
        return speech.plural(count, _("{count} record"), _("{count} records"))

    assert [speech.say(many(count)) for count in (0, 1, 1_200)] == [
        "0 records",
        "1 record",
        "1,200 records",
    ]
    monkeypatch.setenv("MOFANG_LANGUAGE", "zh")
    assert many(1).text == "{count} records"  # Chinese has one form


def failing(kind: str) -> None:
    """Show what goes wrong, as pages do."""
    from app.studio import layout
    from pipeline.errors import MofangError, Problem

    with layout.explained():
        if kind == "problem":
            raise MofangError(
                *(Problem(f"a.b{at}", "<b>0</b>", "1 to 9", "Raise it.") for at in range(12))
            )
        raise RuntimeError("secret")


def test_a_problem_says_where_found_allowed_and_what_to_do() -> None:
    page = AppTest.from_function(failing, default_timeout=30, kwargs={"kind": "problem"}).run()
    assert len(page.error) == 10
    assert page.error[0].value == "**a.b0**: found \\<b\\>0\\</b\\>, allowed 1 to 9.\n\nRaise it."
    assert page.caption[0].value == "and 2 more"


def test_what_nobody_foresaw_has_a_number_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = AppTest.from_function(failing, default_timeout=30, kwargs={"kind": "bug"}).run()
    assert not page.exception
    (told,) = page.error
    assert "secret" not in told.value
    (logged,) = (one for one in caplog.records if one.name == "mofang.studio")
    assert logged.getMessage().removeprefix("incident ") in told.value
    assert logged.exc_info


def test_a_problem_speaks_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = errors.Problem("a", "b", "c", _("Set it to 10 or more."))
    english = speech.explained(problem)
    assert english == "**a**: found b, allowed c.\n\nSet it to 10 or more."
    monkeypatch.setenv("MOFANG_LANGUAGE", "zh")
    chinese = speech.explained(problem)
    assert chinese.startswith("**a**")
    assert "found" not in chinese


@pytest.mark.parametrize("kind", [Said, Spoken])
def test_words_that_were_found_elsewhere_are_shown_in_each_language(
    monkeypatch: pytest.MonkeyPatch, kind: type[Message]
) -> None:
    inner = kind("", {"en": "*slow*", "zh": "\u6162"})
    for language, wanted in (("en", r"\*slow\*"), ("zh", "\u6162")):
        monkeypatch.setenv("MOFANG_LANGUAGE", language)
        assert speech.say(inner) == wanted
        assert speech.say(_("({why})", why=inner)) == f"({wanted})"
        assert speech.plain(inner) == wanted.replace("\\", "")
