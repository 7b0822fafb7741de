"""Records out to other labelling tools and annotations back: Label Studio's JSON, and CSV.

A spreadsheet runs a cell that begins with ``=`` and its like. The exported copy guards such cells
with a leading ``'``, and reading takes exactly one guard away again, so that nothing is changed on
the way there and back.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps.annotations import CHECKER, Annotation, is_name, misfit, parsed

# OWASP's list of what starts a formula, with its full-width forms; guards themselves are guarded.
RUNS = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
GUARDED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
COLUMNS = ("record", "text", "label", "annotator", "time", "seconds", "note", "guideline")
VERDICT = "verdict"  # a further column, for checkers
DELIMITERS = ",;\t"  # a spreadsheet writes the one that its user's country is used to
LONGEST_CELL = 10_000_000
PROBLEMS_LISTED = 50
FROM, TO = "label", "text"  # names in Label Studio's labelling interface

Entry = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """A record as it goes out."""

    record: str
    text: str
    label: str | None = None  # None where an annotator must not see one


@dataclass(frozen=True)
class Arrived:
    """The annotations of a file, and what was passed over."""

    entries: list[Entry] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)  # "skipped" or "empty" → how often


def guard(cell: str) -> str:
    """Return a cell that no spreadsheet runs."""
    return f"'{cell}" if RUNS.match(cell) else cell


def unguard(cell: str) -> str:
    """Return what a cell was before ``guard``."""
    return cell[1:] if GUARDED.match(cell) else cell


def interface(labels: Sequence[str]) -> str:
    """Return the labelling interface for a project in Label Studio, as XML."""
    from xml.sax.saxutils import quoteattr

    choices = [f"    <Choice value={quoteattr(label)}/>" for label in labels]
    lines = ["<View>", f'  <Text name="{TO}" value="${TO}"/>']
    lines += [f'  <Choices name="{FROM}" toName="{TO}" choice="single">', *choices, "  </Choices>"]
    return "\n".join([*lines, "</View>", ""])


def to_label_studio(items: Sequence[Item], guideline: str | None) -> list[Entry]:
    """Return tasks for Label Studio's import; a known label goes as a prediction."""
    tasks: list[Entry] = []
    for item in items:
        task: Entry = {
            "data": {"text": item.text, "record": item.record},
            "meta": {"record": item.record},
        }
        if guideline:
            task["data"]["guideline"] = guideline
        if item.label is not None:
            result = {
                "from_name": FROM,
                "to_name": TO,
                "type": "choices",
                "value": {"choices": [item.label]},
            }
            task["predictions"] = [{"model_version": "mofang", "result": [result]}]
        tasks.append(task)
    return tasks


def to_csv(items: Sequence[Item], guideline: str | None, *, verdict: bool = False) -> str:
    """Return the records as CSV with empty columns for who labels them, every cell guarded.

    :param verdict: whether there is a column for a checker's ``accept`` or ``return``.
    """
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow((*COLUMNS, VERDICT) if verdict else COLUMNS)
    for item in items:
        row = [item.record, item.text, item.label or "", "", "", "", "", guideline or ""]
        writer.writerow([guard(cell) for cell in (*row, *[""] * verdict)])
    return target.getvalue()


@dataclass(frozen=True)
class Task:
    """What an arriving file is held against."""

    labels: Sequence[str]
    records: Set[str]
    several: bool = False  # whether the task gives a record any number of labels


def from_label_studio(
    text: str, where: str, task: Task, annotator: str | None, role: str
) -> Arrived:
    """Return the annotations of Label Studio's JSON export.

    :param where: the file's name, for errors.
    :param annotator: whose they are; None takes who completed them by Label Studio's own account.
    :raises DataError: with every annotation that does not fit.
    """
    try:
        tasks = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        tasks = None
    if not isinstance(tasks, list):
        raise DataError.at(
            where,
            found=_("no list of tasks"),
            allowed=_("Label Studio's export as JSON"),
            fix=_("Export again, in the format JSON (not JSON-MIN)."),
        )
    arrived, people = Arrived(), set[str]()
    problems: list[Problem] = []
    for number, one in enumerate(tasks, 1):
        for place, values in completed(one, f"{where}, task {number}", arrived.passed_over):
            if isinstance(values, Problem):
                problems.append(values)
                continue
            people.add(values["annotator"])
            values["annotator"] = annotator or values["annotator"]
            take(values | {"role": role}, place, task, arrived, problems)
    if annotator and len(people) > 1:
        problems.append(several_people(where, people))
    refuse(problems)
    return arrived


def several_people(where: str, people: Set[str]) -> Problem:
    """Return the problem of one name for the work of several people."""
    return Problem(
        where,
        _("annotations of {people}", people=", ".join(sorted(people))),
        _("those of one person"),
        _("Leave out --annotator: each is then written under a name of their own."),
    )


def completed(
    task: Any, where: str, passed_over: Counter[str]
) -> Iterator[tuple[str, Entry | Problem]]:
    """Yield the annotations of one task of Label Studio, or what is wrong with them."""
    data, meta = parts(task, "data"), parts(task, "meta")
    found = parts(task, "annotations", list)
    record = data.get("record") or meta.get("record")
    if not is_name(record):
        wanted = _("a task with data.record, as it was exported")
        yield where, Problem(where, repr(record), wanted, _("Label records that Mofang exported."))
        return
    for at, one in enumerate(found, 1):
        place = f"{where}, annotation {at}"
        results = [each for each in parts(one, "result", list) if parts(each, "value")]
        choices = [
            choice
            for each in results
            if each.get("type", "choices") == "choices"
            for choice in parts(each["value"], "choices", list)
        ]
        if parts(one).get("was_cancelled") or parts(one).get("skipped"):
            passed_over["skipped"] += 1
        elif not choices:
            passed_over["empty"] += 1
        else:
            yield (
                place,
                {
                    "record": record,
                    "annotator": completed_by(parts(one).get("completed_by")),
                    "label": choices[0] if len(choices) == 1 else choices,
                    # The last word counts: a corrected annotation has the time of its correction.
                    "time": one.get("updated_at") or one.get("created_at"),
                    "seconds": one.get("lead_time"),
                    "guideline": data.get("guideline"),
                },
            )


def parts(values: Any, name: str | None = None, kind: Callable[[], Any] = dict) -> Any:
    """Return a member of foreign JSON if it is of the expected kind, else an empty one."""
    found = values
    if name is not None:
        found = values.get(name) if isinstance(values, dict) else None
    empty = kind()
    return found if isinstance(found, type(empty)) else empty


def completed_by(value: Any) -> str:
    """Return a name for a person of Label Studio: the e-mail address, else the number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return f"label-studio-{value}" if isinstance(value, int) else str(value or "label-studio")


def from_csv(text: str, where: str, task: Task, annotator: str | None, role: str) -> Arrived:
    """Return the annotations of a CSV file; rows without a label are passed over.

    A row without a time has none here either: whoever appends it gives it one.

    :param where: the file's name, for errors.
    :param annotator: of rows that do not name theirs.
    :raises DataError: with every row that does not fit.
    """
    arrived = Arrived()
    problems: list[Problem] = []
    for line, cells in table(text, where):
        place = f"{where}:{line}"
        values = {name: unguard(cell) for name, cell in cells.items()}
        label, verdict = values.get("label", ""), values.get(VERDICT) or None
        if not (verdict if role == CHECKER else label):
            arrived.passed_over["empty"] += 1
            continue
        entry: Entry = {
            "record": values.get("record", ""),
            "annotator": values.get("annotator") or annotator or "",
            "label": labels_of(label) if task.several else label,
            "time": values.get("time") or None,
            "seconds": seconds_of(values.get("seconds", "")),
            "note": values.get("note", ""),
            "guideline": values.get("guideline") or None,
            "role": role,
            "verdict": verdict if role == CHECKER else None,
        }
        take(entry, place, task, arrived, problems)
    refuse(problems)
    return arrived


def table(text: str, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file by column, with the line in which each ends.

    :raises DataError: if it has no column ``record`` or ``label``, or is no CSV.
    """
    text = text.removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    before = csv.field_size_limit(LONGEST_CELL)  # it holds for the whole process: put it back
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = next(rows, [])
        if not {"record", "label"} <= set(names):
            raise DataError.at(
                where,
                found=", ".join(names) or _("no line"),
                allowed=_("the columns {columns}", columns="record, label"),
                fix=_("Fill in the file that Mofang exported, with its first line."),
            )
        found = [(rows.line_num, dict(zip(names, row, strict=False))) for row in rows if row]
    except csv.Error as error:
        raise DataError.at(
            where,
            found=str(error),
            allowed=_("a whole CSV file"),
            fix=_("Save the table as CSV again."),
        ) from None
    finally:
        csv.field_size_limit(before)
    yield from found


def labels_of(cell: str) -> Any:
    """Return the labels of a cell: a JSON list, or a single one."""
    try:
        found = json.loads(cell) if cell.startswith("[") else cell
    except (ValueError, RecursionError):
        return cell
    return found


def seconds_of(cell: str) -> float | str | None:
    """Return a number of seconds; what is none stays as it is, to be named."""
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


UNTIMED = "0001-01-01T00:00:00Z"  # only to check the rest of a row that has no time yet


def take(values: Entry, where: str, task: Task, arrived: Arrived, problems: list[Problem]) -> None:
    """Add one annotation to what arrived, or what is wrong with it to the problems."""
    values = {name: value for name, value in values.items() if value not in (None, "")}
    entry = parsed({"time": UNTIMED} | values, where)
    if isinstance(entry, Annotation) and entry.record not in task.records:
        entry = Problem(
            where,
            _("the record {name}", name=repr(entry.record)),
            _("a record of data/clean"),
            _("Export again: the records have changed since."),
        )
    if isinstance(entry, Annotation):
        allowed = frozenset(task.labels)
        problem = misfit(entry, task.labels, allowed, several=task.several)
    else:
        problem = entry
    if problem:
        problems.append(problem)
    else:
        arrived.entries.append(values)


def refuse(problems: Sequence[Problem]) -> None:
    """Refuse a file with problems.

    :raises DataError: with all of them, the first ``PROBLEMS_LISTED`` in full.
    """
    if problems:
        rest = len(problems) - PROBLEMS_LISTED
        more = Problem(
            "…",
            _("{count} further problems", count=rest),
            _("none"),
            _("Mend those above first."),
        )
        raise DataError(*problems[:PROBLEMS_LISTED], *([more] if rest > 0 else []))


def not_there(
    entries: Sequence[Entry], there: Sequence[Annotation], now: str
) -> tuple[list[Entry], int]:
    """Return the entries that do not stand there yet, and how many do.

    An entry with a time stands there if the same person said the same about the same record at
    that time; one without, if that is the person's last word. It gets the time ``now``.
    """
    said = {identity(one): None for one in there}
    last: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for one in sorted(there, key=lambda one: one.time):
        last[one.record, one.annotator, one.role] = one.labels
    new: list[Entry] = []
    for values in entries:
        timed = "time" in values
        entry = parsed({"time": now} | values, "")
        assert isinstance(entry, Annotation), "what arrived was checked"
        who = (entry.record, entry.annotator, entry.role)
        known = identity(entry) in said if timed else last.get(who) == entry.labels
        if not known:
            new.append({"time": now} | values)
            said[identity(entry)] = None
            last[who] = entry.labels
    return new, len(entries) - len(new)


def identity(one: Annotation) -> tuple[object, ...]:
    """Return what makes two lines the same annotation."""
    return one.record, one.annotator, one.labels, one.time, one.role, one.verdict
