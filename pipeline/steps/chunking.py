"""Cut long texts into records, at the strongest boundary that keeps each within its size."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

# None of these looks at a character more than a few times: texts come from strangers.
HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*)$", re.MULTILINE)
FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})", re.MULTILINE)
PARAGRAPH = re.compile(r"\n[ \t]*\n\s*|\f\s*")
# A line that starts an item or a row of a table ends what stood before it.
SENTENCE = re.compile(
    r"[。！？…]+[”’」』）)\"']*\s*|[.!?][”’)\"'\]]*\s+|\n(?=[ \t]*(?:[-*•|]|\d+[.)])[ \t])"
)
WORD = re.compile(r"\s+|[，、；：]\s*")  # Chinese has no spaces, but commas


@dataclass(frozen=True, slots=True)
class Heading:
    """A markdown heading: where its line starts, how deep it is, what it says."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: ``start`` to ``end``, of which nothing before ``fresh`` is new."""

    start: int
    fresh: int
    end: int


@dataclass(frozen=True)
class Boundaries:
    """Where a text may be cut, the strongest kind first; each list ascends."""

    text: str

    @cached_property
    def kinds(self) -> Sequence[Sequence[int]]:
        """Return the places before headings, and after paragraphs, sentences and words."""
        patterns = (PARAGRAPH, SENTENCE, WORD)
        ends = [[match.end() for match in pattern.finditer(self.text)] for pattern in patterns]
        return [[heading.start for heading in headings(self.text)], *ends]

    def last(self, start: int, fresh: int, high: int) -> int:
        """Return the best place to cut above ``fresh`` and not above ``high``.

        It lies in the second half of what starts at ``start``, if a boundary does.
        """
        for low in (max(fresh, start + (high - start) // 2), fresh):
            for places in self.kinds:
                index = bisect_right(places, high) - 1
                if index >= 0 and places[index] > low:
                    return places[index]
        return whole_character(self.text, fresh, high)

    def repeated_from(self, fresh: int, overlap: int) -> int:
        """Return where a piece starts whose new part starts at ``fresh``: with a word, if it can.

        A section repeats nothing of the one before it.
        """
        index = bisect_left(self.kinds[0], fresh)
        if index < len(self.kinds[0]) and self.kinds[0][index] == fresh:
            return fresh
        low, words = max(0, fresh - overlap), self.kinds[-1]
        index = bisect_left(words, low)
        return words[index] if index < len(words) and words[index] < fresh else low


def chunks(text: str, *, size: int | None, overlap: int) -> list[str]:
    """Return a text in pieces, without white space at their ends; none is empty.

    :param size: characters that no piece exceeds; None leaves the text whole.
    :param overlap: characters that stand again at the start of the next piece, at most.
    """
    return [text[span.start : span.end].strip() for span in spans(text, size=size, overlap=overlap)]


def spans(text: str, *, size: int | None, overlap: int) -> Iterator[Span]:
    """Yield where the pieces of a text lie; their new parts are the text, but for white space.

    A piece ends in its second half before a heading, or else after a paragraph, a sentence, a word;
    if that holds none of them, in its first half; and within a word when that is too long.
    """
    if size is None or len(text) <= size:
        yield from [Span(0, 0, len(text))] if text.strip() else []
        return
    boundaries = Boundaries(text)
    start = fresh = 0
    while fresh < len(text):
        end = len(text)
        if end - start > size:
            end = boundaries.last(start, fresh, start + size)
        if text[fresh:end].strip():
            yield Span(start, fresh, end)
        fresh = end
        start = boundaries.repeated_from(fresh, overlap)


def whole_character(text: str, low: int, high: int) -> int:
    """Return a place up to ``high`` that parts no letter from its accents, if there is one."""
    place = high
    while place > low + 1 and unicodedata.combining(text[place : place + 1] or " "):
        place -= 1
    return place if place > low + 1 else high


def headings(text: str) -> list[Heading]:
    """Return the markdown headings of a text, but none that stands in a block of code."""
    code = fenced(text)
    starts = [start for start, _end in code]
    found = []
    for match in HEADING.finditer(text):
        block = bisect_right(starts, match.start()) - 1
        if block < 0 or match.start() >= code[block][1]:
            found.append(Heading(match.start(), len(match[1]), title(match[2])))
    return found


def title(line: str) -> str:
    """Return what a heading says, without the number signs that may close it (``Title ##``)."""
    line = line.rstrip()
    inner = line.rstrip("#")
    return inner.rstrip() if inner != line and inner[-1:].isspace() else line


def fenced(text: str) -> list[tuple[int, int]]:
    """Return where blocks of code start and end; one that is never closed goes to the end."""
    blocks: list[tuple[int, int]] = []
    opened: re.Match[str] | None = None
    for fence in FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]):
            blocks.append((opened.start(), fence.end()))
            opened = None
    return [*blocks, (opened.start(), len(text))] if opened else blocks


def headed(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each section with the titles it stands under, outermost first; together the text."""
    found = headings(text)
    first = found[0].start if found else len(text)
    if first:
        yield (), text[:first]
    ends = [*(heading.start for heading in found[1:]), len(text)]
    for heading, path, end in zip(found, paths(found), ends if found else [], strict=True):
        yield path, text[heading.start : end]


def paths(found: Sequence[Heading]) -> Iterator[tuple[str, ...]]:
    """Yield, for each heading, its own title and those that it stands under."""
    above: list[Heading] = []
    for heading in found:
        above = [*(one for one in above if one.level < heading.level), heading]
        yield tuple(one.title for one in above)


def placed(
    text: str, *, size: int | None, overlap: int, marked: bool
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the pieces of a text, each with the titles that its new part stands under.

    :param marked: whether lines with ``#`` are headings; otherwise nothing stands under a title.
    """
    found = headings(text) if marked else []
    starts, titles = [heading.start for heading in found], list(paths(found))
    for span in spans(text, size=size, overlap=overlap):
        new = text[span.fresh : span.end]
        index = bisect_right(starts, span.end - len(new.lstrip())) - 1
        yield titles[index] if index >= 0 else (), text[span.start : span.end].strip()
