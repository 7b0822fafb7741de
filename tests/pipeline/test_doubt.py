"""Doubt: planted errors are found, families stay together, and little data is no obstacle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.modeling.doubt import NOTES, Doubts, answers, assigned, out_of_fold, suspects

WORDS = {
    "fruit": ["apple", "pear", "plum", "cherry", "grape", "melon", "lemon", "fig"],
    "tool": ["hammer", "saw", "drill", "wrench", "pliers", "chisel", "file", "clamp"],
    "水果": ["苹果", "梨子", "李子", "樱桃", "葡萄", "甜瓜", "柠檬", "无花果"],
}
NAMES = sorted(WORDS)


def made(records: int, seed: int = 0) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(seed)
    labels = [NAMES[at] for at in random.integers(0, len(NAMES), records)]
    texts = [" ".join(random.choice([*WORDS[one], "and", "with"], 4)) for one in labels]
    return texts, labels


def asked(
    texts: Sequence[str], labels: Sequence[str | None], families: Sequence[str] | None = None
) -> Doubts:
    families = families or [f"f{at}" for at in range(len(texts))]
    return out_of_fold(texts, labels, families, names=NAMES, folds=5, seed=1)


def test_planted_errors_are_found_first() -> None:
    texts, labels = made(400)
    wrong = {at: NAMES[(NAMES.index(labels[at]) + 1) % 3] for at in range(0, 400, 20)}
    given = [wrong.get(at, label) for at, label in enumerate(labels)]
    doubts = asked(texts, given)
    number, found = suspects(doubts, given, [False] * 400, 15)
    assert number >= 18
    assert len(found) == 15
    assert all(one.at in wrong and one.suggested == labels[one.at] for one in found)
    assert all(one.label == given[one.at] for one in found)
    scores = [one.score for one in found]
    assert scores == sorted(scores)
    assert all(one.probability < one.probability_suggested for one in found)
    chances = doubts.of(given)
    right = [one for at, one in enumerate(chances) if at not in wrong and one is not None]
    assert np.mean(right) > 0.8
    assert np.mean([chances[at] or 0 for at in wrong]) < 0.2


def test_what_a_person_decided_is_not_listed_again() -> None:
    texts, labels = made(100)
    labels[0] = NAMES[(NAMES.index(labels[0]) + 1) % 3]
    doubts = asked(texts, labels)
    assert 0 in [one.at for one in suspects(doubts, labels, [False] * 100, 50)[1]]
    settled = [at == 0 for at in range(100)]
    assert 0 not in [one.at for one in suspects(doubts, labels, settled, 50)[1]]


def test_a_near_duplicate_does_not_vouch_for_its_twin() -> None:
    """A wrong label that stands on both twins is believed only while they are in one training."""
    texts, labels = made(200)
    texts += ["zebra yak xenon quartz"] * 2
    labels += ["tool"] * 2
    apart = asked(texts, labels).of(labels)[-1]
    names = [f"f{at}" for at in range(200)]
    together = asked(texts, labels, [*names, "twins", "twins"]).of(labels)[-1]
    assert apart is not None
    assert together is not None
    assert apart > 0.5 > together


def test_the_same_records_give_the_same_bytes() -> None:
    texts, labels = made(120)
    first = asked(texts, labels)
    assert np.array_equal(asked(texts, labels).probabilities, first.probabilities)
    other = out_of_fold(
        texts, labels, [f"f{at}" for at in range(120)], names=NAMES, folds=5, seed=2
    )
    assert not np.array_equal(other.probabilities, first.probabilities)


def test_rare_labels_and_records_without_one_are_not_judged() -> None:
    texts, labels = made(60)
    labels = [one if one != "tool" else "fruit" for one in labels]
    given: list[str | None] = [*labels, "tool", None]
    doubts = asked([*texts, "hammer saw", "apple"], given)
    assert doubts.rare == {"tool": 1}
    assert doubts.of(given)[-2:] == [None, None]
    assert None not in doubts.of(given)[:-2]
    suspects(doubts, given, [False] * 62, 5)


@pytest.mark.parametrize(
    ("texts", "labels", "note"),
    [
        ([], [], "few_labels"),
        (["x", "y"], [None, None], "few_labels"),
        (["x", "y", "z"], ["tool"] * 3, "few_labels"),
        ([" ", "", " ", ""], ["tool", "fruit"] * 2, "no_words"),
    ],
)
def test_too_little_is_named(texts: list[str], labels: list[str | None], note: str) -> None:
    doubts = asked(texts, labels)
    assert doubts.note == note
    assert str(NOTES[note])
    assert doubts.of(labels) == [None] * len(texts)
    assert suspects(doubts, labels, [False] * len(texts), 5) == (0, [])


@given(
    st.lists(
        st.tuples(st.sampled_from([*NAMES, None]), st.sampled_from("uvwxyz"), st.text(max_size=4)),
        max_size=14,
    )
)
def test_small_sets_are_no_obstacle(rows: list[tuple[str | None, str, str]]) -> None:
    labels, families, texts = [[row[at] for row in rows] for at in range(3)]
    doubts = asked([str(one) for one in texts], labels, [str(one) for one in families])
    for label, chance in zip(labels, doubts.of(labels), strict=True):
        assert chance is None or (label is not None and 0 <= chance <= 1)
    suspects(doubts, labels, [False] * len(rows), 5)


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2)), min_size=1),
    st.integers(2, 6),
)
def test_a_family_is_in_one_fold(rows: list[tuple[str, int]], folds: int) -> None:
    families, labels = [row[0] for row in rows], [row[1] for row in rows]
    found = assigned(families, labels, folds, 1)
    fold = dict(zip(families, found, strict=True))
    assert all(fold[family] == one for family, one in zip(families, found, strict=True))
    sizes = np.bincount(list(fold.values()), minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    assert set(found) <= set(range(folds))


def test_a_label_is_spread_over_the_folds() -> None:
    found = assigned([f"f{at}" for at in range(60)], [0] * 30 + [1] * 30, 5, 1)
    for one, other in combinations(range(5), 2):
        assert abs((found[:30] == one).sum() - (found[:30] == other).sum()) <= 1


def test_answers_are_probabilities_of_all_texts() -> None:
    texts, labels = made(150)
    known = [label if at < 100 else None for at, label in enumerate(labels)]
    found = answers(texts, known, names=[*NAMES, "other"], seed=1)
    assert found is not None
    assert np.allclose(found.sum(axis=1), 1)
    assert [NAMES[at] for at in found[100:].argmax(axis=1)] == labels[100:]
    assert (found[:, 3] == 0).all()
    assert answers(texts, [None] * 150, names=NAMES, seed=1) is None


def test_no_torch_comes_in() -> None:
    """Neither by this module nor by cleanlab; another test may have brought it before."""
    import subprocess

    code = (
        "import sys; from pipeline.modeling import doubt; from pipeline.steps import consensus; "
        "assert 'sklearn' not in sys.modules and 'cleanlab' not in sys.modules; "
        "import cleanlab.filter, cleanlab.rank, cleanlab.multiannotator; "
        "found = {'torch', 'tensorflow', 'transformers', 'keras'} & set(sys.modules); "
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
