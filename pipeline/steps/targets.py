"""How a record's label is written: one name, several joined by ``|``, or a number.

Every file that holds records keeps labels as text, whatever the task; this is the one place that
knows how. A text that has none of several labels is ``""``, one that nobody labelled is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

JOINT = "|"
SINGLE, MULTI, REGRESSION = "single_label", "multi_label", "regression"


def several(text: str) -> list[str]:
    """Return the labels that one text joins."""
    return text.split(JOINT) if text else []


def joined(names: Iterable[str], order: Sequence[str]) -> str:
    """Return labels as one text, each once, in the order of the task's labels.

    :raises KeyError: for a name that is not among ``order``.
    """
    position = {name: at for at, name in enumerate(order)}
    return JOINT.join(sorted(set(names), key=lambda name: position[name]))


def number(text: str) -> float:
    """Return the number that a text stands for.

    :raises ValueError: if it is none, or not finite.
    """
    value = float(text)
    if not math.isfinite(value) or "_" in text:  # Python alone reads 1_000 as a number
        raise ValueError(f"not a finite number: {text}")
    return value


def number_text(value: float) -> str:
    """Return the shortest text that stands for a number."""
    return repr(float(value) + 0.0)  # + 0.0: not -0.0


def parts_of(text: str, task: str) -> list[str]:
    """Return the labels of a record: several for ``multi_label``, the one it has otherwise."""
    return several(text) if task == MULTI else [text]
