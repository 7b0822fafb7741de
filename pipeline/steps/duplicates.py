"""Records whose text stands there again: found by sorting hashes, for any number of records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STAYS, CONTRADICTS, REPEATS = 0, 1, 2
NO_LABEL = 0


def hashes(values: Sequence[str | None]) -> Array:
    """Return 64 bits of BLAKE2b for each value; None gives ``NO_LABEL``.

    Among n values the chance that two different ones share a hash is n² / 2^65: one in 37 for a
    billion.

    :returns: uint64, [values].
    """
    digests = [
        int.from_bytes(hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=8).digest())
        if value is not None
        else NO_LABEL
        for value in values
    ]
    return np.array(digests, np.uint64)


def exact(texts: Array, labels: Array, *, duplicates: bool, contradictions: bool) -> Array:
    """Return for each record whether it stays, contradicts others or repeats one.

    :param texts: hash of each text, uint64.
    :param labels: hash of each label; ``NO_LABEL`` where a record has none, which contradicts
        nothing.
    :param duplicates: whether later records with the same text and label repeat the first.
    :param contradictions: whether all records of a text with several labels contradict.
    :returns: int8, [records].
    """
    verdict = np.full(len(texts), STAYS, np.int8)
    order = np.lexsort((labels, texts))  # stable: equal records stay in their order
    text, label = texts[order], labels[order]
    new_text = np.ones(len(order), np.bool_)
    new_text[1:] = text[1:] != text[:-1]
    new_label = new_text.copy()
    new_label[1:] |= label[1:] != label[:-1]
    if duplicates:
        verdict[order[~new_label]] = REPEATS
    if contradictions and len(order):
        starts = np.flatnonzero(new_text)
        known = np.add.reduceat((new_label & (label != NO_LABEL)).astype(np.int64), starts)
        group = np.cumsum(new_text) - 1
        verdict[order[(known > 1)[group]]] = CONTRADICTS
    return verdict


def first_of_each(texts: Array) -> tuple[Array, Array]:
    """Return the first record of each text, in order, and for each record which of those it is.

    :param texts: hash of each text, uint64.
    :returns: positions, int64 [texts]; index into them, int64 [records].
    """
    values, first, index = np.unique(texts, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return first[order], rank[index]


def representatives(
    clusters: Array, labels: Array, *, keep: str, lengths: Array, times: Array
) -> Array:
    """Return which records stay when near-duplicates go: one a cluster and label.

    A record without a label goes when its cluster has one with a label.

    :param clusters: number of each record's cluster, int64.
    :param keep: ``first``, ``longest`` or ``newest``; of equals the first.
    :param lengths: characters; ``times``: microseconds, the lowest where unknown.
    :returns: bool, [records].
    """
    wanted = {"first": np.zeros_like(clusters), "longest": -lengths, "newest": -times}[keep]
    order = np.lexsort((wanted, labels, clusters))
    cluster, label = clusters[order], labels[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (cluster[1:] != cluster[:-1]) | (label[1:] != label[:-1])
    # NO_LABEL sorts first: such a record stays only when nothing else follows in its cluster.
    last_of_cluster = np.ones(len(order), np.bool_)
    last_of_cluster[:-1] = cluster[1:] != cluster[:-1]
    ends = np.flatnonzero(last_of_cluster)
    group = np.searchsorted(ends, np.arange(len(order)))
    lonely = label[ends][group] == NO_LABEL
    stays = np.zeros(len(order), np.bool_)
    stays[order] = new & ((label != NO_LABEL) | lonely)
    return stays
