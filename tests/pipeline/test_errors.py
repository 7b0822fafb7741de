"""Errors as data: what a stage says reaches a reader of any language."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import (
    DataError,
    MofangError,
    Problem,
    StorageError,
    packed,
    packed_text,
    unpacked,
    unpacked_text,
    words,
)
from pipeline.i18n import _
from pipeline.stage import note
from tests.helpers import ROOT, params_text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_numbers_of_every_kind_stay_numbers(language: str) -> None:
    found = _("byte 0x{byte:02X}, {share:.1f} of {all}, {name}", byte=np.int64(7),
              share=np.float32(0.25), all=True, name=Path("a"))  # fmt: skip
    told = unpacked_text(json.loads(json.dumps(packed_text(found))))
    assert words(told, language) == found.render(language) == "byte 0x07, 0.2 of True, a"


def test_an_error_of_an_unknown_kind_is_still_one() -> None:
    content = packed(DataError.at("a", found="b", allowed="c", fix="d"))
    told = unpacked(content | {"error": "NewerError"})
    assert type(told) is MofangError
    assert tuple(told.problems) == (Problem("a", "b", "c", "d"),)


def test_a_stage_that_fails_notes_why_for_both_languages(project: Path) -> None:
    (project / "params.yaml").write_text(params_text(), encoding="utf-8")
    target = project / "error.json"
    failed = subprocess.run(
        [sys.executable, "-m", "pipeline.clean"], cwd=project, capture_output=True, text=True,
        env=os.environ | {"MOFANG_ERROR": str(target), "PYTHONPATH": str(ROOT)},
        check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    told = unpacked(json.loads(target.read_text(encoding="utf-8")))
    assert told.render("en") == failed.stderr.strip()
    assert told.render("zh") != told.render("en")


def test_no_error_is_noted_where_nobody_asks_and_none_hides_another(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StorageError.at("models", found="x", allowed="y", fix="Mend it.")
    monkeypatch.delenv("MOFANG_ERROR", raising=False)
    note(error)
    assert [one.name for one in project.iterdir()] == ["data"]
    (project / "file").touch()
    monkeypatch.setenv("MOFANG_ERROR", str(project / "file" / "error.json"))
    note(error)
    assert (project / "file").read_bytes() == b""
