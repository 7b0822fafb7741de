"""Labelling: each press is on the disk once, nobody works twice, nothing is lost on a refresh."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.studio import desks, label_lists, labelling, roles
from app.studio.label_lists import CHECKS, DISPUTES, QUEUE, SUSPECTS, Table
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User
from pipeline import annotation
from pipeline.errors import DataError
from pipeline.records import trust
from pipeline.steps.annotations import read
from pipeline.steps.scheme import Scheme
from tests.app.studio.data_project import lines, said
from tests.app.studio.label_project import ADA, BOB, LABELS, before_me, change, laid_out, task
from tests.helpers import changed


@pytest.fixture
def here(project: Path) -> Iterator[Project]:
    """Return a project with cleaned records and a list of work; ada acts."""
    yield from laid_out(project)


# One press


def test_a_label_is_on_the_disk_before_the_next_record_is_shown(here: Project) -> None:
    assert before_me(here) == "r0"
    assert labelling.give(here, QUEUE, "r0", "human", " clear ")
    (entry,) = lines(here, "ada")
    assert entry["record"] == "r0"
    assert entry["label"] == "human"
    assert entry["note"] == "clear"
    assert entry["annotator"] == "ada"
    assert entry["role"] == "annotator"
    assert entry["guideline"] == trust.guideline()
    assert 0 <= entry["seconds"] < 60
    assert before_me(here) == "r1"


def test_the_disk_has_a_label_before_the_desk_is_cleared(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_me(here)
    done: list[str] = []
    sync, write = os.fsync, desks.write

    def synced(handle: int) -> None:
        sync(handle)
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)

    def written(*given: Any) -> None:
        done.append("desk")
        write(*given)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(desks, "write", written)
    assert labelling.give(here, QUEUE, "r0", "human")
    assert done.index("ada.jsonl") < done.index("desk")


def test_the_stage_reads_what_the_studio_writes(here: Project) -> None:
    for label in LABELS:
        found = task(here)
        assert found is not None
        assert labelling.give(here, QUEUE, found.item.record, label)
    text = (here.annotations / "ada.jsonl").read_text(encoding="utf-8")
    entries = read({"ada": text.split("\n")}, Scheme.of(changed().label))
    assert [one.labels for one in entries] == [(one,) for one in LABELS]


def test_a_second_press_for_the_same_record_counts_for_nothing(here: Project) -> None:
    before_me(here)
    assert labelling.give(here, QUEUE, "r0", "human")
    assert not labelling.give(here, QUEUE, "r0", "number")
    before_me(here)
    assert not labelling.give(here, QUEUE, "r0", "number"), "another record lies there by now"
    assert [one["label"] for one in lines(here, "ada")] == ["human"]


def test_presses_at_the_same_instant_count_once(here: Project) -> None:
    before_me(here)
    won: list[bool] = []

    def press(label: str) -> None:
        with roles.acting_as(ADA):
            won.append(labelling.give(here, QUEUE, "r0", label))

    threads = [threading.Thread(target=press, args=(one,)) for one in LABELS]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(won) == [False] * 5 + [True]
    assert len(lines(here, "ada")) == 1


@pytest.mark.parametrize("strange", ["nonsense", "", 3.5, ["human"], ["human", "number"]])
def test_what_is_no_label_is_refused_and_the_record_stays(here: Project, strange: object) -> None:
    before_me(here)
    if strange == ["human"]:  # a list of one is read as that one
        assert labelling.give(here, QUEUE, "r0", strange)
        return
    with pytest.raises(DataError):
        labelling.give(here, QUEUE, "r0", strange)  # type: ignore[arg-type]
    assert lines(here, "ada") == []
    assert before_me(here) == "r0"


def test_a_full_disk_loses_nothing(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before_me(here)

    def full(*_given: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr("app.studio.audit.write", lambda *given: None)
        with pytest.raises(Exception, match="no space left"):
            labelling.give(here, QUEUE, "r0", "human")
    assert before_me(here) == "r0"
    assert labelling.give(here, QUEUE, "r0", "human")
    assert len(lines(here, "ada")) == 1


# Refresh, skip, undo, note


def test_a_page_that_is_loaded_again_shows_the_same_record_and_note(here: Project) -> None:
    labelling.give(here, QUEUE, str(before_me(here)), "human")
    assert before_me(here) == "r1"
    labelling.keep_note(here, QUEUE, "r1", "half a thought")
    found = task(here)
    assert found is not None
    assert (found.item.record, found.note) == ("r1", "half a thought")
    labelling.keep_note(here, QUEUE, "r5", "for another record")
    again = task(here)
    assert again is not None
    assert again.note == "half a thought"
    assert again.since == found.since, "the clock does not start anew"


def test_skipped_records_stay_away_until_they_are_asked_for(here: Project) -> None:
    for _time in range(3):
        labelling.skip(here, QUEUE, str(before_me(here)))
    assert before_me(here) == "r3"
    assert label_lists.skipped(here, QUEUE, "ada") == ["r0", "r1", "r2"]
    labelling.take_up_skipped(here, QUEUE)
    labelling.give(here, QUEUE, "r3", "human")
    assert before_me(here) == "r0"
    assert len(lines(here, "ada")) == 1


def test_undo_goes_back_step_by_step_and_the_new_word_counts(here: Project) -> None:
    for label in ("human", "number", "entity"):
        labelling.give(here, QUEUE, str(before_me(here)), label)
    assert labelling.undo(here, QUEUE)
    found = task(here)
    assert found is not None
    assert found.held
    assert found.earlier is not None
    assert (found.item.record, found.earlier.labels) == ("r2", ("entity",))
    assert labelling.undo(here, QUEUE)
    assert before_me(here) == "r1"
    labelling.give(here, QUEUE, "r1", "location")
    assert before_me(here) == "r3", "it goes on where it was"
    spoken = Table.of(here).spoken
    assert spoken.labels("r1") == {"ada": "location"}
    assert spoken.labels("r2") == {"ada": "entity"}, "what was only looked at stays"
    assert [one["label"] for one in lines(here, "ada")] == ["human", "number", "entity", "location"]


def test_undo_outlives_a_refresh_and_stops_at_the_first(here: Project) -> None:
    assert not labelling.undo(here, QUEUE)
    labelling.give(here, QUEUE, str(before_me(here)), "human")
    assert labelling.undo(here, QUEUE)
    assert before_me(here) == "r0" == before_me(here)
    assert not labelling.undo(here, QUEUE)


def test_undo_brings_a_skipped_record_back(here: Project) -> None:
    labelling.give(here, QUEUE, str(before_me(here)), "human")
    labelling.skip(here, QUEUE, str(before_me(here)))
    assert labelling.undo(here, QUEUE)
    assert before_me(here) == "r1"
    assert label_lists.skipped(here, QUEUE, "ada") == []


def test_leaving_a_label_as_it_is_adds_nothing(here: Project) -> None:
    labelling.give(here, QUEUE, str(before_me(here)), "human")
    labelling.undo(here, QUEUE)
    assert labelling.skip(here, QUEUE, "r0")
    assert len(lines(here, "ada")) == 1
    assert label_lists.skipped(here, QUEUE, "ada") == []
    assert before_me(here) == "r1"


def test_a_record_can_be_chosen_and_labelled_again(here: Project) -> None:
    assert labelling.ask_for(here, "r15"), "it is not on the list"
    assert before_me(here) == "r15"
    assert labelling.give(here, QUEUE, "r15", "human")
    assert not labelling.ask_for(here, "nowhere")
    assert before_me(here) == "r0"


# Several people


def test_two_people_get_different_records(here: Project) -> None:
    assert before_me(here, who="ada") == "r0"
    assert before_me(here, who="bob") == "r1"
    labelling.give(here, QUEUE, "r0", "human")
    assert before_me(here, who="ada") == "r2"


def test_a_record_that_somebody_left_lying_goes_to_others(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert before_me(here, who="ada") == "r0"
    monkeypatch.setattr(desks, "FORGOTTEN", 0.0)
    assert before_me(here, who="bob") == "r0"


def test_the_overlap_is_labelled_by_several_who_do_not_see_each_other(here: Project) -> None:
    change(here, annotation__overlap=1.0)
    assert before_me(here, who="ada") == "r0" == before_me(here, who="bob")
    labelling.give(here, QUEUE, "r0", "human")
    found = task(here, who="bob")
    assert found is not None
    assert (found.item.record, found.earlier) == ("r0", None)
    assert before_me(here, who="cyd") == "r1", "ada said it and bob has it: enough"


def test_progress_counts_what_is_done_and_what_waits_for_others(here: Project) -> None:
    change(here, annotation__overlap=1.0)
    for _time in range(4):
        labelling.give(here, QUEUE, str(before_me(here)), "human")
    labelling.skip(here, QUEUE, str(before_me(here)))
    table = Table.of(here)
    now = label_lists.work(table, QUEUE)
    found = labelling.progress(table, now, "ada")
    assert (found.total, found.done, found.mine, found.others) == (10, 0, 4, 4)
    assert (found.open, found.skipped) == (5, 1)
    with roles.acting_as(BOB):
        labelling.give(here, QUEUE, str(before_me(here, who="bob")), "number")
    table = Table.of(here)
    assert labelling.progress(table, now, "ada").done == 1


def test_a_returned_record_goes_to_anybody_again(here: Project) -> None:
    labelling.give(here, QUEUE, str(before_me(here)), "human")
    said("r0", None, "cyd", minute=2 * 24 * 60, role="checker", verdict="return")
    assert before_me(here) == "r0"
    labelling.give(here, QUEUE, "r0", "number")


def test_disputes_are_settled_over_all_votes(here: Project) -> None:
    for at, other in ((1, "number"), (2, "human")):
        said(f"r{at}", "human", "bob")
        said(f"r{at}", other, "cyd", note="it counts something")
    assert before_me(here, DISPUTES) == "r1"
    assert labelling.give(here, DISPUTES, "r1", "number")
    assert before_me(here, DISPUTES) is None
    entries = {"f": (here.annotations / "ada.jsonl").read_text(encoding="utf-8").split("\n")}
    (entry,) = read(entries, Scheme.of(changed().label))
    assert (entry.role, entry.labels) == ("adjudicator", ("number",))
    assert labelling.undo(here, DISPUTES)
    found = task(here, DISPUTES)
    assert found is not None
    assert found.item.record == "r1"
    assert found.held


def test_nobody_checks_their_own_labels(here: Project) -> None:
    said("r1", "human", "ada")
    said("r2", "human", "bob")
    assert before_me(here, CHECKS) == "r2"
    assert labelling.give(here, CHECKS, "r2", "return")
    assert before_me(here, CHECKS) is None
    (entry,) = [one for one in lines(here, "ada") if one.get("role") == "checker"]
    assert entry["verdict"] == "return"
    assert "label" not in entry


# Roles


@pytest.mark.parametrize("which", [QUEUE, SUSPECTS, DISPUTES, CHECKS])
def test_who_may_not_changes_nothing(here: Project, which: str) -> None:
    before_me(here, which)
    few = Role.VIEWER if which in (QUEUE, SUSPECTS) else Role.LABELLER
    acts: list[Callable[[], object]] = [
        lambda: labelling.give(here, which, "r0", "human"),
        lambda: labelling.skip(here, which, "r0"),
        lambda: labelling.undo(here, which),
        lambda: labelling.ask_for(here, "r3", which),
        lambda: labelling.keep_note(here, which, "r0", "x"),
        lambda: labelling.take_up_skipped(here, which),
    ]
    with roles.acting_as(User("eve", few)):
        for act in acts:
            with pytest.raises(RoleError):
                act()
    assert not list(here.annotations.glob("*.jsonl"))


def test_a_viewer_neither_makes_lists_nor_records_in_git(here: Project) -> None:
    with roles.acting_as(User("eve", Role.VIEWER)):
        with pytest.raises(RoleError):
            label_lists.make_queue(here, "en")
        with pytest.raises(RoleError):
            labelling.record_labels(here)


@pytest.mark.parametrize(
    ("user", "plain"),
    [("ada", True), ("ada@example.org", True), ("\u738b\u82b3", True), ("uid 0", False),
     ("../../x", False), ("a" * 300, False), ("", False), (".hidden", False), ("a/b", False)],
)  # fmt: skip
def test_every_user_has_a_file_of_their_own(here: Project, user: str, plain: bool) -> None:
    name = labelling.annotator(user)
    assert (name == user) is plain
    path = annotation.file_of(name)
    assert path.parent == Path("data/annotations")
    assert labelling.annotator(user + "x") != name
