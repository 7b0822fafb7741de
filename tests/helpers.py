"""What several tests need: changed params, a project in a folder, records on the disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline import artifacts
from pipeline.params import Params, check

ROOT = Path(__file__).parents[1]
TRIES = 3

Answer = TypeVar("Answer")


def quickest(action: Callable[[], Answer]) -> tuple[Answer, float]:
    """Do three times what changes nothing; return its answer and the fewest seconds it took.

    A moment in which somebody else has the processor is longer than most bounds.
    """
    seconds = []
    for _try in range(TRIES):
        began = time.perf_counter()
        answer = action()
        seconds.append(time.perf_counter() - began)
    return answer, min(seconds)


@cache
def params_text() -> str:
    """Return the text of the project's own ``params.yaml``."""
    return (ROOT / "params.yaml").read_text(encoding="utf-8")


@cache
def own_values() -> str:
    """Return the project's own params as JSON; to read them as YAML takes a tenth of a second."""
    return json.dumps(YAML(typ="safe", pure=True).load(params_text()))


def changed_text(changes: Mapping[str, Any]) -> str:
    """Return the project's params as JSON, which is YAML, with other values in some places."""
    content = json.loads(own_values())
    for where, value in changes.items():
        *steps, last = where.split(".")
        place = content
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(content, ensure_ascii=False)


def changed(changes: Mapping[str, Any] | None = None) -> Params:
    """Return the project's params with other values in some places (``train.epochs``)."""
    text = changed_text(changes or {})
    try:
        return Params.model_validate(json.loads(text))
    except ValidationError:
        return check(text.encode())  # tells the problems as those of a file


def record(number: int, text: str, label: str | None, **others: Any) -> dict[str, Any]:
    """Return one record as collect writes it."""
    meta = json.dumps({"file": "data/raw/made.csv", "row": number + 2})
    made = {"id": f"r{number}", "text": text, "label": label, "source": "made"}
    return made | {"group": None, "created_at": None, "meta": meta} | others


def write_records(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write records where a stage looks for them."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(records), schema=artifacts.record_schema())
    artifacts.write_records(folder / artifacts.RECORDS, table)


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a parquet file."""
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def report(folder: Path) -> dict[str, Any]:
    """Return what a stage reports."""
    found: dict[str, Any] = json.loads((folder / artifacts.REPORT).read_text(encoding="utf-8"))
    return found


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
