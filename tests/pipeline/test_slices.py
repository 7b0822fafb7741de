"""Groups of records, against hand-worked cases; intervals against what is known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.evaluation import grouping, slices
from pipeline.evaluation.grouping import NONE, OTHER
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed

LABELS = ["bird", "cat", "dog"]
ONE, SEVERAL = tasks.of(SINGLE, LABELS), tasks.of(MULTI, LABELS)
NUMBER = tasks.of(REGRESSION, [])
SURE: dict[str, Any] = {"min_records": 3, "samples": 400, "confidence": 0.95, "seed": 5}


def knobs(*columns: str, most: int = 20) -> Any:
    return SimpleNamespace(columns=list(columns), min_records=3, most=most)


def record(label: str, text: str = "some text", **others: Any) -> dict[str, Any]:
    opened = {"meta", "features"} & set(others)
    cells = {name: json.dumps(others[name]) for name in opened}
    return {"id": "r", "text": text, "label": label} | others | cells


def records(*values: Any, column: str = "team") -> list[dict[str, Any]]:
    """Return records with a value each in their ``meta``."""
    return [record("cat", meta={column: value}) for value in values]


def groups(values: Sequence[Any], most: int = 20) -> list[str]:
    """Return what values become as groups of a declared column."""
    return slices.columns_of(ONE, records(*values), knobs("team", most=most))["team"]


# --- who belongs together


def test_the_project_s_own_section_is_taken() -> None:
    section = changed({"validate.groups.columns": ["team"]}).validate_.groups
    assert slices.columns_of(ONE, records("a", "b"), section)["team"] == ["a", "b"]


def test_what_is_always_looked_at() -> None:
    some = [
        record("cat", "12", difficulty="hard", source="web", language="en"),
        record("dog", "1234", difficulty=None, source="web", language=None),
    ]
    assert slices.columns_of(ONE, some, knobs()) == {
        "label": ["cat", "dog"],
        "difficulty": ["hard", NONE],
        "length": ["2", "4"],
        "source": ["web", "web"],
        "language": ["en", NONE],
    }


def test_a_column_that_no_record_has_is_not_looked_at() -> None:
    found = slices.columns_of(ONE, [record("cat", source=None)], knobs())
    assert set(found) == {"label", "length"}


def test_several_labels_are_no_groups_and_numbers_come_in_bands() -> None:
    assert set(slices.columns_of(SEVERAL, [record("cat|dog")], knobs())) == {"length"}
    numbers = [record(str(one)) for one in range(10)]
    bands = slices.columns_of(NUMBER, numbers, knobs())["label"]
    assert [bands[0], bands[2], bands[9]] == ["below 2", "2 to 4", "from 8"]


def test_nothing_gives_no_groups() -> None:
    for task in (ONE, SEVERAL, NUMBER):
        found = slices.columns_of(task, [], knobs())
        assert "length" in found
        assert slices.table(task, [], [], found, **SURE) == {column: {} for column in found}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        # Quartiles of eight numbers: the second, fourth, sixth and eighth.
        ([1, 2, 3, 4, 5, 6, 7, 8], ["1-2", "1-2", "3-4", "3-4", "5-6", "5-6", "7-8", "7-8"]),
        ([7, 7, 7], ["7", "7", "7"]),
        ([1, 1, 1, 1, 9], ["1", "1", "1", "1", "9"]),
        ([-5, -4, 0.5, 2], ["(-5)", "(-4)", "0.5", "2"]),
        ([-5, -4, -3, -2, 1, 2, 3, 9],
         ["(-5)-(-4)", "(-5)-(-4)", "(-3)-(-2)", "(-3)-(-2)", "1-2", "1-2", "3-9", "3-9"]),
    ],
)  # fmt: skip
def test_bands_end_at_quartiles(values: list[float], names: list[str]) -> None:
    assert grouping.banded(values) == names


def test_lengths_are_counted_in_characters() -> None:
    some = [record("cat", "狗狗狗"), record("cat", "dog")]
    assert slices.columns_of(ONE, some, knobs())["length"] == ["3", "3"]


def test_a_declared_column_is_found_wherever_it_stands() -> None:
    some = [
        record("cat", shop="north", meta={"gender": "f", "home": {"region": "西"}},
               features={"age": 30.0}),
        record("cat", shop=None, meta={"home": {}, "a.b": 1}, features=None),
    ]  # fmt: skip
    columns = ("shop", "gender", "home.region", "age", "meta.gender", "features.age", "a.b")
    found = slices.columns_of(ONE, some, knobs(*columns))
    assert {name: found[name] for name in columns} == {
        "shop": ["north", NONE],
        "gender": ["f", NONE],
        "home.region": ["西", NONE],
        "age": ["30", NONE],
        "meta.gender": ["f", NONE],
        "features.age": ["30", NONE],
        "a.b": [NONE, "1"],
    }


def test_an_empty_column_of_the_records_does_not_hide_the_one_in_meta() -> None:
    some = [record("cat", group=None, meta={"group": "x"}), record("cat", group=None)]
    assert slices.columns_of(ONE, some, knobs("group"))["group"] == ["x", NONE]
    some[1]["group"] = "y"
    assert slices.columns_of(ONE, some, knobs("group"))["group"] == [NONE, "y"]


def test_a_column_without_any_value_is_shown_as_missing() -> None:
    assert groups([None, ""]) == [NONE, NONE]


def test_columns_that_nobody_has_are_named_all_at_once() -> None:
    with pytest.raises(DataError) as error:
        slices.columns_of(ONE, records("a"), knobs("team", "gendr", "home.city"))
    said = error.value.render("en")
    assert len(error.value.problems) == 2
    assert "gendr" in said
    assert "home.city" in said
    assert "team" in said, "what there is"


def test_a_usual_column_that_is_declared_is_not_looked_up_again() -> None:
    some = [record("cat", source="web", meta={"source": "other", "length": "long"})]
    found = slices.columns_of(ONE, some, knobs("source", "length", "meta.length"))
    assert found["source"] == ["web"]
    assert found["length"] == ["9"]
    assert found["meta.length"] == ["long"]


def test_the_smallest_groups_become_one_and_missing_ones_stay() -> None:
    values = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + [None]
    assert groups(values, most=5) == ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + [NONE]
    assert groups(values, most=4) == ["a"] * 5 + ["b"] * 4 + [OTHER] * 5 + [NONE]
    assert groups(values, most=2) == [OTHER] * 14 + [NONE]
    assert groups(values[:-1], most=2) == ["a"] * 5 + [OTHER] * 9


def test_labels_are_never_put_together() -> None:
    some = [record(label) for label in LABELS]
    assert slices.columns_of(ONE, some, knobs(most=2))["label"] == LABELS


def test_too_many_numbers_come_in_bands() -> None:
    ages = [*range(20, 28), None]
    assert groups(ages, most=9) == [*(str(age) for age in range(20, 28)), NONE]
    assert groups(ages, most=5)[:3] == ["20-21", "20-21", "22-23"]
    assert groups(ages, most=5)[-1] == NONE
    assert groups([str(age) for age in ages[:-1]], most=5)[0] == "20-21", "as a CSV gives them"
    mixed = groups([*range(20, 28), "old"], most=5)
    assert mixed.count(OTHER) == 5, "one that is no number leaves all as they are"
    assert groups([True, False] * 3, most=2) == ["true", "false"] * 3


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # a report escapes it
        ("=1+1", "=1+1"),
        ("two\nlines\tand\x00more", "two lines and more"),
        ("left\u202eright", "left right"),
        ("\ud800half", "half"),
        ("\u200b", NONE),
        ("  ", NONE),
        ("(other)", '"(other)"'),
        ("(none)", '"(none)"'),
        ("x" * 500, "x" * 99 + "…"),
        ("{0} {lowest}", "{0} {lowest}"),
        ("__proto__", "__proto__"),
        (True, "true"),
        (3, "3"),
        (3.0, "3"),
        (0.25, "0.25"),
        (1e300, "1e+300"),
        (float("nan"), NONE),
        (["b", 1], '["b", 1]'),
        ({"b": 1, "a": "男"}, '{"a": "男", "b": 1}'),
    ],
)
def test_any_value_becomes_a_name_that_can_be_read_and_written(value: Any, name: str) -> None:
    assert groups([value, "plain"]) == [name, "plain"]
    name.encode()
    assert len(name) <= grouping.LONGEST


def test_meta_that_is_no_object_has_no_columns() -> None:
    some = [record("cat") | {"meta": "[1]"}, record("cat", meta={"team": "a"})]
    assert slices.columns_of(ONE, some, knobs("team"))["team"] == [NONE, "a"]


# --- how good the model is for them


def table(task: Any, truth: Sequence[str], found: Sequence[str], **groups: Any) -> Any:
    made = slices.table(task, truth, found, groups, **SURE)
    json.dumps(made, allow_nan=False)
    return made


def near(row: Mapping[str, Any], **values: float) -> None:
    assert {name: row[name] for name in values} == pytest.approx(values)


def test_one_label_by_hand() -> None:
    truth = ["cat", "cat", "cat", "dog", "dog", "bird"]
    found = ["cat", "cat", "dog", "dog", "bird", "bird"]
    made = table(ONE, truth, found, team=["a", "a", "a", "b", "b", "b"], label=truth)
    assert list(made["team"]) == ["a", "b"]
    row = made["team"]["a"]
    assert row["records"] == 3
    assert not row["small"]
    assert row["figure"] == "accuracy"
    # Of the labels, a has cat alone: precision 1 and recall 2/3, so F1 0.8.
    near(row, accuracy=2 / 3, macro_f1=0.8)
    # b: dog has precision 1 and recall 1/2, bird precision 1/2 and recall 1: F1 2/3 each.
    near(made["team"]["b"], accuracy=2 / 3, macro_f1=2 / 3)
    # By label, precision counts what other records got: as scikit-learn does over all.
    assert list(made["label"]) == LABELS
    near(made["label"]["cat"], recall=2 / 3, accuracy=2 / 3, precision=1.0, f1=0.8)
    near(made["label"]["bird"], recall=1.0, precision=0.5, f1=2 / 3)
    assert made["label"]["dog"]["figure"] == "recall"
    assert made["label"]["dog"]["small"], "two records are fewer than three"
    assert "macro_f1" not in made["label"]["dog"]


def test_shares_have_wilson_s_interval() -> None:
    """8 of 10: 0.490 to 0.943 (Newcombe 1998, method 3, worked by hand)."""
    truth, found = ["cat"] * 10 + ["dog"] * 30, ["cat"] * 8 + ["dog"] * 32
    made = table(ONE, truth, found, team=["a"] * 10 + ["b"] * 30)["team"]
    assert (made["a"]["low"], made["a"]["high"]) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    # 30 of 30 do not prove that none can be wrong: n / (n + 1.96²).
    assert made["b"]["accuracy"] == 1.0
    assert (made["b"]["low"], made["b"]["high"]) == pytest.approx((30 / 33.8415, 1.0), abs=1e-5)


def test_several_labels_by_hand() -> None:
    truth = ["cat|dog", "bird", "", "cat"]
    found = ["cat", "bird|dog", "", "cat"]
    row = table(SEVERAL, truth, found, team=["a"] * 4)["team"]["a"]
    # Three hits, one label too few and one too many: 2·3 / (2·3 + 2).
    near(row, subset_accuracy=0.5, hamming_loss=2 / 12, micro_f1=0.75, macro_f1=2 / 3)
    assert row["figure"] == "micro_f1"
    assert row["low"] < 0.75 < row["high"]


def test_a_group_without_any_label_has_figures() -> None:
    row = table(SEVERAL, ["", ""], ["", ""], team=["a", "a"])["team"]["a"]
    near(row, subset_accuracy=1.0, hamming_loss=0.0, micro_f1=0.0, low=0.0, high=0.0)
    assert "macro_f1" not in row


def test_numbers_by_hand() -> None:
    truth, found = ["1", "2", "3", "4", "9"], ["1.5", "2.5", "2.5", "3.5", "9"]
    made = table(NUMBER, truth, found, team=["a", "a", "a", "a", "b"])["team"]
    # Four errors of one half; the variance of 1 to 4 is 1.25.
    near(made["a"], mae=0.5, rmse=0.5, mean_error=0.0, r2=1 - 0.25 / 1.25, low=0.5, high=0.5)
    assert made["a"]["figure"] == "mae"
    assert made["b"]["small"]
    assert "r2" not in made["b"], "one record has no variance"
    band = table(NUMBER, truth, found, label=["low"] * 5)["label"]["low"]
    assert "r2" not in band


def test_intervals_are_repeatable_and_as_wide_as_theory_says() -> None:
    """The bootstrap's standard error of a mean is s / √n (Efron and Tibshirani 1993, 5.12)."""
    random = np.random.default_rng(3)
    values = random.normal(size=(400, 1))
    means = slices.resampled(values, 2_000, 7)[:, 0]
    assert means.std() == pytest.approx(values.std() / 20, rel=0.06)
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)
    assert (slices.resampled(values, 2_000, 7)[:, 0] == means).all()


def test_blocks_change_no_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "BLOCK", 35)
    assert slices.resampled(np.ones((10, 1)), 25, 1).tolist() == [[1.0]] * 25


def test_people_s_order() -> None:
    truth = ["cat"] * 7
    made = table(
        ONE, truth, truth,
        difficulty=["hard", "easy", NONE, "medium", "easy", "hard", "hard"],
        length=["21-40", "100-200", "3-20", "21-40", "3-20", "3-20", "3-20"],
        team=["b", "b", OTHER, OTHER, OTHER, NONE, "a"],
        label=["dog", "bird", "cat", "dog", "dog", "dog", "dog"],
    )  # fmt: skip
    assert list(made["difficulty"]) == ["easy", "medium", "hard", NONE]
    assert list(made["length"]) == ["3-20", "21-40", "100-200"]
    assert list(made["team"]) == ["b", "a", NONE, OTHER]
    assert list(made["label"]) == LABELS


def test_bands_of_the_truth_rise() -> None:
    truth = [str(one) for one in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)]
    names = slices.columns_of(NUMBER, [record(one) for one in truth], knobs())
    made = slices.table(NUMBER, truth, truth, names, **SURE)["label"]
    assert list(made) == ["below 2", "2 to 4", "4 to 6", "6 to 8", "from 8"]


def test_many_labels_among_few_records_are_no_numbers() -> None:
    """scikit-learn warns of such labels, and warnings are errors here."""
    many = tasks.of(SINGLE, [f"l{one}" for one in range(40)])
    truth = [f"l{one}" for one in range(24)]
    row = slices.table(many, truth, truth, {"team": ["a"] * 24}, **SURE)["team"]["a"]
    near(row, accuracy=1.0, macro_f1=1.0)


def test_hostile_names_are_only_names() -> None:
    names = ["</script><script>", "=cmd|' /C calc'!A0", "__proto__", "{0}"]
    truth = ["cat"] * 4
    made = table(ONE, truth, truth, team=names)["team"]
    assert set(made) == set(names)
