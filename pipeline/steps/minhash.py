"""The compiled inner loops of near-duplicate search, over texts as one block of UTF-8 bytes.

Only ``near_duplicates`` imports this module, and only when it is needed: numba takes half a second
to import. Compiled code is kept beside the module, so a second process does not compile again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Array = np.ndarray[Any, Any]

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, near 2^64 / golden ratio: consecutive values spread
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)  # finalizer of splitmix64 (Steele, Lea, Flood 2014)
MIX_2 = np.uint64(0x94D049BB133111EB)
SPACE = 32

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call; other threads go on while it runs."""
    done: Any = numba.njit(cache=True, nogil=True)(function)
    return cast("Function", done)


@compiled
def mixed(value: Any) -> Any:  # pragma: no cover - compiled
    """Return 64 bits that look random for every change of one bit (splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * MIX_1
    value = (value ^ (value >> np.uint64(27))) * MIX_2
    return value ^ (value >> np.uint64(31))


@compiled
def shingle(text: Any, size: Any, by_word: Any, found: Any) -> Any:  # pragma: no cover - compiled
    """Write the hash of every shingle of one text into ``found`` and return how many there are.

    A rolling hash: each character (or word) enters once and leaves once, whatever ``size`` is. A
    text shorter than a shingle is one shingle; the empty text has none.

    :param text: UTF-8 bytes of one text.
    :param found: room for as many hashes as the text has bytes.
    """
    window = np.zeros(size, np.uint64)
    leaving = np.uint64(1)
    for _step in range(size):
        leaving *= FACTOR
    rolling, word, units, count = np.uint64(0), np.uint64(0), 0, 0
    at, end = 0, len(text)
    while at <= end:
        unit, complete = np.uint64(0), False
        if at == end:
            complete = by_word and word != 0
            unit, at = word, at + 1
        else:
            first = text[at]
            length = 1 if first < 128 else 2 if first < 224 else 3 if first < 240 else 4
            point = np.uint64(0)
            for step in range(length):
                point = (point << np.uint64(8)) | np.uint64(text[at + step])
            at += length
            if not by_word:
                unit, complete = point, True
            elif point == SPACE:
                unit, complete, word = word, word != 0, np.uint64(0)
            else:
                word = mixed(word * FACTOR + point) | np.uint64(1)
        if complete:
            place = units % size
            rolling = rolling * FACTOR + unit - window[place] * leaving
            window[place] = unit
            units += 1
            if units >= size:
                found[count] = mixed(rolling)
                count += 1
    if units and not count:
        found[0], count = mixed(rolling), 1
    return count


@compiled
def sketch(
    data: Any, offsets: Any, shape: Any, functions: Any, rows: Any
) -> Any:  # pragma: no cover - compiled
    """Return one key a band for each text.

    MinHash (Broder 1997) with the family ``factor × hash + addend`` modulo 2^32, whose high bits
    are as good as random (multiply-shift, Dietzfelbinger et al. 1997); ``rows`` minima make the
    key of a band. Texts without a shingle get keys of their own, so that they match nothing.

    :param data: UTF-8 bytes of all texts.
    :param offsets: where each text starts in ``data``, and the end.
    :param shape: of a shingle: its size, and whether it counts words.
    :param functions: factors (odd) and addends of the hash functions, uint32 both.
    :returns: uint32, [texts, bands].
    """
    size, by_word = shape
    factors, addends = functions
    texts, count_of_functions = len(offsets) - 1, len(factors)
    bands = count_of_functions // rows
    keys = np.empty((texts, bands), np.uint32)
    minima = np.empty(count_of_functions, np.uint32)
    longest = 1
    for text in range(texts):
        longest = max(longest, offsets[text + 1] - offsets[text])
    found = np.empty(longest, np.uint64)
    for text in range(texts):
        count = shingle(data[offsets[text] : offsets[text + 1]], size, by_word, found)
        minima[:] = np.uint32(0xFFFFFFFF)
        for at in range(count):
            value = np.uint32(found[at] >> np.uint64(32))
            for function in range(count_of_functions):
                other = np.uint32(value * factors[function] + addends[function])
                minima[function] = min(minima[function], other)
        for band in range(bands):
            key = np.uint64(band + 1) if count else mixed(np.uint64(text + 1) * FACTOR)
            for row in range(rows):
                key = mixed(key * FACTOR + np.uint64(minima[band * rows + row]))
            keys[text, band] = np.uint32(key >> np.uint64(32))
    return keys


@compiled
def slots_for(count: Any) -> Any:  # pragma: no cover - compiled
    """Return a power of two, at least twice ``count``: a hash table that stays half empty."""
    slots = 4
    while slots < 2 * count:
        slots *= 2
    return slots


@compiled
def place(table: Any, mask: Any, value: Any) -> Any:  # pragma: no cover - compiled
    """Return where ``value`` stands in a hash table, or the free place where it belongs."""
    at = value & mask
    while table[at] != 0 and table[at] != value:
        at = (at + np.uint64(1)) & mask
    return at


@compiled
def alike(
    data: Any, offsets: Any, pairs: Any, shape: Any, threshold: Any
) -> Any:  # pragma: no cover - compiled
    """Return for each pair whether its texts share enough shingles (exact Jaccard similarity).

    :param pairs: position of the first text of each pair, and of the second.
    :param shape: of a shingle: its size, and whether it counts words.
    :returns: bool, [pairs].
    """
    firsts, seconds = pairs
    size, by_word = shape
    verdict = np.zeros(len(firsts), np.bool_)
    longest = 1
    for pair in range(len(firsts)):
        longest = max(longest, offsets[firsts[pair] + 1] - offsets[firsts[pair]])
        longest = max(longest, offsets[seconds[pair] + 1] - offsets[seconds[pair]])
    found = np.empty(longest, np.uint64)
    table = np.empty(slots_for(longest), np.uint64)
    counted = np.empty(len(table), np.bool_)
    for pair in range(len(firsts)):
        one, other = firsts[pair], seconds[pair]
        count = shingle(data[offsets[one] : offsets[one + 1]], size, by_word, found)
        slots = slots_for(count)
        mask = np.uint64(slots - 1)
        table[:slots] = np.uint64(0)
        counted[:slots] = False
        ours = 0
        for at in range(count):
            value = found[at] | np.uint64(1)  # zero marks a free place
            slot = place(table, mask, value)
            ours += table[slot] == 0
            table[slot] = value
        count = shingle(data[offsets[other] : offsets[other + 1]], size, by_word, found)
        if count < threshold * ours:
            continue
        common, only = 0, np.uint64(0)
        fresh = found[:count]
        theirs = 0
        for at in range(count):
            value = fresh[at] | np.uint64(1)
            slot = place(table, mask, value)
            if table[slot] == value and not counted[slot]:
                counted[slot] = True
                common += 1
            elif table[slot] == 0:
                fresh[theirs] = value
                theirs += 1
        if common < threshold * ours:
            continue
        # What only the second text has counts once, too: sort the little that is left.
        rest = np.sort(fresh[:theirs])
        others = 0
        for at in range(theirs):
            others += at == 0 or rest[at] != only
            only = rest[at]
        verdict[pair] = common > 0 and common >= threshold * (ours + others)
    return verdict


@compiled
def root(leader: Any, at: Any) -> Any:  # pragma: no cover - compiled
    """Return the first text of the cluster that a text belongs to, shortening the way there."""
    while leader[at] != at:
        leader[at] = leader[leader[at]]
        at = leader[at]
    return at


@compiled
def unite(leader: Any, firsts: Any, seconds: Any) -> None:  # pragma: no cover - compiled
    """Join the clusters of each pair; the text that comes first leads."""
    for pair in range(len(firsts)):
        one, other = root(leader, firsts[pair]), root(leader, seconds[pair])
        if one < other:
            leader[other] = one
        elif other < one:
            leader[one] = other


@compiled
def apart(leader: Any, firsts: Any, seconds: Any) -> Any:  # pragma: no cover - compiled
    """Return for each pair whether its texts are in different clusters so far."""
    verdict = np.zeros(len(firsts), np.bool_)
    for pair in range(len(firsts)):
        verdict[pair] = root(leader, firsts[pair]) != root(leader, seconds[pair])
    return verdict


@compiled
def settle(leader: Any) -> None:  # pragma: no cover - compiled
    """Let every text point at the first of its cluster."""
    for at in range(len(leader)):
        leader[at] = root(leader, at)
