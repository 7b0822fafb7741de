"""Values of nested parameters by their dotted names, as in ``train.epochs``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def value_at(values: Any, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    for step in path.split("."):
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def flat(values: Any) -> dict[str, Any]:
    """Return every value by its dotted name; lists of plain values count as one."""
    return dict(walk(values, "")) if isinstance(values, Mapping) and values else {}


def walk(values: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Yield each value below a place with its dotted name."""
    if isinstance(values, Mapping) and values:
        for name, one in values.items():
            yield from walk(one, f"{at}.{name}" if at else str(name))
    elif isinstance(values, list) and any(isinstance(one, Mapping | list) for one in values):
        for place, one in enumerate(values):
            yield from walk(one, f"{at}.{place}")
    else:
        yield at, values
