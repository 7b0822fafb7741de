"""Start a run: one at a time in a project, by whoever may, with the values of this moment."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path

from app.studio import roles
from app.studio.project_files import Project
from app.studio.roles import User
from app.studio.runs import (
    devices,
    following,
    locks,
    logbook,
    processes,
    records,
    workplace,
)
from app.studio.runs.records import LOCK, Run
from pipeline.artifacts import PARAMS, write_bytes
from pipeline.errors import BusyError, ParamsError, StorageError
from pipeline.i18n import Message, _
from pipeline.params import check, read_bytes

COMMANDS = (("python", "-m", "pipeline.search"),)  # that may run instead of dvc repro
LOOKS = re.compile(r"\bdvc\b\S*\s+status\b")  # a DVC that changes nothing
WORD = re.compile(r"[\w.:/=-]{1,200}")
PATIENCE = 10.0  # seconds in which a new run has its supervisor, or an old one lets go
GPUS = re.compile(r"\d{1,2}")


def start(
    project: Project,
    targets: Sequence[str] = (),
    device: str = "auto",
    by: User | None = None,
    *,
    command: Sequence[str] | None = None,
) -> Run:
    """Start ``dvc repro`` (or another command of ours) and return at once; the run goes on alone.

    Needs the role for ``roles.START_RUN``. The run works in a copy of the project as it is now:
    what is edited meanwhile waits for the next one.

    :param targets: stages to bring up to date, with all before them; none means all.
    :param device: ``auto``, ``cpu`` or the number of a GPU as text (``"0"``).
    :param by: who starts; by default who looks at the page.
    :param command: instead of ``dvc repro``: ``("python", "-m", "pipeline.search")`` and others of
        ``COMMANDS``, with arguments.
    :raises RoleError: if the role is too small.
    :raises BusyError: if a run works already, saying whose and since when, or somebody works with
        DVC in a terminal.
    :raises ParamsError: if ``params.yaml`` is not allowed, or a target or the device is none.
    """
    words = tuple(command) if command is not None else ("dvc", "repro", *targets)
    user = permitted(roles.START_RUN, " ".join(words), by)
    require_known(project, targets, device, command)
    content = read_bytes(project.params)
    check(content, PARAMS)
    with alone(project) as handle:
        refuse_terminal(project)
        run = create(project, words, device, user.name, content)
        following.launch(run, str(handle), handle)
        deadline = time.monotonic() + PATIENCE
        while run.supervisor is None and run.works and time.monotonic() < deadline:
            time.sleep(0.02)
            run = records.read(project, run.id)
    return run


@contextlib.contextmanager
def alone(project: Project) -> Iterator[int]:
    """Hold the lock of all runs; yield its handle. A run that is over may need it a moment longer.

    :raises BusyError: if a run works.
    """
    project.runs.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE
    while True:
        with records.held(project.runs / LOCK) as handle:
            if handle is not None:
                yield handle
                return
        run = following.current(project)
        # One whose program is dead already is being put in order: that is worth waiting for.
        works = run is not None and (run.leader is None or processes.alive(run.leader))
        if works or time.monotonic() > deadline:
            raise busy(project)
        time.sleep(0.05)


def permitted(action: str, what: str, by: User | None) -> User:
    """Return who acts, after the decision of the roles.

    :raises RoleError: if the role is too small.
    """
    if by is None:
        return roles.require(action, what)
    with roles.acting_as(by):
        return roles.require(action, what)


def require_known(
    project: Project, targets: Sequence[str], device: str, command: Sequence[str] | None
) -> None:
    """Refuse what is no stage, no device and no command of ours.

    :raises ParamsError: naming it.
    """
    stages = logbook.stage_names(project.graph)
    for target in targets:
        if target not in stages:
            raise unknown(_("stage"), target, ", ".join(stages))
    if device not in ("auto", "cpu"):
        numbers = [str(one.number) for one in devices.gpus()] if GPUS.fullmatch(device) else []
        if device not in numbers:
            raise unknown(_("device"), device, ", ".join(["auto", "cpu", *numbers]))
    if command is not None:
        known = any(tuple(command[: len(one)]) == one for one in COMMANDS)
        if not known or not all(WORD.fullmatch(word) for word in command):
            allowed = ", ".join(" ".join(one) for one in COMMANDS)
            raise unknown(_("command"), " ".join(command), allowed)


def unknown(what: Message, found: str, allowed: str) -> ParamsError:
    """Return the error for a word that means nothing here."""
    return ParamsError.at(
        _("run, {what}", what=what),
        found=repr(found),
        allowed=allowed,
        fix=_("Choose one of these."),
    )


def busy(project: Project) -> BusyError:
    """Return the error that says whose run works and since when."""
    run = following.current(project)
    found: Message = _("a run that is being finished")
    if run is not None:
        began = records.moment(run.began).astimezone(UTC)
        found = _(
            "a run that {by} started at {time} UTC ({command})",
            by=run.by,
            time=f"{began:%Y-%m-%d %H:%M:%S}",
            command=run.shown_command,
        )
    return BusyError.at(
        project.name,
        found=found,
        allowed=_("one run at a time"),
        fix=_("Wait until it is over, or stop it."),
    )


def refuse_terminal(project: Project) -> None:
    """Refuse to work beside a ``dvc`` that somebody runs in a terminal.

    :raises BusyError: naming it.
    """
    for one in locks.holders(project.root):
        if LOOKS.search(one.command):  # as our own preview: it reads here, the run works elsewhere
            continue
        raise BusyError.at(
            project.name,
            found=_(
                "the program {command} of {user}, number {pid}, at work since {since}",
                command=one.command,
                user=one.user,
                pid=one.pid,
                since=one.since,
            ),
            allowed=_("one run at a time"),
            fix=_("Wait until it is over, or end it where it was started."),
        )


def create(project: Project, words: tuple[str, ...], device: str, by: str, content: bytes) -> Run:
    """Make the folder of a new run, with its snapshot of the parameters.

    :raises StorageError: if there is no room for it.
    """
    run = Run(
        project=project, id=records.new_id(), command=words, device=device, by=by,
        state="running", began=records.now(), ended=None,
        params_sha256=hashlib.sha256(content).hexdigest(),
        commit=head(project.root), lock_sha256=workplace.fingerprint(project.lock),
    )  # fmt: skip
    try:
        run.folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError.at(
            run.folder,
            found=error.strerror or str(error),
            allowed=_("a folder that can be written"),
            fix=_("Free some space, then start again."),
        ) from error
    write_bytes(run.snapshot, content)
    run.log.touch()
    return records.write(run)


def head(root: Path) -> str | None:
    """Return Git's present commit, or None where there is none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "-q", "HEAD"],
            cwd=root, capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
