"""The bundled projects, and which of them gives the defaults.

The rule: the default of a field is its value in the project that this one was started from. A start
in the studio leaves a copy in ``var/studio/started.yaml``. Without that copy (a clone, a project
that was made by hand) it is the bundled project with the same sources, else the release's own,
which is the questions of TREC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.studio import history, roles
from app.studio.forms.saving import LOCK
from app.studio.locking import only_writer
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.roles import User
from app.studio.runs import following
from pipeline import template
from pipeline.artifacts import write_bytes
from pipeline.i18n import Message, _
from pipeline.params import check

STARTED = "started.yaml"
REPLACED = "params.before-{moment}.yaml"
OWN = "question-types"
OWN_FILE = template.TEMPLATES / f"{OWN}.yaml"


@dataclass(frozen=True)
class Bundled:
    """A project that comes with Mofang."""

    name: str
    title: Message
    what: Message
    task: Message
    language: Message
    minutes: int | None  # of a first run on two cores, where it was measured
    path: Path


@dataclass(frozen=True)
class Started:
    """A project that was started."""

    kept: Path | None  # what stood in params.yaml before
    recorded: Recorded  # what became of the Git record


def begin(project: Project, content: bytes, what: str = "") -> Started:
    """Write the params of a new project; what stood there is kept beside it.

    Needs the role for ``roles.START_PROJECT``.

    :param what: which project it is, for the audit line.
    :raises ParamsError: if the params are not allowed; nothing is written then.
    """
    return write(project, content, roles.require(roles.START_PROJECT, what))


def write(project: Project, content: bytes, user: User) -> Started:
    """Write the params of a new project, for somebody who may."""
    check(content)
    kept = None
    with only_writer(project.studio / LOCK):
        before = project.params.read_bytes() if project.params.exists() else content
        if before != content:
            moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
            kept = project.params.with_name(REPLACED.format(moment=moment))
            write_bytes(kept, before)
        write_bytes(project.studio / STARTED, content)
        write_bytes(project.params, content)
    return Started(kept, history.saved_params(project, user.name))


def listed() -> list[Bundled]:
    """Return the bundled projects, the usual one first."""
    return [
        Bundled(
            OWN,
            _("What is asked for"),
            _("English questions by what they ask for: a person, a place, a number … It fine-tunes "
              "a small pretrained model; the project to begin with."),
            _("one label a text"), _("English"), 5, file_of(OWN),
        ),
        Bundled(
            "question-topics",
            _("What is asked for, in two grains"),
            _("The same questions with a coarse and a fine label at once."),
            _("several labels a text"), _("English"), None, file_of("question-topics"),
        ),
        Bundled(
            "film-ratings",
            _("How good a film is"),
            _("A sentence of a review each, with the mean of twenty people's ratings."),
            _("a number"), _("English"), None, file_of("film-ratings"),
        ),
        Bundled(
            "zh-reviews",
            _("Content or not, in Chinese"),
            _("Shopping reviews, negative or positive. A small model learns everything from them, "
              "its tokens too; nothing else is fetched."),
            _("one label a text"), _("Chinese"), 5, file_of("zh-reviews"),
        ),
        Bundled(
            "tiny",
            _("A trial in two minutes"),
            _("A few questions and a tiny model, to see all stages work. Its figures mean "
              "nothing."),
            _("one label a text"), _("English"), 2, file_of("tiny"),
        ),
    ]  # fmt: skip


def file_of(name: str) -> Path:
    """Return the file of one of the pipeline's templates."""
    return template.TEMPLATES / f"{name}.yaml"


def bundled(name: str) -> Bundled:
    """Return a bundled project by its name.

    :raises KeyError: if there is none.
    """
    return {one.name: one for one in listed()}[name]


def defaults(project: Project) -> Mapping[str, Any]:
    """Return the values of the project that this one was started from, by the rule above.

    They are the same ones for all who ask: nobody changes them.
    """
    started = following.values(project.studio / STARTED)
    if isinstance(started, Mapping):  # somebody may have changed it by hand
        return started
    found = like(following.values(project.params))
    values: Mapping[str, Any] = following.values(OWN_FILE if found is None else found.path)
    return values


def like(values: Any) -> Bundled | None:
    """Return the bundled project with the same sources; None where there is none.

    :param values: of a whole ``params.yaml``.
    """
    mine = sources(values)
    if mine is None:
        return None
    return next((one for one in listed() if sources(following.values(one.path)) == mine), None)


def sources(values: Any) -> list[tuple[Any, ...]] | None:
    """Return what tells where a project's texts come from, and its size."""
    try:
        return [
            (one["name"], one["kind"], one.get("limit")) for one in values["collect"]["sources"]
        ] + [(values["label"]["task"],)]
    except (KeyError, TypeError, AttributeError):
        return None
