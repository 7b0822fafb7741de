"""Filters: each keeps a record (None) or drops it for a named reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.steps.text import key

TOO_SHORT = "too_short"
TOO_LONG = "too_long"
DUPLICATE = "duplicate"
CONTRADICTION = "contradiction"
UNLABELLED = "unlabelled"


def length(text: str, *, minimum: int, maximum: int) -> str | None:
    """Keep texts of ``minimum`` to ``maximum`` characters."""
    if len(text) < minimum:
        return TOO_SHORT
    return TOO_LONG if len(text) > maximum else None


def repeated(
    texts: Sequence[str],
    labels: Sequence[str | None],
    *,
    duplicates: bool,
    contradictions: bool,
) -> list[str | None]:
    """Keep one record per text, and none of a text that stands there with several labels.

    :param labels: of the task; None where a record has no label yet, which contradicts nothing.
    :param duplicates: whether later records with the same text and label are dropped.
    :param contradictions: whether all records of a text with several labels are dropped.
    :returns: a reason or None for each record.
    """
    keys = [key(text) for text in texts]
    known: dict[str, set[str]] = {}
    for text, label in zip(keys, labels, strict=True):
        if label is not None:
            known.setdefault(text, set()).add(label)
    seen: set[tuple[str, str | None]] = set()
    reasons: list[str | None] = []
    for text, label in zip(keys, labels, strict=True):
        if contradictions and len(known.get(text, ())) > 1:
            reasons.append(CONTRADICTION)
        elif duplicates and (text, label) in seen:
            reasons.append(DUPLICATE)
        else:
            seen.add((text, label))
            reasons.append(None)
    return reasons


def judge(
    texts: Sequence[str],
    labels: Sequence[str | None],
    *,
    lengths: tuple[int, int],
    duplicates: bool,
    contradictions: bool,
) -> list[str | None]:
    """Return for each record the first reason to drop it, or None.

    :param lengths: fewest and most characters.
    """
    minimum, maximum = lengths
    reasons = [length(text, minimum=minimum, maximum=maximum) for text in texts]
    left = [position for position, reason in enumerate(reasons) if reason is None]
    again = repeated(
        [texts[position] for position in left],
        [labels[position] for position in left],
        duplicates=duplicates,
        contradictions=contradictions,
    )
    for position, reason in zip(left, again, strict=True):
        reasons[position] = reason
    return reasons


def counts(reasons: Sequence[str | None]) -> dict[str, int]:
    """Return how many records each reason dropped, in alphabetical order."""
    found = Counter(reason for reason in reasons if reason is not None)
    return dict(sorted(found.items()))
