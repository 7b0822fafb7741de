"""DVC's lock of read and written paths, ``.dvc/tmp/rwlock``: who holds it, and whether it is stale.

DVC takes any living process with the number that stands there for the holder, and refuses a file
that was cut off. Here a holder must also be older than the file, not a zombie, and DVC itself or
something that works in the project. A stale file is moved aside, never while a run lives.

A run holds read locks on the project's outputs, so that ``dvc repro`` in a terminal is refused
with the run's name while ``dvc status`` goes on working.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from app.studio import roles
from app.studio.project_files import Project
from app.studio.runs import records, workplace
from app.studio.runs.records import LOCK, Run
from pipeline.artifacts import write_bytes
from pipeline.errors import BusyError
from pipeline.i18n import _

RWLOCK, GUARD = ".dvc/tmp/rwlock", ".dvc/tmp/rwlock.lock"
TITLE = "mofang run"  # of the entries of a run
SLACK = 1.0  # seconds by which a file's time may precede the start of the process that wrote it
PATIENCE = 5.0  # seconds to wait for DVC to let go of the file


@dataclass(frozen=True)
class Holder:
    """A living process that works with DVC in a folder."""

    pid: int
    command: str
    user: str
    since: str  # ISO 8601, UTC


def holders(root: Path) -> list[Holder]:
    """Return who holds DVC's lock of a folder now; nobody when the file is missing or stale."""
    path = root / RWLOCK
    entries = listed(path)
    if not entries:
        return []
    written = path.stat().st_mtime
    found = (holder(pid, command, written, root) for pid, command in sorted(entries.items()))
    return [one for one in found if one is not None]


def holder(pid: int, command: str, written: float, root: Path) -> Holder | None:
    """Return the process that an entry names, or None where it is not the one that wrote it."""
    try:
        process = psutil.Process(pid)
        started = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE or started > written + SLACK:
            return None
        if not (works_with_dvc(process) or works_in(process, root)):
            return None
        since = datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds")
        return Holder(pid, command, process.username(), since)
    except (psutil.NoSuchProcess, KeyError):
        return None
    except psutil.AccessDenied:  # somebody else's: better believed than run over
        return Holder(pid, command, "", "")


def works_with_dvc(process: psutil.Process) -> bool:
    """Return whether a process is DVC."""
    return any(Path(word).name == "dvc" or word == "dvc" for word in process.cmdline()[:4])


def works_in(process: psutil.Process, root: Path) -> bool:
    """Return whether a process has its place in a folder."""
    return Path(process.cwd()).is_relative_to(root.resolve())


def listed(path: Path) -> dict[int, str] | None:
    """Return the entries of a file, number → command; None where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = [*content.get("write", {}).values()]
        entries += [one for some in content.get("read", {}).values() for one in some]
        return {int(one["pid"]): str(one["cmd"]) for one in entries}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_stale(root: Path) -> bool:
    """Return whether a lock lies there that nobody holds and that would stop DVC."""
    entries = listed(root / RWLOCK)
    return entries is None or (bool(entries) and not holders(root))


def clear_stale_as_asked(project: Project) -> list[Path]:
    """Move stale locks aside, in the project and in its runs' tree, and return where they lie now.

    Needs the role for ``roles.CLEAR_LOCK``.

    :raises RoleError: if the role is too small.
    :raises BusyError: if a run lives.
    """
    roles.require(roles.CLEAR_LOCK, RWLOCK)
    project.runs.mkdir(parents=True, exist_ok=True)
    with records.held(project.runs / LOCK, PATIENCE) as handle:
        if handle is None:
            raise BusyError.at(
                project.root / RWLOCK,
                found=_("a run that works"),
                allowed=_("no run at all"),
                fix=_("Wait until it is over, or stop it."),
            )
        return clear(project)


def clear(project: Project) -> list[Path]:
    """Move stale locks aside; who calls holds the lock of all runs."""
    return [
        moved_aside(root / RWLOCK)
        for root in (project.root, workplace.tree_of(project))
        if is_stale(root)
    ]


def moved_aside(path: Path) -> Path:
    """Give a file a name that DVC does not know."""
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    return path.rename(path.with_name(f"{path.name}.bad-{stamp}"))


def hold(run: Run, pid: int) -> None:
    """Note in DVC's lock that the project's outputs are being read by a run."""
    outputs = workplace.graph(run.project.graph).outputs.values()
    paths = [str(run.project.root / one) for some in outputs for one in some]
    entry = {"pid": pid, "cmd": f"{TITLE} {run.id} ({run.by})"}
    with guarded(run.project.root):
        content = without(content_of(run.project.root / RWLOCK), [])
        for path in paths:
            content["read"].setdefault(path, []).append(entry)
        keep(run.project.root / RWLOCK, content)


def release(run: Run) -> None:
    """Take back what ``hold`` noted, for all runs that are over."""
    with guarded(run.project.root):
        path = run.project.root / RWLOCK
        if path.exists():
            keep(path, without(content_of(path), [TITLE]))


def content_of(path: Path) -> dict[str, Any]:
    """Return a lock's content; an unreadable one was moved aside before."""
    return records.read_json(path) or {}


def without(content: Mapping[str, Any], titles: Iterable[str]) -> dict[str, Any]:
    """Return a lock's content less the read entries with these titles."""
    kept = {
        path: [one for one in some if not str(one["cmd"]).startswith(tuple(titles) or "\0")]
        for path, some in content.get("read", {}).items()
    }
    read = {path: some for path, some in kept.items() if some}
    return {"write": dict(content.get("write", {})), "read": read}


def keep(path: Path, content: Mapping[str, Any]) -> None:
    """Write a lock whole."""
    write_bytes(path, json.dumps(content).encode())


@contextlib.contextmanager
def guarded(root: Path) -> Iterator[None]:
    """Keep DVC from changing its lock meanwhile, by the lock of the lock."""
    (root / GUARD).parent.mkdir(parents=True, exist_ok=True)
    with records.held(root / GUARD, PATIENCE) as handle:
        if handle is None:
            raise BusyError.at(
                root / RWLOCK,
                found=_("another program that holds it"),
                allowed=_("one program at a time"),
                fix=_("Try again in a moment."),
            )
        yield
