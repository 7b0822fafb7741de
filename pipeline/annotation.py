"""Work for annotators: ``python -m pipeline.annotation queue|assign|export|import|check``.

What people say is kept in ``data/annotations/<name>.jsonl``, which is only ever added to: under a
lock, whole lines at once, on the disk before anybody is told that it is saved.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.console import Commands, say
from pipeline.errors import BusyError, DataError, MofangError, Problem
from pipeline.i18n import _
from pipeline.locks import held
from pipeline.params import load
from pipeline.records import desk
from pipeline.records.trust import guideline
from pipeline.steps import exchange
from pipeline.steps.annotations import ANNOTATOR, ROLES, parsed, read
from pipeline.steps.scheme import Scheme

FOLDER = artifacts.WORK / "annotation"
TORN = ".torn"
SECONDS_TO_WAIT = 30  # for another writer; one needs milliseconds
FILE_NAME = re.compile(r"[^\W_][\w.@+-]{0,63}")
LABEL_STUDIO, CSV = "label-studio", "csv"


def file_of(annotator: str) -> Path:
    """Return the file of one person's annotations.

    :raises DataError: for a name that would not make a file's name on every system.
    """
    if not FILE_NAME.fullmatch(annotator):
        raise DataError.at(
            repr(annotator),
            found=_("a name that cannot be a file's"),
            allowed=_("up to 64 letters, digits and . @ + - _, a letter or digit first"),
            fix=_("Choose another name."),
        )
    return artifacts.ANNOTATIONS / f"{annotator}.jsonl"


def append(path: Path, entries: Sequence[Mapping[str, Any]]) -> int:
    """Add annotations to a file, each as one line, and return how many were not there yet.

    Safe beside other processes that do the same, and against a crash at any moment: the lines of
    one call are on the disk when it returns; earlier lines are never touched.

    :raises DataError: with every entry that is no annotation; then nothing is written.
    :raises BusyError: if somebody else holds the file for half a minute.
    :raises StorageError: if the disk is full; then the file is as it was.
    """
    found = [parsed(dict(one), f"{path}, +{at}") for at, one in enumerate(entries, 1)]
    problems = [one for one in found if isinstance(one, Problem)]
    if problems:
        raise DataError(*problems)
    with only_writer(path):
        return add(path, entries)


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the right to add to a file, and mend what a crash left of it.

    The lock lies in the work folder: in ``data/annotations`` DVC would take it for a change.
    """
    locks = FOLDER / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    busy = BusyError.at(
        path,
        found=_("somebody else writing for {seconds} seconds", seconds=SECONDS_TO_WAIT),
        allowed=_("one writer at a time"),
        fix=_("Wait until the other program is done, then try again."),
    )
    with held(locks / f"{path.name}.lock", busy, SECONDS_TO_WAIT):
        set_torn_aside(path)
        yield


def add(path: Path, entries: Sequence[Mapping[str, Any]]) -> int:
    """Add the lines that are not there yet; whoever calls holds ``only_writer``."""
    there = set(path.read_bytes().split(b"\n")) if path.exists() else set()
    lines = dict.fromkeys(json.dumps(one, ensure_ascii=False).encode() for one in entries)
    new = [line for line in lines if line not in there]
    if new:
        write(path, b"".join(line + b"\n" for line in new))
    return len(new)


def write(path: Path, content: bytes) -> None:
    """Put bytes at the end of a file and onto the disk, all of them or none."""
    with artifacts.disk_full_explained(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(handle, left) :]
                os.fsync(handle)
            except BaseException:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
        if not size:  # a new name; an old one is on the disk already
            artifacts.sync(path.parent)


def set_torn_aside(path: Path) -> None:
    """Move a last line that a crash cut off into ``<name>.torn`` beside the file.

    It is written there before it is taken away here: a crash in between doubles it, at worst.
    """
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    rest = content[whole:]
    if not rest.strip():
        return
    if is_object(rest):
        write(path, b"\n")  # somebody's editor left the end of the line out
        return
    write(path.with_suffix(TORN), rest + b"\n")
    with path.open("r+b") as target:
        target.truncate(whole)
        os.fsync(target.fileno())


def is_object(line: bytes) -> bool:
    """Return whether a line is a whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def queue(wanted: argparse.Namespace) -> None:
    """Write the records that are most worth labelling next."""
    params = load()
    rows = desk.queue(desk.Desk.load(params), params.label)
    write_lines(FOLDER / desk.QUEUE, rows)
    say(_("{count} records wait in {path}", count=len(rows), path=FOLDER / desk.QUEUE))


def assign(wanted: argparse.Namespace) -> None:
    """Divide the queue among annotators, one file each, without anybody's labels in it."""
    for name in wanted.annotators:
        file_of(name)
    params = load()
    now = desk.Desk.load(params)
    waiting = desk.read_queue(FOLDER / desk.QUEUE)
    given = desk.assign(now, waiting, wanted.annotators, params.label.annotation)
    for name, items in given.items():
        path = hand_out(f"for-{name}", items, wanted.format, now.scheme)
        say(_("{count} records for {name}: {path}", count=len(items), name=name, path=path))


def export(wanted: argparse.Namespace) -> None:
    """Write records for another tool, with the labels they have now."""
    now = desk.Desk.load(load())
    items = desk.items(now, wanted.of)
    path = hand_out(wanted.of, items, wanted.format, now.scheme, verdict=wanted.of == desk.CHECKS)
    say(_("{count} records in {path}", count=len(items), path=path))


def hand_out(
    name: str,
    items: Sequence[exchange.Item],
    form: str,
    scheme: Scheme,
    *,
    verdict: bool = False,
) -> Path:
    """Write records as Label Studio or a spreadsheet reads them; return the file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    version = guideline()
    if form == LABEL_STUDIO:
        path = FOLDER / f"{name}.json"
        artifacts.write_json(path, exchange.to_label_studio(items, version, scheme))
        artifacts.write_bytes(FOLDER / "interface.xml", exchange.interface(scheme).encode())
        return path
    path = FOLDER / f"{name}.csv"
    text = exchange.to_csv(items, version, scheme, verdict=verdict)
    artifacts.write_bytes(path, text.encode("utf-8-sig"))  # else Excel misreads Chinese
    return path


def take_in(wanted: argparse.Namespace) -> None:
    """Add the annotations of a file to those there; what stands there already is left out."""
    now = desk.Desk.load(load())
    task = exchange.Task(now.scheme, frozenset(now.ids))
    reader = exchange.from_label_studio if wanted.format == LABEL_STUDIO else exchange.from_csv
    arrived = reader(foreign(wanted.file), str(wanted.file), task, wanted.annotator, wanted.role)
    people: dict[str, list[exchange.Entry]] = {}
    for entry in arrived.entries:
        people.setdefault(entry["annotator"], []).append(entry)
    files = {name: file_of(name) for name in people}  # all names are allowed, or nothing is written
    for name, entries in people.items():
        new, known = import_into(files[name], entries, now.scheme)
        say(
            _(
                "{path}: {new} added, {known} were there already",
                path=files[name],
                new=new,
                known=known,
            )
        )
    for reason, count in sorted(arrived.passed_over.items()):
        say(_("passed over ({reason}): {count}", reason=desk.PASSED_OVER[reason], count=count))


def foreign(path: Path) -> str:
    """Return the text of a file that another tool wrote.

    :raises DataError: if there is none, or it is not UTF-8.
    """
    try:
        return artifacts.read_text(path)
    except OSError as error:
        raise DataError.at(
            path,
            found=error.strerror or str(error),
            allowed=_("a file that can be read"),
            fix=_("Give the path of the file that the other tool wrote."),
        ) from error


def import_into(path: Path, entries: Sequence[exchange.Entry], scheme: Scheme) -> tuple[int, int]:
    """Add what does not stand in a file yet; return how many lines are new and how many known."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    with only_writer(path):
        lines = artifacts.read_text(path).split("\n") if path.exists() else []
        there = read({str(path): lines}, scheme)
        new, known = exchange.not_there(entries, there, moment)
        return add(path, new), known


def check(wanted: argparse.Namespace) -> None:
    """Read all annotations and say what they come to; a damaged line ends it with an error."""
    params = load()
    for line in desk.overview(desk.Desk.load(params), params.label):
        say(line)
    for path in sorted(artifacts.ANNOTATIONS.glob(f"*{TORN}")):
        say(_("{path} holds lines that a crash cut off; look whether one is missed", path=path))


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    artifacts.write_bytes(path, text.encode())


def commands() -> Commands:
    """Return all subcommands."""
    all_of = Commands("pipeline.annotation", _("Work for annotators."))
    command = all_of.add

    def form(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--as",
            dest="format",
            choices=(LABEL_STUDIO, CSV),
            default=CSV,
            help=str(_("Label Studio's JSON, or CSV for spreadsheets")),
        )

    command("queue", queue, _("list the records that are most worth labelling next"))
    made = command("assign", assign, _("divide the queue among annotators, a file each"))
    made.add_argument("annotators", nargs="+", metavar="NAME", help=str(_("who labels")))
    form(made)
    made = command("export", export, _("write records with their labels for another tool"))
    made.add_argument(
        "--of",
        choices=(desk.ALL, desk.ADJUDICATION, desk.CHECKS),
        default=desk.ALL,
        help=str(_("all records, those to adjudicate, or those for a second look")),
    )
    form(made)
    made = command("import", take_in, _("add the annotations of a file to those there"))
    made.add_argument("file", type=Path, metavar="FILE", help=str(_("what the other tool wrote")))
    made.add_argument("--annotator", metavar="NAME", help=str(_("whose annotations these are")))
    made.add_argument(
        "--role",
        choices=ROLES,
        default=ANNOTATOR,
        help=str(_("in which role they were made")),
    )
    form(made)
    command("check", check, _("read all annotations and say what they come to"))
    return all_of


def main() -> None:
    """Do what the command line asks for."""
    commands().run()


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
