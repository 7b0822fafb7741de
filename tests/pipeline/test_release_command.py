"""``python -m pipeline.release``: each subcommand, what it prints and what it does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import release
from pipeline.releases import state, store
from pipeline.releases.ledger import State
from pipeline.releases.reading import RELEASES
from tests.helpers import ROOT
from tests.pipeline import made_releases
from tests.pipeline.made_releases import lay_out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with releases 1.0.0, 1.1.0 and 1.2.0; tests take a copy."""
    return made_releases.three(tmp_path_factory.mktemp("made"))


@pytest.fixture
def releases(project: Path, made: Path) -> Path:
    """Return the releases of the project in which the test runs."""
    shutil.copytree(made, project, dirs_exist_ok=True)
    return project / RELEASES


@pytest.fixture
def command(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Return the command, as typed by anna, and what it prints."""
    made_releases.write_params()
    monkeypatch.setenv("MOFANG_USER", "anna")
    monkeypatch.delenv("MOFANG_RELEASES", raising=False)

    def run(*given: str) -> str:
        release.main(given)
        return capsys.readouterr().out

    return run


def test_the_command_from_making_to_removing(command: Any) -> None:
    assert "There is no release yet" in command("list")
    lay_out()
    said = command("create")
    assert "Release 0.1.0 is made: releases/0.1.0" in said
    assert "No Git tag: no Git repository holds this project." in said
    assert "promote 0.1.0" in said
    assert "Release 0.1.0 serves; before it: –" in command("promote", "0.1.0")
    assert "serves already" in command("promote", "0.1.0")
    lay_out(strength=6.0)
    assert "Release 1.0.0 serves; before it: 0.1.0" in command(
        "create", "--version", "1.0.0", "--promote"
    )
    lay_out(strength=7.0)
    command("create")
    said = command("canary", "1.1.0", "--share", "20")
    assert "Release 1.1.0 answers 20% of all clients, 1.0.0 the others." in said
    listed = command("list")
    for words in ("all requests", "20% of clients", "macro_f1 1.0000", "openvino_fp32", "anna"):
        assert words in listed
    assert "is tried no more and blocked; 1.0.0 answers all" in command(
        "rollback", "--canary", "--why", "too slow"
    )
    shown = command("show", "1.1.0")
    for words in ("12, all answered", "each file is as it was made", "too slow",
                  "account, delivery", "which kept every gate", "trial ended"):  # fmt: skip
        assert words in shown
    assert "10% of all requests" in command("canary", "1.1.0", "--shadow", "--force")
    assert "10% in shadow" in command("list")
    assert "Release 0.1.0 serves again; 1.0.0 is blocked." in command("rollback")
    assert "Release 1.0.0 is removed." in command("remove", "1.0.0")
    assert "1.0.0" not in "".join(store.versions())
    assert {one.by for one in State.read().events} == {"anna"}


def test_the_command_speaks_chinese_where_it_is_translated(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out()
    command("create", "--promote")
    monkeypatch.setenv("MOFANG_LANGUAGE", "zh")
    assert "0.1.0" in command("list")
    assert "0.1.0" in command("show", "0.1.0")


def test_the_command_works_on_the_releases_that_the_service_serves(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOFANG_RELEASES", str(tmp_path / "elsewhere"))
    lay_out()
    command("create", "--promote")
    assert State.read(tmp_path / "elsewhere").stable == "0.1.0"
    assert not RELEASES.exists()
    assert "all requests" in command("list")


def test_a_release_that_cannot_be_read_stands_in_the_list_with_the_reason(
    command: Any, releases: Path
) -> None:
    path = RELEASES / "1.1.0/origin.json"
    path.write_bytes(b"x" * path.stat().st_size)
    said = command("list")
    assert "1.2.0" in said
    assert "Expecting value" in said


def test_an_error_of_the_command_is_one_sentence(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.release", "promote", "1.0.0"], cwd=project, text=True,
        capture_output=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MOFANG_LANGUAGE": "en"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "releases/1.0.0: found no such release, allowed none, because there is no release yet. "
        "python -m pipeline.release create makes one."
    )


def test_twenty_promotions_take_seconds(releases: Path) -> None:
    """F12 switches twenty times in a minute."""
    begun = time.monotonic()
    for at in range(20):
        state.promote(("1.0.0", "1.1.0")[at % 2], "anna")
    assert time.monotonic() - begun < 20
    assert State.read().stable == "1.1.0"
