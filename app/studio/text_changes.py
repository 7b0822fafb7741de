"""What a step changed in a text, word by word, for a place that reads Markdown."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from app.studio.speech import literal

LONGEST = 2_000  # characters that are compared; finding changes takes the square of it
PIECES = re.compile(r"\w+|\s+|.", re.DOTALL)


def marked(before: str, after: str) -> str:
    """Return both texts as one: what went is crossed out on red, what came is bold on green."""
    old, new = PIECES.findall(before[:LONGEST]), PIECES.findall(after[:LONGEST])
    parts: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(shown("".join(old[a:b])))
            continue
        if b > a:
            parts.append(f":red-background[~~{visible(''.join(old[a:b]))}~~]")
        if d > c:
            parts.append(f":green-background[**{visible(''.join(new[c:d]))}**]")
    return "".join(parts)


def shown(text: str) -> str:
    """Return text that did not change; spaces at its ends stay."""
    head = " " if text[:1].isspace() else ""
    tail = " " if text.strip() and text[-1:].isspace() else ""
    return f"{head}{literal(text)}{tail}"


def visible(text: str) -> str:
    """Return text that changed; white space and control characters are drawn as signs."""
    signs = {" ": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥", "\u3000": "␣", "\u00a0": "␣"}
    return literal("".join(signs.get(one, one if one.isprintable() else "�") for one in text))
