"""What people have said so far, at this moment: ``data/annotations``, of which only news is read.

Each annotation is a line at the end of a file, so a page that was just drawn reads what came since
and nothing else, also where a hundred thousand lines lie. What is handed out never changes: a page
that still reads one ``Spoken`` is not disturbed by the next.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.studio.project_files import Project
from pipeline import artifacts
from pipeline.errors import Problem
from pipeline.i18n import _
from pipeline.params import Params
from pipeline.steps import consensus
from pipeline.steps.agreement import Agreement, measure
from pipeline.steps.annotations import ANNOTATOR, Annotation, Said, by_record, misfit, parse
from pipeline.steps.scheme import Scheme

MOST_PROBLEMS = 100
TAIL = 256  # bytes


@dataclass(frozen=True)
class Spoken:
    """All that was said, by record and by person; it never changes."""

    scheme: Scheme
    said: Mapping[str, Said] = field(default_factory=dict)
    entries: Mapping[str, tuple[Annotation, ...]] = field(default_factory=dict)  # record → in order
    people: Mapping[str, tuple[Annotation, ...]] = field(default_factory=dict)  # name → in order
    problems: tuple[Problem, ...] = ()  # lines that are no annotation, or do not fit the task
    number: int = 0  # of the state; another one means that something was said
    measured: dict[object, Any] = field(default_factory=dict)  # what is costly to work out

    def labels(self, record: str) -> dict[str, str]:
        """Return each annotator's label of a record, as text."""
        found = self.said.get(record)
        return {} if found is None else dict(found.texts(self.scheme))

    def own(self, name: str, record: str) -> Annotation | None:
        """Return the last label that somebody gave to a record as an annotator."""
        mine = [one for one in self.entries.get(record, ()) if one.annotator == name]
        return next((one for one in reversed(mine) if one.role == ANNOTATOR), None)

    def notes(self, record: str) -> list[Annotation]:
        """Return the annotations of a record that have a note, oldest first."""
        return [one for one in self.entries.get(record, ()) if one.note]

    def agreement(self, params: Params) -> Agreement:
        """Return how far annotators agree at this moment."""
        knobs = params.label.agreement.model_dump(exclude={"min_alpha", "min_records"})
        key = ("agreement", *knobs.values())
        if key not in self.measured:
            votes = [dict(one.texts(self.scheme)) for one in self.said.values() if one.votes]
            self.measured[key] = measure(votes, self.scheme, **knobs)
        found: Agreement = self.measured[key]
        return found

    def disputes(self) -> Sequence[tuple[str, consensus.Dispute]]:
        """Return the records whose annotators disagree, those that differ most first."""
        if "disputes" not in self.measured:
            ids = list(self.said)
            found = consensus.disputes(ids, [self.said[one] for one in ids], {}, self.scheme)
            self.measured["disputes"] = [(ids[one.at], one) for one in found]
        made: Sequence[tuple[str, consensus.Dispute]] = self.measured["disputes"]
        return made

    def checks(self, params: Params) -> Mapping[str, str]:
        """Return the records for a second look, each with its state (``consensus.OPEN`` …)."""
        knobs = params.label.annotation
        key = ("checks", knobs.checked, knobs.seed)
        if key not in self.measured:
            ids = list(self.said)
            all_said = [self.said[one] for one in ids]
            found = consensus.checks(ids, all_said, checked=knobs.checked, seed=knobs.seed)
            self.measured[key] = {ids[at]: state for at, state in found.items()}
        made: Mapping[str, str] = self.measured[key]
        return made


@dataclass
class Read:
    """How far a file was read."""

    inode: int
    end: int = 0  # byte behind the last whole line
    lines: int = 0
    tail: bytes = (
        b""  # the last bytes that were read: other ones mean that somebody edited the file
    )


class Reader:
    """Reads the annotations of one project, each line once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Path, Read] = {}
        self.now: Spoken | None = None
        self.lock = threading.Lock()

    def read(self, scheme: Scheme) -> Spoken:
        """Return what stands there now."""
        with self.lock:
            now = self.now
            if now is None or now.scheme != scheme or not self.continues():
                now = Spoken(scheme, number=0 if now is None else now.number + 1)
                self.files = {}
            news, problems = list[Annotation](), list[Problem]()
            for path in sorted(self.folder.glob("*.jsonl")):
                for where, line in self.lines(path):
                    found = annotation(line, where)
                    if isinstance(found, Annotation):
                        found = misfit(found, scheme) or found
                    if isinstance(found, Annotation):
                        news.append(found)
                    elif found is not None:
                        problems.append(found)
            self.now = extended(now, news, problems) if news or problems else now
            return self.now

    def continues(self) -> bool:
        """Return whether every file still begins with what was read of it."""
        for path, read in self.files.items():
            try:
                state = path.stat()
                if state.st_ino != read.inode or state.st_size < read.end:
                    return False
                if state.st_size > read.end and tail(path, read) != read.tail:
                    return False
            except OSError:
                return False
        return True

    def lines(self, path: Path) -> Iterator[tuple[str, bytes]]:
        """Yield the whole lines that came since, each with its place.

        One that is being written comes next time.
        """
        state = path.stat()
        read = self.files.setdefault(path, Read(state.st_ino))
        if state.st_size <= read.end:
            return
        with path.open("rb") as source:
            source.seek(read.end)
            content = source.read()
        whole = content[: content.rfind(b"\n") + 1]
        read.end += len(whole)
        read.tail = whole[-TAIL:] or read.tail
        for line in whole.split(b"\n")[:-1]:
            read.lines += 1
            yield f"{artifacts.ANNOTATIONS / path.name}:{read.lines}", line


def tail(path: Path, read: Read) -> bytes:
    """Return the bytes of a file where the last ones stood that were read."""
    with path.open("rb") as source:
        source.seek(read.end - len(read.tail))
        return source.read(len(read.tail))


def annotation(line: bytes, where: str) -> Annotation | Problem | None:
    """Return the annotation of a line, what is wrong with it, or None for an empty line."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = _("byte {position} is not UTF-8", position=error.start)
        return Problem(where, found, _("text in UTF-8"), _("Save the file as UTF-8."))
    return parse(text, where) if text.strip() else None


def extended(now: Spoken, news: Sequence[Annotation], problems: Sequence[Problem]) -> Spoken:
    """Return what was said together with what came since."""
    records, people = grouped(now.entries, news, "record"), grouped(now.people, news, "annotator")
    said = dict(now.said)
    for record in {one.record for one in news}:
        said[record] = stands(records[record])
    wrong = (*now.problems, *problems)[:MOST_PROBLEMS]
    return Spoken(now.scheme, said, records, people, wrong, now.number + 1)


def grouped(
    there: Mapping[str, tuple[Annotation, ...]], news: Sequence[Annotation], name: str
) -> dict[str, tuple[Annotation, ...]]:
    """Return annotations by one of their fields, the new ones behind those there."""
    added: dict[str, list[Annotation]] = {}
    for one in news:
        added.setdefault(getattr(one, name), []).append(one)
    return dict(there) | {key: (*there.get(key, ()), *some) for key, some in added.items()}


def stands(spoken: Sequence[Annotation]) -> Said:
    """Return what stands about one record, by the rules of the label stage."""
    (found,) = by_record(spoken).values()
    return found


readers: dict[Path, Reader] = {}  # one a project, for all pages of this process
guard = threading.Lock()


def spoken(project: Project, scheme: Scheme) -> Spoken:
    """Return what people have said up to this moment."""
    folder = project.annotations.resolve()
    with guard:
        reader = readers.setdefault(folder, Reader(folder))
    return reader.read(scheme)
