"""What people said about records: one JSON object a line, added to and never changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.errors import DataError, Problem
from pipeline.i18n import _

FIELDS = ("record", "annotator", "label", "time")


@dataclass(frozen=True)
class Annotation:
    """One label that one person gave to one record."""

    record: str
    annotator: str
    label: str
    time: datetime
    where: str  # file and line


def read(files: Mapping[str, Iterable[str]], labels: Sequence[str]) -> list[Annotation]:
    """Return the annotations of several files.

    :param files: name → lines.
    :param labels: of the task.
    :raises DataError: with every line that is not an annotation or names an unknown label.
    """
    found: list[Annotation] = []
    problems: list[Problem] = []
    for name, lines in files.items():
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{name}:{number}"
                entry = parse(line, where)
                if isinstance(entry, Problem):
                    problems.append(entry)
                elif entry.label not in labels:
                    problems.append(unknown_label(entry, labels))
                else:
                    found.append(entry)
    if problems:
        raise DataError(*problems)
    return found


def parse(line: str, where: str) -> Annotation | Problem:
    """Return the annotation of one line, or what is wrong with it."""
    try:
        values = json.loads(line)
        said = {name: values[name] for name in FIELDS}
        if not all(isinstance(value, str) for value in said.values()):
            raise TypeError
        when = datetime.fromisoformat(said.pop("time"))
        return Annotation(
            **said, time=when if when.tzinfo else when.replace(tzinfo=UTC), where=where
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return Problem(
            where,
            repr(line.strip()[:60]),
            _("a JSON object with {fields}", fields=", ".join(FIELDS)),
            _("Mend this line; the studio writes them so."),
        )


def unknown_label(entry: Annotation, labels: Sequence[str]) -> Problem:
    """Return the problem of a label that is not one of the task's."""
    return Problem(
        entry.where,
        repr(entry.label),
        _("one of {labels}", labels=", ".join(labels)),
        _("Correct the annotation, or add the label to label.labels."),
    )


def by_record(entries: Iterable[Annotation]) -> dict[str, list[tuple[str, str]]]:
    """Return annotator and label for each record, oldest first."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.time):
        found[entry.record].append((entry.annotator, entry.label))
    return dict(found)
