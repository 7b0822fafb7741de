"""What pages of a report are made of: sections of sentences, tables, plots and errors.

A ``Message`` is Mofang's own words, in both languages; a plain ``str`` is somebody's data and is
shown as it is, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import Text
from pipeline.i18n import Message


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    ``low``, ``value`` and ``high`` (0 to 1 each) draw a small interval; ``share`` (0 to 1) shades.
    """

    text: Text = ""
    numeric: bool = False
    share: float | None = None
    low: float | None = None
    value: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Say:
    """A paragraph."""

    text: Message
    kind: str = "paragraph"


@dataclass(frozen=True)
class Picture:
    """A plot by its name, with a caption that also says in words what it shows."""

    name: str
    caption: Message
    kind: str = "picture"


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first cell of each row is the row's head."""

    caption: Message
    header: Sequence[Text]
    rows: Sequence[Sequence[Cell]]
    kind: str = "table"


@dataclass(frozen=True)
class Word:
    """A word and how it counted: from -3 (strongly against) to 3 (strongly for)."""

    text: str
    level: int
    space: bool  # whether one follows


@dataclass(frozen=True)
class Error:
    """A wrong answer with what explains it."""

    title: Message
    text: str
    facts: Sequence[tuple[Message, Text]]
    words: Sequence[Word] = ()
    explained: Message | None = None
    near: Table | None = None


@dataclass(frozen=True)
class Errors:
    """Wrong answers, one after the other."""

    errors: Sequence[Error]
    kind: str = "errors"


Block = Say | Picture | Table | Errors


@dataclass(frozen=True)
class Section:
    """One part of the page, with a name for links to it."""

    name: str
    title: Message
    blocks: list[Block] = field(default_factory=list)


def number(value: float | None, digits: int = 3) -> Cell:
    """Return a figure, or a dash where there is none."""
    return Cell("–" if value is None else f"{value:.{digits}f}", numeric=True)


def count(value: float) -> Cell:
    """Return a number of records."""
    return Cell(f"{int(value):,}", numeric=True)


def interval(value: float, low: float, high: float, *, drawn: bool) -> Cell:
    """Return a figure with its interval, drawn where the figure lies between 0 and 1."""
    text = f"{value:.3f} [{low:.3f}, {high:.3f}]"
    if not drawn:
        return Cell(text, numeric=True)
    inside = [min(1.0, max(0.0, one)) for one in (low, value, high)]
    return Cell(text, numeric=True, low=inside[0], value=inside[1], high=inside[2])


def share(value: float) -> Cell:
    """Return a share of one in percent, shaded by it."""
    return Cell(f"{100 * value:.1f}%", numeric=True, share=min(1.0, max(0.0, value)))
