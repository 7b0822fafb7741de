"""The recommendation and the search: asked, kept, followed, taken over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.studio import (
    model_plan,
    model_search,
    search_running,
)
from app.studio.forms import present
from app.studio.locking import only_writer
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User, acting_as
from app.studio.search_running import Proposal
from pipeline import artifacts
from pipeline.errors import BusyError, ModelError, ParamsError
from pipeline.modeling import proposing
from pipeline.modeling.ranges import Range
from tests.app.studio.model_project import (
    fill,
    keep,
    search_folder,
    stand_in,
)

ADA = User("ada", Role.OPERATOR)


@pytest.fixture
def here(project: Path) -> Project:
    """Return a project with results of one label a record."""
    return fill(Project(project))


@pytest.fixture
def child(here: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program that stands in for ``pipeline.plan``."""
    return stand_in(here, monkeypatch)


# Recommendation


def test_a_plan_is_asked_in_both_languages_and_kept(here: Project, child: Path) -> None:
    assert model_plan.kept(here, "zh") is None
    model_plan.ask(here, ["zh", "en"])
    for language in ("zh", "en"):
        found = model_plan.kept(here, language)
        assert found is not None
        assert found.content["why"] == [language]
        assert found.data == model_plan.data_of(here)
    before = model_plan.data_of(here)
    (here.root / artifacts.part("train")).touch()
    assert model_plan.data_of(here) != before


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('params.yaml is damaged')", "params.yaml is damaged"),
        ("print('{}')", "no plan"),
        ("print('[')", "no plan"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_plan_that_fails_says_why_and_keeps_the_last_one(
    here: Project, child: Path, program: str, said: str
) -> None:
    keep(here)
    before = (here.studio / model_plan.FOLDER / "en.json").read_bytes()
    child.write_text(program, encoding="utf-8")
    with pytest.raises(ModelError) as found:
        model_plan.ask(here, ["en"], seconds=1.0)
    assert said in str(found.value)
    assert (here.studio / model_plan.FOLDER / "en.json").read_bytes() == before


def test_one_plan_is_made_at_a_time(here: Project, child: Path) -> None:
    folder = here.studio / model_plan.FOLDER
    folder.mkdir(parents=True)
    with only_writer(folder / model_plan.LOCK), pytest.raises(BusyError):
        model_plan.ask(here, ["en"])
    model_plan.ask(here, ["en"])


def test_a_viewer_may_not_ask_for_a_plan(here: Project, child: Path) -> None:
    with acting_as(User("v", Role.VIEWER)), pytest.raises(RoleError):
        model_plan.ask(here, ["en"])
    assert model_plan.kept(here, "en") is None


def test_only_values_that_differ_are_changed() -> None:
    content = {"init": {"max_tokens": 64, "pretrained": {"kind": "package"}}}
    wanted = {"init.max_tokens": 64, "init.pretrained": {"kind": "hub"}, "train.epochs": 1}
    found = model_plan.differing(wanted, content)
    assert found == {"init.pretrained": {"kind": "hub"}, "train.epochs": 1}
    assert model_plan.needs_revision(found)
    fixed = model_plan.with_revision(found, " abc ")
    assert fixed["init.pretrained"] == {"kind": "hub", "revision": "abc"}
    assert "revision" not in found["init.pretrained"]


# Search


def test_trials_are_read_with_numbers(here: Project) -> None:
    rows = search_running.trials(search_folder(here))
    assert rows[1]["macro_f1"] == 0.95
    assert rows[1]["trial"] == 1
    assert rows[2]["macro_f1"] is None
    assert rows[2]["reason"] == "it <b>diverged</b>"


class Told:
    """As much of a search as tells one trial in a line."""

    metric = "macro_f1"

    def __init__(self, row: list[Any]) -> None:
        self.row = row
        fields = ("train.learning_rate", "init.scratch.activation")
        self.ranges = [Range(field) for field in fields]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        fields = [one.field for one in self.ranges]
        header = ["trial", "state", self.metric, "epochs", "seconds", *fields, "reason"]
        return header, [self.row]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ([0, "done", 0.91234, 2, 61.3, 2e-4, "gelu", None],
         {"trial": 0, "state": "done", "macro_f1": 0.9123, "seconds": 61.3,
          "train.learning_rate": 2e-4, "init.scratch.activation": "gelu"}),
        ([0, "failed", None, None, 1.5, 0.9, "relu", "RuntimeError: no  good"],
         {"trial": 0, "state": "failed", "seconds": 1.5, "train.learning_rate": 0.9,
          "init.scratch.activation": "relu"}),
    ],
)  # fmt: skip
def test_the_lines_of_a_search_are_understood(row: list[Any], wanted: dict[str, Any]) -> None:
    line = proposing.line_of(Told(row), 0)  # type: ignore[arg-type]
    found = search_running.told(["other", line, "trial x  done  1 s", ""])
    assert len(found) == 1
    assert wanted.items() <= found[0].items()


def test_the_best_until_then_climbs() -> None:
    rows = [
        {"trial": 0, "state": "done", "loss": 0.5}, {"trial": 1, "state": "pruned", "loss": 0.1},
        {"trial": 2, "state": "done", "loss": 0.7}, {"trial": 0, "state": "done", "loss": 0.4},
    ]  # fmt: skip
    down = search_running.best_so_far(rows, "loss", greater=False)
    assert [row["best"] for row in down] == [0.5, 0.5, 0.4]
    up = search_running.best_so_far(rows, "loss", greater=True)
    assert [row["best"] for row in up] == [0.5, 0.7, 0.7]


def test_a_proposal_for_other_values_is_refused(here: Project) -> None:
    search_folder(here)
    found = search_running.proposal(here)
    assert found is not None
    search_running.refuse_changed(found, {"train.learning_rate": 2e-4})
    with pytest.raises(ParamsError) as error:
        search_running.refuse_changed(found, {"train.learning_rate": 1e-4})
    assert "train.learning_rate" in str(error.value)
    assert search_running.is_applied(found, {"train.learning_rate": 3e-4})


def test_a_proposal_is_saved_and_the_rest_of_the_file_stays(here: Project) -> None:
    search_folder(here)
    before = here.params.read_text(encoding="utf-8")
    found = search_running.proposal(here)
    assert isinstance(found, Proposal)
    os.chdir(here.root)
    with acting_as(ADA):
        model_search.apply(here, found, present.read(here))
    after = here.params.read_text(encoding="utf-8")
    assert present.read(here).values["train"]["learning_rate"] == 3e-4
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True)
               if pair[0] != pair[1]]  # fmt: skip
    assert len(changed) == 1
