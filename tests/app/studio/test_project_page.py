"""The plan as a document and as a page."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.studio.project import (
    document,
    gantt,
    printing,
    risks,
    saving,
)  # fmt: skip
from app.studio.project.schedule import timeline
from app.studio.project.schema import Plan, Risk
from app.studio.project_files import Project
from app.studio.roles import Role, User, acting_as
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page, shown
from tests.app.studio.plans import (
    GOOD,
    HOSTILE,
    TODAY,
    asked,
    evidence,
    full,
    marked,
    plan_of,
    save,
)

# The document


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@LANGUAGES
@pytest.mark.parametrize("text", HOSTILE)
def test_the_document_holds_data_as_data(
    language: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOFANG_LANGUAGE", language)
    content = full()
    line = text.replace("\n", " ")
    content["about"] |= {"goal": text, "name": line}
    content["risks"][0] |= {"name": line, "measure": text}
    content["schedule"]["tasks"][0]["name"] = line
    content["schedule"]["milestones"][0]["name"] = line
    blocks = document.blocks(evidence(Plan.model_validate(content), GOOD, asked()), "p")
    page = printing.html(blocks, line, language)
    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "img", "iframe", "a", "link", "object", "form"}
    assert not {one for one in reader.attributes if one.startswith("on") or one in ("src", "href")}
    assert line in " ".join(reader.words)
    assert "default-src 'none'" in page
    assert not re.search(r"(?<!w3\.org)//[a-z]", re.sub(r"https?://(www.w3.org|127|x)", "", page))
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(printing.markdown(blocks))
    inner = [one for token in tokens for one in token.children or ()]
    assert not {one.type for one in inner} & {"image", "link_open", "html_inline", "code_inline"}
    assert not {one.type for one in tokens} & {
        "html_block",
        "fence",
        "code_block",
        "blockquote_open",
    }


@LANGUAGES
def test_the_document_says_everything(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFANG_LANGUAGE", language)
    plan = Plan.model_validate(full())
    blocks = document.blocks(evidence(plan, GOOD, asked()), "p")
    page, text = printing.html(blocks, "Desk", language), printing.markdown(blocks)
    for word in ("Question desk", "Answer faster", "Clerks", "Calls saved", "MiniLM", "Few data",
                 "Label more", "Engineer", "H200", "Train", "First model"):  # fmt: skip
        assert word in page
        assert word in text
    assert "<svg" in page
    assert ('lang="zh-CN"' if language == "zh" else 'lang="en"') in page
    empty = document.blocks(evidence(Plan()), "folder")
    assert "folder" in printing.markdown(empty)
    assert "<svg" not in printing.html(empty, "x", language)


def test_whatever_people_write_is_printed() -> None:
    content = marked()
    content["performance"]["texts_per_day"] = 4321.0
    content["success"][0]["value"] = 4322.0
    content["resources"]["people"][0]["days_spent"] = 4323.0
    content["resources"]["machines"][0]["spent"] = 4324.0
    content["budget"]["limit"] = 4325.0
    content["schedule"] |= {"start": date(2026, 11, 2), "deadline": date(2026, 11, 3)}
    content["risks"][0]["review"] = date(2026, 11, 4)
    told = [text for text in texts(content) if text != content["about"]["name"]]
    assert len(told) > 30
    blocks = document.blocks(evidence(Plan.model_validate(content)), "p")
    for page in (printing.html(blocks, "p", "en"), printing.markdown(blocks).replace("\\", "")):
        days = [f"{number} Nov 2026" for number in (2, 3, 4)]
        money = [f"4,32{number}" for number in (1, 2, 3, 4, 5)]
        missing = [one for one in (*told, *days, *money) if one not in page]
        assert not missing


def texts(content: Any) -> Iterator[str]:
    """Yield all texts of a plan."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for one in content.values() if isinstance(content, dict) else content:
            yield from texts(one)


def test_names_are_cut_only_in_the_picture() -> None:
    long = "a" * 100
    plan = plan_of(schedule={"tasks": [{"name": long}]})
    svg = gantt.svg(timeline(plan.schedule, TODAY), TODAY, None)
    assert long not in svg
    assert "…" in svg
    assert long in printing.markdown(document.blocks(evidence(plan), "p"))


# The page


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    """An empty project that no repository holds."""
    root = tmp_path / "desk"
    root.mkdir()
    shutil.copy(Path(__file__).parents[3] / "params.yaml", root)
    return Project(root)


@functools.cache
def saved() -> bytes:
    """Return the file of a plan that was saved part by part, as the page does."""
    with tempfile.TemporaryDirectory() as place:
        folder = Project(Path(place))
        save_all(folder)
        return (folder.root / "project.yaml").read_bytes()


def save_all(folder: Project) -> None:
    with acting_as(User("ada", Role.OPERATOR)):
        for name in Plan.model_fields:
            if name != "version":
                part = getattr(Plan.model_validate(full()), name)
                save(folder, name, saving.plain(part))
                for inner, value in ({} if isinstance(part, list) else dict(part)).items():
                    if isinstance(value, list):
                        save(folder, f"{name}.{inner}", saving.plain(value))


TABS = ["overview", "requirements", "feasibility", "models", "schedule", "resources", "risks",
        "document", "record"]  # fmt: skip


def open_tab(folder: Project, tab: str, language: str, role: Role = Role.OPERATOR) -> Any:
    return open_page("project", folder, language, role, tab=tab)


@LANGUAGES
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_is_drawn_without_and_with_a_plan(
    folder: Project, tab: str, language: str
) -> None:
    os.chdir(folder.root)
    open_tab(folder, tab, language)
    (folder.root / "project.yaml").write_bytes(saved())
    page = open_tab(folder, tab, language)
    assert len(shown(page)) > 200


@LANGUAGES
@pytest.mark.parametrize("tab", ["overview", "schedule", "resources", "risks"])
def test_nothing_is_counted_where_nothing_is_written_down(
    folder: Project, tab: str, language: str
) -> None:
    told = [one.value for one in open_tab(folder, tab, language).markdown]
    assert not [one for one in told if re.search(r"–|\b0\b", one)]


@LANGUAGES
def test_a_form_saves_and_says_so(folder: Project, language: str) -> None:
    page = open_tab(folder, "requirements", language)
    page.text_area(key="project.about.0.goal").set_value("Sort mail\nquicker")
    page.text_input(key="project.about.0.name").set_value("Post")
    page.button(key="project.about.0.save").click().run()
    assert_sound(page)
    assert saving.read(folder).about.goal == "Sort mail\nquicker"
    assert page.text_input(key="project.about.1.name").value == "Post"


def test_each_save_is_seen_at_once(folder: Project) -> None:
    page = open_tab(folder, "requirements", "en")
    for number, name in enumerate(("One", "Two", "Three")):
        page.text_input(key=f"project.about.{number}.name").set_value(name)
        page.button(key=f"project.about.{number}.save").click().run()
        assert_sound(page)
        assert not page.warning
        assert not page.info
    other = open_tab(folder, "document", "en")
    assert "# Three" in shown(other)
    with acting_as(User("bob", Role.EDITOR)):
        save(folder, "about", saving.value_at(saving.read(folder), "about") | {"name": "Four"})
    other.run()
    assert "# Four" in shown(other)


def test_who_comes_second_chooses(folder: Project) -> None:
    page = open_tab(folder, "requirements", "en")
    page.text_input(key="project.about.0.name").set_value("Mine")
    other = saving.value_at(Plan(), "about")
    with acting_as(User("bob", Role.EDITOR)):
        save(folder, "about", other | {"name": "Theirs"})
    page.button(key="project.about.0.save").click().run()
    assert_sound(page)
    assert saving.read(folder).about.name == "Theirs"
    assert "Theirs" in shown(page)
    page.button(key="project.about.0.mine").click().run()
    assert_sound(page)
    assert saving.read(folder).about.name == "Mine"


def test_somebody_elses_save_is_announced_and_typing_stays(folder: Project) -> None:
    page = open_tab(folder, "requirements", "en")
    with acting_as(User("bob", Role.EDITOR)):
        save(folder, "about", saving.value_at(Plan(), "about") | {"name": "Theirs"})
    page.run()
    # The same widgets: a browser keeps what is typed into them and not sent yet.
    assert page.text_input(key="project.about.0.name").value == ""
    assert any("Somebody else saved" in one.value for one in page.info)
    page.button(key="project.about.0.refresh").click().run()
    assert page.text_input(key="project.about.1.name").value == "Theirs"
    assert not any("Somebody else saved" in one.value for one in page.info)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LABELLER])
def test_who_may_only_look_sees_disabled_buttons(folder: Project, role: Role) -> None:
    page = open_tab(folder, "requirements", "en", role)
    assert page.button(key="project.about.0.save").disabled
    page = open_tab(folder, "record", "en", role)
    assert_sound(page)


def test_the_usual_phases_and_risks_are_filled_in(folder: Project) -> None:
    page = open_tab(folder, "schedule", "en")
    page.button(key="project.schedule.tasks.0.fill").click().run()
    assert_sound(page)
    assert len(saving.read(folder).schedule.tasks) == 7
    page = open_tab(folder, "risks", "en")
    page.button(key="project.risks.0.fill").click().run()
    assert_sound(page)
    assert len(saving.read(folder).risks) == len(risks.USUAL)


def test_the_first_page_waits_for_no_library_of_charts_and_tables(folder: Project) -> None:
    code = (
        "import sys; from tests.app.studio.pages import open_page; "
        f"open_page('project', __import__('pathlib').Path({str(folder.root)!r})); "
        "print(sorted({'altair', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    known = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=known, cwd=folder.root, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_damaged_file_is_explained(folder: Project) -> None:
    (folder.root / "project.yaml").write_text("about: {goal: 3}\n", encoding="utf-8")
    page = open_page("project", folder)
    assert any("about.goal" in one.value for one in page.error)


def test_no_page_fetches_a_picture(folder: Project) -> None:
    os.chdir(folder.root)
    picture = "![x](http://127.0.0.1:1/x.png) <img src=x>"
    content = full()
    content["success"][0]["name"] = picture
    content["risks"][0] |= {"name": picture, "owner": picture}
    with acting_as(User("ada", Role.OPERATOR)):
        save(folder, "success", content["success"])
        save(folder, "risks", [Risk.model_validate(one).model_dump() for one in content["risks"]])
    for tab in ("overview", "risks", "document"):
        page = open_tab(folder, tab, "en")
        assert not any("![x](" in one.value for one in page.markdown)
