"""The lists of work for annotators: the queue, suspects, disputes, and records for a second look.

A list says which records somebody may be given next; ``labelling`` gives them out.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from app.studio import child, desks, label_texts, labels_at_work, reading, roles
from app.studio.label_texts import Item
from app.studio.labels_at_work import Spoken
from app.studio.project_files import Project
from app.studio.stamps import Stamp, stamp_of
from pipeline import artifacts
from pipeline.errors import BusyError, DataError, Text
from pipeline.i18n import _
from pipeline.locks import held
from pipeline.params import Params
from pipeline.records import desk
from pipeline.records.trust import GUIDELINE
from pipeline.records.trust import SUSPECTS as SUSPECTS_FILE
from pipeline.steps import consensus
from pipeline.steps.annotations import ADJUDICATOR, ANNOTATOR, CHECKER, RETURN, Annotation
from pipeline.steps.assignment import draw
from pipeline.steps.scheme import Scheme

QUEUE, SUSPECTS, DISPUTES, CHECKS = "queue", "suspects", "disputes", "checks"
ROLE_OF = {QUEUE: ANNOTATOR, SUSPECTS: ANNOTATOR, DISPUTES: ADJUDICATOR, CHECKS: CHECKER}
ACTION_OF = {
    QUEUE: roles.LABEL,
    SUSPECTS: roles.LABEL,
    DISPUTES: roles.ADJUDICATE,
    CHECKS: roles.ADJUDICATE,
}
COMMAND = ("python", "-m", "pipeline.annotation", "queue")
SECONDS = 900.0  # a list over a million records takes minutes


@dataclass(frozen=True)
class Table:
    """Everything that a page about labels starts from."""

    project: Project
    params: Params
    scheme: Scheme
    spoken: Spoken

    @classmethod
    def of(cls, project: Project) -> Table:
        """Read what stands at this moment; cheap enough for every rerun.

        :raises ParamsError: if ``params.yaml`` is not what the schema allows.
        """
        params = reading.params(project)
        scheme = Scheme.of(params.label)
        return cls(project, params, scheme, labels_at_work.spoken(project, scheme))


@dataclass(frozen=True)
class Work:
    """A list of work by the names of its records, the most urgent first.

    What a record is gets read when it is its turn, so that a list may be long.
    """

    name: str
    records: Sequence[str]
    place: Mapping[str, int]
    look: Callable[[int], Item | None]  # place → record; None where it is in the data no more
    made: float | None = None  # seconds since 1970; None for a list that is always as of now

    def item(self, record: str) -> Item | None:
        """Return a record of the list; None where it is not on it, or in the data no more."""
        at = self.place.get(record)
        return None if at is None else self.look(at)


def work(table: Table, name: str) -> Work:
    """Return a list as it is now.

    :raises DataError: if a file that it comes from is damaged.
    """
    if name == QUEUE:
        stamp = stamp_of(queue_file(table.project))
        return listed(QUEUE, (), nowhere) if stamp is None else queue(stamp)
    if name == SUSPECTS:
        return suspects(table.project)
    asked = disputed(table) if name == DISPUTES else to_check(table)
    ids = label_texts.present(table.project, asked)

    def look(at: int) -> Item | None:
        return label_texts.cleaned(table.project, ids[at], ids[at : at + label_texts.AHEAD])

    return listed(name, ids, look)


def listed(
    name: str, ids: Sequence[str], look: Callable[[int], Item | None], made: float | None = None
) -> Work:
    """Return a list that finds its records by name."""
    return Work(name, ids, {one: at for at, one in enumerate(ids)}, look, made)


def nowhere(_at: int) -> Item | None:
    """Return what stands on an empty list."""
    return None


def queue_file(project: Project) -> Path:
    """Return the file of the queue."""
    return project.root / artifacts.WORK / "annotation" / desk.QUEUE


@functools.lru_cache(maxsize=4)
def queue(stamp: Stamp) -> Work:
    """Read the queue that ``pipeline.annotation queue`` wrote.

    :raises DataError: if it is damaged.
    """
    items = label_texts.queued(stamp)
    return listed(QUEUE, [one.record for one in items], items.__getitem__, stamp.modified / 1e9)


def suspects(project: Project) -> Work:
    """Return the labels that are probably wrong, the likeliest first.

    :raises DataError: if the file of the label stage is damaged.
    """
    stamp = stamp_of(project.stage("label") / SUSPECTS_FILE)
    return listed(SUSPECTS, (), nowhere) if stamp is None else suspects_of(stamp)


@functools.lru_cache(maxsize=4)
def suspects_of(stamp: Stamp) -> Work:
    """Return the suspects that the label stage wrote; each is read when it is its turn."""
    ids = reading.column(Path(stamp.path), "id")
    return listed(SUSPECTS, ids, partial(label_texts.suspect, stamp), stamp.modified / 1e9)


def disputed(table: Table) -> list[str]:
    """Return the records to adjudicate, those that differ most first."""
    return [record for record, _dispute in table.spoken.disputes()]


def to_check(table: Table) -> list[str]:
    """Return the records that wait for a second look."""
    found = table.spoken.checks(table.params)
    return [record for record, state in found.items() if state == consensus.OPEN]


def needed(table: Table, record: str) -> int:
    """Return how many people label a record: several in the overlap, as ``assignment`` has it."""
    knobs = table.params.label.annotation
    return knobs.per_record if draw(knobs.seed, "overlap", record) < knobs.overlap else 1


def is_done(table: Table, now: Work, record: str, others: int = 0) -> bool:
    """Return whether a record of a list needs nobody any more.

    A record of the queue is done when enough people labelled it, a suspect when somebody did so
    after the list was made. Disputes and checks leave their lists when they are done.

    :param others: how many people have it before them at this moment.
    """
    said = table.spoken.said.get(record)
    if now.name == SUSPECTS:
        entries = table.spoken.entries.get(record, ())
        return others > 0 or any(one.time.timestamp() > (now.made or 0.0) for one in entries)
    if now.name != QUEUE or said is None or said.verdict == RETURN:
        return others > 0 and others >= (needed(table, record) if now.name == QUEUE else 1)
    votes = len(said.votes) + others
    return said.adjudicated is not None or (votes > 0 and votes >= needed(table, record))


def is_open(table: Table, now: Work, record: str, name: str, others: int) -> bool:
    """Return whether a record of a list is to be given to somebody.

    Nobody labels a record twice, unless it was returned, and nobody checks their own labels.

    :param others: how many people have it before them at this moment.
    """
    if is_done(table, now, record, others):
        return False
    said = table.spoken.said.get(record)
    if now.name == DISPUTES:
        return True
    if now.name == CHECKS:
        return said is not None and name not in said.votes
    if now.name == SUSPECTS:
        return table.spoken.own(name, record) is None
    return said is None or name not in said.votes or said.verdict == RETURN


class Standing(NamedTuple):
    """How a record of a list stands for one person while nobody else has it before them."""

    entries: tuple[Annotation, ...]  # from which this follows
    done: bool
    open: bool
    mine: bool  # the person said something about it in the role of the list


def standing(table: Table, now: Work, record: str, name: str) -> Standing:
    """Return how a record stands; what was said about the others does not change it."""
    knobs = table.params.label.annotation
    held = standings(now.name, now.made, name, (knobs.per_record, knobs.overlap, knobs.seed))
    entries = table.spoken.entries.get(record, ())
    known = held.get(record)
    if known is None or known.entries is not entries:
        role = ROLE_OF[now.name]
        held[record] = known = Standing(
            entries,
            is_done(table, now, record),
            is_open(table, now, record, name, 0),
            any(one.annotator == name and one.role == role for one in entries),
        )
    return known


@functools.lru_cache(maxsize=16)
def standings(
    which: str, made: float | None, name: str, knobs: tuple[int, float, int]
) -> dict[str, Standing]:
    """Return how the records of a list stand for one person, as far as that was asked for."""
    return {}


def is_older(table: Table, now: Work) -> bool:
    """Return whether the records were cleaned again after a list was made."""
    stamp = stamp_of(table.project.stage("clean") / artifacts.RECORDS)
    return now.made is not None and stamp is not None and stamp.modified / 1e9 > now.made


def make_queue(project: Project, language: str, seconds: float = SECONDS) -> str:
    """Make the queue anew in a process of its own, and return what that said.

    :param language: in which it speaks.

    :raises RoleError: if the user may not label.
    :raises BusyError: if somebody makes it at this moment.
    :raises DataError: with the last lines of the process, if it failed.
    """
    roles.require(roles.LABEL, " ".join(COMMAND))
    folder = queue_file(project).parent
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".queue.lock", busy()):
        try:
            done = child.run(project, COMMAND, language, seconds)
        except subprocess.TimeoutExpired:
            raise failed(_("no answer within {seconds} s", seconds=round(seconds))) from None
    if done.returncode:
        raise failed(child.complaint(done))
    return done.stdout.strip()


def busy() -> BusyError:
    """Return the error for a queue that is asked for while one is made."""
    return BusyError.at(
        " ".join(COMMAND),
        found=_("a list that is being made"),
        allowed=_("one at a time"),
        fix=_("Wait some seconds, then look again."),
    )


def failed(found: Text) -> DataError:
    """Return the error for a list that could not be made."""
    return DataError.at(
        " ".join(COMMAND),
        found=found,
        allowed=_("a list of records"),
        fix=_("Mend what it says, then try again."),
    )


def skipped(project: Project, which: str, name: str) -> list[str]:
    """Return the records of a list that somebody put aside."""
    return [one.record for one in desks.read(project, which, name).skipped]


def guideline_version(project: Project) -> str | None:
    """Return the sha256 of the guideline as it is now; None where there is none."""
    path = project.root / GUIDELINE
    return artifacts.sha256(path) if path.is_file() else None
