"""Records out to other labelling tools and annotations back: Label Studio's JSON, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps import targets
from pipeline.steps.annotations import CHECKER, Annotation, is_name, misfit, parsed
from pipeline.steps.scheme import Scheme
from pipeline.steps.spreadsheet import cell_of, guard, label_of, seconds_of, table, unguard

COLUMNS = ("record", "text", "label", "annotator", "time", "seconds", "note", "guideline")
VERDICT = "verdict"  # a further column, for checkers
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


def interface(scheme: Scheme) -> str:
    """Return the labelling interface for a project in Label Studio, as XML."""
    from xml.sax.saxutils import quoteattr

    lines = ["<View>", f'  <Text name="{TO}" value="${TO}"/>']
    if scheme.numeric:
        ends = {"min": scheme.low, "max": scheme.high, "step": 0.01}
        known = "".join(f' {name}="{one:g}"' for name, one in ends.items() if one is not None)
        lines.append(f'  <Number name="{FROM}" toName="{TO}"{known}/>')
    else:
        how = "multiple" if scheme.several else "single"
        lines.append(f'  <Choices name="{FROM}" toName="{TO}" choice="{how}">')
        lines += [f"    <Choice value={quoteattr(label)}/>" for label in scheme.labels]
        lines.append("  </Choices>")
    return "\n".join([*lines, "</View>", ""])


def to_label_studio(items: Sequence[Item], guideline: str | None, scheme: Scheme) -> list[Entry]:
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
            kind = "number" if scheme.numeric else "choices"
            said = targets.number(item.label) if scheme.numeric else scheme.parts(item.label)
            result = {"from_name": FROM, "to_name": TO, "type": kind, "value": {kind: said}}
            task["predictions"] = [{"model_version": "mofang", "result": [result]}]
        tasks.append(task)
    return tasks


def to_csv(
    items: Sequence[Item], guideline: str | None, scheme: Scheme, *, verdict: bool = False
) -> str:
    """Return the records as CSV with empty columns for who labels them, every cell guarded.

    Several labels stand in one cell with ``label.separator`` between them.

    :param verdict: whether there is a column for a checker's ``accept`` or ``return``.
    """
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow((*COLUMNS, VERDICT) if verdict else COLUMNS)
    for item in items:
        label = "" if item.label is None else cell_of(item.label, scheme)
        row = [item.record, item.text, label, "", "", "", "", guideline or ""]
        writer.writerow([guard(cell) for cell in (*row, *[""] * verdict)])
    return target.getvalue()


@dataclass(frozen=True)
class Task:
    """What an arriving file is held against."""

    scheme: Scheme
    records: Set[str]


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
        every = completed(one, f"{where}, task {number}", arrived.passed_over, task.scheme)
        for place, values in every:
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
    task: Any, where: str, passed_over: Counter[str], scheme: Scheme
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
        label = chosen(results, scheme)
        if parts(one).get("was_cancelled") or parts(one).get("skipped"):
            passed_over["skipped"] += 1
        elif label is None:
            passed_over["empty"] += 1
        else:
            yield (
                place,
                {
                    "record": record,
                    "annotator": completed_by(parts(one).get("completed_by")),
                    "label": label,
                    # The last word counts: a corrected annotation has the time of its correction.
                    "time": parts(one).get("updated_at") or parts(one).get("created_at"),
                    "seconds": parts(one).get("lead_time"),
                    "guideline": data.get("guideline"),
                },
            )


def chosen(results: Sequence[Any], scheme: Scheme) -> Any:
    """Return the label of an annotation's results, None where there is none.

    Where a record can have several labels, an annotation that was sent off without a choice says
    that none of them fits; whoever does not know skips the task.
    """
    if scheme.numeric:
        named = [each["value"].get(kind) for each in results for kind in ("number", "rating")]
        numbers = [one for one in named if one is not None]
        return numbers[0] if len(numbers) == 1 else numbers or None
    choices = [
        choice
        for each in results
        if each.get("type", "choices") == "choices"
        for choice in parts(each["value"], "choices", list)
    ]
    if scheme.several:
        return choices
    return choices[0] if len(choices) == 1 else choices or None


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
        if not (verdict if role == CHECKER else label.strip()):
            arrived.passed_over["empty"] += 1
            continue
        entry: Entry = {
            "record": values.get("record", ""),
            "annotator": values.get("annotator") or annotator or "",
            "label": label_of(label, task.scheme),
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
    problem = misfit(entry, task.scheme) if isinstance(entry, Annotation) else entry
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
        last[one.record, one.annotator, one.role] = said_by(one)
    new: list[Entry] = []
    for values in entries:
        timed = "time" in values
        entry = parsed({"time": now} | values, "")
        assert isinstance(entry, Annotation), "what arrived was checked"
        who = (entry.record, entry.annotator, entry.role)
        known = identity(entry) in said if timed else last.get(who) == said_by(entry)
        if not known:
            new.append({"time": now} | values)
            said[identity(entry)] = None
            last[who] = said_by(entry)
    return new, len(entries) - len(new)


def identity(one: Annotation) -> tuple[object, ...]:
    """Return what makes two lines the same annotation."""
    return one.record, one.annotator, said_by(one), one.time, one.role, one.verdict


def said_by(one: Annotation) -> tuple[str, ...]:
    """Return the labels of an annotation; their order means nothing."""
    return tuple(sorted(one.labels))
