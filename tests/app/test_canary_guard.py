"""The guard: a bad canary ends soon, a good one hardly ever, and only for what it did itself."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from app.service import guard as guards
from app.service.guard import Beside, Compared, Guard, at_least, distance, quantile
from app.service.guard import Trial as Tried
from pipeline.i18n import Message
from pipeline.schema.releasing import Canary
from pipeline.steps.targets import JOINT, MULTI, REGRESSION, SINGLE

KNOBS: dict[str, Any] = {
    "share": 10, "shadow": False, "min_requests": 50, "window_seconds": 300, "check_seconds": 0.1,
    "max_error_share": 0.02, "max_slowdown": 1.5, "slack_ms": 5.0, "compared_share": 0.25,
    "max_disagreement": 0.15,
}  # fmt: skip
LABELS = ("good", "bad")
FIRST = Tried("1.1.0", "2026-01-01T00:00:00.000+00:00")


@dataclass
class Lane:
    """What the guard knows of one."""

    role: str
    version: str = "1.1.0"
    task: str = SINGLE

    def decide(self, scores: Any) -> list[str]:
        if self.task == REGRESSION:
            return [str(float(one)) for one in scores[:, 0]]
        return [LABELS[at] for at in scores.argmax(axis=1)]


CANARY, STABLE = Lane("canary"), Lane("stable", "1.0.0")
GOOD, BAD = np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])


@dataclass
class Trial:
    """A guard with a clock of its own."""

    changes: dict[str, Any] = field(default_factory=dict)
    now: float = 1_000.0

    def __post_init__(self) -> None:
        self.ended: list[tuple[Tried, Message]] = []
        self.guard = Guard(
            Canary.model_validate(KNOBS | self.changes), self.end, clock=lambda: self.now
        )
        self.guard.watch(FIRST)

    async def end(self, tried: Tried, why: Message) -> None:
        self.ended.append((tried, why))
        self.guard.watch(None)

    def stable(self, seconds: float = 0.01, code: int = 200) -> None:
        scores = GOOD if code == 200 else None
        self.guard.observe(STABLE, code=code, seconds=seconds, scores=scores)

    def canary(
        self,
        seconds: float = 0.01,
        code: int = 200,
        scores: Any = GOOD,
        beside: Beside | None = None,
    ) -> None:
        self.guard.observe(
            CANARY, code=code, seconds=seconds, scores=scores if code == 200 else None,
            stable_answer=beside,
        )  # fmt: skip

    def why(self) -> str:
        found = self.guard.verdict()
        return found.render("en") if found else ""


def test_a_good_canary_goes_on() -> None:
    trial = Trial()
    for _ in range(300):
        trial.stable()
        trial.canary(beside=Beside(["good"], 0.01))
    assert trial.why() == ""


def test_nothing_is_said_before_there_are_enough_requests() -> None:
    trial = Trial()
    for _ in range(49):
        trial.stable()
        trial.canary(code=500)
    assert trial.why() == ""
    trial.canary(code=500)
    assert trial.why() == "50 of 50 requests failed, allowed 2.0%"


@pytest.mark.parametrize(
    ("failed", "of", "ends"), [(0, 50, False), (1, 50, False), (3, 50, True), (60, 2_000, True)]
)
def test_errors_end_it_when_they_are_no_accident(failed: int, of: int, ends: bool) -> None:
    trial = Trial()
    for at in range(of):
        trial.canary(code=500 if at < failed else 200)
    assert bool(trial.why()) is ends


def test_errors_that_stable_has_as_well_are_not_its_fault() -> None:
    trial = Trial()
    for at in range(200):
        trial.stable(code=503 if at % 5 == 0 else 200)
        trial.canary(code=503 if at % 5 == 0 else 200)
    assert trial.why() == ""


def test_what_a_client_did_wrong_is_nobodys_fault() -> None:
    trial = Trial()
    for _ in range(100):
        trial.canary(code=422)
    assert trial.why() == ""


def test_one_answer_that_is_no_number_ends_it() -> None:
    trial = Trial({"max_error_share": 1.0})
    for _ in range(50):
        trial.canary()
    trial.canary(scores=np.array([[np.nan, 0.5]]))
    assert trial.why() == "1 answers were no finite numbers"


def test_other_answers_end_it() -> None:
    trial = Trial()
    for at in range(60):
        trial.canary(scores=BAD if at % 2 else GOOD, beside=Beside(["good"], 0.01))
    assert trial.why() == "30 of 60 compared texts were answered otherwise, allowed 15.0%"


def test_a_few_comparisons_prove_nothing() -> None:
    trial = Trial()
    for _ in range(100):
        trial.canary()
    for _ in range(20):
        trial.canary(scores=BAD, beside=Beside(["good"], 0.01))
    assert trial.why() == ""


def test_a_slow_canary_ends() -> None:
    trial = Trial()
    for at in range(100):
        trial.stable(0.010 + at % 10 / 1_000)
        trial.canary(0.030 + at % 10 / 1_000)
    assert trial.why() == "the 95th percentile is 39.0 ms, stable's 19.0 ms, allowed 28.5 ms"


def test_a_slowdown_within_the_slack_does_not_count() -> None:
    trial = Trial()
    for _ in range(100):
        trial.stable(0.001)
        trial.canary(0.005)
    assert trial.why() == ""
    slower = Trial()
    for _ in range(100):
        slower.stable(0.001)
        slower.canary(0.007)
    assert "7.0 ms" in slower.why()


def test_long_texts_are_slow_in_either_model() -> None:
    """One client sends long lists to the canary, everybody else single texts to stable."""
    trial = Trial()
    for _ in range(200):
        trial.stable(0.010)
    for _ in range(60):
        trial.canary(0.200, beside=Beside(["good"], 0.190))
    assert trial.why() == ""
    # Only what both were asked tells them apart.
    really = Trial()
    for _ in range(200):
        really.stable(0.500)
    for _ in range(60):
        really.canary(0.400, beside=Beside(["good"], 0.190))
    assert "400.0 ms" in really.why()


def test_a_moment_in_which_stable_stood_still_hides_no_slow_canary() -> None:
    trial = Trial()
    for at in range(60):
        trial.canary(0.350, beside=Beside(["good"], 0.800 if at < 10 else 0.010))
    assert trial.why() == (
        "50 of 60 requests that both answered took more than 1.5 times as long as with stable, "
        "and over 5 ms longer"
    )
    # Both stand still now and then: the typical request is as fast as stable's.
    sound = Trial()
    for at in range(60):
        slow = 0.800 if at % 3 == 0 else 0.010
        sound.canary(slow, beside=Beside(["good"], 0.800 if at % 3 == 1 else 0.010))
    assert sound.why() == ""


def test_without_enough_of_stable_nothing_is_slow() -> None:
    trial = Trial()
    trial.stable(0.001)
    for _ in range(60):
        trial.canary(0.5)
    assert trial.why() == ""


def test_what_is_old_counts_no_more() -> None:
    trial = Trial({"window_seconds": 60})
    for _ in range(200):
        trial.canary(code=500)
    trial.now += 61
    for _ in range(100):
        trial.canary()
    assert trial.why() == ""


def test_a_canary_with_little_traffic_is_judged_as_well() -> None:
    trial = Trial({"window_seconds": 60})
    for _ in range(50):
        trial.canary(code=500)
        trial.now += 30
    assert "50 of 50" in trial.why()


def test_memory_is_bounded() -> None:
    trial = Trial()
    for _ in range(3 * guards.NEWEST):
        trial.stable()
        trial.canary(beside=Beside(["good"], 0.01))
    assert len(trial.guard.compared) == guards.NEWEST
    assert {len(one) for one in trial.guard.seen.values()} == {guards.NEWEST}


def test_another_canary_begins_anew_and_a_stranger_does_not_count() -> None:
    trial = Trial()
    for _ in range(60):
        trial.canary(code=500)
    trial.guard.watch(Tried("1.2.0", FIRST.since))
    assert trial.why() == ""
    for _ in range(60):
        trial.canary(code=500)  # answers of 1.1.0 that come late
    assert trial.why() == ""
    trial.guard.watch(None)
    trial.canary(code=500)
    assert not trial.guard.seen["canary"]


def test_the_first_requests_are_all_compared() -> None:
    trial = Trial()
    assert trial.guard.wants_comparison(0.99)
    for _ in range(50):
        trial.canary(beside=Beside(["good"], 0.01))
    assert not trial.guard.wants_comparison(0.99)
    assert trial.guard.wants_comparison(0.1)
    never = Trial({"compared_share": 0.0})
    assert not never.guard.wants_comparison(0.0)


def test_several_labels_differ_by_their_share() -> None:
    def differ(own: str, stable: str) -> float:
        return distance([Compared(0.0, own, stable)], MULTI)

    assert differ("", "") == 0
    assert differ("a", "") == 1
    assert differ(JOINT.join("ab"), "a") == pytest.approx(0.5)
    assert differ(JOINT.join("ab"), JOINT.join("ba")) == 0
    # One label that holds the sign is one label.
    assert distance([Compared(0.0, "a|b", "a")], SINGLE) == 1


def test_numbers_differ_when_they_are_far_apart() -> None:
    pairs = [(1.0, 1.1), (2.0, 2.0), (3.0, 2.9), (4.0, 9.0)]
    compared = [Compared(0.0, str(own), str(stable)) for stable, own in pairs]
    assert distance(compared, REGRESSION) == 1


@pytest.mark.parametrize(("hits", "count"), [(0, 50), (3, 50), (12, 50), (50, 50), (1, 2_000)])
def test_the_interval_is_wilsons(hits: int, count: int) -> None:
    from scipy.stats import binomtest

    two_sided = binomtest(hits, count).proportion_ci(0.9, method="wilson")
    assert at_least(hits, count) == pytest.approx(two_sided.low, abs=1e-5)


def test_the_quantile_is_the_smallest_that_few_exceed() -> None:
    assert quantile([1.0]) == 1.0
    assert quantile(list(map(float, range(100, 0, -1)))) == 95.0


def ended_at(errors: float, other: float, slower: float, seed: int) -> int:
    """Return after how many requests a simulated trial ends, of 2,000; 0 for never."""
    chance, trial = random.Random(seed), Trial()
    for at in range(1, 2_001):
        trial.now += 0.1
        trial.stable(chance.lognormvariate(-4.6, 0.5))
        code = 500 if chance.random() < errors else 200
        scores = BAD if chance.random() < other else GOOD
        beside = Beside(["good"], chance.lognormvariate(-4.6, 0.5))
        compared = trial.guard.wants_comparison(chance.random())
        trial.canary(
            chance.lognormvariate(-4.6, 0.5) * slower, code, scores, beside if compared else None
        )
        if at % 20 == 0 and trial.guard.verdict():
            return at
    return 0


def test_bad_ones_end_soon_and_good_ones_hardly_ever() -> None:
    """A trial of 2,000 requests is judged a hundred times: chance must not end it."""
    assert all(0 < ended_at(0.3, 0.0, 1.0, seed) <= 80 for seed in range(5))
    assert all(0 < ended_at(0.0, 0.6, 1.0, seed) <= 80 for seed in range(5))
    assert all(0 < ended_at(0.0, 0.0, 4.0, seed) <= 80 for seed in range(5))
    sound = [ended_at(0.005, 0.05, 1.0, seed) for seed in range(10)]
    assert sum(map(bool, sound)) <= 1, sound


def test_it_judges_by_itself_and_survives_its_own_failures() -> None:
    async def work() -> list[tuple[Tried, Message]]:
        trial = Trial()
        broken = [True, True]

        async def end(tried: Tried, why: Message) -> None:
            if broken and broken.pop():
                raise RuntimeError("the disk is full")
            await trial.end(tried, why)

        trial.guard.end = end
        for _ in range(60):
            trial.canary(code=500)
        trial.guard.start()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if trial.ended:
                break
        await trial.guard.stop()
        return trial.ended

    ended = asyncio.run(work())
    assert [tried for tried, _why in ended] == [FIRST]
    assert "60" in ended[0][1].render("zh")
