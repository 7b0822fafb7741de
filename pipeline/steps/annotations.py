"""What people said about records: one JSON object a line, added to and never changed.

Three roles: an annotator labels, an adjudicator decides where annotators disagree, and a checker
accepts what stands or returns it to be labelled again. A correction is always a further line.

``label`` is a name; for a task with several labels a list of names (``[]``: none of them), where a
single name is read as a list of one; for regression a number.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.i18n import Message, _
from pipeline.steps import targets
from pipeline.steps.scheme import Scheme

ANNOTATOR, ADJUDICATOR, CHECKER = "annotator", "adjudicator", "checker"
ROLES = (ANNOTATOR, ADJUDICATOR, CHECKER)
ACCEPT, RETURN = "accept", "return"
VERDICTS = (ACCEPT, RETURN)
FIELDS = ("record", "annotator", "label", "time")
FURTHER = ("seconds", "guideline", "note", "role", "verdict")
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_NAME = 200


@dataclass(frozen=True)
class Annotation:
    """What one person said about one record."""

    record: str
    annotator: str
    labels: tuple[str, ...]  # names, or a number's text; empty: none of several, or a checker's
    time: datetime
    where: str  # file and line
    seconds: float | None = None  # spent on it
    guideline: str | None = None  # sha256 of the guideline that was followed
    note: str = ""
    role: str = ANNOTATOR
    verdict: str | None = None  # a checker's


@dataclass(frozen=True)
class Said:
    """What stands about one record after everybody's last word."""

    votes: Mapping[str, tuple[str, ...]]  # annotator → labels, the latest word last
    adjudicated: Annotation | None  # wins over all votes
    verdict: str | None  # the checkers' last one, unless somebody labelled the record after it

    def texts(self, scheme: Scheme) -> list[tuple[str, str]]:
        """Return each annotator's label as the text that files hold, the latest last."""
        return [(name, scheme.text(labels)) for name, labels in self.votes.items()]


def read(files: Mapping[str, Iterable[str]], scheme: Scheme) -> list[Annotation]:
    """Return the annotations of several files.

    :param files: name → lines.
    :raises DataError: with every line that is not an annotation or does not fit the task.
    """
    found: list[Annotation] = []
    problems: list[Problem] = []
    for name, lines in files.items():
        for number, line in enumerate(lines, 1):
            if line.strip():
                entry = parse(line, f"{name}:{number}")
                problem = entry if isinstance(entry, Problem) else None
                if isinstance(entry, Annotation):
                    problem = misfit(entry, scheme)
                    found.append(entry)
                problems += [problem] if problem else []
    if problems:
        raise DataError(*problems)
    return found


def parse(line: str, where: str) -> Annotation | Problem:
    """Return the annotation of one line, or the first thing that is wrong with it."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    return parsed(values, where, line.strip()[:60])


def parsed(values: Any, where: str, shown: str = "") -> Annotation | Problem:
    """Return the annotation that a JSON object stands for, or the first thing wrong with it."""
    needed: tuple[str, ...] = FIELDS
    if isinstance(values, dict) and values.get("role") == CHECKER:
        needed = tuple(name for name in FIELDS if name != "label")  # the verdict is what counts
    if not isinstance(values, dict) or any(name not in values for name in needed):
        return Problem(
            where,
            repr(shown or str(values)[:60]),
            _("a JSON object with {fields}", fields=", ".join(needed)),
            _("Mend this line; the studio writes them so."),
        )
    for name in (*FIELDS, *FURTHER):
        fits, allowed = CHECKS[name]
        if (name in needed or values.get(name) is not None) and not fits(values[name]):
            found = f"{name}: {values[name]!r:.60}"
            return Problem(where, found, allowed, _("Correct this value."))
    if (values.get("role") == CHECKER) != (values.get("verdict") is not None):
        found = f"role: {values.get('role') or ANNOTATOR}, verdict: {values.get('verdict')}"
        return Problem(where, found, _("a verdict from a checker only"), _("Correct this value."))
    return made(values, where)


def made(values: Mapping[str, Any], where: str) -> Annotation:
    """Return the annotation of values that were checked."""
    label = values.get("label")
    when = moment(values["time"])
    return Annotation(
        record=values["record"],
        annotator=values["annotator"],
        labels=tuple(label or ()) if isinstance(label, list | None) else (name_of(label),),
        time=when if when.tzinfo else when.replace(tzinfo=UTC),
        where=where,
        seconds=None if values.get("seconds") is None else float(values["seconds"]),
        guideline=values.get("guideline"),
        note=values.get("note") or "",
        role=values.get("role") or ANNOTATOR,
        verdict=values.get("verdict"),
    )


def name_of(label: str | float) -> str:
    """Return a single label as text, a number as its shortest one."""
    return label if isinstance(label, str) else targets.number_text(label)


def moment(text: str) -> datetime:
    """Return the time of an ISO 8601 text.

    :raises ValueError: if it is none.
    """
    return datetime.fromisoformat(text)


def is_text(value: object) -> bool:
    """Return whether this is a text that can be written down (no lone half of a character)."""
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


def is_name(value: object) -> bool:
    """Return whether this can name a record or a person: one line, not empty, not endless."""
    return (
        isinstance(value, str)
        and 0 < len(value.strip()) <= len(value) <= LONGEST_NAME
        and value.isprintable()
    )


def is_label(value: object) -> bool:
    """Return whether this is a label, a list of different ones, or a finite number."""
    if isinstance(value, list):
        return all(map(is_text, value)) and len(set(value)) == len(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max  # an int too large for float compares, too
    return is_text(value)


def is_time(value: object) -> bool:
    """Return whether this is a text in ISO 8601."""
    try:
        return isinstance(value, str) and bool(moment(value))
    except ValueError:
        return False


def is_duration(value: object) -> bool:
    """Return whether this is a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 1e9 and math.isfinite(value)  # an int too large for float compares, too


CHECKS: dict[str, tuple[Callable[[object], bool], Message | str]] = {
    "record": (is_name, _("a name on one line")),
    "annotator": (is_name, _("a name on one line")),
    "label": (is_label, _("a label, a list of different ones, or a number")),
    "time": (is_time, _("a time such as 2026-11-22T08:00:00Z")),
    "seconds": (is_duration, _("a number of seconds")),
    "guideline": (
        lambda value: isinstance(value, str) and bool(SHA256.fullmatch(value)),
        _("the sha256 of the guideline"),
    ),
    "note": (is_text, _("a text")),
    "role": (lambda value: value in ROLES, ", ".join(ROLES)),
    "verdict": (lambda value: value in VERDICTS, ", ".join(VERDICTS)),
}


def misfit(entry: Annotation, scheme: Scheme) -> Problem | None:
    """Return why an annotation does not fit the task, or None."""
    fits = scheme.is_number if scheme.numeric else scheme.known.__contains__
    strange = [label for label in entry.labels if not fits(label)]
    if strange:
        return Problem(
            entry.where,
            ", ".join(map(repr, strange)),
            scheme.allowed(),
            _("Correct the annotation, or label.numbers.")
            if scheme.numeric
            else _("Correct the annotation, or add the label to label.labels."),
        )
    if scheme.several or len(entry.labels) == 1 or (entry.verdict and not entry.labels):
        return None
    return Problem(
        entry.where,
        _("{count} labels", count=len(entry.labels)),
        _("a number") if scheme.numeric else _("one label"),
        _("This task gives a record one number.")
        if scheme.numeric
        else _("This task gives a record one label; leave the one that fits best."),
    )


def by_record(entries: Iterable[Annotation]) -> dict[str, Said]:
    """Return what stands about each record.

    Each annotator's last word counts. The latest adjudication wins over all of them. A verdict
    falls with a later annotation, because the checker has not seen that one.
    """
    found: dict[str, list[Annotation]] = defaultdict(list)
    # At the same moment a checker speaks last: there has to be something to check.
    for entry in sorted(entries, key=lambda entry: (entry.time, entry.role == CHECKER)):
        found[entry.record].append(entry)
    return {record: stands(spoken) for record, spoken in found.items()}


def stands(spoken: Sequence[Annotation]) -> Said:
    """Return what stands about one record.

    :param spoken: all that was said about it, oldest first.
    """
    votes: dict[str, tuple[str, ...]] = {}
    adjudicated: Annotation | None = None
    verdict: str | None = None
    for entry in spoken:
        verdict = entry.verdict
        if entry.role == ADJUDICATOR:
            adjudicated = entry
        elif entry.role == ANNOTATOR:
            votes.pop(entry.annotator, None)  # so that a changed mind counts as late as it came
            votes[entry.annotator] = entry.labels
    return Said(votes, adjudicated, verdict)


def workload(entries: Sequence[Annotation]) -> dict[str, dict[str, Any]]:
    """Return for each person in which roles they spoke, how often and how long they took.

    ``seconds`` is the mean over the annotations that state it, None where none does.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({entry.annotator for entry in entries}):
        own = [entry for entry in entries if entry.annotator == name]
        times = [entry.seconds for entry in own if entry.seconds is not None]
        found[name] = {
            "annotations": len(own),
            "records": len({entry.record for entry in own}),
            "roles": dict(sorted(Counter(entry.role for entry in own).items())),
            "seconds": round(sum(times) / len(times), 3) if times else None,
        }
    return found


def guidelines(entries: Sequence[Annotation], current: str | None) -> dict[str, Any]:
    """Return how many annotations followed another guideline than the current one, or none.

    :param current: sha256; None where there is no guideline.
    """
    labels = [entry for entry in entries if entry.role != CHECKER]
    stated = [entry.guideline for entry in labels if entry.guideline is not None]
    return {
        "sha256": current,
        "outdated_guideline": sum(one != current for one in stated),
        "without_guideline": len(labels) - len(stated),
    }
