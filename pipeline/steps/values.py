"""Values of columns beside the text: what is a number, what is missing."""

from __future__ import annotations

import math

BEYOND = 1e100  # larger numbers could not be squared and summed


class NotANumber(ValueError):  # noqa: N818
    """A value that stands where a number should."""


def number(value: object) -> float | None:
    """Return a value as a finite number, or None if it is missing: null, blank or NaN.

    :raises NotANumber: for anything else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        raise NotANumber
    try:
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise NotANumber from error
    if math.isnan(found):
        return None
    if abs(found) > BEYOND:
        raise NotANumber
    return found


def category(value: object) -> str | None:
    """Return a value as the name of a category, or None if it is missing: null, blank or NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value).strip() or None
