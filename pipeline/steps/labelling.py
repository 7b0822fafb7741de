"""From what sources, people and rules said to one label a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps.annotations import Said

ROWS_LISTED = 5
FROM_SOURCE = "source"
FROM_ANNOTATION = "annotation"
FROM_ADJUDICATION = "adjudication"
FROM_RULE = "rule"


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
    """Return the label of one record by majority.

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
    return Labelled(winner, FROM_ANNOTATION, tuple(sorted(latest)), share(winner, votes))


def settle(label: str | None, said: Said | None) -> Labelled:
    """Return the label of one record: the adjudicator's, else the majority's, else the source's."""
    if said is None:
        return decide(label, ())
    votes = said.single()
    if said.adjudicated is None:
        return decide(label, votes)
    wanted, who = said.adjudicated.labels[0], {said.adjudicated.annotator}
    given = [one for _name, one in votes]
    return Labelled(
        wanted, FROM_ADJUDICATION, tuple(sorted(who | set(said.votes))), share(wanted, given)
    )


def share(label: str, votes: Sequence[str]) -> float | None:
    """Return which share of the votes a label has; None where nobody voted."""
    return votes.count(label) / len(votes) if votes else None


def outvoted(one: Labelled, said: Said | None, consensus: str | None) -> Labelled:
    """Return the label with a weighed consensus in the majority's place.

    :param consensus: None leaves what was decided; an adjudication always stays.
    """
    if said is None or consensus is None or one.origin != FROM_ANNOTATION:
        return one
    given = [label for _name, label in said.single()]
    return replace(one, label=consensus, agreement=share(consensus, given))


def ruled(one: Labelled, label: str | None) -> Labelled:
    """Return the label of a rule where there is no other."""
    if one.label is not None or label is None:
        return one
    return replace(one, label=label, origin=FROM_RULE)


def refuse_unknown(
    labels: Sequence[str | None], metas: Sequence[str], allowed: Sequence[str]
) -> None:
    """Refuse labels that nobody declared.

    :param metas: of each record, as JSON with its ``file`` and ``row``.
    :raises DataError: one problem a label, with how often and in which rows it stands.
    """
    known = frozenset(allowed)
    where: dict[str, list[str]] = {}
    for label, meta in zip(labels, metas, strict=True):
        if label is not None and label not in known:
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
