"""Collect: bring raw records together, with their origin and their licence."""

from __future__ import annotations

import pyarrow as pa

from pipeline import artifacts
from pipeline.params import Params
from pipeline.sources.gathering import gather
from pipeline.stage import run


def collect(params: Params) -> None:
    """Read every source and write its records and what is known about them."""
    records, entries = gather(params.collect.sources)
    table = pa.Table.from_pylist(records, schema=artifacts.record_schema())
    with artifacts.output_folder(artifacts.COLLECT) as folder:
        artifacts.write_records(folder / artifacts.RECORDS, table)
        artifacts.write_json(
            folder / artifacts.REPORT, {"records": len(records), "sources": entries}
        )


if __name__ == "__main__":
    run(collect)
