"""From what sources, people and rules said to the label of each record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps import targets
from pipeline.steps.annotations import Said
from pipeline.steps.scheme import Scheme

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
    agreement: float | None  # how far annotators agree with it, see ``share``


def decide(label: str | None, votes: Sequence[tuple[str, str]], scheme: Scheme) -> Labelled:
    """Return the label of one record by its annotators.

    :param label: the source's, already mapped. Any annotation wins over it.
    :param votes: annotator and label, oldest first; each annotator's last word counts.
    """
    latest: dict[str, str] = {}
    for annotator, given in votes:
        latest.pop(annotator, None)  # so that a changed mind counts as late as it came
        latest[annotator] = given
    if not latest:
        return Labelled(label, FROM_SOURCE if label is not None else None, (), None)
    given_by_all = list(latest.values())
    winner = joint(given_by_all, scheme)
    agreed = share(winner, given_by_all, scheme)
    return Labelled(winner, FROM_ANNOTATION, tuple(sorted(latest)), agreed)


def joint(votes: Sequence[str], scheme: Scheme) -> str:
    """Return what several annotators come to.

    One label: the most frequent, of equals the latest. Several: each that more than half gave, and
    of one that half gave what the latest annotator says. A number: the median.

    :param votes: one an annotator, the latest last.
    """
    if scheme.numeric:
        return targets.number_text(median(targets.number(one) for one in votes))
    if not scheme.several:
        return max(reversed(votes), key=votes.count)
    count = Counter(name for one in votes for name in scheme.parts(one))
    latest = scheme.parts(votes[-1])
    half = len(votes) / 2
    given = [name for name, times in count.items() if times > half]
    given += [name for name, times in count.items() if times == half and name in latest]
    return scheme.text(given)


def settle(label: str | None, said: Said | None, scheme: Scheme) -> Labelled:
    """Return the label of one record: the adjudicator's, else the annotators', else the source's.

    :param label: the source's, already mapped.
    """
    if said is None:
        return decide(label, (), scheme)
    votes = said.texts(scheme)
    if said.adjudicated is None:
        return decide(label, votes, scheme)
    wanted, who = scheme.text(said.adjudicated.labels), {said.adjudicated.annotator}
    agreed = share(wanted, [one for _name, one in votes], scheme)
    return Labelled(wanted, FROM_ADJUDICATION, tuple(sorted(who | set(said.votes))), agreed)


def share(label: str, votes: Sequence[str], scheme: Scheme) -> float | None:
    """Return how far the votes agree with a label, 0 to 1.

    One label: the share of votes for it. Several: the mean overlap of a vote's labels with it,
    common ones over all (Jaccard), which is the same where each has one. None where nobody voted,
    and of numbers, which have no share.
    """
    if not votes or scheme.numeric:
        return None
    own = frozenset(scheme.parts(label))
    overlaps = []
    for vote in votes:
        other = frozenset(scheme.parts(vote))
        overlaps.append(len(own & other) / len(own | other) if own | other else 1.0)
    return sum(overlaps) / len(votes)


def outvoted(one: Labelled, said: Said | None, consensus: str | None, scheme: Scheme) -> Labelled:
    """Return the label with a weighed consensus in the majority's place.

    :param consensus: None leaves what was decided; an adjudication always stays.
    """
    if said is None or consensus is None or one.origin != FROM_ANNOTATION:
        return one
    given = [label for _name, label in said.texts(scheme)]
    return replace(one, label=consensus, agreement=share(consensus, given, scheme))


def ruled(one: Labelled, label: str | None) -> Labelled:
    """Return the label of a rule where there is no other."""
    if one.label is not None or label is None:
        return one
    return replace(one, label=label, origin=FROM_RULE)


def refuse_strange(
    decided: Sequence[Labelled], cells: Sequence[str | None], metas: Sequence[str], scheme: Scheme
) -> None:
    """Refuse what sources say where it cannot be a label and nobody said otherwise.

    :param cells: of the sources, one a record.
    :param metas: of each record, as JSON with its ``file`` and ``row``.
    :raises DataError: one problem a label, with how often and in which rows it stands.
    """
    where: dict[str, list[str]] = {}
    for one, cell, meta in zip(decided, cells, metas, strict=True):
        if cell is not None and one.origin == FROM_SOURCE:
            for name in scheme.strange(cell):
                origin = json.loads(meta)
                where.setdefault(name, []).append(f"{origin['file']}:{origin['row']}")
    if where:
        raise DataError(*(undeclared(label, rows, scheme) for label, rows in sorted(where.items())))


def undeclared(label: str, rows: Sequence[str], scheme: Scheme) -> Problem:
    """Return the problem of one label that the task does not have."""
    return Problem(
        ", ".join(rows[:ROWS_LISTED]) + (" …" if len(rows) > ROWS_LISTED else ""),
        _("the label {label} in {count} records", label=repr(label), count=len(rows)),
        scheme.allowed(),
        _("Correct the source, or label.numbers.")
        if scheme.numeric
        else _("Map it in label.mapping, or add it to label.labels."),
    )
