"""Drift: what is kept of a text, how often sound windows raise an alarm, and what is found."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2

from pipeline.watching import drift, reference, textdrift, thresholds
from pipeline.watching.bins import OTHER, Bins, distance
from pipeline.watching.windows import COLUMNS, TRUTH, Window, collect
from tests.pipeline.made_windows import (
    SIZE,
    SUBJECTS,
    Counting,
    answers_of,
    knobs,
    made_reference,
    texts_of,
    window_of,
)

KNOBS = knobs()
MODEL = Counting()


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, reference.Reference]:
    """References of every subject and of a mixture of languages."""
    folder = tmp_path_factory.mktemp("references")
    return {one: made_reference(folder / one, one) for one in (*SUBJECTS, "mixed")}


# What is kept of a text


def test_a_text_is_kept_as_the_same_numbers_for_good() -> None:
    """Numbers in the database are compared with those of a release that was made long ago."""
    counts = textdrift.matrix([textdrift.features("Hello 世界, it's 25 °C")])[0]
    places = {int(at): int(counts[at]) for at in np.flatnonzero(counts)}
    assert places == EXPECTED


EXPECTED = {
    4: 1, 18: -1, 23: 1, 25: 1, 30: 1, 38: 1, 53: -1, 58: -1, 80: 1, 100: 1, 104: -1, 110: -1,
    111: -2, 124: -1, 133: 1, 176: -1, 202: -1, 205: -1, 206: -1, 231: -1,
}  # fmt: skip


@given(st.text(max_size=300))
def test_any_text_is_kept(text: str) -> None:
    assert len(textdrift.features(text)) == textdrift.BUCKETS
    assert textdrift.features(text) == textdrift.features(f"  {text}\n")


@given(st.text(st.characters(codec="utf-8"), max_size=100), st.text(max_size=20))
def test_width_case_and_spacing_do_not_count(text: str, other: str) -> None:
    assert textdrift.features(f"{text} A，b") == textdrift.features(f"{text}\t Ａ,B ")
    assert textdrift.features(f"{text}a{other}b") == textdrift.features(f"{text}A{other}B")


def test_lone_surrogates_and_nothing_are_kept() -> None:
    for text in ("", " ", "\ud800", "a\udfffb", "\0"):
        assert len(textdrift.features(text)) == textdrift.BUCKETS


def test_a_long_text_is_read_so_far_and_does_not_overflow() -> None:
    long = "ab" * textdrift.LONGEST
    assert textdrift.features(long) == textdrift.features(long[: textdrift.LONGEST])
    counts = textdrift.matrix([textdrift.features(long)])
    assert np.abs(counts.astype(int)).max() == textdrift.MOST


def test_a_directions_length_is_one_but_for_nothing() -> None:
    counts = textdrift.matrix([textdrift.features("房间很干净"), bytes(textdrift.BUCKETS)])
    assert np.allclose(np.linalg.norm(textdrift.vectors(counts), axis=1), [1, 0])


# Thresholds


@pytest.mark.parametrize("freedom", [1, 5, 200])
@pytest.mark.parametrize("alarms", [0.05, 0.01])
def test_chance_passes_a_threshold_as_seldom_as_is_wished(freedom: int, alarms: float) -> None:
    chance = np.random.default_rng(3)
    rates = [
        float(chi2.sf(thresholds.upper(chance.chisquare(freedom, 200), alarms), freedom))
        for _draw in range(300)
    ]
    assert alarms / 3 < np.mean(rates) < alarms * 1.02


def test_a_threshold_of_no_variance_is_the_value() -> None:
    assert thresholds.upper(np.zeros(50), 0.05) == 0
    assert thresholds.upper(np.full(50, 2.5), 0.05) == 2.5


counts = st.lists(st.integers(0, 1_000), min_size=1, max_size=12)


@given(counts, st.randoms())
def test_the_distance_is_that_of_jensen_and_shannon(one: list[int], chance: random.Random) -> None:
    other = [*one]
    chance.shuffle(other)
    one, other = [*one, 1], [*other, 2]
    found = float(distance(np.array(one), np.array(other)))
    assert found == pytest.approx(np.nan_to_num(jensenshannon(one, other, base=2)), abs=1e-7)
    assert found == pytest.approx(float(distance(np.array(other), np.array(one))))
    assert 0 <= found <= 1


def test_what_has_nothing_in_common_is_at_one() -> None:
    assert distance(np.array([5, 0]), np.array([0, 9])) == pytest.approx(1)
    assert distance(np.array([5, 7]), np.array([10, 14])) == pytest.approx(0, abs=1e-7)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_every_number_has_a_bin(values: list[float]) -> None:
    bins = Bins.of_numbers(values)
    assert bins.total == len(values)
    assert len(bins.counts) == len(bins.titles()) == len(bins.edges) + 1
    assert min(bins.counts) > 0
    assert bins.count([-1e9, 1e9]).sum() == 2


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=200))
def test_every_name_has_a_bin(values: list[str]) -> None:
    bins = Bins.of_names(values, least=0.1, known=["z"])
    assert bins.total == len(values)
    assert "z" in bins.names
    assert bins.titles()[-1] == OTHER
    assert bins.count(["never seen"]).tolist()[-1] == 1


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.07, 0.03], [0.1] * 10])
def test_sound_shares_are_seldom_taken_for_changed(shares: list[float]) -> None:
    chance = np.random.default_rng(5)
    alarms = []
    for seed in range(100):
        bins = Bins(tuple(chance.multinomial(800, shares).tolist()), ("x",) * (len(shares) - 1))
        bound = bins.threshold(SIZE, 0.05, 200, seed)
        windows = chance.multinomial(SIZE, shares, 50)
        alarms.append(float((distance(np.array(bins.counts), windows) > bound).mean()))
    assert 0.005 < np.mean(alarms) < 0.055


# Whole windows


@pytest.fixture(scope="module")
def pools() -> dict[str, list[SimpleNamespace]]:
    """Answers to texts that no reference has seen."""
    return {one: answers_of(texts_of(one, 1_500, 100), MODEL) for one in (*SUBJECTS, "mixed")}


def some(pool: list[SimpleNamespace], size: int, seed: int) -> Window:
    """Return a window of answers drawn from a pool."""
    return collect(random.Random(seed).sample(pool, size))


@pytest.mark.parametrize("subject", [*SUBJECTS, "mixed"])
def test_the_same_kind_of_text_seldom_raises_an_alarm(
    references: dict[str, reference.Reference],
    pools: dict[str, list[SimpleNamespace]],
    subject: str,
) -> None:
    draws = 60
    windows = [some(pools[subject], SIZE, at) for at in range(draws)]
    alarms = [drift.check(references[subject], one, KNOBS) for one in windows]
    assert all({*one.scores} == {"text", *COLUMNS[1:5]} for one in alarms)
    assert sum(one.drifted for one in alarms) <= 0.12 * draws  # 3 of 60 expected, at most 7


@pytest.mark.parametrize(
    ("learnt", "came"),
    [("hotel", "finance"), ("finance", "hotel"), ("travel", "banking"), ("mixed", "banking"),
     ("hotel", "travel"), ("travel", "mixed")],
)  # fmt: skip
def test_another_subject_is_always_found_by_its_texts(
    references: dict[str, reference.Reference],
    pools: dict[str, list[SimpleNamespace]],
    learnt: str,
    came: str,
) -> None:
    for at in range(30):
        found = drift.check(references[learnt], some(pools[came], SIZE, at), KNOBS)
        assert "text" in found.kinds
        assert found.scores["text"] > 0.5


def test_one_language_of_two_is_found(
    references: dict[str, reference.Reference], pools: dict[str, list[SimpleNamespace]]
) -> None:
    for at in range(30):
        found = drift.check(references["mixed"], some(pools["travel"], SIZE, at), KNOBS)
        assert {"language", "length"} <= {*found.kinds}


def test_every_kind_is_found_by_itself(references: dict[str, reference.Reference]) -> None:
    rows = answers_of(texts_of("travel", SIZE, 9), MODEL)
    sound = drift.check(references["travel"], collect(rows), KNOBS)
    assert not sound.drifted
    for kind, attribute, value in [
        ("label", "label", "good"), ("length", "characters", 900), ("language", "language", "fr"),
        ("confidence", "confidence", 0.34), ("text", "features", textdrift.features("总部")),
    ]:  # fmt: skip
        other = [SimpleNamespace(**(vars(one) | {attribute: value})) for one in rows]
        assert drift.check(references["travel"], collect(other), KNOBS).kinds == [kind]


def test_a_finding_names_what_changed(references: dict[str, reference.Reference]) -> None:
    rows = answers_of(texts_of("travel", SIZE, 9), MODEL)
    for one in rows:
        one.language = "fr"
    found = drift.check(references["travel"], collect(rows), KNOBS)
    changes = {one.name: one for one in found.findings[3].changes}
    assert changes[OTHER].now == 1
    assert changes["en"].before > 0.5
    assert found.told()["kinds"]["language"]["changes"][0]["name"] in ("en", OTHER)
    assert found.told()["drifted"] is True


def test_labels_that_people_gave_are_judged_where_there_are_enough(
    references: dict[str, reference.Reference],
) -> None:
    rows = answers_of(texts_of("travel", SIZE, 9), MODEL)
    for one in rows[1:]:
        one.truth = "good"
    assert "truth" not in drift.check(references["travel"], collect(rows), KNOBS).scores
    rows[0].truth = "good"
    assert drift.check(references["travel"], collect(rows), KNOBS).kinds == [TRUTH]


def test_too_few_texts_prove_nothing(references: dict[str, reference.Reference]) -> None:
    few = window_of(texts_of("finance", SIZE - 1, 1), MODEL)
    found = drift.check(references["hotel"], few, KNOBS)
    assert not found.drifted
    assert found.findings == ()
    assert found.told() == {"texts": 199, "judged": 199, "drifted": False, "kinds": {}}


def test_what_is_not_known_is_not_judged(references: dict[str, reference.Reference]) -> None:
    rows = answers_of(texts_of("travel", SIZE, 9), MODEL)
    for one in rows:
        one.language, one.features = None, b"of another version"
    assert {*drift.check(references["travel"], collect(rows), KNOBS).scores} == {
        "label", "length", "confidence",
    }  # fmt: skip


def test_only_the_wanted_kinds_are_judged(references: dict[str, reference.Reference]) -> None:
    window = window_of(texts_of("finance", SIZE, 1), MODEL)
    found = drift.check(references["hotel"], window, knobs(kinds=["length", "text"]))
    assert [*found.scores] == ["length", "text"]


def test_a_sample_of_a_large_window_comes_to_the_verdict_of_the_whole(
    references: dict[str, reference.Reference],
) -> None:
    chance = random.Random(4)
    pools = {
        subject: answers_of(texts_of(subject, 1_500, 77), MODEL)
        for subject in ("travel", "banking")
    }
    same = 0
    cases = 40
    for seed in range(cases):
        foreign = chance.choice([0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
        rows = [
            chance.choice(pools["banking" if chance.random() < foreign else "travel"])
            for _row in range(3_000)
        ]
        window = collect(rows)
        drawn = drift.check(references["travel"], window, knobs(max_texts=1_000, seed=seed))
        assert (drawn.texts, drawn.judged) == (3_000, 1_000)
        whole = drift.check(references["travel"], window, knobs(seed=seed))
        same += drawn.drifted == whole.drifted
    assert same >= 0.95 * cases


def test_the_same_seed_gives_the_same_verdict(references: dict[str, reference.Reference]) -> None:
    window = window_of(texts_of("travel", 500, 3), MODEL)
    asked = knobs(max_texts=300)
    assert drift.check(references["travel"], window, asked) == drift.check(
        references["travel"], window, asked
    )
    assert [*window.sampled(300, 1).columns["features"]] != [
        *window.sampled(300, 2).columns["features"]
    ]


@settings(max_examples=20)
@given(st.integers(0, 400))
def test_a_sample_keeps_the_order_and_the_size(most: int) -> None:
    window = Window({name: list(range(300)) for name in COLUMNS})
    drawn = window.sampled(most, 1)
    assert len(drawn) == min(most, 300)
    assert [*drawn.columns["length"]] == sorted(drawn.columns["length"])
