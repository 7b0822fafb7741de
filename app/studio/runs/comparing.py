"""Earlier runs side by side: only what differs, and which way each figure is better.

Runs of the studio have a folder of their own; what was run elsewhere is known by the commits that
changed ``dvc.lock`` or the metrics, and read from Git.
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from app.studio import dotted
from app.studio.project_files import Project
from app.studio.runs import figures, following, records, retention
from app.studio.runs.records import METRICS, Run
from pipeline.artifacts import PARAMS
from pipeline.errors import DataError
from pipeline.i18n import _

COMMIT = re.compile(r"[0-9a-f]{7,64}")
RUN = re.compile(r"\b\d{8}-\d{6}-[a-z0-9]{4}\b")
FIELDS = "%x1e%H%x1f%aI%x1f%an%x1f%s%x1f%b"
MOST = 500  # commits that are looked at
SECONDS = 20.0  # for one question to Git
CLOSE = 1e-12  # a difference that is none


@dataclass(frozen=True)
class Row:
    """One run of the studio, or one commit that changed ``dvc.lock``."""

    id: str  # of the run, or the commit's hash
    origin: str  # "run" or "git"
    began: str  # ISO 8601
    by: str
    title: str  # of the commit; the command of a run
    state: str
    metrics: Mapping[str, float]  # stage.figure → value
    smaller: tuple[str, ...] = ()  # figures of which the reports say that less is better
    commit: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Figure:
    """One metric of all compared runs."""

    name: str
    values: tuple[float | None, ...]
    smaller_is_better: bool | None  # None where neither is better
    best: tuple[int, ...]  # positions of the best
    deltas: tuple[float | None, ...]  # against the first


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    rows: tuple[Row, ...]
    params: Mapping[str, tuple[Any, ...]]  # path → a value each; only those that differ
    figures: tuple[Figure, ...]


def rows(project: Project, limit: int = 50, offset: int = 0) -> list[Row]:
    """Return runs and commits, the newest first; figures are read for these only."""
    runs = {one: records.moment_of(one) for one in records.ids(project)}
    commits = [one for one in log(project.root) if not own(one, runs)]
    order = [(began, "run", one) for one, began in runs.items()]
    order += [(utc(one[1]), "git", one[0]) for one in commits]
    order.sort(reverse=True)
    known = {one[0]: one for one in commits}
    found = []
    for _began, origin, one in order[offset : offset + limit]:
        if origin == "git":
            found.append(row_of_commit(project, known[one]))
        else:
            found += row_of_run(project, one)
    return found


def count(project: Project) -> int:
    """Return how many rows there are."""
    runs = dict.fromkeys(records.ids(project), "")
    return len(runs) + sum(not own(one, runs) for one in log(project.root))


def utc(text: str) -> str:
    """Return a moment in the form in which the ids of runs sort."""
    return f"{records.moment(text).astimezone(UTC):%Y%m%d-%H%M%S}"


def own(commit: tuple[str, ...], runs: Mapping[str, str]) -> bool:
    """Return whether a commit is the record of a run that has a row of its own."""
    return any(one in runs for one in RUN.findall(commit[3] + commit[4]))


def row_of_run(project: Project, id: str) -> list[Row]:
    """Return the row of a run; none for a damaged record."""
    try:
        run = records.read(project, id)
    except DataError:
        return []
    return [of_run(run)]


def of_run(run: Run) -> Row:
    """Return the row of a run."""
    kept = records.read_json(run.folder / METRICS) or {}
    return Row(
        id=run.id, origin="run", began=run.began, by=run.by, title=run.shown_command,
        state=run.state, metrics=kept.get("figures", {}), smaller=tuple(kept.get("smaller", [])),
        commit=run.commit, seconds=run.seconds,
    )  # fmt: skip


def row_of_commit(project: Project, commit: tuple[str, ...]) -> Row:
    """Return the row of a commit."""
    name, began, by, title, _body = commit
    return Row(
        id=name, origin="git", began=began, by=by, title=title, state="done",
        metrics=figures_at(project.root, name), commit=name,
    )  # fmt: skip


def log(root: Path) -> list[tuple[str, ...]]:
    """Return the commits that changed what DVC recorded: hash, time, author, subject, body."""
    paths = ["dvc.lock", *figures.FILES.values()]
    told = git(root, "log", f"-n{MOST}", f"--format={FIELDS}", "--", *paths) or ""
    entries = (one.strip("\n").split("\x1f") for one in told.split("\x1e") if one.strip())
    return [tuple(one) for one in entries if len(one) == 5]


def git(root: Path, *words: str) -> str | None:
    """Return what Git answers, or None where it has no answer."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def reader(root: Path, commit: str) -> Callable[[str], str | None]:
    """Return what reads a file as a commit has it; the project may lie below the repository."""
    return lambda path: git(root, "show", f"{commit}:./{path}")


@functools.lru_cache(maxsize=1024)
def figures_at(root: Path, commit: str) -> Mapping[str, float]:
    """Return the figures that a commit holds; they never change."""
    return figures.collect(reader(root, commit))


def find(project: Project, id: str) -> Row:
    """Return one row by its id.

    :raises DataError: if there is none.
    """
    if RUN.fullmatch(id):
        return of_run(following.of(project, id))
    commit = next((one for one in log(project.root) if one[0].startswith(id)), None)
    if commit is None or not COMMIT.fullmatch(id):
        raise DataError.at(
            project.name,
            found=id,
            allowed=_("the id of a run, or a commit that changed dvc.lock"),
            fix=_("Choose a run of the list."),
        )
    return row_of_commit(project, commit)


def compare(project: Project, ids: Sequence[str]) -> Comparison:
    """Put runs side by side, the first one being what the others are compared with.

    :raises DataError: if one of them is not there.
    """
    found = tuple(find(project, one) for one in ids)
    for row in found:
        if row.origin == "run":
            retention.use(project, row.id)
    used = [params_of(project, one) for one in found]
    names = dict.fromkeys(name for one in used for name in one)
    params = {name: tuple(one.get(name) for one in used) for name in names}
    differing = {name: some for name, some in params.items() if any(one != some[0] for one in some)}
    return Comparison(found, differing, tuple(table(found)))


def params_of(project: Project, row: Row) -> dict[str, Any]:
    """Return the parameters of a run by their dotted names; none where they cannot be read."""
    if row.origin == "run":
        return following.flat(project.runs / row.id / PARAMS)
    return dotted.flat(at_commit(project.root, row.id))


@functools.lru_cache(maxsize=64)
def at_commit(root: Path, commit: str) -> Any:
    """Return the values of ``params.yaml`` as a commit has it."""
    try:
        return YAML(typ="safe", pure=True).load(reader(root, commit)(str(PARAMS)) or "")
    except (YAMLError, ValueError):
        return None


def table(found: Sequence[Row]) -> Iterator[Figure]:
    """Yield each figure that at least one run has."""
    told = [one for row in found for one in row.smaller]
    for name in dict.fromkeys(name for row in found for name in row.metrics):
        values = tuple(row.metrics.get(name) for row in found)
        smaller = figures.smaller_is_better(name, told)
        first = values[0]
        deltas = tuple(
            None if value is None or first is None else value - first for value in values
        )
        yield Figure(name, values, smaller, best_of(values, smaller), deltas)


def best_of(values: Sequence[float | None], smaller: bool | None) -> tuple[int, ...]:
    """Return the positions of the best values; none where all are alike."""
    known = [value for value in values if value is not None]
    if smaller is None or len(known) < 2 or max(known) - min(known) < CLOSE:
        return ()
    best = min(known) if smaller else max(known)
    return tuple(place for place, value in enumerate(values) if value == best)
