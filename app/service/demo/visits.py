"""What happens when a visitor does something; knows nothing of Gradio.

Each step returns what changes on the page: for the name of a part its new properties.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.service.demo import batch, examples, showing, texts
from app.service.demo.service import DemoService, Description
from app.service.demo.showing import Reasons, Shown
from app.service.demo.uploads import KEPT, Uploads
from pipeline.errors import MofangError
from pipeline.i18n import Message
from pipeline.schema.serving import Serve
from pipeline.steps import targets

Changes = dict[str, dict[str, Any]]

LONGEST_REASON = 1_000  # characters, as POST /feedback has it
LEAST_ID = 8  # characters of a request's number that a visitor reads
ANSWER_FILE = "answers.csv"


@dataclass(frozen=True)
class Visits:
    """The steps."""

    service: DemoService
    knobs: Serve
    uploads: Uploads

    def words(self, language: str) -> Changes:
        """Return every text of the page that stays the same, in ``language``."""
        limits, demo = self.knobs.limits, self.knobs.demo
        said = showing.filled
        title = said(texts.TITLE, language, name=showing.plain(self.knobs.name))
        size = said(texts.FILE, language, size=str(demo.upload_kb), rows=str(demo.rows))
        deleted = said(texts.DELETED, language, minutes=f"{KEPT / 60:.0f}")
        changes: Changes = {
            "title": {"value": f"# {title}\n\n{texts.INTRODUCTION.render(language)}"},
            "text": {
                "label": texts.TEXT.render(language),
                "placeholder": said(texts.TEXT_HELP, language, characters=str(limits.characters)),
            },
            "reason": {
                "label": texts.REASON.render(language),
                "placeholder": said(texts.REASON_HELP, language, characters=str(LONGEST_REASON)),
            },
            "file": {"label": f"{size}. {deleted}"},
        }
        for name, message in LABELS.items():
            changes[name] = {"label": message.render(language)}
        for name, message in BUTTONS.items():
            changes[name] = {"value": message.render(language)}
        heads = [texts.EXAMPLE_TEXT, texts.EXAMPLE_LABEL]
        changes["examples"]["headers"] = [one.render(language) for one in heads]
        return changes

    def opened(self, language: str) -> Changes:
        """Return the page as somebody finds it who comes."""
        told, changes = self.description(), self.words(language)
        changes["language"] = changes.get("language", {}) | {"value": language}
        changes["about"] = {"value": self.about(told, language)}
        changes["examples"] |= {"samples": examples.rows(self.examples())}
        changes["right_answer"] |= right_answers(told, language)
        return changes

    def switched(self, language: str, kept: object, reasons: object) -> Changes:
        """Return the page, with the answer on it, in another language."""
        told, changes = self.description(), self.words(language)
        changes["about"] = {"value": self.about(told, language)}
        changes["right_answer"] |= right_answers(told, language)
        one = showing.read(Shown, kept)
        if one is not None:
            changes["answer"] = {"value": showing.answer(one, language)}
            given = showing.read(Reasons, reasons)
            if given is not None and given.id == one.id:
                changes["why"] = {"value": showing.why(one, given, language)}
        return changes

    def picked(self, place: object) -> Changes:
        """Return the text of an example."""
        known = self.examples()
        if not isinstance(place, int) or not 0 <= place < len(known):
            return {"text": {}}
        return {"text": {"value": known[place][0]}}

    async def asked(self, text: str, language: str, client: str) -> Changes:
        """Ask the model about a text."""
        most = self.knobs.limits.characters
        if not text or text.isspace():
            return unanswered(showing.warned(texts.NO_TEXT, language))
        if len(text) > most:
            counts = {"count": str(len(text)), "limit": str(most)}
            return unanswered(showing.warned(texts.TOO_LONG, language, **counts))
        try:
            reply = await self.service.ask([text], client)
            task = self.service.description()["task"]
        except MofangError as error:
            return unanswered(showing.problem(error, language))
        one = showing.shown(reply, text, task, examples.expected(self.examples(), text))
        bars = showing.bars(one)
        return {
            "kept": {"value": one.model_dump(mode="json")},
            "answer": {"value": showing.answer(one, language)},
            "bars": {"value": bars, "visible": bars is not None},
            "shades": {"value": None, "visible": False},
            "why": {"value": texts.LOOKING.render(language)},
            "opinion": {"visible": True},
            "right": {"interactive": True},
            "wrong": {"interactive": True},
            "correction": {"visible": False},
            "thanks": {"value": ""},
        }

    async def explained(self, kept: object, language: str, client: str) -> Changes:
        """Tell which words decided, after the answer stands there."""
        one = showing.read(Shown, kept)
        if one is None:
            return {"why": {"value": ""}}
        try:
            words = await self.service.explain(one.text, showing.explained(one), client)
        except (MofangError, KeyError) as error:  # KeyError: labels have changed meanwhile
            other = texts.OTHER_LABELS.render(language)
            reason = showing.problem(error, language) if isinstance(error, MofangError) else other
            return {"why": {"value": showing.filled(texts.NO_WHY, language, reason=reason)}}
        reasons = Reasons(id=one.id, words=list(words))
        return {
            "reasons": {"value": reasons.model_dump(mode="json")},
            "shades": {"value": showing.shades(one, reasons), "visible": True},
            "why": {"value": showing.why(one, reasons, language)},
        }

    async def praised(self, kept: object, language: str) -> Changes:
        """Keep that an answer is right."""
        one = showing.read(Shown, kept)
        if one is None:
            return {"thanks": {"value": showing.warned(texts.NO_ANSWER_YET, language)}}
        try:
            await self.service.feedback(one.id, "up", None, None)
        except MofangError as error:
            return {"thanks": {"value": showing.problem(error, language)}}
        return thanked(one, language)

    def doubted(self, kept: object, language: str) -> Changes:
        """Ask what would be right."""
        if showing.read(Shown, kept) is None:
            return {"thanks": {"value": showing.warned(texts.NO_ANSWER_YET, language)}}
        return {"correction": {"visible": True}, "thanks": {"value": ""}}

    async def corrected(
        self, kept: object, right_answer: object, reason: str, language: str
    ) -> Changes:
        """Keep that an answer is wrong, what would be right, and why."""
        one, reason = showing.read(Shown, kept), (reason or "").strip()
        if one is None:
            return {"thanks": {"value": showing.warned(texts.NO_ANSWER_YET, language)}}
        if len(reason) > LONGEST_REASON:
            most = {"characters": str(LONGEST_REASON)}
            return {"thanks": {"value": showing.warned(texts.REASON_TOO_LONG, language, **most)}}
        told = self.description()
        label = label_of(right_answer, one.task, told["labels"] if told else ())
        if isinstance(label, Message):
            return {"thanks": {"value": showing.warned(label, language)}}
        try:
            await self.service.feedback(one.id, "down", label, reason or None)
        except MofangError as error:
            return {"thanks": {"value": showing.problem(error, language)}}
        return thanked(one, language)

    async def labelled(
        self, content: bytes | None, column: str, language: str, client: str
    ) -> Changes:
        """Answer every row of a table."""
        if content is None:
            return {"summary": {"value": showing.warned(texts.NO_FILE, language)}}
        try:
            table = await asyncio.to_thread(batch.read, content, column or "", self.knobs.demo)
            task = self.service.description()["task"]
        except MofangError as error:
            return {"summary": {"value": showing.problem(error, language)}}
        rows = await batch.answered(
            table, lambda some: self.service.ask(some, client), task, self.knobs.limits, language
        )
        if self.uploads.full:
            return {"summary": {"value": showing.warned(texts.NO_ROOM, language)}}
        path = await asyncio.to_thread(self.uploads.write, ANSWER_FILE, batch.written(table, rows))
        count = sum(not one.problem for one in rows)
        values = {"answered": str(count), "rows": str(len(rows)), "encoding": table.encoding}
        summary = showing.filled(texts.DONE, language, **values)
        if count < len(rows):
            name = showing.plain(batch.added(table)[-1])
            summary += f" {showing.filled(texts.LEFT_OUT, language, column=name)}"
        return {
            "answers": {"value": str(path), "visible": True},
            "summary": {"value": summary},
        }

    def description(self) -> Description | None:
        """Return what is known of the model, None while there is none."""
        try:
            return self.service.description()
        except MofangError:
            return None

    def about(self, told: Description | None, language: str) -> str:
        """Return what is known of the model as Markdown."""
        return texts.NO_MODEL.render(language) if told is None else showing.about(told, language)

    def examples(self) -> list[tuple[str, str]]:
        """Return the examples that the page shows."""
        return examples.chosen(self.service.examples(), self.knobs.limits.characters)


# Parts whose label, or whose value, is a text that stays the same.
LABELS = {
    "language": texts.LANGUAGE,
    "one_text": texts.ONE_TEXT,
    "many_texts": texts.MANY_TEXTS,
    "examples": texts.EXAMPLES,
    "bars": texts.BARS,
    "shades": texts.WORDS,
    "right_answer": texts.RIGHT_ANSWER,
    "column": texts.COLUMN,
    "answers": texts.ANSWERS,
    "about_model": texts.ABOUT,
}
BUTTONS = {
    "ask": texts.ASK,
    "is_it_right": texts.IS_IT_RIGHT,
    "right": texts.RIGHT,
    "wrong": texts.WRONG,
    "send": texts.SEND,
    "label_file": texts.LABEL_FILE,
}


def unanswered(why: str) -> Changes:
    """Return the page with a reason in place of an answer."""
    return {
        "kept": {"value": None},
        "answer": {"value": why},
        "bars": {"value": None, "visible": False},
        "shades": {"value": None, "visible": False},
        "why": {"value": ""},
        "opinion": {"visible": False},
        "correction": {"visible": False},
        "thanks": {"value": ""},
    }


def thanked(one: Shown, language: str) -> Changes:
    """Return the page with the acknowledgement, and nothing left to say about this answer."""
    number = showing.plain(one.id[:LEAST_ID])
    return {
        "thanks": {"value": f"✅ {showing.filled(texts.THANKS, language, request=number)}"},
        "right": {"interactive": False},
        "wrong": {"interactive": False},
        "correction": {"visible": False},
        "right_answer": {"value": None},
        "reason": {"value": ""},
    }


def right_answers(told: Description | None, language: str) -> dict[str, Any]:
    """Return the properties of the part where a visitor says what would be right."""
    if told is None:
        return {}
    choices: list[tuple[str, str]] = [(label, label) for label in showing.choices(told)]
    several = told["task"] == targets.MULTI
    if several:
        choices.append((texts.NO_LABEL.render(language), ""))
    return {
        "choices": choices,
        "multiselect": several,
        "allow_custom_value": told["task"] == targets.REGRESSION,
        "value": None,
    }


def label_of(given: object, task: str, labels: Sequence[str]) -> str | Message | None:
    """Return the answer that a visitor calls right as records hold it, or what is wrong with it.

    None stands for no word about it.

    :param labels: of the task, in its order.
    """
    if not given:
        return None
    names = [str(name) for name in given] if isinstance(given, list) else [str(given)]
    if task == targets.REGRESSION:
        try:
            return targets.number_text(targets.number(names[0].strip()))
        except ValueError:
            return texts.NOT_A_NUMBER
    if task == targets.MULTI:
        names = [name for name in names if name]  # the empty one stands for no label
    if not set(names) <= set(labels):
        return texts.NOT_A_LABEL
    return targets.joined(names, labels) if task == targets.MULTI else names[0]
