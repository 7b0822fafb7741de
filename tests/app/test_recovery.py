"""When a service that got too much to do is as before, as ``make bench-serve`` judges it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.serve import judged

CALM, END = 4.0, 12.0  # seconds of normal load, and when too much of it went


def windows(*after: tuple[float, int]) -> list[dict[str, Any]]:
    """Return a time line: calm, too much, then windows of a latency and a number of refusals."""
    usual, much = ([40.0] * 49 + [60.0], 0), ([2_000.0] * 20, 300)
    rest = [([ms] * 50, refused) for ms, refused in after]
    found = [usual] * 8 + [much] * 16 + rest
    return [
        {"at": at / 2, "statuses": {"200": len(ms)} | ({"503": refused} if refused else {}),
         "ms": list(ms)}
        for at, (ms, refused) in enumerate(found)
    ]  # fmt: skip


def recovery(timeline: list[dict[str, Any]]) -> float:
    """Return the seconds until all was as before."""
    return judged(timeline, CALM, END)["recovery"]


def test_all_is_as_before_once_nothing_is_refused_or_late() -> None:
    assert recovery(windows(*[(40.0, 0)] * 16)) == 0.0
    slow = [(1_800.0, 5), (900.0, 0), (300.0, 0)]
    assert recovery(windows(*slow, *[(50.0, 0)] * 13)) == 1.5
    assert recovery(windows((40.0, 1), *[(40.0, 0)] * 15)) == 0.5


def test_one_slow_request_undoes_no_recovery_but_several_do() -> None:
    timeline = windows((1_000.0, 0), *[(40.0, 0)] * 15)
    timeline[30]["ms"][0] = 500.0
    assert recovery(timeline) == 0.5
    timeline[30]["ms"][:10] = [500.0] * 10
    assert recovery(timeline) == 3.5


@pytest.mark.parametrize("last", [(130.0, 0), (40.0, 1)])
def test_a_service_that_stays_slow_or_refuses_never_recovers(last: tuple[float, int]) -> None:
    assert recovery(windows(*[last] * 16)) == math.inf


def test_what_waited_when_too_much_came_does_not_count_as_before() -> None:
    timeline = windows(*[(300.0, 0)] * 16)
    timeline[7]["ms"] = [1_900.0] * 50
    found = judged(timeline, CALM, END)
    assert found["p99_before"] == 60.0
    assert found["recovery"] == math.inf
    assert found["p99_during"] == 2_000.0
