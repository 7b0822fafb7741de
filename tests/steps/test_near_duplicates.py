"""Near-duplicates: keys propose, shingles decide, and nothing depends on threads or order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps import near_duplicates
from pipeline.steps.near_duplicates import block, candidates, clusters, family, similar

LETTERS = random.Random(5)
WORDS = ["".join(LETTERS.choices("aeioulnrstdm", k=LETTERS.randint(2, 9))) for _ in range(500)]


def found(
    texts: Sequence[str], *, threshold: float = 0.7, shingle: str = "character", size: int = 4
) -> list[int]:
    search = family(threshold=threshold, shingle=shingle, size=size, seed=1)
    data, offsets = block(texts)
    bands = list(near_duplicates.band_keys(data, offsets, search).T)
    leader = clusters(len(texts), bands, similar(data, offsets, search, threads=2))
    return [int(one) for one in leader]


def jaccard(one: str, other: str, size: int) -> float:
    """Return the similarity as the definition says, with Python's sets."""
    left, right = (
        {text[at : at + size] for at in range(max(1, len(text) - size + 1))}
        for text in (one, other)
    )
    return len(left & right) / len(left | right)


def test_a_changed_letter_is_found_and_others_are_not() -> None:
    texts = [
        "the quick brown fox jumps over the lazy dog near the river",
        "an entirely different sentence about cooking rice for dinner",
        "the quick brown fox jumps over the lazy dig near the river",
        "这家店的衣服质量很好，快递也很快，下次还会再来买的",
        "这家店的衣服质量很好，快递也很快，下次还会再来卖的",
    ]
    assert found(texts) == [0, 1, 0, 3, 3]


def test_words_are_compared_as_words() -> None:
    one = "a b c d e f g h i j k l m n o p q r s t"
    assert found([one, f"{one} u", one[::-1]], shingle="word", size=3) == [0, 0, 2]


def test_texts_without_a_shingle_match_nothing_and_short_ones_only_themselves() -> None:
    assert found(["", "", "ab", "ab", "abc"]) == [0, 1, 2, 2, 4]
    assert found(["", " ", "word", "word"], shingle="word", size=2) == [0, 1, 2, 2]


@given(
    st.lists(st.text(alphabet="abcé你好𝄞 ", max_size=30), min_size=2, max_size=12),
    st.sampled_from([0.5, 0.7, 0.9]),
    st.integers(1, 5),
)
def test_the_verdict_is_the_exact_similarity(texts: list[str], threshold: float, size: int) -> None:
    search = family(threshold=threshold, shingle="character", size=size, seed=1)
    data, offsets = block(texts)
    firsts, seconds = np.triu_indices(len(texts), 1)
    verdict = similar(data, offsets, search, threads=1)(firsts, seconds)
    for first, second, said in zip(firsts, seconds, verdict, strict=True):
        one, other = texts[first], texts[second]
        expected = bool(one and other) and jaccard(one, other, size) >= threshold
        assert said == expected, (one, other)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
def test_a_pair_at_the_threshold_is_proposed_almost_always(threshold: float) -> None:
    search = family(threshold=threshold, shingle="character", size=4, seed=1)
    missed = (1 - threshold**search.rows) ** search.bands
    assert missed <= 1 - near_duplicates.SURE
    assert search.bands * search.rows <= near_duplicates.FUNCTIONS


def test_two_per_cent_edits_are_found() -> None:
    drawn = random.Random(7)
    texts = [" ".join(drawn.choices(WORDS, k=14)) for _ in range(2_000)]
    edited = []
    for text in texts:
        letters = list(text)
        for at in drawn.sample(range(len(letters)), round(0.02 * len(letters))):
            letters[at] = drawn.choice("qxz")
        edited.append("".join(letters))
    leader = found([*texts, *edited])
    hits = sum(leader[at] == leader[at + 2_000] for at in range(2_000))
    assert hits / 2_000 >= 0.99


def test_a_hot_bucket_stays_linear() -> None:
    """A hundred thousand texts of one key propose two pairs each, not five thousand million."""
    firsts, seconds = candidates(np.zeros(100_000, np.uint32))
    assert len(firsts) <= 200_000
    assert (firsts < seconds).all()


@given(st.lists(st.integers(0, 5), max_size=40))
def test_candidates_share_their_key(values: list[int]) -> None:
    keys = np.array(values, np.uint32)
    firsts, seconds = candidates(keys)
    assert (keys[firsts] == keys[seconds]).all()
    together = {(int(one), int(other)) for one, other in zip(firsts, seconds, strict=True)}
    assert len(together) == len(firsts), "no pair twice"
    for key in set(values):
        members = [at for at, value in enumerate(values) if value == key]
        linked = {members[0]}
        for one, other in sorted(together):
            if one in linked:
                linked.add(other)
        assert set(members) <= linked, "a bucket hangs together"


def test_the_order_of_records_does_not_change_who_belongs_together() -> None:
    drawn = random.Random(3)
    texts = [" ".join(drawn.choices(WORDS, k=12)) for _ in range(300)]
    texts += [f"{text} again" for text in texts[:100]]
    order = list(range(len(texts)))
    drawn.shuffle(order)
    plain = found(texts)
    mixed = found([texts[at] for at in order])

    def together(leader: list[int], names: Sequence[int]) -> set[frozenset[int]]:
        sets: dict[int, set[int]] = {}
        for name, one in zip(names, leader, strict=True):
            sets.setdefault(one, set()).add(name)
        return {frozenset(one) for one in sets.values()}

    assert together(plain, range(len(texts))) == together(mixed, order)
