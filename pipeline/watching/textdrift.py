"""Whether texts changed, told without their words and without knowing where words end.

A text becomes 256 small numbers: how often each pair of neighbouring characters stands in it,
added up in buckets with signs (feature hashing, Weinberger et al. 2009). Pairs of characters say
what Chinese, English and mixed texts are about equally well, while methods that split at spaces
see every Chinese sentence as one unknown word. The numbers are kept beside each answer, so that
drift is found without a text being stored; whoever has them cannot read the text, but could check
whether it is one that he knows, as with a hash.

Two sides differ by how far their means lie apart, measured in standard deviations of the training
texts in that direction (Mahalanobis 1936), without what chance alone puts between them. It is told
as a score from 0 to 1: 0 where texts cannot be told apart one by one, 1 where they always can
(twice the area under the curve of Fisher's discriminant, minus one). How far windows of the same
kind of text come by chance is tried out when a reference is made, on texts that the measure was not
fitted to.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.watching import thresholds

BUCKETS = 256
LONGEST = 2_000  # characters that are read: bounds the time for a text
MOST = 127  # in a bucket: one byte
FACTORS = (np.uint32(0x9E3779B1), np.uint32(0x85EBCA77))  # odd, as xxHash's (Collet 2012)
MIX = np.uint32(0xC2B2AE3D)
LEAST_ROWS = 20  # fewer tell nothing of what is usual
SPLITS = 5  # of the training texts into a half that the measure is fitted to and one it judges
FLOOR = 0.01  # of the mean variance: bounds what a bucket that hardly varies can count
NOTHING = 1e-6  # variance of a bucket, where all texts are the same

Counts = NDArray[np.int8]
Numbers = NDArray[np.float64]


def features(text: str) -> bytes:
    """Return what is kept of a text to find drift by: 256 signed counts, a byte each."""
    points = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hashes = (points[:-1] * FACTORS[0]) ^ (points[1:] * FACTORS[1])
    hashes ^= hashes >> np.uint32(15)
    hashes *= MIX
    hashes ^= hashes >> np.uint32(13)
    signs = np.where(hashes >> np.uint32(31), -1.0, 1.0)
    counts = np.bincount(hashes % np.uint32(BUCKETS), weights=signs, minlength=BUCKETS)
    return np.clip(counts, -MOST, MOST).astype(np.int8).tobytes()


def folded(text: str) -> str:
    """Return a text without differences of width, case and spacing, between two spaces."""
    text = text[:LONGEST]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return f" {' '.join(text.lower().split())} "


def matrix(some: Sequence[bytes]) -> Counts:
    """Return features of texts as numbers, [texts, 256]."""
    return np.frombuffer(b"".join(some), dtype=np.int8).reshape(len(some), BUCKETS)


def vectors(counts: Counts) -> Numbers:
    """Return counts as directions, [texts, 256].

    Square roots keep a text's most frequent pair from deciding alone, and a length of one keeps
    long texts from deciding alone.
    """
    wide = counts.astype(np.float64)
    damped = np.sign(wide) * np.sqrt(np.abs(wide))
    lengths = np.linalg.norm(damped, axis=1, keepdims=True)
    return np.asarray(damped / np.where(lengths == 0, 1.0, lengths))


@dataclass(frozen=True)
class Measure:
    """How texts usually spread: fitted once, to the training texts."""

    rows: int  # texts that it was fitted to
    mean: Numbers  # [256]
    whitening: Numbers  # [256, 256]: turns a difference into standard deviations
    spread: float  # mean squared length of whitened texts that it was not fitted to
    null: Numbers  # [draws]: whitened distances of windows without drift, squared, over ``noise``

    @property
    def ready(self) -> bool:
        """Whether there were enough texts to fit it to."""
        return len(self.null) > 0

    def score(self, counts: Counts) -> float:
        """Return how far texts lie from the training texts, 0 to 1.

        :param counts: features, [texts, 256].
        """
        apart = self.whitening @ (vectors(counts).mean(axis=0) - self.mean)
        return scored(float(apart @ apart) - self.spread * noise(len(counts), self.rows))

    def threshold(self, size: int, alarms: float) -> float:
        """Return the score that ``size`` texts of the same kind seldom exceed.

        :param alarms: in which share of cases they do.
        """
        bound = thresholds.upper(self.null, alarms) - self.spread
        return scored(bound * noise(size, self.rows))

    def unlikeness(self, counts: Counts) -> Numbers:
        """Return how unusual each text is by itself, [texts]; training texts are at about 1."""
        apart = (vectors(counts) - self.mean) @ self.whitening.T
        return np.asarray(np.sqrt((apart**2).sum(axis=1) / self.spread))


def scored(squared: float) -> float:
    """Return a squared distance of two means, in standard deviations, as a score from 0 to 1."""
    return math.erf(math.sqrt(max(squared, 0.0)) / 2)


def noise(size: int, rows: int) -> float:
    """Return the variance of the difference of two means, for a variance of one."""
    return 1 / size + 1 / rows


def fitted(counts: Counts, *, size: int, draws: int, seed: int) -> Measure:
    """Return the measure of training texts.

    :param counts: features, [texts, 256]; of fewer than ``LEAST_ROWS`` it is not ``ready``.
    :param size: texts of the windows that are drawn.
    :param draws: windows that are drawn.
    """
    if len(counts) < LEAST_ROWS:
        empty = np.zeros(0)
        return Measure(len(counts), np.zeros(BUCKETS), np.zeros((BUCKETS, BUCKETS)), 1.0, empty)
    points = vectors(counts)
    spread, null = tried(points, size, draws, np.random.default_rng(seed))
    mean, whitening = whitened(points)
    return Measure(len(points), mean, whitening, spread, null)


def whitened(points: Numbers) -> tuple[Numbers, Numbers]:
    """Return the mean of points, [256], and what turns differences into standard deviations.

    The covariance is shrunk (Ledoit and Wolf 2004), so that fewer texts than buckets do. Both are
    rounded to single precision, as they are kept.

    :param points: [texts, 256].
    """
    from sklearn.covariance import ledoit_wolf

    covariance, _shrinkage = ledoit_wolf(points)
    least = max(FLOOR * float(np.trace(covariance)) / BUCKETS, NOTHING)
    lower = np.linalg.cholesky(covariance + least * np.eye(BUCKETS))
    return single(points.mean(axis=0)), single(np.linalg.inv(lower))


def tried(
    points: Numbers, size: int, draws: int, chance: np.random.Generator
) -> tuple[float, Numbers]:
    """Return the spread of texts that a measure was not fitted to, and windows' distances.

    Half of the texts fit a measure, and windows of the other half are judged by it; then the
    halves change places, and everything again with other halves.

    :param points: [texts, 256].
    :returns: the mean squared whitened length, and [draws] squared distances over ``noise``.
    """
    spreads: list[float] = []
    found: list[float] = []
    for split in range(SPLITS):
        order = chance.permutation(len(points))
        half = len(points) // 2
        for turn, (one, other) in enumerate(
            [(order[:half], order[half:]), (order[half:], order[:half])]
        ):
            mean, whitening = whitened(points[one])
            apart = (points[other] - mean) @ whitening.T
            spreads.append(float((apart**2).sum(axis=1).mean()))
            share = len(range(2 * split + turn, draws, 2 * SPLITS))
            for _draw in range(share):
                # Texts come twice only where there are too few to fill a window.
                taken = chance.choice(len(other), size, replace=len(other) < size)
                between = apart[taken].mean(axis=0)
                found.append(float(between @ between) / noise(size, len(one)))
    return float(np.mean(spreads)), single(np.array(found))


def single(values: NDArray[Any]) -> Numbers:
    """Return numbers rounded to single precision, as a reference keeps them."""
    return values.astype(np.float32).astype(np.float64)
