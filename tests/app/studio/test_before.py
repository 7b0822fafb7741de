"""Before a run: which stages run and why, from what DVC says; what it will take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.studio import before, before_asking
from app.studio.forms.rewriting import rewritten
from app.studio.forms.templates import OWN_FILE
from app.studio.project_files import Project
from app.studio.runs.execute import LATER
from pipeline.errors import ModelError
from pipeline.i18n import Message
from tests.app.studio.pages import LANGUAGES, SECONDS, assert_sound
from tests.helpers import ROOT

LOWEST = 19  # priority that a system knows
STAGES = ["collect", "clean", "label", "split", "init", "train", "validate", "test", "optimize"]
TRAIN = {
    "seconds": 300.0,
    "actual": {"seconds": 240.0, "peak_memory_bytes": 1_400_000_000, "co2_kg": 0.0006},
}


def text_of(lines: Any) -> list[str]:
    return [str(one) for one in lines]


@pytest.fixture
def here(project: Path) -> Project:
    """Return the default project with a lock of the params that it was last run with."""
    (project / "params.yaml").write_bytes(OWN_FILE.read_bytes())
    (project / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    lock = (
        "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    params:\n      params.yaml:\n"
        "        train:\n"
    )
    section = OWN_FILE.read_text(encoding="utf-8").split("\ntrain:\n")[1].split("\nvalidate:")[0]
    lock += "\n".join(f"        {line}" for line in section.splitlines())
    (project / "dvc.lock").write_text(lock + "\n", encoding="utf-8")
    report = project / "models/train/report.json"
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps(TRAIN), encoding="utf-8")
    return Project(project)


def with_params(here: Project, **changes: object) -> None:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    here.params.write_text(rewritten(OWN_FILE.read_text(), dotted), encoding="utf-8")


def test_nothing_runs_where_nothing_changed(here: Project) -> None:
    found = before.of(here, {})
    assert [one.stage for one in found.steps] == STAGES
    assert found.stale == ()
    assert found.seconds == 0.0


def test_a_changed_parameter_is_named_and_what_builds_on_it_runs_too(here: Project) -> None:
    with_params(here, train__epochs=6)
    found = before.of(here, {"train": [{"changed deps": {"params.yaml": {"train": "modified"}}}]})
    assert found.stale == ("train", "validate", "test", "optimize")
    steps = {one.stage: one for one in found.steps}
    assert text_of(steps["train"].why) == ["train.epochs is now 6"]
    assert "train runs before it" in text_of(steps["validate"].why)
    assert steps["clean"].seconds == 0.0


def test_time_grows_with_epochs_and_costs_follow(here: Project) -> None:
    with_params(here, train__epochs=6, train__costs__price_per_hour=12.0)
    lock = here.lock.read_text(encoding="utf-8")
    (here.runs / "20260101-000000-aaaa").mkdir(parents=True)
    log = here.runs / "20260101-000000-aaaa/log"
    log.write_text(
        "Running stage 'train':\n> python -m pipeline.train\ntrain: 200.0 s\n"
        "validate: 10.0 s\ntest: 20.0 s\noptimize: 30.0 s\n",
        encoding="utf-8",
    )
    assert "epochs: 3" in lock
    changed = {"train": [{"changed deps": {"params.yaml": {"train": "modified"}}}]}
    found = before.of(here, changed)
    assert found.unknown == ()
    assert found.seconds == pytest.approx(460)
    assert found.memory == 1_400_000_000
    assert found.money == pytest.approx(12 * 460 / 3600)
    assert found.currency == "CNY"
    assert found.co2 == pytest.approx(0.0006 / 240 * 460)
    assert found.command == "dvc repro"


def test_what_nothing_tells_is_not_invented(here: Project) -> None:
    found = before.of(here, {"optimize": [{"changed deps": {"pipeline/optimize.py": "modified"}}]})
    assert found.unknown == ("optimize",)
    assert found.seconds is None
    assert (found.memory, found.co2) == (None, None)


def test_a_first_run_takes_what_the_bundled_project_takes(project: Path) -> None:
    (project / "params.yaml").write_bytes(OWN_FILE.read_bytes())
    (project / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    new: Any = {
        stage: [{"changed deps": {"x": "new"}}, {"changed outs": {"y": "deleted"}}]
        for stage in STAGES
    }
    found = before.of(Project(project), new)
    assert len(found.stale) == len(STAGES)
    assert text_of(found.steps[0].why) == ["it never ran"]
    assert found.seconds == 300.0


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("changed command", "its command is another one"),
        ({"changed deps": {"data/raw": "modified"}}, "other data (data/raw)"),
        ({"changed deps": {"pipeline/train.py": "modified"}},
         "its code changed (train.py)"),
        ({"changed outs": {"models/train": "deleted"}},
         "its result is missing or was changed (models/train)"),
        ("always changed", "it always runs"),
    ],
)  # fmt: skip
def test_each_reason_has_words(here: Project, entry: Any, expected: str) -> None:
    steps = {one.stage: one for one in before.of(here, {"train": [entry]}).steps}
    assert text_of(steps["train"].why) == [expected]
    assert all(isinstance(one, Message) for one in steps["train"].why)


def test_what_dvc_says_is_read(here: Project) -> None:
    assert before_asking.parsed(b'{"train": []}', "", 0) == ({"train": []}, None)
    answer, problem = before_asking.parsed(b"", "ERROR: lock <b>taken</b>\n", 255)
    assert answer is None
    assert problem is not None
    assert "lock <b>taken</b>" in problem.render("en")


# --- with DVC itself ----------------------------------------------------------------------------

GRAPH = """\
stages:
  first:
    cmd: python -c "open('a','w').write('1')"
    params: [first]
    outs: [a]
  second:
    cmd: python -c "open('b','w').write('1')"
    deps: [a]
    outs: [b]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of two stages after ``dvc repro``."""
    root = tmp_path_factory.mktemp("ran")
    (root / "dvc.yaml").write_text(GRAPH, encoding="utf-8")
    (root / "params.yaml").write_text("first: {x: 1e-5}\n", encoding="utf-8")
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run(
            [sys.executable, "-m", "dvc", *command], cwd=root, check=True, capture_output=True
        )
    return root


def test_dvc_is_asked_in_a_process_of_its_own(ran: Path) -> None:
    here = Project(ran)
    found = before.preview(here)
    assert [one.stage for one in found.steps] == ["first", "second"]
    assert found.stale == ()
    (ran / "params.yaml").write_text("first: {x: 2e-5}\n", encoding="utf-8")
    found = before.preview(here)
    assert found.stale == ("first", "second")
    assert text_of(found.steps[0].why) == ["first.x is now 2e-5"]


def test_nobody_waits_for_the_answer_and_it_is_kept(ran: Path) -> None:
    here = Project(ran)
    (ran / "params.yaml").write_text("first: {x: 3e-5}\n", encoding="utf-8")
    began = time.monotonic()
    assert before_asking.status(here) is None
    assert time.monotonic() - began < 0.5
    (asked,) = [one for one in psutil.Process().children() if "status" in one.cmdline()]
    assert asked.nice() == min(LOWEST, psutil.Process().nice() + LATER)  # pages go first
    answer = before_asking.status(here, wait=True)
    assert answer is not None
    assert before_asking.status(here) is answer


def test_a_project_that_dvc_cannot_read_is_explained(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: [", encoding="utf-8")
    with pytest.raises(ModelError, match="dvc status"):
        before.preview(Project(project))


# --- on a page ----------------------------------------------------------------------------------


def script(root: str) -> None:
    """Draw the preview."""
    from pathlib import Path

    from app.studio import before, layout
    from app.studio.project_files import Project

    with layout.explained():
        before.draw(Project(Path(root)))


@LANGUAGES
@pytest.mark.parametrize("state", ["asking", "failed", "up to date", "first", "changed"])
def test_the_preview_is_drawn_in_every_state(
    here: Project, language: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamlit.testing.v1 import AppTest

    answers: dict[str, Any] = {
        "asking": None,
        "up to date": {},
        "first": {stage: [{"changed outs": {"x": "deleted"}}] for stage in STAGES},
        "changed": {"train": [{"changed deps": {"params.yaml": {"train": "modified"}}}]},
    }

    def status(project: Project, *, wait: bool = False) -> Any:
        if state == "failed":
            problem = before_asking.parsed(b"", "ERROR: no", 255)[1]
            assert problem is not None
            raise ModelError(problem)
        return answers[state]

    monkeypatch.setattr(before, "status", status)
    with_params(here, train__epochs=6)
    page = AppTest.from_function(script, default_timeout=SECONDS, kwargs={"root": str(here.root)})
    page.session_state["language"] = language
    page.run()
    assert_sound(page)
    assert bool(page.error) is (state == "failed")
    assert bool(page.success) is (state == "up to date")
    if state in ("first", "changed"):
        assert "dvc repro" in [one.value for one in page.code]
        assert len(page.metric) == 4
        assert any("train" in one.value for one in page.markdown)
