"""Agreement: published examples, other libraries, and every case in which nothing can be said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import GateError
from pipeline.steps.agreement import HEADER, REASONS, Agreement, gate, measure
from pipeline.steps.distances import masi
from pipeline.steps.scheme import Scheme
from tests.steps.schemes import numbers, several, single

Votes = list[dict[str, str]]


def votes(*rows: str) -> Votes:
    """Return the votes of annotators A, B, … from one text of answers each; a dot is none."""
    return [
        {"ABCD"[at]: answer for at, answer in enumerate(answers) if answer != "."}
        for answers in zip(*rows, strict=True)
    ]


def of(said: Votes, labels: Sequence[str], **changes: Any) -> Agreement:
    return measure(
        said,
        single(labels),
        **({"bootstrap_samples": 200, "confidence": 0.95, "seed": 1} | changes),
    )


def measured(said: Votes, scheme: Scheme) -> Agreement:
    return measure(said, scheme, bootstrap_samples=200, confidence=0.95, seed=1)


def counted(table: Sequence[Sequence[int]]) -> Votes:
    """Return votes that give each label so often to each record."""
    spread = [[str(label) for label, n in enumerate(row) for _ in range(n)] for row in table]
    return [{f"a{at:02}": label for at, label in enumerate(row)} for row in spread]


# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers,
# twelve units, missing data.
FOUR = votes("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
# The same, sections A and B: two observers, binary and nominal data.
BINARY = votes("0100000010", "1110010000")
NOMINAL = votes("aabbdcccedda", "babbbccceddd")


def test_alpha_of_krippendorffs_examples() -> None:
    found = of(FOUR, "12345")
    assert found.alpha.value == pytest.approx(0.743, abs=0.0005)
    assert found.overlap == 11, "one unit has a single value"
    assert found.records == 12
    assert of(BINARY, "01").alpha.value == pytest.approx(0.095, abs=0.0005)
    assert of(NOMINAL, "abcde").alpha.value == pytest.approx(0.692, abs=0.0005)


# https://en.wikipedia.org/wiki/Fleiss%27_kappa, worked example: 10 subjects, 14 raters, κ = 0.210
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_kappa_of_the_worked_example() -> None:
    found = of(counted(FLEISS), "01234")
    assert found.fleiss.value == pytest.approx(0.210, abs=0.0005)
    assert (found.fleiss.records, found.fleiss_annotators) == (10, 14)


def test_fleiss_kappa_counts_the_usual_number_of_answers_and_says_so() -> None:
    said = [*counted(FLEISS), {"a00": "0", "a01": "1"}, {"a00": "3"}]
    found = of(said, "01234")
    assert found.fleiss.value == pytest.approx(0.210, abs=0.0005)
    assert (found.fleiss.records, found.fleiss_annotators, found.overlap) == (10, 14, 11)


def test_fleiss_kappa_equals_statsmodels() -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    random = np.random.default_rng(3)
    table = random.multinomial(5, [0.5, 0.2, 0.3], size=40)
    expected = inter_rater.fleiss_kappa(table, method="fleiss")
    assert of(counted(table.tolist()), "012").fleiss.value == pytest.approx(expected, abs=1e-6)


def test_cohens_kappa_of_the_worked_example() -> None:
    """https://en.wikipedia.org/wiki/Cohen%27s_kappa: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no."""
    found = of(votes("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15), "yn")
    assert found.pairs["A / B"].value == pytest.approx(0.4)
    assert found.cohen.value == pytest.approx(0.4)


def test_cohens_kappa_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(5)
    rows = ["".join(random.choice(list("abc."), 60, p=[0.4, 0.2, 0.2, 0.2])) for _ in range(3)]
    found = of(votes(*rows), "abc")
    kappas = []
    for (one, first), (other, second) in [
        (("A", rows[0]), ("B", rows[1])),
        (("A", rows[0]), ("C", rows[2])),
        (("B", rows[1]), ("C", rows[2])),
    ]:
        both = [(x, y) for x, y in zip(first, second, strict=True) if "." not in x + y]
        expected = metrics.cohen_kappa_score(*zip(*both, strict=True))
        figure = found.pairs[f"{one} / {other}"]
        assert figure.value == pytest.approx(expected, abs=1e-6)
        assert figure.records == len(both)
        kappas.append(expected)
    assert found.cohen.value == pytest.approx(sum(kappas) / 3, abs=1e-6)


def test_alpha_of_a_label_is_alpha_of_this_label_against_the_rest() -> None:
    found = of(FOUR, "12345")
    for label in "12345":
        merged = [{n: "x" if a == label else "-" for n, a in one.items()} for one in FOUR]
        assert found.labels[label].value == of(merged, "x-").alpha.value


def test_agreement_of_a_person_is_with_the_majority_of_the_others() -> None:
    found = of(votes("aab", "aab", "abc", "a.."), "abc")
    # A: 1 (all others a), then B says a and C says b (half), then B b and C c (half): 2 / 3.
    assert found.people["A"].value == pytest.approx(2 / 3, abs=1e-6)
    # C: 1, then both others say a (0), then both say b (0).
    assert found.people["C"].value == pytest.approx(1 / 3, abs=1e-6)
    assert found.people["D"].value == 1
    assert [found.people[name].records for name in "ABCD"] == [3, 3, 3, 1]


def test_intervals_hold_the_value_and_narrow_with_more_records() -> None:
    few, many = of(FOUR, "12345"), of(FOUR * 30, "12345")
    for found in (few, many):
        assert found.alpha.low is not None
        assert found.alpha.high is not None
        assert found.alpha.value is not None
        assert found.alpha.low < found.alpha.value < found.alpha.high
    assert wide(many) < wide(few) / 3
    assert wide(of(FOUR, "12345", confidence=0.5)) < wide(few)


def wide(found: Agreement) -> float:
    assert found.alpha.low is not None
    assert found.alpha.high is not None
    return found.alpha.high - found.alpha.low


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Two annotators who agree with 80 %: of 120 samples nine in ten intervals hold the truth."""
    random = np.random.default_rng(11)
    truth = 1 - 0.2 / 0.5  # two labels, half each, 20 % disagreement, no missing answers
    hits = 0
    for _ in range(120):
        first = random.integers(0, 2, 200)
        second = np.where(random.random(200) < 0.2, 1 - first, first)
        said = [{"A": str(x), "B": str(y)} for x, y in zip(first, second, strict=True)]
        alpha = of(said, "01", confidence=0.9).alpha
        assert alpha.low is not None
        assert alpha.high is not None
        hits += alpha.low <= truth <= alpha.high
    assert 98 <= hits <= 117


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "no_annotation"),
        (votes("abc"), "one_annotator"),
        (votes("ab..", "..ab"), "no_overlap"),
        (votes("aaa", "aaa"), "one_label"),
    ],
)
def test_what_cannot_be_said_has_a_reason(said: Votes, reason: str) -> None:
    found = of(said, "abc")
    for figure in (found.alpha, found.fleiss, found.cohen):
        assert (figure.value, figure.low, figure.high, figure.reason) == (None, None, None, reason)
    assert str(REASONS[reason])
    json.dumps(found.report(), allow_nan=False)


def test_perfect_agreement_and_its_opposite() -> None:
    assert of(votes("abcabc", "abcabc"), "abc").alpha.value == 1
    # α = 1 - (n - 1) / n · … : two labels always swapped, 4 units, n = 8: 1 - 1 / (32 / 56)
    assert of(votes("abab", "baba"), "ab").alpha.value == pytest.approx(-0.75)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("uvw"), st.sampled_from("abc"), max_size=3), max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_no_order_matters_and_json_can_hold_it(said: Votes, random: Any) -> None:
    found = of(said, "abc", bootstrap_samples=100)
    text = json.dumps(found.report(), allow_nan=False)
    mixed = [dict(random.sample(sorted(one.items()), len(one))) for one in said]
    random.shuffle(mixed)
    assert json.dumps(of(mixed, "abc", bootstrap_samples=100).report()) == text
    for row in found.rows():
        assert len(row) == len(HEADER)
        assert (row[3] is None) == (row[7] is not None)


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand records of eight annotators, a thousand resamples: a few seconds."""
    random = np.random.default_rng(0)
    said = []
    for one in random.integers(0, 6, 10_000):
        names = random.choice(8, 3, replace=False)
        noisy = np.where(random.random(3) < 0.2, random.integers(0, 6, 3), one)
        said.append({f"a{name}": str(label) for name, label in zip(names, noisy, strict=True)})
    found = of(said, "012345", bootstrap_samples=1_000)
    assert found.alpha.value is not None
    assert 0.5 < found.alpha.value < 0.8
    assert wide(found) < 0.03
    monkeypatch.setattr("pipeline.steps.agreement.CELLS", 100_000)
    assert of(said, "012345", bootstrap_samples=1_000) == found


def test_the_gate_reads_the_lower_end() -> None:
    found = of(FOUR, "12345")
    assert found.alpha.value is not None
    assert found.alpha.low is not None
    gate(found, None, 2)
    gate(found, found.alpha.low, 2)
    with pytest.raises(GateError, match=r"alpha 0\.74.., interval .* allowed a lower end"):
        gate(found, found.alpha.value, 2)


def test_a_few_records_prove_nothing() -> None:
    """Perfect agreement on two records has the interval from 1 to 1."""
    found = of(votes("ab", "ab"), "ab")
    assert found.alpha.low == 1.0
    gate(found, 0.8, 2)
    with pytest.raises(GateError, match=r"min_records: found 2 records .* allowed at least 30"):
        gate(found, 0.8, 30)


@pytest.mark.parametrize("said", [[], votes("abc"), votes("aa", "aa")])
def test_the_gate_is_not_met_where_nothing_can_be_measured(said: Votes) -> None:
    gate(of(said, "abc"), None, 2)
    with pytest.raises(GateError, match=r"label, agreement\.min_alpha"):
        gate(of(said, "abc"), -1.0, 2)


def test_alpha_of_krippendorffs_interval_example() -> None:
    """The same data as ``FOUR`` as numbers: Krippendorff 2011, section D, interval: 0.849."""
    found = measured(FOUR, numbers())
    assert found.alpha.value == pytest.approx(0.849, abs=0.0005)
    assert (found.metric, found.overlap, found.labels, found.pairs) == ("interval", 11, {}, {})
    assert found.alpha.low is not None
    assert found.alpha.low < 0.849
    for kappa in (found.fleiss, found.cohen):
        assert (kappa.value, kappa.reason) == (None, "not_nominal")
        assert str(REASONS["not_nominal"])


def test_alpha_of_numbers_does_not_depend_on_their_scale() -> None:
    moved = [{name: str(1e6 + 1e-3 * int(one)) for name, one in row.items()} for row in FOUR]
    assert measured(moved, numbers()).alpha.value == pytest.approx(0.849, abs=0.0005)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("a", "a", 0),
        ("", "", 0),
        ("a", "b", 1),
        ("a", "", 1),
        ("ab", "abcd", 1 - 2 / 4 * 2 / 3),  # the example of nltk's masi_distance
        ("ab", "bc", 1 - 1 / 3 * 1 / 3),
    ],
)
def test_masi(one: str, other: str, distance: float) -> None:
    assert masi(frozenset(one), frozenset(other)) == pytest.approx(distance)
    assert masi(frozenset(other), frozenset(one)) == pytest.approx(distance)


def test_alpha_of_sets_of_labels_by_hand() -> None:
    """Units {a,b}/{a}, {b}/{b}, {c}/{c}, worked out by hand.

    Observed: 2 × 2/3 over the 6 answers = 2/9. Expected: the 15 pairs of answers are 12 apart in
    sum (ab-a, ab-b, ab-b 2/3 each; ab-c twice, a-b twice, a-c twice, b-c four times 1), so
    2 × 12 / 30 = 0.8. α = 1 - (2/9) / 0.8.
    """
    said = [{"A": "a|b", "B": "a"}, {"A": "b", "B": "b"}, {"A": "c", "B": "c"}]
    found = measured(said, several("abc"))
    assert found.metric == "masi"
    assert found.alpha.value == pytest.approx(1 - (2 / 9) / 0.8, abs=1e-6)
    # A and B each answer what the other does not in the first unit only: both as far as all.
    # Observed for either: (2/3 + 0 + 0) / 3.
    assert found.people["A"].value == pytest.approx(1 - (2 / 9) / 0.8, abs=1e-6)
    assert found.people["A"].value == found.people["B"].value
    assert (found.fleiss.reason, found.cohen.reason) == ("not_nominal", "not_nominal")


def test_alpha_of_single_labels_is_the_same_as_sets_of_one() -> None:
    sets, plain = measured(FOUR, several("12345")), measured(FOUR, single("12345"))
    assert sets.alpha.value == plain.alpha.value
    assert {name: one.value for name, one in sets.labels.items()} == {
        name: one.value for name, one in plain.labels.items()
    }


def test_a_label_of_several_is_there_or_not() -> None:
    """α of label a equals α of binary data that say whether it is there."""
    said = [
        {"A": "a|b", "B": "a"},
        {"A": "b", "B": "a|b"},
        {"A": "", "B": "b"},
        {"A": "a", "B": "a"},
    ]
    binary = [{n: "y" if "a" in one.split("|") else "n" for n, one in row.items()} for row in said]
    found = measured(said, several("abc"))
    assert found.labels["a"].value == measured(binary, single("yn")).alpha.value
    assert (found.labels["c"].value, found.labels["c"].reason) == (None, "one_label")


@pytest.mark.parametrize("scheme", [several("ab"), numbers()])
def test_little_that_was_said_is_a_reason_in_every_task(scheme: Scheme) -> None:
    said = "a" if scheme.several else "3.5"
    assert measured([], scheme).alpha.reason == "no_annotation"
    assert measured([{"A": said}], scheme).alpha.reason == "one_annotator"
    assert measured([{"A": said}, {"B": said}], scheme).alpha.reason == "no_overlap"
    same = measured([{"A": said, "B": said}] * 3, scheme)
    assert (same.alpha.value, same.alpha.reason) == (None, "one_label")
    json.dumps(same.report(), allow_nan=False)


def test_the_rows_of_numbers_name_alpha_for_people() -> None:
    kinds = [(row[0], row[2]) for row in measured(FOUR, numbers()).rows()]
    assert kinds[3:] == [("annotator", "alpha")] * 4
