"""Outputs whole or not at all, and a template that loses nothing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import artifacts, template
from pipeline.errors import GateError, ModelError, ParamsError, StorageError
from pipeline.quiet import SWITCHES
from tests.helpers import ROOT


def made(final: Path, content: str) -> None:
    with artifacts.output_folder(final) as folder:
        (folder / "inner").mkdir()
        (folder / "inner/file.txt").write_text(content)


def failing(final: Path, error: BaseException) -> None:
    with artifacts.output_folder(final) as folder:
        (folder / "half").write_text("two")
        raise error


def test_a_folder_is_there_whole_with_its_manifest(tmp_path: Path) -> None:
    made(tmp_path / "out", "one")
    artifacts.verify_manifest(tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert list(manifest) == ["inner/file.txt"]
    assert manifest["inner/file.txt"]["bytes"] == 3


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    final = tmp_path / "out"
    made(final, "one")
    with pytest.raises(type(error)):
        failing(final, error)
    assert (final / "inner/file.txt").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    made(tmp_path / "out", "one")
    (tmp_path / "out/extra").write_text("from before")
    made(tmp_path / "out", "two")
    assert not (tmp_path / "out/extra").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".out.tmp-{dead.pid}").mkdir()
    (tmp_path / f".out.tmp-{os.getppid()}").mkdir()
    made(tmp_path / "out", "one")
    assert {path.name for path in tmp_path.iterdir()} == {"out", f".out.tmp-{os.getppid()}"}


def test_a_killed_run_that_had_our_number_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the numbers of processes come again."""
    monkeypatch.chdir(tmp_path)
    for left in (tmp_path / f".out.tmp-{os.getpid()}", tmp_path / f"work/.clean.tmp-{os.getpid()}"):
        left.mkdir(parents=True)
        (left / "half").write_text("of an earlier run")
    made(tmp_path / "out", "whole")
    with artifacts.scratch("clean") as folder:
        assert not list(folder.iterdir())
    assert not list((tmp_path / "work").iterdir())
    assert not (tmp_path / "out/half").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_in_one_way(tmp_path: Path, number: int) -> None:
    with pytest.raises(StorageError, match="found no space left on the disk"):
        failing(tmp_path / "out", OSError(number, "x"))
    assert not list(tmp_path.iterdir())


def test_other_failures_keep_their_own_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="broken"):
        failing(tmp_path / "out", OSError(errno.EIO, "broken"))
    with pytest.raises(GateError):
        failing(tmp_path / "out", GateError.at("x", found="1", allowed="2", fix=""))


def test_json_knows_no_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    artifacts.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        artifacts.write_json(path, {"a": float("nan")})
    assert artifacts.read_json(path) == {"a": 1}


def test_every_damaged_file_is_named(tmp_path: Path) -> None:
    with artifacts.output_folder(tmp_path / "out") as folder:
        for name in ("a", "b", "c"):
            (folder / name).write_text(name)
    (tmp_path / "out/a").write_text("other")
    (tmp_path / "out/b").unlink()
    with pytest.raises(ModelError) as caught:
        artifacts.verify_manifest(tmp_path / "out")
    assert len(caught.value.problems) == 2


def test_a_template_keeps_what_stood_there(project: Path) -> None:
    (project / "params.yaml").write_text("mine")
    kept = template.apply("tiny")
    assert kept is not None
    assert kept.read_text() == "mine"
    assert (project / "params.yaml").read_bytes() == (template.TEMPLATES / "tiny.yaml").read_bytes()
    assert template.apply("tiny") is None, "nothing to keep the second time"
    with pytest.raises(ParamsError, match=r"no such template, allowed .*tiny"):
        template.apply("../../etc/passwd")


def test_nothing_reports_home() -> None:
    program = "from pipeline.quiet import be_quiet; be_quiet(); import os, openvino_telemetry"
    clean = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr
    config = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config
