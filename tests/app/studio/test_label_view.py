"""The page where people label: keys, undo, notes, suspects, agreement, a second look."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.studio import label_keys, label_lists, roles
from app.studio.project_files import Project
from app.studio.roles import Role, User
from pipeline.steps.targets import MULTI, REGRESSION
from tests.app.studio import data_project
from tests.app.studio.data_pages import LABELS, keys, press, tab
from tests.app.studio.data_project import lines, queued, records, said
from tests.app.studio.label_project import task
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page, shown
from tests.helpers import changed_text, record, write_records

made, here = data_project.made, data_project.here  # fixtures


def test_keys_label_and_the_next_record_follows(here: Project) -> None:
    ids = [one["id"] for one in records(here)[:6]]
    queued(here, ids)
    page = open_page("label", here)
    for at in range(3):
        press(page, at)
    found = lines(here, "ada")
    assert [(one["record"], one["label"]) for one in found] == list(zip(ids, LABELS, strict=False))
    assert any("location" in one.value for one in page.caption)
    assert page.button(key=f"label_0_queue_{ids[3]}")


def test_a_press_that_reaches_two_records_labels_the_one_that_is_seen(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the browser redraws, the keys of the last record are there beside the next one's."""
    state: dict[str, object] = {}
    monkeypatch.setattr(label_keys.st, "session_state", state)
    ids = [one["id"] for one in records(here)[:6]]
    queued(here, ids)
    with roles.acting_as(User("ada", Role.EDITOR)):
        first = task(here)
        assert first is not None
        label_keys.decide(here, first, LABELS[0])
        then = task(here)
        assert then is not None
        for one in (first, then):
            label_keys.decide(here, one, LABELS[1])
    assert [(one["record"], one["label"]) for one in lines(here, "ada")] == [
        (ids[0], LABELS[0]), (ids[1], LABELS[1]),
    ]  # fmt: skip
    assert label_keys.told_key("queue") not in state


def test_a_key_that_is_held_down_labels_one_record(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [one["id"] for one in records(here)[:6]]
    queued(here, ids)
    monkeypatch.setattr(label_keys, "HELD", 60.0)
    page = open_page("label", here)
    for _time in range(3):
        press(page, 0)
    assert [one["record"] for one in lines(here, "ada")] == ids[:1]
    assert any("too soon" in one.value for one in page.toast)
    press(page, 1)
    assert [one["record"] for one in lines(here, "ada")] == ids[:2], "another key is a decision"
    monkeypatch.setattr(label_keys, "HELD", 0.0)
    press(page, 1)
    assert [one["record"] for one in lines(here, "ada")] == ids[:3], "so is the same one, later"


def test_the_buttons_have_keys_and_the_guideline_stands_beside(here: Project) -> None:
    queued(here, [records(here)[0]["id"]])
    page = open_page("label", here)
    found = {name: one.proto.shortcut for name, one in keys(page).items()}
    assert [found[f"label_{at}_queue"] for at in range(3)] == ["1", "2", "3"]
    assert found["label_skip_queue"] == "s"
    assert page.button(key="label_undo_queue").proto.shortcut == "u"
    text = "\n".join(one.value for one in page.markdown)
    assert "Read it whole" in text
    assert "\u6307\u5357" not in text
    assert "\\![x]" in text
    assert "\u6307\u5357" in "\n".join(one.value for one in open_page("label", here, "zh").markdown)
    assert "*person*" not in keys(page)["label_0_queue"].help.replace("\\*", "")


def test_another_session_shows_the_same_record_and_its_note(here: Project) -> None:
    ids = [one["id"] for one in records(here)[:4]]
    queued(here, ids)
    page = open_page("label", here)
    press(page, 1)
    field = f"label_note_queue_{ids[1]}"
    page.text_input(key=field).set_value("unsure").run()
    again = open_page("label", here)
    assert again.text_input(key=field).value == "unsure"
    press(again, 0)
    assert lines(here, "ada")[-1]["note"] == "unsure"
    assert [one["record"] for one in lines(here, "ada")] == ids[:2]


def test_undo_and_skip_by_keys(here: Project) -> None:
    ids = [one["id"] for one in records(here)[:4]]
    queued(here, ids)
    page = open_page("label", here)
    press(page, 0)
    keys(page)["label_skip_queue"].click()
    page.run()
    page.button(key="label_undo_queue").click().run()
    page.button(key="label_undo_queue").click().run()
    assert_sound(page)
    assert any("You said **human**" in one.value for one in page.caption)
    press(page, 2)
    assert [one["label"] for one in lines(here, "ada")] == ["human", "location"]
    assert page.button(key=f"label_0_queue_{ids[1]}")


def test_a_list_that_is_done_says_so(here: Project) -> None:
    queued(here, [records(here)[0]["id"]])
    page = press(open_page("label", here), 0)
    assert any("The list is done" in one.value for one in page.info)


def test_a_list_can_be_made_by_a_button(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(project: Project, language: str) -> str:
        queued(project, [one["id"] for one in records(project)[:3]])
        return language

    monkeypatch.setattr(label_lists, "make_queue", make)
    page = open_page("label", here)
    assert any("no list of work yet" in one.value for one in page.info)
    page.button(key="label_list").click().run()
    assert_sound(page)
    press(page, 0)
    assert len(lines(here, "ada")) == 1


def test_suspects_show_both_labels_and_one_key_keeps(here: Project) -> None:
    page = tab(open_page("label", here), "label", "Suspects")
    assert any("a simple model says" in one.value for one in page.caption)
    first = label_lists.suspects(here).look(0)
    assert first is not None
    page.button(key=f"label_keep_{first.record}").click().run()
    assert_sound(page)
    assert [one["label"] for one in lines(here, "ada")] == [first.label]


def test_nobody_sees_what_others_said_of_a_record_of_the_overlap(here: Project) -> None:
    text = here.params.read_text(encoding="utf-8")
    assert '"overlap": 0.0' in text
    here.params.write_text(text.replace('"overlap": 0.0', '"overlap": 1.0'), encoding="utf-8")
    one = records(here)[0]["id"]
    said(one, "number", "bob", note="it counts something")
    queued(here, [one])
    page = open_page("label", here)
    assert keys(page)["label_0_queue"].key == f"label_0_queue_{one}", "it still needs a second one"
    everything = shown(page)
    assert "bob" not in everything
    assert "counts something" not in everything
    press(page, 0)
    assert [entry["label"] for entry in lines(here, "ada")] == ["human"]


def test_agreement_and_disagreements_stand_on_one_page(here: Project) -> None:
    ids = [one["id"] for one in records(here)[:40]]
    for at, one in enumerate(ids):
        said(one, LABELS[at % 3], "bob", minute=at)
        said(one, "human" if at < 2 else LABELS[at % 3], "cyd", minute=at, seconds=3)
    page = tab(open_page("label", here), "label", "Agreement")
    figures = {one.label: one.value for one in page.metric}
    assert figures["Annotators"] == "2"
    assert float(figures["Krippendorff's alpha"]) > 0.9
    told = "\n".join(one.value for one in page.caption)
    assert "bob says **number**" in told
    assert "cyd says **human**" in told
    press(page, 1, "disputes")
    (entry,) = lines(here, "ada")
    assert (entry["role"], entry["record"], entry["label"]) == ("adjudicator", ids[1], "number")


def test_a_second_look_accepts_or_returns(here: Project) -> None:
    here.params.write_text(
        here.params.read_text(encoding="utf-8").replace('"checked": 0.05', '"checked": 1.0'),
        encoding="utf-8",
    )
    one = records(here)[0]["id"]
    said(one, "human", "bob")
    page = tab(open_page("label", here), "label", "Second look")
    page.button(key=f"label_return_{one}").click().run()
    assert_sound(page)
    assert [entry["verdict"] for entry in lines(here, "ada")] == ["return"]


def test_a_labeller_settles_nothing(here: Project) -> None:
    page = open_page("label", here, role=Role.LABELLER)
    for name in ("Agreement", "Second look"):
        tab(page, "label", name)
        assert any("editor" in one.value for one in page.info)


def test_damaged_annotations_are_shown_and_labelling_goes_on(here: Project) -> None:
    queued(here, [one["id"] for one in records(here)[:2]])
    (here.annotations / "bob.jsonl").write_text('{"record": "r1"}\n', encoding="utf-8")
    page = open_page("label", here)
    assert any("bob.jsonl:1" in one.value for one in page.error)
    press(page, 0)
    assert len(lines(here, "ada")) == 1


@pytest.fixture
def other(project: Path) -> Project:
    """Return a project with a few cleaned records on its list, whose task a test chooses."""
    here = Project(project)
    write_records(here.stage("clean"), [record(at, f"Text {at}", None) for at in range(3)])
    return here


@LANGUAGES
def test_several_labels_are_switched_and_saved(other: Project, language: str) -> None:
    changes = {"label.task": MULTI, "label.labels": ["x", "y", "z"], "label.definitions": {},
               "label.mapping": {}, "label.annotation.overlap": 0.0}  # fmt: skip
    other.params.write_text(changed_text(changes), encoding="utf-8")
    queued(other, ["r0", "r1"])
    page = open_page("label", other, language)
    press(page, 2)
    press(page, 0)
    press(page, 2)
    press(page, 1)
    keys(page)["label_save_queue"].click()
    page.run()
    assert_sound(page)
    keys(page)["label_save_queue"].click()
    page.run()
    assert [one["label"] for one in lines(other, "ada")] == [["x", "y"], []]


@LANGUAGES
def test_numbers_are_typed_and_saved(other: Project, language: str) -> None:
    changes = {"label.task": REGRESSION, "label.labels": [], "label.definitions": {},
               "label.mapping": {}, "label.numbers": {"low": 0.0, "high": 5.0},
               "label.annotation.overlap": 0.0}  # fmt: skip
    other.params.write_text(changed_text(changes), encoding="utf-8")
    queued(other, ["r0", "r1"])
    page = open_page("label", other, language)
    page.number_input(key="label_value_queue_r0").set_value(3.5)
    next(one for one in page.button if one.form_id).click()
    page.run()
    assert_sound(page)
    assert [one["label"] for one in lines(other, "ada")] == [3.5]
    assert page.number_input(key="label_value_queue_r1")
