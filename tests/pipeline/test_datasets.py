"""Saved data sets: read as they were saved, by the names of their classes; no path is trusted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.errors import SourceError
from pipeline.sources.datasets import open_source
from pipeline.sources.delivery import Row
from tests.helpers import ROOT, changed
from tests.helpers import rows as stored

MAKE = """
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datetime import datetime, timezone
plain = {"text": Value("string"), "label": ClassLabel(names=["no", "是"])}
train = Dataset.from_dict(
    {"text": ["one", "two", " ", "four"], "label": [0, 1, 1, -1]}, features=Features(plain))
test = Dataset.from_dict({"text": ["five"], "label": [None]}, features=Features(plain))
train.save_to_disk("one", num_shards=2)
train.select([3, 0]).save_to_disk("chosen")
DatasetDict({"train": train, "test": test}).save_to_disk("both")
DatasetDict({"only": test}).save_to_disk("single")
Dataset.from_dict(
    {"text": ["x"], "when": [datetime(2026, 1, 2, tzinfo=timezone.utc)], "many": [["a"]],
     "picture": [{"path": "https://127.0.0.1:9/x.png", "bytes": None}], "stars": [4.5]},
).save_to_disk("wide")
Dataset.from_dict({"text": ["word " * 20] * 50_000}).save_to_disk("long")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data sets that the library saved, in a process of its own."""
    folder = tmp_path_factory.mktemp("saved")
    subprocess.run(
        [sys.executable, "-c", MAKE], cwd=folder, check=True, capture_output=True,
        env=os.environ | {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    return folder


@pytest.fixture
def raw(project: Path, saved: Path) -> Path:
    """Return data/raw with those data sets in it."""
    shutil.copytree(saved, "data/raw", dirs_exist_ok=True)
    return Path("data/raw")


def source(path: str, part: str | None = None, **columns: Any) -> SimpleNamespace:
    """Return a source of kind datasets."""
    named = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
    return SimpleNamespace(
        path=f"data/raw/{path}", part=part, columns=SimpleNamespace(**named | columns)
    )


def rows(path: str, part: str | None = None, **columns: Any) -> list[Row]:
    """Return the records of a data set."""
    return list(open_source(source(path, part, **columns)).rows)


def pairs(path: str, part: str | None = None) -> list[tuple[str, str | None]]:
    """Return text and label of the records."""
    return [(row.text, row.label) for row in rows(path, part)]


def refusal(path: str, part: str | None = None, **columns: Any) -> str:
    """Return why a data set is refused."""
    with pytest.raises(SourceError) as caught:
        rows(path, part, **columns)
    return caught.value.render("en")


def edit(path: Path, changes: Mapping[str, Any]) -> None:
    """Change a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_data_set_is_read_in_its_order_with_names_of_classes(raw: Path) -> None:
    delivery = open_source(source("one"))
    found = list(delivery.rows)
    assert [(row.text, row.label) for row in found] == [
        ("one", "no"),
        ("two", "是"),
        ("four", None),
    ]
    assert found[2].meta == {"file": "data/raw/one/data-00001-of-00002.arrow", "row": 2}
    assert (delivery.count.read, delivery.count.empty, len(delivery.files)) == (4, 1, 2)
    assert delivery.count.decoded > 0
    assert pairs("chosen") == [("four", None), ("one", "no")]


def test_a_part_is_chosen_by_name(raw: Path) -> None:
    assert pairs("both", "test") == [("five", None)]
    assert pairs("both", "train")[0] == ("one", "no")
    assert pairs("single") == pairs("single", "only") == [("five", None)]
    assert "found the parts train, test" in refusal("both")
    assert "found the parts train, test" in refusal("both", "../one")
    assert "without the part dev" in refusal("one", "dev")


def test_only_the_wanted_columns_are_read_and_nothing_is_fetched(raw: Path) -> None:
    info = json.loads((raw / "wide/dataset_info.json").read_text())
    edit(
        raw / "wide/dataset_info.json",
        {"features": info["features"] | {"picture": {"_type": "Image"}}},
    )
    (row,) = rows("wide", label=None, created_at="when", meta=["stars"])
    assert row.created_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert row.meta["stars"] == 4.5
    assert "a column missing" in refusal("wide", label="missing")
    assert "the column many of the type list" in refusal("wide", label="many")
    assert "the column picture of the type struct" in refusal("wide", label="picture")


def test_the_library_is_not_imported(raw: Path) -> None:
    code = (
        "import sys; from types import SimpleNamespace as N\n"
        "from pipeline.sources import datasets\n"
        "c = N(text='text', label=None, group=None, created_at=None, meta=[])\n"
        "found = datasets.open_source(N(path='data/raw/long', part=None, columns=c)).rows\n"
        "assert sum(1 for _ in found) == 50_000\n"
        "assert 'datasets' not in sys.modules and 'torch' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/hosts", "a/../../b", "..", ""])
def test_no_path_leads_out_of_the_folder(raw: Path, name: str) -> None:
    edit(raw / "one/state.json", {"_data_files": [{"filename": name}]})
    assert "which leads out of the folder" in refusal("one")
    edit(raw / "both/dataset_dict.json", {"splits": ["train", name]})
    assert "which leads out of the folder" in refusal("both", name)


def test_a_link_out_of_the_raw_data_is_refused(raw: Path) -> None:
    place = raw / "one/data-00000-of-00002.arrow"
    place.rename("moved.arrow")
    place.symlink_to(Path("moved.arrow").resolve())
    assert "which leads out of the folder" in refusal("one")


def test_a_format_to_import_is_ignored(raw: Path) -> None:
    edit(raw / "one/state.json", {"_format_type": "torch", "_format_kwargs": {"x": "y"}})
    assert len(pairs("one")) == 3


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("state.json", "[]", "no JSON object"),
        ("state.json", "{", "Expecting property name"),
        ("state.json", "[" * 100_000, "maximum recursion depth"),
        ("state.json", "{}", "no list of files"),
        ("state.json", '{"_data_files": [7]}', "no list of files"),
        ("state.json", '{"_data_files": [{"filename": "x.arrow"}]}', "x.arrow: found no file"),
        ("state.json", '{"_data_files": [1], "_indices_data_files": [1]}', "another order"),
        ("dataset_info.json", "\xff", "codec can't decode"),
        ("data-00000-of-00002.arrow", "nothing", "allowed a whole Arrow file"),
        ("data-00000-of-00002.arrow", "", "allowed a whole Arrow file"),
    ],
)
def test_a_damaged_data_set_has_a_named_reason(
    raw: Path, file: str, content: str, reason: str
) -> None:
    (raw / "one" / file).write_bytes(content.encode("latin-1"))
    assert reason in refusal("one")


def test_a_cut_file_is_refused_where_it_ends(raw: Path) -> None:
    place = raw / "one/data-00001-of-00002.arrow"
    place.write_bytes(place.read_bytes()[:-200])
    assert "data-00001-of-00002.arrow" in refusal("one")


def test_offsets_that_lead_out_of_the_file_are_refused(raw: Path) -> None:
    write(raw, pa.record_batch([pa.array(["aaaa", "bbbb"]), pa.array([0, 1])], ["text", "label"]))
    place = raw / "one/data-00000-of-00002.arrow"
    offsets = b"\0\0\0\0\4\0\0\0\x08\0\0\0"
    content = place.read_bytes()
    assert content.count(offsets) == 1
    place.write_bytes(content.replace(offsets, b"\0\0\0\0\xff\xff\xff\x7f\x08\0\0\0"))
    assert "allowed a whole Arrow file" in refusal("one")


def write(raw: Path, batch: pa.RecordBatch) -> None:
    """Write a batch as the first file of a data set."""
    place = str(raw / "one/data-00000-of-00002.arrow")
    with pa.OSFile(place, "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)


def test_a_class_without_a_name_is_refused(raw: Path) -> None:
    write(raw, pa.record_batch([pa.array(["a", "b"]), pa.array([1, 2])], names=["text", "label"]))
    assert "arrow:2: found the class 2, allowed 2 classes" in refusal("one")


def test_a_folder_that_is_no_data_set_is_refused(raw: Path) -> None:
    assert "found no folder" in refusal("nowhere")
    (raw / "empty").mkdir()
    assert "empty/state.json: found no file" in refusal("empty")


def test_the_limit_on_size_holds(raw: Path) -> None:
    delivery = open_source(source("long", label=None))
    delivery.count.allowed = 1_000_000
    with pytest.raises(SourceError, match="more than 1 MB"):
        list(delivery.rows)
    assert 0 < delivery.count.read < 50_000


def test_the_stage_collects_a_data_set(raw: Path) -> None:
    columns = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
    wanted = {
        "name": "saved", "kind": "datasets", "path": "data/raw/both", "part": "train",
        "licence": "made here", "permitted_use": "tests", "personal_data": False,
        "required": True, "limit": 2, "label": None, "sample": "first", "columns": columns,
    }  # fmt: skip
    collect(changed({"collect.sources": [wanted]}))
    found = stored(artifacts.COLLECT / artifacts.RECORDS)
    assert [(one["text"], one["label"]) for one in found] == [("one", "no"), ("two", "是")]
