"""Texts of the model's own test part, one click away from an answer."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.steps.targets import several

MOST = 12
LONGEST = 120  # characters that the list shows; the whole text is asked


def chosen(examples: Sequence[tuple[str, str]], characters: int) -> list[tuple[str, str]]:
    """Return at most ``MOST`` examples that the page can ask about.

    :param characters: that a text may have.
    """
    fits = [(text, label) for text, label in examples if text.strip() and len(text) <= characters]
    return fits[:MOST]


def rows(examples: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the table that the page shows: the text, shortened, and its label."""
    return [[shortened(text), ", ".join(several(label))] for text, label in examples]


def shortened(text: str) -> str:
    """Return a text on one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def expected(examples: Sequence[tuple[str, str]], text: str) -> str | None:
    """Return the label of an example, None for any other text."""
    return {one.strip(): label for one, label in examples}.get(text.strip())
