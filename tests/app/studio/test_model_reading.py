"""What the pages of the model stages read: figures, records of a cell, curves, variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.studio import (
    model_curves,
    model_errors,
    model_examples,
    model_reading,
    model_variants,
)
from app.studio.model_examples import Cell
from app.studio.project_files import Project
from pipeline import artifacts
from pipeline.errors import words
from pipeline.steps.targets import JOINT, MULTI, REGRESSION, SINGLE
from tests.app.studio.model_project import (
    fill,
    optimized,
    whole,
)

TASKS = pytest.mark.parametrize("task", [SINGLE, MULTI, REGRESSION])


@pytest.fixture
def here(project: Path) -> Project:
    """Return a project with results of one label a record."""
    return fill(Project(project))


def read(here: Project, part: str = "test") -> Any:
    """Return what reads a record of a part by its place."""
    found = artifacts.read_records(here.root / artifacts.part(part)).to_pylist()
    return lambda place: found[place] if place < len(found) else None


# What reports say


def test_gates_are_told_with_what_was_asked_and_found() -> None:
    one = {"figure": "macro_f1", "sign": ">=", "bound": 0.85, "found": 0.8, "passed": False,
           "group": None, "skipped": None, "too_small": None}  # fmt: skip
    beats = one | {"sign": ">", "bound": 0.7, "passed": True}
    group = one | {"group": "label=a=b", "found": None, "too_small": 3}
    unasked = one | {"skipped": "no_release", "passed": True, "found": None}
    rows = model_reading.gate_rows([one, beats, group, unasked], "linear_svc")
    assert [row["state"] for row in rows] == ["failed", "passed", "failed", "skipped"]
    assert rows[0]["asked"] == "≥ 0.85"
    assert rows[0]["room"] == pytest.approx(-0.05)
    assert "linear support vectors" in words(rows[1]["asked"], "en")
    assert words(rows[2]["figure"], "en") == "macro-F1 where label is a=b"
    assert "min_records" in words(rows[2]["fix"], "en")
    assert "names no release" in words(rows[3]["fix"], "en")
    assert rows[1]["fix"] == ""


def test_room_is_positive_on_the_good_side_of_both_signs() -> None:
    one = {"figure": "mae", "sign": "<=", "bound": 0.9, "found": 0.7, "passed": True,
           "group": None, "skipped": None, "too_small": None}  # fmt: skip
    assert model_reading.gate_rows([one])[0]["room"] == pytest.approx(0.2)


@TASKS
def test_the_main_figure_comes_first_and_gain_means_better(task: str) -> None:
    report, _answers = whole(task)
    rows = model_reading.tested_figures(report)
    assert rows[0]["name"] == report["main"]
    assert {row["name"] for row in rows} == set(report["figures"])
    for row in rows:
        if row["baseline"] is None:
            continue
        better = row["model"] > row["baseline"]
        if row["name"] in report["smaller_is_better"]:
            better = row["model"] < row["baseline"]
        assert (row["gain"] > 0) == better, row["name"]


def test_without_a_word_of_the_report_errors_are_known_to_be_better_when_smaller() -> None:
    assert model_reading.smaller_is_better("mae")
    assert not model_reading.smaller_is_better("accuracy")
    assert model_reading.smaller_is_better("accuracy", {"smaller_is_better": ["accuracy"]})


def test_baselines_are_ordered_by_what_is_better() -> None:
    figures = {"majority": {"mae": 3.0, "r2": 0.1}, "linear_svc": {"mae": 2.0, "r2": 0.5}}
    names = [row["name"] for row in model_reading.baseline_rows(figures, "mae", 1.0)]
    assert names == ["model", "linear_svc", "majority"]
    names = [row["name"] for row in model_reading.baseline_rows(figures, "r2", 0.3)]
    assert names == ["linear_svc", "model", "majority"]


@TASKS
def test_groups_come_weakest_first_and_small_ones_last(task: str) -> None:
    report, _answers = whole(task)
    column = next(name for name, found in report["slices"].items() if len(found) > 1)
    rows = model_reading.slice_rows(report, column, task)
    assert len(rows) == len(report["slices"][column])
    flags = [row["small"] for row in rows]
    assert flags == sorted(flags)
    large = [row["value"] for row in rows if not row["small"]]
    weakest_first = sorted(large, reverse=task == REGRESSION)
    assert large == weakest_first


def test_a_gap_whose_interval_holds_nothing_between_groups_may_be_chance() -> None:
    gap = {"value": 0.1, "low": -0.01, "high": 0.2, "lowest": "a", "highest": "b"}
    sure = gap | {"low": 0.05}
    ratio = gap | {"value": 0.8, "low": 0.7, "high": 1.1}
    entry = {"claim": {"accuracy_gap": gap, "mae_gap": sure, "demographic_parity_ratio": ratio}}
    assert [row["chance"] for row in model_reading.fairness_rows(entry)] == [True, False, True]
    assert model_reading.fairness_rows({"claim": None}) == []


# Records behind a cell


@TASKS
def test_each_cell_shows_the_records_that_it_counts(here: Project, task: str) -> None:
    fill(here, task)
    report, answers = whole(task)
    labels = report["confusion"]["labels"] if task == MULTI else [None]
    truth = {one["id"]: one["label"] for one in answers.records}
    answered = dict(zip(truth, answers.predicted, strict=True))
    seen = 0
    for label in labels:
        for cell in model_examples.cells(report, label):
            asked = Cell(cell["actual"], cell["predicted"], label)
            if task == MULTI:  # as confusion.csv names both sides
                assert {cell["actual"], cell["predicted"]} <= {label, f"not {label}"}
            rows = model_examples.examples(here.stage("test"), report, asked, read(here), 1_000)
            assert len(rows) == cell["records"], cell
            for row in rows:
                assert row["label"] == truth[row["id"]]
                right = row["predicted"] == row["label"]
                if task == SINGLE:
                    assert right == cell["right"]
                    assert answered[row["id"]] == cell["predicted"]
                if task == MULTI:
                    assert (label in row["label"].split(JOINT)) == (cell["actual"] == label)
            seen += len(rows)
    assert seen == len(truth) * len(labels)


def test_wrong_answers_come_with_the_surest_first_and_without_guards(here: Project) -> None:
    rows = list(model_examples.wrong_answers(here.stage("test")))
    sure = [row["confidence"] for row in rows]
    assert sure == sorted(sure, reverse=True)
    assert any(row["label"].startswith("=HYPERLINK") for row in rows)
    assert any(row["text"].startswith("=HYPERLINK") for row in rows)


def test_no_record_is_shown_that_a_newer_split_put_in_its_place(here: Project) -> None:
    report, _answers = whole(SINGLE)
    right = next(one for one in model_examples.cells(report) if one["right"] and one["records"])
    cell = Cell(right["actual"], right["predicted"])
    folder = here.stage("test")

    def other(place: int) -> dict[str, Any]:
        return {"id": "x", "text": "t", "label": "another", "source": "s"}

    assert model_examples.examples(folder, report, cell, read(here))
    assert model_examples.examples(folder, report, cell, other) == []
    assert model_examples.examples(folder, report, cell, lambda place: None) == []


def test_only_as_many_records_are_read_as_are_shown(here: Project) -> None:
    report, _answers = whole(SINGLE)
    right = next(one for one in model_examples.cells(report) if one["right"] and one["records"] > 3)
    asked: list[int] = []
    find = read(here)

    def counting(place: int) -> Any:
        asked.append(place)
        return find(place)

    cell = Cell(right["actual"], right["predicted"])
    assert len(model_examples.examples(here.stage("test"), report, cell, counting, 2)) == 2
    assert len(asked) == 2


def test_a_click_on_a_cell_is_taken_and_an_empty_one_is_not() -> None:
    state = {"selection": {"cell": [{"actual": "a", "predicted": "b"}]}}
    assert model_errors.clicked(state) == ("a", "b")
    assert model_errors.clicked({"selection": {"cell": []}}) is None
    assert model_errors.clicked({"selection": {}}) is None
    assert model_errors.clicked(None) is None


def test_the_list_of_cells_has_wrong_ones_first_the_most_frequent_first() -> None:
    report, _answers = whole(SINGLE)
    cells = {(one["actual"], one["predicted"]): one for one in model_examples.cells(report)}
    listed = [cells[one] for one in model_errors.listed(list(cells.values()))]
    assert all(one["records"] for one in listed)
    assert [one["right"] for one in listed] == sorted(one["right"] for one in listed)
    wrong = [one["records"] for one in listed if not one["right"]]
    assert wrong == sorted(wrong, reverse=True)


# Curves


def test_curves_of_a_run_that_ended(here: Project) -> None:
    found = model_curves.finished(here.stage("train"))
    assert found["train/loss"][0] == (1.0, 2.0)
    assert len(found["train/loss"]) == 40
    assert found["validation/macro_f1"] == [(20.0, 0.93), (40.0, 0.92)]
    assert set(model_curves.losses(found)) == {"train/loss", "validation/loss"}
    assert set(model_curves.figures(found)) == {"macro_f1"}
    assert model_curves.finished(here.stage("validate")) == {}


def test_cells_that_hold_no_number_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text("step,loss,a\n1,nan,\n2,0.5,x\n,1,1\n3,inf,2\n")
    assert model_curves.finished(tmp_path) == {"train/loss": [(2.0, 0.5)], "train/a": [(3.0, 2.0)]}


# Variants


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_variant_beats(points: list[tuple[int, int]]) -> None:
    rows = [{"price": price, "quality": quality} for price, quality in points]
    front = model_variants.front(rows, "price")
    best = {points[at] for at in front}
    for price, quality in points:
        beaten = any(
            other[0] <= price and other[1] >= quality and other != (price, quality)
            for other in points
        )
        assert ((price, quality) in best) != beaten
    assert [rows[at]["price"] for at in front] == sorted(rows[at]["price"] for at in front)


def test_where_less_is_better_the_front_goes_down() -> None:
    rows = [
        {"price": 1, "quality": 5.0},
        {"price": 2, "quality": 3.0},
        {"price": 3, "quality": 4.0},
    ]
    assert model_variants.front(rows, "price", greater=False) == [0, 1]


def test_what_became_of_each_variant() -> None:
    rows = {row["name"]: row for row in model_variants.rows(optimized(SINGLE), "zh")}
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {"torch_fp32": "original", "openvino_int8": "ships", "pruned": "refused",
                      "mobile": "unavailable"}  # fmt: skip
    assert rows["mobile"]["why"] == "\u6ca1\u6709\u5904\u7406\u5668"
    assert rows["mobile"]["number"] is None
    assert rows["pruned"]["why"] == "parity: labels, agreement >= 0.97"
    saved = {words(row["figure"], "en"): row["change"] for row in
             model_variants.saved(optimized(SINGLE))}  # fmt: skip
    assert saved["size on disk, MB"] == "-73%"
