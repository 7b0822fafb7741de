"""What every kind of source hands over: rows, and what is known about the bytes they came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import SourceError, Text
from pipeline.i18n import _

MEGABYTE = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it came, before it has an id."""

    text: str
    label: str | None
    group: str | None
    created_at: datetime | None
    meta: dict[str, Any]


@dataclass
class Count:
    """Lines seen so far, and bytes decoded to see them. Read it after the rows were taken."""

    read: int = 0
    empty: int = 0
    unmatched: int = 0
    unmatched_rows: list[str] = field(default_factory=list)
    skipped: int = 0
    decoded: int = 0
    unpacked: int = 0
    allowed: int | None = None

    def took(self, size: int, where: str) -> None:
        """Count ``size`` bytes of text or of cells; no header's claim of a size is trusted.

        :raises SourceError: when they are more than the source may grow to.
        """
        self.decoded += size
        if self.allowed is not None and self.decoded > self.allowed:
            raise too_large(where, self.allowed)

    def unpack(self, size: int, where: str) -> None:
        """Count ``size`` bytes that came out of an archive, before they are read as text.

        :raises SourceError: when they are more than the source may grow to.
        """
        self.unpacked += size
        if self.allowed is not None and self.unpacked > self.allowed:
            raise too_large(where, self.allowed)


def too_large(where: str, allowed: int) -> SourceError:
    """Return the error for a source that grows beyond ``allowed`` bytes."""
    return problem(
        where,
        _("more than {limit} MB when unpacked", limit=allowed // MEGABYTE),
        _("up to {limit} MB a source", limit=allowed // MEGABYTE),
        _("Raise collect.limits.size if you trust the file; it may be a bomb."),
    )


def problem(where: str, found: Text, allowed: Text, fix: Text) -> SourceError:
    """Return the error for a file or a row that cannot be read."""
    return SourceError.at(where, found=found, allowed=allowed, fix=fix)


def shown(name: str) -> str:
    """Return a foreign name as messages and records may hold it: printable, not endless."""
    short = name if len(name) <= 300 else name[:299] + "…"
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in short
    )


@dataclass
class Delivery:
    """Rows still to be read, and the bytes they are read from.

    ``bytes``, ``sha256`` and ``files`` may come to their final values while the rows are taken.
    """

    rows: Iterator[Row]
    count: Count
    bytes: int
    sha256: str
    files: list[Path]
