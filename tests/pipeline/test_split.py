"""Split: shares and mix are met, nothing known stands on both sides, what is too small is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.split import split
from tests.helpers import changed, record, report, rows, write_records

LABELS = ["human", "number"]


def divided(
    records: list[dict[str, object]], **changes: object
) -> dict[str, list[dict[str, object]]]:
    write_records(artifacts.LABEL, records)
    knobs = {"label.labels": LABELS, "label.mapping": {}}
    split(changed(knobs | {f"split.{name}": value for name, value in changes.items()}))
    return {part: rows(artifacts.part(part)) for part in artifacts.PARTS}


def many(count: int = 200, **others: object) -> list[dict[str, object]]:
    return [
        record(number, f"text {number}", LABELS[number % 4 == 0], **others)
        for number in range(count)
    ]


def test_shares_and_the_mix_of_labels_are_met(project: Path) -> None:
    parts = divided(many())
    assert [len(parts[name]) for name in artifacts.PARTS] == [160, 20, 20]
    counts = report(artifacts.SPLIT)["labels"]
    assert counts["validation"] == counts["test"] == {"human": 15, "number": 5}
    ids = [one["id"] for part in parts.values() for one in part]
    assert sorted(ids) == sorted(f"r{number}" for number in range(200))
    assert all(one["part"] == name for name, part in parts.items() for one in part)


def test_the_seed_decides_to_the_byte(project: Path) -> None:
    divided(many())
    first = {name: artifacts.part(name).read_bytes() for name in artifacts.PARTS}
    divided(many())
    assert {name: artifacts.part(name).read_bytes() for name in artifacts.PARTS} == first
    divided(many(), seed=7)
    assert artifacts.part("test").read_bytes() != first["test"]


def test_duplicates_never_cross_even_when_they_are_kept(project: Path) -> None:
    records = [
        record(number, f"{'Text ' if number % 2 else 'text'} {number % 50}", LABELS[number % 2])
        for number in range(400)
    ]
    parts = divided(records)
    texts = [{str(one["text"]).lower().split()[1] for one in part} for part in parts.values()]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert len(set.union(*texts)) == 50


def test_a_group_never_crosses(project: Path) -> None:
    records = [
        record(number, f"text {number}", LABELS[number % 2], group=f"customer {number % 40}")
        for number in range(400)
    ]
    parts = divided(records, strategy="random")
    groups = [{one["group"] for one in part} for part in parts.values()]
    assert sum(map(len, groups)) == 40


def test_one_label_only_is_a_clear_error(project: Path) -> None:
    records = [record(number, f"text {number}", "human") for number in range(20)]
    with pytest.raises(
        DataError, match=r"records of one label only \(human\), allowed at least two"
    ):
        divided(records)


def test_a_label_too_small_to_split_is_named_with_its_parts(project: Path) -> None:
    rare = [one for one in many(100) if one["label"] == "human"]
    rare += [record(500, "rare", "number"), record(501, "rarer", "number")]
    with pytest.raises(DataError) as caught:
        divided(rare)
    places = [problem.where for problem in caught.value.problems]
    assert {"data/split, validation, number", "data/split, test, number"} <= set(places)
    assert "data/split, train, human" not in places
    assert not artifacts.SPLIT.exists()


def test_a_declared_label_without_records_is_an_error(project: Path) -> None:
    LABELS.append("location")
    try:
        with pytest.raises(DataError, match="data/split, train, location: found 0 records"):
            divided([one for one in many() if one["label"] != "location"])
    finally:
        LABELS.remove("location")
