"""Stop a run: its whole group of processes within ten seconds, checkpoints kept, no orphan."""

from __future__ import annotations

from app.studio import roles
from app.studio.roles import User
from app.studio.runs import following, processes, records
from app.studio.runs.records import STOP, Run
from app.studio.runs.starting import permitted
from pipeline.artifacts import write_json

PATIENCE = 8.0  # seconds in which the supervisor ends everything; it uses force after five
AFTER_FORCE = 1.5


def stop(run: Run, by: User | None = None) -> Run:
    """Ask the run to end in order, end it otherwise, and return it as it stands then (≤ 10 s).

    Needs the role for ``roles.STOP_RUN``. What is served is not touched.

    :raises RoleError: if the role is too small.
    """
    user = permitted(roles.STOP_RUN, run.id, by)
    run = records.read(run.project, run.id)
    if not run.works:
        return run
    write_json(run.folder / STOP, {"by": user.name, "time": records.now()})
    following.heal(run)
    if not processes.gone(lambda: not now(run).works, PATIENCE):
        processes.force(str(run.folder), run.leader)
        processes.gone(lambda: not now(run).works, AFTER_FORCE)
    return now(run)


def now(run: Run) -> Run:
    """Return the newest version of a run's record."""
    return records.read(run.project, run.id)
