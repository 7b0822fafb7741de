"""A text as words: what stands between spaces, and in Chinese what a segmenter finds.

Other scripts without spaces (Japanese, Thai) are not cut: a run of their letters counts as one
word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HAN_RUN = re.compile(f"[{HAN}]+")
TOKEN = re.compile(
    rf"(?P<fixed>\[[A-Z_]+\]|(?:https?://|www\.)[^\s{HAN}]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    rf"|(?P<han>[{HAN}]+)"
    rf"|(?P<word>(?:(?![{HAN}])\w)+(?:['’.-](?:(?![{HAN}])\w)+)*)"
    r"|(?P<space>\s+)"
    r"|(?P<mark>[^\w\s])"
)
DIGIT = re.compile(r"\d")
# Without these, or with them elsewhere, a text may say the opposite.
NEGATING = (
    "no not never none nobody nothing nowhere neither nor without cannot hardly scarcely barely "
    "dont doesnt didnt isnt arent wasnt werent wont wouldnt cant couldnt shouldnt hasnt havent "
    "hadnt aint mustnt"
)
NEGATIONS = frozenset(NEGATING.split())
NOT_SHORTENED = re.compile(r"n['’]t$")
# Words such as 不错, 没有 and 非常 hold them; keeping a word too many does no harm.
HAN_NEGATION = re.compile("[不没沒无無未非别別勿莫否甭毋]")


@dataclass(frozen=True)
class Token:
    """A piece of a text: ``word``, ``fixed`` (a mask, an address), ``space`` or ``mark``."""

    text: str
    kind: str

    @property
    def han(self) -> bool:
        """Return whether it is a word of Han characters, which takes no spaces around it."""
        return HAN_RUN.fullmatch(self.text) is not None

    @property
    def negates(self) -> bool:
        """Return whether it turns the meaning of what follows."""
        plain = self.text.casefold()
        return self.kind == "word" and (
            plain in NEGATIONS
            or NOT_SHORTENED.search(plain) is not None
            or HAN_NEGATION.search(plain) is not None
        )


def tokens(text: str) -> list[Token]:
    """Return the pieces of a text; joined again they give the text.

    Runs of Han characters are cut into words by jieba's dictionary and its hidden Markov model
    (rjieba).
    """
    found: list[Token] = []
    for match in TOKEN.finditer(text):
        kind = match.lastgroup or "mark"
        if kind == "han":
            import rjieba

            found += [Token(one, "word") for one in rjieba.cut(match.group())]
        else:
            found.append(Token(match.group(), kind))
    return found


def words(pieces: Sequence[Token]) -> list[int]:
    """Return the positions of the words."""
    return [at for at, one in enumerate(pieces) if one.kind == "word"]


def free(pieces: Sequence[Token]) -> list[int]:
    """Return the positions of the words that may go or move without turning the meaning.

    Not those that negate, nor the word that follows one, nor numbers; masks and addresses are no
    words.
    """
    found: list[int] = []
    negated = False
    for at in words(pieces):
        one = pieces[at]
        if not (one.negates or negated or DIGIT.search(one.text)):
            found.append(at)
        negated = one.negates
    return found
