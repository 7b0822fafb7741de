"""Augmenting: copies differ from all there is, keep what turns a meaning, repeat by the seed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.steps.augmenting import METHODS, Copies, Recipe, apportion, copies
from pipeline.steps.splitting import bare_digest
from pipeline.steps.synonyms import parse, refuse_missing
from pipeline.steps.text import key
from pipeline.steps.wording import free, tokens, words

TABLE = parse(
    "quick\tfast\tswift\nmovie\tfilm\n天气\t气候\n# a remark\n\nphone\tmobile phone", "t.tsv"
)
TEXTS = st.text(
    st.sampled_from("abc not 快递天气很好不错，。！?[] 12\n"), min_size=0, max_size=40
) | st.text(max_size=30)
ALL = ["synonym", "insert", "delete", "swap"]


def made(
    texts: list[str], *, share: float = 1.0, held: tuple[str, ...] = (), **others: object
) -> Copies:
    knobs = {"methods": ALL, "words": 0.2, "table": TABLE, "seed": 1} | others
    recipe = Recipe(held={bare_digest(one) for one in held}, **knobs)  # type: ignore[arg-type]
    ids = [f"id {text}" for text in texts]
    return copies(ids, texts, ["a"] * len(texts), share=share, recipe=recipe)


def varied(method: str, text: str, *, changed: int = 1, seed: int = 1) -> str | None:
    found = METHODS[method](tokens(text), changed, random.Random(seed), TABLE)
    return None if found is None else "".join(one.text for one in found)


@given(TEXTS)
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(one.text for one in tokens(text)) == text


@pytest.mark.parametrize(
    ("text", "able"),
    [
        ("I don't like it, not good at all", ["I", "it", "at", "all"]),
        ("call [PHONE] or a@b.org, see https://a.b/c", ["call", "or", "see"]),
        ("3.5 stars for 2 films", ["stars", "for", "films"]),
        ("Never again without you", []),
        ("快递很快，我没有不满意", ["快递", "很快", "我"]),
        ("质量不错，特别好", ["质量"]),
    ],
)
def test_what_turns_a_meaning_neither_goes_nor_moves(text: str, able: list[str]) -> None:
    pieces = tokens(text)
    assert [pieces[at].text for at in free(pieces)] == able


@given(st.lists(TEXTS, max_size=8, unique=True), st.lists(TEXTS, max_size=8), st.integers(0, 3))
def test_no_copy_is_there_already(texts: list[str], held: list[str], seed: int) -> None:
    found = made(texts, share=2.0, held=tuple(held), seed=seed).made
    keys = [key(one.text) for one in found]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {key(one) for one in (*texts, *held)}
    assert not {bare_digest(one.text) for one in found} & {bare_digest(one) for one in held}
    assert len({one.id for one in found}) == len(found)


@given(st.lists(TEXTS, max_size=8, unique=True), st.integers(0, 3))
def test_masks_numbers_and_negations_stay(texts: list[str], seed: int) -> None:
    for copy in made([f"{one} [EMAIL] not 42" for one in texts], share=2.0, seed=seed).made:
        for kept in ("[EMAIL]", "not", "42"):
            assert kept in copy.text


def test_the_order_of_records_does_not_matter() -> None:
    texts = [f"the quick fox number{at} likes a movie and many other things" for at in range(30)]
    first, again = made(texts, share=0.5).made, made(texts[::-1], share=0.5).made
    assert [(one.id, one.text, one.method) for one in first] == [
        (one.id, one.text, one.method) for one in again
    ]
    other = made(texts, share=0.5, seed=2).made
    assert {one.text for one in other} != {one.text for one in first}


def test_what_is_held_back_is_made_by_no_way() -> None:
    """Of two words one can go, or both change places; both results stand in the test."""
    only = {"methods": ["delete", "swap"], "share": 3.0}
    assert {one.text for one in made(["red fox"], **only).made} == {"red", "fox", "fox red"}
    held = ("Red!", "fox", "Fox, red.")
    found = made(["red fox"], held=held, **only)
    assert (found.wanted, found.made) == ({"a": 3}, [])


def test_records_that_cannot_be_varied_leave_their_place_to_others() -> None:
    found = made(["!!!", "?", *(f"some longer words {at}" for at in range(8))], share=0.8)
    assert found.wanted == {"a": 8}
    assert sorted({one.of for one in found.made}) == list(range(2, 10))


def test_labels_get_their_share_each() -> None:
    labels = ["x"] * 50 + ["y"] * 10 + ["z"] * 3
    texts = [f"a few words and the number{at}" for at in range(63)]
    recipe = Recipe(methods=["delete"], words=0.1, table={}, seed=1, held=set())
    found = copies([str(at) for at in range(63)], texts, labels, share=0.2, recipe=recipe)
    assert (
        Counter(labels[one.of] for one in found.made) == found.wanted == {"x": 10, "y": 2, "z": 1}
    )
    assert len({one.of for one in found.made}) == 13, "each record is varied once before any twice"


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 99)), st.floats(0.01, 10))
def test_shares_add_up(sizes: dict[str, int], share: float) -> None:
    given_ = apportion(sizes, share)
    assert sum(given_.values()) == round(sum(size * share for size in sizes.values()))
    assert all(abs(given_[name] - size * share) < 1 + 1e-6 for name, size in sizes.items())


def test_synonyms_keep_capitals_and_stand_where_the_word_stood() -> None:
    assert varied("synonym", "MOVIE night") == "FILM night"
    assert varied("synonym", "Movie, please") == "Film, please"
    assert varied("synonym", "今天的天气很好") == "今天的气候很好"
    assert varied("synonym", "nothing known here") is None


def test_insertion_takes_synonyms_and_else_marks() -> None:
    found = varied("insert", "a movie night")
    assert found is not None
    assert sorted(found.split()) == ["a", "film", "movie", "night"]
    assert varied("insert", "今天的天气") in {"今天气候的天气", "今天的气候天气", "今天的天气气候"}
    marked = varied("insert", "two words")
    assert marked is not None
    assert key(marked) != "two words"
    assert bare_digest(marked) == bare_digest("two words")


@pytest.mark.parametrize("seed", range(8))
def test_chinese_marks_are_those_that_the_text_may_have(seed: int) -> None:
    """Where clean has written half-width marks, a full-width one would be new to the model."""
    plain, full = (
        varied("insert", "很好,快递", seed=seed),
        varied("insert", "很好，快递", seed=seed),
    )
    assert plain is not None
    assert full is not None
    assert not set(plain) & set("，；：！？")
    assert not set(full) & set(";:!?,")


def test_deletion_leaves_a_word_and_no_double_space() -> None:
    assert varied("delete", "word") is None
    assert varied("delete", "not good") is None
    for seed in range(9):
        found = varied("delete", "one two three", changed=9, seed=seed)
        assert found is not None
        assert found.strip() in ("one", "two", "three")
        again = varied("delete", "one two three", seed=seed)
        assert again is not None
        assert "  " not in again


def test_swaps_are_of_neighbours_that_no_mark_parts() -> None:
    assert varied("swap", "one, two") is None
    assert varied("swap", "same Same") is None
    assert varied("swap", "one two, not three") == "two one, not three"


def test_a_share_of_the_words_changes() -> None:
    text = " ".join(f"w{chr(97 + at)}" for at in range(20))
    recipe = Recipe(methods=["delete"], words=0.25, table={}, seed=1, held=set())
    found = copies(["id"], [text], ["a"], share=1, recipe=recipe).made
    assert len(words(tokens(found[0].text))) == 15


def test_a_table_of_synonyms() -> None:
    assert TABLE["quick"] == ("fast", "swift")
    assert TABLE["swift"] == ("quick", "fast")
    assert TABLE["mobile phone"] == ("phone",)
    assert parse("\ufeffBig\tlarge\nbig\thuge", "t.tsv")["big"] == ("large", "huge")


def test_what_is_no_table_is_named_line_by_line() -> None:
    with pytest.raises(DataError) as caught:
        parse("a\tb\nquick fast\n\nc\tc", "data/raw/t.tsv")
    assert [one.where for one in caught.value.problems] == ["data/raw/t.tsv:2", "data/raw/t.tsv:4"]
    with pytest.raises(DataError, match="no synonyms"):
        parse("# nothing yet\n", "data/raw/t.tsv")


def test_synonyms_without_a_table_are_refused() -> None:
    refuse_missing(["insert", "delete", "swap"], None)
    refuse_missing(["synonym"], "data/raw/t.tsv")
    with pytest.raises(DataError, match="no table comes with Mofang"):
        refuse_missing(ALL, None)
