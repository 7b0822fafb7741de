"""The search for better knobs, as the studio sees it: a run, its trials so far, its proposal.

A search is a run like any other (``app.studio.runs``) with another command, so that one works at a
time, everybody sees whose it is, and it is found again. It tells each trial in a line of the run's
log; the table and the proposal it writes at the end.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.studio.project_files import Project
from app.studio.runs.records import Run
from pipeline import artifacts
from pipeline.errors import ParamsError, Problem
from pipeline.i18n import _
from pipeline.params import shown

COMMAND = ("python", "-m", "pipeline.search")
FRESH = "--fresh"
FOLDER = "search"
TABLE, PROPOSAL = "trials.csv", "proposal.json"
FIXED = (
    "trial",
    "state",
    "epochs",
    "seconds",
    "reason",
)  # columns that are neither figure nor knob
LINES = 400  # of the log that are read for trials

Row = dict[str, Any]


@dataclass(frozen=True)
class Proposal:
    """What a search found to be best, beside what ``params.yaml`` holds."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def changes(self) -> Mapping[str, Mapping[str, Any]]:
        """Field → old and new value; empty where nothing was better."""
        found: Mapping[str, Mapping[str, Any]] = self.content["changes"]
        return found


def is_search(run: Run | None) -> bool:
    """Return whether a run is a search."""
    return run is not None and tuple(run.command[:3]) == COMMAND


def command(*, fresh: bool = False) -> tuple[str, ...]:
    """Return what starts a search.

    :param fresh: forget earlier trials of the same search first.
    """
    return (*COMMAND, FRESH) if fresh else COMMAND


def proposal(project: Project) -> Proposal | None:
    """Return what the newest search proposes, None where there was none."""
    folder = newest(project)
    if folder is None:
        return None
    return Proposal(folder, artifacts.read_json(folder / PROPOSAL))


def newest(project: Project) -> Path | None:
    """Return the folder of the search that ended last."""
    found = list((project.work / FOLDER).glob(f"*/{PROPOSAL}"))
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def trials(folder: Path) -> list[Row]:
    """Return the table of a search that ended, one row a trial."""
    path = folder / TABLE
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as source:
        return [typed(row) for row in csv.DictReader(source)]


def typed(row: Mapping[str, str]) -> Row:
    """Return a row whose numbers are numbers; an empty cell is None."""
    return {name: value_of(cell) for name, cell in row.items()}


def value_of(cell: str | None) -> Any:
    """Return a cell as a number where it is one, else as text, None where it is empty."""
    if not cell:
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def told(lines: Iterable[str]) -> list[Row]:
    """Return the trials that a search told in its log so far.

    A line is ``trial 3  done  macro_f1 0.9123  train.learning_rate 0.0002  61.3 s``, as
    ``pipeline.modeling.proposing.line_of`` writes it.
    """
    return [row for row in map(told_in, lines) if row is not None]


def told_in(line: str) -> Row | None:
    """Return the trial of a line, None where it tells none."""
    parts = line.strip().split("  ")
    if len(parts) < 3 or not parts[0].startswith("trial ") or not parts[-1].endswith(" s"):
        return None
    number, seconds = parts[0].removeprefix("trial "), parts[-1].removesuffix(" s")
    if not number.isdecimal():
        return None
    row: Row = {"trial": int(number), "state": parts[1], "seconds": value_of(seconds)}
    for part in parts[2:-1]:
        name, _space, value = part.partition(" ")
        if value and name.replace(".", "").replace("_", "").isalnum():
            row[name] = value_of(value.strip("'\""))  # as params.shown writes text
    return row


def best_so_far(rows: Sequence[Row], metric: str, *, greater: bool = True) -> list[Row]:
    """Return trial by trial the best figure until then; trials without one repeat it."""
    return list(climbing(rows, metric, greater=greater))


def climbing(rows: Sequence[Row], metric: str, *, greater: bool) -> Iterator[Row]:
    """Yield for each trial that ended its figure and the best until then."""
    best: float | None = None
    for row in rows:
        value = row.get(metric)
        if row.get("state") != "done" or not isinstance(value, int | float):
            continue
        better = best is None or (value > best if greater else value < best)
        best = float(value) if better else best
        yield {"trial": row["trial"], "value": float(value), "best": best}


def refuse_changed(found: Proposal, present: Mapping[str, Any]) -> None:
    """Refuse a proposal that was made for other values than those of now.

    :param present: field → value of ``params.yaml``.
    :raises ParamsError: naming each field that was changed since.
    """
    problems = [
        Problem(
            f"{artifacts.PARAMS}, {field}",
            shown(present.get(field)),
            _("{value}, as it was when the search ended", value=shown(one["old"])),
            _("Run python -m pipeline.search again, which compares with the new value."),
        )
        for field, one in found.changes.items()
        if present.get(field) != one["old"]
    ]
    if problems:
        raise ParamsError(*problems)


def is_applied(found: Proposal, present: Mapping[str, Any]) -> bool:
    """Return whether ``params.yaml`` holds the proposed values already."""
    return all(present.get(field) == one["new"] for field, one in found.changes.items())
