"""Fixtures of the studio's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime import Runtime


@pytest.fixture(autouse=True, scope="session")
def as_started() -> Iterator[None]:
    """Let pages run as ``python -m app.studio`` lets them, without what needs seconds for each.

    For every page that a test opens Streamlit reads the metadata of all installed packages, to find
    components among them; the studio uses none.
    """
    settings = {
        "runner.magicEnabled": False, "runner.postScriptGC": False,
        "browser.gatherUsageStats": False,
    }  # fmt: skip
    before = {name: config.get_option(name) for name in settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", list)
        for name, value in settings.items():
            config.set_option(name, value)
        yield
    for name, value in before.items():
        config.set_option(name, value)


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave each test in the folder it began in; nothing of this machine is in its environment."""
    for name in ("MOFANG_PROJECT", "MOFANG_ROLES", "MOFANG_RELEASES", "MOFANG_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOFANG_LANGUAGE", "en")
    monkeypatch.setenv("MOFANG_USER", "ada")
    monkeypatch.chdir(Path.cwd())
    # AppTest leaves its page there, and a process that is spawned later would begin with it.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    yield
    Runtime._instance = None  # a page that took too long leaves Streamlit's stand-in behind
