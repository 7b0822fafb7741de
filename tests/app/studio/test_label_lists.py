"""What people said, at this moment; the lists of work; and their entries in the Git record."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from app.studio import desks, label_lists, label_texts, labelling, labels_at_work, reading, roles
from app.studio.label_lists import CHECKS, DISPUTES, QUEUE, SUSPECTS, Table
from app.studio.project_files import Project
from app.studio.stamps import stamp_of
from app.studio.text_changes import marked
from pipeline.errors import BusyError, DataError
from pipeline.steps.annotations import by_record, read
from tests.app.studio.data_project import said
from tests.app.studio.label_project import (
    BOB,
    before_me,
    change,
    laid_out,
    suspect,
    suspected,
    task,
)
from tests.helpers import record, write_records


@pytest.fixture
def here(project: Path) -> Iterator[Project]:
    """Return a project with cleaned records and a list of work; ada acts."""
    yield from laid_out(project)


# What stands at this moment


def test_only_what_came_since_is_read(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = Table.of(here).scheme
    said("r1", "human", "bob")
    assert labels_at_work.spoken(here, scheme).labels("r1") == {"bob": "human"}
    parsed: list[bytes] = []
    real = labels_at_work.annotation

    def watched(line: bytes, where: str) -> object:
        parsed.append(line)
        return real(line, where)

    monkeypatch.setattr(labels_at_work, "annotation", watched)
    before = labels_at_work.spoken(here, scheme)
    assert labels_at_work.spoken(here, scheme) is before
    said("r2", "number", "bob")
    after = labels_at_work.spoken(here, scheme)
    assert len(parsed) == 1
    assert (set(before.said), set(after.said)) == ({"r1"}, {"r1", "r2"})
    assert after.number != before.number


def test_it_comes_to_what_the_label_stage_reads(here: Project) -> None:
    moments = [("r1", "human", "bob"), ("r1", "number", "cyd"), ("r1", "entity", "bob"),
               ("r2", "human", "cyd")]  # fmt: skip
    table = Table.of(here)
    for at, (one, label, who) in enumerate(moments):
        said(one, label, who, minute=at)
        table = Table.of(here)
    said("r1", "location", "dan", minute=9, role="adjudicator")
    table = Table.of(here)
    files = {str(path): path.read_text(encoding="utf-8").split("\n")
             for path in sorted(here.annotations.glob("*.jsonl"))}  # fmt: skip
    wanted = by_record(read(files, table.scheme))
    assert dict(table.spoken.said).keys() == wanted.keys()
    for one, known in wanted.items():
        found = table.spoken.said[one]
        assert (dict(found.votes), found.verdict) == (dict(known.votes), known.verdict)
        assert (found.adjudicated is None) == (known.adjudicated is None)


@pytest.mark.parametrize("how", ["rewritten", "shortened", "removed"])
def test_a_file_that_somebody_edited_is_read_anew(here: Project, how: str) -> None:
    scheme = Table.of(here).scheme
    for at in range(4):
        said(f"r{at}", "human", "bob")
    assert len(labels_at_work.spoken(here, scheme).said) == 4
    path = here.annotations / "bob.jsonl"
    content = path.read_text(encoding="utf-8")
    if how == "rewritten":
        path.write_text(content.replace("human", "number") + content[:0], encoding="utf-8")
        with path.open("a", encoding="utf-8") as target:
            target.write(content.splitlines()[0].replace("r0", "r9") + "\n")
        found = labels_at_work.spoken(here, scheme)
        assert found.labels("r1") == {"bob": "number"}
        assert found.labels("r9") == {"bob": "human"}
    elif how == "shortened":
        path.write_text(content.splitlines()[0] + "\n", encoding="utf-8")
        assert set(labels_at_work.spoken(here, scheme).said) == {"r0"}
    else:
        path.unlink()
        assert not labels_at_work.spoken(here, scheme).said


def test_damaged_and_half_written_lines_are_told_and_hide_nothing(here: Project) -> None:
    said("r1", "human", "bob")
    with (here.annotations / "bob.jsonl").open("ab") as target:
        target.write(b'{"record": "r2"}\n\xff\xfe\n{"record": "r3", "annotator": "bob", "la')
    found = Table.of(here).spoken
    assert found.labels("r1") == {"bob": "human"}
    assert [one.where for one in found.problems] == [
        "data/annotations/bob.jsonl:2", "data/annotations/bob.jsonl:3"
    ]  # fmt: skip
    assert before_me(here) == "r0"


def test_another_task_judges_all_lines_anew(here: Project) -> None:
    said("r1", "human", "bob")
    assert not Table.of(here).spoken.problems
    change(here, labels=["x", "y"], definitions={}, mapping={})
    table = Table.of(here)
    assert (len(table.spoken.said), len(table.spoken.problems)) == (0, 1)


# Lists


def test_suspects_come_likeliest_first_and_leave_when_somebody_spoke(here: Project) -> None:
    suspected(here, [suspect(at) for at in (1, 2, 3)])
    found = task(here, SUSPECTS)
    assert found is not None
    assert (found.item.record, found.item.label, found.item.suggested) == ("r1", "human", "number")
    labelling.give(here, SUSPECTS, "r1", "number")
    assert before_me(here, SUSPECTS) == "r2"
    with roles.acting_as(BOB):
        assert before_me(here, SUSPECTS, "bob") == "r3"


def test_a_list_of_many_suspects_is_read_a_page_at_a_time(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspected(here, [suspect(at) for at in range(2_500)], group=400)
    asked: list[int] = []
    real = reading.page

    def watched(path: Path, offset: int, limit: int, columns: object) -> object:
        asked.append(offset)
        return real(path, offset, limit, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "page", watched)
    for at in range(1_300):
        said(f"r{at}", "human", "bob", minute=3 * 24 * 60)
    found = task(here, SUSPECTS)
    assert found is not None
    assert (found.item.record, found.item.text) == ("r1300", "Text 1300")
    assert found.item.probability == 0.9
    assert asked == [1_200], "of the texts that page which is next, and no other"
    table = Table.of(here)
    how_far = labelling.progress(table, label_lists.work(table, SUSPECTS), "ada")
    assert (how_far.total, how_far.done, how_far.open, how_far.mine) == (2_500, 1_300, 1_200, 0)


def test_all_disputes_can_be_settled_also_beyond_those_that_are_looked_up(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_texts, "AHEAD", 3)
    for at in range(8):
        said(f"r{at}", "human", "bob")
        said(f"r{at}", "number", "cyd")
    said("gone", "human", "bob")
    said("gone", "number", "cyd")
    settled = []
    while (one := before_me(here, DISPUTES)) is not None:
        assert labelling.give(here, DISPUTES, one, "human")
        settled.append(one)
    assert sorted(settled) == [f"r{at}" for at in range(8)], "what is no record is passed over"
    table = Table.of(here)
    left = labelling.progress(table, label_lists.work(table, DISPUTES), "ada")
    assert (left.total, left.open) == (0, 0)


def test_a_record_that_left_the_data_is_passed_over(here: Project) -> None:
    said("gone", "human", "bob")
    said("r3", "human", "bob")
    assert before_me(here, CHECKS) == "r3"


def test_long_lists_and_many_labels_are_quick(here: Project) -> None:
    count = 100_000  # the longest queue that the schema allows
    write_records(here.stage("clean"), [record(0, "Text 0", None)])
    folder = here.work / "annotation"
    entry = '{"record": "n%d", "text": "Text", "why": "unlabelled"}'
    (folder / "queue.jsonl").write_text("\n".join(entry % at for at in range(count)) + "\n")
    line = (
        '{"record": "n%d", "annotator": "bob", "label": "human", '
        '"time": "2026-01-01T00:00:00+00:00"}'
    )
    (here.annotations / "bob.jsonl").write_text(
        "\n".join(line % at for at in range(count // 4)) + "\n"
    )
    assert before_me(here) == f"n{count // 4}"  # reads both
    began = time.process_time()
    assert labelling.give(here, QUEUE, f"n{count // 4}", "human")
    table = Table.of(here)
    now = label_lists.work(table, QUEUE)
    assert labelling.next_task(table, now, "ada") is not None
    assert labelling.progress(table, now, "ada").done == count // 4 + 1
    assert time.process_time() - began < 1.0


def test_a_damaged_list_is_named(here: Project) -> None:
    label_lists.queue_file(here).write_text('{"record": "r1"}\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        task(here)
    assert caught.value.problems[0].where == str(label_lists.queue_file(here))


def test_a_damaged_desk_is_an_empty_one(here: Project) -> None:
    before_me(here)
    desks.path_of(here, QUEUE, "ada").write_bytes(b'{"record": 1')
    assert before_me(here) == "r0"


def test_the_list_is_made_by_a_process_of_its_own(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert label_lists.COMMAND == ("python", "-m", "pipeline.annotation", "queue")

    def stand_in(program: str) -> None:
        monkeypatch.setattr(label_lists, "COMMAND", ("python", "-c", program))

    stand_in("import os; print(os.environ['MOFANG_LANGUAGE'], os.getcwd())")
    assert label_lists.make_queue(here, "zh") == f"zh {here.root}"
    for program, complaint in (
        ("import sys; print('3 wait'); sys.exit('the disk is full')", "the disk is full"),
        ("print('3 wait'); raise SystemExit(1)", "3 wait"),
        ("raise SystemExit(7)", "7"),
    ):
        stand_in(program)
        with pytest.raises(DataError) as caught:
            label_lists.make_queue(here, "en")
        assert caught.value.problems[0].found == complaint


def test_a_list_that_takes_too_long_ends_with_all_that_it_started(
    here: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "late"
    program = f"import subprocess; subprocess.run('sleep 3; touch {note}', shell=True)"
    monkeypatch.setattr(label_lists, "COMMAND", ("python", "-c", program))
    with pytest.raises(DataError, match="no answer within 1 s"):
        label_lists.make_queue(here, "en", seconds=1.0)
    time.sleep(3.0)
    assert not note.exists()


def test_two_lists_are_not_made_at_once(here: Project) -> None:
    lock = FileLock(label_lists.queue_file(here).parent / ".queue.lock")
    with lock, pytest.raises(BusyError):
        label_lists.make_queue(here, "en")


def test_the_guideline_speaks_the_readers_language_and_fetches_nothing(here: Project) -> None:
    path = here.annotations / "guideline.md"
    path.write_text("# Rules ![x](http://a/b.png)\n\n---\n\n# \u89c4\u5219\n", encoding="utf-8")
    stamp = stamp_of(path)
    assert stamp is not None
    assert label_texts.guideline(stamp, "en") == "#### Rules \\![x](http://a/b.png)"
    assert label_texts.guideline(stamp, "zh") == "#### \u89c4\u5219"


def test_keys_are_different_and_leave_the_pages_own_alone() -> None:
    names = [f"label {at}" for at in range(40)]
    keys = [key for _label, key in labelling.choices(names) if key]
    assert keys[:10] == list("1234567890")
    assert len(set(keys)) == len(keys) == 30
    assert not set(keys) & set("CRSUNK")


# The Git record


def test_labels_are_recorded_in_git(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        for command in (["git", "init", "-q"], ["git", "config", name, value]):
            subprocess.run(command, cwd=here.root, check=True)
    for _time in range(3):
        labelling.give(here, QUEUE, str(before_me(here)), "human")
    assert labelling.unrecorded(here, "ada") == 3
    told = labelling.record_labels(here)
    assert told.state == "committed", told
    assert labelling.unrecorded(here, "ada") == 0
    log = subprocess.run(
        ["git", "show", "--stat", "--format=%s"], cwd=here.root, capture_output=True, check=True
    ).stdout.decode()
    assert "ada.jsonl" in log
    assert "params.yaml" not in log
    assert json.loads((here.annotations / "ada.jsonl").read_text().splitlines()[0])


# Words


def test_changes_are_marked_and_nothing_of_them_runs() -> None:
    assert marked("a b", "a c") == "a :red-background[~~b~~]:green-background[**c**]"
    assert marked("same", "same") == "same"
    found = marked("<b>x</b> $y$ ![z](http://a)", "x")
    assert "<b>" not in found.replace("\\<", "")
    assert "![" not in found
    assert "\u2423" in marked("a  b", "a b")
