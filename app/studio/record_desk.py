"""The Git record as a page shows it: what waits, what is in the way, what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.studio import history, roles
from app.studio.history import Switch
from app.studio.project_files import Project
from app.studio.recording import Recorded, is_address, obstacle_of, pushed
from app.studio.repository import Repository, Standing
from pipeline.artifacts import ANNOTATIONS, METRICS, PARAMS
from pipeline.errors import BusyError, ParamsError, Problem, words
from pipeline.i18n import _


@dataclass(frozen=True)
class Entry:
    """One commit."""

    commit: str
    when: str  # ISO 8601
    author: str
    subject: str
    body: str


@dataclass(frozen=True)
class Status:
    """How the record stands, for a page."""

    switch: Switch
    held: bool  # a repository holds the project
    standing: Standing
    obstacle: Problem | None  # what has to be mended before the next commit

    @property
    def waiting(self) -> list[str]:
        """The files that the next record takes along."""
        return sorted(self.standing.changed)


def status(project: Project) -> Status:
    """Return how the record stands: switch, branch, what waits, and what is in the way."""
    repository = Repository.holding(project.root)
    if repository is None:
        return Status(
            history.switch(project), held=False, standing=Standing(None, None), obstacle=None
        )
    standing = repository.standing(recordable(project))
    changed = list(standing.changed)
    return Status(
        history.switch(project),
        held=True,
        standing=standing,
        obstacle=obstacle_of(repository, standing, changed),
    )


def recordable(project: Project) -> list[str]:
    """Return the files that the studio records, whether they are there or not."""
    metrics = [f"models/{stage}/{METRICS}" for stage in history.MEASURED]
    labels = [
        path.relative_to(project.root).as_posix()
        for path in sorted(project.annotations.glob("*.jsonl"))
    ]
    return [
        str(PARAMS),
        str(history.PLAN),
        str(history.DVC_LOCK),
        *metrics,
        *(labels or [str(ANNOTATIONS)]),
    ]


def record_waiting(project: Project) -> Recorded:
    """Commit what earlier records could not take: every file of the studio that differs.

    :raises RoleError: if the role is too small.
    """
    waiting = status(project).waiting
    user = roles.require(roles.EDIT_PROJECT, ", ".join(waiting))
    language = history.language_of(project, user.name)
    subject = words(_("Record what was saved before"), language)
    ready_to = history.ready(project)
    if isinstance(ready_to, Recorded):
        return ready_to
    if not waiting:
        return Recorded("unchanged", _("Git has it already: nothing has changed."))
    return history.committed(
        project, [Path(one) for one in waiting], [subject, *waiting], user.name
    )


def send(project: Project) -> Problem | None:
    """Push what is recorded; return what has to be mended, or None.

    :raises RoleError: if the role is too small.
    """
    roles.require(roles.SWITCH_RECORD, "git push")
    repository = Repository.holding(project.root)
    if repository is None:
        return None
    try:
        with history.alone(project):
            return pushed(repository)
    except BusyError as error:
        return error.problems[0]


def name_yourself(project: Project, name: str, address: str) -> None:
    """Tell Git, for this project only, whom to name in records.

    :raises RoleError: if the role is too small.
    :raises ParamsError: for a name or an address that Git cannot write.
    """
    roles.require(roles.SWITCH_RECORD, f"user.name = {name}")
    plain = " ".join(name.split())
    if not plain or set(plain) & set("<>") or not plain.isprintable() or len(plain) > 100:
        raise ParamsError.at(
            "git config user.name",
            found=plain or _("nothing"),
            allowed=_("a name without < and >"),
            fix=_("Write the name that colleagues know."),
        )
    if not is_address(address) or len(address) > 200:
        raise ParamsError.at(
            "git config user.email",
            found=address or _("nothing"),
            allowed="ada@example.org",
            fix=_("Write a mail address, or name@localhost if there is none."),
        )
    repository = Repository.holding(project.root)
    if repository is not None:
        repository.git("config", "--local", "user.name", plain)
        repository.git("config", "--local", "user.email", address)


def entries(project: Project, limit: int = 20, offset: int = 0, path: str = "") -> list[Entry]:
    """Return the newest commits first.

    :param path: only those that changed this file.
    """
    repository = Repository.holding(project.root)
    if repository is None:
        return []
    chosen = ["--", path] if path else []
    form = "--format=%H%x1f%aI%x1f%an%x1f%s%x1f%b"
    ran = repository.git(
        "log", "-z", form, f"--max-count={limit}", f"--skip={offset}", *chosen
    )  # fmt: skip
    fields = [one.strip("\n").split("\x1f") for one in ran.out.split("\0") if one]
    return [Entry(*one) for one in fields if len(one) == len(Entry.__dataclass_fields__)]
