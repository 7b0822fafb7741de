"""Labelling rules: a pattern gives a label to records without one.

Where rules disagree none counts, but for a task with several labels, where each rule adds its own.
A pattern can need longer than anybody waits ("catastrophic
backtracking"), so only the first ``CHARACTERS`` of a text are searched and each search has a time
limit; a rule that reaches it stops the stage, because what it found must not depend on the speed of
a machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps.scheme import Scheme

CHARACTERS = 10_000  # of a text are searched
SECONDS = 5.0  # that one search may take; sensible patterns need microseconds


@dataclass(frozen=True)
class Ruled:
    """What the rules gave, and how well each did."""

    labels: list[str | None]  # of each record, None where no rule fits or rules disagree
    rules: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    conflicting: int  # records

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "rules": self.rules,
            "conflicts": self.conflicts,
            "conflicting_records": self.conflicting,
            "characters_searched": CHARACTERS,
        }


def apply(
    texts: Sequence[str],
    labels: Sequence[str | None],
    rules: Sequence[Mapping[str, str]],
    scheme: Scheme,
) -> Ruled:
    """Return the label that the rules give to each record without one.

    :param labels: what is known already; such records only tell how often a rule is right.
    :param rules: ``pattern`` and ``label``, in the order of ``params.yaml``.
    :raises DataError: with every rule that takes too long or cannot be read.
    """
    hits: list[list[int]] = []
    problems: list[Problem] = []
    for at, rule in enumerate(rules):
        found = search(texts, rule["pattern"], f"label.rules[{at}].pattern")
        if isinstance(found, Problem):
            problems.append(found)
        else:
            hits.append(found)
    if problems:
        raise DataError(*problems)
    fitting: dict[int, list[int]] = {}
    for rule_at, positions in enumerate(hits):
        for position in positions:
            fitting.setdefault(position, []).append(rule_at)
    return judged(labels, rules, hits, fitting, scheme)


def judged(
    labels: Sequence[str | None],
    rules: Sequence[Mapping[str, str]],
    hits: Sequence[Sequence[int]],
    fitting: Mapping[int, Sequence[int]],
    scheme: Scheme,
) -> Ruled:
    """Return what the hits come to.

    :param hits: of each rule, positions of records.
    :param fitting: position of a record → rules that fit it.
    """
    given: list[str | None] = [None] * len(labels)
    disagreeing: Counter[tuple[int, int]] = Counter()
    conflicting = 0
    for position, fits in fitting.items():
        if labels[position] is None:
            wanted = {rules[at]["label"] for at in fits}
            if scheme.several or len(wanted) == 1:
                given[position] = scheme.text(list(wanted))
            else:
                conflicting += 1
                disagreeing.update(
                    pair
                    for pair in combinations(fits, 2)
                    if rules[pair[0]]["label"] != rules[pair[1]]["label"]
                )
    return Ruled(
        given,
        [
            success(rule, found, labels, given, scheme)
            for rule, found in zip(rules, hits, strict=True)
        ],
        [
            {
                "rules": list(pair),
                "labels": [rules[at]["label"] for at in pair],
                "records": records,
            }
            for pair, records in sorted(disagreeing.items())
        ],
        conflicting,
    )


def success(
    rule: Mapping[str, str],
    found: Sequence[int],
    labels: Sequence[str | None],
    given: Sequence[str | None],
    scheme: Scheme,
) -> dict[str, Any]:
    """Return how many records a rule fits, how many it labelled and how often it is right."""
    known = [label for position in found if (label := labels[position]) is not None]
    right = sum(rule["label"] in scheme.parts(label) for label in known)
    return {
        "pattern": rule["pattern"],
        "label": rule["label"],
        "matches": len(found),
        "coverage": round(len(found) / len(labels), 6) if labels else None,
        "labelled": sum(given[position] is not None for position in found),
        "known": len(known),
        "accuracy": round(right / len(known), 6) if known else None,
    }


def search(texts: Sequence[str], pattern: str, where: str) -> list[int] | Problem:
    """Return the positions of the texts that hold a pattern, or why it cannot be searched."""
    import regex  # type: ignore[import-untyped]  # re has no time limit

    try:
        compiled = regex.compile(pattern)
        return [
            at
            for at, text in enumerate(texts)
            if compiled.search(text, endpos=CHARACTERS, timeout=SECONDS)
        ]
    except regex.error as error:
        return Problem(
            where, str(error), _("a regular expression"), _("Write this pattern another way.")
        )
    except TimeoutError:
        return Problem(
            where,
            _("a search of more than {seconds} seconds in one text", seconds=f"{SECONDS:g}"),
            _("a pattern without nested repetitions"),
            _("Take a repetition out of another, as in (a+)+, or match less."),
        )
