"""Figures of windows, from real rows on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from pipeline.traffic import database
from pipeline.traffic.entries import DROPPED, Event, Feedback
from pipeline.watching import figures, journal
from tests.pipeline import postgres
from tests.pipeline.made_traffic import NOON, entry, refused
from tests.pipeline.watched import write

HOUR = timedelta(hours=1)


def items() -> list[Any]:
    """Return an hour of traffic of two releases."""
    random = np.random.default_rng(5)
    made: list[Any] = []
    for number in range(200):
        changes: dict[str, Any] = {"seconds": float(random.lognormal(-4, 0.6)), "waited": 0.001}
        if number % 10 == 0:
            changes |= {"version": "1.1.0", "role": "canary", "stable_labels": ["number"]}
        if number % 10 == 5:
            changes |= {"version": "1.1.0", "role": "canary", "shadow": True, "seconds": 9.0}
        if number % 4 == 0:
            changes |= {"labels": ["number"], "scores": np.array([[0.4, 0.6]])}
        made.append(entry(number, **changes))
    made += [refused(200), refused(201, code=503), refused(202, code=503)]
    made.append(entry(3_600))  # the first of the next hour
    made += [Feedback(NOON, "request-000001", 0, "anna", "up"),
             Feedback(NOON, "request-000002", 0, "anna", "down"),
             Feedback(NOON, "request-000010", 0, "bert", "down", "number")]  # fmt: skip
    return [*made, Event(NOON, DROPPED, {"items": 7})]


@pytest.fixture
def engine(project: Path) -> Iterator[Engine]:
    made = database.open("", project)
    write(made, *items())
    yield made
    made.dispose()


def expected_seconds() -> list[float]:
    return [one.seconds for one in items()
            if getattr(one, "code", 0) == 200 and not one.shadow
            and one.at < NOON + HOUR]  # fmt: skip


def checked(found: dict[str, Any]) -> None:
    assert found["requests"] == 183
    assert found["codes"] == {"200": 180, "422": 1, "503": 2}
    assert (found["failed"], found["refused"]) == (2, 1)
    assert found["texts"] == 183
    assert found["per_second"] == pytest.approx(183 / 3600, abs=1e-6)
    quantiles = np.quantile(expected_seconds(), [0.5, 0.95, 0.99])
    assert list(found["seconds"].values()) == pytest.approx(list(quantiles), abs=1e-6)
    assert found["waited"] == {"p50": 0.001, "p95": 0.001, "p99": 0.001}
    assert found["labels"] == {"location": 130, "number": 50}
    assert found["confidence"]["mean"] == pytest.approx((130 * 0.75 + 50 * 0.6) / 180, abs=1e-6)
    assert found["dropped"] == 7
    assert found["feedback"] == {"verdicts": 3, "right": 1, "accuracy": pytest.approx(1 / 3, 1e-4)}
    canary = found["versions"]["1.1.0"]
    assert (canary["requests"], canary["shadow"], canary["roles"]) == (40, 20, ["canary"])
    assert canary["compared"] == 20
    assert canary["disagreement"] == 0.5
    assert found["versions"]["1.0.0"]["feedback"]["verdicts"] == 2


def test_figures_of_a_window(engine: Engine) -> None:
    checked(figures.window(engine, NOON, NOON + HOUR))


def test_the_same_on_postgresql(project: Path) -> None:
    with postgres.server() as server:
        made = database.open(server.url, project)
        write(made, *items())
        checked(figures.window(made, NOON, NOON + HOUR))
        figures.keep(made, figures.window(made, NOON, NOON + HOUR))
        assert [one["requests"] for one in figures.kept(made, NOON + HOUR, 60, 5)] == [183]
        assert list(figures.due(made, NOON, NOON + 2 * HOUR, 60)) == [NOON, NOON + HOUR]
        made.dispose()


def test_a_window_without_requests(engine: Engine) -> None:
    found = figures.window(engine, NOON - HOUR, NOON)
    assert found["requests"] == 0
    assert [found[name] for name in ("seconds", "confidence", "feedback", "failed_share")] == (
        [None] * 4
    )
    assert found["versions"] == {}
    assert found["resources"] is None


def test_resources_are_those_that_the_service_told(engine: Engine) -> None:
    for minute, memory in ((0, 100), (30, 300), (60, 900)):
        sample = {"pid": 1, "memory_bytes": memory, "cpu_share": 0.5}
        journal.note(engine, figures.SAMPLE, sample, NOON + timedelta(minutes=minute))
    found = figures.window(engine, NOON, NOON + HOUR)["resources"]
    assert found == {"memory_bytes": 300, "cpu_share": 0.5, "samples": 2}


def test_due_windows_are_aligned_over_and_not_those_of_a_stopped_service(engine: Engine) -> None:
    late = NOON + 5 * HOUR
    journal.note(engine, figures.SAMPLE, {"pid": 1}, late + timedelta(minutes=59))

    def due(after: datetime, now: datetime) -> list[datetime]:
        return list(figures.due(engine, after, now, 60))

    assert due(NOON - 3 * HOUR, late + HOUR) == [NOON, NOON + HOUR, late]
    assert due(NOON + timedelta(minutes=1), late) == [NOON + HOUR]
    assert due(NOON, NOON + timedelta(minutes=59)) == []
    assert due(late + HOUR, late + 9 * HOUR) == []


def test_a_window_is_kept_once_and_lengths_are_not_mixed(engine: Engine) -> None:
    hour = figures.window(engine, NOON, NOON + HOUR)
    figures.keep(engine, hour)
    figures.keep(engine, hour | {"requests": 1})
    figures.keep(engine, figures.window(engine, NOON, NOON + HOUR / 2))
    assert [one["requests"] for one in figures.kept(engine, NOON + HOUR, 60, 10)] == [183]
    assert [one["minutes"] for one in figures.kept(engine, NOON + HOUR, 30, 10)] == [30]
    assert figures.kept(engine, NOON, 60, 10) == []


def test_many_labels_are_counted_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST_LABELS", 1)
    found = figures.window(engine, NOON, NOON + HOUR)
    assert found["labels"] == {"location": 130, figures.OTHER: 50}


def test_events_are_read_back_and_old_looks_forgotten(engine: Engine) -> None:
    first = journal.note(engine, "look", {"a": "1 物"}, NOON)
    second = journal.note(engine, "drift", {"b": 2}, NOON + HOUR)
    assert journal.read(engine, ("look", "drift")) == [first, second]
    assert journal.read(engine, ("look",), since=NOON + HOUR) == []
    assert journal.last(engine, "drift") == second
    assert journal.one(engine, first.id) == first
    assert journal.one(engine, 10**6) is None
    journal.forget(engine, ("look",), NOON + HOUR)
    assert journal.read(engine, ("look", "drift")) == [second]


@pytest.mark.parametrize("text", ["2026-11-23T12:00:00Z", "2026-11-23T20:00:00+08:00"])
def test_moments(text: str) -> None:
    assert journal.moment(text) == NOON
    assert journal.iso(journal.moment(text)) == "2026-11-23T12:00:00Z"
