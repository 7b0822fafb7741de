"""What the studio writes down: who did what, and what each user prefers."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from app.studio import audit, preferences
from app.studio.locking import only_writer
from app.studio.project_files import Project
from app.studio.roles import Role, User, acting_as
from pipeline.errors import BusyError


def doing(number: int) -> audit.Doing:
    return audit.Doing("ada", "operator", "edit_params", f"{number}")


@pytest.fixture
def here(project: Path) -> Project:
    """Return an empty project in which the test runs."""
    return Project(project)


def test_a_line_cannot_be_forged(here: Project) -> None:
    hostile = 'a\nb\r\x1b[31m\u202e\u2028{"user": "eve"}'
    audit.write(here, audit.Doing(hostile, "editor", "label", hostile + "x" * 1_000))
    content = (here.studio / audit.FILE).read_bytes()
    assert content.count(b"\n") == 1
    assert content.isascii()
    assert b"\x1b" not in content
    (line,) = audit.lines(here)
    assert line.user == hostile
    assert line.what == (hostile + "x" * 1_000)[: audit.LONGEST]


def test_a_full_file_moves_aside_and_the_oldest_goes(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FULL", 1_000)
    for number in range(100):
        audit.write(here, doing(number))
    files = list(here.studio.glob("audit.jsonl*"))
    assert len(files) == audit.FILES
    assert all(path.stat().st_size <= 1_000 for path in files)
    kept = [int(line.what) for line in audit.lines(here)]
    assert kept == list(range(99, 99 - len(kept), -1))
    assert 10 < len(kept) < 100
    assert [int(line.what) for line in audit.lines(here, 3, 2)] == [97, 96, 95]


def test_a_torn_line_takes_no_other_with_it(here: Project) -> None:
    audit.write(here, doing(1))
    with (here.studio / audit.FILE).open("a") as target:
        target.write('{"time": "20')
    audit.write(here, doing(2))
    assert [line.what for line in audit.lines(here)] == ["2", "1"]


def test_long_files_are_read_from_their_end(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BLOCK", 7)
    for number in range(5):
        audit.write(here, doing(number))
    assert [line.what for line in audit.lines(here)] == ["4", "3", "2", "1", "0"]


def write_many(root: Path, first: int) -> None:
    for number in range(first, first + 50):
        audit.write(Project(root), doing(number))


def test_several_programs_write_at_once(here: Project) -> None:
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=write_many, args=(here.root, at * 50)) for at in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sorted(int(line.what) for line in audit.lines(here, 1_000)) == list(range(200))


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "new/.lock"
    refused = pytest.raises(BusyError, match="one writer at a time")
    with only_writer(lock), refused, only_writer(lock, 0.1):
        pass
    with only_writer(lock, 0.1):
        assert lock.exists(), "its folder is made"


def test_each_user_has_preferences_of_their_own(here: Project) -> None:
    for name, language in (("ada", "zh"), ("lin", "en")):
        with acting_as(User(name, Role.VIEWER)):
            preferences.put(here, "language", language)
    assert preferences.get(here, "ada", "language") == "zh"
    assert preferences.get(here, "lin", "language") == "en"
    assert preferences.get(here, "eve", "language", "none") == "none"
    with acting_as(User("ada", Role.VIEWER)):
        preferences.forget(here)
    assert preferences.get(here, "ada", "language") is None
    assert preferences.get(here, "lin", "language") == "en"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"ada": 1}'])
def test_damaged_preferences_are_none(here: Project, content: str) -> None:
    here.studio.mkdir(parents=True)
    (here.studio / preferences.FILE).write_text(content)
    assert preferences.get(here, "ada", "language") is None
    with acting_as(User("ada", Role.VIEWER)):
        preferences.put(here, "language", "zh")
    assert preferences.get(here, "ada", "language") == "zh"
