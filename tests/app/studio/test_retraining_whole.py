"""Train again for real: a proposal is approved on the page, and its runs are runs of the studio."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from app.studio import deciding
from app.studio.project_files import Project
from app.studio.releasing import Desk
from app.studio.roles import Role, User, acting_as
from app.studio.runs import following, starting
from app.studio.runs.records import Run
from pipeline.params import load
from pipeline.traffic import database
from pipeline.watching import figures, proposal
from tests.app.studio import deployed
from tests.app.studio import small_project as small
from tests.app.studio.deployed import open_tab
from tests.app.studio.pages import open_page
from tests.e2e.project import Project as Whole
from tests.pipeline import watched
from tests.pipeline.made_traffic import entry

pytestmark = pytest.mark.slow
OPERATOR = User("ada", Role.OPERATOR)
ASKED = ("my parcel number {count} is lost", "repay order {count}", "no password for user {count}")

LONGEST = 900.0  # seconds at most for a run, on a busy machine
UNSURE = [0.3, 0.4, 0.3]  # of an answer whose text people should label


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a small project that really ran, whose release was asked for a day."""
    whole = Whole.create(tmp_path_factory.mktemp("again") / "project", rows=240)
    values = whole.get()
    values["optimize"]["measuring"] |= {"batches": [1], "lengths": [8]}  # type: ignore[operator]
    whole.set(values)  # type: ignore[arg-type]
    whole.commit()
    project = Project(whole.folder.resolve())
    before = Path.cwd()
    os.chdir(project.root)
    with small.swept(project), acting_as(OPERATOR):
        done = small.over(starting.start(project, device="cpu"), LONGEST)
        assert done.state == "done", done.log.read_text()
        made = Desk(project).create("1.0.0")
        assert made.good, made.said
        serves = Desk(project).promote("1.0.0")
        assert serves.good, serves.said
        engine = database.open("", project.root)
        end = figures.floor(datetime.now(UTC), 60)
        texts = [ASKED[count % 3].format(count=count) for count in range(120)]
        watched.write(
            engine,
            *(entry(count, [text], at=end - (1 + count % 20) * deployed.HOUR,
                    labels=["delivery"], scores=np.array([UNSURE]))
              for count, text in enumerate(texts)),
            text="masked",
        )  # fmt: skip
        engine.dispose()
        yield project
    os.chdir(before)


def test_an_approved_proposal_becomes_real_runs_and_a_canary(served: Project) -> None:
    project = served
    os.chdir(project.root)
    made = deployed.proposed(project.root)
    name = made["id"]
    assert made["label"]["texts"] > 50
    page = open_tab(open_page("monitor", project), "Train again")
    page.button(key=f"monitor_approve_{name}").click().run(timeout=60)
    assert load().validate_.released == "1.0.0"
    page.button(key=f"monitor_go_{name}").click().run(timeout=60)
    assert not page.error
    with acting_as(OPERATOR):
        run = ended(project, name, "collect")
        assert following.stages(run)["collect"] == "done", "the new texts were collected"
        chosen = deciding.proceed(project, name, "en")
        assert chosen is None or chosen.good, chosen.said
        assert proposal.read(name)["state"] == proposal.LABELLING
        assert deciding.following_step(project, proposal.read(name)).needed == "label"
        assert deciding.proceed(project, name, "en") is None
        ended(project, name, "train")
        tried = deciding.proceed(project, name, "en")
    assert tried is not None
    assert tried.good, tried.said
    content = proposal.read(name)
    assert content["state"] == proposal.CANARY, content["steps"]
    assert {"started", "done"} == {
        one["outcome"] for one in content["steps"] if one["step"] in ("collect", "train")
    }


def ended(project: Project, name: str, step: str) -> Run:
    """Return the run of a step, which is one of the studio's own, when it is over."""
    now = deciding.following_step(project, proposal.read(name))
    assert (now.needed, now.step) == ("wait", step)
    run = following.current(project)
    assert run is not None
    assert now.run is not None
    assert run.id == now.run.id
    done = small.over(run, LONGEST)
    assert done.state == "done", done.log.read_text()
    assert deciding.following_step(project, proposal.read(name)).needed == "go_on"
    return done
