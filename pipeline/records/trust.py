"""How far labels can be trusted: what the label stage finds out, as a report and as tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.modeling import doubt, folds
from pipeline.steps import agreement, consensus, labelling, reasons, strata
from pipeline.steps.annotations import Annotation, Said, guidelines, workload
from pipeline.steps.scheme import Scheme
from pipeline.steps.spreadsheet import guard

if TYPE_CHECKING:
    import pyarrow as pa

GUIDELINE = artifacts.ANNOTATIONS / "guideline.md"
AGREEMENT = "agreement.csv"
SUSPECTS, ADJUDICATION, CHECKS = "suspects.parquet", "adjudication.parquet", "checks.parquet"


@dataclass(frozen=True)
class Trust:
    """Everything that was found out about the labels of the records."""

    scheme: Scheme
    decided: Sequence[labelling.Labelled]
    said: Sequence[Said | None]
    doubts: folds.Doubts | None
    weighed: consensus.Weighed
    agreement: agreement.Agreement
    disputes: Sequence[consensus.Dispute]
    checks: dict[int, str]
    suspects: tuple[int, Sequence[folds.Suspect]]  # how many there are, and the likeliest

    @property
    def labels(self) -> list[str | None]:
        """The label of each record."""
        return [one.label for one in self.decided]


def guideline() -> str | None:
    """Return the sha256 of the guideline; None where there is none."""
    return artifacts.sha256(GUIDELINE) if GUIDELINE.is_file() else None


def families(table: pa.Table) -> list[str]:
    """Return the name that near-duplicates share; a record without any is its own family."""
    ids = table["id"].to_pylist()
    if "cluster" not in table.column_names:
        return [f"record {one}" for one in ids]
    shared = table["cluster"].to_pylist()
    return [
        f"record {one}" if name is None else f"cluster {name}"
        for one, name in zip(ids, shared, strict=True)
    ]


def examine(
    table: pa.Table, decided: list[labelling.Labelled], said: Sequence[Said | None], knobs: Any
) -> Trust:
    """Return how far the labels can be trusted.

    :param decided: the label of each record so far; a weighed consensus replaces the majority's.
    :param said: what stands about each record.
    :param knobs: section ``label`` of ``params.yaml``.
    """
    scheme, doubts = Scheme.of(knobs), None
    if knobs.suspects.enabled or knobs.consensus == "cleanlab":
        doubts = doubt.out_of_fold(
            table["text"].to_pylist(),
            [one.label for one in decided],
            families(table),
            scheme=scheme,
            folds=knobs.suspects.folds,
            seed=knobs.suspects.seed,
        )
    voted = [at for at, one in enumerate(said) if one is not None and one.votes]
    votes = [dict(one.texts(scheme)) for one in said if one is not None and one.votes]
    chances = doubts.probabilities[voted] if doubts and voted else None
    weighed = consensus.weigh(votes, scheme, chances, knobs.consensus)
    for at, label in zip(voted, weighed.labels, strict=True):
        decided[at] = labelling.outvoted(decided[at], said[at], label, scheme)
    ids = table["id"].to_pylist()
    annotation = knobs.annotation
    settled = [one.origin == labelling.FROM_ADJUDICATION for one in decided]
    found: tuple[int, Sequence[folds.Suspect]] = (0, ())
    if doubts and knobs.suspects.enabled:
        labels = [one.label for one in decided]
        found = doubt.suspects(doubts, labels, settled, knobs.suspects.listed)
    return Trust(
        scheme=scheme,
        decided=decided,
        said=said,
        doubts=doubts if knobs.suspects.enabled else None,
        weighed=weighed,
        agreement=agreement.measure(
            votes, scheme, **knobs.agreement.model_dump(exclude={"min_alpha", "min_records"})
        ),
        disputes=consensus.disputes(
            ids, said, dict(zip(voted, weighed.quality, strict=True)), scheme
        ),
        checks=consensus.checks(ids, said, checked=annotation.checked, seed=annotation.seed),
        suspects=found,
    )


def with_columns(table: pa.Table, trust: Trust) -> pa.Table:
    """Return the records with their labels and with what is known about each label.

    Numbers have no probability; in its place stands ``baseline_residual``, how many deviations a
    number is from what the baseline expects.
    """
    import pyarrow as pa

    decided, nothing = trust.decided, [None] * len(trust.decided)
    at = table.schema.get_field_index("label")
    table = table.set_column(at, "label", pa.array(trust.labels, pa.string()))
    chances = trust.doubts.of(trust.labels) if trust.doubts else nothing
    added: dict[str, tuple[list[Any], pa.DataType]] = {
        "annotators": (
            [json.dumps(one.annotators, ensure_ascii=False) for one in decided],
            pa.string(),
        ),
        "agreement": ([one.agreement for one in decided], pa.float64()),
        "label_origin": ([one.origin for one in decided], pa.string()),
        "baseline_probability": (chances, pa.float64()),
    }
    if trust.scheme.numeric:
        off = trust.doubts.residuals(trust.labels) if trust.doubts else None
        added["baseline_residual"] = (off or nothing, pa.float64())
    for name, (values, kind) in added.items():
        table = table.append_column(name, pa.array(values, kind))
    return table


def report(ids: Sequence[str], entries: Sequence[Annotation], trust: Trust) -> dict[str, Any]:
    """Return what the stage reports, but for the rules."""
    known = frozenset(ids)
    labels = [one for one in trust.labels if one is not None]
    missing = len(trust.labels) - len(labels)
    states = Counter(trust.checks.values())
    returned = [ids[at] for at, state in trust.checks.items() if state == consensus.RETURNED]
    listed, numeric = len(trust.suspects[1]), trust.scheme.numeric
    return {
        "cleaned": len(ids),
        "kept": len(labels),
        "dropped": {reasons.UNLABELLED: missing} if missing else {},
        "labels": {} if numeric else dict(strata.counts(labels, trust.scheme.task).most_common()),
        "numbers": strata.quantiles(labels) if numeric else None,
        "origins": dict(sorted(Counter(one.origin for one in trust.decided if one.origin).items())),
        "annotations": len(entries),
        "annotated_records": len({one.record for one in entries} & known),
        "annotations_without_record": sum(one.record not in known for one in entries),
        "annotators": workload(entries),
        "guideline": guidelines(entries, guideline()),
        "agreement": trust.agreement.report(),
        "consensus": trust.weighed.report(),
        "adjudication": {
            "open": len(trust.disputes),
            "done": sum(one is not None and one.adjudicated is not None for one in trust.said),
        },
        "checks": {
            **{name: states[name] for name in (consensus.OPEN, consensus.ACCEPTED)},
            consensus.RETURNED: returned,
        },
        "suspects": None
        if trust.doubts is None
        else {"found": trust.suspects[0], "listed": listed, **trust.doubts.report()},
    }


def write(folder: Path, table: pa.Table, trust: Trust) -> None:
    """Write the lists for people to work on, and the figures for plots."""
    import pyarrow as pa

    texts, ids = table["text"], table["id"]

    def record(at: int) -> dict[str, Any]:
        return {"id": ids[at].as_py(), "text": texts[at].as_py()}

    def save(name: str, rows: list[dict[str, Any]], **columns: pa.DataType) -> None:
        kinds = {"id": pa.string(), "text": pa.string(), **columns}
        artifacts.write_records(folder / name, pa.Table.from_pylist(rows, schema=pa.schema(kinds)))

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    save(
        SUSPECTS,
        [
            record(one.at) | asdict(one) | {"rank": rank}
            for rank, one in enumerate(trust.suspects[1], 1)
        ],
        label=text,
        suggested=text,
        probability=real,
        probability_suggested=real,
        score=real,
        rank=whole,
    )
    save(
        ADJUDICATION,
        [
            record(one.at)
            | asdict(one)
            | {"votes": json.dumps(one.votes, ensure_ascii=False)}
            | {"consensus": trust.labels[one.at], "rank": rank}
            for rank, one in enumerate(trust.disputes, 1)
        ],
        votes=text,
        consensus=text,
        entropy=real,
        spread=real,
        quality=real,
        rank=whole,
    )
    save(
        CHECKS,
        [
            record(at) | {"label": trust.labels[at], "state": one}
            for at, one in trust.checks.items()
        ],
        label=text,
        state=text,
    )
    # Names are people's own words, and tables like this one are opened in spreadsheets.
    rows = (
        [guard(one) if isinstance(one, str) else one for one in row]
        for row in trust.agreement.rows()
    )
    artifacts.write_csv(folder / AGREEMENT, agreement.HEADER, rows)
