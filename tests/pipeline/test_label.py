"""Label: people win over sources, nothing undeclared passes, nothing a person wrote is touched."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import artifacts
from pipeline.errors import DataError, GateError
from pipeline.label import label
from tests.helpers import ROOT, changed, folder_bytes, record, report, rows, write_records

LABELS = ["abbreviation", "description", "entity", "human", "location", "number"]


def annotate(*lines: Mapping[str, object] | str) -> None:
    artifacts.ANNOTATIONS.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (artifacts.ANNOTATIONS / "ann.jsonl").write_text(text + "\n", encoding="utf-8")


def said(
    number: int, label: str | None, who: str = "ann", day: int = 1, **more: object
) -> dict[str, object]:
    line = {"record": f"r{number}", "annotator": who, "label": label, "time": f"2026-11-0{day}"}
    return line | more


def labelled(*labels: str | None, **changes: Any) -> dict[str, dict[str, object]]:
    records = [record(number, f"text {number}", one) for number, one in enumerate(labels)]
    write_records(artifacts.CLEAN, records)
    label(changed({f"label.{name.replace('__', '.')}": one for name, one in changes.items()}))
    return {one["id"]: one for one in rows(artifacts.LABEL / "records.parquet")}


def questions(count: int = 60) -> list[str]:
    """Return questions that a baseline can tell apart by number: human, number, location."""
    kinds = ("Who wrote the book", "How many people read the book", "Where lies the city of")
    return [f"{kinds[at % 3]} {at} ?" for at in range(count)]


def asked(*labels: str | None, columns: Mapping[str, Any] | None = None, **changes: Any) -> None:
    texts = questions(len(labels))
    records = [record(at, texts[at], one) for at, one in enumerate(labels)]
    write_records(artifacts.CLEAN, records)
    path = artifacts.CLEAN / artifacts.RECORDS
    table = pq.read_table(path)
    for name, values in (columns or {}).items():
        table = table.append_column(name, pa.array(values, pa.string()))
    artifacts.write_records(path, table)
    label(changed({f"label.{name.replace('__', '.')}": one for name, one in changes.items()}))


RIGHT = ["human", "number", "location"] * 20


def test_labels_of_the_source_are_mapped(project: Path) -> None:
    found = labelled("DESC:manner", "human")
    assert [found[name]["label"] for name in ("r0", "r1")] == ["description", "human"]
    assert found["r0"]["label_origin"] == "source"
    assert found["r0"]["agreement"] is None
    assert found["r0"]["baseline_probability"] is None, "two records teach nothing"


def test_an_annotation_wins_and_its_file_is_not_touched(project: Path) -> None:
    annotate(said(0, "entity"), said(1, "number"), said(9, "human"))
    before = folder_bytes(artifacts.ANNOTATIONS)
    found = labelled("DESC:manner", None)
    assert found["r0"]["label"] == "entity"
    assert found["r0"]["label_origin"] == "annotation"
    assert json.loads(str(found["r0"]["annotators"])) == ["ann"]
    assert found["r1"]["label"] == "number"
    assert folder_bytes(artifacts.ANNOTATIONS) == before
    told = report(artifacts.LABEL)
    assert told["annotations"] == 3
    assert told["annotated_records"] == 2
    assert told["annotations_without_record"] == 1


def test_the_majority_wins_and_agreement_is_its_share(project: Path) -> None:
    annotate(said(0, "entity", "a"), said(0, "human", "b"), said(0, "human", "c", day=2))
    found = labelled("DESC:manner")
    assert found["r0"]["label"] == "human"
    assert found["r0"]["agreement"] == pytest.approx(2 / 3)


def test_records_without_a_label_are_dropped_by_name(project: Path) -> None:
    found = labelled("human", None, "number")
    assert set(found) == {"r0", "r2"}
    dropped = rows(artifacts.LABEL / "dropped.parquet")
    assert [(one["id"], one["dropped_by"]) for one in dropped] == [("r1", "unlabelled")]
    told = report(artifacts.LABEL)
    assert told["cleaned"] == told["kept"] + told["dropped"]["unlabelled"] == 3
    assert told["origins"] == {"source": 2}


def test_labels_nobody_declared_are_refused_with_their_rows(project: Path) -> None:
    with pytest.raises(DataError) as caught:
        labelled("human", "animal", *["plant"] * 8)
    text = caught.value.render("en")
    assert "data/raw/made.csv:3: found the label 'animal' in 1 records" in text
    assert "data/raw/made.csv:4, data/raw/made.csv:5" in text
    assert "… : found the label 'plant'" in text or "…: found the label 'plant'" in text
    assert len(caught.value.problems) == 2
    assert not artifacts.LABEL.exists()


def test_bad_annotations_are_named_by_line_all_at_once(project: Path) -> None:
    annotate(said(0, "human"), "{not json", '{"record": "r0"}', "[1]", said(0, "animal"))
    with pytest.raises(DataError) as caught:
        labelled("human")
    places = [problem.where for problem in caught.value.problems]
    assert places == [f"data/annotations/ann.jsonl:{line}" for line in (2, 3, 4, 5)]


def test_an_adjudicator_wins_and_what_is_left_is_listed(project: Path) -> None:
    annotate(
        said(0, "entity", "a"),
        said(0, "human", "b"),
        said(1, "entity", "a"),
        said(1, "human", "b", day=2),
        said(0, "number", "judy", day=3, role="adjudicator"),
    )
    found = labelled("human", "human")
    assert (found["r0"]["label"], found["r0"]["label_origin"]) == ("number", "adjudication")
    assert (found["r1"]["label"], found["r1"]["agreement"]) == ("human", 0.5)
    listed = rows(artifacts.LABEL / "adjudication.parquet")
    assert [(one["id"], one["consensus"], one["entropy"]) for one in listed] == [("r1", "human", 1)]
    assert json.loads(listed[0]["votes"]) == {"a": "entity", "b": "human"}
    assert report(artifacts.LABEL)["adjudication"] == {"open": 1, "done": 1}


def test_a_returned_record_is_on_the_list_until_somebody_labels_it(project: Path) -> None:
    returned = said(0, None, "eve", day=2, role="checker", verdict="return")
    accepted = said(1, None, "eve", day=2, role="checker", verdict="accept")
    annotate(said(0, "entity"), said(1, "human"), returned, accepted)
    labelled("human", "human", annotation__checked=0)
    assert report(artifacts.LABEL)["checks"] == {"open": 0, "accepted": 1, "returned": ["r0"]}
    annotate(said(0, "entity"), said(1, "human"), returned, accepted, said(0, "human", day=3))
    labelled("human", "human", annotation__checked=1)
    assert report(artifacts.LABEL)["checks"] == {"open": 1, "accepted": 1, "returned": []}
    listed = rows(artifacts.LABEL / "checks.parquet")
    assert [(one["id"], one["label"], one["state"]) for one in listed] == [
        ("r0", "human", "open"),
        ("r1", "human", "accepted"),
    ]


def test_annotations_of_another_guideline_are_counted(project: Path) -> None:
    artifacts.ANNOTATIONS.mkdir(parents=True)
    guideline = artifacts.ANNOTATIONS / "guideline.md"
    guideline.write_text("Label well.", encoding="utf-8")
    current = artifacts.sha256(guideline)
    annotate(said(0, "human", guideline=current), said(0, "human", guideline="0" * 64))
    labelled("human")
    told = report(artifacts.LABEL)["guideline"]
    assert told == {"sha256": current, "outdated_guideline": 1, "without_guideline": 0}


def test_rules_label_the_rest_and_conflicts_are_listed(project: Path) -> None:
    rules = [{"pattern": "text [12]", "label": "human"}, {"pattern": "[23]$", "label": "number"}]
    found = labelled("entity", None, None, None, rules=rules)
    assert {name: one["label"] for name, one in found.items()} == {
        "r0": "entity",
        "r1": "human",
        "r3": "number",
    }
    assert found["r1"]["label_origin"] == "rule"
    told = report(artifacts.LABEL)["rules"]
    assert told["conflicting_records"] == 1
    assert told["conflicts"] == [{"rules": [0, 1], "labels": ["human", "number"], "records": 1}]
    assert [one["labelled"] for one in told["rules"]] == [1, 1]


def test_suspects_are_listed_and_every_record_has_a_probability(project: Path) -> None:
    asked("location", *RIGHT[1:], suspects__listed=5)
    suspects = rows(artifacts.LABEL / "suspects.parquet")
    assert (suspects[0]["id"], suspects[0]["label"], suspects[0]["suggested"]) == (
        "r0",
        "location",
        "human",
    )
    assert suspects[0]["text"] == questions()[0]
    found = rows(artifacts.LABEL / "records.parquet")
    assert found[0]["baseline_probability"] < 0.2
    assert all(one["baseline_probability"] > 0.5 for one in found[1:])
    assert report(artifacts.LABEL)["suspects"]["listed"] == len(suspects)


def test_suspects_can_be_turned_off(project: Path) -> None:
    asked(*RIGHT, suspects__enabled=False)
    assert {one["baseline_probability"] for one in rows(artifacts.LABEL / "records.parquet")} == {
        None
    }
    assert rows(artifacts.LABEL / "suspects.parquet") == []
    assert report(artifacts.LABEL)["suspects"] is None


def test_clusters_and_languages_of_clean_are_kept(project: Path) -> None:
    asked(*RIGHT, columns={"cluster": ["c"] * 30 + [None] * 30, "language": ["en"] * 60})
    found = rows(artifacts.LABEL / "records.parquet")
    assert [one["cluster"] for one in found] == ["c"] * 30 + [None] * 30
    assert list(found[0])[-6:-4] == ["cluster", "language"]


def test_weighed_annotators_and_what_stands_in_their_way(project: Path) -> None:
    people = {"good": RIGHT, "fine": RIGHT, "poor": ["entity"] * 60}
    annotate(*(said(at, one[at], who) for who, one in people.items() for at in range(40)))
    asked(*RIGHT, consensus="cleanlab")
    told = report(artifacts.LABEL)["consensus"]
    assert (told["used"], told["note"]) == ("cleanlab", None)
    assert told["annotators"]["good"] > told["annotators"]["poor"]
    found = rows(artifacts.LABEL / "records.parquet")
    assert [one["label"] for one in found] == RIGHT
    annotate(said(0, "human"))
    asked(*RIGHT, consensus="cleanlab", suspects__enabled=False)
    told = report(artifacts.LABEL)["consensus"]
    assert (told["used"], told["note"]) == ("majority", "too_few_annotators")


def test_agreement_is_measured_and_written_for_plots(project: Path) -> None:
    agreed = [said(at, LABELS[at % 6], who) for at in range(30) for who in ("=ann", "bob")]
    annotate(*agreed, said(0, "entity", "bob", day=2))
    labelled(*["human"] * 30)
    told = report(artifacts.LABEL)["agreement"]
    assert (told["annotators"], told["records"], told["overlap"]) == (2, 30, 30)
    assert 0.9 < told["alpha"]["value"] < 1
    assert told["alpha"]["low"] < told["alpha"]["value"] <= told["alpha"]["high"]
    with (artifacts.LABEL / "agreement.csv").open(encoding="utf-8", newline="") as source:
        lines = list(csv.DictReader(source))
    assert {one["kind"] for one in lines} == {"all", "pair", "label", "annotator"}
    assert {one["name"] for one in lines if one["kind"] == "label"} == set(LABELS)
    assert {one["name"] for one in lines if one["kind"] == "annotator"} == {"'=ann", "bob"}


def test_the_gate_stops_the_stage_after_its_figures_are_written(project: Path) -> None:
    annotate(*(said(at, LABELS[at % 2], "a") for at in range(8)), said(0, "human", "b"))
    with pytest.raises(GateError, match="alpha"):
        labelled(*["human"] * 8, agreement__min_alpha=0.667)
    assert report(artifacts.LABEL)["agreement"]["overlap"] == 1
    annotate(said(0, "human", "a"), said(1, "human", "b"))
    with pytest.raises(GateError, match="no record was labelled by several annotators"):
        labelled("human", "human", agreement__min_alpha=0.667)


def test_a_gate_that_fails_ends_the_process_with_an_error(project: Path) -> None:
    write_records(artifacts.CLEAN, [record(0, "text", "human")])
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.count("min_alpha: null") == 1
    artifacts.PARAMS.write_text(text.replace("min_alpha: null", "min_alpha: 0.667"))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.label"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "MOFANG_LANGUAGE": "en", "PATH": ""},
    )
    assert done.returncode == 1
    assert "label, agreement.min_alpha: found nobody has annotated a record" in done.stderr


def test_the_same_bytes_every_time(project: Path) -> None:
    annotate(*(said(at, RIGHT[at], who) for at in range(30) for who in ("bob", "ann")))
    asked(*RIGHT[:50], *[None] * 10, consensus="cleanlab")
    first = folder_bytes(artifacts.LABEL)
    asked(*RIGHT[:50], *[None] * 10, consensus="cleanlab")
    assert folder_bytes(artifacts.LABEL) == first


def test_no_record_at_all(project: Path) -> None:
    assert labelled() == {}
    assert report(artifacts.LABEL)["cleaned"] == 0


SETS: dict[str, Any] = {
    "task": "multi_label",
    "labels": ["human", "number", "location"],
    "definitions": {},
    "mapping": {"who": "human", "N*": "number"},
    "separator": ";",
}
NUMBERS: dict[str, Any] = {
    "task": "regression",
    "labels": [],
    "definitions": {},
    "mapping": {},
    "numbers": {"low": -4.0, "high": 4.0},
}


def given(number: int, label: object, who: str = "ann", **more: Any) -> dict[str, object]:
    return said(number, None, who, **more) | {"label": label}


def test_several_labels_of_the_source_are_split_mapped_and_ordered(project: Path) -> None:
    found = labelled("location; who", "N1;NX", ";", None, **SETS)
    assert {name: one["label"] for name, one in found.items()} == {
        "r0": "human|location",
        "r1": "number",
        "r2": "",
    }
    told = report(artifacts.LABEL)
    assert told["labels"] == {"human": 1, "location": 1, "number": 1}
    assert told["dropped"] == {"unlabelled": 1}
    assert told["numbers"] is None


def test_unknown_ones_of_several_labels_are_refused(project: Path) -> None:
    with pytest.raises(DataError) as caught:
        labelled("human;plant", "plant;rock", "human", **SETS)
    text = caught.value.render("en")
    assert "the label 'plant' in 2 records" in text
    assert "the label 'rock' in 1 records, allowed one of human, number, location" in text


def test_several_annotators_with_several_labels(project: Path) -> None:
    annotate(
        given(0, ["human", "location"]),
        given(0, "location", "bob"),
        given(0, ["location", "number"], "cid", day=2),
        given(1, []),
        given(1, "number", "judy", role="adjudicator"),
    )
    found = labelled("number", "human", "human;number", **SETS)
    assert (found["r0"]["label"], found["r0"]["label_origin"]) == ("location", "annotation")
    assert found["r0"]["agreement"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert (found["r1"]["label"], found["r1"]["label_origin"]) == ("number", "adjudication")
    told = report(artifacts.LABEL)
    assert told["agreement"]["metric"] == "masi"
    assert told["agreement"]["overlap"] == 1
    listed = rows(artifacts.LABEL / "adjudication.parquet")
    assert json.loads(listed[0]["votes"])["ann"] == "human|location"
    assert (listed[0]["consensus"], listed[0]["spread"]) == ("location", None)


def test_rules_add_several_labels(project: Path) -> None:
    rules = [{"pattern": "text", "label": "number"}, {"pattern": "1$", "label": "human"}]
    found = labelled("location", None, None, rules=rules, **SETS)
    assert [found[f"r{at}"]["label"] for at in range(3)] == ["location", "human|number", "number"]
    assert report(artifacts.LABEL)["rules"]["conflicting_records"] == 0


def test_suspects_and_probabilities_of_several_labels(project: Path) -> None:
    asked("human;location", *RIGHT[1:], suspects__listed=5, **SETS)
    suspects = rows(artifacts.LABEL / "suspects.parquet")
    assert [(one["id"], one["label"], one["suggested"]) for one in suspects] == [
        ("r0", "human|location", "human")
    ]
    found = rows(artifacts.LABEL / "records.parquet")
    assert found[0]["baseline_probability"] < min(one["baseline_probability"] for one in found[1:])


def test_numbers_are_checked_and_written_one_way(project: Path) -> None:
    found = labelled("3.50", " -2", "0", None, **NUMBERS)
    assert [found[f"r{at}"]["label"] for at in range(3)] == ["3.5", "-2.0", "0.0"]
    told = report(artifacts.LABEL)
    assert told["labels"] == {}
    assert (told["numbers"]["0"], told["numbers"]["0.5"], told["numbers"]["1"]) == (-2.0, 0.0, 3.5)
    with pytest.raises(DataError) as caught:
        labelled("3.5", "4.5", "nan", "good", **NUMBERS)
    assert len(caught.value.problems) == 3
    assert "allowed a number from -4 to 4" in caught.value.render("en")


def test_annotators_numbers_come_to_their_median(project: Path) -> None:
    annotate(
        *(given(0, value, who) for who, value in (("a", 1), ("b", 4), ("c", 1.5))),
        *(given(1, value, who) for who, value in (("a", 2), ("b", 2.25))),
        given(2, -1, "judy", role="adjudicator"),
    )
    found = labelled("0", "0", "0", **NUMBERS)
    assert [found[f"r{at}"]["label"] for at in range(3)] == ["1.5", "2.125", "-1.0"]
    assert found["r0"]["agreement"] is None
    told = report(artifacts.LABEL)
    assert (told["agreement"]["metric"], told["consensus"]["used"]) == ("interval", "median")
    assert -1 < told["agreement"]["alpha"]["value"] < 1
    listed = rows(artifacts.LABEL / "adjudication.parquet")
    assert [(one["id"], one["spread"], one["entropy"]) for one in listed] == [("r0", 3.0, None)]


def test_a_wrong_number_is_suspect_and_every_record_has_a_residual(project: Path) -> None:
    values = [str(at % 3 + at % 7 / 100) for at in range(60)]
    asked("-4", *values[1:], **NUMBERS)
    suspects = rows(artifacts.LABEL / "suspects.parquet")
    assert (suspects[0]["id"], suspects[0]["label"]) == ("r0", "-4.0")
    assert suspects[0]["probability"] is None
    found = rows(artifacts.LABEL / "records.parquet")
    assert {one["baseline_probability"] for one in found} == {None}
    residuals = [abs(one["baseline_residual"]) for one in found]
    assert residuals[0] == max(residuals) > 3.5
    asked(*values, suspects__enabled=False, **NUMBERS)
    assert rows(artifacts.LABEL / "records.parquet")[0]["baseline_residual"] is None


@pytest.mark.parametrize("task", [SETS, NUMBERS], ids=["several", "numbers"])
def test_no_record_at_all_in_any_task(project: Path, task: dict[str, Any]) -> None:
    assert labelled(**task) == {}
    assert report(artifacts.LABEL)["cleaned"] == 0


@pytest.mark.parametrize("task", [SETS, NUMBERS], ids=["several", "numbers"])
def test_the_gate_reads_alpha_of_every_task(project: Path, task: dict[str, Any]) -> None:
    own: Any = (["human"], ["human", "number"]) if task is SETS else (1, 3.5)
    annotate(*(given(at, own[at % 2], who) for at in range(40) for who in "ab"))
    labelled(*[None] * 40, agreement__min_alpha=0.9, **task)
    assert report(artifacts.LABEL)["agreement"]["alpha"]["value"] == 1
    annotate(*(given(at, own[(at + (who == "b")) % 2], who) for at in range(40) for who in "ab"))
    with pytest.raises(GateError, match="alpha"):
        labelled(*[None] * 40, agreement__min_alpha=0.667, **task)
