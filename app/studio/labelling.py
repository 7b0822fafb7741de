"""Labelling: who gets which record next, and what a press of a key does.

What somebody has before them, has skipped and notes is kept in ``work/annotation/desks``, so that a
page that is loaded again shows the same record. A label is on the disk before the next record is
shown. A press counts for the record that it was meant for, or not at all: where two presses come at
once, the second finds that its record is done.

Labels are only ever added. To undo is to get the record again: the next label of it counts, and
until there is one the earlier stays.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.studio import desks, history, label_lists, label_texts, roles
from app.studio.desks import Desk
from app.studio.label_lists import ACTION_OF, CHECKS, QUEUE, ROLE_OF, Table, Work
from app.studio.label_texts import Item
from app.studio.project_files import Project
from app.studio.recording import Recorded
from pipeline import annotation, artifacts
from pipeline.errors import DataError, Problem
from pipeline.steps.annotations import Annotation, misfit, parsed

TOO_LONG = 10 * 60.0  # seconds; somebody who took longer was away, so the time is not noted
LONGEST_NOTE = 1_000
RECORDED_EVERY = 25  # labels between two entries in the Git record

Labels = str | float | list[str]


@dataclass(frozen=True)
class Task:
    """What somebody is asked to decide."""

    list: str
    item: Item
    since: float
    note: str
    earlier: Annotation | None  # what the same person said about it before
    held: bool


@dataclass(frozen=True)
class Progress:
    """How far a list is."""

    total: int
    done: int  # need nobody any more
    open: int  # can be given to this person
    others: int  # wait for somebody else
    skipped: int
    mine: int  # decided by this person


def annotator(user: str) -> str:
    """Return the name under which somebody's labels stand: their own where it can be a file's."""
    if annotation.FILE_NAME.fullmatch(user):
        return user
    plain = re.sub(r"[^\w.@+-]+", "-", user).strip("-._@+")[:48] or "user"
    return f"{plain}-{hashlib.sha256(user.encode()).hexdigest()[:8]}"


def me() -> str:
    """Return the name under which the labels of who looks at the page stand."""
    return annotator(roles.current().name)


def next_task(table: Table, now: Work, name: str) -> Task | None:
    """Return what somebody decides next, and put it before them; None where nothing is left.

    What lies there already stays, so that a page that is loaded again shows the same.
    """
    project = table.project
    with desks.alone(project):
        desk = desks.read(project, now.name, name)
        busy = desks.at_others(project, now.name, name, time.time())
        item = lying(table, now, desk, name, busy)
        if item is None:
            item = first_open(table, now, name, {one.record for one in desk.skipped}, busy)
            record = None if item is None else item.record
            if desk.record != record:
                desk = replace(desk.emptied(), record=record, since=time.time())
                desks.write(project, now.name, name, desk)
    if item is None:
        return None
    earlier = last_word(table, now.name, name, item.record)
    return Task(now.name, item, desk.since, desk.note, earlier, desk.held)


def lying(table: Table, now: Work, desk: Desk, name: str, busy: Mapping[str, int]) -> Item | None:
    """Return the record that lies before somebody, if it is still to be decided."""
    if desk.record is None:
        return None
    item = now.item(desk.record)
    if desk.held:
        return item or label_texts.cleaned(table.project, desk.record)
    others = busy.get(desk.record, 0)
    stays = item is not None and label_lists.is_open(table, now, desk.record, name, others)
    return item if stays else None


def first_open(
    table: Table, now: Work, name: str, passed_over: Set[str], busy: Mapping[str, int]
) -> Item | None:
    """Return the first record of a list that is to be given to somebody."""
    for record in now.records:
        if record in passed_over or not label_lists.standing(table, now, record, name).open:
            continue
        others = busy.get(record, 0)
        if not others or label_lists.is_open(table, now, record, name, others):
            item = now.item(record)
            if item is not None:  # else it is in the data no more
                return item
    return None


def last_word(table: Table, which: str, name: str, record: str) -> Annotation | None:
    """Return the last thing that somebody said about a record in the role of a list."""
    entries = table.spoken.entries.get(record, ())
    own = [one for one in entries if one.annotator == name and one.role == ROLE_OF[which]]
    return own[-1] if own else None


def progress(table: Table, now: Work, name: str) -> Progress:
    """Return how far a list is, for one person."""
    away = [one.record for one in desks.read(table.project, now.name, name).skipped]
    known = table.spoken.entries
    # A long list is walked by what was said, which is little: all else is open.
    few = known if len(known) < len(now.records) else now.records
    spoken_of = [one for one in few if one in known and one in now.place]
    states = [label_lists.standing(table, now, one, name) for one in spoken_of]
    left = len(now.records) - len(states) + sum(one.open for one in states)
    done = sum(one.done for one in states)
    skipped = sum(
        one in now.place and (one not in known or label_lists.standing(table, now, one, name).open)
        for one in away
    )
    return Progress(
        total=len(now.records),
        done=done,
        open=left - skipped,
        others=len(now.records) - done - left,
        skipped=skipped,
        mine=sum(one.mine for one in states),
    )


def give(project: Project, which: str, record: str, said: Labels, note: str = "") -> bool:
    """Write down what somebody says about the record before them; False if that is another by now.

    :param said: a label, a list of labels, a number, or a checker's verdict.
    :raises RoleError: if the user may not.
    :raises DataError: if it is no label of the task.
    :raises StorageError: if the disk is full; then the record stays before them.
    """
    user = roles.require(ACTION_OF[which], f"{which} {record}")
    name = annotator(user.name)
    with desks.alone(project):
        desk = desks.read(project, which, name)
        if desk.record != record:
            return False
        entry = entry_of(project, name, which, record, said, note.strip()[:LONGEST_NOTE])
        spent = time.time() - desk.since
        if 0 <= spent <= TOO_LONG:
            entry["seconds"] = round(spent, 1)
        annotation.append(annotation.file_of(name), [entry])
        done = desk.emptied(unrecorded=desk.unrecorded + 1).without_skipped(record)
        desks.write(project, which, name, done)
    return True


def entry_of(
    project: Project, name: str, which: str, record: str, said: Labels, note: str
) -> dict[str, Any]:
    """Return the line that stands for what somebody said.

    :raises DataError: if it does not fit the task.
    """
    entry: dict[str, Any] = {
        "record": record,
        "annotator": name,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "role": ROLE_OF[which],
        "verdict" if which == CHECKS else "label": said,
    }
    version = label_lists.guideline_version(project)
    if version is not None and which != CHECKS:
        entry["guideline"] = version
    if note:
        entry["note"] = note
    made = parsed(entry, f"{name}, {record}")
    scheme = Table.of(project).scheme
    problem = made if isinstance(made, Problem) else misfit(made, scheme)
    if problem is not None:
        raise DataError(problem)
    return entry


def skip(project: Project, which: str, record: str) -> bool:
    """Put the record before somebody aside; one that has their label already just goes back.

    :raises RoleError: if the user may not.
    """
    user = roles.require(ACTION_OF[which], f"skip {which} {record}")
    name = annotator(user.name)
    table = Table.of(project)
    with desks.alone(project):
        desk = desks.read(project, which, name)
        if desk.record != record:
            return False
        desk = desk.emptied()
        if last_word(table, which, name, record) is None:
            desk = desk.with_skipped(record, time.time())
        desks.write(project, which, name, desk)
    return True


def undo(project: Project, which: str) -> bool:
    """Put the record before somebody that they decided or skipped last; again, the one before.

    :returns: whether there was one.
    :raises RoleError: if the user may not.
    """
    user = roles.require(ACTION_OF[which], f"undo {which}")
    name = annotator(user.name)
    table = Table.of(project)
    with desks.alone(project):
        desk = desks.read(project, which, name)
        last = before(table, which, name, desk)
        if last is None:
            return False
        earlier = last_word(table, which, name, last)
        desk = replace(
            desk.without_skipped(last),
            record=last,
            since=time.time(),
            held=True,
            note=earlier.note if earlier else "",
            undone=(*desk.undone, last),
        )
        desks.write(project, which, name, desk)
    return True


def before(table: Table, which: str, name: str, desk: Desk) -> str | None:
    """Return the record that somebody decided or skipped last and that undo has not reached yet."""
    role = ROLE_OF[which]
    skips = [(one.time, one.record) for one in desk.skipped]
    moments = dict[str, float]()
    for one in table.spoken.people.get(name, ()):
        if one.role == role:
            moments[one.record] = max(one.time.timestamp(), moments.get(one.record, 0.0))
    every = sorted([(moment, record) for record, moment in moments.items()] + skips)
    known = (record for _moment, record in reversed(every) if record not in desk.undone)
    return next((one for one in known if is_there(table, one)), None)


def is_there(table: Table, record: str) -> bool:
    """Return whether a record still belongs to the data."""
    on_queue = label_lists.work(table, QUEUE).item(record) is not None
    return on_queue or label_texts.cleaned(table.project, record) is not None


def ask_for(project: Project, record: str, which: str = QUEUE) -> bool:
    """Put a record before somebody that they chose themselves; False if there is no such record.

    :raises RoleError: if the user may not.
    """
    user = roles.require(ACTION_OF[which], f"choose {record}")
    name = annotator(user.name)
    if label_texts.cleaned(project, record) is None:
        return False
    with desks.alone(project):
        desk = desks.read(project, which, name).emptied()
        desk = replace(desk, record=record, since=time.time(), held=True)
        desks.write(project, which, name, desk)
    return True


def keep_note(project: Project, which: str, record: str, note: str) -> None:
    """Keep a note that is being written, so that a page that is loaded again still has it.

    :raises RoleError: if the user may not.
    """
    name = annotator(roles.allow(ACTION_OF[which]).name)
    with desks.alone(project):
        desk = desks.read(project, which, name)
        if desk.record == record:
            desks.write(project, which, name, replace(desk, note=note[:LONGEST_NOTE]))


def take_up_skipped(project: Project, which: str) -> None:
    """Give somebody again what they put aside.

    :raises RoleError: if the user may not.
    """
    name = annotator(roles.require(ACTION_OF[which], f"take up skipped {which}").name)
    with desks.alone(project):
        desk = desks.read(project, which, name)
        desks.write(project, which, name, replace(desk, skipped=()))


def unrecorded(project: Project, name: str) -> int:
    """Return how many labels of somebody stand in no entry of the Git record yet."""
    return sum(desks.read(project, which, name).unrecorded for which in ROLE_OF)


def record_labels(project: Project) -> Recorded:
    """Make an entry in the Git record for the labels of who looks at the page.

    :raises RoleError: if the user may not label.
    """
    user = roles.require(roles.LABEL, "record labels")
    name = annotator(user.name)
    counts = {which: desks.read(project, which, name).unrecorded for which in ROLE_OF}
    told = history.labelled(project, artifacts.ANNOTATIONS / f"{name}.jsonl", user.name)
    if told.state == "refused":
        return told
    with desks.alone(project):  # not while Git works: others would have to wait for it
        for which, count in counts.items():
            desk = desks.read(project, which, name)
            left = max(0, desk.unrecorded - count)  # labels may have come meanwhile
            desks.write(project, which, name, replace(desk, unrecorded=left))
    return told


def choices(scheme_labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return each label with the key that gives it; labels beyond the keys have none.

    Streamlit keeps C and R for itself; S, U, N and K are the page's own.
    """
    keys = [*"1234567890", *(one for one in "QWERTYUIOPASDFGHJKLZXCVBNM" if one not in "CRSUNK")]
    return [(label, keys[at] if at < len(keys) else "") for at, label in enumerate(scheme_labels)]
