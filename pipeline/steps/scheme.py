"""What the label of a record can be, and how a cell of a source says it.

A label is text everywhere (``steps.targets``); a scheme reads what sources and people wrote and
gives that text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from pipeline.i18n import Message, _
from pipeline.steps import targets

BETWEEN = "\x1f"  # stands in no label's name


def mapped(label: str, mapping: Mapping[str, str]) -> str:
    """Return the label of the task for a label of the source.

    An exact name goes first, then the first pattern (``DESC:*``) that fits; a label that nothing
    fits stays as it is.
    """
    if label in mapping:
        return mapping[label]
    for pattern, wanted in mapping.items():
        if "*" in pattern and fnmatchcase(label, pattern.replace("[", "[[]").replace("?", "[?]")):
            return wanted
    return label


@dataclass(frozen=True)
class Cells:
    """How the cells of a source are read (``params.yaml``, ``label``)."""

    task: str
    separator: str  # between the labels of a cell, multi_label only
    mapping: Mapping[str, str]

    @property
    def several(self) -> bool:
        """Whether a record has any number of labels."""
        return self.task == targets.MULTI

    @property
    def numeric(self) -> bool:
        """Whether a record's label is a number."""
        return self.task == targets.REGRESSION

    def split(self, cell: str) -> list[str]:
        """Return the labels of a cell of several: a JSON list, or names between separators.

        A cell of separators alone, or ``[]``, says that the record has none of the labels.
        """
        try:
            found = json.loads(cell) if cell.startswith("[") else None
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
        return [name for one in cell.split(self.separator) if (name := one.strip())]

    def names(self, cell: str) -> list[str]:
        """Return the different labels of a source's cell, mapped."""
        parts = self.split(cell) if self.several else [cell]
        return list(dict.fromkeys(mapped(one, self.mapping) for one in parts))

    def key(self, cell: str | None) -> str | None:
        """Return what two cells share when they say the same: 3.5 and 3.50, a|b and b|a."""
        if cell is None:
            return None
        if self.numeric:
            try:
                return targets.number_text(targets.number(cell))
            except ValueError:
                return cell
        return BETWEEN.join(sorted(self.names(cell)))


@dataclass(frozen=True)
class Scheme(Cells):
    """What the label of a record can be."""

    labels: Sequence[str]
    low: float | None  # of the numbers; None: there is no lowest
    high: float | None

    @classmethod
    def of(cls, knobs: Any) -> Scheme:
        """Return the scheme of section ``label``."""
        return cls(
            task=knobs.task,
            separator=knobs.separator,
            mapping=knobs.mapping,
            labels=tuple(knobs.labels),
            low=knobs.numbers.low,
            high=knobs.numbers.high,
        )

    @cached_property
    def known(self) -> frozenset[str]:
        """The labels of the task, to look one up."""
        return frozenset(self.labels)

    def text(self, names: Sequence[str]) -> str:
        """Return the label of a record from what one person or source gave it.

        :param names: of the labels, each one of the task's; one for a task with a single label,
            one text of a number for regression.
        """
        if self.several:
            return targets.joined(names, self.labels)
        return targets.number_text(targets.number(names[0])) if self.numeric else names[0]

    def parts(self, text: str) -> list[str]:
        """Return the labels that the text of a record's label joins."""
        return targets.parts_of(text, self.task)

    def sourced(self, cell: str | None) -> str | None:
        """Return the label that a source's cell stands for; a strange cell stays as it is."""
        if cell is None or self.strange(cell):
            return cell
        return self.text([cell] if self.numeric else self.names(cell))

    def strange(self, cell: str) -> list[str]:
        """Return what of a source's cell cannot be a label of the task."""
        if self.numeric:
            return [] if self.is_number(cell) else [cell]
        return [one for one in self.names(cell) if one not in self.known]

    def is_number(self, text: str) -> bool:
        """Return whether a text is a finite number within the bounds."""
        try:
            value = targets.number(text)
        except ValueError:
            return False
        low = value if self.low is None else self.low
        return low <= value <= (value if self.high is None else self.high)

    def allowed(self) -> Message:
        """Return what a label can be, in words."""
        if not self.numeric:
            return _("one of {labels}", labels=", ".join(self.labels))
        if self.low is None and self.high is None:
            return _("a finite number")
        low, high = ("–" if one is None else f"{one:g}" for one in (self.low, self.high))
        return _("a number from {low} to {high}", low=low, high=high)
