"""Both READMEs say what ``dvc.yaml`` and the Makefile say."""

from __future__ import annotations

import re

import pytest

from tests.contracts import documents
from tests.contracts.closure import ROOT

EVERY_README = pytest.mark.parametrize(("name", "language"), documents.READMES.items())


@EVERY_README
def test_generated_parts_are_up_to_date(name: str, language: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert documents.table(language) in text
    assert documents.graph() in text
    assert documents.filled(text, language) == text, "run make docs"


@EVERY_README
def test_the_two_commands_are_on_the_first_screen(name: str, language: str) -> None:
    first = "\n".join((ROOT / name).read_text(encoding="utf-8").splitlines()[:40])
    assert "make run" in first
    assert "make test" in first


@EVERY_README
def test_every_make_target_named_exists(name: str, language: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([\w-]+)`", (ROOT / name).read_text(encoding="utf-8")))
    assert named
    assert named <= targets


@EVERY_README
def test_every_file_named_exists(name: str, language: str) -> None:
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (ROOT / link.split("#")[0]).exists(), link


def test_the_graph_is_one_line_of_stages_with_its_branches() -> None:
    graph = documents.graph()
    assert "  collect --> clean" in graph
    assert "  train --> validate" in graph
    assert "  validate --> optimize" in graph
