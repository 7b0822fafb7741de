"""Collect: bring raw records together, with their origin and their licence."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import Params
from pipeline.sources import card
from pipeline.sources.gathering import gather
from pipeline.stage import run


def collect(params: Params) -> None:
    """Read every source; write its records, what is known about them, and the data card."""
    knobs = params.collect
    with artifacts.output_folder(artifacts.COLLECT) as folder:
        sources = gather(
            knobs.sources,
            folder / artifacts.RECORDS,
            merge=knobs.merge,
            sort_by=knobs.sort_by,
            seed=knobs.seed,
            limits=knobs.limits.model_dump(),
        )
        figures = card.describe(folder / artifacts.RECORDS, knobs.group_by)
        report = figures | {"sources": sources}
        artifacts.write_json(folder / artifacts.REPORT, report)
        artifacts.write_bytes(folder / "README.md", card.render(report).encode())


if __name__ == "__main__":
    run(collect)
