"""What each user of the studio prefers: ``var/studio/preferences.json``, by the user's name."""

from __future__ import annotations

import json
from typing import Any

from app.studio import roles
from app.studio.audit import LOCK
from app.studio.locking import only_writer
from app.studio.project_files import Project
from app.studio.stamps import readable
from pipeline.artifacts import write_bytes

FILE = "preferences.json"
MOST = 1_000  # users


def get(project: Project, user: str, name: str, default: Any = None) -> Any:
    """Return what a user prefers, or ``default``; a damaged file counts as none."""
    mine = read(project).get(user)
    return mine.get(name, default) if isinstance(mine, dict) else default


def put(project: Project, name: str, value: Any) -> None:
    """Remember what the user at the page prefers.

    :raises RoleError: if the user has no role.
    """
    user = roles.require(roles.CHANGE_PREFERENCES, f"{name} = {value}")
    with only_writer(project.studio / LOCK):
        content = read(project)
        mine = content.pop(user.name, None)
        content[user.name] = (mine if isinstance(mine, dict) else {}) | {name: value}
        write(project, dict(list(content.items())[-MOST:]))


def write(project: Project, content: dict[str, Any]) -> None:
    """Write all preferences, in ASCII: names may hold what is no text; who calls holds the lock."""
    text = json.dumps(content, ensure_ascii=True, indent=2) + "\n"
    write_bytes(project.studio / FILE, text.encode("ascii"))


def read(project: Project) -> dict[str, Any]:
    """Return all preferences, to be changed by who gets them."""
    return dict(readable(project.studio / FILE) or {})


def forget(project: Project) -> None:
    """Forget all that the user at the page prefers.

    :raises RoleError: if the user has no role.
    """
    user = roles.require(roles.CHANGE_PREFERENCES, "forget")
    with only_writer(project.studio / LOCK):
        content = read(project)
        if content.pop(user.name, None) is not None:
            write(project, content)
