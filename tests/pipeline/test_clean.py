"""Clean: every text written the same way, every drop for a named reason."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.clean import clean
from tests.helpers import changed, record, report, rows, write_records

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
    told = cleaned(drop_duplicates=False)
    assert told["dropped"] == {"contradiction": 2, "too_long": 1, "too_short": 1}


def test_switches_turn_filters_off(project: Path) -> None:
    told = cleaned(drop_duplicates=False, drop_contradictions=False, min_characters=1)
    assert told["dropped"] == {"too_long": 1}


def test_the_same_records_give_the_same_bytes(project: Path) -> None:
    cleaned()
    first = (artifacts.CLEAN / "records.parquet").read_bytes()
    cleaned()
    assert (artifacts.CLEAN / "records.parquet").read_bytes() == first
