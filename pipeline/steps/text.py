"""How a text is written: the same for training and for serving, so pure, fast and without state."""

from __future__ import annotations

import re
import unicodedata

TAG_OR_ENTITY = re.compile(r"<[A-Za-z/!][^<>]*>|&[#A-Za-z0-9]+;")
# Where a browser starts a new line or cell; other tags stand within words (<b>w</b>ord).
BLOCK = re.compile(
    r"</?(?:address|article|aside|blockquote|br|dd|div|dl|dt|footer|h[1-6]|header|hr|li|main|nav|ol"
    r"|option|p|pre|section|table|td|th|tr|ul)\b",
    re.IGNORECASE,
)
# An ampersand that was escaped again and again would be decoded one layer a round.
AMPERSANDS = re.compile(r"&(?:amp;)+")
SPACE = re.compile(r"\s+")
# Control and invisible formatting characters, but neither tab and line ends, which are white
# space, nor the two joiners, without which emoji and Persian or Hindi words fall apart.
CONTROL = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def normalize(
    text: str, *, repair: bool, html: bool, unicode: bool, control: bool, white_space: bool
) -> str:
    """Return ``text`` as training and serving both see it.

    Applying it twice gives the same as applying it once.
    """
    previous = None
    while previous != text:
        previous = text
        if repair:
            text = repaired(text)
        if html:
            text = without_html(text)
        if unicode:
            text = unicodedata.normalize("NFKC", text)
        if control:
            text = CONTROL.sub("", text)
        if white_space:
            text = SPACE.sub(" ", text).strip()
    return text


def repaired(text: str) -> str:
    """Mend text that was decoded wrongly; nothing else of it is touched."""
    if text.isascii():
        return text
    import ftfy

    return str(ftfy.fix_encoding(text))


def without_html(text: str) -> str:
    """Return the text that a browser would show, scripts and styles left out.

    A text without a whole tag or an entity is not parsed: ``3 < 4`` and ``x<y`` stay.
    """
    if not TAG_OR_ENTITY.search(text):
        return text
    from selectolax.lexbor import LexborHTMLParser

    text = AMPERSANDS.sub("&amp;", text)
    tree = LexborHTMLParser(BLOCK.sub(r" \g<0>", text))
    tree.strip_tags(["script", "style", "template"], recursive=True)
    body = tree.body
    return body.text(separator="") if body is not None else ""


def key(text: str) -> str:
    """Return what two texts share when they count as the same: case and spacing do not matter."""
    return SPACE.sub(" ", text).strip().casefold()
