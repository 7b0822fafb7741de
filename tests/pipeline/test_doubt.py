"""Doubt: planted errors are found, families stay together, and little data is no obstacle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.modeling import doubt_several
from pipeline.modeling.doubt import NOTES, answers, out_of_fold, suspects
from pipeline.modeling.folds import Doubts, assigned
from pipeline.steps import targets
from pipeline.steps.scheme import Scheme
from tests.steps.schemes import numbers, several, single

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
    return out_of_fold(texts, labels, families, scheme=single(NAMES), folds=5, seed=1)


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
    for one in found:
        assert one.probability is not None
        assert one.probability_suggested is not None
        assert one.probability < one.probability_suggested
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
        texts, labels, [f"f{at}" for at in range(120)], scheme=single(NAMES), folds=5, seed=2
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
    found = answers(texts, known, scheme=single([*NAMES, "other"]), seed=1)
    assert found is not None
    assert np.allclose(found.sum(axis=1), 1)
    assert [NAMES[at] for at in found[100:].argmax(axis=1)] == labels[100:]
    assert (found[:, 3] == 0).all()
    assert answers(texts, [None] * 150, scheme=single(NAMES), seed=1) is None


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


def mixed(records: int, seed: int = 3) -> tuple[list[str], list[str]]:
    """Return texts with words of no, one, two or three kinds, and which kinds these are."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(records):
        kinds = [name for name in NAMES if random.random() < 0.4]
        words = [str(one) for name in kinds for one in random.choice(WORDS[name], 3)]
        texts.append(" ".join([*words, *random.choice(["and", "with", "some", "more"], 3)]))
        labels.append("|".join(kinds))
    return texts, labels


SETS, SCALE = several(NAMES), numbers()


def out(scheme: Scheme, texts: list[str], labels: Sequence[str | None]) -> Doubts:
    families = [f"f{at}" for at in range(len(texts))]
    return out_of_fold(texts, labels, families, scheme=scheme, folds=5, seed=1)


def test_a_label_too_many_or_too_few_is_found_first() -> None:
    texts, labels = mixed(400)
    wrong = {}
    for at in range(0, 400, 20):
        name = NAMES[at // 20 % 3]
        wrong[at] = targets.joined({*targets.several(labels[at])} ^ {name}, NAMES)
    given = [wrong.get(at, label) for at, label in enumerate(labels)]
    doubts = out(SETS, texts, given)
    number, found = suspects(doubts, given, [False] * 400, 10)
    assert number >= 10, "of twenty; confident learning lists none that is right"
    assert len(found) == 10
    assert all(one.at in wrong and one.suggested == labels[one.at] for one in found)
    assert all(one.label == given[one.at] for one in found)
    for one in found:
        assert one.probability is not None
        assert one.probability_suggested is not None
        assert one.probability < one.probability_suggested
    scores = [one.score for one in found]
    assert scores == sorted(scores)
    settled = [at == found[0].at for at in range(400)]
    assert found[0].at not in [one.at for one in suspects(doubts, given, settled, 400)[1]]


def test_the_probability_of_several_labels_is_a_mean_binary_cross_entropy() -> None:
    """-ln of it: labels a and c, judged 0.9, 0.2 and 0.4: -(ln 0.9 + ln 0.8 + ln 0.4) / 3."""
    doubts = doubt_several.Doubts(["a", "b", "c"], np.array([[0.9, 0.2, 0.4]] * 2), {}, None)
    found = doubts.of(["a|c", None])
    assert found[0] == pytest.approx((0.9 * 0.8 * 0.4) ** (1 / 3), abs=1e-6)
    assert found[1] is None
    rare = doubt_several.Doubts(["a", "b"], np.array([[0.9, np.nan]]), {"b": 1}, None)
    assert rare.of(["a|b"]) == [0.9], "what nobody could judge does not count"


def test_the_score_of_a_record_is_cleanlabs() -> None:
    rank = pytest.importorskip("cleanlab.multilabel_classification.rank")
    random = np.random.default_rng(4)
    chances = random.random((30, 4))
    holds = random.random((30, 4)) < 0.5
    labels = [np.flatnonzero(row).tolist() for row in holds]
    expected = rank.get_label_quality_scores(labels, chances)
    confidence = np.where(holds, chances, 1 - chances)
    assert doubt_several.averaged(confidence) == pytest.approx(expected)


def test_labels_that_hardly_anybody_has_are_not_judged_and_no_obstacle() -> None:
    texts, labels = mixed(80)
    names = [*NAMES, "rare", "none"]
    labels[0] = targets.joined([*targets.several(labels[0]), "rare"], names)
    doubts = out(several(names), texts, [*labels[:-1], None])
    assert doubts.rare == {"rare": 1}
    assert None not in doubts.of(labels)[:-1]
    assert np.isnan(doubts.probabilities[:, 3:]).all()
    suspects(doubts, labels, [False] * 80, 5)


def rated(records: int, seed: int = 5) -> tuple[list[str], list[float]]:
    """Return texts with words that add up to a number between 0 and 12, and this number."""
    random = np.random.default_rng(seed)
    worth = {"awful": 0, "poor": 1, "fair": 2, "good": 3, "great": 4}
    rows = [random.choice(list(worth), 3) for _ in range(records)]
    return [" ".join(row) for row in rows], [float(sum(worth[one] for one in row)) for row in rows]


def test_wrong_numbers_are_found_first() -> None:
    texts, values = rated(400)
    wrong = {at: 12 - values[at] for at in range(400) if abs(12 - 2 * values[at]) > 7 and at % 2}
    wrong = dict(list(wrong.items())[:10])
    given = [repr(wrong.get(at, value)) for at, value in enumerate(values)]
    doubts = out(SCALE, texts, given)
    number, found = suspects(doubts, given, [False] * 400, 50)
    assert len(wrong) == 10
    assert {one.at for one in found[:10]} == set(wrong)
    assert number == len(found)
    for one in found[:10]:
        assert abs(float(one.suggested) - values[one.at]) < 4 < abs(wrong[one.at] - values[one.at])
        assert (one.probability, one.probability_suggested) == (None, None)
        assert 0 <= one.score < 0.001
    residuals = doubts.residuals(given)
    assert residuals is not None
    known = np.abs([one for one in residuals if one is not None])
    # Half of a normal distribution lies within 0.6745 deviations.
    assert np.median(known) == pytest.approx(1 / 1.4826, abs=0.01)
    assert doubts.of(given) == [None] * 400
    settled = [at in wrong for at in range(400)]
    assert not {one.at for one in suspects(doubts, given, settled, 50)[1]} & set(wrong)


def test_numbers_are_judged_the_same_every_time() -> None:
    texts, values = rated(100)
    labels = [repr(one) for one in values]
    first = out(SCALE, texts, labels).residuals(labels)
    assert out(SCALE, texts, labels).residuals(labels) == first


@pytest.mark.parametrize(
    ("scheme", "texts", "labels", "note"),
    [
        (SETS, [], [], "few_labels"),
        (SETS, ["x", "y"], [None, None], "few_labels"),
        (SETS, ["x", "y", "z"], ["tool"] * 3, "few_labels"),
        (SETS, [" ", "", " ", ""], ["tool", "", "tool", ""], "no_words"),
        (SCALE, [], [], "few_numbers"),
        (SCALE, ["x", "y"], [None, "3.5"], "few_numbers"),
        (SCALE, ["x", "y"], ["3.5", "3.5"], "few_numbers"),
        (SCALE, [" ", ""], ["1.0", "2.0"], "no_words"),
    ],
)
def test_too_little_is_named_in_every_task(
    scheme: Scheme, texts: list[str], labels: list[str | None], note: str
) -> None:
    doubts = out(scheme, texts, labels)
    assert doubts.note == note
    assert str(NOTES[note])
    assert doubts.of(labels) == [None] * len(texts)
    assert suspects(doubts, labels, [False] * len(texts), 5) == (0, [])


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(NAMES), unique=True) | st.none(),
            st.floats(-5, 5) | st.none(),
            st.sampled_from("uvwxyz"),
            st.text(max_size=4),
        ),
        max_size=12,
    )
)
def test_small_sets_are_no_obstacle_in_any_task(rows: list[Any]) -> None:
    sets = [None if row[0] is None else targets.joined(row[0], NAMES) for row in rows]
    values = [None if row[1] is None else targets.number_text(row[1]) for row in rows]
    families, texts = [row[2] for row in rows], [row[3] for row in rows]
    for scheme, labels in ((SETS, sets), (SCALE, values)):
        doubts = out_of_fold(texts, labels, families, scheme=scheme, folds=3, seed=1)
        for label, chance in zip(labels, doubts.of(labels), strict=True):
            assert chance is None or (label is not None and 0 <= chance <= 1)
        suspects(doubts, labels, [False] * len(rows), 5)
        assert all(one is None or np.isfinite(one) for one in doubts.residuals(labels) or [])


def test_answers_of_several_labels_are_of_each_by_itself() -> None:
    texts, labels = mixed(150)
    known = [label if at < 100 else None for at, label in enumerate(labels)]
    found = answers(texts, known, scheme=several([*NAMES, "other"]), seed=1)
    assert found is not None
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[:, 3] == 0).all()
    right = doubt_several.membership(labels[100:], NAMES) == (found[100:, :3] > 0.5)
    assert right.mean() > 0.9
    assert answers(texts, [None] * 150, scheme=SETS, seed=1) is None
    assert answers(texts, ["1.0"] * 150, scheme=SCALE, seed=1) is None
