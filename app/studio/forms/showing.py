"""How values, bounds and changes are put into words. Texts for pages; nothing is drawn here."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.studio.forms.describing import FieldView
from app.studio.forms.mattering import MISSING
from app.studio.forms.saving import Change
from app.studio.speech import language, literal, number, plain, say
from pipeline import editing
from pipeline.i18n import Message, _

SHORT = 60  # characters of a value


def value_text(value: Any) -> str:
    """Return a value as it stands in the file, in short."""
    if value is MISSING:
        return plain(_("nothing"))
    if value is None:
        return plain(_("none"))
    if value == "":
        return plain(_("empty"))
    if isinstance(value, bool):
        return plain(_("on") if value else _("off"))
    if isinstance(value, str):
        return cut(value)
    return cut(editing.written(value))


def cut(text: str) -> str:
    """Return a text on one line, not longer than a line of a form."""
    line = " ".join(text.split())
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


def label(view: FieldView) -> str:
    """Return what stands over a field: its title and its unit."""
    title = told(view.title.text, language())
    return title if view.unit is None else f"{title} ({told(view.unit.text, language())})"


def help_text(view: FieldView) -> str:
    """Return what a field is about and where it stands in the file."""
    return f"{told(view.help.text, language())}\n\n`{view.path}`"


@functools.lru_cache(maxsize=4096)
def told(text: str, language: str) -> str:
    """Return a text of the schema for a place that reads Markdown."""
    return literal(Message(text).render(language))


def caption(view: FieldView) -> str:
    """Return bounds and default of a field in one line."""
    return " · ".join(filter(None, (bounds(view), default(view))))


def bounds(view: FieldView) -> str:
    """Return what is allowed."""
    if view.kind in ("whole", "number"):
        return span(view.low, view.high, view.above, view.below, language())
    if view.kind in ("texts", "pairs", "entries", "table", "sources") and view.most is not None:
        return plain(_("up to {count} entries", count=number(view.most)))
    return ""


@functools.lru_cache(maxsize=1024)
def span(low: float | None, high: float | None, above: bool, below: bool, language: str) -> str:
    """Return the bounds of a number; the language is that of the reader."""
    return plain(between(above, below, amount(low), amount(high)))


def between(above: bool, below: bool, low: str, high: str) -> Message:
    """Return bounds, and which of them are not themselves allowed."""
    if above and below:
        return _("more than {low}, less than {high}", low=low, high=high)
    if above:
        return _("more than {low}, up to {high}", low=low, high=high)
    if below:
        return _("{low} up to less than {high}", low=low, high=high)
    return _("{low} to {high}", low=low, high=high)


def amount(value: float | None) -> str:
    """Return a bound: small ones with an exponent, as they are typed."""
    if value is None:
        return "…"
    if 0 < abs(value) < 1e-3:
        return editing.number(float(value))
    return (
        number(value) if abs(value) < 1e9 else f"{value:.3g}".replace("e+0", "e").replace("+", "")
    )


def default(view: FieldView) -> str:
    """Return the value that the bundled project has."""
    if view.default is MISSING:
        return ""
    return plain(_("default {value}", value=value_text(view.default)))


def choice_told(view: FieldView, choice: Any) -> str:
    """Return what the help says of one choice; it explains them as ``name: …; name: …``."""
    return about(view.help.text, language(), str(choice))


@functools.lru_cache(maxsize=4096)
def about(help_text: str, language: str, choice: str) -> str:
    """Return what a help text says of a choice."""
    text = Message(help_text).render(language)
    for part in re.split(r"[;；]|(?<=[.。])\s*", text):
        names, sign, told = re.match(r"([^:：]*)([:：]?)(.*)", part.strip(), re.S).groups()  # type: ignore[union-attr]
        if sign and choice in re.findall(r"[\w-]+", names) and told.strip():
            return told.strip().rstrip(".。")
    return ""


def change_line(change: Change) -> str:
    """Return one change as Markdown: the path, the old value and the new one."""
    old, new = (literal(value_text(one)) for one in (change.old, change.new))
    return f"- `{literal_code(change.path)}`: {old} → **{new}**"


def literal_code(path: str) -> str:
    """Return a path as it may stand between backticks."""
    return path.replace("`", "'")


def changes_text(changes: Sequence[Change]) -> str:
    """Return changes as a Markdown list."""
    return "\n".join(change_line(change) for change in changes)


def counted(changes: Mapping[str, Any]) -> str:
    """Return how many values wait to be saved."""
    count = len(changes)
    if count == 1:
        return say(_("One change is not saved yet."))
    return say(_("{count} changes are not saved yet.", count=count))
