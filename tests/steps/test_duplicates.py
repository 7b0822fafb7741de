"""Exact duplicates: the sorted arrays say what a plain loop over the records says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.steps import duplicates
from pipeline.steps.duplicates import CONTRADICTS, REPEATS, STAYS, exact, hashes

RECORDS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None])), max_size=25
)


@given(RECORDS, st.booleans(), st.booleans())
def test_exact_is_what_a_loop_says(
    records: list[tuple[str, str | None]], again: bool, against: bool
) -> None:
    verdict = exact(
        hashes([text for text, _label in records]),
        hashes([label for _text, label in records]),
        duplicates=again,
        contradictions=against,
    )
    seen = set()
    for (text, label), said in zip(records, verdict, strict=True):
        labels = {other for same, other in records if same == text and other is not None}
        if against and len(labels) > 1:
            assert said == CONTRADICTS
        elif again and (text, label) in seen:
            assert said == REPEATS
        else:
            assert said == STAYS
        seen.add((text, label))


@given(st.lists(st.sampled_from("abcdef"), max_size=30))
def test_first_of_each_text_in_order(texts: list[str]) -> None:
    first, which = duplicates.first_of_each(hashes(texts))
    assert [texts[at] for at in first] == list(dict.fromkeys(texts))
    assert [texts[first[at]] for at in which] == texts


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["x", "y", None]),
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        max_size=25,
    ),
    st.sampled_from(["first", "longest", "newest"]),
)
def test_one_record_a_cluster_and_label_stays(
    records: list[tuple[int, str | None, int, int]], keep: str
) -> None:
    clusters = np.array([one[0] for one in records], np.int64)
    stays = duplicates.representatives(
        clusters,
        hashes([one[1] for one in records]),
        keep=keep,
        lengths=np.array([one[2] for one in records], np.int64),
        times=np.array([one[3] for one in records], np.int64),
    )
    for cluster in set(clusters.tolist()):
        inside = [at for at, one in enumerate(records) if one[0] == cluster]
        labels = {records[at][1] for at in inside}
        wanted = labels - {None} or {None}
        kept = [at for at in inside if stays[at]]
        assert sorted(str(records[at][1]) for at in kept) == sorted(map(str, wanted))
        for at in kept:
            rivals = [other for other in inside if records[other][1] == records[at][1]]
            best = {
                "first": min(rivals),
                "longest": min(rivals, key=lambda one: (-records[one][2], one)),
                "newest": min(rivals, key=lambda one: (-records[one][3], one)),
            }[keep]
            assert at == best


def test_no_label_has_the_hash_that_stands_for_none() -> None:
    assert hashes([None])[0] == duplicates.NO_LABEL
    assert duplicates.NO_LABEL not in hashes([str(number) for number in range(1_000)])
