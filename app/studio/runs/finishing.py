"""Bring a run to its end: results home, figures kept, the state written, the Git record made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.studio.project_files import Project
from app.studio.runs import curves, figures, locks, logbook, records, workplace
from app.studio.runs.records import CURVES, EXIT, KEPT, METRICS, STOP, Run, State
from pipeline.artifacts import write_bytes, write_json
from pipeline.errors import MofangError, Text
from pipeline.i18n import Message, _

OVERTAKEN = _(
    "dvc.lock was changed while the run worked, so its results were not brought into the project."
)


def unsettled(project: Project) -> list[Run]:
    """Return the runs whose record says that they work, the newest first."""
    found = []
    for one in records.ids(project):
        try:
            run = records.read(project, one)
        except MofangError:
            continue
        if run.works:
            found.append(run)
    return found


def settle(run: Run) -> Run:
    """Write down how a run ended, none of whose processes lives any more.

    Done twice, it does no harm: a supervisor may be killed in the middle of it.
    """
    ending = records.read_json(run.folder / EXIT) or {}
    stopped = records.read_json(run.folder / STOP)
    code = ending.get("code")
    state: State = "done" if code == 0 else "stopped" if stopped else "failed"
    notes: list[Text] = []
    try:
        doubts = home(run)
        state = "failed" if doubts else state
        notes += doubts
        keep(run)
        locks.release(run)
    except MofangError as error:
        notes += told(error)
    run = records.update(
        run,
        state=state,
        code=code,
        ended=records.now(),
        stopped_by=stopped.get("by") if stopped and state == "stopped" else None,
        notes=tuple(notes),
    )
    return record(run)


def home(run: Run) -> list[Text]:
    """Bring home what the run made, unless something speaks against it, which is returned."""
    if not workplace.is_of(run):
        return []  # it was killed before it had a tree
    ran = (name for name, state in logbook.told(run.log).items() if state in ("done", "running"))
    doubts = workplace.doubts(run, ran)
    if doubts:
        return doubts
    if workplace.changed_meanwhile(run):
        return [OVERTAKEN]
    workplace.bring_home(run)
    return []


def keep(run: Run) -> None:
    """Keep in the run's folder what later runs write over."""
    if not workplace.is_of(run):
        return
    tree = workplace.tree_of(run.project)
    if (tree / "dvc.lock").exists():
        write_bytes(run.folder / "dvc.lock", (tree / "dvc.lock").read_bytes())
    write_json(run.folder / METRICS, figures.of_folder(tree))
    for path in figures.FILES.values():
        if (tree / path).exists():
            (run.folder / KEPT / path).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(run.folder / KEPT / path, (tree / path).read_bytes())
    found = curves.live(run)
    if found:
        write_json(run.folder / CURVES, found)


def record(run: Run) -> Run:
    """Make the Git record of a run; what Git says against it becomes a note."""
    from app.studio import history  # with all the schema, which is half a second

    try:
        made = history.finished_run(run.project, run.id, run.shown_command, verdict(run), run.by)
    except (MofangError, NotImplementedError) as error:
        return records.update(run, notes=(*run.notes, *told(error)))
    if made.state in ("off", "no_repository", "unchanged"):
        return run
    return records.update(run, notes=(*run.notes, made.told))


def told(error: Exception) -> list[Text]:
    """Return an error's problems as texts."""
    if isinstance(error, MofangError):
        pattern = _("{where}: found {found}, allowed {allowed}. {fix}").text
        return [Message(pattern, vars(problem)) for problem in error.problems]
    return [f"{type(error).__name__}: {error}"]


def verdict(run: Run) -> Text:
    """Return how a run ended, in a sentence."""
    states = logbook.told(run.log)
    last = next((name for name, state in states.items() if state in ("failed", "running")), None)
    if run.state == "done":
        kept: Mapping[str, Any] = records.read_json(run.folder / METRICS) or {}
        main = figures.headline(kept.get("figures", {}))
        if main:
            return _("done, {figure} {value}", figure=main[0], value=f"{main[1]:.4g}")
        return _("done")
    if run.state == "stopped":
        return _("stopped by {by}", by=run.stopped_by or "")
    return _("failed at {stage}", stage=last) if last else _("failed")


def give_up(run: Run, reason: MofangError | str) -> None:
    """Write down that a run could not be looked after, with the reason."""
    notes = told(reason) if isinstance(reason, MofangError) else [reason]
    records.update(run, state="failed", ended=records.now(), notes=tuple(notes))
    try:
        locks.release(run)
    except MofangError:
        return  # DVC itself takes out the entries of a process that is gone
