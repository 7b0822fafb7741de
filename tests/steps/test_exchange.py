"""Exchange: what goes out comes back unchanged, and nothing foreign is believed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.steps.annotations import parse, read
from pipeline.steps.exchange import (
    Arrived,
    Item,
    Task,
    from_csv,
    from_label_studio,
    interface,
    not_there,
    to_csv,
    to_label_studio,
)
from pipeline.steps.spreadsheet import guard, table, unguard
from tests.steps.schemes import numbers, several, single

LABELS = ["a", "b", '<"&>']
ONE = single(LABELS)
TASK = Task(ONE, frozenset({"r1", "r2", "r3"}))
NOW = "2026-11-05T00:00:00+00:00"
STARTS = ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'", "''=", "'a", "a", ""]
CELLS = st.builds(str.__add__, st.sampled_from(STARTS), st.text())


@given(CELLS)
def test_exactly_one_guard_is_taken_away_again(cell: str) -> None:
    assert unguard(guard(cell)) == cell


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_exported_cell_runs(start: str) -> None:
    exported = to_csv([Item("r1", f"{start}HYPERLINK(1)", f"{start}x")], None, ONE)
    row = next(csv.DictReader(io.StringIO(exported, newline="")))
    assert row["text"].startswith("'")
    assert row["label"].startswith("'")
    assert guard("a=1") == "a=1"


@given(st.lists(st.tuples(CELLS, CELLS, st.none() | CELLS.filter(bool)), max_size=5))
def test_csv_comes_back_as_it_went(rows: list[tuple[str, str, str | None]]) -> None:
    exported = to_csv([Item(*row) for row in rows], None, ONE)
    found = [
        tuple(unguard(cells[name]) for name in ("record", "text", "label"))
        for _line, cells in table("\ufeff" + exported, "x.csv")
    ]
    assert found == [(record, text, label or "") for record, text, label in rows]


@given(st.lists(st.tuples(st.text(), st.sampled_from([*LABELS, None])), max_size=5))
def test_label_studio_comes_back_as_it_went(rows: list[tuple[str, str | None]]) -> None:
    """What Label Studio does in between: it keeps the task and adds annotations."""
    items = [Item(f"r{at}", text, label) for at, (text, label) in enumerate(rows)]
    tasks = json.loads(json.dumps(to_label_studio(items, "f" * 64, ONE)))
    for at, task in enumerate(tasks):
        assert task["data"]["text"] == items[at].text
        assert ("predictions" in task) == (items[at].label is not None)
        if items[at].label is not None:
            task["annotations"] = [
                {
                    "completed_by": 7,
                    "result": task["predictions"][0]["result"],
                    "created_at": "2026-11-01T08:00:00.123456Z",
                    "lead_time": 4.5,
                    "was_cancelled": False,
                }
            ]
    target = Task(ONE, frozenset(one.record for one in items))
    arrived = from_label_studio(json.dumps(tasks), "x.json", target, None, "annotator")
    assert [(one["record"], one["label"]) for one in arrived.entries] == [
        (one.record, one.label) for one in items if one.label is not None
    ]
    for entry in arrived.entries:
        assert entry["annotator"] == "label-studio-7"
        assert (entry["seconds"], entry["guideline"]) == (4.5, "f" * 64)


def test_the_interface_is_xml_with_every_label() -> None:
    tree = ET.fromstring(interface(ONE))  # noqa: S314 - our own text
    assert [one.get("value") for one in tree.iter("Choice")] == LABELS


def done(record: str = "r1", *labels: str, **changes: Any) -> dict[str, Any]:
    """Return a task as Label Studio exports it."""
    value = {"value": {"choices": list(labels or ("a",))}, "type": "choices"}
    annotation = {
        "completed_by": {"id": 3, "email": "ann@example.com"},
        "result": [value],
        "created_at": "2026-11-01T08:00:00Z",
        "updated_at": "2026-11-01T09:00:00Z",
        "lead_time": None,
    }
    return {"data": {"record": record, "text": "t"}, "annotations": [annotation | changes]}


def studio(*tasks: Any, annotator: str | None = None) -> Arrived:
    return from_label_studio(json.dumps(tasks), "x.json", TASK, annotator, "annotator")


def test_cancelled_and_empty_annotations_are_passed_over_and_counted() -> None:
    arrived = studio(
        done(was_cancelled=True), done("r2", result=[]), done("r3", "b"), {"data": {"record": "r1"}}
    )
    assert [one["record"] for one in arrived.entries] == ["r3"]
    assert arrived.passed_over == {"skipped": 1, "empty": 1}
    assert arrived.entries[0]["annotator"] == "ann@example.com"
    assert arrived.entries[0]["time"] == "2026-11-01T09:00:00Z", "a correction is the later word"


def test_everything_that_does_not_fit_is_named_together() -> None:
    with pytest.raises(DataError) as caught:
        studio(
            done("r9"),
            done("r1", "z"),
            done("r1", "a", "b"),
            done(lead_time=-1),
            done(created_at="x", updated_at=None),
            {"data": {"text": "t"}},
            17,
            done("r2"),
        )
    places = [one.where for one in caught.value.problems]
    assert places == [
        *(f"x.json, task {at}, annotation 1" for at in (1, 2, 3, 4, 5)),
        "x.json, task 6",
        "x.json, task 7",
    ]


def test_one_name_does_not_fit_several_people() -> None:
    other = done("r2", completed_by=9)
    with pytest.raises(DataError, match=r"found annotations of ann@example\.com, label-studio-9"):
        studio(done(), other, annotator="ann")
    assert {one["annotator"] for one in studio(done(), done("r2"), annotator="x").entries} == {"x"}
    assert len({one["annotator"] for one in studio(done(), other).entries}) == 2


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, '"x"', "nul"])
def test_what_is_no_export_is_named(text: str) -> None:
    with pytest.raises(DataError, match="no list of tasks"):
        from_label_studio(text, "x.json", TASK, None, "annotator")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "meta", "annotations", "record", "result", "value", "choices"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3))
def test_no_json_breaks_the_reader(tasks: list[Any]) -> None:
    try:
        arrived = from_label_studio(json.dumps(tasks), "x.json", TASK, None, "annotator")
    except DataError:
        return
    for entry in arrived.entries:
        assert entry["record"] in TASK.records


def sheet(*rows: str, annotator: str | None = "ann", role: str = "annotator") -> Arrived:
    return from_csv("\r\n".join(rows) + "\r\n", "x.csv", TASK, annotator, role)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_filled_sheet_is_read_whatever_its_delimiter(delimiter: str) -> None:
    rows = ["record,text,label,seconds,note", "r1,x,a,2.5,", "r2,y,,,", "r3,z,b,,'=why"]
    arrived = sheet(*(row.replace(",", delimiter) for row in rows))
    assert arrived.passed_over == {"empty": 1}
    assert arrived.entries == [
        {"record": "r1", "annotator": "ann", "label": "a", "seconds": 2.5, "role": "annotator"},
        {"record": "r3", "annotator": "ann", "label": "b", "note": "=why", "role": "annotator"},
    ]


def test_bad_rows_of_a_sheet_are_named_together() -> None:
    with pytest.raises(DataError) as caught:
        sheet("record,label,time,seconds", "r9,a,,", "r1,z,,", "r2,a,noon,", "r2,a,,soon", "r1,a,,")
    assert [one.where for one in caught.value.problems] == [f"x.csv:{at}" for at in (2, 3, 4, 5)]
    with pytest.raises(DataError, match=r"x\.csv:2: .*annotator"):
        sheet("record,label", "r1,a", annotator=None)
    with pytest.raises(DataError, match="found text, label, allowed the columns record, label"):
        sheet("text,label", "x,a")
    with pytest.raises(DataError, match="no line"):
        from_csv("", "x.csv", TASK, "ann", "annotator")


def test_many_problems_are_cut_off_with_their_number() -> None:
    with pytest.raises(DataError, match="found 70 further problems"):
        sheet("record,label", *["r9,a"] * 120)


def test_a_torn_sheet_is_named_and_a_long_cell_is_not_torn() -> None:
    with pytest.raises(DataError, match="a whole CSV file"):
        sheet('record,label\r\nr1,"a')
    before = csv.field_size_limit()
    assert len(sheet("record,label,text", f'r1,a,"{"x" * 200_000}"').entries) == 1
    assert csv.field_size_limit() == before


def test_a_checkers_sheet_holds_verdicts() -> None:
    exported = to_csv([Item("r1", "t", "a"), Item("r2", "t", "a")], None, ONE, verdict=True)
    lines = exported.split("\r\n")
    lines[1] += "return"
    arrived = from_csv("\r\n".join(lines), "x.csv", TASK, "eve", "checker")
    assert [one["verdict"] for one in arrived.entries] == ["return"]
    assert arrived.passed_over == {"empty": 1}
    assert read({"f": [json.dumps({"time": NOW} | arrived.entries[0])]}, ONE)


def test_several_labels_stand_in_a_cell_as_a_list_or_with_the_separator() -> None:
    wanted = Task(several(LABELS), TASK.records)
    text = 'record,label\r\nr1,"[""a"", ""b""]"\r\nr2,a\r\nr3, b | a |\r\nr1,[]\r\nr2, \r\n'
    arrived = from_csv(text, "x.csv", wanted, "ann", "annotator")
    assert [one["label"] for one in arrived.entries] == [["a", "b"], ["a"], ["b", "a"], []]
    assert arrived.passed_over == {"empty": 1}
    with pytest.raises(DataError, match=r"found '\["):
        from_csv(text, "x.csv", TASK, "ann", "annotator")


READERS: list[Callable[[], Arrived]] = [
    lambda: studio(done("r1"), done("r2", "b")),
    lambda: sheet("record,label", "r1,a", "r2,b"),
    lambda: sheet("record,label,time", "r1,a,2026-11-01", "r1,b,2026-11-02", "r1,a,2026-11-03"),
]


@pytest.mark.parametrize("arrive", READERS)
def test_the_same_file_twice_adds_nothing(arrive: Callable[[], Arrived]) -> None:
    entries = arrive().entries
    new, known = not_there(entries, [], NOW)
    assert (len(new), known) == (len(entries), 0)
    there = read({"f": [json.dumps(one) for one in new]}, ONE)
    assert not_there(entries, there, "2027-01-01T00:00:00Z") == ([], len(entries))


def test_a_changed_mind_is_added() -> None:
    first, _known = not_there(sheet("record,label", "r1,a").entries, [], NOW)
    there = read({"f": [json.dumps(one) for one in first]}, ONE)
    new, known = not_there(sheet("record,label", "r1,b").entries, there, "2026-12-01T00:00:00Z")
    assert (len(new), known) == (1, 0)
    assert parse(json.dumps(new[0]), "").labels == ("b",)  # type: ignore[union-attr]


SETS = Task(several(["a", "b, c", " d "], ","), TASK.records)
SCALE = Task(numbers(-4, 4), TASK.records)


@given(st.lists(st.lists(st.sampled_from(SETS.scheme.labels), unique=True), max_size=3))
def test_several_labels_come_back_from_a_spreadsheet(sets: list[list[str]]) -> None:
    """Even where a name holds the separator, or spaces at its ends."""
    items = [Item(f"r{at}", "t", SETS.scheme.text(one)) for at, one in enumerate(sets, 1)]
    arrived = from_csv(to_csv(items, None, SETS.scheme), "x.csv", SETS, "ann", "annotator")
    assert [SETS.scheme.text(one["label"]) for one in arrived.entries] == [
        one.label for one in items
    ]


@given(st.lists(st.floats(-4, 4), max_size=3))
def test_numbers_come_back_from_a_spreadsheet(values: list[float]) -> None:
    items = [Item(f"r{at}", "t", repr(one)) for at, one in enumerate(values, 1)]
    exported = to_csv(items, None, SCALE.scheme)
    assert not any(
        cell.startswith("-") for row in csv.reader(io.StringIO(exported)) for cell in row
    )
    arrived = from_csv(exported, "x.csv", SCALE, "ann", "annotator")
    assert [one["label"] for one in arrived.entries] == values


def test_what_is_no_number_is_named_with_its_line() -> None:
    text = "record,label\nr1,3.5\nr2,many\nr3,9\nr1,-1\n"
    with pytest.raises(DataError) as caught:
        from_csv(text, "x.csv", SCALE, "ann", "annotator")
    assert [one.where for one in caught.value.problems] == ["x.csv:3", "x.csv:4"]


def annotated(items: list[Item], task: Task) -> list[dict[str, Any]]:
    """Return Label Studio's export where an annotator took each prediction over."""
    tasks: list[dict[str, Any]] = json.loads(json.dumps(to_label_studio(items, None, task.scheme)))
    for one in tasks:
        result = one["predictions"][0]["result"]
        one["annotations"] = [
            {"completed_by": 7, "result": result, "created_at": "2026-11-01T08:00:00Z"}
        ]
    return tasks


@pytest.mark.parametrize(
    ("task", "labels"),
    [(SETS, ["a", "a|b, c", " d ", ""]), (SCALE, ["3.5", "-0.25", "0.0"])],
)
def test_label_studio_brings_every_task_back(task: Task, labels: list[str]) -> None:
    scheme = task.scheme
    items = [Item(f"r{at % 3 + 1}", "t", label) for at, label in enumerate(labels)]
    text = json.dumps(annotated(items, task))
    arrived = from_label_studio(text, "x.json", task, None, "annotator")
    there = read({"f": [json.dumps(one) for one in arrived.entries]}, scheme)
    assert [scheme.text(one.labels) for one in there] == labels
    assert not arrived.passed_over


def test_a_rating_of_label_studio_is_a_number() -> None:
    rated = done("r1", result=[{"type": "rating", "value": {"rating": 4}}])
    nothing = done("r2", result=[])
    twice = done("r3", result=[{"value": {"rating": 4}}, {"value": {"number": 1}}])
    text = json.dumps([rated, nothing])
    arrived = from_label_studio(text, "x.json", SCALE, None, "annotator")
    assert [one["label"] for one in arrived.entries] == [4]
    assert arrived.passed_over == {"empty": 1}
    with pytest.raises(DataError):
        from_label_studio(json.dumps([twice]), "x.json", SCALE, None, "annotator")


def test_an_annotation_without_a_choice_says_that_no_label_fits() -> None:
    text = json.dumps([done("r1", result=[]), done("r2", result=[], was_cancelled=True)])
    arrived = from_label_studio(text, "x.json", SETS, None, "annotator")
    assert [one["label"] for one in arrived.entries] == [[]]
    assert arrived.passed_over == {"skipped": 1}


def test_the_interface_asks_for_what_the_task_needs() -> None:
    sets = ET.fromstring(interface(SETS.scheme))  # noqa: S314 - our own text
    assert [one.get("choice") for one in sets.iter("Choices")] == ["multiple"]
    scale = ET.fromstring(interface(SCALE.scheme))  # noqa: S314
    number = next(scale.iter("Number"))
    assert (number.get("toName"), number.get("min"), number.get("max")) == ("text", "-4", "4")
    assert "min" not in interface(numbers())


def test_the_order_of_labels_makes_no_new_annotation() -> None:
    first = [{"record": "r1", "annotator": "ann", "label": ["a", "b"], "time": "2026-11-01"}]
    there = read({"f": [json.dumps(first[0])]}, several("ab"))
    assert not_there([first[0] | {"label": ["b", "a"]}], there, NOW) == ([], 1)
    assert not_there([first[0] | {"label": ["b"]}], there, NOW)[1] == 0
