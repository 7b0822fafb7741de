"""The section about wrong answers: the surest ones, what decided them, what they resemble."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import Text
from pipeline.evaluation import blocks, naming
from pipeline.evaluation.blocks import Block, Cell, Error, Errors, Say, Section, Table, Word
from pipeline.i18n import Message, _
from pipeline.steps.targets import REGRESSION

Report = Mapping[str, Any]
LEVELS = 3  # of how much a word counted, for and against
LONGEST = 1_000  # characters of a text that are shown


def errors(report: Report) -> Section:
    """Return the worst errors one by one."""
    if not report["worst_errors"]:
        return Section("errors", _("The most confident errors"))
    numbers = report["task"] == REGRESSION
    title = _("The largest errors") if numbers else _("The most confident errors")
    said = _("Read them: an error beside nearly the same text with another label points at labels "
             "that disagree; one without anything like it, at data that is missing. Each error "
             "stands in errors.csv.")  # fmt: skip
    found: list[Block] = [Say(said)]
    if any("words" in one for one in report["worst_errors"]):
        found.append(Say(_("Words underlined with a line speak for the output that is named, words "
                           "underlined with dots against it; the darker, the more (integrated "
                           "gradients).")))  # fmt: skip
    shown = [error(one, at, report["task"]) for at, one in enumerate(report["worst_errors"], 1)]
    return Section("errors", title, [*found, Errors(shown)])


def error(one: Mapping[str, Any], at: int, task: str) -> Error:
    """Return one wrong answer as it is shown."""
    facts: list[tuple[Message, Text]] = [
        (_("Truth"), naming.answer(one["label"], task)),
        (_("Answer"), naming.answer(one["predicted"], task)),
    ]
    if "confidence" in one:
        facts.append((_("Confidence"), f"{one['confidence']:.3f}"))
    else:
        facts.append((_("Error"), f"{one['error']:.3f}"))
    facts.append((_("Record"), str(one["id"])))
    words = one.get("words", [])
    explained = _("What decided for {output}:", output=one["output"])
    if task == REGRESSION:
        explained = _("What made the number larger or smaller:")
    return Error(
        title=_("Error {number}", number=at),
        text=shortened(one["text"]),
        facts=facts,
        words=leveled(words),
        explained=explained if words else None,
        near=near(one["neighbours"], task),
    )


def near(found: Sequence[Mapping[str, Any]], task: str) -> Table | None:
    """Return the training records that resemble an error."""
    if not found:
        return None
    rows = [
        [Cell(shortened(one["text"])), Cell(naming.answer(one["label"], task)),
         blocks.number(one["similarity"], 2)]
        for one in found
    ]  # fmt: skip
    header = [_("Text"), _("Label"), _("Similarity")]
    return Table(_("The most similar training records"), header, rows)


def leveled(words: Sequence[Sequence[Any]]) -> list[Word]:
    """Return words with the third, from -3 to 3, in which their weight lies."""
    most = max((abs(weight) for _word, weight in words), default=0.0)
    made = []
    for at, (word, weight) in enumerate(words):
        level = round(LEVELS * weight / most) if most else 0
        following = words[at + 1][0] if at + 1 < len(words) else ""
        made.append(Word(word, level, not (is_wide(word[-1:]) and is_wide(following[:1]))))
    return made


def is_wide(letter: str) -> bool:
    """Return whether this is a letter that needs no space beside it, as Chinese ones."""
    return bool(letter) and unicodedata.east_asian_width(letter) in "WF"


def shortened(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
