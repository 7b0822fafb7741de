"""What Git says about the project; None where no repository holds it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

LOCK = Path("dvc.lock")
PIPELINE = "dvc.yaml"
SECONDS = 30


def git(*arguments: str) -> bytes | None:
    """Return what a git command prints; None if it fails, or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env=os.environ | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def commit() -> str | None:
    """Return the commit that is checked out; None unless its repository holds this project.

    A project in a folder that another repository ignores belongs to none.
    """
    if git("ls-files", "--error-unmatch", "--", PIPELINE) is None:
        return None
    found = git("rev-parse", "HEAD")
    return None if found is None else found.decode().strip()


def is_dirty() -> bool:
    """Return whether a file that Git knows differs from the commit."""
    return bool(git("status", "--porcelain", "--untracked-files=no", "--", "."))


def lock_committed() -> str | None:
    """Return the sha256 of ``dvc.lock`` as it stands in the commit; None where it does not."""
    content = git("show", f"HEAD:./{LOCK}")
    return None if content is None else hashlib.sha256(content).hexdigest()


def below() -> str:
    """Return the project's folder below the repository's, ``""`` where they are one."""
    found = git("rev-parse", "--show-prefix")
    return "" if found is None else found.decode().strip().rstrip("/")


def root() -> str:
    """Return the folder of the repository; the current one where there is none."""
    found = git("rev-parse", "--show-toplevel")
    return "." if found is None else found.decode().strip()
