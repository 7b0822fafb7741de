"""What people decide on the page Monitor: look now, acknowledge an alert, train again or not.

A proposal goes from step to step as ``pipeline.watching.retraining`` says; what trains is a run of
the studio like any other, and each step is written down in the proposal's file with who took it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from app.studio import history, roles
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.releasing import Desk, Outcome
from app.studio.runs import following, starting
from app.studio.runs.records import Run
from app.studio.watching import DATABASE
from pipeline.errors import MofangError
from pipeline.i18n import Message, _
from pipeline.releases.ledger import State as Ledger
from pipeline.watching import proposal, retraining
from pipeline.watching.proposal import (
    APPROVED,
    CANARY,
    LABELLING,
    OVER,
    PROPOSED,
    RELEASED,
    TRAINING,
    Content,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOOKING = 240.0  # seconds that a look may take
GOING_ON = 900.0  # seconds that the steps between two runs may take
RUNS: Mapping[str, Sequence[str]] = {"collect": ("clean",), "train": ()}  # step → stages, none: all
Needed = Literal["decide", "run", "wait", "label", "go_on", "watch", "over"]


@dataclass(frozen=True)
class Next:
    """What a proposal waits for."""

    needed: Needed
    told: Message
    button: Message | None = None  # what a person may press; None where there is nothing to press
    step: str = ""
    run: Run | None = None  # of the studio, that works for it or did


def look(project: Project, language: str) -> Outcome:
    """Let the monitor look once; needs the role for ``roles.WATCH``.

    :raises RoleError: if the role is too small.
    """
    roles.require(roles.WATCH, "look")
    return Desk(project, language).monitor(["run"], LOOKING)


def acknowledge(project: Project, number: int, normal: bool = False, note: str = "") -> None:
    """Write down that somebody knows of an alert; needs the role for ``roles.ACKNOWLEDGE``.

    :param normal: what was out of the ordinary is the new normal.
    :raises RoleError: if the role is too small.
    :raises DataError: if there is no such alert.
    :raises StorageError: if the database cannot be written.
    """
    from pipeline.watching import alerts

    user = roles.require(roles.ACKNOWLEDGE, f"alert {number}{' normal' if normal else ''}")
    with writing(project) as engine:
        alerts.acknowledge(engine, number, moment(), by=user.name, normal=normal, note=note)


def propose(project: Project, why: str, language: str) -> Outcome:
    """Write a proposal by hand; needs the role for ``roles.DECIDE_PROPOSAL``.

    :raises RoleError: if the role is too small.
    """
    roles.require(roles.DECIDE_PROPOSAL, "propose")
    return Desk(project, language).monitor(["propose", f"--why={' '.join(why.split())[:500]}"],
                                           LOOKING)  # fmt: skip


def approve(project: Project, name: str) -> Recorded:
    """Do what a proposal says about ``params.yaml`` and ``data/raw``; role for ``DECIDE_PROPOSAL``.

    :raises RoleError: if the role is too small.
    :raises DataError: if it is not open, or no text is left that could be labelled.
    :raises ParamsError: if ``params.yaml`` is not what it was when the proposal was written.
    """
    user = roles.require(roles.DECIDE_PROPOSAL, f"approve {name}")
    with writing(project) as engine:
        done = proposal.approve(engine, name, moment(), by=user.name)
    named = done["label"]["file"]
    paths = [project.params, *([project.root / named] if named else [])]
    return history.commit(project, paths, _("Retraining {id} approved", id=name), user.name)


def reject(project: Project, name: str, why: str) -> None:
    """End a proposal; needs the role for ``roles.DECIDE_PROPOSAL``.

    :raises RoleError: if the role is too small.
    :raises DataError: if it is over already.
    """
    user = roles.require(roles.DECIDE_PROPOSAL, f"reject {name}")
    with writing(project) as engine:
        proposal.reject(engine, name, moment(), by=user.name, why=why)


def following_step(project: Project, content: Content) -> Next:
    """Return what a proposal waits for."""
    state = content["state"]
    if state == PROPOSED:
        return Next("decide", _("Somebody has to approve or reject it."))
    if state in OVER:
        return Next("over", proposal.STATES[state])
    if state == LABELLING:
        return Next(
            "label",
            _("People label the new texts now. Go on when they are done."),
            _("Labelling is done: train"),
            "train",
        )
    if state == CANARY:
        return watching_canary(project, content)
    step = retraining.following(content)
    if step is None:  # a file that somebody edited by hand
        return Next("over", proposal.STATES[state])
    if step.name in RUNS:
        return of_run(project, content, step.name)
    return go_on(step.name)


def watching_canary(project: Project, content: Content) -> Next:
    """Return what a proposal waits for whose release is tried, or was."""
    version, state = content["new_version"], Ledger.read(project.releases)
    if state.canary is not None and state.canary.version == version:
        told = _("Release {version} answers some clients. Promote it or end its trial on the page "
                 "Deploy; a bad one goes by itself.", version=version)  # fmt: skip
        return Next("watch", told)
    told = _("The trial of release {version} is over.", version=version)
    return Next("go_on", told, _("Write down how it ended"), "settle")


def of_run(project: Project, content: Content, step: str) -> Next:
    """Return what a proposal waits for whose next step is a run of the studio."""
    run = run_of(project, content, step)
    collects = step == "collect"
    if run is not None and run.works:
        return Next("wait", _("The run {id} works for it.", id=run.id), None, step, run)
    if run is not None and run.state == "done":
        told = _("The run {id} is done.", id=run.id)
        button = (_("Choose the texts to label") if collects
                  else _("Make a release and try it as canary"))  # fmt: skip
        return Next("go_on", told, button, step, run)
    told = _("The new texts have to be collected and cleaned.") if collects else _(
        "The model has to be trained on the new labels."
    )  # fmt: skip
    if run is not None:
        told = _("The run {id} did not end well. Mend what it says, then start another.", id=run.id)
    return Next("run", told, _("Start the run"), step, run)


def go_on(step: str) -> Next:
    """Return what a proposal waits for whose next step is a command."""
    told, button = {
        "queue": (_("The texts to label have to be chosen."), _("Choose the texts to label")),
        "release": (_("A release has to be made."), _("Make a release and try it as canary")),
        "canary": (_("The new release has to be tried."), _("Try it as canary")),
    }[step]
    return Next("go_on", told, button, step)


def run_of(project: Project, content: Content, step: str) -> Run | None:
    """Return the newest run that was started for a step; None where there is none."""
    started = [one["note"] for one in content["steps"]
               if one["step"] == step and one["outcome"] == "started"]  # fmt: skip
    if not started:
        return None
    try:
        return following.of(project, started[-1])
    except MofangError:  # its folder was removed
        return None


def proceed(project: Project, name: str, language: str) -> Outcome | None:
    """Take the next step of an approved proposal; needs the role for ``roles.DECIDE_PROPOSAL``.

    What trains is started and goes on alone; other steps are done when this returns.

    :returns: what a command said; None where a run was started.
    :raises RoleError: if the role is too small.
    :raises BusyError: if a run works already.
    :raises DataError: if there is no such proposal, or it waits for something else.
    """
    user = roles.require(roles.DECIDE_PROPOSAL, f"continue {name}")
    content = proposal.read(name)
    proposal.require(content, APPROVED, LABELLING, TRAINING, RELEASED, CANARY)
    wanted = following_step(project, content)
    if wanted.needed in ("run", "label"):
        begin(project, content, wanted.step, user.name)
        return None
    with writing(project) as engine:
        if wanted.step == "settle":
            retraining.settle(engine, moment(), project.releases)
            return None
        if wanted.step in RUNS and wanted.run is not None and wanted.run.state == "done":
            retraining.move(engine, content, content["state"], moment(), by=user.name,
                            name=wanted.step, note=wanted.run.id)  # fmt: skip
    if wanted.needed != "go_on":
        return None
    return Desk(project, language).monitor(["continue", name, f"--by={user.name}"], GOING_ON)


def begin(project: Project, content: Content, step: str, by: str) -> Run:
    """Start the run of a step, and write down which it is.

    Labelling is over only once the run has begun: one that is refused changes nothing.
    """
    run = starting.start(project, RUNS[step])
    with writing(project) as engine:
        state = content["state"]
        if state == LABELLING:
            state = TRAINING
            content = retraining.move(engine, content, state, moment(), by=by, name="labelled")
        retraining.move(engine, content, state, moment(), by=by, name=step, outcome="started",
                        note=run.id)  # fmt: skip
    return run


@contextmanager
def writing(project: Project) -> Iterator[Engine]:
    """Yield what connects to the traffic database.

    :raises StorageError: if the address of the database is none.
    """
    from pipeline.traffic import database

    engine = database.connect(os.environ.get(DATABASE, ""), project.root)
    try:
        yield engine
    finally:
        engine.dispose()


def moment() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def every(project: Project) -> list[Content]:
    """Return all proposals, the newest first."""
    folder = project.root / proposal.FOLDER
    if folder.resolve() != proposal.FOLDER.resolve():
        return []  # the pipeline's paths are relative; the studio runs in the project's folder
    return list(reversed(proposal.every()))
