"""What follows from a plan: its schedule, its money, its risks and whether it can be done."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.studio.project import (
    budget,
    choices,
    completeness,
    feasibility,
    risks,
)  # fmt: skip
from app.studio.project.measured import Measured, measured
from app.studio.project.schedule import after, needed, next_workday, timeline, usual, workday
from app.studio.project.schema import Milestone, Plan, Risk, Schedule, Task
from pipeline.errors import words
from tests.app.studio.plans import (
    GOOD,
    TODAY,
    asked,
    evidence,
    full,
    plan_of,
    verdicts,
)

# The schedule


def test_tasks_follow_each_other_on_working_days() -> None:
    line = timeline(Plan.model_validate(full()).schedule, TODAY)
    data, train = line.bars
    assert (data.start, data.end, data.worst_end) == (
        date(2026, 11, 23), date(2026, 11, 27), date(2026, 12, 4)
    )  # fmt: skip
    assert (train.start, train.end, train.worst_end) == (
        date(2026, 11, 30), date(2026, 12, 4), date(2026, 12, 11)
    )  # fmt: skip
    assert (line.end, line.worst_end) == (date(2026, 12, 4), date(2026, 12, 11))
    assert line.marks[0].on == date(2026, 12, 4)
    assert data.critical
    assert train.critical


@given(some.dates(date(2000, 1, 1), date(2100, 1, 1)), some.integers(1, 300))
def test_working_days_are_counted_as_by_hand(start: date, days: int) -> None:
    first = workday(start)
    day, left = first, days
    while left > 1:
        day += timedelta(days=1)
        left -= day.weekday() < 5
    assert after(first, days) == day
    assert next_workday(start).weekday() < 5
    assert next_workday(start) > start


@pytest.mark.parametrize(
    ("tasks", "word", "placed"),
    [
        ([("a", "b"), ("b", "a"), ("c", "")], "wait for each other: a, b", ["c"]),
        ([("a", "a")], "wait for each other: a", []),
        ([("a", "x")], "which is no task", ["a"]),
        ([("a", ""), ("a", "")], "Two tasks", ["a", "a"]),
    ],
)
def test_what_cannot_be_placed_is_named(
    tasks: list[tuple[str, str]], word: str, placed: list[str]
) -> None:
    made = [Task.model_validate({"name": name, "after": before}) for name, before in tasks]
    line = timeline(Schedule(tasks=made), TODAY)
    assert any(word in words(one, "en") for one in line.problems)
    assert [bar.task.name for bar in line.bars] == placed


@pytest.mark.parametrize(
    ("start", "done", "state"),
    [
        (date(2026, 11, 2), 100, "done"), (date(2026, 11, 2), 50, "late"),
        (date(2026, 11, 20), 0, "now"), (date(2026, 12, 20), 0, "planned"),
        (date(2026, 12, 20), 10, "now"),
    ],
)  # fmt: skip
def test_the_state_of_a_task(start: date, done: int, state: str) -> None:
    task = Task.model_validate({"name": "a", "start": start, "done": done})
    assert timeline(Schedule(tasks=[task]), TODAY).bars[0].state == state


def test_a_milestone_can_be_late() -> None:
    one = Milestone.model_validate({"name": "m", "on": date(2026, 11, 1)})
    other = Milestone.model_validate({"name": "m", "on": date(2026, 11, 1), "reached": True})
    line = timeline(Schedule(milestones=[one, other]), TODAY)
    assert [mark.late for mark in line.marks] == [True, False]


def test_chinese_commas_separate_tasks() -> None:
    tasks = [Task.model_validate({"name": name}) for name in ("\u7532", "\u4e59")]
    last = Task.model_validate({"name": "c", "after": "\u7532\uff0c\u4e59"})
    line = timeline(Schedule(start=TODAY, tasks=[*tasks, last]), TODAY)
    assert not line.problems
    assert line.bars[2].start == date(2026, 11, 30)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_usual_phases_are_a_plan(language: str) -> None:
    rows = usual(lambda text: words(text, language))
    line = timeline(Schedule(start=TODAY, tasks=[Task.model_validate(one) for one in rows]), TODAY)
    assert [row["phase"] for row in rows] == list(choices.PHASES)
    assert not line.problems
    assert len(line.bars) == 7
    assert line.end is not None
    assert line.worst_end is not None
    assert (line.end - TODAY).days // 7 + 1 == 15
    assert line.worst_end > line.end


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        ("a, b", ["a", "b"], ["a", "b"]), ("a, b", ["a, b"], ["a, b"]),
        ("x; a, b,c", ["a, b", "c", "x"], ["x", "a, b", "c"]), ("a,,b,", [], ["a", "b"]),
        ("", [], []), ("a b", ["a"], ["a b"]),
    ],
)  # fmt: skip
def test_names_may_hold_commas(text: str, names: list[str], wanted: list[str]) -> None:
    assert needed(text, names) == wanted


def test_two_hundred_tasks_in_a_chain_follow_each_other() -> None:
    tasks = [Task.model_validate({"name": f"t{n}", "after": f"t{n - 1}" if n else "", "days": 1})
             for n in range(200)]  # fmt: skip
    bars = timeline(Schedule(start=TODAY, tasks=tasks[::-1]), TODAY).bars
    assert [bar.start for bar in reversed(bars)] == [after(TODAY, n + 1) for n in range(200)]


# Money, risks, feasibility


def test_the_budget_adds_up() -> None:
    plan = Plan.model_validate(full())
    sums = budget.added_up(plan)
    assert sums.planned["people"] == 10_000.0
    assert sums.planned["computing"] == 30.0
    assert sums.reserve == pytest.approx(1_100.0)
    assert sums.total == pytest.approx(12_100.0)
    assert sums.all_spent == pytest.approx(2_006.0)
    assert sums.left == pytest.approx(17_994.0)
    assert not sums.over
    small = plan.model_copy(update={"budget": plan.budget.model_copy(update={"limit": 12_000.0})})
    assert budget.added_up(small).over


def test_levels_of_risks() -> None:
    assert [risks.level(points) for points in (1, 5, 6, 11, 12, 25)] == [
        "low", "low", "medium", "medium", "high", "high",
    ]  # fmt: skip
    plan = Plan.model_validate(full())
    assert [one.name for one in risks.living(plan.risks)] == ["Few data", "Late"]
    assert not risks.uncovered(plan.risks)
    bare = [Risk.model_validate({"name": "x", "likelihood": 5, "impact": 5, "owner": "Bo"})]
    assert risks.uncovered(bare) == bare
    closed = [bare[0].model_copy(update={"state": "closed"})]
    assert not risks.uncovered(closed)
    assert not risks.living(closed)


def test_the_usual_risks_leave_out_what_is_there() -> None:
    def english(text: Any) -> str:
        return words(text, "en")

    every = risks.usual(english, [])
    assert len(every) == len(risks.USUAL)
    assert all(row["measure"] and row["sign"] for row in every)
    there = [Risk.model_validate({"name": "mine", "kind": "data"})]
    assert len(risks.usual(english, there)) == len(every) - 1


def test_what_the_files_show_is_noticed() -> None:
    plan = Plan.model_validate(full())
    found = Measured(labels={"a": 900, "b": 9}, alpha=0.3, personal=4,
                     failed_gates=("macro_f1 >= 0.9",), unfair=("age (old)",))  # fmt: skip
    seen = list(risks.noticed(plan, found, timeline(plan.schedule, date(2027, 3, 1))))
    assert {one.kind for one in seen} == {"data", "performance", "bias", "privacy", "time"}
    quiet = list(risks.noticed(Plan(), Measured(), timeline(Schedule(), TODAY)))
    assert quiet == []


def test_a_whole_plan_with_measurements_is_feasible() -> None:
    plan = Plan.model_validate(full())
    assert set(verdicts(plan, GOOD, asked()).values()) == {"yes"}
    assert feasibility.whole(feasibility.answers(evidence(plan, GOOD, asked()))) == "yes"


def test_an_empty_plan_is_not_known_yet() -> None:
    assert set(verdicts(Plan()).values()) == {"unknown"}
    assert feasibility.whole(feasibility.answers(evidence(Plan()))) == "unknown"


@pytest.mark.parametrize(
    ("change", "found", "answer", "part", "verdict"),
    [
        ({"data": {"records": 10_000}}, GOOD, asked(), "data", "no"),
        ({"data": {"records_per_label": 100}}, GOOD, asked(), "data", "no"),
        ({"function": {"languages": "en, zh"}}, GOOD, asked(), "data", "no"),
        ({"data": {"records_per_label": 5}}, None, asked(), "data", "conditions"),
        ({"performance": {"quality": 0.99}}, GOOD, asked(), "model", "conditions"),
        ({"performance": {"latency_ms": 5.0}}, GOOD, asked(), "model", "conditions"),
        ({}, GOOD, asked(excluded=True), "model", "no"),
        ({}, GOOD, asked(fits=False), "computing", "no"),
        ({"cost": {"training_hours": 0.01}}, GOOD, asked(), "computing", "conditions"),
        ({"cost": {"training_hours": 0.01}}, None, asked(), "computing", "conditions"),
        ({"cost": {"co2_kg": 0.0001}}, GOOD, asked(), "money", "conditions"),
        ({"budget": {"limit": 5.0}}, GOOD, asked(), "money", "no"),
        ({"risks": []}, GOOD, asked(), "risks", "unknown"),
    ],
)
def test_what_is_missing_is_told(
    change: dict[str, Any], found: Measured | None, answer: Any, part: str, verdict: str
) -> None:
    content = full()
    for name, values in change.items():
        content[name] = values if isinstance(values, list) else content[name] | values
    plan = Plan.model_validate(content)
    assert verdicts(plan, found, answer)[part] == verdict


@pytest.mark.parametrize(
    ("deadline", "verdict"),
    [(date(2026, 12, 3), "no"), (date(2026, 12, 4), "conditions"), (date(2026, 12, 11), "yes"),
     (None, "unknown")],
)  # fmt: skip
def test_the_deadline_decides(deadline: date | None, verdict: str) -> None:
    content = full()
    content["schedule"]["deadline"] = deadline
    assert verdicts(Plan.model_validate(content), GOOD)["time"] == verdict


def test_smaller_errors_are_better() -> None:
    plan = plan_of(performance={"figure": "mae", "quality": 0.5})
    need = feasibility.needs(plan, Measured(figures={"mae": 0.4}))[0]
    assert need.sign == "≤"
    assert need.met
    main = plan_of(performance={"quality": 0.5})
    found = Measured(figures={"main": 0.4}, main="mae", smaller_is_better=frozenset({"mae"}))
    assert feasibility.needs(main, found)[0].met


def test_reports_are_read_as_the_stages_write_them() -> None:
    reports: dict[str, Any] = {
        "split": {"parts": {"train": 90}, "labels": {"train": {"a": 80, "b": 10}}},
        "label": {"agreement": {"alpha": {"value": 0.4}}},
        "clean": {"personal_data": {"email": 2, "phone": 1}},
        "validate": {"gates": [
            {"figure": "macro_f1", "sign": ">=", "bound": 0.9, "passed": False, "group": None,
             "skipped": None},
            {"figure": "accuracy", "sign": ">=", "bound": 0.9, "passed": True},
        ]},
        "train": {"actual": {"seconds": 5.0}, "currency": "CNY"},
        "test": {"main": "macro_f1", "smaller_is_better": ["loss"], "verdict": {"en": ["good"]},
                 "fairness": {"age": {"claim": {"accuracy_gap": {"low": 0.1, "lowest": "old"}}},
                              "sex": {"claim": None}},
                 "training": {"seconds": 7.0, "co2_kg": 1e-3}},
        "optimize": {"shipped": "int8"},
    }  # fmt: skip
    metrics = {"test": {"model": {"macro_f1": 0.8, "loss": 1.0}},
               "optimize": {"int8": {"latency_ms_p95": 3.0}}}  # fmt: skip
    found = measured(reports.get, metrics.get)
    assert found.figures == {"macro_f1": 0.8, "loss": 1.0, "main": 0.8, "latency_ms_p95": 3.0}
    assert (found.records, found.rarest, found.alpha, found.personal) == (90, ("b", 10), 0.4, 3)
    assert found.failed_gates == ("macro_f1 >= 0.9",)
    assert found.unfair == ("age (old)",)
    assert found.training is not None
    assert (found.training.seconds, found.training.currency) == (7.0, "CNY")
    nothing = measured(lambda _stage: None, lambda _stage: None)
    assert nothing == Measured()


def test_what_is_open_is_listed() -> None:
    assert not any(one.done for one in completeness.items(Plan(), compared=False))
    content = full()
    content["risks"][1] |= {"owner": "Bo", "measure": "Watch"}
    every = completeness.items(Plan.model_validate(content), compared=True)
    assert all(one.done for one in every), [one.title.text for one in every if not one.done]
