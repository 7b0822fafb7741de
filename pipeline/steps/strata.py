"""Which records are alike by their labels, and how labels and numbers are spread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

from pipeline.steps import targets

TENTHS = range(1, 10)
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
DIGITS = 6


def deciles(labels: Sequence[str]) -> list[str]:
    """Return the decile of each number, "0" to "9"; equal numbers share one."""
    numbers = [targets.number(text) for text in labels]
    ordered = sorted(numbers)
    borders = [ordered[ceil(len(ordered) * tenth / 10) - 1] for tenth in TENTHS] if ordered else []
    return [str(bisect_left(borders, one)) for one in numbers]


def rarest(labels: Sequence[str]) -> list[str]:
    """Return each record's label that the fewest records have, of equals the first; "" for none."""
    count = Counter(name for text in labels for name in targets.several(text))
    return [
        min(targets.several(text), key=lambda name: (count[name], name), default="")
        for text in labels
    ]


def strata(labels: Sequence[str], task: str) -> list[str]:
    """Return a name that like records share: the label, the rarest of several, or the decile."""
    if task == targets.REGRESSION:
        return deciles(labels)
    return rarest(labels) if task == targets.MULTI else list(labels)


def counts(labels: Iterable[str], task: str) -> Counter[str]:
    """Return how many records have each label."""
    return Counter(name for text in labels for name in targets.parts_of(text, task))


def quantiles(labels: Iterable[str]) -> dict[str, float]:
    """Return quantiles of the numbers by name ("0.05"), between two by even steps; empty for none.

    Linear interpolation, as NumPy's (Hyndman and Fan 1996, type 7).
    """
    ordered = sorted(targets.number(text) for text in labels)
    if not ordered:
        return {}
    found = {}
    for share in QUANTILES:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        value = ordered[low] + (ordered[high] - ordered[low]) * (place - low)
        found[f"{share:g}"] = round(value, DIGITS)
    return found
