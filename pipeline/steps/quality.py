"""What a text needs to be worth learning from: one pure rule each, a reason or None.

Line breaks are gone once white space is tidied, so ``before`` looks at the text as it came and
``judge`` at the normalized one. ``compiled`` prepares what the rules need, once for all texts.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.steps import lexicon, markup
from pipeline.steps.reasons import (
    DIGITS,
    LITTLE_HAN,
    LONG_WORDS,
    NO_STOP_WORDS,
    REPEATED_LINES,
    REPEATED_PHRASES,
    SHORT_WORDS,
    SYMBOLS,
    TOO_LONG,
    TOO_SHORT,
    WORD_LIST,
)

Rule = Callable[[str], str | None]
DIGIT_BYTES = b"0123456789"
NO_SYMBOLS = bytes(one for one in range(128) if chr(one).isalnum() or chr(one).isspace())
DIGIT_RUNS = re.compile(r"\d+")
MAYBE_SYMBOLS = re.compile(r"[^\w\s]")


def length(text: str, *, min_characters: int, max_characters: int) -> str | None:
    """Keep texts of ``min_characters`` to ``max_characters``."""
    if len(text) < min_characters:
        return TOO_SHORT
    return TOO_LONG if len(text) > max_characters else None


def symbols(text: str, *, max_symbols: float, max_digits: float) -> str | None:
    """Keep texts of which no more than these shares of all characters are symbols or digits.

    A symbol is neither letter, digit, mark nor space.
    """
    characters = max(1, len(text))
    if symbol_count(text) / characters > max_symbols:
        return SYMBOLS
    return DIGITS if digit_count(text) / characters > max_digits else None


def symbol_count(text: str) -> int:
    """Return how many characters are neither letter, digit, mark nor space."""
    if text.isascii():
        return len(text.encode().translate(None, NO_SYMBOLS))
    rest = lexicon.script(text).rest
    found = MAYBE_SYMBOLS.findall(rest)
    marks = sum(unicodedata.category(one)[0] == "M" for one in found if one > "\u02ff")
    return len(found) - marks + rest.count("_")


def digit_count(text: str) -> int:
    """Return how many characters are digits, of any script."""
    if text.isascii():
        return len(text) - len(text.encode().translate(None, DIGIT_BYTES))
    return lexicon.count(DIGIT_RUNS, lexicon.script(text).rest)


def repetition(text: str, *, max_lines: float, ngram: int, max_ngrams: float) -> str | None:
    """Keep texts of which no more than these shares of lines and phrases stood there before.

    :param ngram: words in a row that make a phrase; in scripts without spaces, characters.
    """
    return repeated_lines(text, max_lines=max_lines) or repeated_phrases(
        text, ngram=ngram, max_ngrams=max_ngrams
    )


def repeated_lines(text: str, *, max_lines: float) -> str | None:
    """Keep texts whose lines, the blocks of HTML among them, seldom come again."""
    parts = markup.lines(text)
    if len(parts) == 1:
        return None
    lines = [one for one in (part.strip().casefold() for part in parts[::2]) if one]
    repeated = (len(lines) - len(set(lines))) / max(1, len(lines))
    return REPEATED_LINES if repeated > max_lines else None


def repeated_phrases(text: str, *, ngram: int, max_ngrams: float) -> str | None:
    """Keep texts whose phrases of ``ngram`` words seldom come again."""
    unspaced = lexicon.script(text).unspaced
    units: Sequence[str] = "".join(text.split()) if unspaced else text.lower().split()
    phrases = len(units) - ngram + 1
    # A phrase that comes again begins with a word that does: most texts need no further look.
    if phrases < 1 or (len(units) - len(set(units))) / phrases <= max_ngrams:
        return None
    distinct = len(set(zip(*(units[start:] for start in range(ngram)), strict=False)))
    return REPEATED_PHRASES if (phrases - distinct) / phrases > max_ngrams else None


def words(text: str, *, min_mean: float, max_mean: float) -> str | None:
    """Keep texts whose words have a mean length between these, in characters.

    Texts in scripts that put no spaces between words are passed over.
    """
    found = text.split()
    if not found or lexicon.script(text).unspaced:
        return None
    mean = len("".join(found)) / len(found)
    if mean < min_mean:
        return SHORT_WORDS
    return LONG_WORDS if mean > max_mean else None


def wording(text: str, *, min_stop_words: int, min_han: float) -> str | None:
    """Keep what reads like language: English by its stop words, Chinese by its Han characters.

    Texts in other scripts are passed over.

    :param min_stop_words: how many different ones a text of Latin letters needs.
    :param min_han: of all characters but spaces, in a text where Han characters prevail.
    """
    script = lexicon.script(text)
    if script.prevails:
        share = script.han / (script.han + len("".join(script.rest.split())))
        return LITTLE_HAN if share < min_han else None
    if min_stop_words and script.latin:
        found = lexicon.STOP_WORDS.intersection(lexicon.tokens(text))
        return NO_STOP_WORDS if len(found) < min_stop_words else None
    return None


def word_list(text: str, *, words: Sequence[str]) -> str | None:
    """Keep texts without a word or phrase of the list, whatever its case.

    A word of letters counts as a whole (``ass`` is not in ``class``); Han characters anywhere.
    """
    return WORD_LIST if lexicon.prepared(tuple(words)).any_in(text) else None


RULES: Mapping[str, Callable[..., str | None]] = {
    "length": length,
    "symbols": symbols,
    "repetition": repetition,
    "words": words,
    "wording": wording,
}


def compiled(knobs: Mapping[str, Any]) -> Rule:
    """Return a function that gives a text's first reason, or None: in the order of the knobs.

    :param knobs: the section ``clean.quality``; language and boilerplate are not judged here.
    """
    rules: list[Rule] = [
        functools.partial(
            rule, **{one: knobs[name][one] for one in knobs[name] if one != "enabled"}
        )
        for name, rule in RULES.items()
        if knobs[name]["enabled"]
    ]
    if knobs["word_list"]["enabled"]:
        unwanted = lexicon.prepared(tuple(knobs["word_list"]["words"]))
        rules.append(lambda text: WORD_LIST if unwanted.any_in(text) else None)

    def judged(text: str) -> str | None:
        for rule in rules:
            reason = rule(text)
            if reason is not None:
                return reason
        return None

    return judged


def judge(text: str, knobs: Mapping[str, Any]) -> str | None:
    """Return the first reason to drop one text, or None; for many texts see ``compiled``."""
    return compiled(knobs)(text)


def before(text: str, knobs: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the text without boilerplate, and a reason if what is left repeats its lines.

    :param text: as it came, with its line breaks and its HTML.
    :param knobs: the section ``clean.quality``.
    """
    if knobs["boilerplate"]["enabled"]:
        text = without_boilerplate(text, knobs["boilerplate"]["phrases"])
    repeats = knobs["repetition"]
    if not repeats["enabled"]:
        return text, None
    return text, repeated_lines(text, max_lines=repeats["max_lines"])


def without_boilerplate(text: str, phrases: Sequence[str]) -> str:
    """Take out the lines, the blocks of HTML among them, that hold a phrase and little else.

    Little else is no more letters and digits than the phrases have; case does not matter.
    """
    unwanted = lexicon.prepared(tuple(phrases))
    if not unwanted.touch(markup.without_tags(text) if "<" in text else text):
        return text
    parts = markup.lines(text)
    for at in range(0, len(parts), 2):
        if unwanted.fill(markup.without_tags(parts[at])):
            parts[at] = ""
    return "".join(parts)
