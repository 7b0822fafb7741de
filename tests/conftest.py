"""Fixtures of several tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("mofang", deadline=None, print_blob=True)
settings.load_profile("mofang")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty project's folder, in which the test runs, in English."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOFANG_LANGUAGE", "en")
    (tmp_path / "data/raw").mkdir(parents=True)
    return tmp_path
