"""Which model suits data and machine: asked of ``python -m pipeline.plan``, and kept.

The plan imports torch and measures the machine, so it is a child process, one at a time and bounded
in time. Its answer stays on disk until it is asked again; what it was made from is kept beside it,
so that a page can say that the data are newer.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.studio import child, roles
from app.studio.dotted import value_at
from app.studio.project_files import Project
from pipeline import artifacts
from pipeline.errors import BusyError, ModelError, MofangError
from pipeline.i18n import _
from pipeline.locks import held

COMMAND = ("python", "-m", "pipeline.plan", "--json")
SECONDS = 180.0  # a plan takes ten; a machine under load takes longer
FOLDER, LOCK = "plan", ".lock"
REVISION = "init.pretrained"  # its commit on the hub has to be chosen by a person


@dataclass(frozen=True)
class Asked:
    """An answer of the plan."""

    made: str  # ISO 8601, UTC
    data: str  # what stood for the data then
    content: Mapping[str, Any]  # as ``pipeline.plan --json`` prints it

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """All models, the best first, those that are excluded at the end."""
        found: Sequence[Mapping[str, Any]] = self.content["candidates"]
        return found


def can_ask(project: Project) -> bool:
    """Return whether there are labelled records that a plan can be made for."""
    return any(path.exists() for path in sources(project))


def sources(project: Project) -> list[Path]:
    """Return the files that the plan reads, whether they exist or not."""
    parts = [artifacts.part(name) for name in ("train", "validation")]
    return [project.root / path for path in (*parts, artifacts.LABEL / artifacts.RECORDS)]


def data_of(project: Project) -> str:
    """Return a text that differs when the data do."""
    seen = []
    for path in sources(project):
        if path.exists():
            state = path.stat()
            seen.append(f"{path.name} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def kept(project: Project, language: str) -> Asked | None:
    """Return the last answer in a language, None where it was never asked."""
    path = project.studio / FOLDER / f"{language}.json"
    try:
        return Asked(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def ask(project: Project, languages: Sequence[str], seconds: float = SECONDS) -> None:
    """Ask for a plan and keep the answer, in each language; takes some ten seconds for each.

    :raises RoleError: if the user may not.
    :raises BusyError: if somebody asks at this moment.
    :raises ModelError: with what the child said, if it gave no plan.
    """
    roles.require(roles.START_RUN, " ".join(COMMAND))
    folder = project.studio / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / LOCK, busy()):
        data = data_of(project)
        for language in languages:
            content = answer(project, language, seconds)
            made = datetime.now(UTC).isoformat(timespec="seconds")
            artifacts.write_json(
                folder / f"{language}.json", {"made": made, "data": data, "content": content}
            )


def busy() -> BusyError:
    """Return the error for a plan that is asked for while one is made."""
    return BusyError.at(
        "python -m pipeline.plan",
        found=_("a plan that is being made"),
        allowed=_("one at a time"),
        fix=_("Wait some seconds, then look again."),
    )


def answer(project: Project, language: str, seconds: float) -> Any:
    """Return what the child prints.

    :raises ModelError: if it fails, hangs or prints what is no plan.
    """
    try:
        done = child.run(project, COMMAND, language, seconds)
    except subprocess.TimeoutExpired:
        raise failed(_("no answer within {seconds} s", seconds=round(seconds))) from None
    if done.returncode:
        raise failed(child.complaint(done))
    try:
        content = json.loads(done.stdout)
        content["candidates"]
    except (ValueError, KeyError, TypeError):
        raise failed(_("no plan")) from None
    return content


def failed(found: Any) -> MofangError:
    """Return the error for a plan that could not be made."""
    return ModelError.at(
        "python -m pipeline.plan",
        found=found,
        allowed=_("a plan"),
        fix=_("Mend what it says, then ask again."),
    )


def needs_revision(values: Mapping[str, Any]) -> bool:
    """Return whether a person has to choose the commit of a model on the hub."""
    origin = values.get(REVISION)
    return isinstance(origin, Mapping) and origin.get("kind") == "hub"


def with_revision(values: Mapping[str, Any], revision: str) -> dict[str, Any]:
    """Return the values with the commit that was chosen."""
    return {**values, REVISION: {**values[REVISION], "revision": revision.strip()}}


def differing(values: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not what ``params.yaml`` holds.

    :param content: the whole file, as plain values.
    """
    return {path: value for path, value in values.items() if value_at(content, path) != value}
