"""Clean: every text written the same way, every drop for a named reason."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import artifacts
from pipeline.clean import clean
from tests.helpers import changed, folder_bytes, record, report, rows, write_records

MESSY = [
    ("<p>Where is   it&nbsp;?</p>", "LOC:other"),
    ("Where is it ?", "LOC:city"),  # a duplicate once both are written alike and mapped alike
    ("where IS it ?", "LOC:city"),
    ("caf\u00c3\u00a9 \uff21\uff22\uff23\u200b", "ENTY:food"),
    ("ab", "HUM:ind"),
    ("x" * 3_000, "HUM:ind"),
    ("Who said that ?", "HUM:ind"),
    ("Who said that ?", "NUM:count"),
    ("A text without a label", None),
]


def cleaned(**changes: object) -> dict[str, object]:
    records = [record(number, text, label) for number, (text, label) in enumerate(MESSY)]
    write_records(artifacts.COLLECT, records)
    clean(changed({f"clean.{name}": value for name, value in changes.items()}))
    return report(artifacts.CLEAN)


def test_kept_and_dropped_add_up_by_reason(project: Path) -> None:
    told = cleaned()
    assert told["collected"] == len(MESSY)
    assert told["dropped"] == {"contradiction": 2, "duplicate": 2, "too_long": 1, "too_short": 1}
    kept = rows(artifacts.CLEAN / "records.parquet")
    dropped = rows(artifacts.CLEAN / "dropped.parquet")
    assert len(kept) == told["kept"] == 3
    assert len(kept) + len(dropped) == len(MESSY)
    assert {one["id"] for one in kept} | {one["id"] for one in dropped} == {
        f"r{number}" for number in range(len(MESSY))
    }
    assert all(one["dropped_by"] for one in dropped)


def test_texts_are_written_the_same_way_and_labels_stay(project: Path) -> None:
    cleaned()
    kept = {one["id"]: one for one in rows(artifacts.CLEAN / "records.parquet")}
    assert kept["r0"]["text"] == "Where is it ?"
    assert kept["r0"]["label"] == "LOC:other", "the source's own label is kept"
    assert kept["r3"]["text"] == "café ABC"
    assert kept["r8"]["label"] is None


def test_contradictions_are_judged_by_the_labels_of_the_task(project: Path) -> None:
    """LOC:other and LOC:city are one label here; HUM and NUM are two."""
    told = cleaned(**{"duplicates.exact": False})
    assert told["dropped"] == {"contradiction": 2, "too_long": 1, "too_short": 1}


def test_switches_turn_filters_off(project: Path) -> None:
    told = cleaned(
        **{
            "duplicates.exact": False,
            "duplicates.contradictions": False,
            "quality.length.enabled": False,
        }
    )
    assert told["dropped"] == {}


def test_the_same_records_give_the_same_bytes(project: Path) -> None:
    cleaned()
    first = (artifacts.CLEAN / "records.parquet").read_bytes()
    cleaned()
    assert (artifacts.CLEAN / "records.parquet").read_bytes() == first


def test_the_waterfall_ends_at_what_was_kept(project: Path) -> None:
    told = cleaned()
    lines = (artifacts.CLEAN / "waterfall.csv").read_text().splitlines()
    assert lines[:2] == ["step,kind,from,to,records", f"collected,in,{len(MESSY)},0,{len(MESSY)}"]
    assert lines[-1] == f"kept,out,{told['kept']},0,{told['kept']}"
    bars = [line.split(",") for line in lines[2:-1]]
    assert {bar[0]: int(bar[4]) for bar in bars} == told["dropped"], "a bar for every reason"
    ends = [len(MESSY), *(int(bar[3]) for bar in bars)]
    assert [int(bar[2]) for bar in bars] == ends[:-1], "each bar starts where the one before ended"
    assert ends[-1] == told["kept"]


def test_samples_show_each_step_and_reason_without_anybodys_data(project: Path) -> None:
    texts = ["<b>Write</b> to jane.doe@example.com about the parcel", "ab", "An ordinary text"]
    write_records(artifacts.COLLECT, [record(at, text, "x") for at, text in enumerate(texts)])
    clean(changed({"clean.personal_data.email": "mask"}))
    told = report(artifacts.CLEAN)
    assert told["personal_data"] == {"email": 1}
    samples = told["samples"]
    assert samples["html"][0]["before"] == "<b>Write</b> to [EMAIL] about the parcel"
    assert samples["html"][0]["after"] == "Write to [EMAIL] about the parcel"
    assert told["changed"] == {"html": 1, "personal_data": 1}
    assert samples["too_short"] == [{"id": "r1", "before": "ab", "after": None}]
    assert "jane.doe" not in (artifacts.CLEAN / "report.json").read_text()
    assert rows(artifacts.CLEAN / "records.parquet")[0]["text"] == samples["html"][0]["after"]


def test_records_with_personal_data_go_when_they_should(project: Path) -> None:
    texts = ["write to jane.doe@example.com about it", "write to nobody about it"]
    write_records(artifacts.COLLECT, [record(at, text, "x") for at, text in enumerate(texts)])
    clean(changed({"clean.personal_data.email": "drop"}))
    assert report(artifacts.CLEAN)["dropped"] == {"personal_data": 1}


NEAR = [
    "the quick brown fox jumps over the lazy dog near the river bank today",
    "an entirely different sentence about cooking rice for dinner at home",
    "the quick brown fox jumps over the lazy dig near the river bank today",
    "the quick brown fox jumps over the lazy dog near the river bank todays",
]


@pytest.mark.parametrize(("keep", "stays"), [("first", "r0"), ("longest", "r3"), ("newest", "r2")])
def test_near_duplicates_go_by_the_rule(project: Path, keep: str, stays: str) -> None:
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 9, 3)]
    write_records(
        artifacts.COLLECT,
        [record(at, text, "x", created_at=times[at]) for at, text in enumerate(NEAR)],
    )
    clean(changed({"clean.duplicates.near.drop": True, "clean.duplicates.near.keep": keep}))
    kept = rows(artifacts.CLEAN / "records.parquet")
    assert [one["id"] for one in kept] == sorted({"r1", stays})
    assert report(artifacts.CLEAN)["dropped"] == {"near_duplicate": 2}
    clusters = rows(artifacts.CLEAN / "clusters.parquet")
    assert sorted(one["id"] for one in clusters) == ["r0", "r2", "r3"]
    assert len({one["cluster"] for one in clusters}) == 1


def test_near_duplicates_stay_together_when_they_stay(project: Path) -> None:
    write_records(artifacts.COLLECT, [record(at, text, "x") for at, text in enumerate(NEAR)])
    clean(changed())
    kept = rows(artifacts.CLEAN / "records.parquet")
    assert len(kept) == 4
    assert kept[0]["cluster"] == kept[2]["cluster"] == kept[3]["cluster"] is not None
    assert kept[1]["cluster"] is None


def many(count: int) -> pa.Table:
    """Return records in several row groups, some of them repeated across those."""
    drawn = random.Random(11)
    words = ["".join(drawn.choices("abcdefghiklmnoprstu", k=6)) for _ in range(400)]
    texts = [" ".join(drawn.choices(words, k=12)) for _ in range(count)]
    for at in range(0, count, 9):
        texts[drawn.randrange(count)] = texts[at] + drawn.choice(["", "", "s", " "])
    made = [record(at, text, drawn.choice(["x", "y", None])) for at, text in enumerate(texts)]
    return pa.Table.from_pylist(made, schema=artifacts.record_schema())


@pytest.mark.parametrize(("drop", "numbers"), [(False, "13"), (True, "124")])
def test_the_bytes_do_not_depend_on_the_number_of_workers(
    project: Path, monkeypatch: pytest.MonkeyPatch, drop: bool, numbers: str
) -> None:
    artifacts.COLLECT.mkdir(parents=True)
    pq.write_table(many(3_000), artifacts.COLLECT / artifacts.RECORDS, row_group_size=400)
    found = []
    for workers in numbers:
        monkeypatch.setenv("MOFANG_WORKERS", workers)
        clean(changed({"clean.duplicates.near.drop": drop}))
        found.append(folder_bytes(artifacts.CLEAN))
    assert all(one == found[0] for one in found[1:])
    told = report(artifacts.CLEAN)
    assert told["collected"] == 3_000 == told["kept"] + sum(told["dropped"].values())
    assert told["clusters"]["clusters"] > 50
    assert not list(artifacts.WORK.iterdir()), "nothing is left in the work folder"


def test_shards_change_nothing_but_where_rows_stand(project: Path) -> None:
    """One row group or many: the same records stay, for the same reasons."""
    artifacts.COLLECT.mkdir(parents=True)
    kept = []
    for size in (100, 5_000):
        pq.write_table(many(1_000), artifacts.COLLECT / artifacts.RECORDS, row_group_size=size)
        clean(changed({"clean.duplicates.near.drop": True}))
        kept.append(rows(artifacts.CLEAN / "records.parquet"))
    assert kept[0] == kept[1]


def test_a_set_of_which_nothing_stays_has_files_all_the_same(project: Path) -> None:
    write_records(artifacts.COLLECT, [record(0, "a", None), record(1, "b", None)])
    clean(changed())
    assert rows(artifacts.CLEAN / "records.parquet") == []
    assert len(rows(artifacts.CLEAN / "dropped.parquet")) == 2


RATED = [
    ("The same film", "3.5"),
    ("the same film", "3.50"),  # the same number: a duplicate
    ("Another film", "3.5"),
    ("another film", "-1"),
]
TAGGED = [
    ("The same film", "long, dull"),
    ("the same film", "dull,long"),  # the same labels: a duplicate
    ("Another film", "dull"),
    ("another film", "dull,long"),
]


@pytest.mark.parametrize("task", ["regression", "multi_label"])
@pytest.mark.parametrize("contradictions", [True, False])
def test_labels_that_say_the_same_do_not_contradict(
    project: Path, task: str, contradictions: bool
) -> None:
    """For ratings, which people seldom repeat to the digit, ``contradictions`` keeps all."""
    made = RATED if task == "regression" else TAGGED
    write_records(artifacts.COLLECT, [record(at, *one) for at, one in enumerate(made)])
    labels = [] if task == "regression" else ["long", "dull"]
    knobs: dict[str, object] = {"label.task": task, "label.labels": labels, "label.separator": ","}
    knobs |= {"label.mapping": {}, "label.definitions": {}}
    clean(changed(knobs | {"clean.duplicates.contradictions": contradictions}))
    dropped = report(artifacts.CLEAN)["dropped"]
    assert dropped == {"duplicate": 1} | ({"contradiction": 2} if contradictions else {})
