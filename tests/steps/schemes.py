"""Labelling schemes of the three tasks, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.steps.scheme import Scheme


def single(labels: Sequence[str], mapping: Mapping[str, str] | None = None) -> Scheme:
    """Return the scheme of a task with one label a record."""
    return Scheme("single_label", "|", mapping or {}, tuple(labels), None, None)


def several(
    labels: Sequence[str], separator: str = "|", mapping: Mapping[str, str] | None = None
) -> Scheme:
    """Return the scheme of a task with any number of labels a record."""
    return Scheme("multi_label", separator, mapping or {}, tuple(labels), None, None)


def numbers(low: float | None = None, high: float | None = None) -> Scheme:
    """Return the scheme of a task with a number a record."""
    return Scheme("regression", "|", {}, (), low, high)
