"""Whether it can be done: data, model, computing, time, money and risks, each with its reasons.

A measurement counts more than an estimate, an estimate more than nothing. What nobody has written
down cannot be judged, and the answer says so. Nothing here reads a file: the plan, what the stages
measured, and the answer of ``pipeline.plan`` come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from app.studio.project import budget, risks
from app.studio.project.measured import Measured
from app.studio.project.schedule import Timeline
from app.studio.project.schema import Measure, Plan
from pipeline.errors import Text
from pipeline.i18n import Message, _

Verdict = Literal["yes", "conditions", "no", "unknown"]
ORDER: Sequence[Verdict] = ("no", "conditions", "unknown", "yes")
VERDICTS: dict[Verdict, Message] = {
    "yes": _("feasible"),
    "conditions": _("feasible under conditions"),
    "no": _("not feasible like this"),
    "unknown": _("not known yet"),
}
ICONS: dict[Verdict, str] = {
    "yes": ":material/check_circle:",
    "conditions": ":material/warning:",
    "no": ":material/cancel:",
    "unknown": ":material/help:",
}
TITLES: dict[str, Message] = {
    "data": _("Data"),
    "model": _("Model"),
    "computing": _("Computing power"),
    "time": _("Time"),
    "money": _("Money"),
    "risks": _("Risks"),
}
HOURS = 3_600.0
ROOM_ON_DISK = 5.0  # times the model, for checkpoints and variants

Reason = tuple[Verdict, Text]


@dataclass(frozen=True)
class Answer:
    """What is said of one part."""

    part: str
    verdict: Verdict
    reasons: Sequence[Reason]


@dataclass(frozen=True)
class Evidence:
    """What an answer is found from."""

    plan: Plan
    measured: Measured
    timeline: Timeline
    asked: Mapping[str, Any] | None  # what pipeline.plan answered
    today: date


def answers(evidence: Evidence) -> list[Answer]:
    """Return the answer for each part."""
    parts = {
        "data": data, "model": model, "computing": computing,
        "time": time, "money": money, "risks": risk,
    }  # fmt: skip
    return [answer(part, list(judge(evidence))) for part, judge in parts.items()]


def answer(part: str, reasons: Sequence[Reason]) -> Answer:
    """Return the worst that the reasons say; what is unknown only counts if nothing is known."""
    said = {verdict for verdict, _why in reasons}
    known = [one for one in ORDER if one in said and one != "unknown"]
    return Answer(part, known[0] if known else "unknown", reasons)


def whole(found: Sequence[Answer]) -> Verdict:
    """Return the answer for the project: the worst of its parts; unknown while one is."""
    said = {one.verdict for one in found}
    return next(one for one in ORDER if one in said)


def data(evidence: Evidence) -> Iterator[Reason]:
    """Whether there is enough to learn from."""
    plan, found, asked = evidence.plan, evidence.measured, evidence.asked
    records = found.records if found.records is not None else within(asked, "data", "records")
    labels = found.labels or within(asked, "data", "labels") or {}
    if records is None:
        yield "unknown", _("No data have been split yet: bring some on page Collect, then run.")
        return
    wanted = plan.data.records
    if wanted and records < wanted:
        yield "no", _("{records} of {wanted} labelled training records are there.",
                      records=records, wanted=wanted)  # fmt: skip
    else:
        yield "yes", _("{records} labelled training records are there.", records=records)
    if labels:
        name, fewest = min(labels.items(), key=lambda one: one[1])
        told = _("The rarest label is {label} with {count} records.", label=name, count=fewest)
        needed = plan.data.records_per_label
        if needed and fewest < needed:
            told = _("The rarest label, {label}, has {count} of {wanted} records.",
                     label=name, count=fewest, wanted=needed)  # fmt: skip
            yield "no", told
        else:
            yield ("conditions" if fewest < risks.FEW_A_LABEL else "yes"), told
    if found.alpha is not None and found.alpha < risks.TRUSTED_ALPHA:
        yield (
            "conditions",
            _("Annotators agree little (alpha {alpha}).", alpha=found.alpha),
        )
    spoken = within(asked, "data", "languages") or []
    missing = [one for one in codes(plan.function.languages) if spoken and one not in spoken]
    if missing:
        yield "no", _("No texts in {languages} are there.", languages=", ".join(missing))


def model(evidence: Evidence) -> Iterator[Reason]:
    """Whether there is a model that does it."""
    yield from performance(evidence)
    candidates = (evidence.asked or {}).get("candidates")
    if candidates is None:
        yield "unknown", _("No models have been compared yet: ask for it on tab Models.")
        return
    fitting = [one for one in candidates if not one["excluded"]]
    if fitting:
        yield "yes", _("{count} models of the catalogue suit task, data and machine; the first is "
                       "{name}.", count=len(fitting), name=fitting[0]["name"])  # fmt: skip
    else:
        yield "no", _("No model of the catalogue suits task, data and machine.")


def performance(evidence: Evidence) -> Iterator[Reason]:
    """Compare what was measured with what is needed."""
    if evidence.measured.failed_gates:
        names = ", ".join(evidence.measured.failed_gates)
        yield "conditions", _("Gates of the last run that are not met: {names}.", names=names)
    for need in needs(evidence.plan, evidence.measured):
        if need.value is None:
            yield "unknown", _("{name} is needed, and not measured yet.", name=need.name)
        elif need.met:
            yield "yes", _("{name}: measured {value}, needed {sign} {target}.", name=need.name,
                           value=need.value, sign=need.sign, target=need.target)  # fmt: skip
        else:
            told = _("{name}: measured {value}, needed {sign} {target}. Not reached yet.",
                     name=need.name, value=need.value, sign=need.sign,
                     target=need.target)  # fmt: skip
            yield "conditions", told


def computing(evidence: Evidence) -> Iterator[Reason]:
    """Whether the machine can train it."""
    limit = evidence.plan.cost.training_hours
    taken = evidence.measured.training
    if taken is not None:
        slow = limit and taken.seconds / HOURS > limit
        told = _("The last training took {time} here.", time=timedelta(seconds=taken.seconds))
        yield ("conditions" if slow else "yes"), told
    best = first(evidence.asked)
    if best is None:
        if taken is None:
            yield "unknown", _("Nothing has been estimated yet: ask for it on tab Models.")
        return
    estimate, machine = best["estimate"], (evidence.asked or {})["machine"]
    if not best["fits"]:
        yield "no", _("Memory is too small for {name}, whatever the method.", name=best["name"])
    else:
        yield "yes", _("{name} needs about {need} GB of {room} GB of memory.", name=best["name"],
                       need=gigabytes(estimate["peak_memory_bytes"]),
                       room=gigabytes(room(machine)))  # fmt: skip
    if taken is None and limit and estimate["seconds"] / HOURS > limit:
        yield "conditions", _("A training is estimated to take {time}, more than wanted.",
                              time=timedelta(seconds=estimate["seconds"]))  # fmt: skip
    needed = ROOM_ON_DISK * (best.get("parameters") or 100e6) * 4
    if machine["disk_free_bytes"] < needed:
        yield "conditions", _("The disk has only {free} GB left.",
                              free=gigabytes(machine["disk_free_bytes"]))  # fmt: skip


def time(evidence: Evidence) -> Iterator[Reason]:
    """Whether it is done in time."""
    line, deadline = evidence.timeline, evidence.plan.schedule.deadline
    for problem in line.problems:
        yield "conditions", problem
    if line.end is None or line.worst_end is None:
        yield "unknown", _("No tasks are planned yet.")
        return
    if deadline is None:
        yield "unknown", _("No deadline is set; it ends on {day} as expected.", day=line.end)
    elif line.end > deadline:
        yield "no", _("It ends on {day}, after the deadline of {deadline}.",
                      day=line.end, deadline=deadline)  # fmt: skip
    elif line.worst_end > deadline:
        yield "conditions", _("It ends on {day} as expected, but at worst on {worst}, after the "
                              "deadline of {deadline}.", day=line.end, worst=line.worst_end,
                              deadline=deadline)  # fmt: skip
    else:
        yield "yes", _("Even at worst it ends on {worst}, before the deadline of {deadline}.",
                       worst=line.worst_end, deadline=deadline)  # fmt: skip
    late = [bar.task.name for bar in line.bars if bar.state == "late"]
    if late:
        yield "conditions", _("Tasks that are late: {names}.", names=", ".join(late))


def money(evidence: Evidence) -> Iterator[Reason]:
    """Whether it is paid for."""
    plan, sums = evidence.plan, budget.added_up(evidence.plan)
    currency = plan.budget.currency
    if sums.empty or sums.limit is None:
        yield "unknown", _("Budget or spending are not written down yet.")
    elif sums.over:
        yield "no", _("{total} {currency} are planned or spent, and there are {limit}.",
                      total=max(sums.total, sums.all_spent), currency=currency,
                      limit=sums.limit)  # fmt: skip
    else:
        yield "yes", _("{total} {currency} are planned, with the reserve, of {limit}.",
                       total=sums.total, currency=currency,
                       limit=sums.limit)  # fmt: skip
    taken, cost = evidence.measured.training, plan.cost
    if taken is None:
        return
    if cost.training is not None and taken.money is not None and taken.currency == currency:
        yield ("yes" if taken.money <= cost.training else "conditions"), _(
            "The last training cost {money} {currency}, {limit} are allowed.",
            money=taken.money, currency=currency, limit=cost.training,
        )  # fmt: skip
    if cost.co2_kg is not None and taken.co2_kg is not None:
        yield ("yes" if taken.co2_kg <= cost.co2_kg else "conditions"), _(
            "The last training caused {co2} kg of CO₂, {limit} are allowed.",
            co2=taken.co2_kg, limit=cost.co2_kg,
        )  # fmt: skip


def risk(evidence: Evidence) -> Iterator[Reason]:
    """Whether what can go wrong is watched."""
    register = evidence.plan.risks
    if not register:
        yield "unknown", _("No risks are written down yet.")
        return
    open_ones = risks.uncovered(register)
    if open_ones:
        names = "; ".join(one.name for one in open_ones)
        yield "conditions", _("Grave risks without owner or counter-measure: {names}.", names=names)
    else:
        yield "yes", _("Every grave risk has an owner and a counter-measure.")
    if risks.overdue(register, evidence.today):
        count = len(risks.overdue(register, evidence.today))
        yield "conditions", _("Risks to be looked at again: {count}.", count=count)


@dataclass(frozen=True)
class Need:
    """A need beside what was measured."""

    name: Text
    sign: str
    target: float
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is met; None while it is not measured."""
        if self.value is None:
            return None
        return self.value >= self.target if self.sign == "≥" else self.value <= self.target


def needs(plan: Plan, found: Measured) -> list[Need]:
    """Return the needs of performance that have a target."""
    wanted, figures = plan.performance, found.figures
    name = found.main if wanted.figure == "main" else wanted.figure
    sign = "≤" if wanted.figure == "mae" or name in found.smaller_is_better else "≥"
    listed = (
        (_("Quality"), sign, wanted.quality, figures.get(wanted.figure)),
        (_("Time of an answer, ms"), "≤", wanted.latency_ms, figures.get("latency_ms_p95")),
        (
            _("Throughput, texts a second"),
            "≥",
            wanted.texts_per_second,
            figures.get("texts_per_second"),
        ),
        (_("Size, MB"), "≤", wanted.size_mb, figures.get("size_mb")),
    )
    return [
        Need(title, which, target, value)
        for title, which, target, value in listed
        if target is not None
    ]


def success(measure: Measure, found: Measured) -> Need | None:
    """Return a measure of success beside its value; None where it has no target."""
    if measure.target is None:
        return None
    sign = "≥" if measure.direction == "at_least" else "≤"
    return Need(measure.name, sign, measure.target, value_now(measure, found))


def value_now(measure: Measure, found: Measured) -> float | None:
    """Return where a measure of success stands: as Mofang measured it, else as people wrote it."""
    return found.figures.get(measure.figure) if measure.figure != "none" else measure.value


def first(asked: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the best candidate; the first that is excluded where all are."""
    candidates: Sequence[Mapping[str, Any]] = (asked or {}).get("candidates") or ()
    return candidates[0] if candidates else None


def within(content: Mapping[str, Any] | None, *names: str) -> Any:
    """Return the value at a place, None where there is none."""
    place: Any = content
    for name in names:
        place = place.get(name) if isinstance(place, Mapping) else None
    return place


def room(machine: Mapping[str, Any]) -> float:
    """Return the memory that training can have, in bytes."""
    gpus = machine.get("gpus") or ()
    return float(gpus[0]["memory_bytes"] if gpus else machine["available_bytes"])


def gigabytes(count: float) -> float:
    """Return bytes as gigabytes, to one digit."""
    return round(count / 2**30, 1)


def codes(text: str) -> list[str]:
    """Return the languages of a text such as ``en, zh``; other words are for people."""
    words = text.replace("\uff0c", ",").replace("\u3001", ",").split(",")
    return [word.strip().lower() for word in words if len(word.strip()) == 2]
