"""What ``project.yaml`` may say: requirements, schedule, resources, budget and risks.

People's own: no stage reads it. What is empty is not decided yet.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from app.studio.project import choices
from app.studio.project.fields import MONEY, MOST, Line, Money, Name, Part, Share, Text, field
from pipeline.i18n import _

Phase = Literal["requirements", "data", "design", "training", "evaluation", "deployment",
                "monitoring"]  # fmt: skip
Figure = Literal["none", "main", "accuracy", "macro_f1", "worst_class_recall", "r2", "mae",
                 "latency_ms_p95", "texts_per_second", "size_mb"]  # fmt: skip
Grade = Annotated[int, Field(ge=1, le=5)]
Required = Annotated[Name, Field(min_length=1)]
Sentence = Annotated[Line, Field(min_length=1)]


class About(Part):
    """What the project is for."""

    name: Name = field(_("Name"), _("What colleagues call the project."), "")
    goal: Text = field(
        _("Goal"), _("The core value: which problem is solved, and what that is worth."), ""
    )
    users: Text = field(
        _("Users"), _("Who works with the answers, what they know and what they expect."), ""
    )
    scenario: Text = field(
        _("Scenario"),
        _("When and where the model answers, what happens before, and what with the answer."),
        "",
    )
    stakeholders: Text = field(
        _("Those concerned"), _("Who decides, who is affected, and how often each is told."), ""
    )


class Measure(Part):
    """How success is told."""

    name: Required = field(_("Measure"), _("What shall get better."), ...)
    how: Line = field(_("How it is measured"), _("By whom, from what, how often."), "")
    figure: Figure = field(
        _("Figure of Mofang"),
        _("If Mofang measures it, the value is filled in by itself."),
        "none",
        choices=choices.FIGURES,
    )
    direction: Literal["at_least", "at_most"] = field(
        _("Direction"), _("Which side of the target is good."), "at_least",
        choices=choices.DIRECTIONS,
    )  # fmt: skip
    target: float | None = field(
        _("Target"), _("The value at which it counts as success."), None, ge=-MONEY, le=MONEY
    )
    value: float | None = field(
        _("Value now"), _("Measured by hand; empty where Mofang fills it in."), None,
        ge=-MONEY, le=MONEY,
    )  # fmt: skip
    unit: Name = field(_("Unit"), _("Of target and value."), "")


class Performance(Part):
    """How well and how fast."""

    figure: Literal["main", "accuracy", "macro_f1", "worst_class_recall", "r2", "mae"] = field(
        _("Figure of quality"), _("On texts that the model has never seen."), "main",
        choices=choices.FIGURES,
    )  # fmt: skip
    quality: float | None = field(
        _("Quality"), _("The value that is needed, such as 0.9."), None, ge=0.0, le=1e6
    )
    latency_ms: float | None = field(
        _("Time of an answer"), _("95 of 100 answers come within it."), None,
        unit=_("milliseconds, at most"), ge=0.1, le=600_000.0,
    )  # fmt: skip
    texts_per_second: float | None = field(
        _("Throughput"), _("How many texts are answered when many come."), None,
        unit=_("texts a second, at least"), ge=0.001, le=1e6,
    )  # fmt: skip
    size_mb: float | None = field(
        _("Size"), _("What the device that serves it can hold."), None,
        unit=_("MB, at most"), ge=0.01, le=1e6,
    )  # fmt: skip
    texts_per_day: float | None = field(
        _("Texts expected"), _("How many texts are expected."), None,
        unit=_("texts a day"), ge=0.0, le=1e9,
    )  # fmt: skip


class Function(Part):
    """What the model does, and where it ends."""

    can: Text = field(_("It does"), _("What it must be able to do, one a line."), "")
    cannot: Text = field(
        _("It does not"), _("Where its ability ends: what nobody may expect, one a line."), ""
    )
    languages: Line = field(_("Languages"), _("Of the texts, such as en, zh."), "")
    longest: int | None = field(
        _("Longest text"), _("That it has to read whole."), None, unit=_("characters"),
        ge=1, le=10_000_000,
    )  # fmt: skip
    unsure: Text = field(
        _("When it is unsure"), _("Who decides then, and from which confidence on."), ""
    )


class DataNeeds(Part):
    """What is learnt from."""

    sources: Text = field(
        _("Sources"), _("Where texts and labels come from, and under which licence."), ""
    )
    records: int | None = field(
        _("Records"), _("Labelled ones that training needs."), None, unit=_("records, at least"),
        ge=1, le=1_000_000_000,
    )  # fmt: skip
    records_per_label: int | None = field(
        _("Records a label"), _("Of the rarest label."), None, unit=_("records, at least"),
        ge=1, le=1_000_000_000,
    )  # fmt: skip
    quality: Text = field(
        _("Quality"), _("Who labels, how much is labelled twice, what agreement is needed."), ""
    )


class Safety(Part):
    """What must not happen."""

    personal_data: Literal["unknown", "none", "masked", "kept"] = field(
        _("Personal data"), _("Whether texts speak of people who can be recognized."), "unknown",
        choices=choices.PERSONAL,
    )  # fmt: skip
    privacy: Text = field(
        _("Privacy"), _("Where texts may go, who may read them, when they are deleted."), ""
    )
    content: Text = field(
        _("Content"), _("What the model must never answer, and how misuse is kept out."), ""
    )
    fairness: Text = field(
        _("Fairness"), _("Groups for whom it has to be as good as for others."), ""
    )
    rules: Text = field(
        _("Laws and rules"), _("What has to be kept, and who checks it."), ""
    )  # fmt: skip


class Cost(Part):
    """What it may cost."""

    training: Money | None = field(
        _("One training"), _("Electricity and the rent of machines."), None,
        unit=_("in the budget's currency, at most"),
    )  # fmt: skip
    training_hours: float | None = field(
        _("Time of one training"), _("On the machine of this studio."), None,
        unit=_("hours, at most"), ge=0.0, le=100_000.0,
    )  # fmt: skip
    serving_per_month: Money | None = field(
        _("Answering"), _("Machines and services that answer."), None,
        unit=_("a month, at most"),
    )  # fmt: skip
    co2_kg: float | None = field(
        _("CO₂ of one training"), _("What the electricity for it causes."), None,
        unit=_("kg, at most"), ge=0.0, le=1e9,
    )  # fmt: skip


class Decision(Part):
    """What people decided about going on."""

    answer: Literal["open", "go", "conditions", "stop"] = field(
        _("Decision"), _("Whether the project goes on."), "open", choices=choices.DECISIONS
    )
    why: Text = field(_("Reasons and conditions"), _("What it was decided on."), "")
    by: Name = field(_("Decided by"), _("Who answers for it."), "")
    on: date | None = field(_("Decided on"), _("The day."), None)


class Models(Part):
    """Which model, and what else if it does not do."""

    chosen: Line = field(_("Chosen model"), _("As the list of candidates names it."), "")
    why: Text = field(_("Why this one"), _("What decided."), "")
    alternatives: Text = field(
        _("Alternatives"), _("What is tried if it does not reach the needs, one a line."), ""
    )


class Task(Part):
    """A piece of work."""

    name: Required = field(_("Task"), _("What is done."), ...)
    phase: Phase = field(
        _("Phase"), _("To which part of the work it belongs."), "requirements",
        choices=choices.PHASES,
    )  # fmt: skip
    days: int = field(
        _("Days"), _("Working days that it takes, as expected."), 5, ge=1, le=2_000
    )  # fmt: skip
    days_most: int | None = field(
        _("Days, at worst"), _("If much goes wrong; empty: as expected."), None, ge=1, le=4_000
    )
    after: Line = field(
        _("Waits for"), _("Tasks that must end before, separated by commas."), ""
    )  # fmt: skip
    owner: Name = field(_("Owner"), _("Who answers for it."), "")
    done: Share = field(_("Progress"), _("How far it is."), 0, unit=_("%"))
    start: date | None = field(
        _("Not before"), _("Empty: as soon as the tasks before it end."), None
    )


class Milestone(Part):
    """A day on which something has to be there."""

    name: Required = field(_("Milestone"), _("What is there then."), ...)
    on: date | None = field(_("Day"), _("Empty: when the task ends."), None)
    after: Line = field(_("Comes with"), _("The task with whose end it comes."), "")
    reached: bool = field(_("Reached"), _("Whether it is there."), False)


class Schedule(Part):
    """When what is done."""

    start: date | None = field(_("First day"), _("The first working day."), None)
    deadline: date | None = field(_("Deadline"), _("When everything has to be done."), None)
    tasks: list[Task] = field(_("Tasks"), _("What is done."), [], max_length=MOST)
    milestones: list[Milestone] = field(
        _("Milestones"), _("What has to be there when."), [], max_length=MOST
    )


class Person(Part):
    """Somebody who works for the project."""

    role: Required = field(_("Role"), _("Such as data scientist, engineer, product manager."), ...)
    name: Name = field(_("Person"), _("Who; empty while nobody is found."), "")
    days: float = field(_("Days"), _("Working days in all."), 0.0, ge=0.0, le=100_000.0)
    rate: Money = field(_("Cost a day"), _("Wages with everything."), 0.0)
    days_spent: float = field(_("Days spent"), _("Until today."), 0.0, ge=0.0, le=100_000.0)


class Machine(Part):
    """Something to compute with or to keep data on."""

    kind: Literal["gpu", "tpu", "cpu", "memory", "storage", "network"] = field(
        _("Kind"), _("What it is."), "cpu", choices=choices.MACHINES
    )
    what: Required = field(_("What"), _("Type and size."), ...)
    use: Line = field(_("For what"), _("Training, answering, keeping data."), "")
    amount: float = field(_("Amount"), _("How many of the unit."), 1.0, ge=0.0, le=1e9)
    unit: Name = field(_("Unit"), _("Pieces, hours, GB, months."), "")
    price: Money = field(_("Price of one"), _("Of one unit."), 0.0)
    spent: Money = field(_("Spent"), _("Until today."), 0.0)


class Resources(Part):
    """Who and what it takes."""

    people: list[Person] = field(_("People"), _("Who works for it."), [], max_length=MOST)
    machines: list[Machine] = field(
        _("Computing"), _("Processors, storage and network."), [], max_length=MOST
    )


class Spending(Part):
    """A line of the budget beside people and computing."""

    item: Required = field(_("Item"), _("What is paid for."), ...)
    kind: Literal["hardware", "people", "cloud", "data", "licences", "other"] = field(
        _("Kind"), _("Under which sum it stands."), "other", choices=choices.SPENDING
    )
    planned: Money = field(_("Planned"), _("In all."), 0.0)
    spent: Money = field(_("Spent"), _("Until today."), 0.0)


class Budget(Part):
    """What there is to spend."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = field(
        _("Currency"), _("Three letters, such as CNY or EUR."), "CNY"
    )
    limit: Money | None = field(_("Budget"), _("What may be spent in all."), None)
    reserve: Share = field(
        _("Reserve"), _("Kept for what nobody foresees, on top of what is planned."), 10,
        unit=_("%"),
    )  # fmt: skip
    lines: list[Spending] = field(
        _("Other spending"), _("Beside people and computing."), [], max_length=MOST
    )


class Risk(Part):
    """What can go wrong."""

    name: Sentence = field(_("Risk"), _("What can happen, and what would follow."), ...)
    kind: Literal["data", "performance", "complexity", "computing", "operations", "time", "cost",
                  "change", "people", "bias", "privacy", "environment"] = field(
        _("Kind"), _("Where it comes from."), "data", choices=choices.RISKS
    )  # fmt: skip
    likelihood: Grade = field(
        _("Likelihood"), _("1 rare to 5 almost certain."), 3, choices=choices.LIKELIHOOD
    )
    impact: Grade = field(
        _("Impact"), _("1 negligible to 5 ends the project."), 3, choices=choices.IMPACT
    )
    owner: Name = field(_("Owner"), _("Who watches it and acts."), "")
    measure: Text = field(_("Counter-measure"), _("What is done, before and when it happens."), "")
    answer: Literal["validate", "alternative", "communicate", "avoid", "reduce", "transfer",
                    "accept"] = field(
        _("Approach"), _("What kind of counter-measure it is."), "reduce", choices=choices.ANSWERS
    )  # fmt: skip
    sign: Line = field(_("Early sign"), _("By what one sees it coming."), "")
    state: Literal["open", "watched", "happened", "closed"] = field(
        _("State"), _("Where it stands."), "open", choices=choices.RISK_STATES
    )
    review: date | None = field(_("Look again on"), _("When it is judged anew."), None)


class Plan(Part):
    """All of ``project.yaml``."""

    version: Literal[1] = 1
    about: About = field(_("Goal and users"), _("What the project is for."), About())
    success: list[Measure] = field(
        _("Measures of success"), _("By what success is told."), [], max_length=MOST
    )
    performance: Performance = field(
        _("Performance"), _("How well and how fast."), Performance()
    )  # fmt: skip
    function: Function = field(_("Function"), _("What it does, and where it ends."), Function())
    data: DataNeeds = field(_("Data"), _("What is learnt from."), DataNeeds())
    safety: Safety = field(_("Safety"), _("What must not happen."), Safety())
    cost: Cost = field(_("Cost"), _("What it may cost."), Cost())
    decision: Decision = field(_("Decision"), _("Whether to go on."), Decision())
    models: Models = field(_("Models"), _("Which one, and what else."), Models())
    schedule: Schedule = field(_("Timetable"), _("When what is done."), Schedule())
    resources: Resources = field(_("Resources"), _("Who and what it takes."), Resources())
    budget: Budget = field(_("Budget"), _("What there is to spend."), Budget())
    risks: list[Risk] = field(_("Risks"), _("What can go wrong."), [], max_length=MOST)
