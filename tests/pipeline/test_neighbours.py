"""What lies nearest to an error: the right order, any script, and nothing that is not near."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.evaluation.neighbours import nearest
from tests.helpers import record

TRAIN = [
    record(0, "where is my parcel", "delivery"),
    record(1, "refund my order please", "refund"),
    record(2, "我的包裹在哪里", "delivery"),
    record(3, "请把钱退给我", "refund"),
    record(4, "Where is my parcel today", "account"),
]


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in found]


def test_the_most_similar_come_first_whatever_their_case() -> None:
    (found,) = nearest([record(9, "WHERE IS MY PARCEL", "account")], TRAIN, 2)
    assert ids(found) == ["r0", "r4"]
    assert found[0]["similarity"] == pytest.approx(1.0)
    assert found[0]["similarity"] > found[1]["similarity"] > 0.5
    assert found[1] | {"similarity": 0} == {
        "id": "r4", "text": "Where is my parcel today", "label": "account", "similarity": 0,
    }  # fmt: skip


def test_chinese_is_compared_by_its_characters() -> None:
    found = nearest([record(9, "包裹在哪里呢", "refund"), record(8, "退钱给我", "x")], TRAIN, 1)
    assert [ids(one) for one in found] == [["r2"], ["r3"]]


def test_the_similarity_is_the_cosine_by_hand() -> None:
    """Six runs each: " a", "ab", "b ", " ab", "ab ", " ab ", of which "ac" shares the first.

    Its weight is 1 (both texts have it), that of each other one ln(3/2) + 1 = 1.405465. So the
    cosine is 1 / (1 + 5 · 1.405465²) = 0.09194.
    """
    train = [record(0, "ab", "x"), record(1, "ac", "y")]
    (found,) = nearest([record(9, "ab", "x")], train, 2)
    assert ids(found) == ["r0", "r1"]
    assert found[0]["similarity"] == pytest.approx(1.0)
    assert found[1]["similarity"] == pytest.approx(0.09194, abs=1e-5)


def test_what_shares_nothing_is_left_out() -> None:
    (found,) = nearest([record(9, "包裹", "x")], TRAIN, 5)
    assert ids(found) == ["r2"]
    (found,) = nearest([record(9, "", "x")], TRAIN, 3)
    assert found == []


def test_copies_are_left_out_for_their_originals() -> None:
    copies = [record(7, "where is my parcel", "delivery", augmented_from="r0")]
    (found,) = nearest([record(9, "where is my parcel", "x")], [*copies, *TRAIN], 3)
    assert "r7" not in ids(found)
    assert ids(found)[0] == "r0"


@pytest.mark.parametrize(
    ("errors", "train", "count"),
    [([], TRAIN, 3), ([record(9, "a", "x")], [], 3), ([record(9, "a", "x")], TRAIN, 0),
     ([record(9, "a", "x")], [record(0, "", "y")], 3)],
)  # fmt: skip
def test_where_there_is_nothing_to_find_nothing_is_found(
    errors: list[Any], train: list[Any], count: int
) -> None:
    assert nearest(errors, train, count) == [[] for _one in errors]


def test_more_may_be_asked_for_than_are_there() -> None:
    (found,) = nearest([record(9, "parcel", "x")], TRAIN[:2], 20)
    assert 1 <= len(found) <= 2


def test_each_error_gets_its_own_whatever_stands_beside_it() -> None:
    errors = [record(10 + at, one["text"], "x") for at, one in enumerate(TRAIN)]
    together = nearest(errors, TRAIN, 3)
    alone = [nearest([one], TRAIN, 3)[0] for one in errors]
    assert [ids(one) for one in together] == [ids(one) for one in alone]
    assert [ids(one)[0] for one in together] == ["r0", "r1", "r2", "r3", "r4"]
