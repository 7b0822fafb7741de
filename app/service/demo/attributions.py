"""Which words decided, told by leaving them out (occlusion).

What a piece of a text gave to a score is the score less that of the text without the piece
(Li, Monroe, Jurafsky 2016, section 3). It needs nothing but answers, so that it holds for every
model that is served. A text of more pieces than may be left out one by one is looked at twice:
first in long stretches, then those stretches piece by piece that matter most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from pipeline.steps import wording

Scores = Sequence[Sequence[tuple[str, float]]]
Ask = Callable[[Sequence[str]], Awaitable[Scores]]
Span = tuple[int, int]  # from its first character to behind its last


async def explain(ask: Ask, text: str, label: str, *, most: int) -> list[tuple[str, float]]:
    """Return the pieces of a text, which joined give it, and what each gave to a label's score.

    Weights are differences of scores: of probabilities, or of numbers in the labels' unit. A text
    of one piece alone has nothing to be compared with, and its weight is its score.

    :param ask: returns for each text its labels with their scores; it is called twice at most.
    :param label: of the scores, ``value`` for numbers.
    :param most: texts with something left out, at least two; the text itself comes on top.
    :raises KeyError: if the model has no such label.
    """
    pieces = await asyncio.to_thread(pieces_of, text)  # the first use reads a dictionary of words
    count = len(pieces) if len(pieces) <= most else max(2, most // 2)
    spans = divided(pieces, count)
    altered = [without(text, span) for span in spans] if len(spans) > 1 else []
    whole, *rest = scores_of(await ask([text, *altered]), label)
    if not rest:
        return [(text, whole)]
    weights = {span: whole - score for span, score in zip(spans, rest, strict=True)}
    finer = refined(pieces, weights, most - len(spans))
    parts = [part for some in finer.values() for part in some]
    if parts:
        found = scores_of(await ask([without(text, part) for part in parts]), label)
        weights = {span: one for span, one in weights.items() if span not in finer}
        weights |= {part: whole - score for part, score in zip(parts, found, strict=True)}
    return [(text[slice(*span)], weights[span]) for span in sorted(weights)]


def pieces_of(text: str) -> list[Span]:
    """Return the places of words and marks, each with the space behind it; the first with all
    that is before it. Together they cover the text.
    """
    found: list[Span] = []
    end = 0
    for token in wording.tokens(text):
        start, end = end, end + len(token.text)
        if token.kind == "space" and found:
            found[-1] = (found[-1][0], end)
        elif token.kind != "space":
            found.append((start if found else 0, end))
    return found or [(0, len(text))]


def divided(pieces: Sequence[Span], count: int) -> list[Span]:
    """Return ``count`` stretches of about as many pieces each; no more than there are pieces."""
    count = min(count, len(pieces))
    edges = [round(at * len(pieces) / count) for at in range(count + 1)]
    return [(pieces[start][0], pieces[end - 1][1]) for start, end in pairwise(edges)]


def refined(
    pieces: Sequence[Span], weights: dict[Span, float], left: int
) -> dict[Span, list[Span]]:
    """Return the stretches that matter most, each with the finer ones to put in its place.

    :param left: finer stretches at most.
    """
    finer: dict[Span, list[Span]] = {}
    for span in sorted(weights, key=lambda one: abs(weights[one]), reverse=True):
        inside = [one for one in pieces if span[0] <= one[0] and one[1] <= span[1]]
        if left < 2:
            break
        if len(inside) > 1:
            finer[span] = divided(inside, left)
            left -= len(finer[span])
    return finer


def without(text: str, span: Span) -> str:
    """Return the text without one stretch of it."""
    return text[: span[0]] + text[span[1] :]


def scores_of(answers: Scores, label: str) -> list[float]:
    """Return the score of ``label`` in each answer."""
    return [dict(one)[label] for one in answers]
