"""Gates: figures that a model must reach, or the pipeline stops."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import GateError, Problem
from pipeline.i18n import _

PATTERN = re.compile(r"(?P<figure>\w+) *(?P<sign>>=|<=) *(?P<bound>-?\d+(\.\d+)?)")


@dataclass(frozen=True)
class Verdict:
    """One gate, what was found and whether it holds."""

    figure: str
    sign: str
    bound: float
    found: float | None
    passed: bool


def judge(
    gates: Sequence[str], figures: Mapping[str, float], *, beat: str | None, greater: bool = True
) -> list[Verdict]:
    """Return a verdict for every gate; a figure that is missing or no number fails its gate.

    :param gates: as in ``macro_f1 >= 0.85`` or ``mae <= 0.9``.
    :param figures: the model's own, and the strongest baseline's as ``baseline_macro_f1``.
    :param beat: the figure in which the model must be better than that baseline, if any.
    :param greater: whether more of that figure is better.
    """
    verdicts = [verdict(*split(gate), figures) for gate in gates]
    if beat is not None:
        sign = ">" if greater else "<"
        verdicts.append(verdict(beat, sign, figures[f"baseline_{beat}"], figures))
    return verdicts


def split(gate: str) -> tuple[str, str, float]:
    """Return figure, sign and bound of a gate.

    :raises ValueError: if it is not one; the schema of ``params.yaml`` lets none through.
    """
    match = PATTERN.fullmatch(gate)
    if match is None:
        raise ValueError(f"not a gate: {gate}")
    return match["figure"], match["sign"], float(match["bound"])


def verdict(figure: str, sign: str, bound: float, figures: Mapping[str, float]) -> Verdict:
    """Return whether one gate holds; nothing compares with a number that is none."""
    found = figures.get(figure, math.nan)
    compared = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
    holds = bool(compared[sign](found, bound))
    return Verdict(figure, sign, bound, None if math.isnan(found) else found, holds)


def refuse_failed(verdicts: Sequence[Verdict], figures: Mapping[str, float]) -> None:
    """Stop the pipeline when a gate does not hold.

    :raises GateError: with every failed gate, what was found and what is required.
    """
    failed = [explain(one, figures) for one in verdicts if not one.passed]
    if failed:
        raise GateError(*failed)


def explain(one: Verdict, figures: Mapping[str, float]) -> Problem:
    """Return the problem of one failed gate."""
    where = f"validate, {one.figure}"
    if one.found is None:
        return Problem(
            where,
            _("no such figure, or no number"),
            ", ".join(sorted(figures)),
            _("Correct the gate in params.yaml."),
        )
    return Problem(
        where,
        f"{one.found:.4f}",
        f"{one.sign} {one.bound:.4f}",
        _("Improve data or training (see models/train and models/validate), or lower the gate."),
    )
