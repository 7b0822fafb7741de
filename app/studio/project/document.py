"""The plan as a document: what a reader who never opens the studio has to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.studio.project import budget, choices, feasibility, gantt, risks
from app.studio.project.feasibility import Evidence, Need
from app.studio.project.fields import Part, views
from app.studio.project.printing import Block, Bullets, Facts, Grid, Heading, Paragraph, Picture
from app.studio.project.schema import Plan, Risk
from app.studio.project.wording import amount, day, plain
from app.studio.speech import DASH, duration, language, size
from pipeline.errors import Text
from pipeline.i18n import _

MODELS_SHOWN = 5
TARGETS = ("quality", "latency_ms", "texts_per_second", "size_mb")  # beside what was measured


def blocks(evidence: Evidence, name: str) -> list[Block]:
    """Return the whole document in the reader's language.

    :param name: of the project's folder, where the plan has no name.
    """
    plan = evidence.plan
    title = plan.about.name or name
    stamp = _("Project plan, as of {day}. Made by Mofang from project.yaml.", day=evidence.today)
    return [
        Heading(1, title),
        Paragraph(plain(stamp)),
        *requirements(evidence),
        *answer(evidence),
        *models(evidence),
        *schedule(evidence),
        *resources(plan),
        *register(evidence),
        *result(evidence),
    ]


def requirements(evidence: Evidence) -> Iterator[Block]:
    """Yield goal, measures of success and needs."""
    plan = evidence.plan
    yield Heading(2, plain(_("Requirements")))
    yield facts(plan.about, skipped=("name",))
    yield Heading(3, plain(_("Measures of success")))
    header = (_("Measure"), _("How it is measured"), _("Target"), _("Value now"), _("State"))
    rows = []
    for one in plan.success:
        need = feasibility.success(one, evidence.measured)
        target = DASH if need is None else f"{need.sign} {amount(need.target)} {one.unit}".strip()
        value = f"{amount(feasibility.value_now(one, evidence.measured))} {one.unit}".strip()
        rows.append((one.name, one.how, target, value, met(need)))
    yield grid(header, rows)
    yield Heading(3, plain(_("Performance")))
    decided = [name for name in TARGETS if getattr(plan.performance, name) is not None]
    yield facts(plan.performance, skipped=decided)
    needs = feasibility.needs(plan, evidence.measured)
    if needs:
        yield grid(
            (_("Need"), _("Target"), _("Measured"), _("State")),
            [
                (plain(one.name), f"{one.sign} {amount(one.target)}", amount(one.value), met(one))
                for one in needs
            ],
        )
    for part in ("function", "data", "safety", "cost"):
        yield Heading(3, plain(extra(Plan, part)["title"]))
        yield facts(getattr(plan, part))


def answer(evidence: Evidence) -> Iterator[Block]:
    """Yield whether it can be done, and what people decided."""
    found = feasibility.answers(evidence)
    yield Heading(2, plain(_("Feasibility")))
    yield Paragraph(plain(feasibility.VERDICTS[feasibility.whole(found)]))
    yield grid(
        (_("Part"), _("Answer"), _("Reasons")),
        [
            (
                plain(feasibility.TITLES[one.part]),
                plain(feasibility.VERDICTS[one.verdict]),
                "\n".join(plain(why) for _verdict, why in one.reasons),
            )
            for one in found
        ],
    )
    yield facts(evidence.plan.decision)


def models(evidence: Evidence) -> Iterator[Block]:
    """Yield the recommended models and what was chosen."""
    yield Heading(2, plain(_("Models")))
    candidates: Sequence[Mapping[str, Any]] = (evidence.asked or {}).get("candidates") or ()
    fitting = [one for one in candidates if not one["excluded"]][:MODELS_SHOWN]
    yield grid(
        (_("Recommended"), _("Family"), _("Method"), _("time of training"), _("memory"),
         _("Reasons")),
        [
            (
                one["name"],
                one["family"],
                one["method"],
                duration(one["estimate"]["seconds"]),
                size(one["estimate"]["peak_memory_bytes"]),
                "\n".join(one["reasons"]),
            )
            for one in fitting
        ],
    )  # fmt: skip
    yield facts(evidence.plan.models)


def schedule(evidence: Evidence) -> Iterator[Block]:
    """Yield the Gantt chart and the tables of tasks and milestones."""
    line, deadline = evidence.timeline, evidence.plan.schedule.deadline
    yield Heading(2, plain(_("Timetable")))
    yield facts(evidence.plan.schedule)
    if line.end is not None:
        told = _("Ends on {day} as expected, on {worst} at worst; deadline: {deadline}.",
                 day=line.end, worst=line.worst_end or line.end,
                 deadline=deadline or _("none"))  # fmt: skip
        yield Paragraph(plain(told))
        yield Picture(gantt.svg(line, evidence.today, deadline))
    yield grid(
        (
            _("Task"),
            _("Phase"),
            _("Owner"),
            _("Waits for"),
            _("First day"),
            _("Last day"),
            _("At worst"),
            _("State"),
        ),
        [
            (
                bar.task.name,
                plain(choices.PHASES[bar.task.phase]),
                bar.task.owner,
                bar.task.after,
                day(bar.start),
                day(bar.end),
                day(bar.worst_end),
                f"{plain(gantt.STATES[bar.state])} {bar.task.done} %",
            )
            for bar in line.bars
        ],
    )
    if line.marks:
        yield grid(
            (_("Milestone"), _("Day"), _("State")),
            [(one.milestone.name, day(one.on), plain(reached(one))) for one in line.marks],
        )
    if line.problems:
        yield Bullets([plain(one) for one in line.problems])


def reached(mark: Any) -> Text:
    """Return where a milestone stands."""
    if mark.milestone.reached:
        return _("reached")
    return _("late") if mark.late else _("planned")


def resources(plan: Plan) -> Iterator[Block]:
    """Yield people, computing and the budget."""
    sums, currency = budget.added_up(plan), plan.budget.currency
    yield Heading(2, plain(_("Resources and budget")))
    yield Heading(3, plain(_("People")))
    yield grid(
        (_("Role"), _("Person"), _("Days"), _("Days spent"), _("Cost a day")),
        [
            (one.role, one.name, amount(one.days), amount(one.days_spent), amount(one.rate))
            for one in plan.resources.people
        ],
    )
    yield Heading(3, plain(_("Computing")))
    yield grid(
        (_("Kind"), _("What"), _("For what"), _("Amount"), _("Price of one"), _("Spent")),
        [
            (
                plain(choices.MACHINES[one.kind]),
                one.what,
                one.use,
                f"{amount(one.amount)} {one.unit}".strip(),
                amount(one.price),
                amount(one.spent),
            )
            for one in plan.resources.machines
        ],
    )
    yield Heading(3, plain(_("Other spending")))
    yield grid(
        (_("Item"), _("Kind"), _("Planned"), _("Spent")),
        [
            (one.item, plain(choices.SPENDING[one.kind]), amount(one.planned), amount(one.spent))
            for one in plan.budget.lines
        ],
    )
    yield Heading(3, plain(_("Budget in {currency}", currency=currency)))
    rows = [
        (plain(title), amount(sums.planned[kind]), amount(sums.spent[kind]))
        for kind, title in budget.KINDS.items()
        if sums.planned[kind] or sums.spent[kind]
    ]
    if rows:
        reserve = f"{plain(_('reserve'))} ({plan.budget.reserve} %)"
        rows.append((reserve, amount(sums.reserve), ""))
        rows.append((plain(_("in all")), amount(sums.total), amount(sums.all_spent)))
    if sums.limit is not None:
        rows.append((plain(_("budget")), amount(sums.limit), ""))
    yield grid((_("Kind"), _("Planned"), _("Spent")), rows)


def register(evidence: Evidence) -> Iterator[Block]:
    """Yield the risks, the gravest first, and what the files show beside."""
    yield Heading(2, plain(_("Risks")))
    ordered = sorted(
        evidence.plan.risks, key=lambda one: (one.state == "closed", -risks.score(one))
    )
    yield grid(
        (_("Risk"), _("Kind"), _("Likelihood"), _("Impact"), _("Level"), _("Owner"),
         _("Counter-measure"), _("State")),
        [
            (
                one.name,
                plain(choices.RISKS[one.kind]),
                plain(choices.LIKELIHOOD[str(one.likelihood)]),
                plain(choices.IMPACT[str(one.impact)]),
                f"{plain(risks.LEVELS[risks.level(risks.score(one))])} ({risks.score(one)})",
                one.owner,
                "\n".join(countered(one)),
                "\n".join(seen_to(one)),
            )
            for one in ordered
        ],
    )  # fmt: skip
    seen = list(risks.noticed(evidence.plan, evidence.measured, evidence.timeline))
    if seen:
        yield Paragraph(plain(_("What the files of the project show:")))
        yield Bullets([plain(one.told) for one in seen])


def countered(risk: Risk) -> Iterator[str]:
    """Yield what is done against a risk, and by what one sees it coming."""
    yield plain(choices.ANSWERS[risk.answer])
    yield risk.measure
    if risk.sign:
        yield plain(_("Early sign: {sign}", sign=risk.sign))


def seen_to(risk: Risk) -> Iterator[str]:
    """Yield where a risk stands, and when it is judged anew."""
    yield plain(choices.RISK_STATES[risk.state])
    if risk.review is not None:
        yield plain(_("Look again on {day}", day=risk.review))


def result(evidence: Evidence) -> Iterator[Block]:
    """Yield what the last test said."""
    said = evidence.measured.verdict.get(language(), ())
    if said:
        yield Heading(2, plain(_("What the last test said")))
        yield Bullets(said)


def facts(part: Part, skipped: Sequence[str] = ()) -> Facts:
    """Return the fields of a part with what people wrote."""
    pairs: list[tuple[str, str]] = []
    missing: list[str] = []
    for one in views(type(part)):
        if one.name in skipped:
            continue
        value = getattr(part, one.name)
        unit = f" ({plain(one.unit)})" if one.unit else ""
        if value is None or value == "":
            missing.append(plain(one.title))
            continue
        if one.kind == "choice":
            text = plain(one.choices[value])
        elif one.kind == "day":
            text = day(value)
        else:
            text = value if isinstance(value, str) else amount(value) + unit
        pairs.append((plain(one.title), text))
    told = _("Not decided yet: {names}.", names=", ".join(missing))
    return Facts(pairs, plain(told) if missing else "")


def grid(header: Sequence[Text], rows: Sequence[Sequence[str]]) -> Grid:
    """Return a table with its header in words."""
    return Grid([plain(one) for one in header], rows, plain(_("nothing written down yet")))


def met(need: Need | None) -> str:
    """Return whether a need is met, in a word with its sign."""
    if need is None:
        return plain(_("no target"))
    words = {True: _("✓ reached"), False: _("✗ not reached"), None: _("? not measured")}
    return plain(words[need.met])


def extra(model: type[Part], name: str) -> Any:
    """Return what a field says of itself."""
    return model.model_fields[name].json_schema_extra
