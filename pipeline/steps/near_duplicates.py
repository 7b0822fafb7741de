"""Near-duplicates: texts that share most of their shingles, found without comparing all pairs.

MinHash keys (one a band) propose pairs, the exact Jaccard similarity of their shingles decides.
Candidates of a band are a text with the first and with the previous of its bucket, never all pairs
of a bucket, so that a million texts of one template cost no more than a million others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Alike = Callable[[Array, Array], Array]

FUNCTIONS = 128  # hash functions; more propose surer and cost in proportion
SURE = 0.985  # chance that a pair exactly at the threshold is proposed
PAIRS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Family:
    """The hash functions of a search."""

    size: int
    by_word: bool
    threshold: float
    rows: int
    factors: Array
    addends: Array

    @property
    def shape(self) -> tuple[int, bool]:
        """Return the size of a shingle, and whether it counts words."""
        return self.size, self.by_word

    @property
    def bands(self) -> int:
        """Return how many keys a text gets."""
        return len(self.factors) // self.rows


def family(*, threshold: float, shingle: str, size: int, seed: int) -> Family:
    """Return the hash functions for a threshold.

    A pair of similarity s shares a band of r rows with probability s^r, and one of b bands with
    1 − (1 − s^r)^b (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4.2). The most
    rows that still find a pair at the threshold with probability ``SURE`` propose the fewest
    others.

    :param shingle: ``character`` or ``word``.
    """
    rows = 1
    while 1 - (1 - threshold ** (rows + 1)) ** (FUNCTIONS // (rows + 1)) >= SURE:
        rows += 1
    functions = FUNCTIONS // rows * rows
    random = np.random.Generator(np.random.PCG64(seed))
    factors = random.integers(0, 2**32, functions, dtype=np.uint32) | np.uint32(1)
    addends = random.integers(0, 2**32, functions, dtype=np.uint32)
    return Family(size, shingle == "word", threshold, rows, factors, addends)


def block(texts: Sequence[str]) -> tuple[Array, Array]:
    """Return texts as one block of UTF-8 bytes, and where each starts, with the end."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def band_keys(data: Array, offsets: Array, search: Family) -> Array:
    """Return the keys of each text.

    :param data: UTF-8 bytes of all texts, as ``block`` returns them.
    :returns: uint32, [texts, bands].
    """
    from pipeline.steps import minhash

    keys: Array = minhash.sketch(
        data, offsets, search.shape, (search.factors, search.addends), search.rows
    )
    return keys


def similar(data: Array, offsets: Array, search: Family, *, threads: int) -> Alike:
    """Return the function that compares the texts of pairs, by their positions.

    :param threads: how many compare at the same time; the answer is the same for any number.
    """
    from pipeline.steps import minhash

    def compare(pairs: tuple[Array, Array]) -> Array:
        verdict: Array = minhash.alike(data, offsets, pairs, search.shape, search.threshold)
        return verdict

    def alike(firsts: Array, seconds: Array) -> Array:
        starts = range(0, len(firsts), PAIRS_AT_ONCE // 16)
        parts = [(firsts[at : at + starts.step], seconds[at : at + starts.step]) for at in starts]
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate([np.zeros(0, np.bool_), *pool.map(compare, parts)])

    return alike


def clusters(count: int, bands: Iterable[Array], alike: Alike) -> Array:
    """Return for each text the first text of its cluster; a text by itself leads its own.

    Memory: 24 bytes a text beside ``bands``, which may lie on the disk.

    :param bands: for each band the key of every text, uint32.
    :param alike: decides pairs.
    :returns: int64, [texts].
    """
    from pipeline.steps import minhash

    leader = np.arange(count)
    for keys in bands:
        firsts, seconds = candidates(np.asarray(keys))
        for at in range(0, len(firsts), PAIRS_AT_ONCE):
            one, other = firsts[at : at + PAIRS_AT_ONCE], seconds[at : at + PAIRS_AT_ONCE]
            unknown = minhash.apart(leader, one, other)
            one, other = one[unknown], other[unknown]
            proven = alike(one, other)
            minhash.unite(leader, one[proven], other[proven])
    minhash.settle(leader)
    return leader


def candidates(keys: Array) -> tuple[Array, Array]:
    """Return the pairs that one band proposes: each text of a bucket with its first and previous.

    :param keys: uint32, [texts].
    :returns: positions of the first and of the second text of each pair, int64.
    """
    packed = (keys.astype(np.uint64) << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    places = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
    packed >>= np.uint64(32)
    same = np.concatenate([np.zeros(1, np.bool_), packed[1:] == packed[:-1]])[: len(keys)]
    starts = np.where(same, 0, np.arange(len(keys)))
    np.maximum.accumulate(starts, out=starts)
    again = np.flatnonzero(same)
    far = again[starts[again] < again - 1]
    firsts = np.concatenate([places[again - 1], places[starts[far]]])
    seconds = np.concatenate([places[again], places[far]])
    return firsts, seconds
