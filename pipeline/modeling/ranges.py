"""Which values of a knob a search tries: what ``between`` and ``one_of`` say in the schema."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from pipeline.errors import ParamsError, Problem
from pipeline.i18n import _

DIGITS = 3  # that count in a value tried: what is proposed can be read, and is what was tried

Value = str | float | bool


@dataclass(frozen=True)
class Range:
    """The values of one knob: single ones, or all between two ends."""

    field: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def told(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(vars(self)) | {"choices": list(self.choices)}

    def distribution(self) -> Any:
        """Return the range as optuna has it."""
        from optuna import distributions

        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if self.whole:
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log)
        return distributions.FloatDistribution(self.low, self.high, log=self.log)

    def value(self, drawn: Value) -> Value:
        """Return what is tried for a value drawn: with few digits, within both ends."""
        if self.choices or self.whole:
            return drawn
        return min(max(float(f"{drawn:.{DIGITS}g}"), self.low), self.high)

    def holds(self, value: object) -> bool:
        """Return whether ``value`` is one of the range's."""
        if self.choices:
            return any(value == one and type(value) is type(one) for one in self.choices)
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (not self.whole or isinstance(value, int))
        )

    def points(self, count: int) -> list[Value]:
        """Return values in even steps, or even factors; all of single ones.

        :param count: how many between two ends, both included.
        """
        if self.choices:
            return list(self.choices)
        low, high = (math.log(one) if self.log else one for one in (self.low, self.high))
        found = [low + (high - low) * at / (count - 1) for at in range(count)]
        values = [math.exp(one) if self.log else one for one in found]
        if self.whole:
            return list(dict.fromkeys(round(one) for one in values))
        return list(dict.fromkeys(self.value(one) for one in values))


def known(model: type[BaseModel]) -> dict[str, Range]:
    """Return the range of every field that states one, by its dotted name."""
    return {one.field: one for one in found_in(model, "")}


def found_in(model: type[BaseModel], at: str) -> Iterator[Range]:
    """Yield the ranges of a section and of the sections within it."""
    for name, field in model.model_fields.items():
        where = f"{at}{field.alias or name}"
        extra = field.json_schema_extra
        told = extra.get("search") if isinstance(extra, dict) else None
        if isinstance(told, dict):
            yield range_of(where, told, field.annotation)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from found_in(field.annotation, f"{where}.")


def range_of(where: str, told: Mapping[str, Any], annotation: Any) -> Range:
    """Return a field's range; one of whole numbers where the field holds nothing else."""
    if "choices" in told:
        return Range(where, choices=tuple(told["choices"]))
    whole = float not in (annotation, *get_args(annotation))
    return Range(where, low=told["low"], high=told["high"], log=told["log"], whole=whole)


def asked(fields: Sequence[str], model: type[BaseModel]) -> list[Range]:
    """Return the ranges of ``fields``.

    :raises ParamsError: naming every field that states none, with those that do.
    """
    ranges = known(model)
    problems = [
        Problem(
            f"params.yaml, search.fields, {field}",
            _("a field without a range to search in, or none at all"),
            ", ".join(ranges),
            _("Take one of these."),
        )
        for field in fields
        if field not in ranges
    ]
    if problems:
        raise ParamsError(*problems)
    return [ranges[field] for field in fields]
