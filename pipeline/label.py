"""Label: what each record is, by its source or, where people said otherwise, by them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.params import Params
from pipeline.records import trust
from pipeline.stage import run
from pipeline.steps import agreement, labelling, reasons, rules
from pipeline.steps.annotations import by_record
from pipeline.steps.annotations import read as read_annotations
from pipeline.steps.scheme import Scheme


def label(params: Params) -> None:
    """Map the sources' labels, let people win, ask rules about the rest, and doubt the outcome.

    A gate on agreement is judged last, when everything that explains it is written.
    """
    knobs = params.label
    table = artifacts.read_records(artifacts.CLEAN / artifacts.RECORDS)
    scheme = Scheme.of(knobs)
    entries = read_annotations(artifacts.read_annotations(), scheme)
    spoken = by_record(entries)
    said = [spoken.get(record) for record in table["id"].to_pylist()]
    cells = table["label"].to_pylist()
    sourced = [scheme.sourced(one) for one in cells]
    decided = [labelling.settle(*one, scheme) for one in zip(sourced, said, strict=True)]
    labelling.refuse_strange(decided, cells, table["meta"].to_pylist(), scheme)
    ruled = rules.apply(
        table["text"].to_pylist() if knobs.rules else [""] * len(table),
        [one.label for one in decided],
        [rule.model_dump() for rule in knobs.rules],
        scheme,
    )
    decided = [labelling.ruled(*one) for one in zip(decided, ruled.labels, strict=True)]

    found = trust.examine(table, decided, said, knobs)
    table = trust.with_columns(table, found)
    labelled = pc.is_valid(table["label"])
    dropped = table.filter(pc.invert(labelled))
    dropped = dropped.append_column(
        "dropped_by", pa.array([reasons.UNLABELLED] * len(dropped), pa.string())
    )
    report = trust.report(table["id"].to_pylist(), entries, found) | {"rules": ruled.report()}
    with artifacts.output_folder(artifacts.LABEL) as folder:
        artifacts.write_records(folder / artifacts.RECORDS, table.filter(labelled))
        artifacts.write_records(folder / artifacts.DROPPED, dropped)
        artifacts.write_json(folder / artifacts.REPORT, report)
        trust.write(folder, table, found)
    agreement.gate(found.agreement, knobs.agreement.min_alpha, knobs.agreement.min_records)


if __name__ == "__main__":
    run(label)
