"""Files of the project, by path or pattern."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeline.artifacts import RAW, sha256
from pipeline.errors import SourceError
from pipeline.i18n import _
from pipeline.sources import reading
from pipeline.sources.delivery import Count, Delivery, Row


class Wanted(Protocol):
    """A source of kind ``file``."""

    @property
    def path(self) -> str: ...
    @property
    def reader(self) -> reading.Reader: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of every file that fits the pattern, in the order of their names.

    :raises SourceError: if there is none, or one lies outside ``data/raw``.
    """
    literal = Path(source.path)
    try:
        files = (
            [literal]
            if literal.is_file()
            else sorted(path for path in Path().glob(source.path) if path.is_file())
        )
    except ValueError:  # ** within a name is no pattern
        files = []
    if not files:
        raise SourceError.at(
            source.path,
            found=_("no file"),
            allowed=_("at least one"),
            fix=_("Put the file there, or correct the path in params.yaml."),
        )
    outside = [path for path in files if not path.resolve().is_relative_to(RAW.resolve())]
    if outside:
        raise SourceError.at(
            outside[0],
            found=_("a link that leaves data/raw"),
            allowed=_("files below data/raw"),
            fix=_("Copy the file there."),
        )
    return deliver({str(path): path for path in files}, source.reader)


def deliver(files: dict[str, Path], reader: reading.Reader) -> Delivery:
    """Return the rows of several files, one after the other.

    :param files: name → place; the name is what records and messages say.
    """
    count = Count()

    def rows() -> Iterator[Row]:
        for name, path in files.items():
            yield from reading.read(path, name, reader, count)

    return Delivery(
        rows=rows(),
        count=count,
        bytes=sum(path.stat().st_size for path in files.values()),
        sha256=joint_hash(list(files.values())),
        files=list(files.values()),
    )


def joint_hash(files: list[Path]) -> str:
    """Return the sha256 of one file, or of the hashes of several."""
    hashes = [sha256(path) for path in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
