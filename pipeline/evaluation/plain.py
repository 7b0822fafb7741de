"""Figures as a report can hold them: JSON knows no number that is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any


def known(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without the figures that are no numbers."""
    return {name: value for name, value in figures.items() if is_known(value)}


def finite(value: Any) -> Any:
    """Return a value with None for every number in it that is none."""
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value if is_known(value) else None


def is_known(value: Any) -> bool:
    """Return whether a value is anything but infinite or no number."""
    return not isinstance(value, Real) or math.isfinite(value)
