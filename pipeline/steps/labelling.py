"""From what sources and people said to one label a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipeline.errors import DataError, Problem
from pipeline.i18n import _

ROWS_LISTED = 5
FROM_SOURCE = "source"
FROM_ANNOTATION = "annotation"


@dataclass(frozen=True)
class Labelled:
    """The label of a record and who it comes from."""

    label: str | None
    origin: str | None
    annotators: Sequence[str]
    agreement: float | None  # share of annotators who gave this label


def mapped(label: str | None, mapping: Mapping[str, str]) -> str | None:
    """Return the label of the task for a label of the source.

    An exact name goes first, then the first pattern (``DESC:*``) that fits; a label that nothing
    fits stays as it is.
    """
    if label is None or label in mapping:
        return None if label is None else mapping[label]
    for pattern, wanted in mapping.items():
        if "*" in pattern and fnmatchcase(label, pattern.replace("[", "[[]").replace("?", "[?]")):
            return wanted
    return label


def decide(label: str | None, annotations: Sequence[tuple[str, str]]) -> Labelled:
    """Return the label of one record.

    :param label: the source's, already mapped.
    :param annotations: annotator and label, oldest first; each annotator's last word counts, the
        most frequent label wins, and of equals the latest. Any annotation wins over the source.
    """
    latest: dict[str, str] = {}
    for annotator, given in annotations:
        latest.pop(annotator, None)  # so that a changed mind counts as late as it came
        latest[annotator] = given
    if not latest:
        return Labelled(label, FROM_SOURCE if label is not None else None, (), None)
    votes = list(latest.values())
    winner = max(reversed(votes), key=votes.count)
    share = votes.count(winner) / len(votes)
    return Labelled(winner, FROM_ANNOTATION, tuple(sorted(latest)), share)


def refuse_unknown(
    labels: Sequence[str | None], metas: Sequence[str], allowed: Sequence[str]
) -> None:
    """Refuse labels that nobody declared.

    :param metas: of each record, as JSON with its ``file`` and ``row``.
    :raises DataError: one problem a label, with how often and in which rows it stands.
    """
    where: dict[str, list[str]] = {}
    for label, meta in zip(labels, metas, strict=True):
        if label is not None and label not in allowed:
            origin = json.loads(meta)
            where.setdefault(label, []).append(f"{origin['file']}:{origin['row']}")
    if where:
        raise DataError(
            *(undeclared(label, rows, allowed) for label, rows in sorted(where.items()))
        )


def undeclared(label: str, rows: Sequence[str], allowed: Sequence[str]) -> Problem:
    """Return the problem of one label that nobody declared."""
    return Problem(
        ", ".join(rows[:ROWS_LISTED]) + (" …" if len(rows) > ROWS_LISTED else ""),
        _("the label {label} in {count} records", label=repr(label), count=len(rows)),
        _("one of {labels}", labels=", ".join(allowed)),
        _("Map it in label.mapping, or add it to label.labels."),
    )
