"""Look after one run from its start to its record.

``python -m app.studio.runs.supervisor PROJECT RUN HANDLE`` or ``--adopt`` instead of it.

It is a small process in a session of its own, so that nothing that happens to the studio reaches
it. It starts the program of the run, stops it when asked, sweeps what a killed program left behind,
brings the results home and writes down how it ended.

Killed itself, it is missed by ``execute`` within a second and by every page that looks: another one
takes over (``--adopt``). The run goes on meanwhile, as its program writes its own log, and nobody
can start a second one, as the program holds the lock of all runs too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from app.studio.project_files import Project
from app.studio.runs import (
    environment,
    finishing,
    locks,
    logbook,
    processes,
    records,
    retention,
    workplace,
)
from app.studio.runs.devices import Recorder
from app.studio.runs.processes import MARK
from app.studio.runs.records import EXIT, JOB, LOCK, STAGES, STOP, Run
from pipeline.artifacts import write_json
from pipeline.errors import MofangError, packed_text
from pipeline.i18n import _

OWN_LOCK = ".supervisor.lock"  # in the folder of a run: one supervisor each
OWN_LOG = "supervisor.log"
ADOPT = "--adopt"
LOOK = 0.2  # seconds between two looks
STOPPING = 5.0  # seconds that a program has to end in order, when it was asked to stop
SWEEPING = 2.0  # seconds that a killed program's leftovers have to end
WAITING = 30.0  # seconds to wait for the lock of all runs
OLD = 600.0  # seconds after which a run that never began is not begun any more
EXECUTE = Path(__file__).with_name("execute.py")
HOME = Path(__file__).resolve().parents[3]  # where ``app`` lies


def command(run: Run, *more: str) -> list[str]:
    """Return the command line of a run's supervisor."""
    module = "app.studio.runs.supervisor"
    # -P: of the studio's own modules, not of a project that it may look after elsewhere.
    return [sys.executable, "-P", "-m", module, str(run.project.root), run.id, *more]


def variables() -> dict[str, str]:
    """Return the variables of a supervisor: those of the studio, and where ``app`` lies."""
    inherited = os.environ.get("PYTHONPATH")
    found = {name: value for name, value in os.environ.items() if name != MARK}
    return found | {"PYTHONPATH": os.pathsep.join([str(HOME), *([inherited] if inherited else [])])}


def main(root: str, id: str, how: str) -> int:
    """Look after a run until it is over, in the background.

    :param how: the handle of the lock of all runs, inherited from who starts; or ``--adopt``.
    """
    if os.fork():
        os._exit(0)  # who started this process needs not wait for it
    os.setsid()
    os.chdir(root)
    run = records.read(Project(Path(root)), id)
    speak_into(run.folder / OWN_LOG)
    with records.held(run.folder / OWN_LOCK) as own:
        if own is None or not run.works:
            return 0
        try:
            if how == ADOPT:
                adopt(run)
            else:
                begin(run, int(how))
        except Exception as error:
            # A run that nobody looks after any more would seem to work for ever.
            traceback.print_exc()
            finishing.give_up(run, reason(error))
            return 1
        retention.clear(run.project)
    return 0


def speak_into(path: Path) -> None:
    """Let what this process says go into a file of its own, not into the run's log."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number in (1, 2):
        os.dup2(handle, number)
    os.close(handle)


def reason(error: Exception) -> MofangError | str:
    """Return what to tell people of an error of the supervisor's own."""
    return error if isinstance(error, MofangError) else f"{type(error).__name__}: {error}"


def begin(run: Run, handle: int) -> None:
    """Start the program and look after it; whoever holds ``handle`` is the only one who may."""
    run = records.update(run, supervisor=processes.identity(os.getpid()))
    for other in finishing.unsettled(run.project):
        if other.id != run.id:
            sweep(other)
            finishing.settle(other)
    if asked_to_stop(run):
        finishing.settle(run)
        return
    run = records.update(run, lock_sha256=workplace.fingerprint(run.project.lock))
    locks.clear(run.project)
    tree = workplace.prepare(run)
    locks.hold(run, os.getpid())
    process = launch(run, tree, handle)
    run = records.update(run, leader=processes.identity(process.pid))
    watch(run, lambda: process.poll() is not None)
    sweep(run)
    finishing.settle(run)


def adopt(run: Run) -> None:
    """Go on looking after a run whose supervisor was killed."""
    run = records.update(run, supervisor=processes.identity(os.getpid()))
    if run.leader is None:
        run = records.update(run, leader=first_of(run))
    if run.leader is not None:
        leader = run.leader
        locks.hold(run, os.getpid())
        watch(run, lambda: not processes.alive(leader))
        sweep(run)
    # The program held the lock of all runs; whoever took it since settles this run first.
    deadline = time.monotonic() + WAITING
    while time.monotonic() < deadline:
        with records.held(run.project.runs / LOCK) as handle:
            if handle is not None:
                if run.leader is None and run.seconds < OLD:
                    begin(run, handle)  # it was killed before it had started anything
                elif records.read(run.project, run.id).works:
                    finishing.settle(run)
                return
        if not records.read(run.project, run.id).works:
            return
        time.sleep(LOOK)


def first_of(run: Run) -> records.Process | None:
    """Return the first process of a run's group, found by its mark."""
    for one in processes.marked(str(run.folder)):
        try:
            if os.getpgid(one.pid) == one.pid:
                return processes.identity(one.pid)
        except ProcessLookupError:
            continue
    return None


def launch(run: Run, tree: Path, handle: int) -> subprocess.Popen[bytes]:
    """Start the program of a run in a group of its own, with everything it prints in the log."""
    job = {
        "argv": argv(run),
        "exit": str(run.folder / EXIT),
        "lock": str(run.folder / OWN_LOCK),
        "pass": [handle],
        "supervisor": command(run, ADOPT),
        "mark": MARK,
        "home": str(HOME),
    }
    write_json(run.folder / JOB, job)
    os.set_inheritable(handle, True)
    try:
        with run.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", str(EXECUTE), str(run.folder / JOB)],
                cwd=tree, env=environment.of_run(run) | {MARK: str(run.folder)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(handle,), start_new_session=True,
            )  # fmt: skip
    finally:
        os.set_inheritable(handle, False)


def argv(run: Run) -> list[str]:
    """Return the command of a run as this interpreter runs it; no shell reads it."""
    first, *others = run.command
    return [sys.executable, *(others if first == "python" else ["-m", first, *others])]


def watch(run: Run, over: Callable[[], bool]) -> None:
    """Wait until the program is over; end it when somebody asked for that."""
    clock = logbook.Clock(run.log, run.folder / STAGES)
    with Recorder(run) as recorder:
        while not over():
            if asked_to_stop(run):
                processes.end(str(run.folder), run.leader, STOPPING)
            clock.look()
            recorder.look()
            time.sleep(LOOK)


def asked_to_stop(run: Run) -> bool:
    """Return whether somebody pressed stop."""
    return (run.folder / STOP).exists()


def sweep(run: Run) -> None:
    """End what a killed program left behind, before anybody starts a second one beside it."""
    if processes.end(str(run.folder), None, SWEEPING):
        note = _("Processes that were left over had to be killed.")
        print(json.dumps(packed_text(note)), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
