"""When what is done: dates from durations and what has to end before, as expected and at worst.

Days are working days, Monday to Friday. A task begins on the day after the last of those before it
has ended, or on its own first day if that is later; a task that waits for nothing begins with the
project. At worst every task takes its longest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from app.studio.project.schema import Milestone, Schedule, Task
from pipeline.errors import Text
from pipeline.i18n import _

State = Literal["done", "late", "now", "planned"]

# Weeks from the guide that Mofang follows, fewest and most; the last phase goes on for good.
USUAL: tuple[tuple[str, Text, int, int], ...] = (
    ("requirements", _("Clarify goal, users and measures of success"), 1, 2),
    ("data", _("Collect, clean, label and split data"), 2, 4),
    ("design", _("Choose the model and where it starts"), 1, 2),
    ("training", _("Train, search and compare with baselines"), 4, 8),
    ("evaluation", _("Validate, test and make it small"), 2, 4),
    ("deployment", _("Release, canary, blue and green"), 1, 2),
    ("monitoring", _("Watch, alert and train again"), 4, 4),
)
WEEK = 5  # working days
SEPARATOR = re.compile("[,;\n\uff0c\u3001\uff1b]")


@dataclass(frozen=True)
class Bar:
    """A task with its days. ``end`` is its last day, ``worst_end`` if all before was slow too."""

    task: Task
    start: date
    end: date
    worst_end: date
    state: State
    critical: bool  # whether the whole ends later if this one does


@dataclass(frozen=True)
class Mark:
    """A milestone with its day."""

    milestone: Milestone
    on: date | None
    late: bool


@dataclass(frozen=True)
class Timeline:
    """A schedule with days."""

    bars: Sequence[Bar]
    marks: Sequence[Mark]
    problems: Sequence[Text]  # what keeps tasks from having days

    @property
    def end(self) -> date | None:
        """The last day, as expected."""
        return max((bar.end for bar in self.bars), default=None)

    @property
    def worst_end(self) -> date | None:
        """The last day if every task takes its longest."""
        return max((bar.worst_end for bar in self.bars), default=None)

    @property
    def done(self) -> float | None:
        """The share of all days that is done."""
        days = sum(bar.task.days for bar in self.bars)
        return (
            sum(bar.task.days * bar.task.done for bar in self.bars) / days / 100 if days else None
        )


def timeline(schedule: Schedule, today: date) -> Timeline:
    """Return the days of every task and milestone.

    Tasks that wait for each other in a circle, or for one that does not exist, are named in
    ``problems``; what can be placed is placed.
    """
    first = workday(schedule.start or today)
    names = {task.name: task for task in schedule.tasks}
    problems = [*doubled(schedule.tasks), *unknown(schedule, names)]
    order, circle = in_order(schedule.tasks, names)
    if circle:
        problems.append(
            _("These tasks wait for each other: {names}.", names=", ".join(circle))
        )  # fmt: skip
    ends: dict[str, date] = {}
    worst: dict[str, date] = {}
    starts: dict[str, date] = {}
    for task in order:
        starts[task.name] = begin(task, ends, first)
        ends[task.name] = after(starts[task.name], task.days)
        longest = max(task.days, task.days_most or task.days)
        worst[task.name] = after(begin(task, worst, first), longest)
    slow = critical(order, starts, ends)
    bars = [
        Bar(
            task,
            starts[task.name],
            ends[task.name],
            worst[task.name],
            state_of(task, starts[task.name], ends[task.name], today),
            task.name in slow,
        )
        for task in schedule.tasks
        if task.name in ends
    ]
    marks = [mark(one, ends, today) for one in schedule.milestones]
    return Timeline(bars, marks, problems)


def needed(text: str, names: Container[str]) -> list[str]:
    """Return the names of the tasks that have to end before, as a text lists them.

    Commas and semicolons separate them, Chinese ones too; a name may hold some itself.
    """
    ends = [one.start() for one in SEPARATOR.finditer(text)] + [len(text)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    found: list[str] = []
    at = 0
    while at < len(starts):
        for last in range(len(ends) - 1, at - 1, -1):
            name = text[starts[at] : ends[last]].strip()
            if name in names or last == at:
                break
        found += [name] if name else []
        at = last + 1
    return found


def unknown(schedule: Schedule, names: Mapping[str, Task]) -> Iterator[Text]:
    """Yield what waits for a task that does not exist."""
    waiting = [(task.name, task.after) for task in schedule.tasks]
    waiting += [(one.name, one.after) for one in schedule.milestones]
    for name, text in waiting:
        for other in needed(text, names):
            if other not in names:
                yield _("“{name}” waits for “{other}”, which is no task.", name=name, other=other)


def doubled(tasks: Sequence[Task]) -> Iterator[Text]:
    """Yield names that two tasks have."""
    seen: set[str] = set()
    for task in tasks:
        if task.name in seen:
            yield _("Two tasks are called “{name}”; only the first has days.", name=task.name)
        seen.add(task.name)


def in_order(
    tasks: Sequence[Task], names: Mapping[str, Task]
) -> tuple[list[Task], list[str]]:  # fmt: skip
    """Return tasks after those that they wait for, and the names of those in a circle."""
    left: dict[str, Task] = {}
    for task in tasks:
        left.setdefault(task.name, task)
    before = {task.name: needed(task.after, names) for task in left.values()}
    order: list[Task] = []
    while left:
        ready = [
            task for task in left.values() if not any(other in left for other in before[task.name])
        ]
        if not ready:
            return order, list(left)
        order += ready
        for task in ready:
            del left[task.name]
    return order, []


def begin(task: Task, ends: Mapping[str, date], first: date) -> date:
    """Return the first day of a task."""
    before = [next_workday(ends[name]) for name in needed(task.after, ends) if name in ends]
    own = workday(task.start) if task.start else first
    return max([own, *before]) if before or task.start else first


def critical(
    order: Sequence[Task], starts: Mapping[str, date], ends: Mapping[str, date]
) -> set[str]:  # fmt: skip
    """Return the tasks on the longest chain: those whose delay delays the end."""
    if not ends:
        return set()
    last = max(ends.values())
    found = {name for name, end in ends.items() if end == last}
    for task in reversed(order):
        if task.name in found:
            found |= {
                name
                for name in needed(task.after, ends)
                if name in ends and next_workday(ends[name]) == starts[task.name]
            }
    return found


def state_of(task: Task, start: date, end: date, today: date) -> State:
    """Return where a task stands today."""
    if task.done >= 100:
        return "done"
    if end < today:
        return "late"
    return "now" if task.done or start <= today else "planned"


def mark(milestone: Milestone, ends: Mapping[str, date], today: date) -> Mark:
    """Return a milestone with its day: its own, or that on which the task ends."""
    after = [ends[name] for name in needed(milestone.after, ends) if name in ends]
    on = milestone.on or max(after, default=None)
    return Mark(milestone, on, bool(on and on < today and not milestone.reached))


def workday(day: date) -> date:
    """Return a day, or the Monday after it."""
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() >= WEEK else 0)


def next_workday(day: date) -> date:
    """Return the working day after a day."""
    return workday(day + timedelta(days=1))


def after(start: date, days: int) -> date:
    """Return the last of so many working days from ``start`` on, which is one itself."""
    weeks, rest = divmod(max(1, days) - 1, WEEK)
    day = start + timedelta(weeks=weeks)
    over = day.weekday() + rest >= WEEK
    return day + timedelta(days=rest + (2 if over else 0))


def usual(words: Callable[[Text], str]) -> list[dict[str, Any]]:
    """Return the usual tasks as rows of the table, one after the other.

    :param words: puts a text into the reader's language.
    """
    rows: list[dict[str, Any]] = []
    before = ""
    for phase, title, fewest, most in USUAL:
        row: dict[str, Any] = {"name": words(title), "phase": phase, "after": before}
        row |= {"days": fewest * WEEK, "days_most": most * WEEK}
        rows.append(Task.model_validate(row).model_dump())
        before = row["name"]
    return rows
