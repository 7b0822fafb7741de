"""Label: people win over sources, nothing undeclared passes, nothing a person wrote is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.label import label
from tests.helpers import changed, folder_bytes, record, report, rows, write_records


def annotate(*lines: dict[str, str] | str) -> None:
    artifacts.ANNOTATIONS.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (artifacts.ANNOTATIONS / "ann.jsonl").write_text(text + "\n", encoding="utf-8")


def said(number: int, label: str, who: str = "ann", day: int = 1) -> dict[str, str]:
    return {"record": f"r{number}", "annotator": who, "label": label, "time": f"2026-11-0{day}"}


def labelled(*labels: str | None) -> dict[str, dict[str, object]]:
    records = [record(number, f"text {number}", one) for number, one in enumerate(labels)]
    write_records(artifacts.CLEAN, records)
    label(changed())
    return {one["id"]: one for one in rows(artifacts.LABEL / "records.parquet")}


def test_labels_of_the_source_are_mapped(project: Path) -> None:
    found = labelled("DESC:manner", "human")
    assert [found[name]["label"] for name in ("r0", "r1")] == ["description", "human"]
    assert found["r0"]["label_origin"] == "source"
    assert found["r0"]["agreement"] is None


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
