"""Words in texts of any script: which script prevails, stop words, lists of words."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Kana, Thai, Lao, Tibetan, Myanmar and Khmer put no spaces between words either.
UNSPACED = f"{HAN}\u2e80-\u2fdf\u3040-\u30ff\u31f0-\u31ff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
HAN_RUNS = re.compile(f"[{HAN}]+")
UNSPACED_RUNS = re.compile(f"[{UNSPACED}]+")
LATIN_RUNS = re.compile(f"[{LATIN}]+")
LETTER_RUNS = re.compile(r"[^\W\d_]+")
WORD_RUNS = re.compile(rf"[^\W_{UNSPACED}]+")
FEW = 30  # so many characters are looked for one by one; for more, a set of them is faster
APART = str.maketrans({chr(one): " " for one in range(128) if not chr(one).isalnum()})
STOP_WORDS = frozenset(
    (
        "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at",
        "be", "because", "been", "before", "being", "between", "both", "but", "by", "can", "could",
        "did", "do", "does", "doing", "down", "during", "each", "few", "for", "from", "had", "has",
        "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into",
        "is", "it", "its", "just", "may", "me", "might", "more", "most", "must", "my", "no", "nor",
        "not", "of", "off", "on", "once", "only", "or", "other", "our", "out", "over", "own",
        "same", "shall", "she", "should", "so", "some", "such", "than", "that", "the", "their",
        "them", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under",
        "until", "up", "us", "very", "was", "we", "were", "what", "when", "where", "which", "while",
        "who", "whom", "whose", "why", "will", "with", "would", "you", "your", "yours",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Script:
    """What a text is written in, counted once for all rules that ask."""

    rest: str  # the text without its Han characters
    han: int  # characters
    latin: bool  # at least half of the letters are Latin
    unspaced: bool  # most letters are of scripts that put no spaces between words
    prevails: bool  # there are at least as many Han characters as Latin words


@functools.lru_cache(maxsize=1)
def script(text: str) -> Script:
    """Return what a text is written in; the last answer is kept, for the next rule."""
    if text.isascii():
        return Script(text, 0, any(map(str.isalpha, text)), False, False)
    rest = HAN_RUNS.sub("", text)
    han = len(text) - len(rest)
    if han > len(rest):  # the ordinary Chinese text
        return Script(rest, han, False, True, True)
    letters = han + count(LETTER_RUNS, rest)
    words = LATIN_RUNS.findall(rest)
    return Script(
        rest,
        han,
        latin=0 < letters <= 2 * sum(map(len, words)),
        unspaced=2 * (han + count(UNSPACED_RUNS, rest)) > letters,
        # Compared with words, not letters: a Han character says about as much as a word.
        prevails=han > 0 and han >= len(words),
    )


def count(runs: re.Pattern[str], text: str) -> int:
    """Return how many characters stand in runs."""
    return sum(map(len, runs.findall(text)))


@functools.lru_cache(maxsize=1)
def tokens(text: str) -> tuple[str, ...]:
    """Return the words in lower case; between Han characters a Latin word is one of its own."""
    if text.isascii():
        return tuple(text.lower().translate(APART).split())
    return tuple(WORD_RUNS.findall(text.casefold()))


def folded(text: str) -> str:
    """Return ``text`` as lists of words are compared: without case, one space between words."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Words:
    """A list of words and phrases, folded and ready to be looked for."""

    whole: frozenset[str]  # words of letters, found as tokens
    parts: dict[str, tuple[str, ...]]  # all others by their first character

    def any_in(self, text: str) -> bool:
        """Return whether one of them stands in a text, as a whole word where it has edges."""
        if self.whole and not self.whole.isdisjoint(tokens(text)):
            return True
        if not self.parts:
            return False
        plain = folded(text)
        return any(pattern(one).search(plain) for one in self.phrases_in(plain))

    def phrases_in(self, plain: str) -> Iterator[str]:
        """Yield the phrases that a folded text holds, even within longer words."""
        firsts = self.parts.keys() & set(plain) if len(self.parts) > FEW else self.parts
        for first in firsts:
            for one in self.parts[first]:
                if one in plain:
                    yield one

    def touch(self, text: str) -> bool:
        """Return whether one of them stands in a text, even within a longer word."""
        plain = folded(text)
        return any(map(plain.__contains__, self.whole)) or any(True for _ in self.phrases_in(plain))

    def fill(self, line: str) -> bool:
        """Return whether a line holds words of the list and no more letters and digits beside."""
        plain = folded(line)
        found = {one for one in self.whole if one in plain}.union(self.phrases_in(plain))
        if not found:
            return False
        longest_first = sorted(found, key=lambda one: (-len(one), one))
        rest = re.sub("|".join(map(re.escape, longest_first)), "", plain)
        return 2 * sum(map(str.isalnum, rest)) <= sum(map(str.isalnum, plain))


@functools.lru_cache(maxsize=16)
def prepared(words: tuple[str, ...]) -> Words:
    """Return a list of words, ready to be looked for."""
    plain = sorted({folded(word) for word in words} - {""})
    whole = frozenset(one for one in plain if WORD_RUNS.fullmatch(one))
    parts: dict[str, list[str]] = {}
    for one in plain:
        if one not in whole:
            parts.setdefault(one[0], []).append(one)
    return Words(whole, {first: tuple(found) for first, found in parts.items()})


@functools.lru_cache(maxsize=1_000)
def pattern(word: str) -> re.Pattern[str]:
    """Return where a phrase stands as a whole: not within a longer word of letters."""
    inner = rf"[^\W_{UNSPACED}]"
    left = rf"(?<!{inner})" if re.match(inner, word) else ""
    right = rf"(?!{inner})" if re.match(inner, word[-1]) else ""
    return re.compile(left + re.escape(word) + right)
