"""New columns from the text, from its time, or from other columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps.lexicon import UNSPACED_RUNS, WORD_RUNS, count
from pipeline.steps.values import BEYOND, NotANumber, number

Recipe = Mapping[str, Any]


def words(text: str) -> int:
    """Return how many words: of scripts without spaces between them, characters."""
    return len(WORD_RUNS.findall(text)) + count(UNSPACED_RUNS, text)


def in_utc(time: datetime) -> datetime:
    """Return a time in UTC; one without a zone is taken to be in it."""
    return time.astimezone(UTC) if time.tzinfo else time


def ratio(first: float, second: float) -> float | None:
    """Return ``first / second``, or None for a divisor of 0."""
    return first / second if second else None


def logarithm(value: float) -> float | None:
    """Return ln(1 + ``value``), or None where there is none: at −1 and below."""
    return math.log1p(value) if value > -1 else None


OF_TEXT: Mapping[str, Callable[[str], int]] = {
    "characters": len,
    "words": words,
    "digits": lambda text: sum(map(str.isdecimal, text)),
    "capitals": lambda text: sum(map(str.isupper, text)),
}
OF_TIME: Mapping[str, Callable[[datetime], int]] = {
    "hour": lambda time: in_utc(time).hour,
    "weekday": lambda time: in_utc(time).isoweekday(),
    "month": lambda time: in_utc(time).month,
}
OF_COLUMNS: Mapping[str, Callable[..., float | None]] = {
    "ratio": ratio,
    "difference": lambda first, second: first - second,
    "product": lambda first, second: first * second,
    "logarithm": logarithm,
}


def derive(
    texts: Sequence[str],
    created_at: Sequence[datetime | None],
    columns: Mapping[str, Sequence[object]],
    recipes: Sequence[Recipe],
) -> dict[str, list[float | int | None]]:
    """Return the derived columns by name: a value a record, None where none can be worked out.

    :param created_at: in UTC or with a zone; weekdays count from Monday, 1, to Sunday, 7.
    :param columns: what a formula of columns may take; earlier derived columns are taken too.
    :param recipes: ``clean.derived``: name, formula, of.
    :raises DataError: if a formula's column is not there or holds what is no number.
    """
    made: dict[str, list[float | int | None]] = {}
    problems: list[Problem] = []
    for recipe in recipes:
        formula = recipe["formula"]
        if formula in OF_TEXT:
            made[recipe["name"]] = [OF_TEXT[formula](text) for text in texts]
        elif formula in OF_TIME:
            made[recipe["name"]] = [
                None if time is None else OF_TIME[formula](time) for time in created_at
            ]
        else:
            taken = [numbers(name, {**columns, **made}, recipe, problems) for name in recipe["of"]]
            rows = zip(*taken, strict=True) if all(taken) or not texts else ()
            made[recipe["name"]] = [worked_out(OF_COLUMNS[formula], row) for row in rows]
    if problems:
        raise DataError(*problems)
    return made


def worked_out(
    formula: Callable[..., float | None], values: Sequence[float | None]
) -> float | None:
    """Return what a formula gives, or None where a value is missing or the result too large."""
    if None in values:
        return None
    result = formula(*values)
    return result if result is not None and abs(result) <= BEYOND else None


def numbers(
    name: str, columns: Mapping[str, Sequence[object]], recipe: Recipe, problems: list[Problem]
) -> list[float | None]:
    """Return a column as numbers; what is wrong with it is added to ``problems``."""
    where = f"clean.derived, {recipe['name']}"
    if name not in columns:
        fix = _("Correct clean.derived, or keep the column in reader.columns.meta.")
        known = ", ".join(sorted(columns)) or _("none")
        problems.append(Problem(where, _("column {name}", name=name), known, fix))
        return []
    found, wrong = [], []
    for value in columns[name]:
        try:
            found.append(number(value))
        except NotANumber:
            wrong.append(str(value)[:40])
            found.append(None)
    if wrong:
        text = _("{count} values, as {value}", count=len(wrong), value=wrong[0])
        fix = _("Correct the data, or take another column.")
        problems.append(Problem(f"{where}, {name}", text, _("numbers"), fix))
    return found
