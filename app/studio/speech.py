"""How the studio speaks: the reader's language, numbers, dates, plurals and errors.

What people gave (labels, texts, paths) is shown as it is: ``say`` guards it where Streamlit reads
Markdown, which is nearly everywhere; ``plain`` is for tables, charts, options and files.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from babel import Locale, dates, numbers, units
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pipeline.errors import MofangError, Problem, Text, words
from pipeline.i18n import LANGUAGES, Message, _, current_language

KEY = "language"  # in the session
LOCALES = {"en": "en_GB", "zh": "zh_CN"}
NAMES = {"en": "English", "zh": "\u4e2d\u6587"}
SHOWN = 10  # problems at once
DASH = "–"

# What Markdown, GFM and Streamlit give a meaning to, wherever it stands in a line; a colon before a
# name begins a directive, such as :red[text].
MEANS = re.compile(r"[\\`*\[\]<>$~|&]|(?<![^\W_])_|_(?![^\W_])|:(?=[^\W\d]|:)")
# What Streamlit replaces after Markdown was read, where no escape helps: :material/home:, :smile:,
# and an arrow or a dash that stands alone.
SHORT = re.compile(r":(?=material/|(?:100|1234|[A-Za-z_+-][\w+-]*):)")
SIGN = re.compile(r"(?<!\S)[<>~-](?=[=>-]{1,2}(?!\S))")
STARTS = re.compile(r"(?=[#+-])|(?<=\d)(?=[.)])")  # a title or a list, at the start of a line
JOINER = "\u2060"  # has no width

# Chinese sentences part their values from their words, for numbers and Latin names; a value that is
# Chinese itself wants no space beside it. ``EDGE`` marks where values begin and end.
EDGE = "\0"
HAN = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
GAPS = re.compile(f"(?<={HAN}) {EDGE}(?={HAN})|(?<={HAN}){EDGE} (?={HAN})|{EDGE}")


def language() -> str:
    """Return the reader's language, ``en`` or ``zh``: what the page chose, else the system's."""
    if get_script_run_ctx(suppress_warning=True) is not None:
        chosen = st.session_state.get(KEY)
        if chosen in LANGUAGES:
            return str(chosen)
    return current_language()


def locale() -> Locale:
    """Return how the reader writes numbers and dates."""
    return locale_of(language())


@functools.cache
def locale_of(language: str) -> Locale:
    """Return how a language writes numbers and dates."""
    return Locale.parse(LOCALES[language])


def say(text: Text) -> str:
    """Return a text for a place that reads Markdown.

    What a message says may be Markdown; its values, and a plain string, are data and stay what
    they are.
    """
    return told(guarded(text)) if isinstance(text, Message) else literal(text)


def guarded(message: Message) -> Message:
    """Return a message whose values mean nothing to Markdown."""
    values = {name: guarded_value(value) for name, value in message.values.items()}
    return replace(message, values=values)  # some kinds of message find their words elsewhere


def guarded_value(value: object) -> object:
    """Return a value that means nothing to Markdown; numbers keep their formats."""
    if isinstance(value, Message):
        return guarded(value)
    return value if isinstance(value, int | float) else literal(str(value))


def plain(text: Text) -> str:
    """Return a message for a place that reads no Markdown: a table, a chart, an option, a file."""
    return told(text) if isinstance(text, Message) else text


def told(message: Message) -> str:
    """Return a message in the reader's language."""
    spoken = language()
    if spoken != "zh" or not message.values:
        return words(message, spoken)
    values = {name: edged(value) for name, value in message.values.items()}
    return GAPS.sub("", words(replace(message, values=values), spoken))


def edged(value: object) -> object:
    """Return a value with marks where it begins and ends; numbers keep their formats."""
    value = told(value) if isinstance(value, Message) else value
    return f"{EDGE}{value}{EDGE}" if isinstance(value, str) else value


def literal(data: object) -> str:
    """Return data for a place that reads Markdown, so that it looks there as it is, on one line."""
    line = " ".join(str(data).split())
    for one in (SHORT, SIGN):
        line = one.sub(lambda found: f"{found[0]}{JOINER}", line)
    line = MEANS.sub(lambda found: f"\\{found[0]}", line)
    head, tail = line[:10], line[10:]
    if re.match(r"[#+-]|\d{1,9}[.)]", head):
        head = STARTS.sub(r"\\", head, count=1)
    return head + tail


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as the reader writes it, with at most so many digits after the point."""
    if value is None:
        return DASH
    if value and abs(value) < 10**-digits:
        return str(numbers.format_scientific(value, locale=locale(), format="0.##E0"))
    pattern = "#,##0" + (f".{'#' * digits}" if digits else "")
    return str(numbers.format_decimal(value, format=pattern, locale=locale()))


def figure(value: float | None) -> str:
    """Return a figure with three digits after the point, so that those side by side compare."""
    if value is None:
        return DASH
    return str(numbers.format_decimal(value, format="#,##0.000", locale=locale()))


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share, such as 0.5, as 50 %."""
    if share is None:
        return DASH
    pattern = "#,##0" + (f".{'0' * digits}" if digits else "") + "%"
    return str(numbers.format_percent(share, format=pattern, locale=locale()))


def money(amount: float | None, currency: str) -> str:
    """Return an amount of money, by the ISO code of its currency."""
    if amount is None:
        return DASH
    return str(numbers.format_currency(amount, currency, locale=locale()))


def size(count: float | None) -> str:
    """Return bytes as kB, MB or GB."""
    if count is None:
        return DASH
    for name, scale in (("gigabyte", 1e9), ("megabyte", 1e6), ("kilobyte", 1e3)):
        if count >= scale:
            return unit(count / scale, name)
    return unit(count, "byte")


def unit(value: float, name: str) -> str:
    """Return a value with its unit, in short, to three digits."""
    digits = 1 if value < 10 else 0
    shown = round(value, digits)
    return str(units.format_unit(shown, f"digital-{name}", "short", locale=locale()))


def duration(seconds: float | None) -> str:
    """Return a time that something takes, in its two largest units."""
    if seconds is None:
        return DASH
    if seconds < 10:
        return part(round(seconds, 1), "second")
    left, shown = round(seconds), list[str]()
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, length)
        if count or shown:
            shown.append(part(count, name) if count else "")
        if len(shown) == 2:
            break
    return " ".join(filter(None, shown))


def part(count: float, name: str) -> str:
    """Return one unit of a duration."""
    return str(units.format_unit(count, f"duration-{name}", "short", locale=locale()))


def date(moment: str | float | datetime | None) -> str:
    """Return day and time of an ISO text, of seconds since 1970 or of a datetime."""
    found = parsed(moment)
    if found is None:
        return DASH
    text = dates.format_datetime(found, "medium", tzinfo=zone(), locale=locale())
    return str(text)


def day(moment: str | float | datetime | None) -> str:
    """Return the day of a moment."""
    found = parsed(moment)
    if found is None:
        return DASH
    return str(dates.format_date(found.astimezone(zone()), "medium", locale=locale()))


def ago(moment: str | float | datetime | None) -> str:
    """Return how long ago a moment is: 3 minutes ago."""
    found = parsed(moment)
    if found is None:
        return DASH
    passed = found - datetime.now(UTC)
    if abs(passed) < timedelta(seconds=1):
        passed = timedelta(seconds=-1)
    return str(dates.format_timedelta(passed, add_direction=True, threshold=1.5, locale=locale()))


def parsed(moment: str | float | datetime | None) -> datetime | None:
    """Return a moment with its time zone, UTC where it has none; None where it is no moment."""
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        elif isinstance(moment, int | float):
            moment = datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if moment is None:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def zone() -> tzinfo:
    """Return the reader's time zone: the browser's, else the machine's."""
    if get_script_run_ctx(suppress_warning=True) is not None and st.context.timezone:
        try:
            return ZoneInfo(st.context.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            pass
    return datetime.now().astimezone().tzinfo or UTC


def plural(count: int, one: Message, other: Message) -> Message:
    """Return the form that fits ``count``, which stands as ``{count}`` in both.

    ``plural(n, _("{count} record"), _("{count} records"))``
    """
    form = one if locale().plural_form(count) == "one" else other
    return Message(form.text, {**form.values, "count": number(count)})


def show_error(error: MofangError) -> None:
    """Show what has to be mended, a box a problem: what was found, what is allowed, what to do."""
    for problem in error.problems[:SHOWN]:
        st.error(explained(problem), icon=":material/error:")
    left = len(error.problems) - SHOWN
    if left > 0:
        st.caption(say(plural(left, _("and {count} more"), _("and {count} more"))))


def explained(problem: Problem) -> str:
    """Return a problem as Markdown."""
    text = _(
        "**{where}**: found {found}, allowed {allowed}.",
        where=problem.where,
        found=problem.found,
        allowed=problem.allowed,
    )
    return f"{say(text)}\n\n{say(problem.fix)}"
