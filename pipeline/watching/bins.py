"""Shares of labels, languages and lengths, and how far two sides lie apart.

Bins are fixed when a reference is made. Later values are only counted into them, which needs
neither the reference's rows nor any package but numpy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.watching import thresholds

OTHER = "…"  # what has no bin of its own; the same in every language
MOST_NAMES = 50
TENTHS = 10  # bins of numbers, of equally many values
HALF = 0.5  # added to each count before drawing: what was not seen is rare, not impossible
DECIMALS = 4  # of a number: the database keeps no more of a score


@dataclass(frozen=True)
class Bins:
    """How many values each bin holds.

    Of numbers ``edges`` are the inner bounds, so that there is a bin more; one that equals a bound
    lies above it. Of names the last bin is ``OTHER``.
    """

    counts: tuple[int, ...]
    names: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @classmethod
    def of_names(cls, values: Sequence[str], *, least: float, known: Iterable[str] = ()) -> Self:
        """Return the bins of names: of those that are common, and one of the rest.

        :param least: share of the values from which a name has a bin of its own.
        :param known: names that have one in any case, as far as there is room.
        """
        found = Counter(values)
        common = [name for name, count in found.most_common() if count >= least * len(values)]
        names = tuple(sorted([*dict.fromkeys([*common, *known])][:MOST_NAMES]))
        made = cls((0,) * (len(names) + 1), names)
        return cls(tuple(made.count(values).tolist()), names)

    @classmethod
    def of_numbers(cls, values: Sequence[float]) -> Self:
        """Return the bins of numbers: tenths of them, fewer where many are equal."""
        numbers = rounded(values)
        shares = np.arange(1, TENTHS) / TENTHS
        bounds = np.unique(np.quantile(numbers, shares, method="inverted_cdf"))
        edges = tuple(float(one) for one in bounds if one > numbers.min())
        made = cls((0,) * (len(edges) + 1), (), edges)
        return cls(tuple(made.count(values).tolist()), (), edges)

    @property
    def numeric(self) -> bool:
        """Whether these are bins of numbers."""
        return not self.names

    @property
    def total(self) -> int:
        """How many values there are in all bins."""
        return sum(self.counts)

    def places(self, values: Sequence[Any]) -> NDArray[np.int64]:
        """Return the bin of each value, [n]."""
        if self.numeric:
            return np.searchsorted(np.array(self.edges), rounded(values), side="right")
        place = {name: at for at, name in enumerate(self.names)}
        other = len(self.names)
        return np.array([place.get(one, other) for one in values], dtype=np.int64)

    def count(self, values: Sequence[Any]) -> NDArray[np.int64]:
        """Return how many of the values each bin gets, [bins]."""
        return np.bincount(self.places(values), minlength=len(self.counts))

    def titles(self) -> list[str]:
        """Return what each bin is called: a name, or a range of numbers."""
        if not self.numeric:
            return [*self.names, OTHER]
        if not self.edges:
            return [OTHER]
        shown = [f"{one:g}" for one in self.edges]
        inner = [f"{low} – {high}" for low, high in pairwise(shown)]
        return [f"< {shown[0]}", *inner, f"≥ {shown[-1]}"]

    def threshold(self, size: int, alarms: float, draws: int, seed: int) -> float:
        """Return the distance that ``size`` values of the same kind seldom exceed.

        Both sides are drawn again and again from the same shares, as many values as each has.

        :param alarms: in which share of cases they do.
        """
        chance = np.random.default_rng(seed)
        shares = np.array(self.counts) + HALF
        shares /= shares.sum()
        one = chance.multinomial(max(self.total, 1), shares, draws)
        other = chance.multinomial(size, shares, draws)
        return float(np.sqrt(thresholds.upper(distance(one, other) ** 2, alarms)))


def distance(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Jensen-Shannon distance of counts, 0 (alike) to 1 (nothing in common).

    The square root of the divergence in bits (Lin 1991; Endres and Schindelin 2003).

    :param one: [..., bins]; ``other`` likewise.
    """
    p = one / np.maximum(one.sum(axis=-1, keepdims=True), 1)
    q = other / np.maximum(other.sum(axis=-1, keepdims=True), 1)
    middle = (p + q) / 2
    bits = np.zeros(np.broadcast_shapes(p.shape, q.shape))
    for part in (p, q):
        ratio = np.divide(part, middle, out=np.ones_like(bits), where=part > 0)
        bits = bits + part * np.log2(ratio) / 2
    return np.asarray(np.sqrt(np.clip(bits.sum(axis=-1), 0.0, 1.0)))


def rounded(values: Sequence[float]) -> NDArray[np.float64]:
    """Return numbers as the database keeps them, [n]."""
    numbers: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    return numbers.round(DECIMALS)
