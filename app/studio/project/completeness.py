"""What of a plan is written down, and what is still open."""

from __future__ import annotations

from dataclasses import dataclass

from app.studio.project.schema import Plan
from pipeline.i18n import Message, _


@dataclass(frozen=True)
class Item:
    """Something that a plan should say."""

    tab: str  # where it is written
    title: Message
    done: bool


def items(plan: Plan, *, compared: bool) -> list[Item]:
    """Return everything that a plan should say, in the order in which it is best written.

    :param compared: whether models have been compared for these data and this machine.
    """
    about, needs, schedule = plan.about, plan.performance, plan.schedule
    targets = (needs.quality, needs.latency_ms, needs.texts_per_second, needs.size_mb)
    costs = (plan.cost.training, plan.cost.training_hours, plan.cost.serving_per_month)
    function = bool(plan.function.can.strip() and plan.function.cannot.strip())
    safe = plan.safety.personal_data != "unknown"
    told = any(one.target is not None for one in plan.success)
    return [
        Item("requirements", _("the goal"), bool(about.goal.strip())),
        Item("requirements", _("the users and the scenario"),
             bool(about.users.strip() and about.scenario.strip())),
        Item("requirements", _("a measure of success with a target"), told),
        Item("requirements", _("how well and how fast"), any(one is not None for one in targets)),
        Item("requirements", _("what the model does, and where it ends"), function),
        Item("requirements", _("which data it takes"), bool(plan.data.sources.strip())),
        Item("requirements", _("privacy and safety"), safe),
        Item("requirements", _("what it may cost"), any(one is not None for one in costs)),
        Item("models", _("a comparison of models"), compared),
        Item("models", _("the chosen model"), bool(plan.models.chosen.strip())),
        Item("schedule", _("tasks and a deadline"), bool(schedule.tasks and schedule.deadline)),
        Item("resources", _("people"), bool(plan.resources.people)),
        Item("resources", _("the budget"), plan.budget.limit is not None),
        Item("risks", _("risks with owners and counter-measures"),
             bool(plan.risks) and all(one.owner and one.measure for one in plan.risks)),
        Item("feasibility", _("the decision whether to go on"), plan.decision.answer != "open"),
    ]  # fmt: skip
