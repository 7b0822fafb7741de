"""English in the source, 中文 in a gettext catalogue: one lazy message for all that people read.

A ``Message`` keeps its English text and its values apart and is put into words only when somebody
reads it, so that one exception serves a Chinese page and an English log.
"""

from __future__ import annotations

import functools
import gettext
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGES = ("en", "zh")
LOCALE = Path(__file__).parent / "locale"


@dataclass(frozen=True)
class Message:
    """A text with ``{named}`` places and the values that go there."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)

    def render(self, language: str) -> str:
        """Return the message in ``language`` (``en`` or ``zh``)."""
        values = {
            name: value.render(language) if isinstance(value, Message) else value
            for name, value in self.values.items()
        }
        return translate(self.text, language).format(**values)

    def __str__(self) -> str:
        return self.render(current_language())


def _(text: str, /, **values: object) -> Message:
    """Mark an English text for translation."""
    return Message(text, values)


def current_language() -> str:
    """Return the reader's language: ``MOFANG_LANGUAGE``, else the locale's, else English."""
    for name in ("MOFANG_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def translate(text: str, language: str) -> str:
    """Return ``text`` in ``language``; an empty text stays empty, an unknown one stays English."""
    return catalogue(language).gettext(text) if text else text


@functools.cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Return the catalogue of ``language``, compiled in memory so that no binary lies in Git.

    :raises ValueError: for a language that Mofang does not speak.
    """
    if language not in LANGUAGES:
        raise ValueError(f"found language {language!r}, allowed {', '.join(LANGUAGES)}")
    if language == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    with (LOCALE / language / "LC_MESSAGES" / "mofang.po").open("rb") as source:
        messages = read_po(source, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
