"""What every kind of source hands over: rows, and what is known about the bytes they came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


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
    """Lines seen so far. Read it after the rows were taken."""

    read: int = 0
    empty: int = 0
    unmatched: int = 0
    unmatched_rows: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Delivery:
    """Rows still to be read, and the bytes they are read from."""

    rows: Iterator[Row]
    count: Count
    bytes: int
    sha256: str
    files: list[Path]
