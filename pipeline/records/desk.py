"""What lies on the annotators' desk: the records, what was said about them, and what is to do."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.i18n import Message, _
from pipeline.params import Params
from pipeline.records.trust import guideline
from pipeline.schema.label import Annotation as Knobs
from pipeline.schema.label import Label
from pipeline.steps import agreement, assignment, consensus, exchange, labelling
from pipeline.steps.annotations import (
    RETURN,
    Annotation,
    Said,
    by_record,
    guidelines,
    read,
    workload,
)
from pipeline.steps.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUEUE = "queue.jsonl"
ALL, ADJUDICATION, CHECKS = "all", "adjudication", "checks"
RETURNED, UNLABELLED, DOUBTFUL = "returned", "unlabelled", "doubtful"
MODEL, BASELINE, CHANCE = "model", "baseline", "chance"
PASSED_OVER = {"skipped": _("skipped by the annotator"), "empty": _("without a label")}


@dataclass(frozen=True)
class Desk:
    """All records with what stands about each."""

    scheme: Scheme
    ids: list[str]
    texts: list[str]
    labels: list[str | None]  # as people and sources have it now
    said: list[Said | None]
    entries: list[Annotation]

    @classmethod
    def load(cls, params: Params) -> Desk:
        """Read the cleaned records and all annotations.

        :raises DataError: if the records are missing, an annotation is damaged, or a source gives a
            label that the task does not have.
        """
        table = artifacts.read_records(artifacts.CLEAN / artifacts.RECORDS)
        scheme = Scheme.of(params.label)
        entries = read(artifacts.read_annotations(), scheme)
        known = by_record(entries)
        ids = table["id"].to_pylist()
        said = [known.get(one) for one in ids]
        cells = table["label"].to_pylist()
        sourced = [scheme.sourced(one) for one in cells]
        decided = [labelling.settle(*one, scheme) for one in zip(sourced, said, strict=True)]
        labelling.refuse_strange(decided, cells, table["meta"].to_pylist(), scheme)
        labels = [one.label for one in decided]
        return cls(scheme, ids, table["text"].to_pylist(), labels, said, entries)


def queue(desk: Desk, knobs: Label) -> list[dict[str, Any]]:
    """Return the records most worth labelling, at most ``label.annotation.queue``.

    First those that a checker returned, then those without a label, then those that no person has
    labelled; among each the least certain first.
    """
    tiers: dict[str, list[int]] = {RETURNED: [], UNLABELLED: [], DOUBTFUL: []}
    for at, said in enumerate(desk.said):
        if said is not None and said.verdict == RETURN:
            tiers[RETURNED].append(at)
        elif desk.labels[at] is None:
            tiers[UNLABELLED].append(at)
        elif said is None:
            tiers[DOUBTFUL].append(at)
    certain = sum(len(tiers[why]) for why in (RETURNED, UNLABELLED))
    asked = [at for why, found in tiers.items() for at in found]
    if certain >= knobs.annotation.queue:
        asked = asked[:certain]  # the rest would not come up anyway
    doubt, by = uncertainty(desk, asked, knobs)
    seed = knobs.annotation.seed

    def order(at: int) -> tuple[float, float]:
        return -doubt.get(at, 0.0), assignment.draw(seed, "queue", desk.ids[at])

    ranked = [(at, why) for why, found in tiers.items() for at in sorted(found, key=order)]
    return [
        {
            "record": desk.ids[at],
            "text": desk.texts[at],
            "why": why,
            "uncertainty": doubt.get(at),
            "by": by,
        }
        for at, why in ranked[: knobs.annotation.queue]
    ]


def uncertainty(desk: Desk, asked: Sequence[int], knobs: Label) -> tuple[dict[int, float], str]:
    """Return how unsure a model is about records, 0 to 1, and who was asked.

    The shipped model if there is one, else the baseline, fitted on what is labelled; without labels
    to learn from nobody knows, and chance decides. Of several labels the least certain one counts.
    A model that gives a number does not say how sure it is: there the doubt is in the numbers that
    records have already, and the others come by chance.

    :param asked: positions of records.
    """
    if desk.scheme.numeric:
        off = baseline_column("baseline_residual")
        found = {at: off[desk.ids[at]] for at in asked if desk.ids[at] in off}
        unsure = {at: math.erf(abs(one) / math.sqrt(2)) for at, one in found.items()}
        return {at: round(one, 6) for at, one in unsure.items()}, BASELINE if found else CHANCE
    doubts = several_doubts if desk.scheme.several else margins
    model = artifacts.OPTIMIZE / "model"
    if (model / artifacts.MANIFEST).is_file():
        from pipeline.predictor import Predictor

        predictor = Predictor.load(model)
        if predictor.task.name == desk.scheme.task:  # else it is of an earlier task
            answers = predictor.scores([desk.texts[at] for at in asked])
            return dict(zip(asked, doubts(answers), strict=True)), MODEL
    from pipeline.modeling import doubt

    every = doubt.answers(desk.texts, desk.labels, scheme=desk.scheme, seed=knobs.annotation.seed)
    if every is None:
        return {}, CHANCE
    unsure = dict(zip(asked, doubts(every[list(asked)]), strict=True))
    # It has seen what is labelled; the label stage has asked one that has not.
    fair = baseline_column("baseline_probability")
    unsure |= {at: 1 - fair[desk.ids[at]] for at in asked if desk.ids[at] in fair}
    return {at: round(value, 6) for at, value in unsure.items()}, BASELINE


def baseline_column(name: str) -> dict[str, float]:
    """Return what the label stage knows about its records: id → value of a column."""
    path = artifacts.LABEL / artifacts.RECORDS
    table = artifacts.read_records(path) if path.is_file() else None
    if table is None or name not in table.column_names:
        return {}
    pairs = zip(table["id"].to_pylist(), table[name].to_pylist(), strict=True)
    return {record: value for record, value in pairs if value is not None}


def margins(probabilities: NDArray[np.float64]) -> list[float]:
    """Return 1 - (the highest probability - the second) of each row."""
    import numpy as np

    best = np.sort(probabilities, axis=1)[:, -2:]
    return [round(float(one), 6) for one in 1 - (best[:, 1] - best[:, 0])]


def several_doubts(probabilities: NDArray[np.float64]) -> list[float]:
    """Return how near the least certain label of each row is to one half: 1 there, 0 at the ends.

    :param probabilities: [records, labels], of each label by itself.
    """
    nearest = (1 - abs(2 * probabilities - 1)).max(axis=1)
    return [round(float(one), 6) for one in nearest]


def read_queue(path: Path) -> list[str]:
    """Return the records of a queue.

    :raises DataError: if there is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line)["record"] for line in lines if line]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError.at(
            path,
            found=str(error),
            allowed=_("a queue of records"),
            fix=_("Run python -m pipeline.annotation queue first."),
        ) from error


def assign(
    desk: Desk, waiting: Sequence[str], annotators: Sequence[str], knobs: Knobs
) -> dict[str, list[exchange.Item]]:
    """Return for each annotator the records to label: names and texts, nobody's labels."""
    text = dict(zip(desk.ids, desk.texts, strict=True))
    done = {
        record: frozenset(said.votes)
        for record, said in zip(desk.ids, desk.said, strict=True)
        if said is not None and said.verdict != RETURN  # returned: from the start
    }
    given = assignment.assign(
        [one for one in waiting if one in text],
        annotators,
        per_record=knobs.per_record,
        overlap=knobs.overlap,
        seed=knobs.seed,
        done=done,
    )
    return {
        name: [exchange.Item(one, text[one]) for one in records] for name, records in given.items()
    }


def items(desk: Desk, which: str) -> list[exchange.Item]:
    """Return the records of a list; those to adjudicate go without a label.

    :param which: ``all``, ``adjudication`` or ``checks``.
    """
    every = {
        record: exchange.Item(record, text, label)
        for record, text, label in zip(desk.ids, desk.texts, desk.labels, strict=True)
    }
    if which == ALL:
        return list(every.values())
    table = artifacts.read_records(artifacts.LABEL / f"{which}.parquet")
    found = [every[one] for one in table["id"].to_pylist() if one in every]
    return (
        [exchange.Item(one.record, one.text) for one in found] if which == ADJUDICATION else found
    )


def overview(desk: Desk, knobs: Label) -> Iterator[Message]:
    """Yield what the annotations come to, a line each."""
    yield _("{count} annotations", count=len(desk.entries))
    for name, work in workload(desk.entries).items():
        yield _(
            "{name}: {count} annotations of {records} records",
            name=name,
            count=work["annotations"],
            records=work["records"],
        )
    spoken = [one for one in desk.said if one is not None]
    votes = [dict(one.texts(desk.scheme)) for one in spoken if one.votes]
    found = agreement.measure(
        votes, desk.scheme, **knobs.agreement.model_dump(exclude={"min_alpha", "min_records"})
    ).alpha
    if found.value is None:
        yield _("agreement: {reason}", reason=agreement.REASONS[found.reason or ""])
    else:
        yield _(
            "agreement: Krippendorff's alpha {value}, interval {low} to {high}",
            value=f"{found.value:.3f}",
            low="–" if found.low is None else f"{found.low:.3f}",
            high="–" if found.high is None else f"{found.high:.3f}",
        )
    open_ones = consensus.disputes(desk.ids, desk.said, {}, desk.scheme)
    yield _("to adjudicate: {count}", count=len(open_ones))
    returned = sum(one.verdict == RETURN for one in spoken)
    yield _("returned by a checker: {count}", count=returned)
    outdated = guidelines(desk.entries, guideline())["outdated_guideline"]
    yield _("made under another guideline: {count}", count=outdated)
