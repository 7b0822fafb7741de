"""Files of the project: one, a folder, a pattern, and what archives among them hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeline.artifacts import RAW, sha256
from pipeline.errors import SourceError
from pipeline.i18n import _
from pipeline.sources import archive, reading
from pipeline.sources.delivery import Count, Delivery, Row, problem, shown


class Wanted(Protocol):
    """A source of kind ``file``."""

    @property
    def path(self) -> str: ...
    @property
    def reader(self) -> reading.Reader: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of every file that is meant, in the order of their names.

    :raises SourceError: if there is none, or one lies outside ``data/raw``.
    """
    count = Count()
    literal = Path(source.path)
    if literal.is_file():
        files = [literal]
    elif literal.is_dir():
        files = in_folder(literal, source.reader.format, count)
    elif literal.exists():
        raise problem(
            shown(source.path),
            _("a pipe, a device or another special file"),
            _("a file, a folder or a pattern"),
            _("Correct the path in params.yaml."),
        )
    else:
        files = fitting(source.path)
    if not files:
        raise no_file(source.path)
    refuse_outside(files)
    return deliver({str(path): path for path in files}, source.reader, count)


def fitting(pattern: str) -> list[Path]:
    """Return the files that fit a pattern, sorted."""
    try:
        return sorted(path for path in Path().glob(pattern) if path.is_file())
    except ValueError:  # ** within a name is no pattern
        return []


def in_folder(folder: Path, form: str, count: Count) -> list[Path]:
    """Return the files below a folder that can be read, sorted; the rest is counted as skipped."""
    taken = []
    for path in sorted(folder.rglob("*")):
        known = reading.FORMATS.get(path.suffix.lower())
        fits = known is not None and form in ("auto", known)
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and (fits or archive.is_archive(path)):
            taken.append(path)
        elif not path.is_dir():
            count.skipped += 1
    return taken


def refuse_outside(files: list[Path]) -> None:
    """Refuse links that lead out of ``data/raw``, where DVC would not see a change."""
    outside = [path for path in files if not path.resolve().is_relative_to(RAW.resolve())]
    if outside:
        raise problem(
            shown(str(outside[0])),
            _("a link that leaves data/raw"),
            _("files below data/raw"),
            _("Copy the file there."),
        )


def no_file(path: str) -> SourceError:
    """Return the error for a path that leads nowhere."""
    return problem(
        shown(path),
        _("no file"),
        _("at least one"),
        _("Put the file there, or correct the path in params.yaml."),
    )


def deliver(files: dict[str, Path], reader: reading.Reader, count: Count | None = None) -> Delivery:
    """Return the rows of several files, one after the other; archives are looked into.

    :param files: name → place; the name is what records and messages say.
    """
    count = count or Count()
    return Delivery(
        rows=rows_of(files, reader, count),
        count=count,
        bytes=sum(path.stat().st_size for path in files.values()),
        sha256=joint_hash(list(files.values())),
        files=list(files.values()),
    )


def rows_of(files: dict[str, Path], reader: reading.Reader, count: Count) -> Iterator[Row]:
    """Yield the rows of each file, and of each chosen file inside an archive."""
    for name, path in files.items():
        if not archive.is_archive(path):
            yield from reading.read(path, shown(name), reader, count)
            continue
        for inside, place in archive.unpacked(path, shown(name), reader.members, count):
            yield from reading.read(place, inside, reader, count)


def joint_hash(files: list[Path]) -> str:
    """Return the sha256 of one file, or of the hashes of several."""
    hashes = [sha256(path) for path in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
