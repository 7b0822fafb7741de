"""What a run does at this moment, and what earlier ones did: read from disk, by anybody, anytime.

Nothing here keeps anything in memory, so a page that was closed, a studio that was restarted and a
second person's browser all see the same. A run whose supervisor was killed is found by its
processes and gets a new one.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from app.studio import dotted
from app.studio.project_files import Project
from app.studio.runs import curves as curve_files
from app.studio.runs import logbook, processes, records, supervisor
from app.studio.runs.logbook import StageState
from app.studio.runs.records import STAGES, Run
from app.studio.stamps import Stamp, parsed, stamp_of
from pipeline.artifacts import PARAMS
from pipeline.errors import DataError

STARTING = 10.0  # seconds in which a new run may have no supervisor yet
NEWEST = 3  # runs among which the one that works is looked for; only the last one can be it
EARLIER = 20  # runs that are asked how long a stage takes
TRAIN = "train"


@dataclass(frozen=True)
class Progress:
    """How far the stage is that works now."""

    stage: str
    step: int
    total: int
    seconds_left: float | None  # of the stage
    values: dict[str, float] = field(default_factory=dict)  # loss, learning_rate, …
    epoch: float | None = None  # train only: 1.5 is the middle of the second one
    epochs: int | None = None
    piece: str = ""  # what of the stage it counts: train, baselines, embed, …


def current(project: Project) -> Run | None:
    """Return the run that works now, or None. Costs a few milliseconds."""
    for run in newest(project, NEWEST):
        if run.works:
            heal(run)
            return run
    return None


def latest(project: Project) -> Run | None:
    """Return the newest run, whatever its state, or None where there was none yet."""
    run = next(newest(project, NEWEST), None)
    if run is not None and run.works:
        heal(run)
    return run


def of(project: Project, run: str) -> Run:
    """Return a run by its id.

    :raises DataError: if there is none.
    """
    return records.read(project, Path(run).name)


def history(project: Project, limit: int = 50, offset: int = 0) -> list[Run]:
    """Return runs, the newest first."""
    return list(newest(project, limit, offset))


def newest(project: Project, limit: int, offset: int = 0) -> Iterator[Run]:
    """Yield runs, the newest first; a record that is damaged is left out."""
    for one in records.ids(project)[offset : offset + limit]:
        try:
            yield records.read(project, one)
        except DataError:
            continue


def heal(run: Run) -> None:
    """Give a run that works another supervisor where it lost its own."""
    if processes.alive(run.supervisor):
        return
    if run.supervisor is None and run.seconds < STARTING:
        return
    with records.held(run.folder / supervisor.OWN_LOCK) as handle:
        if handle is None:
            return
    launch(run, supervisor.ADOPT)


def launch(run: Run, how: str, *handles: int) -> None:
    """Start a run's supervisor, which goes into the background at once."""
    subprocess.run(
        supervisor.command(run, how),
        cwd=run.project.root, env=supervisor.variables(), pass_fds=handles,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, check=False,
    )  # fmt: skip


def tail(run: Run, lines: int = 40) -> list[str]:
    """Return the last lines of the log."""
    return logbook.tail(run.log, lines)


def stages(run: Run) -> dict[str, StageState]:
    """Return the state of every stage of ``dvc.yaml``, in its order.

    ``skipped``: nothing changed; ``cached``: its outputs came from DVC's cache.
    """
    told = logbook.told(run.log)
    ends: dict[StageState, StageState] = {}
    if run.state == "done":
        ends = {"running": "done"}
    elif run.state == "stopped":
        ends = {"running": "stopped", "failed": "stopped"}
    elif run.state == "failed":
        ends = {"running": "failed"}
    names = logbook.stage_names(run.project.graph)
    found: dict[str, StageState] = dict.fromkeys(names, "waiting")
    return found | {name: ends.get(state, state) for name, state in told.items()}


def stages_of(project: Project) -> list[str]:
    """Return the stages of a project in their order."""
    return logbook.stage_names(project.graph)


def began(run: Run) -> Mapping[str, float]:
    """Return when each stage of a run began, in seconds since 1970."""
    return logbook.began(run.folder / STAGES)


def progress(run: Run) -> Progress | None:
    """Return how far the running stage is; None when it tells nothing, or the run is over."""
    if not run.works:
        return None
    running = [name for name, state in logbook.told(run.log).items() if state == "running"]
    stage = running[-1] if running else called(run)
    since = began(run).get(stage, 0.0)
    for line in reversed(logbook.tail(run.progress_lines, 3)):
        found = parsed(line)
        if found and float(found.get("time", 0.0)) >= since:
            return told(run, stage, found)
    return None


def is_pipeline(run: Run) -> bool:
    """Return whether a run is one of the pipeline, and not of another command."""
    return run.command[:2] == ("dvc", "repro")


def targets(run: Run) -> tuple[str, ...]:
    """Return the stages that a run was started for; none means all."""
    return run.command[2:] if is_pipeline(run) else ()


def called(run: Run) -> str:
    """Return what a run is called that has no stages: the last word of its module."""
    return "" if is_pipeline(run) else run.command[2].rpartition(".")[2]


def told(run: Run, stage: str, line: Mapping[str, Any]) -> Progress | None:
    """Return what a progress line says."""
    step, total = line.get("step"), line.get("total")
    if not isinstance(step, int) or not isinstance(total, int) or total <= 0:
        return None
    values = {
        name: float(value)
        for name, value in line.items()
        if isinstance(value, int | float) and name not in ("time", "step", "total", "seconds_left")
    }
    left, piece = line.get("seconds_left"), str(line.get("stage", ""))
    found = Progress(stage, step, total, float(left) if left is not None else None, values)
    epochs = value(run.snapshot, "train.epochs") if piece == TRAIN == stage else None
    epoch = step / total * epochs if epochs else None
    return Progress(stage, step, total, found.seconds_left, values, epoch, epochs, piece)


def seconds_left(run: Run) -> float | None:
    """Return the expected seconds to the end of the run, from earlier runs of the same stages.

    None where a stage that is still to come was never timed, or a search that has no stages.
    """
    if not run.works:
        return None
    states, known = stages(run), durations(run.project, run.id)
    names = list(states)
    last = max((names.index(one) for one in targets(run) if one in names), default=len(names))
    waiting = [name for name in names[: last + 1] if states[name] == "waiting"]
    working = [name for name, state in states.items() if state == "running"]
    if not is_pipeline(run) or any(name not in known for name in waiting):
        return None
    left = sum(known[name] for name in waiting)
    for name in working:
        left += left_of(run, name, known)
    return left


def left_of(run: Run, stage: str, known: Mapping[str, float]) -> float:
    """Return the expected seconds of a stage that works."""
    now = progress(run)
    if now is not None and now.stage == stage == now.piece and now.seconds_left is not None:
        return now.seconds_left
    passed = records.seconds_since(began(run).get(stage))
    return max(0.0, known.get(stage, 0.0) - passed)


def durations(project: Project, before: str) -> dict[str, float]:
    """Return how long each stage took the last time that it ran to its end."""
    found: dict[str, float] = {}
    for one in records.ids(project)[:EARLIER]:
        if one < before:
            log = stamp_of(project.runs / one / records.LOG)
            found = (dict(took(log)) if log is not None else {}) | found
    return found


@functools.lru_cache(maxsize=256)
def took(log: Stamp) -> Mapping[str, float]:
    """Return how long each stage of a run took, by its log as it is now."""
    return logbook.seconds(Path(log.path))


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Return what training reported, live or afterwards: name → (step, value).

    Names are ``train/loss``, ``train/learning_rate``, ``validation/loss``, ``validation/macro_f1``…
    """
    return curve_files.of(run)


def waiting_edits(run: Run) -> list[str]:
    """Return the parameters that were changed since a run began, which wait for the next one."""
    try:
        if run.project.params.read_bytes() == run.snapshot.read_bytes():
            return []
    except OSError:
        return []
    used, now = flat(run.snapshot), flat(run.project.root / PARAMS)
    return sorted(name for name in used.keys() | now.keys() if used.get(name) != now.get(name))


def value(path: Path, where: str) -> Any:
    """Return a value of a parameters file, or None."""
    return dotted.value_at(values(path), where)


def values(path: Path) -> Any:
    """Return the values of a YAML file, kept until it changes; None where it is damaged.

    They are the same ones for all who ask: nobody changes them.
    """
    stamp = stamp_of(path)
    try:
        return None if stamp is None else loaded(stamp)
    except OSError:
        return None


@functools.lru_cache(maxsize=64)
def loaded(stamp: Stamp) -> Any:
    """Return the values of a YAML file."""
    try:
        return YAML(typ="safe", pure=True).load(Path(stamp.path).read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, ValueError):
        return None


def flat(path: Path) -> dict[str, Any]:
    """Return every value of a parameters file by its dotted name; lists count as one value."""
    return dotted.flat(values(path))
