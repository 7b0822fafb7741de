"""Annotations: read whole, or refused with every bad line."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import DataError
from pipeline.steps.annotations import by_record, read

GOOD = {"record": "r1", "annotator": "ann", "label": "a", "time": "2026-11-01T10:00:00Z"}


def lines(*entries: object) -> dict[str, list[str]]:
    return {"one.jsonl": [one if isinstance(one, str) else json.dumps(one) for one in entries]}


def test_empty_lines_and_further_fields_do_no_harm() -> None:
    found = read(lines(GOOD, "", "  ", GOOD | {"seconds": 3, "note": "x\u2028y"}), ["a"])
    assert [one.where for one in found] == ["one.jsonl:1", "one.jsonl:4"]


@pytest.mark.parametrize(
    "bad", ["{", "[]", "3", "null", json.dumps({"record": "r1"}), json.dumps(GOOD | {"label": "z"})]
)
def test_bad_lines_are_named(bad: str) -> None:
    with pytest.raises(DataError, match=r"one\.jsonl:2"):
        read(lines(GOOD, bad), ["a"])


def test_annotations_come_oldest_first_whatever_file_they_stand_in() -> None:
    early = GOOD | {"time": "2026-10-01T10:00:00Z", "label": "b"}
    files = lines(GOOD) | {"two.jsonl": [json.dumps(early)]}
    assert by_record(read(files, ["a", "b"])) == {"r1": [("ann", "b"), ("ann", "a")]}
