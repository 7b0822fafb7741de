"""What may be said of a report: every sentence follows from its figures, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.evaluation import (
    naming,
    verdict,
)
from pipeline.i18n import Message
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.pipeline.made_reports import EVERY, hostile

# --- verdict, by hand


def told_of(**changes: Any) -> dict[str, Any]:
    """Return a small report, worked by hand."""
    return {
        "task": SINGLE, "main": "macro_f1", "records": 200, "confidence": 0.95, "min_records": 30,
        "figures": {"accuracy": 0.9, "macro_f1": 0.88, "ece": 0.02},
        "smaller_is_better": ["ece"],
        "intervals": {"model": {"accuracy": [0.86, 0.94]}},
        "worth_it": {"answer": "yes", "figure": "macro_f1", "baseline": "linear_svc",
                     "difference": [0.05, 0.12]},
        "per_label": {
            "cat": {"precision": 0.9, "recall": 0.95, "f1": 0.92, "records": 100.0},
            "dog": {"precision": 0.8, "recall": 0.75, "f1": 0.77, "records": 100.0},
        },
        "slices": {"source": {
            "shop": {"records": 60, "small": False, "figure": "accuracy", "accuracy": 0.7,
                     "low": 0.6, "high": 0.8},
            "web": {"records": 140, "small": False, "figure": "accuracy", "accuracy": 0.97,
                    "low": 0.93, "high": 0.99},
        }},
        "fairness": {}, "declared": [],
        "robustness": {"typing": {"same_answer": 0.81}, "case": {"same_answer": 0.99},
                       "synonyms": {"skipped": "no_table"}},
        "learning_curve": {"points": [{"mean": 0.80}, {"mean": 0.84}], "doubled": 0.87,
                           "worth": "yes"},
    } | changes  # fmt: skip


def said_of(**changes: Any) -> list[str]:
    return [one.render("en") for one in verdict.verdict(told_of(**changes))]


def test_a_verdict_in_plain_words() -> None:
    assert said_of() == [
        "Of 100 texts that it has never seen, the model answers about 90 right "
        "(95% interval 86 to 94, from 200 records).",
        "It is worth its price: it is ahead of the best cheap model, linear support vectors "
        "on words (difference in macro-F1: +0.050 to +0.120).",
        "Its weakest label is dog: it finds 75 of 100 such texts, and of 100 that it calls so "
        "80 are.",
        "It is clearly weaker where source is shop: accuracy 0.700 instead of 0.900 (60 records).",
        "Its confidences can be taken at their word: they are 2.0 points off on average.",
        "It is sensitive to how a text is written: with typing errors, only 81 of 100 "
        "answers stay the same.",
        "More training records are worth it: a cheap model would gain about 0.030 in macro-F1 "
        "from twice as many.",
    ]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"worth_it": {"answer": "no", "figure": "macro_f1", "baseline": "majority",
                       "difference": [-0.1, 0.0]}}, "not worth its price: the most frequent"),
        ({"worth_it": {"answer": "unclear", "figure": "macro_f1", "baseline": "majority",
                       "difference": [-0.1, 0.1]}}, "not certain: beside the most frequent answer"),
        ({"figures": {"accuracy": 0.9, "ece": 0.10}}, "roughly right: they are 10.0 points off"),
        ({"figures": {"accuracy": 0.9, "ece": 0.11}}, "Do not rely on its confidences"),
        ({"robustness": {"case": {"same_answer": 0.95}}}, "It is steady: even with changed case"),
        ({"learning_curve": {"points": [{"mean": 0.8}], "doubled": None, "worth": "unknown"}},
         "cannot be told"),
        ({"learning_curve": {"points": [{"mean": 0.8}], "doubled": 0.801, "worth": "little"}},
         "would bring little"),
        ({"slices": {}}, "No other group of texts"),
        ({"figures": {"accuracy": 0.997, "ece": 0.01}}, "about 99.7 right"),
    ],
)  # fmt: skip
def test_a_verdict_follows_the_figures(changes: Mapping[str, Any], part: str) -> None:
    assert any(part in one for one in said_of(**changes))


def test_a_group_of_three_records_makes_no_claim() -> None:
    three = {"records": 3, "small": True, "figure": "accuracy", "accuracy": 0.0, "low": 0.0,
             "high": 0.56}  # fmt: skip
    said = said_of(slices={"source": {"rare": three}})
    assert not any("clearly weaker" in one and "rare" in one for one in said)
    assert "No claim is made for groups of fewer than 30 records: source rare." in said


def test_only_some_of_many_small_groups_are_named() -> None:
    three = {"records": 3, "small": True, "figure": "accuracy", "accuracy": 0.0, "low": 0.0,
             "high": 0.56}  # fmt: skip
    said = said_of(slices={"source": {f"s{at}": three for at in range(8)}})
    assert any(one.endswith("source s4 and 3 more.") for one in said)


def test_a_rare_label_is_called_uncertain() -> None:
    rare = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "records": 4.0}
    common = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "records": 99.0}
    said = said_of(per_label={"a": common, "b": rare})
    assert any("with only 4 records that is far from certain" in one for one in said)


def test_a_verdict_about_numbers() -> None:
    said = said_of(
        task=REGRESSION, main="r2", figures={"mae": 0.5, "r2": 0.756},
        intervals={"model": {"mae": [0.45, 0.56]}}, smaller_is_better=["mae"],
        per_label={"below 3": {"mae": 0.9, "mean_error": 0.1, "records": 50.0},
                   "from 3": {"mae": 0.4, "mean_error": 0.1, "records": 150.0}},
        slices={"source": {"shop": {"records": 60, "small": False, "figure": "mae", "mae": 0.9,
                                    "low": 0.7, "high": 1.1}}},
    )  # fmt: skip
    assert said[0] == (
        "On 200 texts that it had never seen, the model is off by 0.500 on average (95% interval "
        "0.450 to 0.560); it explains 76% of the differences between the numbers."
    )
    assert any("where the number is below 3: by 0.900" in one for one in said)
    assert any("where source is shop: mean absolute error 0.900 instead of 0.500" in one
               for one in said)  # fmt: skip


def test_a_gap_between_declared_groups_is_told() -> None:
    gap = {"value": 0.2, "low": 0.1, "high": 0.3, "lowest": "f", "highest": "m"}
    entry = {"claim": {"accuracy_gap": gap}, "min_records": 30, "small": []}
    assert any("accuracy differs by 0.200" in one for one in said_of(fairness={"gender": entry}))
    none = {"claim": None, "min_records": 30, "small": ["f"]}
    assert not any("gender" in one for one in said_of(fairness={"gender": none}))


# --- words


def test_names_of_data_stay_and_names_of_ours_are_translated() -> None:
    assert naming.group("easy", "mood", SINGLE) == "easy", "a user's own group"
    assert isinstance(naming.group("easy", "difficulty", SINGLE), Message)
    assert isinstance(naming.group("(none)", "mood", SINGLE), Message)
    assert naming.column("mood") == "mood"
    assert naming.label("below 3", SINGLE) == "below 3"
    assert str(naming.label("below 3", REGRESSION)) == "below 3"
    assert str(naming.band("2 to 4.5")) == "2 to 4.5"
    assert isinstance(naming.band("all"), Message)
    assert naming.answer("a|b", MULTI) == "a, b"
    assert str(naming.answer("", MULTI)) == "no label"


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "50"), (1.0, "100"), (0.999, "99.9"), (0.0, "0"), (0.001, "0.1")]
)
def test_a_share_is_never_all_or_none_unless_it_is(value: float, said: str) -> None:
    assert naming.share(value) == said


@pytest.mark.parametrize("task", EVERY)
def test_every_figure_has_a_name(task: str) -> None:
    told = hostile(task)[0]
    assert set(told["figures"]) <= set(naming.FIGURES)
    assert set(naming.EXPLAINED) <= set(naming.FIGURES)
