"""Whatever Mofang says, it says in Chinese too."""

from __future__ import annotations

from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as Entry

from pipeline.errors import DataError, Problem
from pipeline.i18n import LANGUAGES, _, catalogue, current_language, translate
from tests.contracts import messages

WITHOUT_CHINESE = {  # the same in every language
    "MB",
    "1/s",
    "{column} = {value}",
    "YAML 1.2",
    "R²",
    "F1",
    "{column} {group}",
    "{some}, {next}",
    "{id}: {state}",
    "{step}: {command}",
    "p50, ms",
    "p95, ms",
    "p99, ms",
    "ms",
    "kB",
    "percent",
    "Krippendorff's alpha",
    "Cohen's kappa",
    "p95",
    "%",
    "CO₂",
    "GPU",
    "GPU {number}",
    "Git",
    "Python",
    "{id}: {state}, {ago}",
    "{action} ({user})",
    "{stage}: {figure}",
    "{title} · {count}",
    "{reason} ({count})",
    "{figure}{group} {sign} {bound}: {found}, {state}",
}
REPAIR = "run python -m tests.contracts.messages, then translate in mofang.po"


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    """Return every message of the project with its places."""
    return messages.collect()


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    """Return the entries of the Chinese catalogue, without its header."""
    return {entry.id: entry for entry in messages.read() if entry.id}


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take away everything that names a language."""
    for name in ("MOFANG_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def placeholders(text: str) -> list[tuple[str, str, str]]:
    """Return the named places of a text with how they are written, in any order."""
    parts = Formatter().parse(text)
    return sorted(
        (name, form or "", how or "") for _text, name, form, how in parts if name is not None
    )


def listed(title: str, lines: list[str]) -> str:
    """Return what a failed test says: a title and one finding a line."""
    return "\n  ".join([f"{title} ({len(lines)}):", *lines])


def test_every_message_has_a_translation(
    found: dict[str, list[str]], entries: dict[str, Entry]
) -> None:
    """A fuzzy one counts as none: it is not shown."""
    missing = [
        f"{places[0]}: {text!r}"
        for text, places in found.items()
        if text not in entries or not entries[text].string or entries[text].fuzzy
    ]
    assert not missing, listed(f"messages without a translation; {REPAIR}", missing)


def test_nothing_obsolete_is_kept(found: dict[str, list[str]], entries: dict[str, Entry]) -> None:
    """Neither as an entry nor as one that is commented out."""
    obsolete = [repr(text) for text in [*entries, *messages.read().obsolete] if text not in found]
    assert not obsolete, listed(f"translations of texts that nobody shows; {REPAIR}", obsolete)


def test_placeholders_are_the_same(entries: dict[str, Entry]) -> None:
    """A name that is missing or misspelt would break the message when it is needed most."""
    differing = [
        f"{text!r} → {entry.string!r}"
        for text, entry in entries.items()
        if entry.string and placeholders(text) != placeholders(entry.string)
    ]
    assert not differing, listed("placeholders differ", differing)


def test_translations_are_chinese(entries: dict[str, Entry]) -> None:
    """Whoever copies the English has not translated."""
    foreign = [
        f"{text!r} → {entry.string!r}"
        for text, entry in entries.items()
        if entry.string and text not in WITHOUT_CHINESE and not has_chinese(entry.string)
    ]
    assert not foreign, listed("translations without a Chinese character", foreign)


def has_chinese(text: str) -> bool:
    """Return whether at least one character is a Chinese one."""
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def test_allow_list_is_in_use(entries: dict[str, Entry]) -> None:
    """An exception that nobody needs hides the next mistake."""
    assert {
        text for text in WITHOUT_CHINESE if not has_chinese(entries[text].string)
    } == WITHOUT_CHINESE


def test_update_keeps_adds_and_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice over the same texts gives the same bytes: no date, no version, no line numbers."""
    monkeypatch.setattr(messages, "CATALOGUE", tmp_path / "zh" / "mofang.po")
    old = Catalog(locale="zh")
    old.add("stays {count}", string="保留 {count}")
    old.add("goes", string="删除")
    messages.write(messages.updated(old, {"new": ["b.py:9"], "stays {count}": ["c.py:1"]}))
    first = messages.CATALOGUE.read_bytes()
    moved = {"new": ["b.py:1", "b.py:2"], "stays {count}": ["c.py:7"]}
    messages.write(messages.updated(messages.read(), moved))
    assert messages.CATALOGUE.read_bytes() == first
    kept = {entry.id: entry.string for entry in messages.read() if entry.id}
    assert kept == {"new": "", "stays {count}": "保留 {count}"}


def test_message_is_rendered_in_both_languages() -> None:
    """The same message, put into words twice."""
    message = _("at least {limit} entries", limit=3)
    assert message.render("en") == "at least 3 entries"
    assert message.render("zh") == "至少 3 项"


def test_nested_message_is_translated_too() -> None:
    """No English words within a Chinese sentence."""
    message = _("no record ({reasons})", reasons=_("no such file"))
    assert message.render("en") == "no record (no such file)"
    assert message.render("zh") == "没有任何记录（文件不存在）"


def test_error_is_rendered_in_house_style() -> None:
    """Values stay as they are, phrases and sentences are translated."""
    error = DataError(Problem("a.csv:2", "'x'", _("a number"), _("Mend this row.")))
    assert error.render("en") == "a.csv:2: found 'x', allowed a number. Mend this row."
    assert error.render("zh") == "a.csv:2：发现 'x'，允许 数值。修正这一行。"


def test_values_are_not_taken_for_placeholders() -> None:
    """Braces in somebody's data must not break the error about them."""
    error = DataError(Problem("a.jsonl:1", '{"text": 1}', _("text"), _("Mend this line.")))
    assert '{"text": 1}' in error.render("zh")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "MOFANG_LANGUAGE": "en"}, "en"),
        ({"LANG": "en_US.UTF-8", "MOFANG_LANGUAGE": "zh"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "MOFANG_LANGUAGE": ""}, "zh"),
    ],
)
def test_current_language_follows_the_environment(
    plain_environment: pytest.MonkeyPatch, environment: dict[str, str], language: str
) -> None:
    """``MOFANG_LANGUAGE`` goes before the locale."""
    for name, value in environment.items():
        plain_environment.setenv(name, value)
    assert current_language() == language
    assert str(_("a number")) == translate("a number", language)


@pytest.mark.parametrize("language", ["fr", "", "../en"])
def test_unknown_language_is_refused(language: str) -> None:
    """Rather than shown in English without a word."""
    with pytest.raises(ValueError, match="allowed en, zh"):
        catalogue(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_empty_and_unknown_texts_stay(language: str) -> None:
    """gettext would answer an empty text with the catalogue's header."""
    assert translate("", language) == ""
    assert translate("nobody says this", language) == "nobody says this"


@pytest.mark.parametrize("source", ["_(name)", "_(f'{name}')", "_('a' + name)", "_('')", "_()"])
def test_computed_message_is_refused(source: str) -> None:
    """Nobody could translate it beforehand."""
    with pytest.raises(ValueError, match=r"pipeline/a\.py:1: .*allowed a text in quotes"):
        messages.of_module(source, "pipeline/a.py")
    assert messages.of_module(source, messages.MARKS_TEXTS) == []


def test_knobs_count_within_the_schema_only() -> None:
    """Title, help and unit; several literals in a row are one text."""
    source = "knob('Title', 'One '\n'help.', unit='texts', ge=1)\nknob('Title', 'Two.', unit='')"
    wanted = [("Title", 1), ("One help.", 1), ("texts", 2), ("Title", 3), ("Two.", 3)]
    name = "pipeline/schema/a.py"
    assert messages.of_module(source, name) == [(text, f"{name}:{line}") for text, line in wanted]
    assert messages.of_module(source, "pipeline/a.py") == []
