"""Clean: write every text the same way, and drop what cannot be learnt from, each for a reason."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.params import Params
from pipeline.stage import run
from pipeline.steps import filters, labelling, text


def clean(params: Params) -> None:
    """Normalize, filter and count: kept and dropped records add up to the collected ones."""
    knobs = params.clean
    table = artifacts.read_records(artifacts.COLLECT / artifacts.RECORDS)
    raw = table["text"].to_pylist()
    texts = [text.normalize(one, **knobs.normalize.model_dump()) for one in raw]
    labels = [labelling.mapped(one, params.label.mapping) for one in table["label"].to_pylist()]
    reasons = filters.judge(
        texts,
        labels,
        lengths=(knobs.min_characters, knobs.max_characters),
        duplicates=knobs.drop_duplicates,
        contradictions=knobs.drop_contradictions,
    )
    table = table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts))
    kept = pa.array([reason is None for reason in reasons])
    dropped = table.append_column("dropped_by", pa.array(reasons, pa.string()))
    dropped = dropped.filter(pc.invert(kept))
    report = {
        "collected": len(reasons),
        "kept": len(reasons) - len(dropped),
        "dropped": filters.counts(reasons),
        "changed": sum(one != other for one, other in zip(raw, texts, strict=True)),
    }
    with artifacts.output_folder(artifacts.CLEAN) as folder:
        artifacts.write_records(folder / artifacts.RECORDS, table.filter(kept))
        artifacts.write_records(folder / artifacts.DROPPED, dropped)
        artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(clean)
