"""Which records speak for all: some of each label in turn, so that no label is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.steps.personal import MASKS, mask
from pipeline.steps.targets import REGRESSION, number

Record = dict[str, Any]

BANDS = 4  # of numbers, each with as many records
LONGEST_EXAMPLE = 160  # characters; longer ones do not fit a button
FEWEST_LETTERS = 4
LETTER_SHARE = 0.6  # of an example; tables and codes are not what a visitor tries first


def in_turn(
    records: Sequence[Record], task: str, most: int, first: Callable[[Record], Any]
) -> list[Record]:
    """Return at most ``most`` records, one of each label after the other until none is left.

    :param first: sorts the records of one label; the smallest comes first.
    """
    groups = [sorted(group, key=first) for group in by_label(records, task)]
    longest = max(map(len, groups), default=0)
    found = [group[at] for at in range(longest) for group in groups if at < len(group)]
    return found[:most]


def by_label(records: Sequence[Record], task: str) -> list[list[Record]]:
    """Return records by label, or by bands of their numbers, in a fixed order."""
    if task == REGRESSION:
        ordered = sorted(records, key=lambda one: number(one["label"]))
        size = max(1, -(-len(ordered) // BANDS))
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record["label"]].append(record)
    return [groups[label] for label in sorted(groups)]


def examples(records: Sequence[Record], task: str, most: int, region: str) -> list[dict[str, str]]:
    """Return short, readable texts with their labels, whether the model answers them right or not.

    :param region: where phone numbers without a country code belong. What tells who somebody is is
        masked: strangers will see these texts.
    """
    known = {record["text"]: record for record in reversed(records) if readable(record["text"])}
    chosen = in_turn(list(known.values()), task, most, lambda one: (len(one["text"]), one["text"]))
    return [
        {"text": mask(one["text"], kinds=list(MASKS), region=region), "label": one["label"]}
        for one in chosen
    ]


def readable(text: str) -> bool:
    """Return whether a person would take this for a sentence: one line, mostly letters."""
    letters = sum(letter.isalpha() for letter in text)
    dense = len(text.replace(" ", ""))
    return (
        len(text) <= LONGEST_EXAMPLE
        and text.isprintable()
        and letters >= FEWEST_LETTERS
        and letters >= LETTER_SHARE * dense
    )
