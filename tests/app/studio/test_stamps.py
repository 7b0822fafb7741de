"""Stamps tell files apart, and small files are read again only when they changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.studio.stamps import content, parsed, readable, stamp_of, stamps_of
from pipeline.errors import DataError


def test_a_stamp_tells_a_replaced_file_from_the_one_before(tmp_path: Path) -> None:
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    assert stamp_of(path) is None
    path.write_text('{"at": 1}')
    first = stamp_of(path)
    assert first is not None
    assert first == stamp_of(path)
    other.write_text('{"at": 2}')  # of the same size, and made to be of the same time
    os.utime(other, ns=(first.modified, first.modified))
    os.replace(other, path)
    second = stamp_of(path)
    assert second is not None
    assert (second.modified, second.size) == (first.modified, first.size)
    assert second != first
    assert content(path) == {"at": 2}


def test_what_is_missing_has_its_place_among_stamps(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = stamps_of([path, tmp_path])
    assert before[0] is None
    path.touch()
    assert stamps_of([path, tmp_path]) != before


def test_json_is_read_again_only_when_the_file_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"kept": 1}')
    found = content(path)
    assert found == {"kept": 1}
    assert content(path) is found
    assert readable(path) is found
    path.write_text('{"kept": 22}')
    assert content(path) == {"kept": 22}


@pytest.mark.parametrize("text", ["{", "[]", "1", "", "\xff", "[" * 100_000])
def test_damaged_json_is_told_or_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    assert readable(path) is None
    assert parsed(path.read_bytes()) is None
    with pytest.raises(DataError):
        content(path)


def test_no_file_is_no_damage(tmp_path: Path) -> None:
    assert content(tmp_path / "none.json") is None
    assert readable(tmp_path / "none.json") is None
    assert parsed(None) is None
