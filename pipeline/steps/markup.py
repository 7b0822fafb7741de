"""HTML in texts: what is markup, what only looks like it, and where lines end in it.

A parser follows the standard and drops all that follows an unclosed ``x<y`` or ``<script>``,
which in a text of a person is part of what was said. Here a tag is what is written as one, and
nothing else ever goes.
"""

from __future__ import annotations

import re

BLOCKS = (
    "address|article|aside|blockquote|body|br|caption|center|dd|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|h[1-6]|head|header|hr|html|legend|li|main|nav|ol|optgroup|option|p|pre"
    "|section|select|summary|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul"
)
BLOCK = re.compile(BLOCKS, re.IGNORECASE)
# A name, then nothing, or attributes; quotes may hold < and >. Where quotes are not closed, the
# next > ends the tag. Every quantifier is possessive or bounded: no text takes quadratic time.
TAG = re.compile(
    r"</?(?P<name>[A-Za-z][A-Za-z0-9:_-]*+)"
    r"(?:\s*+/?>|(?P<attributes>[\s/](?:(?:[^<>\"']++|\"[^\"]{0,2000}+\"|'[^']{0,2000}+')*+>"
    r"|[^<>]*+>)))"
    r"|<[!?][A-Za-z\[][^<>]*+>"
)
# Attributes that stand without a value; other words after a name make no tag: if a<b and c>d.
BARE = frozenset(
    (
        "allowfullscreen", "async", "autofocus", "autoplay", "border", "checked", "compact",
        "controls", "default", "defer", "disabled", "download", "hidden", "ismap", "itemscope",
        "loop", "multiple", "muted", "nohref", "noshade", "novalidate", "nowrap", "open",
        "playsinline", "readonly", "required", "reversed", "selected",
    )
)  # fmt: skip
HIDDEN = re.compile(r"<!--|<((?i:script|style|template))(?![A-Za-z0-9:_-])[^<>]*+>")
CLOSINGS = {
    name: re.compile(rf"</{name}\s*+>", re.IGNORECASE) for name in ("script", "style", "template")
} | {"": re.compile("--!?>")}
LINE_END = re.compile(
    rf"(\r\n|[\n\r\v\f\x85\u2028\u2029]|</?(?i:{BLOCKS})(?![A-Za-z0-9:_-])[^<>]*+>)"
)


def without_tags(text: str) -> str:
    """Return ``text`` without tags, comments, scripts and styles; a space stands for a line end."""
    if ">" not in text:
        return text
    return TAG.sub(shown, without_hidden(text))


def shown(tag: re.Match[str]) -> str:
    """Return what a tag leaves behind; what proves to be none stays."""
    attributes = tag["attributes"]
    if attributes and "=" not in attributes:
        words = attributes[:-1].rstrip("/").lower().split()
        if not BARE.issuperset(words):
            return tag[0]
    # Within words (<b>w</b>ord) a tag leaves nothing; where a browser starts a line, a space.
    return " " if tag["name"] and BLOCK.fullmatch(tag["name"]) else ""


def without_hidden(text: str) -> str:
    """Take out what a browser does not show; an opening without its end hides nothing."""
    parts: list[str] = []
    position = start = 0
    endless: set[str] = set()  # no need to look for their ends again, which would be quadratic
    while opening := HIDDEN.search(text, start):
        start = opening.end()
        name = (opening[1] or "").lower()
        closing = None if name in endless else CLOSINGS[name].search(text, start)
        if closing is None:
            endless.add(name)
            continue
        parts.append(text[position : opening.start()])
        position = start = closing.end()
    return "".join([*parts, text[position:]]) if parts else text


def lines(text: str) -> list[str]:
    """Return lines and, at odd positions, what ends them: a line break, or the tag of a block."""
    if "<" not in text and len(text.splitlines()) < 2:
        return [text]
    return LINE_END.split(text)
