"""A project in a repository of its own, and what the tests of the Git record ask of it."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.studio import history
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.roles import Role, User, acting_as

ADA = User("ada", Role.OPERATOR)
PARAMS = """# every knob
train:
  epochs: 3   # how often
  learning_rate: 1.0e-5
collect:
  sources:
    - name: a
      limit: null
label:
  labels: [one, two]
"""


def git(project: Project, *arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=project.root, check=check, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no settings of this machine's Git count."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no-such-file"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")


@pytest.fixture
def project(tmp_path: Path, alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return a project in a repository with one commit; ada acts."""
    made = created(tmp_path / "project")
    monkeypatch.chdir(made.root)
    with acting_as(ADA):
        yield made


def created(root: Path) -> Project:
    """Make a project in a repository with one commit."""
    root.mkdir()
    made = Project(root)
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (root / ".gitignore").write_text("/var/\n/work/\n/releases/\n", encoding="utf-8")
    git(made, "init", "--quiet", "--initial-branch=main")
    git(made, "config", "user.name", "Ada")
    git(made, "config", "user.email", "ada@example.org")
    git(made, "add", "params.yaml", ".gitignore")
    git(made, "commit", "--quiet", "--message=Begin")
    return made


def change(project: Project, old: str, new: str) -> None:
    text = project.params.read_text(encoding="utf-8")
    assert old in text
    project.params.write_text(text.replace(old, new), encoding="utf-8")


def message(project: Project) -> str:
    return git(project, "log", "-1", "--format=%B")


def files(project: Project) -> list[str]:
    return git(project, "show", "--name-only", "--format=", "HEAD").split()


def hook(project: Project, name: str, script: str) -> None:
    path = project.root / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def save(project: Project, old: int, new: int) -> Recorded:
    change(project, f"epochs: {old}", f"epochs: {new}")
    return history.saved_params(project, "ada")
