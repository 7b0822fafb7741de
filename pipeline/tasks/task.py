"""The task that ``params.yaml``, or a model's card, names."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks.base import Task
from pipeline.tasks.multi_label import MultiLabel
from pipeline.tasks.regression import Regression
from pipeline.tasks.single_label import SingleLabel

KINDS: dict[str, type[Task]] = {SINGLE: SingleLabel, MULTI: MultiLabel, REGRESSION: Regression}


def of(name: str, labels: Sequence[str]) -> Task:
    """Return the task called ``name`` over ``labels``, which a number has none of.

    :raises ValueError: if there is no such task; the schema of ``params.yaml`` lets none through.
    """
    if name not in KINDS:
        raise ValueError(f"not a task: {name}")
    return KINDS[name](labels)
