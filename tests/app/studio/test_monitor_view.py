"""The page Monitor: what it shows of real traffic, what people decide there, and who may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError, OperationalError
from streamlit.testing.v1 import AppTest

from app.studio import deciding, monitor_alerts, roles, serving, watching
from app.studio.project_files import Project
from app.studio.roles import Role, RoleError, User
from pipeline.errors import DataError
from pipeline.traffic import database
from pipeline.traffic.tables import windows
from pipeline.watching import journal, proposal
from tests.app.studio import deployed
from tests.app.studio.deployed import OPERATOR, open_tab
from tests.app.studio.pages import LANGUAGES, assert_sound, open_page, shown
from tests.helpers import params_text
from tests.pipeline.postgres import server

TABS = ("Figures", "Drift", "Alerts", "What people say", "Train again", "Settings")
WEEK = timedelta(days=7)
DECADES = 60 * 24 * 10_000  # minutes of one window, which is open until 2052


made, project, olga = deployed.made, deployed.project, deployed.olga  # fixtures


def unfolded(page: AppTest) -> None:
    """Open the table of all windows, which is not made before."""
    tables = len(page.dataframe)
    page.session_state["monitor_windows_fold"] = True
    page.run()
    assert_sound(page)
    assert len(page.dataframe) == tables + 1


@LANGUAGES
def test_without_traffic_the_page_says_what_to_do(tmp_path: Path, language: str) -> None:
    (tmp_path / "params.yaml").write_text(params_text(), encoding="utf-8")
    page = open_page("monitor", tmp_path, language)
    assert page.info
    assert not page.error
    assert not (tmp_path / "var/traffic.sqlite").exists(), "looking makes no database"


@LANGUAGES
def test_the_last_bad_hour_stands_on_top(project: Project, language: str) -> None:
    page = open_page("monitor", project, language)
    assert [one for one in page.error if "33" in one.value], "a third of its requests failed"
    assert len(page.metric) == 5


@pytest.mark.parametrize("name", TABS)
@LANGUAGES
def test_every_tab_is_drawn(project: Project, language: str, name: str) -> None:
    if name == "Train again":
        deployed.proposed(project.root)
    page = open_tab(open_page("monitor", project, language), name)
    if name == "Figures":
        unfolded(page)
        table = page.dataframe[-1].value
        assert len(table) == deployed.HOURS
        assert "failed_share" in table["odd"].iloc[0]
        assert page.dataframe[0].value["version"].to_list() == ["1.0.0"]
    if name == "What people say":
        table = page.dataframe[0].value
        assert "| `wrong` <b>" in table["reason"].to_list()
        assert len(table) == 20
    if name == "Drift":
        assert page.warning
        assert "<location>" in page.dataframe[0].value["name"].to_list()


def test_people_who_said_more_are_on_further_pages(project: Project) -> None:
    page = open_tab(open_page("monitor", project), "What people say")
    first = page.dataframe[0].value
    page.number_input(key="monitor_said_page").set_value(2).run()
    second = page.dataframe[0].value
    assert len(first) == len(second) == 20
    assert first["at"].to_list() != second["at"].to_list()


def test_the_database_is_only_read(project: Project) -> None:
    with (
        watching.reading(project) as engine,
        engine.connect() as connection,
        pytest.raises(OperationalError, match="readonly"),
    ):
        connection.execute(text("DELETE FROM requests"))


def test_figures_of_windows(project: Project) -> None:
    since = datetime.now(UTC) - WEEK
    found = watching.windows(project, 60, since)
    assert len(found) == deployed.HOURS
    assert found == sorted(found, key=lambda one: one["since"])
    older = watching.windows(project, 60, since, journal.moment(found[10]["since"]))
    assert older == found[:10], "an older page ends where the newer one begins"
    assert watching.windows(project, 30, since) == [], "windows of another length stay apart"
    rows = watching.rows(found)
    assert rows[-1]["failed_share"] == pytest.approx(1 / 3)
    assert rows[0]["p50"] == pytest.approx(1000 * (0.01 + 29.5 / 5_000))
    assert rows[0]["confidence"] == 0.75
    (one,) = watching.by_release(found)
    assert one["requests"] == deployed.HOURS * deployed.REQUESTS
    assert one["failed_share"] == pytest.approx(20 / one["requests"])
    assert one["verdicts"] == 40
    assert one["accuracy"] == pytest.approx(0.75)
    told = watching.anomalies(found)
    assert {since for since, _sentence in told} == {found[-1]["since"]}
    assert any("failed" in str(sentence) for _since, sentence in told)


def test_rare_labels_are_put_together() -> None:
    counts = {f"label {number}": 100 - number for number in range(watching.COMMON + 3)}
    shares = watching.label_shares([{"since": "2026-11-23T12:00:00Z", "labels": counts}])
    assert len(shares) == watching.COMMON + 1
    assert sum(one["share"] for one in shares) == pytest.approx(1)
    rest = next(one for one in shares if one["label"] == watching.OTHERS)
    assert rest["answers"] == 92 + 91 + 90


def test_a_window_that_is_open_is_counted_but_only_judged_while_it_is_small(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = watching.now(project, DECADES)
    assert found.requests == deployed.HOURS * deployed.REQUESTS
    assert found.window is not None
    assert found.window["failed"] == 20
    monkeypatch.setattr(watching, "MOST_OPEN", 10)
    assert watching.now(project, DECADES).window is None


def test_an_alert_is_acknowledged_with_a_note(project: Project) -> None:
    page = open_tab(open_page("monitor", project), "Alerts")
    keys = [one.key for one in page.button if str(one.key).startswith("monitor_ack_")]
    number = int(str(keys[0]).removeprefix("monitor_ack_"))
    page.text_input(key=f"monitor_note_{number}").set_value("the disk | was `full`")
    page.button(key=f"monitor_ack_{number}").click().run()
    assert f"monitor_ack_{number}" not in [one.key for one in page.button]
    alert = next(one for one in watching.alerts(project, datetime.now(UTC) - WEEK)
                 if one["id"] == number)  # fmt: skip
    assert alert["acknowledged_by"] == "ada"
    with watching.reading(project) as engine:
        event = journal.last(engine, "alert_acknowledged")
    assert event is not None
    assert event.data["note"] == "the disk | was `full`"
    with roles.acting_as(OPERATOR), pytest.raises(DataError):
        deciding.acknowledge(project, 10**6)


def test_looking_now_runs_the_monitor(project: Project) -> None:
    before = watching.looked(project)
    page = open_page("monitor", project)
    page.button(key="monitor_look").click().run(timeout=90)
    after = watching.looked(project)
    assert before is not None
    assert after is not None
    assert after.at > before.at
    assert "python -m pipeline.monitor run" in shown(page)


@pytest.mark.parametrize("role", list(Role))
def test_each_decision_asks_for_its_role(project: Project, role: Role) -> None:
    name = deployed.proposed(project.root)["id"]
    works: dict[str, tuple[str, Callable[[], object]]] = {
        "look": (roles.WATCH, lambda: deciding.look(project, "en")),
        "acknowledge": (roles.ACKNOWLEDGE, lambda: deciding.acknowledge(project, 1)),
        "propose": (roles.DECIDE_PROPOSAL, lambda: deciding.propose(project, "", "en")),
        "approve": (roles.DECIDE_PROPOSAL, lambda: deciding.approve(project, name)),
        "reject": (roles.DECIDE_PROPOSAL, lambda: deciding.reject(project, name, "")),
        "proceed": (roles.DECIDE_PROPOSAL, lambda: deciding.proceed(project, name, "en")),
    }
    denied = [one for one, (action, _do) in works.items() if role < roles.ACTIONS[action].role]
    with roles.acting_as(User("eve", role)):
        for one in denied:
            with pytest.raises(RoleError):
                works[one][1]()
    assert len(denied) == {Role.OPERATOR: 0, Role.EDITOR: 4}.get(role, 6)
    assert proposal.read(name)["state"] == proposal.PROPOSED


def test_who_may_not_sees_why(project: Project) -> None:
    page = open_page("monitor", project, role=Role.VIEWER)
    assert page.button(key="monitor_look").disabled
    assert "editor" in page.button(key="monitor_look").help


def test_a_damaged_database_is_explained(project: Project) -> None:
    database_file = watching.file(project)
    assert database_file is not None
    database_file.write_bytes(b"no database at all, but long enough to be one" * 100)
    page = open_page("monitor", project)
    assert page.error
    assert all("Traceback" not in one.value for one in page.error)


def test_an_address_that_is_none_is_not_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(watching.DATABASE, "mysql://user:s3cret@host/name")
    page = open_page("monitor", project)
    assert page.error
    assert "s3cret" not in shown(page)
    assert serving.values(project) is not None


def test_more_windows_than_a_page_shows_are_paged(project: Project) -> None:
    engine = database.connect("", project.root)
    first = watching.windows(project, 60, datetime.now(UTC) - WEEK)[0]
    start = journal.moment(first["since"])
    rows = []
    for back in range(1, watching.MOST_WINDOWS + 30):
        since = start - back * timedelta(hours=1)
        ends = since + timedelta(hours=1)
        told = {"since": journal.iso(since), "until": journal.iso(ends), "anomalies": []}
        rows.append({"since": since, "until": ends, "data": first | told})
    with database.writing(engine) as connection:
        connection.execute(insert(windows), rows)
    engine.dispose()
    page = open_tab(open_page("monitor", project), "Figures")
    unfolded(page)
    page.segmented_control(key="monitor_days").set_value(400).run()
    assert len(page.dataframe[-1].value) == watching.MOST_WINDOWS
    page.button(key="monitor_older").click().run()
    assert len(page.dataframe[-1].value) == deployed.HOURS + 29
    assert page.button(key="monitor_older").disabled
    page.button(key="monitor_newer").click().run()
    assert len(page.dataframe[-1].value) == watching.MOST_WINDOWS


def test_alerts_speak_the_readers_language(project: Project) -> None:
    (alert, *_others) = watching.alerts(project, datetime.now(UTC) - WEEK)
    assert set(alert["title"]) == {"en", "zh"}
    assert monitor_alerts.said(alert, "title")


@pytest.mark.slow
def test_a_postgresql_database_is_read_and_decided_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, olga: User
) -> None:
    with server() as postgres:
        monkeypatch.setenv(watching.DATABASE, postgres.url)
        monkeypatch.chdir(tmp_path)
        project = Project(deployed.visited(tmp_path, postgres.url).resolve())
        assert not (tmp_path / "var/traffic.sqlite").exists()
        for name in ("Figures", "Drift", "Alerts", "What people say"):
            page = open_tab(open_page("monitor", project), name)
            assert not [one for one in page.error if "33" not in one.value], name
            if name == "Figures":
                unfolded(page)
                assert len(page.dataframe[-1].value) == deployed.HOURS
            if name == "What people say":
                assert "| `wrong` <b>" in page.dataframe[0].value["reason"].to_list()
        (first, *_others) = watching.alerts(project, datetime.now(UTC) - WEEK)
        deciding.acknowledge(project, first["id"], note="known")
        again = watching.alerts(project, datetime.now(UTC) - WEEK)
        assert next(one for one in again if one["id"] == first["id"])["acknowledged_by"] == "olga"
        with pytest.raises(DBAPIError), watching.reading(project) as engine, engine.begin() as link:
            link.execute(text("DELETE FROM requests"))
