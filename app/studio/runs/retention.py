"""Old runs make room: the two hundred that were used last stay, with all that is kept of them.

A run is used when it works, is compared or is restored. What goes is its folder below
``work/runs``: the results are in DVC's cache, and the Git record still names the run.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

from app.studio.project_files import Project
from app.studio.runs import records
from pipeline.errors import DataError

KEEP = 200  # runs
USED = "used"  # a file in the folder of a run: its time says when somebody last used it
GOING = ".going-"  # what a folder is called that is being removed


def use(project: Project, id: str) -> None:
    """Note that somebody compares or restores a run now."""
    with contextlib.suppress(OSError):  # a page may be read where nothing can be written
        (project.runs / id / USED).touch()


def clear(project: Project, keep: int = KEEP) -> list[str]:
    """Remove the runs that nobody used for longest, beyond ``keep``; return their ids."""
    for rest in project.runs.glob(f"{GOING}*"):  # somebody was killed while removing it
        shutil.rmtree(rest, ignore_errors=True)
    moments = ((last_use(project.runs / one), one) for one in records.ids(project))
    found = [one for _moment, one in sorted((at, one) for at, one in moments if at is not None)]
    old = [one for one in found[: max(0, len(found) - keep)] if not works(project, one)]
    return [one for one in old if removed(project.runs / one)]


def last_use(folder: Path) -> float | None:
    """Return when a run began, was compared or restored last; None for no folder of ours."""
    began = records.moment_of(folder.name)
    try:
        moment = datetime.strptime(began, "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    try:
        return max(moment, (folder / USED).stat().st_mtime)
    except OSError:
        return moment


def works(project: Project, id: str) -> bool:
    """Return whether a run is not over yet."""
    try:
        return records.read(project, id).works
    except DataError:
        return False


def removed(folder: Path) -> bool:
    """Remove a folder so that no page ever sees half of it; return whether this was who did."""
    going = folder.with_name(f"{GOING}{folder.name}")
    try:
        folder.rename(going)
    except OSError:
        return False
    shutil.rmtree(going, ignore_errors=True)
    return True
