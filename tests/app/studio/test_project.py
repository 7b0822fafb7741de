"""The plan: what it may say, how it is saved, and its tables."""

from __future__ import annotations

import json
import os
import string
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.studio.project import (
    choices,
    risks,
    saving,
    schema,
)  # fmt: skip
from app.studio.project.fields import Part, view_of, views
from app.studio.project.rows import frame_of, rows_of
from app.studio.project.saving import ChangedMeanwhileError
from app.studio.project.schema import Plan, Risk, Task
from app.studio.project_files import Project
from app.studio.repository import Repository
from app.studio.roles import Role, RoleError, User, acting_as
from pipeline.errors import ParamsError, words
from pipeline.i18n import Message
from tests.app.studio.plans import (
    HOSTILE,
    TODAY,
    full,
    marked,
    plan_of,
    save,
)

PARTS = [
    model
    for model in vars(schema).values()
    if isinstance(model, type) and issubclass(model, Part) and model not in (Part, Plan)
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder, in which the test runs as an editor would."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


# What it may say


@pytest.mark.parametrize("model", PARTS, ids=lambda one: one.__name__)
def test_every_field_explains_itself_in_both_languages(model: type[Part]) -> None:
    for name, info in model.model_fields.items():
        extra: Any = info.json_schema_extra
        assert isinstance(extra["title"], Message), name
        assert isinstance(extra["help"], Message), name
        view = view_of(name, info)
        if view is not None and view.kind == "choice":
            assert all(isinstance(one, Message) for one in view.choices.values())
        if view is not None and view.kind in ("whole", "number"):
            assert view.low is not None, name
            assert view.high is not None, name
        if view is not None and view.kind in ("line", "text"):
            assert view.longest or name == "currency", name


def test_what_the_guide_asks_for_is_there() -> None:
    """Requirements, feasibility, schedule, resources, budget and risks of the two seeds."""
    fields = {f"{name}.{one.name}" for name, info in Plan.model_fields.items()
              if isinstance(info.annotation, type) and issubclass(info.annotation, Part)
              for one in views(info.annotation)}  # fmt: skip
    assert fields >= {
        "about.goal", "about.users", "about.scenario", "performance.quality",
        "performance.latency_ms", "performance.texts_per_second", "function.can",
        "function.cannot", "safety.privacy", "safety.content", "cost.training",
        "cost.serving_per_month", "data.sources", "models.alternatives",
    }  # fmt: skip
    assert list(choices.PHASES) == ["requirements", "data", "design", "training", "evaluation",
                                    "deployment", "monitoring"]  # fmt: skip
    assert {"data", "performance", "complexity", "time", "cost", "change"} <= set(choices.RISKS)
    assert {"validate", "alternative", "communicate"} <= set(choices.ANSWERS)
    assert {"gpu", "tpu", "storage", "network"} <= set(choices.MACHINES)
    assert {"hardware", "people", "cloud"} <= set(choices.SPENDING)
    assert {one.kind for one in risks.USUAL} == set(choices.RISKS)


@pytest.mark.parametrize(
    ("content", "where", "word"),
    [
        ("goal: x", "goal", "only known names"),
        ("about: {goal: 3}", "about.goal", "text"),
        ("about: {name: " + "x" * 200 + "}", "about.name", "120 characters"),
        ('about: {goal: "a\\u202eb"}', "about.goal", "signs"),
        ("risks: [{kind: data}]", "risks.0.name", "a value"),
        ("risks: [{name: x, likelihood: 6}]", "risks.0.likelihood", "at most 5"),
        ("risks: [{name: x, likelihood: 0}]", "risks.0.likelihood", "at least 1"),
        ("schedule: {start: tomorrow}", "schedule.start", "2026-12-31"),
        ("budget: {limit: .nan}", "budget.limit", "finite"),
        ("budget: {currency: Euro}", "budget.currency", "[A-Z]"),
        ("about: &a {goal: x}", "", "plain values"),
        ("[", "", "YAML 1.2"),
        ("version: 2", "version", "1"),
    ],
)
def test_what_is_not_allowed_is_named_with_its_place(content: str, where: str, word: str) -> None:
    with pytest.raises(ParamsError) as caught:
        saving.check(content.encode())
    problem = caught.value.problems[0]
    assert problem.where.startswith("project.yaml:1")
    assert where in problem.where
    assert word in words(problem.allowed, "en")


def test_too_large_a_file_is_refused() -> None:
    with pytest.raises(ParamsError):
        saving.check(b"# " + b"x" * 100_000)


# How it is saved


@pytest.mark.parametrize("content", [full(), marked()], ids=["likely", "every text"])
def test_what_was_saved_comes_back(project: Project, content: dict[str, Any]) -> None:
    wanted = Plan.model_validate(content)
    for name in Plan.model_fields:
        if name == "version":
            continue
        part = getattr(wanted, name)
        save(project, name, saving.plain(part))
        for inner, value in ({} if isinstance(part, list) else dict(part)).items():
            if isinstance(value, list):
                save(project, f"{name}.{inner}", saving.plain(value))
    assert saving.read(project) == wanted
    assert (project.root / "project.yaml").read_text("utf-8").startswith("# What the project is")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_stored_literally(project: Project, text: str) -> None:
    value = saving.value_at(Plan(), "about") | {"goal": text, "name": text.replace("\n", " ")}
    save(project, "about", value)
    risk = Risk.model_validate({"name": text, "owner": text}).model_dump()
    save(project, "risks", [risk])
    plan = saving.read(project)
    assert plan.about.goal == text
    assert plan.risks[0].owner == text
    assert sorted(one.name for one in project.root.iterdir()) == ["project.yaml", "var"]


SEEN = some.characters(categories=["L", "N", "P", "S", "Zs"], include_characters="\n\t")


@settings(max_examples=25)
@given(some.lists(some.text(SEEN, max_size=40), min_size=1, max_size=4))
def test_any_text_survives(texts: list[str]) -> None:
    rows = [Risk.model_validate({"name": one.strip() or "x", "measure": one}) for one in texts]
    new = saving.merged(saving.HEADER.encode(), {"risks": [one.model_dump() for one in rows]})
    again = saving.merged(new, {"about": {"goal": texts[0]}})
    plan = saving.check(again)
    assert plan.risks == rows
    assert plan.about.goal == texts[0]


def test_comments_and_the_rest_stay(project: Project) -> None:
    path = project.root / "project.yaml"
    before = (
        "# ours\nversion: 1\nabout:\n  goal: old  # agreed in May\n  name: Desk\n\n"
        "# see the wiki\nrisks:\n  - name: one  # Bo knows\n    likelihood: 2\n  - name: two\n"
        "budget: {limit: 1e3}\n"
    )
    path.write_text(before, encoding="utf-8")
    about = saving.value_at(saving.read(project), "about")
    save(project, "about", about | {"goal": "new"})
    text = path.read_text(encoding="utf-8")
    for kept in ("# ours\n", "goal: new  # agreed in May\n", "# see the wiki\n",
                 "- name: one  # Bo knows\n", "budget: {limit: 1e3}\n"):  # fmt: skip
        assert kept in text
    rows = saving.value_at(saving.read(project), "risks")
    save(project, "risks", rows[:1])
    text = path.read_text(encoding="utf-8")
    assert "- name: one  # Bo knows\n" in text
    assert "two" not in text
    assert saving.read(project).budget.limit == 1000.0


def test_saving_fields_of_a_part_leaves_its_tables(project: Project) -> None:
    save(project, "schedule.tasks", [Task.model_validate({"name": "a"}).model_dump()])
    save(project, "schedule", {"start": TODAY, "deadline": None})
    plan = saving.read(project)
    assert [one.name for one in plan.schedule.tasks] == ["a"]
    assert plan.schedule.start == TODAY


def test_nobody_is_overwritten(project: Project) -> None:
    seen = saving.value_at(Plan(), "about")
    save(project, "about", seen | {"goal": "theirs"})
    before = (project.root / "project.yaml").read_bytes()
    with pytest.raises(ChangedMeanwhileError) as caught:
        save(project, "about", seen | {"goal": "mine"}, seen)
    assert "theirs" in str(caught.value)
    assert caught.value.theirs["goal"] == "theirs"
    assert (project.root / "project.yaml").read_bytes() == before
    save(project, "cost", {"co2_kg": 1.0}, saving.value_at(Plan(), "cost"))  # another part: fine
    save(project, "about", seen | {"goal": "mine"}, caught.value.theirs)
    assert saving.read(project).about.goal == "mine"


def test_what_is_not_allowed_is_not_written(project: Project) -> None:
    save(project, "about", {"goal": "x"})
    before = (project.root / "project.yaml").read_bytes()
    with pytest.raises(ParamsError):
        save(project, "risks", [{"name": "", "likelihood": 9}])
    assert (project.root / "project.yaml").read_bytes() == before


@pytest.mark.parametrize("role", [Role.NOBODY, Role.VIEWER, Role.LABELLER])
def test_who_may_not_edit_may_not_save(project: Project, role: Role) -> None:
    with acting_as(User("eve", role)), pytest.raises(RoleError):
        save(project, "about", {"goal": "x"})
    assert not (project.root / "project.yaml").exists()
    assert json.loads((project.studio / "audit.jsonl").read_text("utf-8"))["allowed"] is False


def test_a_save_is_recorded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert save(project, "about", {"goal": "x"}).recorded.state == "no_repository"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (project.root / ".gitignore").write_text("/var/\n", encoding="utf-8")
    for command in (("init", "--quiet"), ("config", "user.name", "Ada"),
                    ("config", "user.email", "ada@example.org")):  # fmt: skip
        assert Repository(project.root).git(*command).good
    done = save(project, "about", {"goal": "y"}).recorded
    assert done.state == "committed"
    assert Repository(project.root).git("log", "-1", "--format=%s").out == (
        "Plan: Goal and users\n"
    )


# Rows of tables


def test_rows_of_a_table_come_back() -> None:
    plan = Plan.model_validate(full())
    for model, rows in (
        (schema.Task, plan.schedule.tasks), (schema.Risk, plan.risks),
        (schema.Measure, plan.success), (schema.Person, plan.resources.people),
        (schema.Machine, plan.resources.machines), (schema.Milestone, plan.schedule.milestones),
        (schema.Spending, plan.budget.lines),
    ):  # fmt: skip
        values = saving.plain(rows)
        assert rows_of(model, frame_of(model, values)) == values
        assert rows_of(model, frame_of(model, [])) == []


def test_empty_rows_go_and_half_filled_ones_are_named() -> None:
    import pandas as pd

    first = Task.model_validate({"name": "a"}).model_dump()
    empty = dict.fromkeys(first)
    half = {**empty, "owner": "Bo", "days": 3.0, "start": "2026-11-24"}
    frame = pd.DataFrame([first, empty, half], dtype=object)
    rows = rows_of(schema.Task, frame)
    assert len(rows) == 2
    assert rows[1]["days"] == 3
    assert rows[1]["start"] == date(2026, 11, 24)
    problems = saving.part_problems(schema.Task, rows)
    assert list(problems) == [(1, "name")]
    assert words(problems[(1, "name")].allowed, "en") == "a value"


def test_letters_of_every_kind_are_allowed() -> None:
    text = "\u4e2d\u6587 \u00e9\u00df \U0001f468\u200d\U0001f469 " + string.punctuation
    assert plan_of(about={"goal": text}).about.goal == text
