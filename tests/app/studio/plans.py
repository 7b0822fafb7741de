"""A plan in which everything is written down, and what the tests of the plan ask of it."""

from __future__ import annotations

from datetime import date
from typing import Any, get_args

from app.studio.project import (
    feasibility,
    saving,
)  # fmt: skip
from app.studio.project.feasibility import Evidence
from app.studio.project.fields import Part, view_of
from app.studio.project.measured import Measured, Training
from app.studio.project.schedule import timeline
from app.studio.project.schema import Plan
from app.studio.project_files import Project
from pipeline.i18n import _

TODAY = date(2026, 11, 23)  # a Monday
HOSTILE = [
    "<script>alert(1)</script>", "![x](http://127.0.0.1:1/x.png)", "| a | b |\n|---|---|",
    "=HYPERLINK(\"http://x\")", "../../etc/passwd", "${HOME} $(id) `id`", "&anchor !tag *alias",
    "a: b\nc: [", "\"'><img src=x onerror=alert(1)>", "# title\n- one\n> said", "{named}",
    ":material/home: :red[x] $x^2$", "%YAML 1.1", "yes", "null", "1e-5", "2026-01-01", "~",
]  # fmt: skip


def plan_of(**parts: Any) -> Plan:
    return Plan.model_validate(parts)


def full() -> dict[str, Any]:
    """Return a plan in which everything is written down."""
    return {
        "about": {"name": "Question desk", "goal": "Answer faster", "users": "Clerks",
                  "scenario": "At the desk", "stakeholders": "Head of desk"},
        "success": [{"name": "Quality", "figure": "macro_f1", "target": 0.9},
                    {"name": "Calls saved", "target": 100.0, "value": 80.0, "unit": "a week"}],
        "performance": {"quality": 0.93, "latency_ms": 50.0},
        "function": {"can": "Six topics", "cannot": "Advice", "languages": "en"},
        "data": {"sources": "TREC", "records": 1000, "records_per_label": 50},
        "safety": {"personal_data": "none", "privacy": "Stays here"},
        "cost": {"training_hours": 2.0, "co2_kg": 1.0},
        "decision": {"answer": "go", "why": "It pays", "by": "Ada", "on": date(2026, 11, 20)},
        "models": {"chosen": "MiniLM", "alternatives": "scratch"},
        "schedule": {
            "start": date(2026, 11, 23), "deadline": date(2026, 12, 31),
            "tasks": [{"name": "Data", "phase": "data", "days": 5, "days_most": 10, "owner": "Bo"},
                      {"name": "Train", "phase": "training", "days": 5, "after": "Data"}],
            "milestones": [{"name": "First model", "after": "Train"}],
        },
        "resources": {
            "people": [{"role": "Engineer", "days": 20.0, "rate": 500.0, "days_spent": 4.0}],
            "machines": [{"kind": "gpu", "what": "H200", "amount": 10.0, "unit": "hours",
                          "price": 3.0, "spent": 6.0}],
        },
        "budget": {"currency": "EUR", "limit": 20_000.0, "reserve": 10,
                   "lines": [{"item": "Labelling", "kind": "data", "planned": 970.0}]},
        "risks": [{"name": "Few data", "kind": "data", "likelihood": 4, "impact": 4,
                   "owner": "Bo", "measure": "Label more"},
                  {"name": "Late", "kind": "time", "likelihood": 2, "impact": 2}],
    }  # fmt: skip


def marked(model: type[Part] = Plan) -> Any:
    """Return a part with another text in every field that takes one, and one row a table."""
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        view = view_of(name, info)
        inner = [one for one in (info.annotation, *get_args(info.annotation)) if is_part(one)]
        if inner:
            content = marked(inner[0])
            found[name] = content if info.annotation is inner[0] else [content]
        elif (
            view is not None and view.kind in ("line", "text") and name not in ("currency", "after")
        ):
            found[name] = f"{model.__name__} {name}"
    return found


def is_part(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Part)


def evidence(plan: Plan, found: Measured | None = None, asked: Any = None) -> Evidence:
    return Evidence(plan, found or Measured(), timeline(plan.schedule, TODAY), asked, TODAY)


def save(project: Project, where: str, value: Any, seen: Any = None) -> saving.Saved:
    before = saving.value_at(saving.read(project), where) if seen is None else seen
    return saving.save(project, {where: value}, {where: before}, _("Goal and users"))


MACHINE = {"memory_bytes": 2**34, "available_bytes": 2**33, "disk_free_bytes": 2**40, "gpus": []}


def asked(*, fits: bool = True, excluded: bool = False) -> dict[str, Any]:
    estimate = {"seconds": 600.0, "peak_memory_bytes": 2**31, "co2_kg": 0.01, "money": 0.0}
    one = {"name": "MiniLM", "family": "encoder", "method": "full", "excluded": excluded,
           "fits": fits, "reasons": ["quick"], "strengths": [], "weaknesses": [],
           "estimate": estimate}  # fmt: skip
    return {"machine": MACHINE, "data": {"records": 4000, "labels": {"a": 10}, "languages": ["en"]},
            "family": "encoder", "why": [], "candidates": [one]}  # fmt: skip


def verdicts(plan: Plan, found: Measured | None = None, answer: Any = None) -> dict[str, str]:
    return {one.part: one.verdict for one in feasibility.answers(evidence(plan, found, answer))}


GOOD = Measured(
    figures={"main": 0.95, "macro_f1": 0.95, "latency_ms_p95": 12.0},
    main="macro_f1",
    records=4305,
    labels={"a": 900, "b": 69},
    training=Training(300.0, 0.001, 0.0, 0.001, "EUR"),
)
