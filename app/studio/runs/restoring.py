"""Go back to an earlier run: its parameters, and its results if they are wanted too."""

from __future__ import annotations

import subprocess
import sys

from app.studio import history, roles
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.roles import User
from app.studio.runs import comparing, environment, figures, locks, retention, starting
from app.studio.runs.records import KEPT
from pipeline.artifacts import PARAMS, write_bytes
from pipeline.errors import DataError
from pipeline.i18n import _
from pipeline.params import check

SECONDS = 300.0  # that DVC may take to bring outputs back
SHOWN = 3  # lines of what DVC said


def restore(project: Project, id: str, by: User | None = None) -> Recorded | None:
    """Write the parameters of an earlier run into ``params.yaml``, comments and all.

    Needs the role for ``roles.RESTORE_RUN``. A run that works goes on with its own.

    :returns: what became of the Git record; None where nothing was to change.
    :raises RoleError: if the role is too small.
    :raises DataError: if there is no such run, or nothing is kept of it.
    :raises ParamsError: if the schema does not allow these parameters any more.
    """
    user = starting.permitted(roles.RESTORE_RUN, id, by)
    content = file_of(project, id, str(PARAMS))
    check(content, PARAMS)
    if project.params.exists() and project.params.read_bytes() == content:
        return None
    write_bytes(project.params, content)
    return history.saved_params(project, user.name)


def restore_results(project: Project, id: str, by: User | None = None) -> None:
    """Bring the outputs of an earlier run back from DVC's cache, with its parameters.

    Needs the role for ``roles.RESTORE_RUN``. What is released or served is not touched.

    :raises RoleError: if the role is too small.
    :raises BusyError: if a run works.
    :raises DataError: if the cache does not hold all of it any more.
    """
    restore(project, id, by)
    lock = file_of(project, id, "dvc.lock")
    with starting.alone(project):
        starting.refuse_terminal(project)
        locks.clear(project)
        before = project.lock.read_bytes() if project.lock.exists() else None
        write_bytes(project.lock, lock)
        try:
            checkout(project)
        except DataError:
            if before is not None:
                write_bytes(project.lock, before)
            raise
        for path in figures.FILES.values():
            bring_metrics(project, id, path)


def bring_metrics(project: Project, id: str, path: str) -> None:
    """Bring back a file that DVC does not cache, if that run had it."""
    kept = project.runs / id / KEPT / path
    content = kept.read_bytes() if kept.exists() else None
    if content is None and comparing.COMMIT.fullmatch(id):
        told = comparing.reader(project.root, id)(path)
        content = told.encode() if told is not None else None
    if content is not None:
        (project.root / path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(project.root / path, content)


def checkout(project: Project) -> None:
    """Let DVC make the outputs what ``dvc.lock`` says.

    :raises DataError: with what DVC says against it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--force"],
        cwd=project.root, env=environment.of_tools(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    # Files that DVC does not cache (metrics) are brought back from the run's own folder.
    wrong = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode and not only_metrics(wrong):
        raise DataError.at(
            project.lock,
            found=" / ".join(wrong[-SHOWN:]),
            allowed=_("outputs that DVC's cache still holds"),
            fix=_("Start a run instead: the parameters of that run are restored."),
        )


def only_metrics(lines: list[str]) -> bool:
    """Return whether DVC misses nothing but the metrics, which it does not cache."""
    named = [line.strip() for line in lines if line.strip().startswith(("models/", "data/"))]
    return bool(named) and all(one in figures.FILES.values() for one in named)


def file_of(project: Project, id: str, name: str) -> bytes:
    """Return a file as an earlier run or commit had it.

    :raises DataError: if nothing is kept of it.
    """
    row = comparing.find(project, id)
    if row.origin == "run":
        retention.use(project, row.id)
        path = project.runs / row.id / name
        content = path.read_text(encoding="utf-8") if path.exists() else None
    else:
        content = comparing.reader(project.root, row.id)(name)
    if content is None:
        raise DataError.at(
            id,
            found=_("no {name}", name=name),
            allowed=_("a run that got so far"),
            fix=_("Choose another run."),
        )
    return content.encode()
