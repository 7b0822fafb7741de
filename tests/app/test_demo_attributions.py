"""Which words decided, told by leaving them out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from app.service.demo import attributions

WORTH = {"money": 0.5, "late": -0.25, "钱": 0.5, "请": 0.125}


class Adding:
    """A model whose score is the sum of what each word is worth; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def ask(self, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        self.asked.append(list(texts))
        return [[("other", 0.5), ("refund", worth(text))] for text in texts]


def worth(text: str) -> float:
    return sum(value * text.count(word) for word, value in WORTH.items())


def explained(text: str, most: int = 48) -> tuple[dict[str, float], Adding]:
    model = Adding()
    found = asyncio.run(attributions.explain(model.ask, text, "refund", most=most))
    assert "".join(piece for piece, _weight in found) == text
    return {piece.strip(): weight for piece, weight in found}, model


def test_each_word_weighs_what_it_is_worth() -> None:
    weights, model = explained("my money is late today")
    assert weights == {"my": 0, "money": 0.5, "is": 0, "late": -0.25, "today": 0}
    assert len(model.asked) == 1


def test_chinese_is_cut_into_words() -> None:
    weights, _model = explained("请退钱，我的包裹没到")
    assert weights["请"] == 0.125
    assert next(weight for word, weight in weights.items() if "钱" in word) == 0.5
    assert weights["，"] == 0
    assert "包裹" in weights


@pytest.mark.parametrize("most", [2, 3, 8, 48])
@pytest.mark.parametrize("place", [0, 399, 799])
def test_the_word_that_decides_is_found_in_a_long_text(most: int, place: int) -> None:
    words = ["the"] * 800
    words[place] = "money"
    weights, model = explained(" ".join(words), most)
    heaviest = max(weights, key=lambda piece: weights[piece])
    assert "money" in heaviest
    assert len(heaviest.split()) <= (2 if most == 48 else 800 // (most // 2) + 1)
    assert sum(len(texts) for texts in model.asked) <= most + 1
    assert len(model.asked) <= 2


@pytest.mark.parametrize("text", ["money", " money ", "钱"])
def test_one_piece_alone_weighs_its_score(text: str) -> None:
    weights, model = explained(text)
    assert list(weights.values()) == [0.5]
    assert model.asked == [[text]]


@given(some.text(min_size=1), some.integers(2, 12))
@example(" \n a\t", 2)
@example("_ [MASK] a@b.cn https://x.cn/钱", 4)
def test_whatever_the_text_its_pieces_join_to_it(text: str, most: int) -> None:
    _weights, model = explained(text, most)
    assert sum(len(texts) for texts in model.asked) <= most + 1


@given(some.text(min_size=1))
def test_no_altered_text_is_empty(text: str) -> None:
    if text.isspace():
        return
    _weights, model = explained(text)
    assert not any(one.isspace() or not one for one in model.asked[0])
