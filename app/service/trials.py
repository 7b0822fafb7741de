"""Counts how often the service ended while a canary was tried, without having been asked to.

What a canary answers does not tell that it brings the process down: a fault in compiled code, or
all of the memory. So a trial is marked on the disk while it runs. Whoever starts and finds the mark
of the same trial knows that the service died in it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import artifacts

MARK = ".trial.json"
MOST = 2  # deaths in a row that end a trial; one may be a power cut, or somebody in a hurry
QUIET = 300.0  # seconds that a trial must run for its deaths to be forgotten


class Mark(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: str  # when the trial began
    deaths: int  # in a row


def begin(root: Path, since: str) -> int:
    """Mark that a trial runs, and return how often in a row the service died in it.

    :param since: when the trial began; what is known of another one is forgotten.
    """
    path = root / MARK
    try:
        before = Mark.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        before = Mark(since="", deaths=0)
    deaths = before.deaths + 1 if before.since == since else 0
    write(root, since, deaths)
    return deaths


def write(root: Path, since: str, deaths: int) -> None:
    """Replace the mark."""
    artifacts.write_json(root / MARK, Mark(since=since, deaths=deaths).model_dump())


def end(root: Path) -> None:
    """Remove the mark: the trial is over, or the service ends as it should."""
    (root / MARK).unlink(missing_ok=True)
