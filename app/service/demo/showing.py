"""What the page shows of an answer and of the model, in the reader's language.

Texts and labels come from anywhere: in Markdown every sign of theirs is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.service.demo import texts
from app.service.demo.service import Description, Reply
from pipeline.errors import MofangError
from pipeline.i18n import Message
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE, parts_of
from pipeline.steps.targets import number as number_of

MOST_LABELS = 10  # whose probability is shown, besides those that are answered
MOST_WORDS = 3  # that are told in a sentence each
NOTICEABLE = 0.01  # a smaller change of a probability, or of a number as a share of it, is noise
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # what CommonMark (2.4) lets a backslash escape

Name = Annotated[str, Field(max_length=1_000)]
Pair = tuple[Name, float]


class Kept(BaseModel):
    """What the page itself keeps; it comes back from the browser, and is checked again."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str = Field(max_length=100)  # of the request


class Shown(Kept):
    """The answer that stands on the page."""

    version: str = Field(max_length=100)
    task: str = Field(max_length=20)
    text: str
    scores: list[Pair] = Field(min_length=1)  # best first; of many labels only some
    answer: str  # as records hold it
    expected: str | None  # by the test data

    @model_validator(mode="after")
    def numbers_are_numbers(self) -> Shown:
        """Only a number is the answer, and the truth, where numbers are asked for."""
        if self.task == REGRESSION:
            for one in (self.answer, self.expected):
                number_of(one or "0")
        return self


class Reasons(Kept):
    """Why the answer is what it is."""

    words: list[tuple[str, float]] = Field(min_length=1)  # pieces of the text, what each gave


K = TypeVar("K", bound=Kept)


def read(kind: type[K], content: object) -> K | None:
    """Return what a page has kept, None where it is nothing of the kind."""
    try:
        return kind.model_validate(content)
    except ValidationError:
        return None


def shown(reply: Reply, text: str, task: str, expected: str | None) -> Shown:
    """Return what a page keeps of the answer to one text."""
    scores, answer = reply.predictions[0], reply.answers[0]
    given = parts_of(answer, task)
    return Shown(
        id=reply.id,
        version=reply.version,
        task=task,
        text=text,
        scores=[pair for at, pair in enumerate(scores) if at < MOST_LABELS or pair[0] in given],
        answer=answer,
        expected=expected,
    )


def explained(one: Shown) -> str:
    """Return the label whose score is explained: the answered one, else the most probable."""
    names = parts_of(one.answer, one.task)
    known = [name for name, _score in one.scores]
    return next((name for name in names if name in known), known[0])


def answer(one: Shown, language: str) -> str:
    """Return the answer as Markdown, with what the test data says and who answered."""
    name = named(one.answer, one.task, language)
    if one.task == SINGLE:
        share = percent(dict(one.scores).get(one.answer, 0.0))
        heading = filled(texts.ANSWER_SURE, language, answer=name, share=share)
    else:
        heading = filled(texts.ANSWER, language, answer=name)
    lines = [f"## {heading}"]
    if one.expected is not None:
        right = named(one.expected, one.task, language)
        lines.append(filled(texts.EXPECTED, language, label=right))
    lines.append(filled(texts.ANSWERED_BY, language, version=plain(one.version)))
    return "\n\n".join(lines)


def bars(one: Shown) -> dict[str, float] | None:
    """Return the most probable labels with their probabilities; numbers have none."""
    return None if one.task == REGRESSION else dict(one.scores)


def shades(one: Shown, reasons: Reasons) -> list[tuple[str, float]]:
    """Return the pieces of the text with their weights, the strongest of them 1 or -1.

    Where nothing noticeable happened there is no weight, so that noise has no colour.
    """
    strongest = max(abs(weight) for _word, weight in reasons.words)
    if strongest < noticeable(one):
        return [(word, 0.0) for word, _weight in reasons.words]
    return [(word, round(weight / strongest, 3)) for word, weight in reasons.words]


def why(one: Shown, reasons: Reasons, language: str) -> str:
    """Return in words which pieces of the text mattered most, as Markdown."""
    label = explained(one)
    before = dict(one.scores)[label]
    numbers = one.task == REGRESSION
    pattern, told = (texts.WITHOUT_NUMBER, number) if numbers else (texts.WITHOUT, percent)
    strongest = sorted(reasons.words, key=lambda pair: abs(pair[1]), reverse=True)[:MOST_WORDS]
    lines = []
    for word, weight in strongest:
        if abs(weight) >= noticeable(one) and len(reasons.words) > 1:
            values = {"word": plain(word), "label": plain(label)}
            values |= {"before": told(before), "after": told(before - weight)}
            lines.append(f"- {filled(pattern, language, **values)}")
    if not lines:
        return texts.NO_WORD.render(language)
    return "\n".join([*lines, "", texts.SHADES.render(language)])


def noticeable(one: Shown) -> float:
    """Return from which change of the score on a word counts."""
    if one.task == REGRESSION:
        return max(NOTICEABLE * abs(one.scores[0][1]), math.ulp(1.0))
    return NOTICEABLE


def about(told: Description, language: str) -> str:
    """Return what is known of the model as Markdown."""
    version = filled(
        texts.VERSION, language, version=plain(told["version"]), date=plain(told["date"][:10])
    )
    task = texts.TASKS.get(told["task"])
    lines = [f"**{version}**"]
    lines += [filled(texts.TASK, language, task=task.render(language))] if task else []
    if told["labels"]:
        labels = ", ".join(plain(one) for one in told["labels"])
        lines.append(filled(texts.LABELS, language, labels=labels))
    if told["figures"]:
        head = f"| {texts.FIGURE.render(language)} | {texts.VALUE.render(language)} |\n|---|---|"
        rows = [f"| {plain(name)} | {number(one)} |" for name, one in told["figures"].items()]
        lines += [texts.FIGURES.render(language), "\n".join([head, *rows])]
    limits = told["limits"].get(language, ())
    if limits:
        lines += [texts.LIMITS.render(language), "\n".join(f"- {plain(one)}" for one in limits)]
    return "\n\n".join([*lines, texts.PRIVACY.render(language)])


def problem(error: MofangError, language: str) -> str:
    """Return what is wrong, and what to do, as Markdown; busy is told in a word."""
    seconds = getattr(error, "retry_after", None)
    if seconds is not None:
        return warned(texts.BUSY, language, seconds=str(max(1, math.ceil(seconds))))
    return "\n\n".join(f"⚠️ {plain(one.render(language))}" for one in error.problems)


def warned(message: Message, language: str, **values: str) -> str:
    """Return what is wrong as Markdown."""
    return f"⚠️ {filled(message, language, **values)}"


def filled(message: Message, language: str, **values: str) -> str:
    """Return a message with values that are already written for the page."""
    return Message(message.text, values).render(language)


def named(text: str, task: str, language: str) -> str:
    """Return an answer as records hold it as Markdown, several labels with a comma."""
    if task == REGRESSION:
        return number(float(text))
    names = [one for one in parts_of(text, task) if one]
    return ", ".join(plain(one) for one in names) or texts.NO_LABEL.render(language)


def plain(text: Any) -> str:
    """Return a text for Markdown: on one line, and no sign of it means anything."""
    line = " ".join(str(text).encode("utf-8", "replace").decode().split())
    return PUNCTUATION.sub(r"\\\1", line)


def percent(share: float) -> str:
    """Return a probability in percent, as ``97.3 %``; never 100 % where it is not certain."""
    share = min(1.0, max(0.0, share))
    if 0.999 < share < 1.0:
        return r"\> 99\.9 %"
    if 0.0 < share < 0.001:
        return r"\< 0\.1 %"
    return plain(f"{100 * share:.1f} %")


def number(value: float) -> str:
    """Return a number with four digits that count."""
    return plain(f"{value:.4g}")


def choices(told: Description) -> Sequence[str]:
    """Return the labels that a visitor can name as right; none for numbers."""
    return list(told["labels"]) if told["task"] in (SINGLE, MULTI) else []
