"""A project with results of the data stages, written by these stages themselves."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.studio.project_files import Project
from pipeline import annotation, artifacts
from pipeline.clean import clean
from pipeline.collect import collect
from pipeline.label import label
from pipeline.params import load
from pipeline.split import split
from tests.helpers import changed_text
from tests.pipeline.made_reports import HOSTILE

KINDS = {
    "human": "Who wrote the book {} ?",
    "number": "How many people read the book {} ?",
    "location": "Where lies the city of {} ?",
}
COUNT = 120
TWICE, WRONG = 7, (0, 30, 33, 36)
MESSY = "<p>Where   lies the town of&nbsp;{} ?</p>"
READER: Mapping[str, Any] = {
    "format": "csv", "encoding": "auto", "pattern": None, "unmatched": "fail", "members": "*",
    "sheet": None, "columns": {"text": "text", "label": "label", "group": None,
                               "created_at": None, "meta": []},
}  # fmt: skip
SOURCE: Mapping[str, Any] = {
    "name": "made", "kind": "file", "path": "data/raw/made.csv",
    "licence": "CC0 1.0", "permitted_use": "any", "personal_data": False, "required": True,
    "label": None, "limit": None, "sample": "first", "reader": READER,
}  # fmt: skip
CHANGES: Mapping[str, Any] = {
    "collect.sources": [SOURCE],
    "clean.duplicates.near.enabled": False,  # else most of these texts are one family
    "label.labels": ["human", "number", "location"],
    "label.definitions": {"human": {"meaning": "asks for a *person*", "examples": ["Who <b>?"]}},
    "label.mapping": {},
    "label.annotation.overlap": 0.0,
    "label.annotation.queue": 30,
    "label.suspects.folds": 2,
    "split.shares": {"train": 0.6, "validation": 0.2, "test": 0.2},
    "split.augment.enabled": True,
}
GUIDELINE = """# Guideline

Read it whole. ![x](https://evil.example/x.png)

---

# \u6307\u5357

\u901a\u8bfb\u5168\u6587
"""


def texts() -> list[tuple[str, str]]:
    """Return texts with their labels: some twice, some messy, some that want to run."""
    kinds = list(KINDS)
    made = [(KINDS[kinds[at % 3]].format(at), kinds[at % 3]) for at in range(COUNT)]
    made += made[:TWICE]
    made += [(MESSY.format(at), "location") for at in range(3)]
    return made + [(f"Who said {one} ?", "human") for one in HOSTILE]


def build(folder: Path, changes: Mapping[str, Any] | None = None) -> Project:
    """Return a project after its data stages.

    Some labels are wrong: one contradicts its duplicate, three are suspect.
    """
    before = Path.cwd()
    os.chdir(folder)
    try:
        rows = [
            {"text": text, "label": "number" if at in WRONG else kind}
            for at, (text, kind) in enumerate(texts())
        ]
        prepare(rows, {**CHANGES, **(changes or {})})
        params = load()
        collect(params)
        clean(params)
        label(params)
        split(params)
    finally:
        os.chdir(before)
    return Project(folder)


def shared(factory: pytest.TempPathFactory) -> Project:
    """Return the project that all tests of this process read and none changes."""
    return built(factory.getbasetemp() / "data-project")


@functools.cache
def built(folder: Path) -> Project:
    """Return the project in a folder, built once."""
    folder.mkdir()
    return build(folder)


def prepare(rows: Sequence[Mapping[str, str]], changes: Mapping[str, Any]) -> None:
    """Write what people bring: raw data, params, a guideline."""
    import pandas as pd

    artifacts.RAW.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv("data/raw/made.csv", index=False)
    artifacts.ANNOTATIONS.mkdir(parents=True, exist_ok=True)
    (artifacts.ANNOTATIONS / "guideline.md").write_text(GUIDELINE, encoding="utf-8")
    artifacts.PARAMS.write_text(changed_text(changes), encoding="utf-8")


def copied(made: Project, target: Path) -> Project:
    """Return a copy of a project, for a test that changes it."""
    shutil.copytree(made.root, target, dirs_exist_ok=True)
    return Project(target)


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with results of the data stages; tests that change it take a copy."""
    return shared(tmp_path_factory)


@pytest.fixture
def here(made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a copy of it, in which the test runs."""
    found = copied(made, tmp_path / "project")
    monkeypatch.chdir(found.root)
    return found


def said(record: str, given: object, who: str, minute: int = 0, **more: object) -> None:
    """Let somebody say something about a record, some time ago."""
    moment = datetime.now(UTC) - timedelta(days=1) + timedelta(minutes=minute)
    line = {"record": record, "annotator": who, "label": given, "time": moment.isoformat()}
    annotation.append(annotation.file_of(who), [line | more])


def queued(project: Project, ids: Sequence[str], why: str = "unlabelled") -> None:
    """Write a list of work, as ``pipeline.annotation queue`` does."""
    folder = project.work / "annotation"
    folder.mkdir(parents=True, exist_ok=True)
    known = {row["id"]: row["text"] for row in records(project)}
    lines = [json.dumps({"record": one, "text": known[one], "why": why}) for one in ids]
    (folder / "queue.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def records(project: Project) -> list[dict[str, Any]]:
    """Return the cleaned records."""
    import pyarrow.parquet as pq

    path = project.stage("clean") / artifacts.RECORDS
    found: list[dict[str, Any]] = pq.read_table(path, columns=["id", "text"]).to_pylist()
    return found


def lines(project: Project, who: str) -> list[dict[str, Any]]:
    """Return what somebody's file of annotations holds."""
    path = project.annotations / f"{who}.jsonl"
    if not path.exists():
        return []
    return [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]
