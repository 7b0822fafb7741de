"""Label: one label a record, from its source or, where people said otherwise, from them."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.params import Params
from pipeline.stage import run
from pipeline.steps import filters, labelling
from pipeline.steps.annotations import by_record
from pipeline.steps.annotations import read as read_annotations


def label(params: Params) -> None:
    """Map the sources' labels, let annotations win, refuse what nobody declared."""
    table = artifacts.read_records(artifacts.CLEAN / artifacts.RECORDS)
    said = read_annotations(artifacts.read_annotations(), params.label.labels)
    spoken = by_record(said)
    ids, sourced = table["id"].to_pylist(), table["label"].to_pylist()
    decided = [
        labelling.decide(labelling.mapped(one, params.label.mapping), spoken.get(record, ()))
        for record, one in zip(ids, sourced, strict=True)
    ]
    labels = [one.label for one in decided]
    labelling.refuse_unknown(labels, table["meta"].to_pylist(), params.label.labels)

    table = table.set_column(
        table.schema.get_field_index("label"), "label", pa.array(labels, pa.string())
    )
    people = pa.array([json.dumps(one.annotators) for one in decided])
    table = table.append_column("annotators", people)
    table = table.append_column(
        "agreement", pa.array([one.agreement for one in decided], pa.float64())
    )
    table = table.append_column(
        "label_origin", pa.array([one.origin for one in decided], pa.string())
    )

    labelled = pc.is_valid(table["label"])
    dropped = table.filter(pc.invert(labelled))
    dropped = dropped.append_column(
        "dropped_by", pa.array([filters.UNLABELLED] * len(dropped), pa.string())
    )
    report = {
        "cleaned": len(table),
        "kept": len(table) - len(dropped),
        "dropped": filters.counts(dropped["dropped_by"].to_pylist()),
        "labels": dict(Counter(one for one in labels if one is not None).most_common()),
        "annotations": len(said),
        "annotated_records": len(spoken.keys() & set(ids)),
        "annotations_without_record": sum(one.record not in set(ids) for one in said),
    }
    with artifacts.output_folder(artifacts.LABEL) as folder:
        artifacts.write_records(folder / artifacts.RECORDS, table.filter(labelled))
        artifacts.write_records(folder / artifacts.DROPPED, dropped)
        artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(label)
