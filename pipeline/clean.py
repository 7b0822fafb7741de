"""Clean: write every text the same way, and drop what cannot be learnt from, each for a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.params import Params
from pipeline.records import cleaning
from pipeline.records.writing import RecordWriter
from pipeline.stage import run
from pipeline.steps import reasons
from pipeline.steps.scheme import Cells


def clean(params: Params) -> None:
    """Normalize, filter and count: kept and dropped records add up to the collected ones."""
    knobs = params.clean.model_dump()
    source = artifacts.COLLECT / artifacts.RECORDS
    cells = Cells(params.label.task, params.label.separator, params.label.mapping)
    with artifacts.output_folder(artifacts.CLEAN) as folder, artifacts.scratch("clean") as work:
        index = cleaning.wash_all(source, work, knobs, cells)
        verdict = cleaning.compare(index, knobs["duplicates"])
        dropped, clusters = write(folder, cleaning.finished(index, verdict))
        report = cleaning.report(index, dropped, clusters, knobs)
        artifacts.write_json(folder / artifacts.REPORT, report)
        header = ("step", "kind", "from", "to", "records")
        artifacts.write_csv(folder / "waterfall.csv", header, waterfall(report))


def write(folder: Path, tables: Iterable[pa.Table]) -> tuple[Counter[str], Counter[str]]:
    """Write kept and dropped records and clusters; return the counts of reasons and of clusters."""
    kept = artifacts.record_schema().append(text("language")).append(text("cluster"))
    members = pa.schema([text(name) for name in ("cluster", "id", "label", "dropped_by")])
    dropped: Counter[str] = Counter()
    clusters: Counter[str] = Counter()
    with (
        RecordWriter(folder / artifacts.RECORDS, kept) as kept_file,
        RecordWriter(folder / artifacts.DROPPED, kept.append(text("dropped_by"))) as dropped_file,
        RecordWriter(folder / "clusters.parquet", members) as cluster_file,
    ):
        for table in tables:
            stays = pc.is_null(table["dropped_by"])
            kept_file.add(table.filter(stays))
            dropped_file.add(table.filter(pc.invert(stays)))
            inside = table.filter(pc.is_valid(table["cluster"]))
            cluster_file.add(inside)
            dropped.update(one for one in table["dropped_by"].to_pylist() if one is not None)
            clusters.update(inside["cluster"].to_pylist())
    return dropped, clusters


def text(name: str) -> pa.Field:
    """Return a column of text."""
    return pa.field(name, pa.string())


def waterfall(report: Mapping[str, Any]) -> list[tuple[str, str, int, int, int]]:
    """Return a bar for what came, for each reason what it took away, and for what is left.

    :returns: step, kind of bar, its right end, its left end, records.
    """
    left = report["collected"]
    bars = [("collected", "in", left, 0, left)]
    for reason in reasons.REASONS:
        count = report["dropped"].get(reason, 0)
        if count:
            bars.append((reason, "dropped", left, left - count, count))
            left -= count
    return [*bars, ("kept", "out", left, 0, left)]


if __name__ == "__main__":
    run(clean)
