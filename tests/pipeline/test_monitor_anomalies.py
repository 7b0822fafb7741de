"""Which figures are out of the ordinary, and how often that is said of a sound window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.i18n import LANGUAGES
from pipeline.watching import anomalies
from tests.pipeline.watched import monitor, window

SMALLEST = {"latency": 1.0, "throughput": 1.0, "share": 0.0}  # every change matters


def found(last: dict[str, Any], references: int = 60, seed: int = 0, **knobs: Any) -> list[str]:
    """Return the names of the figures that are out of the ordinary beside sound windows."""
    random = np.random.default_rng(seed)
    known = [window(random) for _ in range(references)]
    return [one.figure for one in anomalies.check(last, known, monitor(**knobs))]


def sound(**changes: Any) -> dict[str, Any]:
    return window(np.random.default_rng(99), **changes)


def test_a_sound_window_is_sound() -> None:
    assert found(sound()) == []


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"seconds": {"p50": 0.01, "p95": 0.03, "p99": 0.2}}, "latency_p99"),
        ({"seconds": {"p50": 0.02, "p95": 0.03, "p99": 0.05}}, "latency_p50"),
        ({"failed": 150}, "failed_share"),
        ({"refused": 250}, "refused_share"),
        ({"labels": {"location": 900, "number": 100}}, "label_share"),
        ({"confidence": {"mean": 0.7, "answers": 1_000}}, "confidence"),
        ({"resources": {"memory_bytes": 6e8, "cpu_share": 0.37}}, "memory"),
        ({"resources": {"memory_bytes": 3e8, "cpu_share": 1.9}}, "processor"),
        ({"requests": 9_000, "failed": 90, "refused": 180}, "throughput"),
    ],
)
def test_what_goes_wrong_is_found(changes: dict[str, Any], figure: str) -> None:
    names = found(sound(**changes))
    assert figure in names
    assert len(set(names)) == 1, "and nothing else"


def test_silence_is_found_and_says_nothing_of_other_figures() -> None:
    silent = sound(requests=0, failed=0, refused=0, seconds=None, labels={}, confidence=None)
    assert found(silent) == ["throughput"]


def test_faster_and_fewer_failures_are_no_alarm() -> None:
    assert found(sound(seconds={"p50": 0.001, "p95": 0.002, "p99": 0.003}, failed=0)) == []


def test_a_certain_change_that_is_too_small_is_none() -> None:
    seconds = {"p50": 0.0145, "p95": 0.0435, "p99": 0.0725}  # 1.45 times
    assert found(sound(seconds=seconds), 168, false_alarms=0.05) == []
    assert "latency_p50" in found(
        sound(seconds=seconds), 168, false_alarms=0.05, smallest__latency=1.3
    )


def test_few_windows_or_few_requests_make_no_claim() -> None:
    bad = sound(failed=500)
    assert found(bad, references=23) == []
    assert found(bad, references=24) == ["failed_share"]
    assert found(sound(requests=49, failed=49, refused=0)) == ["throughput"]


def test_a_share_needs_requests_and_not_only_a_value_beyond_all_others() -> None:
    """Two failures of 60 are 3 %: more than ever before, and no proof of anything."""
    random = np.random.default_rng(1)
    known = [window(random, requests=60, failed=0, refused=0) for _ in range(60)]
    knobs = monitor(smallest=SMALLEST, false_alarms=0.05)
    last = sound(requests=60, failed=1, refused=0)
    assert "failed_share" not in [one.figure for one in anomalies.check(last, known, knobs)]
    last = sound(requests=60, failed=20, refused=0)
    assert "failed_share" in [one.figure for one in anomalies.check(last, known, knobs)]


def heavy(random: np.random.Generator) -> dict[str, Any]:
    """Return a sound window whose figures have Pareto tails, as real ones do at worst."""
    requests = int(np.exp(random.laplace(7, 0.3)))
    share = float(random.beta(1, 60))
    return window(
        random,
        requests=requests,
        failed=int(random.binomial(requests, share)),
        refused=int(random.binomial(requests, share)),
        seconds={name: float(np.exp(random.laplace(-4, 0.2))) for name in
                 ("p50", "p95", "p99")},
    )  # fmt: skip


@pytest.mark.parametrize("draw", [window, heavy], ids=["even", "heavy tails"])
def test_false_alarms_are_as_rare_as_stated(draw: Any) -> None:
    """At a stated 5 % of windows; more than 5 % and three standard errors would be a lie."""
    random, runs, stated = np.random.default_rng(7), 500, 0.05
    knobs = monitor(false_alarms=stated, smallest=SMALLEST)
    alarms = 0
    for _ in range(runs):
        known = [draw(random) for _ in range(40)]
        alarms += bool(anomalies.check(draw(random), known, knobs))
    assert alarms / runs <= stated + 3 * (stated * (1 - stated) / runs) ** 0.5


def test_a_doubled_latency_is_nearly_always_found() -> None:
    random, runs, hits = np.random.default_rng(8), 100, 0
    for _ in range(runs):
        known = [window(random) for _ in range(100)]
        slow = window(random)
        slow["seconds"] = {name: 2.2 * one for name, one in slow["seconds"].items()}
        hits += any(one.family == "latency" for one in anomalies.check(slow, known, monitor()))
    assert hits / runs >= 0.99


@given(
    st.integers(1, 300), st.integers(1, 3_000), st.integers(0, 300), st.integers(0, 3_000)
)  # fmt: skip
def test_fishers_test_is_fishers_test(n: int, total: int, k: int, earlier: int) -> None:
    own, before = (min(k, n), n), (min(earlier, total), total)
    up = stats.hypergeom.sf(own[0] - 1, n + total, own[0] + before[0], n)
    down = stats.hypergeom.cdf(own[0], n + total, own[0] + before[0], n)
    for direction, expected in ((anomalies.UP, up), (anomalies.DOWN, down)):
        p = anomalies.fisher(own, before, direction)
        more = own[0] * total > before[0] * n if direction == anomalies.UP else (
            own[0] * total < before[0] * n
        )  # fmt: skip
        assert p == pytest.approx(expected if more else 1.0, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("direction", [anomalies.UP, anomalies.DOWN])
@pytest.mark.parametrize("m", [24, 168])
def test_the_tail_is_exact_where_it_is_exponential(m: int, direction: str) -> None:
    random, runs = np.random.default_rng(6), 2_000
    sign = 1 if direction == anomalies.UP else -1
    drawn = sign * random.exponential(3.0, (runs, m + 1))
    found = [anomalies.tail(float(row[0]), row[1:].tolist(), direction) for row in drawn]
    for share in (0.1, 0.01):
        error = 3 * (share * (1 - share) / runs) ** 0.5
        assert np.mean(np.array(found) <= share) == pytest.approx(share, abs=error)


def test_a_tail_of_equal_values() -> None:
    assert anomalies.tail(1.0, [1.0] * 30, anomalies.UP) == 1.0
    assert anomalies.tail(1.1, [1.0] * 30, anomalies.UP) == 0.0
    assert anomalies.tail(1.1, [1.0] * 30, anomalies.DOWN) == 1.0
    assert anomalies.tail(2.0, [1.0], anomalies.UP) == 0.0


def test_every_figure_has_words_in_both_languages() -> None:
    assert {one.name for one in anomalies.WATCHED} | {"label_share"} == set(anomalies.NAMES)
    for name in anomalies.NAMES:
        one = anomalies.Anomaly(name, "物 <b>", 1.0, 2.0, "up", 0.0, 0.1, 30, "warning")
        for language in LANGUAGES:
            assert "30" in one.sentence().render(language)
    label = anomalies.Anomaly("label_share", "物", 1.0, 2.0, "up", 0.0, 0.1, 30, "warning")
    assert "物" in label.sentence().render("en")
