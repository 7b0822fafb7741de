"""Faults: a bad canary, a database that fails, a killed process, hostile requests, secrets."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from app.service import trials
from pipeline.releases import state
from tests.e2e.served import ENDING, FAULTY, STARTING, Service, again, until
from tests.pipeline import postgres

pytestmark = pytest.mark.e2e
DATABASE = "var/traffic.sqlite"
BACK = 10.0  # seconds in which a bad canary is gone
QUICK = 0.1  # seconds in which what is refused is refused
TRIES = 3  # of which the quickest counts: others use the machine, too
DEAD = psutil.STATUS_ZOMBIE


def rows(folder: Path) -> int:
    """Return how many requests are written down; 0 before there is a table."""
    connection = sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)
    try:
        (count,) = connection.execute("SELECT count(*) FROM requests").fetchone()
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
    return int(count)


def versions(service: Service, clients: int = 60) -> set[str]:
    """Return the versions that answer so many clients, each of which must be answered."""
    found = [service.ask(**{"X-Client-Id": f"client-{at}"}) for at in range(clients)]
    assert {one.status_code for one in found} == {200}
    return {one.headers["X-Mofang-Version"] for one in found}


@pytest.fixture
def tried(serving: Path) -> Iterator[Service]:
    """A service with a stable release and a canary for half of the clients."""
    again(serving, "1.1.0")
    with Service(serving, module=FAULTY) as service:
        state.start_canary("1.1.0", 50, False, "test", root=serving / "releases")
        until(lambda: versions(service) == {"1.0.0", "1.1.0"}, 10, "both answer")
        yield service


def test_clients_stay_with_their_model(tried: Service) -> None:
    def of(client: str) -> set[str]:
        return {tried.ask(**{"X-Client-Id": client}).headers["X-Mofang-Version"] for _ in range(5)}

    found = [of(f"client-{at}") for at in range(20)]
    assert all(len(one) == 1 for one in found)
    assert set.union(*found) == {"1.0.0", "1.1.0"}


@pytest.mark.parametrize("fault", ["errors", "slow", "wrong", "nan"])
def test_a_bad_canary_is_gone_in_ten_seconds(tried: Service, fault: str) -> None:
    tried.faults(v1_1_0=fault)

    def asked(at: int) -> httpx.Response:
        return tried.ask(**{"X-Client-Id": f"client-{at}"})

    answers: list[httpx.Response] = []
    began = time.monotonic()
    with ThreadPoolExecutor(4) as clients:
        while tried.state()["canary"] is not None:
            answers += clients.map(asked, range(20))
            assert time.monotonic() - began < BACK, tried.health()
    until(lambda: versions(tried) == {"1.0.0"}, 2, "all are answered by the last good one")
    # A request that the canary failed is asked again of stable: nobody sees its failure.
    assert {one.status_code for one in answers} == {200}
    texts = [one.text for one in answers]
    assert not any("NaN" in one or "null" in one for one in texts)
    assert tried.state()["stable"] == "1.0.0"
    assert "1.1.0" in tried.state()["blocked"]
    kinds = [one["what"] for one in tried.state()["events"]]
    assert "end_canary" in kinds
    # It stays away, also after a start, until somebody insists.
    tried.stop()
    tried.start()
    assert versions(tried) == {"1.0.0"}
    words = ("pipeline.release", "canary", "1.1.0", "--share", "10")
    assert "1.1.0" in tried.run(*words, code=1)
    tried.run(*words, "--force")
    # Told by the record: one that errs may be gone again by now.
    again = [one for one in tried.state()["events"] if one["what"] == "canary"]
    assert [one["version"] for one in again] == ["1.1.0", "1.1.0"]


def test_a_canary_that_kills_the_process_is_soon_left_out(tried: Service) -> None:
    """Who starts the service again (systemd, Docker) does so a few times, not forever."""
    tried.faults(v1_1_0="dies")
    ask_until_dead(tried)
    starts = 0
    while tried.process.poll() is not None:
        assert starts < trials.MOST, "the canary kills every start"
        tried.launch()
        starts += 1
        until(tried.is_ready_or_dead, STARTING, "ready")
        ask_until_dead(tried)
    until(lambda: tried.state()["canary"] is None, BACK, "its trial is over")
    assert versions(tried) == {"1.0.0"}
    assert "1.1.0" in tried.state()["blocked"]


def ask_until_dead(service: Service) -> None:
    """Ask in many names until the process is gone, or all of them were answered."""
    for at in range(60):
        try:
            service.ask(**{"X-Client-Id": f"client-{at}"})
        except httpx.TransportError:
            service.process.wait(ENDING)
            return


def test_a_broken_release_is_not_taken(serving: Path) -> None:
    again(serving, "1.1.0")
    with Service(serving) as service:
        weights = serving / "releases/1.1.0/model/openvino_model.bin"
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        refused = service.run("pipeline.release", "promote", "1.1.0", code=1)
        assert "openvino_model.bin" in refused
        # The file changed after it was promoted, as when a disk fails.
        path = serving / "releases/state.json"
        path.write_text(json.dumps(service.state() | {"stable": "1.1.0"}), encoding="utf-8")
        until(lambda: service.health()["status"] == "degraded", 5, "health tells")
        assert versions(service) == {"1.0.0"}
        path.write_text("{ half a fi", encoding="utf-8")
        time.sleep(1)
        assert versions(service) == {"1.0.0"}


def test_a_deleted_database_is_made_again(serving: Path) -> None:
    with Service(serving) as service:
        service.ask()
        until(lambda: rows(serving) > 0, 5, "written")
        for path in (serving / "var").glob("traffic.sqlite*"):
            path.unlink()

        def written() -> bool:
            assert service.ask().status_code == 200
            return (serving / DATABASE).exists() and rows(serving) > 0

        until(written, 20, "written again")
        assert service.health()["status"] == "degraded"
        assert "deleted" in " ".join(service.health()["degraded"])


def test_a_locked_database_stops_no_answer(serving: Path) -> None:
    with Service(serving, {"traffic.queue": 10}) as service:
        service.ask()
        until(lambda: rows(serving) > 0, 5, "written")
        before = rows(serving)
        blocker = sqlite3.connect(serving / DATABASE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        while time.monotonic() - began < 30 and service.metric("mofang_log_dropped_total") == 0:
            assert service.ask(["hello password"] * 4).status_code == 200
        assert service.metric("mofang_log_dropped_total") > 0
        until(lambda: service.health()["status"] == "degraded", 20, "health tells")
        blocker.execute("ROLLBACK")
        blocker.close()
        until(lambda: service.ask() and rows(serving) > before, 30, "written again")
        until(lambda: service.health()["status"] == "ok", 30, "well again")


def test_a_full_disk_stops_no_answer(serving: Path) -> None:
    with Service(serving) as service:
        service.ask()
        until(lambda: rows(serving) > 0, 5, "written")
        limits = psutil.Process(service.process.pid)
        before = limits.rlimit(psutil.RLIMIT_FSIZE)
        limits.rlimit(psutil.RLIMIT_FSIZE, (1024, before[1]))  # no file may grow beyond it

        def degraded() -> bool:
            assert service.ask().status_code == 200
            return bool(service.health()["status"] == "degraded")

        until(degraded, 20, "health tells")
        assert versions(service, 20) == {"1.0.0"}
        limits.rlimit(psutil.RLIMIT_FSIZE, before)
        was = rows(serving)
        until(lambda: service.ask() and rows(serving) > was, 30, "written again")
        until(lambda: service.health()["status"] == "ok", 30, "well again")


def test_a_database_that_goes_away_stops_no_answer(serving: Path) -> None:
    with postgres.server() as server:
        url = {"MOFANG_DATABASE_URL": server.url}
        with Service(serving, {"traffic.queue": 10}, **url) as service:
            service.ask()
            until(lambda: rows_of(server) > 0, 10, "written")
            server.process.send_signal(signal.SIGINT)
            server.process.wait(ENDING)

            def told() -> bool:
                assert service.ask(["hello password"] * 4).status_code == 200
                dropped = service.metric("mofang_log_dropped_total")
                return dropped > 0 and bool(service.health()["status"] == "degraded")

            until(told, 30, "dropped rows are counted and health tells")
        assert postgres.PASSWORD not in service.log


def rows_of(server: postgres.Postgres) -> int:
    """Return how many requests are written down; 0 before there is a table."""
    with contextlib.suppress(psycopg.errors.UndefinedTable):
        return int(server.run("SELECT count(*) FROM requests")[0][0])
    return 0


def test_a_killed_service_goes_on_where_it_was(tried: Service, serving: Path) -> None:
    for at in range(30):
        tried.ask(**{"X-Client-Id": f"client-{at}"})
    before = tried.state()
    tried.kill()
    with sqlite3.connect(serving / DATABASE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    written = rows(serving)
    tried.start()
    assert tried.state()["stable"] == before["stable"] == "1.0.0"
    assert "1.0.0" in versions(tried)
    until(lambda: rows(serving) > written, 10, "the log goes on")
