"""Divide a table of records: parts by the strategy, bands of difficulty, varied copies, leaks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.i18n import _
from pipeline.steps import (
    augmenting,
    columns,
    deriving,
    difficulty,
    leaks,
    splitting,
    strata,
    stratifying,
    synonyms,
    targets,
)

AUGMENTED = "augmented"
ASKED = 10_000  # texts a part that are compared with all of the training part
EXAMPLES = 20
TIME = pa.timestamp("us", tz="UTC")

Knobs = Mapping[str, Any]
Parts = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Division:
    """The part of each record, and what there is to say about it."""

    parts: Sequence[str]
    families: int
    borders: splitting.Borders | None  # strategy time only


def texts(table: pa.Table) -> Iterator[str]:
    """Yield the texts of a table, holding no more than a chunk of them."""
    for batch in table.select(["text"]).to_batches(max_chunksize=artifacts.SHARD):
        yield from batch.column(0).to_pylist()


def column(table: pa.Table, name: str) -> list[Any]:
    """Return a column's values; one that is not there holds nothing."""
    if name not in table.schema.names:
        return [None] * len(table)
    values: list[Any] = table[name].to_pylist()
    return values


def divide(table: pa.Table, knobs: Knobs, task: str) -> Division:
    """Return the part of each record by the strategy of section ``split``.

    :param task: says what labels are, and so what ``stratified`` means.
    :raises DataError: if the records lack what the strategy needs.
    """
    strategy, shares, borders = knobs["strategy"], knobs["shares"], None
    groups, labels = column(table, "group"), column(table, "label")
    if strategy == "column":
        metas = column(table, "meta")
        parts = splitting.by_column(metas, column=knobs["column"], parts=artifacts.PARTS)
        keys = [splitting.digest(text) for text in texts(table)]
        return Division(
            parts, len(set(splitting.families(keys, groups, column(table, "cluster")))), None
        )
    keys = [splitting.bare_digest(text) for text in texts(table)]
    families = splitting.families(keys, groups, column(table, "cluster"))
    del keys
    if strategy == "time":
        times = table["created_at"].cast(TIME).cast(pa.int64()).to_pylist()
        splitting.refuse_undated(times, column(table, "source"))
        parts, borders = splitting.by_time(families, times, shares=shares)
    else:
        if strategy == "grouped":
            splitting.refuse_ungrouped(groups)
        stratify, seed = strategy == "stratified", knobs["seed"]
        if stratify and task == targets.MULTI:
            parts = stratifying.split(families, labels, shares=shares, seed=seed)
        else:
            alike = strata.strata(labels, task) if stratify else labels
            parts = splitting.split(families, alike, shares=shares, stratify=stratify, seed=seed)
    metas = column(table, "meta")
    leaks.refuse_leak({"family": families}, parts, metas=metas, column=None)
    return Division(parts, len(set(families)), borders)


def with_features(
    table: pa.Table, recipes: Sequence[Knobs], derived: Sequence[Knobs], *, seed: int
) -> tuple[pa.Table, list[str | None], dict[str, Any]]:
    """Return the records with their columns beside the text, and reasons to drop some.

    Derived columns that no recipe prepares stand in the features as they are.

    :param recipes: ``clean.columns``.
    :param derived: ``clean.derived``.
    :returns: the records, with JSON or null in ``features``; for each a reason to drop it, or None;
        what was fitted, on the training part only.
    """
    reasons: list[str | None] = [None] * len(table)
    features: list[str | None] = [None] * len(table)
    fitted: dict[str, Any] = {}
    if recipes or derived:
        rows = beside(table, recipes, derived)
        names = [one["name"] for one in recipes]
        plain = [one["name"] for one in derived if one["name"] not in names]
        found: Sequence[Mapping[str, Any]] = [{}] * len(table)
        if recipes:
            training = [part == "train" for part in column(table, "part")]
            prepared = columns.prepare(rows, recipes, training, seed=seed)
            found, reasons, fitted = prepared.features, prepared.reasons, prepared.fitted
        features = [
            None if reason else as_json({**one, **{name: row[name] for name in plain}})
            for one, row, reason in zip(found, rows, reasons, strict=True)
        ]
    return table.append_column("features", pa.array(features, pa.string())), reasons, fitted


def beside(
    table: pa.Table, recipes: Sequence[Knobs], derived: Sequence[Knobs]
) -> list[dict[str, Any]]:
    """Return each record's columns beside the text, with derived ones and where it stood."""
    wanted = {one["name"] for one in recipes} | {name for one in derived for name in one["of"]}
    wanted |= {"file", "row"}
    rows = []
    for meta in column(table, "meta"):
        content = json.loads(meta)
        rows.append({name: content[name] for name in wanted & content.keys()})
    present = {name for row in rows for name in row} - {"file", "row"}
    made = deriving.derive(
        list(texts(table)) if derived else [""] * len(table),
        column(table, "created_at"),
        {name: [row.get(name) for row in rows] for name in sorted(present)},
        derived,
    )
    for name, values in made.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def as_json(features: Mapping[str, Any]) -> str:
    """Return features as JSON, in the order of their recipes."""
    return json.dumps(features, ensure_ascii=False, allow_nan=False)


def with_difficulty(table: pa.Table, kept: Sequence[bool]) -> tuple[pa.Table, dict[str, Any]]:
    """Return the records with their band of difficulty, and the losses that bound the bands.

    A loss is -ln of the probability that the baseline gives the label, which is the mean binary
    cross-entropy for several labels; for a number it is the absolute standardized residual.

    :param kept: which records stay; those of the training part decide on the bounds.
    """
    losses = [difficulty.loss(one) for one in column(table, "baseline_probability")]
    if "baseline_residual" in table.column_names:
        off = column(table, "baseline_residual")
        losses = [None if one is None else abs(one) for one in off]
    training = [part == "train" for part in column(table, "part")]
    known = [
        one for one, learnt, stays in zip(losses, training, kept, strict=True) if learnt and stays
    ]
    bounds = difficulty.terciles(known)
    bands = [difficulty.band(one, bounds) for one in losses]
    limits = {"easy": bounds.easy, "medium": bounds.medium} if bounds else {}
    return table.append_column("difficulty", pa.array(bands, pa.string())), limits


def difficulties(parts: Parts) -> dict[str, dict[str, int]]:
    """Return how many records of each band each part has; ``unknown``: no loss is known."""
    found = {name: Counter(column(table, "difficulty")) for name, table in parts.items()}
    return {
        name: {band: counts[band] for band in difficulty.BANDS} | {"unknown": counts[None]}
        for name, counts in found.items()
    }


def read_synonyms(knobs: Knobs) -> dict[str, tuple[str, ...]]:
    """Return the project's table of synonyms, empty if none is named or nothing is augmented.

    :raises DataError: if one is needed and none is there, or it is no table.
    """
    path = knobs["synonyms"]
    if not knobs["enabled"]:
        return {}
    synonyms.refuse_missing(knobs["methods"], path)
    if path is None:
        return {}
    file = Path(path)
    inside = file.resolve().is_relative_to(artifacts.SYNONYMS.resolve())
    if not (inside and file.is_file()):
        raise DataError.at(
            "params.yaml, split.augment.synonyms",
            found=path,
            allowed=_("a file below data/synonyms"),
            fix=_("Put the file there, or correct the path."),
        )
    return synonyms.parse(artifacts.read_text(file), path)


def augment(
    parts: Parts, knobs: Knobs, table: synonyms.Table, task: str
) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Return the parts with varied copies behind the training records, and what was made.

    Validation and test come back as they are. A copy is its original in all but id, text, origin,
    and what was measured on the original's text: its annotators' agreement, the baseline's
    probability and the difficulty. They are spread evenly over the labels, the rarest one of a
    record that has several, and over the tenths of numbers.
    """
    if not knobs["enabled"]:
        return dict(parts), {"wanted": 0, "made": 0, "methods": {}, "labels": {}}
    train = parts["train"]
    others = [one for name, one in parts.items() if name != "train"]
    recipe = augmenting.Recipe(
        methods=knobs["methods"],
        words=knobs["words"],
        table=table,
        seed=knobs["seed"],
        held={splitting.bare_digest(text) for one in others for text in texts(one)},
    )
    labels = strata.strata(column(train, "label"), task)
    found = augmenting.copies(
        column(train, "id"), column(train, "text"), labels, share=knobs["share"], recipe=recipe
    )
    by_label = Counter(labels[one.of] for one in found.made)
    methods = Counter(one.method for one in found.made)
    report = {
        "wanted": sum(found.wanted.values()),
        "made": len(found.made),
        "methods": {name: methods[name] for name in knobs["methods"]},
        "labels": {
            label: {"wanted": wanted, "made": by_label[label]}
            for label, wanted in found.wanted.items()
        },
    }
    whole = pa.concat_tables([train, as_records(found.made, train)])
    return {**parts, "train": whole}, report


def as_records(made: Sequence[augmenting.Copy], train: pa.Table) -> pa.Table:
    """Return copies as records, with the columns of their originals."""
    table = train.take(pa.array([one.of for one in made], pa.int64()))
    originals = table["id"]
    values: dict[str, Any] = {
        "id": [one.id for one in made],
        "text": [one.text for one in made],
        "augmented_from": originals,
        "annotators": ["[]"] * len(made),
        "agreement": [None] * len(made),
        "label_origin": [AUGMENTED] * len(made),
        "baseline_probability": [None] * len(made),
        "baseline_residual": [None] * len(made),
        "difficulty": [None] * len(made),
    }
    for position, field in enumerate(train.schema):
        if field.name in values:
            value = values[field.name]
            if not isinstance(value, pa.ChunkedArray):
                value = pa.array(value, field.type)
            table = table.set_column(position, field, value)
    return table


def refuse_leak(parts: Parts, by: str | None) -> None:
    """Compare what is about to be written, without believing how it came about.

    :param by: the column that gave the parts, or None.
    :raises DataError: if a text, a group or a cluster stands in two parts.
    """
    names = [name for name, table in parts.items() for _row in range(len(table))]
    tables = list(parts.values())
    marks = {
        "text": [splitting.digest(text) for one in tables for text in texts(one)],
        "group": [value for one in tables for value in column(one, "group")],
        "cluster": [value for one in tables for value in column(one, "cluster")],
    }
    metas = [value for one in tables for value in column(one, "meta")]
    leaks.refuse_leak(marks, names, metas=metas, column=by)


def alike(parts: Parts, *, seed: int) -> dict[str, Any]:
    """Return how many of a sample of validation and test are almost a training text.

    They are no duplicates by clean's rules, or clean did not look for any: not a fault of the
    division, but to be known when the test is read.
    """
    asked: list[tuple[str, str, str]] = []
    for name, table in parts.items():
        if name != "train":
            rows = zip(column(table, "id"), column(table, "text"), strict=True)
            order = sorted(rows, key=lambda row: splitting.shuffled(row[0].encode(), seed))
            asked += [(name, *row) for row in order[:ASKED]]
    found = leaks.alike(texts(parts["train"]), [text for _name, _id, text in asked])
    checked = Counter(name for name, _id, _text in asked)
    pairs = [(row, at) for row, at in zip(asked, found, strict=True) if at is not None]
    hits = Counter(name for (name, _id, _text), _at in pairs)
    ids = parts["train"]["id"]
    return {
        "parts": {name: {"checked": checked[name], "found": hits[name]} for name in checked},
        "examples": [
            {"part": name, "id": record, "train": ids[at].as_py()}
            for (name, record, _text), at in pairs[:EXAMPLES]
        ],
    }


def labels(parts: Parts, declared: Sequence[str], task: str) -> dict[str, dict[str, int]]:
    """Return how many records of each declared label each part has: part → label → count."""
    found = {name: strata.counts(column(table, "label"), task) for name, table in parts.items()}
    return {name: {label: found[name][label] for label in declared} for name in parts}


def numbers(parts: Parts, task: str) -> dict[str, dict[str, float]] | None:
    """Return quantiles of each part's numbers: part → quantile → number; None for names."""
    if task != targets.REGRESSION:
        return None
    return {name: strata.quantiles(column(table, "label")) for name, table in parts.items()}


def refuse_small(parts: Parts, counts: Mapping[str, Mapping[str, int]], *, minimum: int) -> None:
    """Refuse parts in which a label hardly stands, or which hold hardly a record.

    :param counts: part → label → count; no labels where records have numbers.
    :raises DataError: with every part, and label, below ``minimum``.
    """
    if any(counts.values()):
        splitting.refuse_small(counts, minimum=minimum)
    else:
        sizes = {name: len(table) for name, table in parts.items()}
        splitting.refuse_small_parts(sizes, minimum=minimum)


def counted(dropped_by: Sequence[str | None]) -> dict[str, int]:
    """Return how many records each reason dropped, in alphabetical order."""
    found = Counter(reason for reason in dropped_by if reason is not None)
    return dict(sorted(found.items()))


def select(table: pa.Table) -> dict[str, pa.Table]:
    """Return the records of each part."""
    return {name: table.filter(pc.equal(table["part"], name)) for name in artifacts.PARTS}
