"""Home: what it reads from a project's files, and what it shows in every state."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app.studio import drawn_graph, overview
from app.studio.overview import Facts
from app.studio.project_files import Project
from app.studio.roles import Role
from app.studio.runs import processes, records
from app.studio.runs.records import Run, State
from pipeline.i18n import LANGUAGES
from tests.app.studio.pages import LANGUAGES as BOTH
from tests.app.studio.pages import assert_sound, open_page, shown

ROOT = Path(__file__).parents[3]
STAGES = ["collect", "clean", "label", "split", "init", "train", "validate", "test", "optimize"]
GATE: dict[str, Any] = {
    "figure": "macro_f1", "sign": ">=", "bound": 0.85, "found": 0.94, "passed": True,
    "group": None, "skipped": None, "too_small": None,
}  # fmt: skip
TESTED: dict[str, Any] = {
    "figures": {"macro_f1": 0.9375},
    "intervals": {"model": {"macro_f1": [0.898, 0.960]}},
    "worth_it": {"difference": [0.027, 0.118]},
    "verdict": {"en": ["Of 100 texts it answers 93 <b>right</b>."], "zh": ["\u7b54\u5bf9\u4e86."]},
}
OPTIMIZED = {
    "shipped": "openvino_int8",
    "why": {"en": "It is *the* fastest.", "zh": "\u6700\u5feb"},
}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def here(project: Path) -> Project:
    """Return the default project before its first run."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, project)
    return Project(project)


def done(here: Project, **gate: object) -> Project:
    """Let a project have results of all stages."""
    for stage in STAGES:
        write(here.report(stage), {})
    write(here.report("validate"), {"main": "macro_f1", "gates": [GATE | gate]})
    write(here.report("test"), TESTED)
    write(here.stage("test") / "metrics.json", {})
    write(here.report("optimize"), OPTIMIZED)
    return here


def run(here: Project, state: State, log: str = "Running stage 'collect':\n") -> Run:
    """Let a project have a run; one that works is kept by this very process."""
    name = records.new_id()
    (here.runs / name).mkdir(parents=True)
    made = Run(
        project=here, id=name, command=("dvc", "repro"), device="auto", by="grace", state=state,
        began=records.now(), ended=None if state == "running" else records.now(),
        params_sha256=hashlib.sha256(here.params.read_bytes()).hexdigest(), commit=None,
        lock_sha256=None, supervisor=processes.identity(os.getpid()),
    )  # fmt: skip
    made.log.write_text(log, encoding="utf-8")
    shutil.copy(here.params, made.snapshot)
    return records.write(made)


# What it reads


def test_the_graph_has_each_stage_after_those_it_builds_on(here: Project) -> None:
    graph = overview.graph(here)
    assert list(graph) == STAGES
    assert graph["collect"] == ()
    assert graph["clean"] == ("collect",)
    assert graph["train"] == ("init",)  # and by way of it on the split
    for position, name in enumerate(STAGES):
        assert set(graph[name]) <= set(STAGES[:position])


LOCK = """schema: '2.0'
stages:
  clean:
    cmd: python -m pipeline.clean
    deps:
    - path: "a: {{"
      hash: md5
    params:
      params.yaml:
        clean:
          enabled: {clean}
    outs:
    - path: data/clean
  train:
    cmd: python -m pipeline.train
    params:
      params.yaml:
        train.optimizer.rate: {rate}
        train.epochs: 3
"""


@pytest.mark.parametrize(
    ("clean", "rate", "wanted"),
    [
        ("true", "1e-05", set()),
        ("true", "0.0001", set(STAGES[5:])),
        ("false", "1e-05", set(STAGES[1:])),
    ],
)
def test_changed_parameters_touch_their_stage_and_all_after_it(
    here: Project, clean: str, rate: str, wanted: set[str]
) -> None:
    here.params.write_text(
        "clean: {enabled: true}\ntrain: {optimizer: {rate: 0.00001}, epochs: 3}\n"
    )
    here.lock.write_text(LOCK.format(clean=clean, rate=rate))
    assert overview.changed(here) == wanted


def test_a_project_without_a_lock_has_changed_nothing(here: Project) -> None:
    assert overview.changed(here) == set()


@pytest.mark.parametrize("content", ["", "{", "stages:\n  clean:\n    params:\n      - x: [", "a"])
def test_damaged_files_are_as_if_they_were_not_there(here: Project, content: str) -> None:
    here.lock.write_text(content)
    here.graph.write_text(content)
    here.report("validate").parent.mkdir(parents=True)
    here.report("validate").write_text(content)
    assert overview.graph(here) == {}
    assert overview.changed(here) == set()
    assert overview.verdict(here) is None


def test_standings_come_from_files_and_from_the_run(here: Project) -> None:
    assert set(overview.standings(here).values()) == {"missing"}
    done(here)
    assert set(overview.standings(here).values()) == {"ready"}
    found = overview.standings(here, {"train": "failed"}, ["train", "validate"])
    assert (found["init"], found["train"], found["validate"]) == ("ready", "failed", "changed")


def test_the_verdict_of_a_model_that_passed(here: Project) -> None:
    found = overview.verdict(done(here))
    assert found is not None
    assert found.passed
    assert (found.main, found.value, found.interval) == ("macro_f1", 0.9375, (0.898, 0.960))
    assert found.sentences["zh"] == ["\u7b54\u5bf9\u4e86."]
    assert found.ships == "openvino_int8"


def test_a_failed_gate_hides_what_an_earlier_model_reached(here: Project) -> None:
    found = overview.verdict(done(here, passed=False, found=0.5))
    assert found is not None
    assert not found.passed
    assert found.value is None
    assert not found.sentences


def test_a_gate_that_nothing_was_judged_by_does_not_fail(here: Project) -> None:
    found = overview.verdict(done(here, skipped="no_release", found=None))
    assert found is not None
    assert found.passed
    assert found.gates[0].state == "not judged"


NOW = Facts(data=True, run="done", model=True, passed=True, changed=False, released=True,
            proposed=False)  # fmt: skip


@pytest.mark.parametrize(
    ("others", "view", "title"),
    [
        ({"data": False}, "start", "Bring data"),
        ({"run": "running"}, "runs", "Watch the run"),
        ({"run": "failed"}, "runs", "See why the run failed"),
        ({"run": "failed", "passed": False}, "validate", "See which gate failed"),
        ({"run": None, "passed": None, "model": False}, "runs", "Start the first run"),
        ({"changed": True}, "runs", "Run again"),
        ({"run": "stopped", "model": False}, "runs", "Start the run again"),
        ({"proposed": True}, "monitor", "Decide on a proposal"),
        ({"released": False}, "deploy", "Make a release"),
        ({}, "monitor", "Look how it serves"),
    ],
)
def test_the_next_step_follows_from_what_is_there(
    others: Mapping[str, Any], view: str, title: str
) -> None:
    found = overview.next_step(replace(NOW, **others))
    assert (found.view, found.title.render("en")) == (view, title)


def test_there_is_a_next_step_whatever_the_facts() -> None:
    flags = product([True, False], repeat=5)
    for (data, model, changed, released, proposed), run_state, passed in product(
        flags, (None, "running", "done", "failed", "stopped"), (None, True, False)
    ):
        now = Facts(data, run_state, model, passed, changed, released, proposed)
        assert overview.next_step(now).title.text


def test_an_open_proposal_is_found(here: Project) -> None:
    assert not overview.is_proposed(here)
    write(here.var / "proposals/1.json", {"state": "rejected"})
    assert not overview.is_proposed(here)
    write(here.var / "proposals/2.json", {"state": "proposed"})
    assert overview.is_proposed(here)


# What it draws


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_diagram_has_a_box_with_a_word_for_each_stage(
    here: Project, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOFANG_LANGUAGE", language)
    standings = overview.standings(here, {"clean": "running"})
    text = drawn_graph.mermaid(overview.graph(here), standings)
    boxes = [line for line in text.splitlines() if ":::" in line]
    assert len(boxes) == len(STAGES)
    assert sum(":::running" in line for line in boxes) == 1
    assert set(drawn_graph.WORDS) == set(drawn_graph.LOOKS) == set(drawn_graph.SIGNS)
    assert drawn_graph.told(standings).count(":") == len(STAGES)


def test_a_stage_of_any_name_cannot_leave_its_box() -> None:
    name = 'x"]; click a "javascript:alert(1)" <img src=y> `z` #quot;'
    text = drawn_graph.mermaid({name: ()}, {name: "ready"})
    (box,) = [line for line in text.splitlines() if ":::" in line]
    assert box.count('"') == 2
    assert not set("<>`#;") & set(box.replace("<br/>", ""))


@BOTH
def test_without_data(here: Project, language: str) -> None:
    here.params.write_text("collect: {sources: []}\n")
    page = open_page("home", here, language)
    assert page.title
    assert page.info


@BOTH
def test_before_the_first_run(here: Project, language: str) -> None:
    page = open_page("home", here, language)
    assert "flowchart" in shown(page)
    assert page.info
    assert not page.success


@BOTH
@pytest.mark.parametrize("state", ["running", "failed", "stopped"])
def test_with_a_run(here: Project, language: str, state: State) -> None:
    ended = {"failed": "ERROR: failed to reproduce 'collect': x\n"}.get(state, "")
    run(here, state, f"Running stage 'collect':\n{ended}")
    page = open_page("home", here, language)
    assert f":::{state}" in shown(page)


@BOTH
def test_after_a_good_run(here: Project, language: str) -> None:
    run(done(here), "done")
    page = open_page("home", here, language)
    assert page.success
    assert page.metric[0].value == "0.938"
    assert ":::ready" in shown(page)
    if language == "en":
        assert "\\<b\\>right\\</b\\>" in shown(page)


@BOTH
def test_after_a_failed_gate(here: Project, language: str) -> None:
    run(done(here, passed=False, found=0.5), "failed")
    page = open_page("home", here, language)
    assert page.error
    assert not page.metric


def test_the_guide_stays_folded_for_who_folded_it(here: Project) -> None:
    page = open_page("home", here)
    page.button(key="home_fold_guide").click().run()
    assert not page.exception
    again = open_page("home", here)
    assert not [one for one in again.button if one.key == "home_fold_guide"]


def test_a_viewer_may_look(here: Project) -> None:
    page = open_page("home", here, role=Role.VIEWER)
    assert page.title


def test_what_a_run_would_do_is_asked_only_when_wanted(here: Project) -> None:
    page = open_page("home", here)
    assert "dvc repro" not in shown(page)
    page.session_state["home_ask"] = True
    page.run()
    assert_sound(page)
