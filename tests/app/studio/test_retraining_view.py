"""Train again, on the page Monitor: from a proposal to a release that is tried, step by step."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.studio import deciding
from app.studio.project_files import Project
from app.studio.releasing import Desk
from app.studio.roles import User
from app.studio.runs import following, starting
from app.studio.runs.records import Run
from pipeline.errors import BusyError
from pipeline.params import load
from pipeline.releases.ledger import State
from pipeline.watching import proposal, retraining
from tests.app.studio import deployed
from tests.app.studio.deployed import open_tab
from tests.app.studio.pages import open_page

made, project, olga = deployed.made, deployed.project, deployed.olga  # fixtures


def test_a_proposal_is_shown_and_approved(project: Project) -> None:
    made = deployed.proposed(project.root)
    page = open_tab(open_page("monitor", project), "Train again")
    assert made["params"]["diff"].strip() in [one.value.strip() for one in page.code]
    page.button(key=f"monitor_approve_{made['id']}").click().run(timeout=60)
    assert proposal.read(made["id"])["state"] == proposal.APPROVED
    assert load().validate_.released == "1.0.0"
    assert Path(made["label"]["file"]).is_file()
    assert [one.key for one in page.button if one.key == f"monitor_go_{made['id']}"]


def test_a_proposal_is_rejected_with_a_reason(project: Project) -> None:
    made = deployed.proposed(project.root)
    page = open_tab(open_page("monitor", project), "Train again")
    page.text_input(key=f"monitor_why_{made['id']}").set_value("no | `budget`")
    page.button(key=f"monitor_reject_{made['id']}").click().run()
    content = proposal.read(made["id"])
    assert content["state"] == proposal.REJECTED
    assert (content["steps"][-1]["by"], content["steps"][-1]["note"]) == ("ada", "no | `budget`")
    assert [one.key for one in page.button if one.key == "monitor_propose"]
    assert not page.dataframe
    page.session_state[f"monitor_done_{made['id']}"] = True
    page.run()
    assert "no | `budget`" in page.dataframe[0].value["note"].to_list()


def test_a_file_that_changed_meanwhile_is_not_approved(project: Project, olga: User) -> None:
    made = deployed.proposed(project.root)
    project.params.write_text(project.params.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    page = open_tab(open_page("monitor", project), "Train again")
    page.button(key=f"monitor_approve_{made['id']}").click().run()
    assert [one for one in page.error if "params.yaml" in one.value]
    assert proposal.read(made["id"])["state"] == proposal.PROPOSED


class Runs:
    """Runs that are told how they stand: a real one takes minutes and has tests of its own."""

    def __init__(self, project: Project) -> None:
        self.project, self.state = project, "running"
        self.targets: list[tuple[str, ...]] = []

    def start(self, project: Project, targets: tuple[str, ...] = (), **_more: Any) -> Run:
        """Begin a run."""
        self.state = "running"
        self.targets.append(tuple(targets))
        return self.of(project, f"run-{len(self.targets)}")

    def of(self, project: Project, run: str) -> Run:
        """Return a run as it stands."""
        return Run(
            project,
            run,
            command=("dvc", "repro"),
            device="auto",
            by="olga",
            state=self.state,  # type: ignore[arg-type]
            began="2026-11-23T12:00:00+00:00",
            ended=None,
            params_sha256="0" * 64,
            commit=None,
            lock_sha256=None,
        )


@pytest.fixture
def runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Let runs stand as the test says."""
    told = Runs(project)
    monkeypatch.setattr(starting, "start", told.start)
    monkeypatch.setattr(following, "of", told.of)
    return told


def test_a_retraining_goes_from_run_to_labelling_to_run(
    project: Project, olga: User, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = deployed.proposed(project.root)["id"]
    said: list[list[str]] = []
    monkeypatch.setattr(Desk, "monitor", lambda _desk, words, _seconds: said.append(words))

    def waits() -> tuple[str, str]:
        now = deciding.following_step(project, proposal.read(name))
        return now.needed, now.step

    assert waits() == ("decide", "")
    deciding.approve(project, name)
    assert waits() == ("run", "collect")
    deciding.proceed(project, name, "en")
    assert runs.targets[-1] == ("clean",)
    assert waits() == ("wait", "collect")
    runs.state = "failed"
    assert waits() == ("run", "collect"), "a run that failed is started anew"
    deciding.proceed(project, name, "en")
    runs.state = "done"
    assert waits() == ("go_on", "collect")
    deciding.proceed(project, name, "en")
    assert said == [["continue", name, "--by=olga"]]
    assert waits() == ("go_on", "queue"), "the step that a command takes is next"
    content = proposal.read(name)
    with deciding.writing(project) as engine:
        retraining.move(engine, content, proposal.LABELLING, datetime.now(UTC), by="", name="queue")
    assert waits() == ("label", "train")
    deciding.proceed(project, name, "en")
    assert runs.targets[-1] == ()
    assert waits() == ("wait", "train")
    runs.state = "done"
    assert waits() == ("go_on", "train")
    deciding.proceed(project, name, "en")
    assert waits() == ("go_on", "release")
    steps = [(one["step"], one["outcome"]) for one in proposal.read(name)["steps"]]
    assert steps[2:] == [
        ("collect", "started"), ("collect", "started"), ("collect", "done"), ("queue", "done"),
        ("labelled", "done"), ("train", "started"), ("train", "done"),
    ]  # fmt: skip


def test_a_run_that_is_refused_leaves_labelling_open(
    project: Project, olga: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = deployed.proposed(project.root)["id"]
    deciding.approve(project, name)
    with deciding.writing(project) as engine:
        for state_of, step in ((proposal.APPROVED, "collect"), (proposal.LABELLING, "queue")):
            retraining.move(engine, proposal.read(name), state_of, datetime.now(UTC), by="",
                            name=step)  # fmt: skip

    def busy(*_all: Any, **_more: Any) -> Run:
        raise BusyError.at("run", found="one", allowed="none", fix="Wait.")

    monkeypatch.setattr(starting, "start", busy)
    with pytest.raises(BusyError):
        deciding.proceed(project, name, "en")
    assert proposal.read(name)["state"] == proposal.LABELLING


def test_how_a_canary_ended_is_written_down(
    project: Project, olga: User, made: Path, tmp_path: Path
) -> None:
    name = deployed.proposed(project.root)["id"]
    deciding.approve(project, name)
    with deciding.writing(project) as engine:
        retraining.move(engine, proposal.read(name), proposal.CANARY, datetime.now(UTC), by="",
                        name="canary", version="1.2.0")  # fmt: skip
    project.releases.mkdir(exist_ok=True)
    told = {"stable": "1.0.0", "canary": {"version": "1.2.0", "share": 10, "shadow": False,
                                          "since": "2026-11-23T12:00:00+00:00"}}  # fmt: skip
    path = project.releases / "state.json"
    path.write_text(json.dumps(told))
    assert deciding.following_step(project, proposal.read(name)).needed == "watch"
    event = {"at": datetime.now(UTC).isoformat(), "what": "promote", "version": "1.2.0",
             "before": "1.0.0", "by": "olga", "why": None}  # fmt: skip
    path.write_text(json.dumps({"stable": "1.2.0", "events": [event]}))
    now = deciding.following_step(project, proposal.read(name))
    assert (now.needed, now.step) == ("go_on", "settle")
    deciding.proceed(project, name, "en")
    assert proposal.read(name)["state"] == proposal.PROMOTED
    assert State.read(project.releases).stable == "1.2.0"
