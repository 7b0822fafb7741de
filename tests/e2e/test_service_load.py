"""Too much, for long, and twenty releases in a row: under load nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.outcomes import Outcome, Plan, payloads
from benchmarks.soaking import EVERY, MOST_PER_MINUTE, SHARE, slope
from pipeline.releases import state
from tests.e2e.served import FAULTY, Service, again, until

pytestmark = pytest.mark.e2e
TEXTS = ["hello my password is late", "the parcel please", "wrong money today", "urgent help"]
SWITCHES, SECONDS = 20, 60.0


@contextmanager
def asked(plan: Plan) -> Iterator[list[Outcome]]:
    """Run a plan beside the block; what came of it stands in the list after the block."""
    found: list[Outcome] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(load.run, plan)
        try:
            yield found
        finally:
            if plan.enough is not None:
                plan.enough.set()
        found.append(running.result())


def plan(service: Service, **changes: object) -> Plan:
    """Return a plan that asks a service about all texts in turn, in many names."""
    sent = payloads(service.address, TEXTS * 25, clients=100)
    return Plan(service.address, sent, warm=0.0, **changes)  # type: ignore[arg-type]


def test_twenty_releases_are_switched_without_a_failed_request(serving: Path) -> None:
    new = [f"1.{at}.0" for at in range(1, SWITCHES + 1)]
    for version in new:
        again(serving, version)
    with Service(serving) as service:
        before, began = service.memory(), time.monotonic()
        endless = plan(service, clients=4, seconds=2 * SECONDS, enough=threading.Event())
        with asked(endless) as found:
            for version in new:
                state.promote(version, "test", root=serving / "releases")
                until(lambda: service.ask().headers["X-Mofang-Version"] == version, 10, version)  # noqa: B023
            took = time.monotonic() - began
        assert took < SECONDS
        (outcome,) = found
        assert set(outcome.statuses()) == {200}, (outcome.statuses(), outcome.failures)
        assert set(outcome.versions()) == {"1.0.0", *new}
        in_order = [row.version for row in sorted(outcome.rows, key=lambda row: row.due)]
        assert in_order[-1] == new[-1]
        assert service.memory() - before < 60, "models that serve no more stay in memory"
        assert service.health()["status"] == "ok"


def test_beyond_capacity_some_are_refused_and_then_all_is_well(serving: Path) -> None:
    """At four times what a model can do: 200, or 503 with Retry-After; after five seconds 200."""
    narrow = {"serve.batching.budget": 64, "serve.batching.queue": 8, "serve.limits.texts": 4,
              "serve.batching.deadline_ms": 1000}  # fmt: skip
    with Service(serving, narrow, FAULTY) as service:
        service.faults(v1_0_0="slow")
        capacity = load.run(plan(service, clients=8, seconds=4.0)).rate()
        rates = [(capacity / 2, 2.0), (4 * capacity, 5.0), (capacity / 2, 8.0)]
        outcome = load.run(plan(service, phases=rates))
        assert set(outcome.statuses()) == {200, 503}, outcome.failures
        assert all(row.retry_after for row in outcome.rows if row.status == 503)
        assert outcome.rate() > capacity / 4
        calm = [row for row in outcome.rows if row.due - outcome.began > 7.0 + 5.0]
        assert calm
        assert {row.status for row in calm} == {200}
        answered = [row.finished - row.due for row in outcome.rows if row.status == 200]
        assert max(answered) < 2.0, "what was accepted waited longer than its deadline"


@pytest.mark.slow
def test_three_minutes_at_seven_tenths_of_capacity_take_no_memory(serving: Path) -> None:
    with Service(serving) as service:
        capacity = load.run(plan(service, clients=16, seconds=5.0)).rate()
        times: list[float] = []
        megabytes: list[float] = []
        began = time.monotonic()
        with asked(plan(service, phases=[(SHARE * capacity, 180.0)])) as found:
            while (passed := time.monotonic() - began) < 180.0:
                times.append(passed)
                megabytes.append(service.memory())
                time.sleep(EVERY)
        assert set(found[0].statuses()) == {200}
        assert slope(times, megabytes) < MOST_PER_MINUTE, megabytes[:: len(megabytes) // 20]
