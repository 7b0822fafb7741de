"""Split: divide records into training, validation and test, with nothing known on both sides."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.params import Params
from pipeline.stage import run
from pipeline.steps import splitting
from pipeline.steps.text import key


def split(params: Params) -> None:
    """Divide by the seed; duplicates and groups stay together; count labels per part."""
    knobs = params.split
    table = artifacts.read_records(artifacts.LABEL / artifacts.RECORDS)
    labels = table["label"].to_pylist()
    splitting.refuse_single(labels)
    groups = splitting.families(
        table["group"].to_pylist(), [key(one) for one in table["text"].to_pylist()]
    )
    parts = splitting.split(
        groups,
        labels,
        shares=knobs.shares.model_dump(),
        stratify=knobs.strategy == "stratified",
        seed=knobs.seed,
    )
    counts = splitting.count(labels, parts, names=artifacts.PARTS, declared=params.label.labels)
    splitting.refuse_small(counts, minimum=knobs.min_per_label)
    splitting.refuse_leak(groups, parts)

    table = table.append_column("part", pa.array(parts, pa.string()))
    report = {
        "records": len(table),
        "parts": {name: parts.count(name) for name in artifacts.PARTS},
        "labels": counts,
        "families": len(set(groups)),
    }
    with artifacts.output_folder(artifacts.SPLIT) as folder:
        for name in artifacts.PARTS:
            chosen = table.filter(pc.equal(table["part"], name))
            artifacts.write_records(folder / artifacts.part(name).name, chosen)
        artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(split)
