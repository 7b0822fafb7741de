"""Fixtures of several tests."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.e2e.nursery import nursery
from tests.e2e.project import Project

settings.register_profile("mofang", deadline=None, print_blob=True)
settings.load_profile("mofang")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the modules that read the built project to where only one of two workers comes by.

    Each of two begins with a half. Whoever needs the project while the other makes it would wait.
    """
    reading = {item.path for item in items if "built" in getattr(item, "fixturenames", ())}
    others = [item for item in items if item.path not in reading]
    there = len(others) * 3 // 4
    items[:] = [*others[:there], *(one for one in items if one.path in reading), *others[there:]]


def pytest_collection_finish() -> None:
    """Take what all modules imported for settled: nobody has to look for garbage in it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty project's folder, in which the test runs, in English."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOFANG_LANGUAGE", "en")
    (tmp_path / "data/raw").mkdir(parents=True)
    return tmp_path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project after a whole ``dvc repro``; tests only read it, or copy it.

    Its stages are forks of a process that has imported their libraries.

    Workers of pytest-xdist share the one that the first of them builds.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, log = shared / "built", shared / "built/first-run.log"
    with FileLock(shared / "built.lock"):
        if not log.exists():
            shutil.rmtree(folder, ignore_errors=True)
            with nursery() as variables:
                made = Project.create(folder)
                made.variables |= variables
                log.write_text(made.repro(), encoding="utf-8")
            made.commit()
    return Project(folder)
