"""Days, amounts and shares of a plan as the reader writes them."""

from __future__ import annotations

from datetime import date, timedelta

from babel import dates

from app.studio import speech
from pipeline.errors import Text
from pipeline.i18n import Message


def worded(text: Text) -> Text:
    """Return a message whose days and numbers are written as the reader writes them."""
    if not isinstance(text, Message):
        return text
    return Message(text.text, {name: value_of(value) for name, value in text.values.items()})


def value_of(value: object) -> object:
    """Return one value of a message."""
    if isinstance(value, Message):
        return worded(value)
    if isinstance(value, date):
        return day(value)
    if isinstance(value, timedelta):
        return speech.duration(value.total_seconds())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return amount(value)
    return value


def plain(text: Text) -> str:
    """Return a text for a place that reads no Markdown."""
    return speech.plain(worded(text))


def say(text: Text) -> str:
    """Return a text for a place that reads Markdown."""
    return speech.say(worded(text))


def day(value: date | None) -> str:
    """Return a day, such as 31 Dec 2026; days of a plan have no time zone."""
    if value is None:
        return speech.DASH
    return str(dates.format_date(value, "medium", locale=speech.locale()))


def amount(value: float | None) -> str:
    """Return a number to about three digits."""
    if value is None:
        return speech.DASH
    return speech.number(value, 0 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4)
