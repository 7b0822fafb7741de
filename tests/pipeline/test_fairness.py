"""Gaps between groups: against fairlearn and by hand; and what no claim may be made about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fairlearn import metrics as fairlearn

from pipeline.evaluation import fairness, gaps, slices
from pipeline.evaluation.grouping import OTHER
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks

TWO = tasks.of(SINGLE, ["0", "1"])
THREE = tasks.of(SINGLE, ["cat", "dog", "rare"])
SEVERAL = tasks.of(MULTI, ["cat", "dog"])
NUMBER = tasks.of(REGRESSION, [])
# fairlearn's own example (documentation of MetricFrame): selection rates 0.8 and 0.4.
TRUTH = [1, 1, 1, 1, 1, 0, 0, 1, 1, 0]
FOUND = [0, 1, 1, 1, 1, 0, 0, 0, 1, 1]
SEX = ["Female"] * 5 + ["Male"] * 5


def texts(values: Any) -> list[str]:
    return [str(one) for one in values]


def judged(
    task: Any,
    truth: Sequence[str],
    found: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    declared: Sequence[str] | None = None,
    least: int = 2,
    samples: int = 200,
) -> fairness.Table:
    made = fairness.table(
        task, truth, found, groups,
        declared=list(groups) if declared is None else declared,
        min_records=least, samples=samples, confidence=0.95, seed=3,
    )  # fmt: skip
    json.dumps(made, allow_nan=False)
    return made


def value(entry: Mapping[str, Any], name: str) -> float:
    return float(entry["claim"][name]["value"])


# --- gaps


def test_fairlearn_s_own_example() -> None:
    entry = judged(TWO, texts(TRUTH), texts(FOUND), {"sex": SEX})["sex"]
    female, male = entry["groups"]["Female"], entry["groups"]["Male"]
    assert female["records"] == male["records"] == 5
    assert (female["selection_rate"]["1"], male["selection_rate"]["1"]) == (0.8, 0.4)
    assert (female["accuracy"], male["accuracy"]) == (0.8, 0.6)
    assert (female["true_positive_rate"]["1"], male["true_positive_rate"]["1"]) == (0.8, 0.5)
    assert female["false_positive_rate"]["1"] is None, "no woman without the label"
    assert male["false_positive_rate"]["1"] == 1 / 3
    assert entry["compared"] == ["Female", "Male"]
    assert entry["small"] == []
    gap = entry["claim"]["accuracy_gap"]
    assert gap["value"] == pytest.approx(0.2)
    assert (gap["lowest"], gap["highest"]) == ("Male", "Female")
    assert value(entry, "demographic_parity_gap") == pytest.approx(0.4)
    # Label 1: 0.4 / 0.8. Label 0: 0.2 / 0.6, which is less.
    ratio = entry["claim"]["demographic_parity_ratio"]
    assert ratio["value"] == pytest.approx(1 / 3)
    assert (ratio["label"], ratio["lowest"], ratio["highest"]) == ("0", "Female", "Male")
    # True positives of label 1: 4 of 5 and 1 of 2. Women without label 1 there are none.
    assert value(entry, "equalized_odds_gap") == pytest.approx(0.3)


@pytest.mark.parametrize("seed", range(5))
def test_gaps_of_two_labels_are_fairlearn_s(seed: int) -> None:
    random = np.random.default_rng(seed)
    team = random.choice(["a", "b", "c"], 600)
    truth = random.random(600) < 0.4
    found = np.where(random.random(600) < 0.8, truth, ~truth) & (
        (team != "b") | (random.random(600) < 0.7)
    )
    entry = judged(TWO, texts(truth * 1), texts(found * 1), {"team": team.tolist()}, least=20)
    claim = entry["team"]["claim"]
    known = {"y_true": truth * 1, "y_pred": found * 1, "sensitive_features": team}
    other = {"y_true": 1 - truth, "y_pred": 1 - found, "sensitive_features": team}
    wanted = {
        "demographic_parity_gap": fairlearn.demographic_parity_difference(**known),
        "demographic_parity_ratio": min(
            fairlearn.demographic_parity_ratio(**known),
            fairlearn.demographic_parity_ratio(**other),
        ),
        "equalized_odds_gap": fairlearn.equalized_odds_difference(**known),
        "accuracy_gap": fairlearn.accuracy_score_difference(**known),
    }
    assert {name: gap["value"] for name, gap in claim.items()} == pytest.approx(wanted)
    assert all(gap["low"] <= gap["value"] <= gap["high"] for gap in claim.values())


def test_several_labels_by_hand() -> None:
    truth = ["cat", "cat|dog", "", "dog"] * 5 + ["cat", "cat", "dog", ""] * 5
    found = ["cat", "cat|dog", "", "dog"] * 5 + ["cat", "", "dog", "dog"] * 5
    entry = judged(SEVERAL, truth, found, {"team": ["a"] * 20 + ["b"] * 20}, least=5)["team"]
    assert entry["groups"]["b"]["accuracy"] == 0.5
    assert value(entry, "accuracy_gap") == 0.5
    # a gets cat in 10 of 20 records, b in 5 of 20; dog in 10 of 20 both.
    gap = entry["claim"]["demographic_parity_gap"]
    assert (gap["value"], gap["label"], gap["lowest"]) == (0.25, "cat", "b")
    assert value(entry, "demographic_parity_ratio") == 0.5
    # cat: 10 of 10 against 5 of 10. dog where there is none: 0 of 10 against 5 of 15.
    gap = entry["claim"]["equalized_odds_gap"]
    assert (gap["value"], gap["label"], gap["rate"]) == (0.5, "cat", "true_positive_rate")


def test_numbers_by_hand() -> None:
    truth = ["1", "2", "3", "4"] * 20
    found = ["1.5", "2.5", "3.5", "4.5"] * 10 + truth[:40]
    entry = judged(NUMBER, truth, found, {"team": ["a"] * 40 + ["b"] * 40}, least=30)["team"]
    assert entry["groups"]["a"] == {
        "records": 40, "small": False, "mean_prediction": 3.0, "mae": 0.5, "mean_error": 0.5,
    }  # fmt: skip
    for name in ("mean_prediction_gap", "mae_gap", "mean_error_gap"):
        gap = entry["claim"][name]
        assert (gap["value"], gap["lowest"], gap["highest"]) == (0.5, "b", "a")
        assert 0 <= gap["low"] <= 0.5 <= gap["high"]
    # Errors are the same in each group and so is every sample of them; answers are not.
    assert entry["claim"]["mae_gap"]["low"] == pytest.approx(0.5)
    assert entry["claim"]["mean_prediction_gap"]["low"] < 0.1
    assert "mean absolute error differs by 0.500" in entry["why"]


# --- no claim


def alike(count: int, wrong: int = 0) -> tuple[list[str], list[str]]:
    """Return truth and answers, half of each label."""
    truth = ["cat", "dog"] * (count // 2) + ["cat"] * (count % 2)
    found = ["dog" if one == "cat" else "cat" for one in truth[:wrong]] + truth[wrong:]
    return truth, found


def test_a_group_of_three_records_makes_no_claim() -> None:
    truth, found = alike(103, wrong=3)
    made = judged(THREE, truth, found, {"team": ["few"] * 3 + ["many"] * 100}, least=30)
    entry = made["team"]
    assert entry["claim"] is None
    assert entry["small"] == ["few"]
    assert entry["groups"]["few"]["small"]
    assert entry["groups"]["few"]["accuracy"] == 0.0, "shown all the same"
    assert fairness.figures(made) == {}
    assert "No claim" in entry["why"]
    assert "30 records" in entry["why"]


def test_a_group_of_three_records_widens_no_gap() -> None:
    truth, found = alike(163, wrong=3)
    team = ["few"] * 3 + ["a"] * 80 + ["b"] * 80
    entry = judged(THREE, truth, found, {"team": team}, least=30)["team"]
    assert entry["compared"] == ["a", "b"]
    assert value(entry, "accuracy_gap") == 0.0
    assert entry["claim"]["equalized_odds_gap"]["value"] == 0.0
    assert "few" not in json.dumps(entry["claim"])


def test_least_is_reached_exactly() -> None:
    truth, found = alike(60)
    team = {"team": ["a"] * 30 + ["b"] * 30}
    assert judged(THREE, truth, found, team, least=30)["team"]["claim"]
    assert judged(THREE, truth, found, team, least=31)["team"]["claim"] is None


def test_a_rate_over_few_records_is_not_compared() -> None:
    """Each group has one ``rare`` record: a's is found and b's is not, which proves nothing."""
    truth, found = alike(100)
    truth, found = ["rare", "rare", *truth], ["rare", "cat", *found]
    team = ["a", "b", *["a"] * 50, *["b"] * 50]
    entry = judged(THREE, truth, found, {"team": team}, least=20)["team"]
    assert entry["groups"]["a"]["true_positive_rate"]["rare"] == 1.0
    assert entry["groups"]["b"]["true_positive_rate"]["rare"] == 0.0
    assert value(entry, "equalized_odds_gap") < 0.05
    assert value(entry, "demographic_parity_ratio") > 0.9, "one answer against none is chance"


def test_a_gap_that_nothing_speaks_for_is_left_out() -> None:
    """All records of a have one label and all of b the other: no label's finds are compared."""
    truth = ["cat"] * 40 + ["dog"] * 40
    entry = judged(THREE, truth, truth, {"team": ["a"] * 40 + ["b"] * 40}, least=30)["team"]
    assert set(entry["claim"]) == {
        "accuracy_gap", "demographic_parity_gap", "demographic_parity_ratio",
    }  # fmt: skip
    assert value(entry, "demographic_parity_gap") == 1.0
    assert value(entry, "demographic_parity_ratio") == 0.0


def test_groups_that_were_put_together_are_not_compared() -> None:
    truth, found = alike(120, wrong=20)
    team = [OTHER] * 40 + ["a"] * 40 + ["b"] * 40
    entry = judged(THREE, truth, found, {"team": team}, least=30)["team"]
    assert entry["compared"] == ["a", "b"]
    assert value(entry, "accuracy_gap") == 0.0
    alone = judged(THREE, truth, found, {"team": [OTHER] * 60 + ["a"] * 60}, least=30)["team"]
    assert alone["claim"] is None


def test_groups_by_what_is_predicted_have_no_gap() -> None:
    truth, found = alike(100, wrong=10)
    entry = judged(THREE, truth, found, {"label": truth}, least=30)["label"]
    assert entry["claim"] is None
    assert "what the model predicts" in entry["why"]


def test_one_group_makes_no_claim_for_numbers() -> None:
    made = judged(NUMBER, ["1", "2"] * 20, ["1", "2"] * 20, {"team": ["a"] * 40}, least=30)
    assert made["team"]["claim"] is None
    assert made["team"]["groups"]["a"]["mae"] == 0.0


def test_only_declared_columns_are_compared() -> None:
    truth, found = alike(80)
    groups = {"team": ["a"] * 40 + ["b"] * 40, "source": ["x"] * 80}
    assert set(judged(THREE, truth, found, groups, declared=["team"])) == {"team"}
    assert judged(THREE, truth, found, groups, declared=[]) == {}


# --- how sure


def test_alike_and_perfect_is_not_certain() -> None:
    """30 right answers of 30 in both groups leave room for a gap of a tenth."""
    truth, found = alike(60)
    entry = judged(THREE, truth, found, {"team": ["a"] * 30 + ["b"] * 30}, least=30)["team"]
    gap = entry["claim"]["accuracy_gap"]
    assert gap["low"] == gap["value"] == 0.0
    assert 0.05 < gap["high"] < 0.25
    assert "may be chance" in entry["why"]


def test_a_true_gap_is_found_and_repeats() -> None:
    truth, found = alike(400, wrong=80)
    team = {"team": ["a"] * 200 + ["b"] * 200}
    first = judged(THREE, truth, found, team, least=30)
    gap = first["team"]["claim"]["accuracy_gap"]
    assert gap["value"] == pytest.approx(0.4)
    assert 0.25 < gap["low"] < 0.4 < gap["high"] < 0.55
    assert "by 0.400 (0." in first["team"]["why"]
    assert judged(THREE, truth, found, team, least=30) == first


@pytest.mark.parametrize(
    "shares", [(0.9, 0.9), (0.9, 0.7), (0.8, 0.8, 0.8, 0.8), (0.8, 0.7, 0.7, 0.9)]
)
def test_intervals_of_gaps_cover_the_truth(shares: tuple[float, ...]) -> None:
    """1,000 draws of groups of 80: at least 95 of 100 intervals hold the true gap, less 2."""
    random = np.random.default_rng(1)
    true, counts = max(shares) - min(shares), np.full((1, len(shares)), 80)
    hits = 0
    for draw in range(1_000):
        found = random.binomial(counts, shares)
        gap = float(np.ptp(found / counts))
        sure = gaps.Sure(30, 200, 0.95, draw)
        low, high = gaps.ends(gap, found, counts, counts > 0, sure, ratio=False)
        assert low <= gap <= high
        hits += low <= true <= high
    assert hits / 1_000 >= 0.93


@pytest.mark.parametrize("shares", [(0.4, 0.4), (0.3, 0.5), (0.02, 0.5)])
def test_intervals_of_ratios_cover_the_truth(shares: tuple[float, float]) -> None:
    """1,000 draws of groups of 100: at least 95 of 100 intervals hold the true ratio, less 2."""
    random = np.random.default_rng(2)
    counts, hits = np.array([[100, 100]]), 0
    for draw in range(1_000):
        found = random.binomial(counts, shares)
        ratio = float(found.min() / found.max())
        sure = gaps.Sure(30, 200, 0.95, draw)
        low, high = gaps.ends(ratio, found, counts, counts > 0, sure, ratio=True)
        assert 0 <= low <= ratio <= high <= 1
        hits += low <= shares[0] / shares[1] <= high
    assert hits / 1_000 >= 0.93


def test_many_blocks_are_as_sure_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([[80, 80], [80, 80]])
    sure = gaps.Sure(30, 4_000, 0.95, 1)
    whole = gaps.half_width(counts // 2, counts, counts > 0, sure, ratio=False)
    monkeypatch.setattr(gaps, "BLOCK", 1_000)
    parts = gaps.half_width(counts // 2, counts, counts > 0, sure, ratio=False)
    assert parts == pytest.approx(whole, rel=0.05)


# --- what is done with them


def test_gates_see_the_worst_of_all_columns() -> None:
    truth, found = alike(160, wrong=20)
    groups = {
        "team": ["a"] * 80 + ["b"] * 80,  # 0.75 and 1
        "shop": ["x", "x", "y", "y"] * 40,  # alike
        "tiny": ["p"] * 3 + ["q"] * 157,
    }
    made = judged(THREE, truth, found, groups, least=30)
    known = fairness.figures(made)
    assert known["accuracy_gap"] == pytest.approx(0.25)
    assert known["accuracy_gap_low"] <= 0.25 <= known["accuracy_gap_high"]
    each = [made[name]["claim"]["demographic_parity_ratio"] for name in ("team", "shop")]
    assert known["demographic_parity_ratio"] == min(one["value"] for one in each)
    assert known["demographic_parity_ratio_low"] == min(one["low"] for one in each)
    assert {name.rsplit("_", 1)[0] for name in known if name.endswith("_high")} == {
        "accuracy_gap", "demographic_parity_gap", "demographic_parity_ratio",
        "equalized_odds_gap",
    }  # fmt: skip


def test_hostile_names_are_only_names() -> None:
    names = ["</script><script>alert(1)</script>", "=cmd|' /C calc'!A0", "{0.__class__}", "a\nb"]
    truth, found = alike(160, wrong=20)
    records = [
        {"id": "r", "text": "t", "label": label, "meta": json.dumps({"team": names[at // 40]})}
        for at, label in enumerate(truth)
    ]
    knobs = SimpleNamespace(columns=["team"], min_records=30, most=20)
    groups = slices.columns_of(THREE, records, knobs)
    entry = judged(THREE, truth, found, groups, declared=["team"], least=30)["team"]
    assert entry["compared"] == sorted([*names[:3], "a b"])
    assert entry["claim"]["accuracy_gap"]["lowest"] == names[0]
    assert names[0] in entry["why"]
    said = fairness.explained("{column}", entry | {"claim": {"accuracy_gap": {
        "value": 0.1, "low": 0.0, "high": 0.2, "lowest": "{0.__class__}", "highest": "{high}",
    }}}).render("en")  # fmt: skip
    assert "{0.__class__}" in said
    assert "{high}" in said
