"""What can go wrong: how grave it is, what usually goes wrong, and what the files already show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from app.studio.project.measured import Measured
from app.studio.project.schedule import Timeline
from app.studio.project.schema import Plan, Risk
from pipeline.errors import Text
from pipeline.i18n import Message, _

Level = Literal["low", "medium", "high"]
MEDIUM, HIGH = 6, 12  # likelihood times impact
LEVELS: dict[Level, Message] = {"low": _("low"), "medium": _("medium"), "high": _("high")}
ICONS: dict[Level, str] = {
    "low": ":material/check_circle:",
    "medium": ":material/warning:",
    "high": ":material/dangerous:",
}
FEW_A_LABEL = 30  # records; fewer are few for a label
TRUSTED_ALPHA = 0.667  # Krippendorff's bound below which labels prove little


@dataclass(frozen=True)
class Known:
    """A risk that projects of this kind usually have."""

    name: Message
    kind: str
    likelihood: int
    impact: int
    answer: str
    measure: Message
    sign: Message


USUAL: tuple[Known, ...] = (
    Known(
        _("Too few data, or data of poor quality"), "data", 4, 4, "validate",
        _("Look at the waterfall of Clean and at suspects of Label after every collection; label "
          "more where a label is rare."),
        _("A label with few records; annotators who disagree."),
    ),
    Known(
        _("The model does not reach the quality needed"), "performance", 3, 4, "alternative",
        _("Set gates in Validate; compare with cheap baselines; keep a second model ready."),
        _("Curves that stop rising below the target."),
    ),
    Known(
        _("The technique is harder than expected"), "complexity", 3, 3, "alternative",
        _("Begin with the smallest model that could do; add one thing at a time."),
        _("Runs that fail for reasons that nobody understands."),
    ),
    Known(
        _("Too little computing power, or too late"), "computing", 2, 3, "alternative",
        _("Estimate before each run; fall back on adapters or a frozen encoder."),
        _("Training that takes more than a night; out of memory."),
    ),
    Known(
        _("Work takes longer than planned"), "time", 4, 3, "validate",
        _("Check after every phase; keep the worst case before the deadline."),
        _("A task that is late while others wait for it."),
    ),
    Known(
        _("It costs more than planned"), "cost", 3, 3, "validate",
        _("Keep a reserve; compare spent with planned every month."),
        _("More spent than the share of work that is done."),
    ),
    Known(
        _("Requirements change often"), "change", 4, 3, "communicate",
        _("Show a working model early and regularly; write every change into this plan."),
        _("New labels or new groups of users are asked for."),
    ),
    Known(
        _("The model treats groups differently"), "bias", 3, 4, "validate",
        _("Declare groups in Validate, set gates on gaps, look at fairness in Test."),
        _("A group that is clearly weaker than the whole."),
    ),
    Known(
        _("Personal or forbidden content gets in or out"), "privacy", 2, 5, "reduce",
        _("Mask personal data in Clean, keep traffic masked and short, limit who may see it."),
        _("Personal data counted in Clean or in the traffic."),
    ),
    Known(
        _("Answers get worse after deployment, as texts change"), "operations", 4, 4, "validate",
        _("Watch drift and feedback, release by canary, roll back by itself, train again."),
        _("Drift alerts; more corrections by users."),
    ),
    Known(
        _("Training uses much electricity"), "environment", 2, 2, "reduce",
        _("Take the smallest model that reaches the needs; search with few trials."),
        _("CO₂ of a training above the limit."),
    ),
    Known(
        _("Somebody who knows it all leaves"), "people", 2, 4, "communicate",
        _("Keep the guideline, this plan and the Git record up to date."),
        _("Tasks with one owner only."),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Noticed:
    """A risk that the project's own files show."""

    kind: str
    told: Message
    grave: bool


def score(risk: Risk) -> int:
    """Return likelihood times impact, 1 to 25."""
    return risk.likelihood * risk.impact


def level(points: int) -> Level:
    """Return the level of a score."""
    return "high" if points >= HIGH else "medium" if points >= MEDIUM else "low"


def living(risks: Sequence[Risk]) -> list[Risk]:
    """Return the risks that are not closed, the gravest first."""
    return sorted((one for one in risks if one.state != "closed"), key=lambda one: -score(one))


def uncovered(risks: Sequence[Risk]) -> list[Risk]:
    """Return the grave risks that nobody watches, or against which nothing is planned."""
    return [
        one
        for one in living(risks)
        if level(score(one)) == "high" and not (one.owner.strip() and one.measure.strip())
    ]


def overdue(risks: Sequence[Risk], today: date) -> list[Risk]:
    """Return the risks that should have been looked at again."""
    return [one for one in living(risks) if one.review and one.review < today]


def matrix(risks: Sequence[Risk]) -> dict[tuple[int, int], list[str]]:
    """Return the names of the living risks by likelihood and impact."""
    cells: dict[tuple[int, int], list[str]] = {}
    for one in living(risks):
        cells.setdefault((one.likelihood, one.impact), []).append(one.name)
    return cells


def usual(words: Callable[[Text], str], there: Sequence[Risk]) -> list[dict[str, Any]]:
    """Return the usual risks that are not in the register, as rows of its table."""
    kinds = {str(one.kind) for one in there}
    rows: list[dict[str, Any]] = [
        {
            "name": words(one.name),
            "kind": one.kind,
            "likelihood": one.likelihood,
            "impact": one.impact,
            "answer": one.answer,
            "measure": words(one.measure),
            "sign": words(one.sign),
        }
        for one in USUAL
        if one.kind not in kinds
    ]
    return [Risk.model_validate(row).model_dump() for row in rows]


def noticed(plan: Plan, measured: Measured, timeline: Timeline) -> Iterator[Noticed]:
    """Yield what the files of the project show, whether it stands in the register or not."""
    rarest = measured.rarest
    if rarest is not None and rarest[1] < FEW_A_LABEL:
        told = _(
            "label {label} has only {count} training records", label=rarest[0], count=rarest[1]
        )
        yield Noticed("data", told, True)
    if measured.alpha is not None and measured.alpha < TRUSTED_ALPHA:
        told = _("annotators agree little (alpha {alpha})", alpha=measured.alpha)
        yield Noticed("data", told, True)
    if measured.failed_gates:
        names = ", ".join(measured.failed_gates)
        yield Noticed("performance", _("gates that are not met: {names}", names=names), True)
    if measured.unfair:
        yield Noticed(
            "bias", _("groups that are clearly weaker: {names}", names=", ".join(measured.unfair)),
            True,
        )  # fmt: skip
    if measured.personal:
        told = _("{count} records hold personal data", count=measured.personal)
        yield Noticed("privacy", told, plan.safety.personal_data != "kept")
    late = [bar.task.name for bar in timeline.bars if bar.state == "late"]
    if late:
        yield Noticed("time", _("tasks that are late: {names}", names=", ".join(late)), True)
