"""What it costs: people, computing and the rest, planned and spent, against the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.studio.project import choices
from app.studio.project.schema import Plan
from pipeline.i18n import Message, _

PEOPLE, COMPUTING = "people", "computing"
KINDS: dict[str, Message] = {
    PEOPLE: choices.SPENDING["people"],
    COMPUTING: _("computing"),
    **{name: title for name, title in choices.SPENDING.items() if name != PEOPLE},
}


@dataclass(frozen=True)
class Sums:
    """A budget, added up."""

    planned: Mapping[str, float]  # by kind
    spent: Mapping[str, float]
    reserve: float
    limit: float | None

    @property
    def total(self) -> float:
        """What is planned in all, with the reserve."""
        return sum(self.planned.values()) + self.reserve

    @property
    def all_spent(self) -> float:
        """What is spent until today."""
        return sum(self.spent.values())

    @property
    def left(self) -> float | None:
        """What may still be spent."""
        return None if self.limit is None else self.limit - self.all_spent

    @property
    def over(self) -> bool:
        """Whether more is planned, or spent, than there is."""
        return self.limit is not None and max(self.total, self.all_spent) > self.limit

    @property
    def empty(self) -> bool:
        """Whether nothing is planned and nothing spent."""
        return not any(self.planned.values()) and not any(self.spent.values())


def added_up(plan: Plan) -> Sums:
    """Return the sums of a plan."""
    people, machines = plan.resources.people, plan.resources.machines
    planned = dict.fromkeys(KINDS, 0.0)
    spent = dict.fromkeys(KINDS, 0.0)
    planned[PEOPLE] = sum(one.days * one.rate for one in people)
    spent[PEOPLE] = sum(one.days_spent * one.rate for one in people)
    planned[COMPUTING] = sum(one.amount * one.price for one in machines)
    spent[COMPUTING] = sum(one.spent for one in machines)
    for line in plan.budget.lines:
        planned[line.kind] += line.planned
        spent[line.kind] += line.spent
    reserve = sum(planned.values()) * plan.budget.reserve / 100
    return Sums(planned, spent, reserve, plan.budget.limit)
