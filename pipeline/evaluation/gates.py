"""Gates: figures that a model must reach, or the pipeline stops."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import GateError, Problem
from pipeline.i18n import Message, _

PATTERN = re.compile(
    r"(?P<figure>\w+)(\[(?P<column>[\w.]+)=(?P<group>[^\[\]=]+)\])? *"
    r"(?P<sign>>=|<=) *(?P<bound>-?\d+(\.\d+)?)"
)
COMPARED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
OF_RELEASED = ("released_", "difference_to_released", "mcnemar_released")
NO_RELEASE = "no_release"
SKIPPED: dict[str, Message] = {
    NO_RELEASE: _("not judged: params.yaml, validate.released names no release")
}

Slices = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Verdict:
    """One gate, what was found and whether it holds.

    ``group`` is the group of records that it speaks of, as ``label=human``; ``skipped`` a name of
    ``SKIPPED`` where there was nothing to judge.
    """

    figure: str
    sign: str
    bound: float
    found: float | None
    passed: bool
    group: str | None = None
    skipped: str | None = None
    too_small: int | None = None  # records of a group that is too small for any claim

    @property
    def name(self) -> str:
        """Return the figure, with its group, as the gate names it."""
        return self.figure if self.group is None else f"{self.figure}[{self.group}]"


def judge(
    gates: Sequence[str],
    figures: Mapping[str, float],
    slices: Slices | None = None,
    *,
    beat: str | None = None,
    greater: bool = True,
) -> list[Verdict]:
    """Return a verdict for every gate; a figure that is missing or no number fails its gate.

    So does a figure of a group that is too small for a claim. A gate about the released model is
    skipped, and holds, where there is none.

    :param gates: as in ``macro_f1 >= 0.85``, ``mae <= 0.9`` or ``recall[label=human] >= 0.7``.
    :param figures: the model's own, and the strongest baseline's as ``baseline_macro_f1``.
    :param slices: column → group → figures, as ``slices.table`` gives them.
    :param beat: the figure in which the model must be better than that baseline, if any.
    :param greater: whether more of that figure is better.
    """
    verdicts = [verdict(gate, figures, slices or {}) for gate in gates]
    if beat is not None:
        sign, baseline = ">" if greater else "<", figures[f"baseline_{beat}"]
        verdicts.append(compared(beat, sign, baseline, figures.get(beat, math.nan)))
    return verdicts


def split(gate: str) -> re.Match[str]:
    """Return the parts of a gate: figure, column, group, sign and bound.

    :raises ValueError: if it is not one; the schema of ``params.yaml`` lets none through.
    """
    match = PATTERN.fullmatch(gate)
    if match is None:
        raise ValueError(f"not a gate: {gate}")
    return match


def verdict(gate: str, figures: Mapping[str, float], slices: Slices) -> Verdict:
    """Return whether one gate holds."""
    parts = split(gate)
    figure, sign, bound = parts["figure"], parts["sign"], float(parts["bound"])
    if parts["column"] is not None:
        name = f"{parts['column']}={parts['group']}"
        entry = slices.get(parts["column"], {}).get(parts["group"], {})
        if entry.get("small"):
            records = int(entry["records"])
            return Verdict(figure, sign, bound, None, False, group=name, too_small=records)
        return compared(figure, sign, bound, figure_of(entry, figure), group=name)
    if figure.startswith(OF_RELEASED) and not any(one.startswith(OF_RELEASED) for one in figures):
        return Verdict(figure, sign, bound, None, True, skipped=NO_RELEASE)
    return compared(figure, sign, bound, figures.get(figure, math.nan))


def figure_of(entry: Mapping[str, Any], figure: str) -> float:
    """Return a figure of one group; its interval is that of the figure it names."""
    ends = {f"{entry.get('figure')}_{end}": entry.get(end) for end in ("low", "high")}
    found = (ends | dict(entry)).get(figure)
    return float(found) if isinstance(found, int | float) else math.nan


def compared(
    figure: str, sign: str, bound: float, found: float, *, group: str | None = None
) -> Verdict:
    """Return whether a figure keeps its bound; what is no finite number keeps none."""
    known = math.isfinite(found)
    holds = known and bool(COMPARED[sign](found, bound))
    return Verdict(figure, sign, bound, found if known else None, holds, group)


def refuse_failed(verdicts: Sequence[Verdict], figures: Mapping[str, float]) -> None:
    """Stop the pipeline when a gate does not hold.

    :raises GateError: with every failed gate, what was found and what is required.
    """
    failed = [explain(one, figures) for one in verdicts if not one.passed]
    if failed:
        raise GateError(*failed)


def explain(one: Verdict, figures: Mapping[str, float]) -> Problem:
    """Return the problem of one failed gate."""
    where = f"validate, {one.name}"
    if one.too_small is not None:
        return Problem(
            where,
            _("a group of only {records} records, which proves nothing", records=one.too_small),
            _("a group of validate.groups.min_records"),
            _("Collect more such records, take the gate out, or lower min_records."),
        )
    if one.found is None:
        return Problem(
            where,
            _("no such figure, or no number"),
            _("a group in models/validate/report.json")
            if one.group
            else ", ".join(sorted(figures)),
            _("Correct the gate in params.yaml."),
        )
    return Problem(
        where,
        f"{one.found:.4f}",
        f"{one.sign} {one.bound:.4f}",
        _("Improve data or training (see models/train and models/validate), or lower the gate."),
    )
