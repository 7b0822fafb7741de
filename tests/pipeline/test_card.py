"""The data card: true figures, in both languages, and nothing in it that a value could add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.sources import card
from tests.helpers import changed, report
from tests.pipeline.test_collect import put, source

TABLE = (
    "text,label,when,kind\nhello,x,2026-01-02T00:00:00Z,a\nhello,y,2026-01-01,\n"
    "bye,,2026-03-01T12:00:00+08:00,b\nbye,x,,b\n"
)


def made(*sources: dict[str, Any], **knobs: Any) -> str:
    """Run the stage and return its card."""
    wanted = {f"collect.{name}": value for name, value in knobs.items()}
    collect(changed({"collect.sources": list(sources), **wanted}))
    return (artifacts.COLLECT / "README.md").read_text(encoding="utf-8")


def test_figures_are_true(project: Path) -> None:
    put({"t.csv": TABLE})
    columns = {"created_at": "when", "meta": ["kind"]}
    gone = source("gone.csv", name="gone", required=False)
    text = made(source("t.csv", columns=columns, permitted_use="internal"), gone,
                group_by=["created_at", "label"])  # fmt: skip
    told = report(artifacts.COLLECT)
    assert told["duplicates"] == 2
    assert told["filled"] == {"id": 4, "text": 4, "label": 3, "source": 4, "group": 0,
                              "created_at": 3, "meta": 4, "meta.kind": 3}  # fmt: skip
    assert told["time_span"] == ["2026-01-01T00:00:00+00:00", "2026-03-01T04:00:00+00:00"]
    assert sorted(told["groups"]["counts"], key=str) == [
        ["2026-01-01", "y", 1], ["2026-01-02", "x", 1], ["2026-03-01", None, 1], [None, "x", 1],
    ]  # fmt: skip
    assert "| label | 75.0% |" in text
    assert "From 2026-01-01T00:00:00+00:00 to 2026-03-01T04:00:00+00:00." in text
    entry = told["sources"][0]
    assert f"| one | file | made here | internal | no | 4 | {entry['sha256']} |" in text
    assert "| gone | data/raw/gone.csv: found no file, allowed at least one." in text
    assert (entry["permitted_use"], entry["personal_data"], entry["kind"]) == (
        "internal", False, "file")  # fmt: skip


def test_the_hub_reads_the_front_matter(project: Path) -> None:
    put({"t.csv": "text,label\nhello,x\n"})
    data = DatasetCard(made(source("t.csv", licence="CC-BY-4.0"))).data
    assert data.license == "cc-by-4.0"
    assert data.size_categories == ["n<1K"]
    assert data.task_categories == ["text-classification"]
    assert data.configs == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "records.parquet"}]}
    ]


@pytest.mark.parametrize("licences", [["MIT", "CC0-1.0"], ["free for friends"]])
def test_other_licences_are_other(project: Path, licences: list[str]) -> None:
    put({"t.csv": "text,label\nhello,x\n"})
    sources = [source("t.csv", name=f"s{n}", licence=one) for n, one in enumerate(licences)]
    text = made(*sources)
    assert DatasetCard(text).data.license == "other"
    assert all(one in text for one in licences)


def test_both_languages_are_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put({"t.csv": "text,label\nhello,x\n"})
    monkeypatch.setattr(card.Message, "render", lambda self, language: f"{language}:{self.text}")
    text = made(source("t.csv"))
    assert text.index("en:# Data card") < text.index("zh:# Data card")
    assert text.count("| text | 100.0% |") == 2


EVIL = (
    "<script>alert(1)</script> | ![x](http://a.b/c) [y](javascript:z) `c` **b** # h\n\n# head & co"
)


def test_values_cannot_leave_their_cells(project: Path) -> None:
    put({"t.jsonl": '{"text": "hello", "label": "a|b\\n<img src=x onerror=y>"}\n'})
    text = made(source("t.jsonl", licence=EVIL, permitted_use="x\u202e|y"))
    body = text.split("---\n", 2)[2]
    assert "<" not in body
    assert "](" not in body.replace("\\](", "")
    assert "http://" not in body
    assert "\n# head" not in body
    for line in body.splitlines():
        if line.startswith("| one"):
            assert line.replace("\\|", "").count("|") in (4, 8)
    assert "\u202e" not in body


@given(st.text(max_size=300))
def test_a_cell_stays_a_cell(value: str) -> None:
    shown = card.table(["a"], [[value]], "en").splitlines()
    assert len(shown) == 3
    assert "<" not in shown[2]
    assert shown[2].replace("\\\\", "").replace("\\|", "").count("|") == 2


def test_many_kinds_are_cut_short() -> None:
    import pyarrow as pa

    figures = card.Figures(["label"])
    labels = [f"l{number % 12_000}" for number in range(13_000)]
    batch = pa.record_batch(
        {"text": labels, "label": labels, "meta": ["{}"] * 13_000,
         "created_at": pa.array([None] * 13_000, pa.timestamp("us", tz="UTC"))}
    )  # fmt: skip
    figures.add(batch)
    groups = figures.result()["groups"]
    assert len(groups["counts"]) == card.GROUPS_LISTED
    assert groups["others"] + sum(one[-1] for one in groups["counts"]) == 13_000
    assert figures.result()["duplicates"] == 1_000
