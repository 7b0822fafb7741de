"""Split: divide records into training, validation and test, with nothing known on both sides."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.params import Params
from pipeline.records import dividing
from pipeline.stage import run
from pipeline.steps import splitting


def split(params: Params) -> None:
    """Divide, prepare the columns beside the text, vary the training part, look for leaks.

    Records in = records of the parts + dropped ones; varied copies are counted beside them.
    """
    knobs, columns, task = params.split.model_dump(), params.clean.columns, params.label.task
    table = artifacts.read_records(artifacts.LABEL / artifacts.RECORDS)
    synonyms = dividing.read_synonyms(knobs["augment"])
    splitting.refuse_single(dividing.column(table, "label"))
    division = dividing.divide(table, knobs, task)
    table = table.append_column("part", pa.array(division.parts, pa.string()))
    table, dropped_by, fitted = dividing.with_features(
        table,
        [one.model_dump() for one in columns],
        [one.model_dump() for one in params.clean.derived],
        seed=knobs["seed"],
    )
    kept = [reason is None for reason in dropped_by]
    table, bounds = dividing.with_difficulty(table, kept)
    table = table.append_column("augmented_from", pa.nulls(len(table), pa.string()))
    dropped = table.append_column("dropped_by", pa.array(dropped_by, pa.string()))
    dropped = dropped.filter(pc.is_valid(dropped["dropped_by"]))
    originals = dividing.select(table.filter(pa.array(kept, pa.bool_())))
    counts = dividing.labels(originals, params.label.labels, task)
    dividing.refuse_small(originals, counts, minimum=knobs["min_per_label"])
    parts, augmented = dividing.augment(originals, knobs["augment"], synonyms, task)
    dividing.refuse_leak(parts, knobs["column"])
    report = {
        "records": len(table),
        "parts": {name: len(part) for name, part in originals.items()},
        "dropped": dividing.counted(dropped_by),
        "labels": counts,
        "numbers": dividing.numbers(originals, task),
        "families": division.families,
        "strategy": knobs["strategy"],
        "time": division.borders.report() if division.borders else None,
        "difficulty": {"bounds": bounds, "parts": dividing.difficulties(originals)},
        "augmented": augmented,
        "alike": dividing.alike(originals, seed=knobs["seed"]),
    }
    with artifacts.output_folder(artifacts.SPLIT) as folder:
        for name, part in parts.items():
            artifacts.write_records(folder / artifacts.part(name).name, part)
        artifacts.write_records(folder / artifacts.DROPPED, dropped)
        artifacts.write_json(folder / "fitted.json", fitted)
        artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(split)
