"""Windows of traffic: their edges, fair draws, and what people said."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pipeline.traffic import database, privacy, reading
from pipeline.traffic.entries import Entry, Feedback
from pipeline.traffic.rows import Rows
from pipeline.traffic.storing import store
from tests.pipeline.made_traffic import NOON, entry, knobs, refused

HOUR = timedelta(hours=1)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def write(engine: Engine, *items: Any) -> None:
    rows = Rows(knobs(language=False), privacy.secret(Path()))
    with database.writing(engine) as connection:
        store(connection, rows, items)


@pytest.fixture
def engine(project: Path) -> Any:
    """A database with 30 requests, the first and the last two written in another order."""
    made = database.open("", project)
    some: list[Entry] = [entry(number, ["a"] * (1 + number % 3)) for number in range(30)]
    some[0], some[1] = some[1], some[0]
    some[28], some[29] = some[29], some[28]
    write(made, *some)
    yield made
    made.dispose()


def test_a_window_holds_its_start_and_not_its_end(engine: Engine) -> None:
    found = list(reading.rows(engine, after(3), after(6)))
    assert [(row.at, row.index) for row in found] == [
        (after(3), 0), (after(4), 0), (after(4), 1), (after(5), 0), (after(5), 1), (after(5), 2),
    ]  # fmt: skip
    assert reading.count(engine, after(3), after(6)) == 6
    assert found[0].request_id == "request-000003"
    assert (found[0].label, found[0].confidence) == ("location", 0.75)
    assert (found[0].version, found[0].role, found[0].shadow) == ("1.0.0", "stable", False)
    assert len(found[0].features or b"") == 256


@pytest.mark.parametrize("page", [1, 2, 7, 60, 1000])
def test_pages_lose_nothing_and_repeat_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(reading, "PAGE", page)
    for since, until in ((0, 30), (1, 29), (2, 28), (29, 30), (0, 1), (40, 50)):
        found = list(reading.rows(engine, after(since), after(until)))
        keys = [(row.number, row.index) for row in found]
        assert keys == sorted(set(keys))
        expected = Counter(after(n) for n in range(since, min(until, 30)) for _ in range(1 + n % 3))
        assert Counter(row.at for row in found) == expected
        assert reading.count(engine, after(since), after(until)) == len(found)
        drawn = list(reading.rows(engine, after(since), after(until), 1000))
        assert drawn == found


def test_no_more_than_a_page_is_fetched(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 5)
    asked: list[Any] = []
    event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, given, *_rest: asked.append((statement, given)),
    )
    taken = reading.rows(engine, after(0), after(30))
    next(taken)
    assert len([one for one in asked if "LIMIT" in one[0]]) == 1
    taken.close()


def test_a_draw_is_repeated_by_its_seed_and_fair(engine: Engine) -> None:
    def drawn(seed: int) -> list[tuple[int, int]]:
        found = reading.rows(engine, after(0), after(30), 10, seed)
        return [(row.number, row.index) for row in found]

    assert drawn(1) == drawn(1)
    assert drawn(1) == sorted(drawn(1))
    assert drawn(1) != drawn(2)
    times = Counter(key for seed in range(300) for key in drawn(seed))
    assert len(times) == 60
    # 300 draws of 10 of 60: 50 times each, standard deviation 6.5; five of them are 32
    assert all(18 < count < 82 for count in times.values())


def test_only_answers_of_a_release_that_a_client_saw(engine: Engine) -> None:
    write(
        engine, entry(50, version="2.0.0", role="canary"), entry(51, version="2.0.0", shadow=True)
    )
    write(engine, refused(52))
    window = (after(0), after(100))
    assert reading.count(engine, *window) == 61
    assert reading.count(engine, *window, shadow=True) == 62
    assert reading.count(engine, *window, version="2.0.0") == 1
    assert reading.count(engine, *window, version="2.0.0", shadow=True) == 2
    (row,) = reading.rows(engine, *window, version="2.0.0")
    assert (row.role, row.request_id) == ("canary", "request-000050")
    (row,) = reading.rows(engine, *window, 5, version="2.0.0")
    assert row.request_id == "request-000050"


def test_what_people_said(engine: Engine) -> None:
    write(engine, entry(50, version="2.0.0"))
    said = [
        ("request-000001", 0, "anna", "up", None),
        ("request-000001", 1, "anna", "down", None),
        ("request-000002", 0, "anna", "down", "number"),
        ("request-000002", 1, "anna", "down", "location"),  # which is what was answered
        ("request-000050", 0, "anna", "down", "number"),
        ("request-000050", 0, "bert", "up", None),
    ]
    for at, (request, index, client, verdict, label) in enumerate(said):
        write(engine, Feedback(after(at), request, index, client, verdict, label))  # type: ignore[arg-type]
    found = reading.feedback_accuracy(engine, after(0), after(60))
    assert found == {"1.0.0": reading.Accuracy(4, 2), "2.0.0": reading.Accuracy(2, 1)}
    assert found["1.0.0"].share == 0.5
    assert reading.feedback_accuracy(engine, after(0), after(1)) == {
        "1.0.0": reading.Accuracy(1, 1)
    }
    rows = list(reading.rows(engine, after(0), after(60)))
    truths = {(row.request_id, row.index): row.truth for row in rows if row.truth is not None}
    assert truths == {
        ("request-000001", 0): "location",
        ("request-000002", 0): "number",
        ("request-000002", 1): "location",
        ("request-000050", 0): "location",  # who spoke last
    }


def test_a_summary_of_all(engine: Engine) -> None:
    found = reading.summary(engine)
    assert found["rows"] == {
        "requests": 30, "predictions": 60, "feedback": 0, "events": 0, "windows": 0,
    }  # fmt: skip
    assert (found["oldest"], found["newest"]) == (after(0), after(29))
    assert found["versions"] == {"1.0.0": {"requests": 30, "texts": 60}}
    assert found["bytes"] > 10_000


def test_an_empty_window(engine: Engine) -> None:
    window = (NOON - HOUR, NOON)
    assert list(reading.rows(engine, *window)) == []
    assert list(reading.rows(engine, *window, 5)) == []
    assert reading.count(engine, *window) == 0
    assert reading.feedback_accuracy(engine, *window) == {}
    assert reading.dropped(engine, *window) == 0
