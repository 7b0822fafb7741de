"""What stands behind figures, against hand-worked cases; intervals against what they promise."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import artifacts, summary
from pipeline.errors import DataError
from pipeline.evaluation import calibration, intervals, judging, metrics
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from pipeline.test import test as measure
from tests.helpers import changed, folder_bytes, report
from tests.pipeline import made_models

# Worked by hand: cat 2 of 3 found and 2 of 2 right, dog 1 of 2 found and 1 of 2 right, bird 1 of 1.
TRUTH = ["cat", "cat", "cat", "dog", "dog", "bird"]
FOUND = ["cat", "cat", "dog", "dog", "bird", "bird"]
LABELS = ["bird", "cat", "dog"]
ONE, SEVERAL = tasks.of(SINGLE, LABELS), tasks.of(MULTI, LABELS)
TWO, NUMBER = tasks.of(SINGLE, ["a", "b"]), tasks.of(REGRESSION, [])


def test_per_label_and_confusion() -> None:
    table = metrics.per_label(ONE, TRUTH, FOUND)
    assert list(table) == LABELS
    assert table["cat"] == {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "records": 3.0}
    counts = [[1, 0, 0], [0, 2, 1], [1, 0, 1]]
    assert metrics.confusion(ONE, TRUTH, FOUND) == {"labels": LABELS, "counts": counts}
    assert metrics.pairs(ONE, TRUTH, FOUND)[2] == ("cat", "dog")


def test_each_of_several_labels_has_a_table_of_its_own() -> None:
    truth, found = ["cat|dog", "bird", ""], ["cat", "bird|dog", ""]
    table = metrics.per_label(SEVERAL, truth, found)
    assert table["cat"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "records": 1.0}
    assert table["dog"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "records": 1.0}
    # Without it and not given it, without it and given it; with it and not given, with and given.
    each = [[[2, 0], [0, 1]], [[2, 0], [0, 1]], [[1, 1], [1, 0]]]
    assert metrics.confusion(SEVERAL, truth, found) == {"labels": LABELS, "each": each}
    pairs = metrics.pairs(SEVERAL, truth, found)
    assert len(pairs) == 9
    assert pairs[:3] == [("not bird", "not bird"), ("cat", "cat"), ("dog", "not dog")]


def test_numbers_are_put_into_bands_of_like_size() -> None:
    truth = [str(one) for one in range(10)]
    found = ["0.5", "-9", "2", "3", "4", "5", "6", "9", "8", "12"]
    table = metrics.per_label(NUMBER, truth, found)
    assert list(table) == ["below 2", "2 to 4", "4 to 6", "6 to 8", "from 8"]
    assert table["below 2"] == {"mae": 5.25, "mean_error": -4.75, "records": 2.0}
    assert table["from 8"] == {"mae": 1.5, "mean_error": 1.5, "records": 2.0}
    told = metrics.confusion(NUMBER, truth, found)
    assert np.array(told["counts"]).sum() == 10
    assert told["counts"][3] == [0, 0, 0, 1, 1], "7 was taken for 9"
    assert metrics.pairs(NUMBER, truth, found)[7] == ("6 to 8", "from 8")


def test_bands_of_many_equal_numbers_are_fewer_and_none_is_empty() -> None:
    names, places, _edges = metrics.bands(np.array([1.0] * 8 + [5.0, 7.0]))
    assert names == ["below 5", "from 5"]
    assert np.bincount(places).tolist() == [8, 2]
    assert metrics.bands(np.array([3.0, 3.0]))[0] == ["all"]
    close = metrics.bands(1_000_000 + np.arange(10) / 10)[0]
    assert len(set(close)) == 5


def test_worst_errors_are_the_surest_wrong_answers() -> None:
    records = [{"id": str(at), "text": "t", "label": "a"} for at in range(4)]
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    answers = TWO.decide(probabilities)
    found = metrics.worst_errors(TWO, records, probabilities, answers, count=2)
    assert [(one["at"], one["id"], one["predicted"], one["confidence"]) for one in found] == [
        (2, "2", "b", 0.9),
        (3, "3", "b", 0.8),
    ]
    assert {one["output"] for one in found} == {"b"}


def test_an_answer_by_a_threshold_counts_with_its_own_probability() -> None:
    records = [{"id": str(at), "text": "t", "label": "a"} for at in range(2)]
    probabilities = np.array([[0.7, 0.3], [1.0, 0.0]])
    answers = TWO.decide(probabilities, {"b": 0.2})
    assert answers == ["b", "a"]
    found = metrics.worst_errors(TWO, records, probabilities, answers, count=5)
    assert [(one["id"], one["confidence"]) for one in found] == [("0", 0.3)]
    surely = metrics.worst_errors(TWO, records, probabilities, ["a", "b"], count=5)
    assert [one["id"] for one in surely] == ["1"], "wrong, although its probability is 0"


def test_worst_of_several_labels_is_the_surest_wrong_entry() -> None:
    records = [{"id": str(at), "text": "t", "label": "bird"} for at in range(3)]
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.1, 0.2], [0.8, 0.95, 0.1]])
    found = metrics.worst_errors(SEVERAL, records, scores, SEVERAL.decide(scores), count=5)
    assert [(one["id"], one["predicted"]) for one in found] == [("2", "bird|cat"), ("1", "")]
    assert [one["confidence"] for one in found] == pytest.approx([0.95, 0.7])
    assert [one["output"] for one in found] == ["cat", "bird"], "given wrongly, and missed"


def test_worst_numbers_are_furthest_off() -> None:
    records = [{"id": str(at), "text": "t", "label": "2.0"} for at in range(3)]
    scores = np.array([[2.5], [2.0], [-1.0]])
    found = metrics.worst_errors(NUMBER, records, scores, NUMBER.decide(scores), count=5)
    assert [(one["id"], one["error"]) for one in found] == [("2", 3.0), ("0", 0.5)]
    assert found[0]["output"] == "value"


def test_confusions_come_in_the_order_of_their_number() -> None:
    table = metrics.confusion(ONE, TRUTH, FOUND)
    assert metrics.confused(table, 5) == [
        {"actual": "dog", "predicted": "bird", "records": 1, "share": 0.5},
        {"actual": "cat", "predicted": "dog", "records": 1, "share": 1 / 3},
    ]
    assert len(metrics.confused(table, 1)) == 1


def test_several_labels_are_missed_or_wrongly_given() -> None:
    table = metrics.confusion(SEVERAL, ["cat|dog", "bird", ""], ["cat", "bird|dog", ""])
    assert metrics.confused(table, 5) == [
        {"actual": "dog", "predicted": None, "records": 1, "share": 1.0},
        {"actual": None, "predicted": "dog", "records": 1, "share": 0.5},
    ]


def bounds(
    seed: int, truth: list[str], **answers: list[str]
) -> dict[str, dict[str, tuple[float, float]]]:
    return intervals.bootstrap(TWO, truth, answers, samples=400, confidence=0.95, seed=seed)


def test_intervals_are_repeatable_and_paired() -> None:
    random = np.random.default_rng(1)
    truth = [str(one) for one in random.choice(["a", "b"], 200)]
    good = [one if random.random() < 0.9 else "a" for one in truth]
    first = bounds(7, truth, model=good, baseline=list(good))
    assert first == bounds(7, truth, model=good, baseline=list(good))
    assert first["model - baseline"]["accuracy"] == (0.0, 0.0), "equal models never differ"


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Accuracy 0.8 on 200 records, 400 draws: 95 % ± 3 of the intervals hold it."""
    random = np.random.default_rng(11)
    truth, hits, draws = ["a"] * 200, 0, 400
    for draw in range(draws):
        answers = ["a" if right else "b" for right in random.random(200) < 0.8]
        low, high = intervals.bootstrap(
            TWO, truth, {"m": answers}, samples=200, confidence=0.95, seed=draw
        )["m"]["accuracy"]
        hits += low <= 0.8 <= high
    assert 0.92 <= hits / draws <= 0.98


def test_intervals_of_numbers_are_those_of_their_figures() -> None:
    truth, near = ["1", "2", "3", "4"] * 20, ["1.5", "2.5", "3.5", "4.5"] * 20
    found = intervals.bootstrap(
        NUMBER, truth, {"model": near, "mean": ["2.5"] * 80},
        samples=200, confidence=0.95, seed=3,
    )  # fmt: skip
    assert found["model"]["mae"] == (0.5, 0.5)
    assert found["model - mean"]["mae"][1] < 0, "a smaller error is the better one"
    low, high = found["model"]["r2"]
    assert low <= 1 - 0.25 / 1.25 <= high


@pytest.mark.parametrize(
    ("difference", "answer"),
    [
        ((-0.2, -0.1), "no"), ((-0.1, 0.0), "no"), ((0.0, 0.0), "no"),
        ((-0.1, 0.1), "unclear"), ((0.0, 0.1), "unclear"), ((0.001, 0.1), "yes"),
    ],
)  # fmt: skip
def test_a_model_is_worth_it_when_its_gain_is_certain(
    difference: tuple[float, float], answer: str
) -> None:
    told = intervals.worth_it(ONE, "linear_svc", difference)
    assert told["answer"] == answer
    assert told["difference"] == list(difference)
    assert f"{difference[0]:+.3f} to {difference[1]:+.3f}" in told["why"]
    assert "macro_f1" in told["why"]
    assert "linear_svc" in told["why"]


# --- the stage

QUICK: dict[str, Any] = {
    "test.bootstrap_samples": 100, "test.errors.explained": 2, "test.errors.steps": 8,
    "test.robustness.records": 20, "test.learning_curve.shares": [0.3, 0.5, 0.7, 1.0],
    "test.learning_curve.draws": 1, "train.baselines.kinds": list(made_models.KINDS),
    "label.mapping": {}, "label.definitions": {}, "label.rules": [],
}  # fmt: skip
BARE: dict[str, Any] = {"test.learning_curve.shares": [], "test.errors.explained": 0}


def params_of(task: str, **changes: Any) -> Any:
    """Return the project's params for a task, quick ones."""
    label = {"label.task": task, "label.labels": made_models.labels_of(task)}
    return changed(QUICK | label | {key.replace("__", "."): one for key, one in changes.items()})


def lay_out(task: str, **others: Any) -> None:
    """Write what the stage reads, as train and validate leave it."""
    made_models.lay_out(task, **others)
    artifacts.VALIDATE.mkdir(parents=True)
    fitted = calibration.Fitted(1.0 if task == REGRESSION else 1.5, {}, {"records": 80})
    fitted.write(artifacts.VALIDATE / calibration.FILE)


@pytest.mark.parametrize("task", made_models.EVERY)
def test_each_task_is_reported_beside_its_baselines(project: Path, task: str) -> None:
    lay_out(task)
    measure(params_of(task))
    figures: dict[str, Any] = json.loads((artifacts.TEST / artifacts.METRICS).read_text())
    told, known = report(artifacts.TEST), tasks.of(task, made_models.labels_of(task))
    assert set(figures["model"]) == set(known.figures_named)
    assert set(figures["baselines"]) == {"majority", "linear_svc"}
    assert figures["baseline"] == figures["baselines"][told["strongest"]]
    for name in ("model", "majority", "linear_svc"):
        values = figures["model"] if name == "model" else figures["baselines"][name]
        for key, (low, high) in told["intervals"][name].items():
            assert low <= values[key] <= high
    gain = told["intervals"][f"model - {told['strongest']}"][known.main]
    assert told["worth_it"]["difference"] == gain
    counted = sum(one["records"] for one in told["per_label"].values())
    assert counted == 80 if task != MULTI else counted > 80
    with (artifacts.TEST / "confusion.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    assert set(rows[0]) == {"actual", "predicted"}
    assert len(rows) == (240 if task == MULTI else 80)

    header, table = summary.quality_table()
    assert list(header[1:]) == list(known.quick)
    assert [len(row) for row in table] == [1 + len(known.quick)] * 4

    first = folder_bytes(artifacts.TEST)
    assert {
        "README.md", "report.html", "report.json", "metrics.json", "manifest.json", "errors.csv",
        "confusion.csv", "slices.csv", "per_label.csv", "plots/per_label.png",
        "plots/confusion.svg", "plots/learning_curve.png", "plots/robustness.svg",
    } <= set(first)  # fmt: skip
    artifacts.verify_manifest(artifacts.TEST)
    assert set(told["verdict"]) == {"en", "zh"}
    assert set(told["robustness"]) == {"typing", "case", "punctuation"}
    assert len(told["learning_curve"]["points"]) == 4
    assert str(project) not in (first["report.html"] + first["README.md"]).decode()
    measure(params_of(task))
    assert folder_bytes(artifacts.TEST) == first, "the same every time"


def test_errors_are_explained_beside_what_they_resemble(project: Path) -> None:
    lay_out(SINGLE, steps=0)
    measure(params_of(SINGLE))
    errors = report(artifacts.TEST)["worst_errors"]
    assert len(errors) == 20, "test.errors.most"
    assert [("words" in one) for one in errors[:3]] == [True, True, False]
    for one in errors[:2]:
        assert one["text"].split() == [word for word, _weight in one["words"]]
        added = sum(weight for _word, weight in one["words"])
        assert added == pytest.approx(one["difference"] + one["delta"])
        assert abs(one["delta"]) < 0.05
    assert all(len(one["neighbours"]) == 3 for one in errors)
    with (artifacts.TEST / "errors.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    told = report(artifacts.TEST)
    assert len(rows) == round(80 * (1 - told["figures"]["accuracy"]))
    assert rows[0]["id"] == errors[0]["id"]


def test_the_temperature_of_validate_is_used(project: Path) -> None:
    lay_out(SINGLE)
    measure(params_of(SINGLE, **BARE))
    first = report(artifacts.TEST)
    calibration.Fitted(3.0, {}, {}).write(artifacts.VALIDATE / calibration.FILE)
    measure(params_of(SINGLE, **BARE))
    second = report(artifacts.TEST)
    assert (first["calibration"]["temperature"], second["calibration"]["temperature"]) == (1.5, 3.0)
    assert first["figures"]["loss"] < second["figures"]["loss"], "vaguer than it may be"
    assert first["figures"]["accuracy"] == second["figures"]["accuracy"], "no answer changes"


def test_without_calibration_the_test_does_not_begin(project: Path) -> None:
    made_models.lay_out(SINGLE)
    with pytest.raises(DataError, match=calibration.FILE):
        measure(params_of(SINGLE, **BARE))
    assert not artifacts.TEST.exists()


def test_synonyms_are_tried_where_the_project_has_a_table(project: Path) -> None:
    lay_out(SINGLE)
    artifacts.SYNONYMS.mkdir(parents=True)
    table = artifacts.SYNONYMS / "words.tsv"
    table.write_text("late\tslow\nmy\tour\n", encoding="utf-8")
    kinds = {"test.robustness.kinds": ["synonyms"], "split.augment.synonyms": str(table)}
    measure(params_of(SINGLE, **BARE, **kinds))
    assert report(artifacts.TEST)["robustness"]["synonyms"]["records"] > 0
    assert judging.material(None).synonyms == {}
    assert judging.material("/etc/passwd").synonyms == {}, "outside of data/synonyms"


def test_a_model_that_learnt_nothing_is_not_worth_it(project: Path) -> None:
    lay_out(SINGLE, steps=0)
    measure(params_of(SINGLE, **BARE))
    told = report(artifacts.TEST)
    assert told["worth_it"]["answer"] == "no"
    assert told["strongest"] == "linear_svc"
    assert told["significance"]["linear_svc"]["p"] < 0.001
    assert told["worst_errors"]
    assert 'class="verdict no"' in (artifacts.TEST / "report.html").read_text(encoding="utf-8")


def test_a_model_that_beats_guessing_is_worth_it(project: Path) -> None:
    lay_out(SINGLE, kinds=["majority"])
    measure(params_of(SINGLE, **BARE))
    assert report(artifacts.TEST)["worth_it"]["answer"] == "yes"
