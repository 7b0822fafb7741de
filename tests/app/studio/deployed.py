"""Projects for the pages Deploy and Monitor: tiny releases, and traffic that was really judged.

The releases are of models that count words; the traffic is written by the recorder's own code and
looked at by the monitor's.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.studio.project_files import Project
from app.studio.roles import Role, User, acting_as
from pipeline.i18n import _, translate
from pipeline.releases import state
from pipeline.traffic import database
from pipeline.traffic.entries import Feedback
from pipeline.watching import figures, journal, proposal
from pipeline.watching.look import Watch, look
from tests.app.studio.pages import assert_sound
from tests.helpers import params_text
from tests.pipeline import made_releases, watched
from tests.pipeline.made_traffic import entry

OPERATOR = User("olga", Role.OPERATOR)
HOUR = timedelta(hours=1)
HOURS, REQUESTS = 30, 60  # windows, and requests in each
PAGE = "20261123-120000-7"  # of drift
HOSTILE = "<script>document.title = 'reached'</script>"


def released(folder: Path) -> Path:
    """Make a project with releases 1.0.0, 1.1.0 and 1.2.0 and the run of the last one."""
    with contextlib.chdir(folder):
        made_releases.three(folder)
        made_releases.write_params()
    return folder


def promoted(folder: Path, *versions: str) -> None:
    """Let releases serve, one after the other."""
    for version in versions:
        state.promote(version, "anna", root=folder / "releases")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose service was asked; tests take a copy."""
    return visited(tmp_path_factory.mktemp("visited"))


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project of the test's own from the module's ``made``, in which it runs."""
    monkeypatch.chdir(tmp_path)
    return copied(made, tmp_path)


@pytest.fixture
def olga() -> Iterator[User]:
    """Let an operator act."""
    with acting_as(OPERATOR) as user:
        yield user


def copied(made: Path, folder: Path) -> Project:
    """Return a project of its own that a test may change."""
    shutil.copytree(made, folder, dirs_exist_ok=True, symlinks=True)
    return Project(folder.resolve())


def visited(folder: Path, address: str = "") -> Path:
    """Make a project whose service was asked for more than a day, and whose last hour was bad.

    :param address: of the traffic database; empty means a file.
    """
    with contextlib.chdir(folder):
        (folder / "params.yaml").write_text(params_text(), encoding="utf-8")
        engine = database.open(address, folder)
        end = figures.floor(datetime.now(UTC), 60)
        watched.write(engine, *requests(end), text="masked")
        watched.write(engine, *said(end))
        knobs = watched.monitor(proposal__enabled=False, quality__min_verdicts=5)
        keep = Watch(engine, knobs, watched.alerting(), [], folder / "releases")
        look(keep, end + timedelta(minutes=2))
        for back in (2, 1):
            journal.note(engine, "drift", drift(end, back), end - back * HOUR)
        engine.dispose()
        page = folder / "var/drift" / PAGE
        page.mkdir(parents=True)
        (page / "drift.html").write_text(f"<html><body>Drift {HOSTILE}</body></html>")
    return folder


def requests(end: datetime) -> list[Any]:
    """Return requests of every hour up to a moment; in the last one a tenth of them fails."""
    made = []
    for hour in range(HOURS):
        for count in range(REQUESTS):
            number = hour * REQUESTS + count
            at = end - (HOURS - hour) * HOUR + timedelta(seconds=50 * count)
            bad = hour == HOURS - 1 and count % 3 == 0
            answer = {"code": 500, "labels": None, "scores": None} if bad else {}
            made.append(
                entry(number, [f"hello number {number}"], at=at, seconds=0.01 + count / 5_000,
                      **answer)
            )  # fmt: skip
    return made


def said(end: datetime) -> list[Any]:
    """Return what people said about the first answers; every fourth was found wrong."""
    return [
        Feedback(end - HOUR + timedelta(seconds=count), f"request-{count:06d}", 0, "bob",
                 "down" if count % 4 == 0 else "up", "number" if count % 4 == 0 else None,
                 "| `wrong` <b>" if count % 4 == 0 else None)
        for count in range(40)
    ]  # fmt: skip


def drift(end: datetime, back: int) -> dict[str, Any]:
    """Return a judged window of texts, as the monitor writes it down."""
    changes = [{"name": "<location>", "before": 0.5, "now": 0.1}]
    near = {"texts": 300, "score": 0.1, "threshold": 0.2, "drifted": False, "changes": []}
    far = {"texts": 300, "score": 0.4, "threshold": 0.2, "drifted": True, "changes": changes}
    return {
        "version": "1.0.0", "since": journal.iso(end - (back + 1) * HOUR),
        "until": journal.iso(end - back * HOUR), "came": 300, "texts": 300, "judged": 300,
        "drifted": True, "kinds": {"text": near, "label": far},
    }  # fmt: skip


def proposed(folder: Path, version: str = "1.0.0") -> dict[str, Any]:
    """Write a proposal to train again, as the monitor does; the current folder is the project."""
    engine = database.connect("", folder)
    now = datetime.now(UTC)
    cause = proposal.Cause("drift", now - 40 * HOUR, [_("{name} | `x` <b>", name="texts")], {})
    made = proposal.write(engine, [cause], watched.monitor().proposal, now, version=version)
    engine.dispose()
    assert made is not None
    return made


def open_tab(page: AppTest, title: str) -> AppTest:
    """Open a tab of a page by its English title."""
    view = next(one for one in ("deploy", "monitor") if f"{one}_tabs" in page.session_state)
    page.session_state[f"{view}_tabs"] = translate(title, page.session_state["language"])
    page.run()
    assert_sound(page)
    return page
