"""An uploaded file: kept under a name of our own, its columns, what is odd in its rows.

It is parsed in a child process only (``peeking``), with limits. What the file was called decides
how it is read, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.studio import roles
from app.studio.forms import peeking
from app.studio.project_files import Project
from pipeline.artifacts import write_bytes
from pipeline.errors import DataError, SourceError, unpacked
from pipeline.i18n import Message, _
from pipeline.sources import child, confined

ENDINGS = ("csv", "tsv", "xlsx", "jsonl", "parquet")
LARGEST = 50_000_000  # bytes, as the page's own limit
LIMITS = {"memory": 4_096, "seconds": 60, "size": 2_000}  # MB, seconds, MB
KEPT = 8  # uploads that are not used yet
FEWEST = 20  # records of a label: two in each tenth
TASKS = ("single_label", "multi_label", "regression")
TEXT_NAMES = ("text", "content", "sentence", "review", "question", "comment",
              "文本", "内容", "评论")  # fmt: skip
LABEL_NAMES = ("label", "class", "category", "tag", "target", "sentiment", "rating", "score",
               "stars", "评分", "标签", "类别", "分类", "情感")  # fmt: skip
GROUP_NAMES = ("group", "user", "author", "customer", "document", "用户", "作者", "分组")
MANY_LABELS = 200
JOINTS = ("|", ";", ",", "，", "；")


@dataclass(frozen=True)
class Column:
    """One column of an uploaded table."""

    name: str
    filled: int
    letters: float  # on average
    numbers: int  # cells that are numbers
    times: int  # cells that are times
    different: int
    many: bool  # more different values than were counted
    values: Sequence[tuple[str, int]]  # the most frequent


@dataclass(frozen=True)
class Table:
    """What is known of an upload before anybody said what its columns are."""

    rows: int
    more: bool  # there are more rows than were looked at
    columns: Sequence[Column]
    first: Sequence[Mapping[str, Any]]  # row number and cells


@dataclass(frozen=True)
class Mapped:
    """Which column is what."""

    text: str
    label: str | None
    group: str | None = None
    created_at: str | None = None
    meta: tuple[str, ...] = ()
    task: str = "single_label"
    separator: str = ""  # between several labels of a cell; empty: there are none


@dataclass(frozen=True)
class Odd:
    """Something in the rows that a person should know before a run."""

    what: Message
    rows: Sequence[int]
    count: int
    stops: bool  # a run would stop here


@dataclass(frozen=True)
class Checked:
    """What the records would be."""

    rows: int
    records: int
    labels: Sequence[tuple[str, int]]
    odd: Sequence[Odd]
    chinese: bool

    @property
    def stops(self) -> bool:
        """Whether a run would stop."""
        return any(one.stops for one in self.odd)


def keep(project: Project, name: str, content: bytes) -> Path:
    """Keep an upload under a name of our own until it is used, and return where.

    Needs the role for ``roles.UPLOAD``.

    :raises SourceError: for an ending that is not read, or a file that is too large or empty.
    """
    roles.require(roles.UPLOAD, shown_name(name))
    ending = Path(name).suffix.lower().lstrip(".")
    if ending not in ENDINGS:
        raise refused(name, ending or "–", ", ".join(ENDINGS))
    if not 0 < len(content) <= LARGEST:
        size = _("{count} bytes", count=len(content))
        raise refused(name, size, _("up to {limit} MB", limit=LARGEST // 1_000_000))
    folder = project.studio / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    older = sorted(folder.glob("*.*"), key=lambda one: one.stat().st_mtime)
    for one in older[: -KEPT + 1]:
        one.unlink(missing_ok=True)
    path = folder / f"{secrets.token_hex(8)}.{ending}"
    write_bytes(path, content)
    return path


def refused(name: str, found: Message | str, allowed: Message | str) -> SourceError:
    """Return the error for a file that is not taken."""
    return SourceError.at(
        shown_name(name),
        found=found,
        allowed=allowed,
        fix=_("Save the table as csv or xlsx, or in parts, and upload that."),
    )


def shown_name(name: str) -> str:
    """Return a file's name as messages may hold it."""
    line = "".join(letter if letter.isprintable() else "?" for letter in name)
    return line if len(line) <= 80 else f"{line[:79]}…"


def look(path: Path, name: str) -> Table:
    """Return the columns of an upload and its first rows.

    :raises SourceError: for what cannot be read, with the row.
    """
    answer = asked({"task": "columns", "path": str(path), "name": shown_name(name)})
    columns = [Column(**one) for one in answer.pop("columns")]
    return Table(columns=columns, **answer)


def inspect(path: Path, name: str, mapped: Mapped, lengths: tuple[int, int]) -> Checked:
    """Return what the records would be, and what is odd about them.

    :param lengths: characters of a text at least and at most, as clean keeps them.
    :raises SourceError: for what cannot be read, with the row.
    """
    job = {"task": "records", "path": str(path), "name": shown_name(name)}
    answer = asked(job | {"mapping": vars(mapped), "low": lengths[0], "high": lengths[1]})
    labels = [(label, count) for label, count in answer["labels"]]
    odd = [
        Odd(told(kind, lengths), one["rows"], one["count"], kind in ("number", "time"))
        for kind, one in answer["odd"].items()
    ]
    odd += list(about_labels(labels, mapped))
    if not answer["records"]:
        odd.append(Odd(_("No row has a text."), [], 0, True))
    return Checked(answer["rows"], answer["records"], labels, odd, answer["chinese"])


def told(kind: str, lengths: tuple[int, int]) -> Message:
    """Return what is odd about some rows, in words."""
    low, high = lengths
    return {
        "empty": _("No text: these rows are left out."),
        "unlabelled": _("No label: nothing can be learnt from them before somebody labels them."),
        "number": _("The label is no number."),
        "time": _("The time is not written as ISO 8601, such as 2026-11-22T08:00:00."),
        "length": _("Shorter than {low} or longer than {high} characters: clean drops them.",
                    low=low, high=high),
        "repeated": _("The same text with the same label again: clean keeps the first."),
        "contradicted": _("The same text with another label: clean drops all of them."),
    }[kind]  # fmt: skip


def about_labels(labels: Sequence[tuple[str, int]], mapped: Mapped) -> list[Odd]:
    """Return what is odd about the labels as a whole."""
    if mapped.label is None or mapped.task == "regression":
        return []
    found: list[Odd] = []
    if len(labels) < 2:
        found.append(Odd(_("Fewer than two labels."), [], len(labels), True))
    if len(labels) > MANY_LABELS:
        text = _("{count} different labels: is this the right column, or the right task?",
                 count=len(labels))  # fmt: skip
        found.append(Odd(text, [], len(labels), len(labels) > 1_000))
    wrong = [label for label, _count in labels if len(label) > 200 or not label.isprintable()]
    if wrong:
        found.append(Odd(_("Labels that are too long or hold line breaks."), [], len(wrong), True))
    rare = [label for label, count in labels if count < FEWEST]
    if rare and len(labels) <= MANY_LABELS:
        text = _("Labels with fewer than {fewest} records: {labels}. Collect more of them, or "
                 "join them with others.", fewest=FEWEST, labels=", ".join(rare[:5]))  # fmt: skip
        found.append(Odd(text, [], len(rare), min(count for _label, count in labels) < 3))
    return found


def asked(job: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a child process to a job.

    :raises SourceError: with the reason, also when the process crashed or used too much.
    """
    with TemporaryDirectory(prefix="mofang-") as place:
        folder = Path(place)
        (folder / "temporary").mkdir()
        whole = job | {"limits": LIMITS, "parent": os.getpid()}
        (folder / child.JOB).write_text(json.dumps(whole), encoding="utf-8")
        status = followed(folder, job["name"])
        if status != 0:
            raise confined.ended(job["name"], status, LIMITS)
        answer: dict[str, Any] = json.loads((folder / child.ANSWER).read_text(encoding="utf-8"))
    if "error" in answer:
        raise unpacked(answer)
    return answer


def followed(folder: Path, name: str) -> int:
    """Run the process to its end and return its exit status, negative for a signal."""
    deadline = time.monotonic() + LIMITS["seconds"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", peeking.__name__, str(folder)],
        env=confined.environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            raise confined.slow(name, LIMITS["seconds"]) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def guessed(table: Table) -> Mapped:
    """Return which column is probably what; a person has the last word.

    :raises DataError: for a table without a column of text.
    """
    if not table.columns:
        raise DataError.at(
            _("the uploaded table"),
            found=_("no column"),
            allowed=_("a column with the texts"),
            fix=_("Give the table a first row that names its columns."),
        )
    texts = sorted(table.columns, key=lambda one: (named(one, TEXT_NAMES), one.letters))
    text = texts[-1]
    others = [one for one in table.columns if one is not text and one.filled]
    labels = [one for one in others if named(one, LABEL_NAMES) or is_label(one, table.rows)]
    label = max(labels, key=lambda one: named(one, LABEL_NAMES), default=None)
    times = [one for one in others if one.filled and one.times == one.filled]
    groups = [one for one in others if named(one, GROUP_NAMES) and one is not label]
    task, separator = task_of(label)
    return Mapped(
        text.name,
        None if label is None else label.name,
        groups[0].name if groups else None,
        times[0].name if times else None,
        (),
        task,
        separator,
    )


def named(column: Column, names: Sequence[str]) -> bool:
    """Return whether a column has one of the usual names."""
    return any(name in column.name.casefold() for name in names)


def is_label(column: Column, rows: int) -> bool:
    """Return whether the values of a column come again and again."""
    return not column.many and 2 <= column.different <= max(2, min(MANY_LABELS, rows // 3))


def task_of(label: Column | None) -> tuple[str, str]:
    """Return the task that the labels suggest, and what separates several labels in a cell."""
    if label is None:
        return "single_label", ""
    if label.numbers == label.filled and (label.many or label.different > 10):
        return "regression", ""
    for joint in JOINTS:
        joined = sum(count for value, count in label.values if joint in value)
        parts = {part.strip() for value, _count in label.values for part in value.split(joint)}
        if joined > 0.05 * label.filled and len(parts) < label.different:
            return "multi_label", joint
    return "single_label", ""
