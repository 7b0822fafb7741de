"""How a text is written: the same for training and for serving, so pure, fast and without state.

Millions of short texts pass here, and most need nothing: each step first asks whether it has
anything to do, which costs a tenth of doing it.
"""

from __future__ import annotations

import functools
import html as entities
import itertools
import re
import unicodedata
from collections.abc import Callable

from pipeline.steps import markup

URL_MASK = "[URL]"
EMAIL_MASK = "[EMAIL]"
# What peels one layer a round (<<<b>b>b>) would take a round a layer; after so many rounds the
# characters that markup is made of go. No honest text comes here.
ROUNDS = 20
WITHOUT_MARKUP = dict.fromkeys(map(ord, "<>&"))
SPACE = re.compile(r"\s+")
# Control and invisible formatting characters, but neither tab and line ends, which are white
# space, nor the two joiners, without which emoji and Persian or Hindi words fall apart. None of
# them is printable for Python, so that one fast question answers for most texts.
CONTROL = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# ftfy mends nothing without one of these (its badness patterns need one; a test holds that).
SUSPECT = re.compile(
    "[\x80-\xb6\xb8-\u052f\u2020\u2021\u2030\u2044\u20a0-\u20bf\u2100-\u214f\u2200-\u25ff\uf8ff"
    "\ufb00-\ufb06\ufffd]"
)
ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,32};")
# An ampersand that was escaped again and again would be decoded one layer a round.
AMPERSANDS = re.compile(r"&(?:amp;)+")
# The full-width characters of ordinary Chinese; replacing them one by one is ten times as fast as
# unicodedata, and NFKC gives the same afterwards.
FREQUENT = tuple((chr(ord(sign) + 0xFEE0), sign) for sign in ",!?:;()")
# With the katakana before, which a half-width voice mark belongs to.
HALF_OR_FULL_WIDTH = re.compile("[\u30a1-\u30f6]?[\uff01-\uff5e\uff61-\uff9f]+")
HAN = re.compile("[\u2e80-\u2fdf\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
SURROGATES = re.compile("([\ud800-\udfff]+)")
# An address is made of these and of (…); Chinese letters and punctuation end it, and so does
# punctuation that a sentence puts after it.
IN_URL = r"A-Za-z0-9._~:/?#@!$&'*+,;=%|\u00c0-\u052f-"
URL = re.compile(
    r"(?:[Hh][Tt][Tt][Pp][Ss]?://|(?<![A-Za-z0-9])(?:www|Www|WWW)\.)(?=[A-Za-z0-9\u00c0-\u052f])"
    rf"(?:[{IN_URL}]++|\([{IN_URL}]*+\))++"
)
AFTER_URL = ".,:;!?'*"
# Whole addresses only; bounded, so that the time stays linear in the text.
EMAIL = re.compile(
    r"(?<![A-Za-z0-9_])[A-Za-z0-9_][A-Za-z0-9_.%+'-]{0,63}+"
    r"@(?:[A-Za-z0-9-]{1,63}+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9_@])"
)


def normalize(
    text: str,
    *,
    repair: bool,
    html: bool,
    unicode: bool,
    width: bool,
    simplified: bool,
    urls: str,
    emails: str,
    control: bool,
    white_space: bool,
) -> str:
    """Return ``text`` as training and serving both see it.

    Applying it twice gives the same as applying it once: what one step uncovers for another, as
    an entity that spells a tag, is treated in a further round.

    :param urls: keep, remove or mask (``[URL]``); ``emails`` likewise (``[EMAIL]``).
    """
    for rounds in itertools.count(1):
        before = text
        if not text.isascii():
            if repair and SUSPECT.search(text):
                text = repaired(text)
            if unicode:
                text = unified(text)
            elif width:
                text = one_width(text)
            if simplified:
                text = in_simplified(text)
        if html and ("<" in text or "&" in text):
            text = without_html(text)
        odd = not text.isprintable()  # no control character and no space but " " is printable
        if control and odd:
            text = CONTROL.sub("", text)
        if urls != "keep" and ("://" in text or "ww." in text or "WW." in text):
            text = without_urls(text, URL_MASK if urls == "mask" else "")
        if emails != "keep" and "@" in text:
            text = EMAIL.sub(EMAIL_MASK if emails == "mask" else "", text)
        if white_space and (odd or "  " in text or text != text.strip()):
            text = " ".join(text.split())
        if text == before:
            break
        if rounds == ROUNDS:
            text = text.translate(WITHOUT_MARKUP)
    return text


def repaired(text: str) -> str:
    """Mend text that was decoded wrongly; nothing else of it is touched."""
    import ftfy

    return str(ftfy.fix_encoding(text))


def without_html(text: str) -> str:
    """Return the text that a browser would show, scripts, styles and comments left out.

    ``3 < 4``, ``x<y`` and ``<john@example.org>`` are no markup and stay.
    """
    if "<" in text:
        text = markup.without_tags(text)
    if "&" in text and ENTITY.search(text):
        text = ENTITY.sub(decoded, AMPERSANDS.sub("&amp;", text))
    return text


def decoded(entity: re.Match[str]) -> str:
    """Return what an entity stands for; one that nobody knows stays."""
    return entities.unescape(entity[0])


def unified(text: str) -> str:
    """Return the NFKC form: full-width to half-width, ligatures and composed accents resolved."""
    if unicodedata.is_normalized("NFKC", text):
        return text
    for wide, narrow in FREQUENT:
        text = text.replace(wide, narrow)
    return unicodedata.normalize("NFKC", text)


def one_width(text: str) -> str:
    """Write full-width ASCII half-width, half-width kana and their marks full-width."""
    return HALF_OR_FULL_WIDTH.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)


@functools.cache
def converter() -> Callable[[str], str]:
    """Return OpenCC's conversion from traditional to simplified characters."""
    import opencc

    convert: Callable[[str], str] = opencc.OpenCC("t2s").convert
    return convert


def in_simplified(text: str) -> str:
    """Write traditional Chinese characters simplified, phrase by phrase."""
    if not HAN.search(text):
        return text
    convert = converter()
    try:
        return convert(text)
    except UnicodeEncodeError:  # half a surrogate pair, which no encoding can carry
        parts = SURROGATES.split(text)
        return "".join(part if at % 2 else convert(part) for at, part in enumerate(parts))


def without_urls(text: str, mask: str) -> str:
    """Put ``mask`` for every http, https and www address."""

    def masked(found: re.Match[str]) -> str:
        address = found[0].rstrip(AFTER_URL)
        return mask + found[0][len(address) :]

    return URL.sub(masked, text)


def key(text: str) -> str:
    """Return what two texts share when they count as the same: case and spacing do not matter."""
    return SPACE.sub(" ", text).strip().casefold()
