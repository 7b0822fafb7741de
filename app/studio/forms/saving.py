"""Save changed parameters: checked as a whole, every other byte as it was, nobody overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.studio import history, roles
from app.studio.forms import present
from app.studio.forms.mattering import settled, value_at
from app.studio.forms.rewriting import rewritten, with_changes
from app.studio.locking import only_writer
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.roles import User
from pipeline.artifacts import PARAMS, write_bytes
from pipeline.editing import written
from pipeline.errors import BusyError, ParamsError
from pipeline.i18n import _
from pipeline.params import decode, read_bytes

LOCK = ".params.lock"
LONG = 60  # characters of a value in the audit line


@dataclass(frozen=True)
class Change:
    """One value before and after; ``MISSING`` where there was none."""

    path: str  # dotted, as in train.epochs or collect.sources.0.limit
    old: Any
    new: Any


@dataclass(frozen=True)
class Saved:
    """What was saved."""

    sha256: str  # of params.yaml as it is now
    changes: tuple[Change, ...]
    recorded: Recorded | None  # what became of the Git record; None when nothing changed


class ChangedMeanwhileError(BusyError):
    """Somebody else changed ``params.yaml`` since it was shown; it is left as they made it."""


def save(
    changes: Mapping[str, Any], seen_sha256: str, project: Project, by: User | None = None
) -> Saved:
    """Save values by their dotted paths; comments and all other bytes stay.

    Needs the role for ``roles.EDIT_PARAMS``, writes the audit line and the Git record. What no
    longer matters and would contradict the change (``mattering.settled``) is changed along.

    :param changes: path → value; a list or a mapping may be given whole.
    :param seen_sha256: of the file that the values were chosen before (``present.read``).
    :param by: who saves; who looks at the page where none is given.
    :raises RoleError: if the role is too small.
    :raises ChangedMeanwhileError: if the file is another one by now; it is not touched.
    :raises BusyError: if somebody else saves for half a minute.
    :raises ParamsError: with every problem, if the whole would not be allowed; it is not touched.
    """
    # The whole is checked as values; what is written is read again and compared with them.
    if by is not None:
        with roles.acting_as(by):
            return save(changes, seen_sha256, project)
    user = roles.require(roles.EDIT_PARAMS, told(changes))
    with only_writer(project.studio / LOCK):
        content = read_bytes(project.params)
        now = present.of(content)
        if now.sha256 != seen_sha256:
            raise changed_meanwhile()
        wanted, done = settled_values(now.values, changes)
        refuse(wanted, now)
        if not done:
            return Saved(now.sha256, (), None)
        new = rewritten(content.decode(), {one.path: one.new for one in done}).encode()
        decode(new, PARAMS)  # not larger than the file may be
        write_bytes(project.params, new)
    recorded = history.saved_params(project, user.name)
    return Saved(present.of(new).sha256, done, recorded)


def settled_values(
    values: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[Mapping[str, Any], tuple[Change, ...]]:
    """Return all values after changes and what follows from them, and each difference."""
    wanted = with_changes(values, changes)
    wanted = with_changes(wanted, settled(wanted))
    return wanted, compared(values, wanted)


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return each value that differs between two states of the file."""
    paths = present.differences(old, new)
    return tuple(Change(path, value_at(old, path), value) for path, value in paths.items())


def refuse(wanted: Mapping[str, Any], now: present.Present) -> None:
    """Refuse values that the schema does not allow, before anything is written.

    :raises ParamsError: with every problem at once.
    """
    found = present.problems(wanted, now.tree)
    if found:
        raise ParamsError(*(one for problems in found.values() for one in problems))


def told(changes: Mapping[str, Any]) -> str:
    """Return what is changed, for the audit line."""
    lines = []
    for path, value in changes.items():
        try:
            text = written(value)
        except (ValueError, RecursionError):  # what YAML cannot hold
            text = type(value).__name__
        lines.append(f"{path}: {text if len(text) <= LONG else text[:LONG] + '…'}")
    return ", ".join(lines)


def changed_meanwhile() -> ChangedMeanwhileError:
    """Return the error for a file that is not the one that was shown."""
    return ChangedMeanwhileError.at(
        PARAMS,
        found=_("changes that somebody else has made meanwhile"),
        allowed=_("the file that this form shows"),
        fix=_("Look at the differences, then save again."),
    )
