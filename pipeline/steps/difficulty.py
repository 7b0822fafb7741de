"""How hard a record is: what a cheap model that had not seen it makes of it, in three bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BANDS = ("easy", "medium", "hard")
SMALLEST = 1e-12  # a probability of 0 would be infinitely hard


@dataclass(frozen=True)
class Bounds:
    """Up to which loss a record is easy, and up to which it is medium."""

    easy: float
    medium: float


def loss(probability: float | None) -> float | None:
    """Return −ln of the probability that the cheap model gives to the record's label.

    None where nothing is known: no probability, or one that is none.
    """
    if probability is None or not 0 <= probability <= 1:
        return None
    return -math.log(max(probability, SMALLEST)) + 0.0  # + 0.0: not −0.0 for a probability of 1


def terciles(losses: Sequence[float | None]) -> Bounds | None:
    """Return the two losses that cut those of the training part into thirds, None without any.

    Only the training part decides, so that a band means the same in each part and nothing of the
    test is used.
    """
    known = sorted(one for one in losses if one is not None)
    if not known:
        return None
    return Bounds(*(known[math.ceil(len(known) * share / 3) - 1] for share in (1, 2)))


def band(one: float | None, bounds: Bounds | None) -> str | None:
    """Return ``easy``, ``medium`` or ``hard``; None where the loss is not known."""
    if one is None or bounds is None:
        return None
    return BANDS[(one > bounds.easy) + (one > bounds.medium)]
