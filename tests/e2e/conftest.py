"""A release that is served for real, made once and copied."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.e2e.studio_browser import Browser, driving, launched
from tests.helpers import ROOT


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with release 1.0.0 of a tiny model, promoted; tests copy it.

    Workers of pytest-xdist share the one that the first of them makes.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "released", shared / "released.done"
    with FileLock(shared / "released.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            told = subprocess.run(
                [sys.executable, "-m", "tests.e2e.served", str(folder)], cwd=ROOT, text=True,
                env=outside(folder), check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            assert told.returncode == 0, told.stdout
            done.touch()
    return folder


@pytest.fixture
def serving(released: Path, tmp_path: Path) -> Path:
    """A folder of its own in which release 1.0.0 is stable."""
    shutil.copytree(released / "releases", tmp_path / "releases")
    return tmp_path


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    """What starts browsers."""
    with driving() as made:
        yield made


@pytest.fixture(scope="module")
def shared_browser(playwright: Any) -> Iterator[Browser]:
    """A real browser of all tests of a module."""
    with launched(playwright) as made:
        yield made


@pytest.fixture
def browser(shared_browser: Browser) -> Iterator[Browser]:
    """A browser without tabs, for tests that are marked ``needs_browser``; it keeps its files."""
    yield shared_browser
    for page in [one for some in shared_browser.inner.contexts for one in some.pages]:
        page.close()


def outside(folder: Path) -> dict[str, str]:
    """Return variables with which Git sees no repository above a folder."""
    given = {"MOFANG_LANGUAGE": "en", "OMP_NUM_THREADS": "1"}
    return os.environ | given | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
