"""Varied copies of training records, by word: synonyms, insertion, deletion, swap.

After Wei and Zou, EDA (EMNLP 2019), with two differences that keep labels right: words that negate,
the word after one, numbers, masks and addresses neither go nor move, and words are swapped with
their neighbour only. Where no synonym can be inserted a punctuation mark is (Karimi, Rossi, Prati,
AEDA, Findings of EMNLP 2021).

What becomes of a record depends on the seed and its id, never on the order of the records.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor

from pipeline.steps.splitting import bare_digest, digest, shuffled
from pipeline.steps.synonyms import Table
from pipeline.steps.wording import DIGIT, Token, free, tokens, words

TRIES = 5  # a short text may come out as it was, or as another that is there already
MARKS = ".;?:!,"
HAN_MARKS = "。；？：！，、"
NORMALIZED_HAN_MARKS = "。;?:!,、"  # as Unicode NFKC writes them
FULL_WIDTH = frozenset("；？：！，")

Vary = Callable[[list[Token], int, random.Random, Table], list[Token] | None]


@dataclass(frozen=True)
class Copy:
    """A varied copy of a record."""

    id: str
    of: int  # position of the original
    text: str
    method: str


@dataclass(frozen=True)
class Copies:
    """What was wanted, label → count, and what was made of it."""

    wanted: Mapping[str, int]
    made: Sequence[Copy]


@dataclass(frozen=True)
class Recipe:
    """How copies are made, and which texts they may not have."""

    methods: Sequence[str]
    words: float  # share of a text's words that a copy changes, at least one
    table: Table
    seed: int
    held: Set[bytes]  # ``splitting.bare_digest`` of all texts of validation and test
    taken: set[bytes] = field(default_factory=set)  # ``splitting.digest`` of training and copies

    def copy(self, id: str, text: str, number: int) -> tuple[str, str] | None:
        """Return a new text and the method that made it, or None if none makes one.

        Each copy starts with another method, by the seed; the next ones are tried when it fails.
        """
        pieces = tokens(text)
        changed = max(1, round(self.words * len(words(pieces))))
        first = self.random(id, number).randrange(len(self.methods))
        for method in (*self.methods[first:], *self.methods[:first]):
            for attempt in range(TRIES):
                random = self.random(id, number, method, attempt)
                varied = METHODS[method](list(pieces), changed, random, self.table)
                if varied is None:
                    break
                made = "".join(one.text for one in varied).strip()
                if self.is_new(made):
                    self.taken.add(digest(made))
                    return made, method
        return None

    def is_new(self, text: str) -> bool:
        """Return whether no other record has this text, or one like it among those held back."""
        return digest(text) not in self.taken and bare_digest(text) not in self.held

    def random(self, *names: object) -> random.Random:
        """Return random numbers that depend on the seed and the names only."""
        return random.Random(hashed(self.seed, *names))


def copies(
    ids: Sequence[str],
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    share: float,
    recipe: Recipe,
) -> Copies:
    """Return varied copies of training records, spread evenly over labels and records.

    No copy has the text of a record that is held back (punctuation left out), nor that of a
    training record or of another copy (case and spacing left out). A record of which no such copy
    can be made leaves its place to the next of its label; where there is none, fewer are made.

    :param share: copies as a share of the records.
    :param recipe: its ``taken`` texts grow.
    """
    by_label: dict[str, list[int]] = defaultdict(list)
    for at, label in enumerate(labels):
        by_label[label].append(at)
    wanted = apportion({label: len(by_label[label]) for label in sorted(by_label)}, share)
    recipe.taken.update(map(digest, texts))
    made: list[Copy] = []
    for label, missing in wanted.items():
        order = sorted(by_label[label], key=lambda at: shuffled(ids[at].encode(), recipe.seed))
        # Each round gives every record at most one copy; more rounds than copies a record make up
        # for texts that cannot be varied.
        for number in range(2 * ceil(share) + 1):
            before = missing
            for at in order:
                if not missing:
                    break
                found = recipe.copy(ids[at], texts[at], number)
                if found is not None:
                    name = f"{hashed(ids[at], found[1], number):032x}"[:20]
                    made.append(Copy(name, at, *found))
                    missing -= 1
            if missing in (0, before):
                break
    return Copies(wanted, made)


def apportion(sizes: Mapping[str, int], share: float) -> dict[str, int]:
    """Return ``share`` of each size in whole numbers that add up to the share of all.

    What is left after rounding down goes to the largest remainders, of equals to the first.
    """
    exact = {name: size * share for name, size in sizes.items()}
    given = {name: floor(one) for name, one in exact.items()}
    left = round(sum(exact.values())) - sum(given.values())
    for name in sorted(exact, key=lambda name: given[name] - exact[name])[:left]:
        given[name] += 1
    return given


def hashed(*names: object) -> int:
    """Return a number of 128 bits for some names, the same on every machine."""
    text = "\0".join(map(str, names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def synonym(
    pieces: list[Token], changed: int, random: random.Random, table: Table
) -> list[Token] | None:
    """Put synonyms in the place of words that have some; None if none has.

    Words that negate and numbers stay. Capitals stay; endings are those of the table.
    """
    able = replaceable(pieces, table)
    for at in random.sample(able, min(changed, len(able))):
        old = pieces[at].text
        pieces[at] = Token(cased(random.choice(table[old.casefold()]), old), "word")
    return pieces if able else None


def insert(
    pieces: list[Token], changed: int, random: random.Random, table: Table
) -> list[Token] | None:
    """Put synonyms of words at random places, or punctuation marks where no word has any.

    Never between a word that negates and the next. None for a text without words.
    """
    able = [pieces[at].text.casefold() for at in replaceable(pieces, table)]
    for _number in range(changed):
        after = [at for at in words(pieces) if not pieces[at].negates]
        if not after:
            return None
        at = random.choice(after)
        if not able:
            pieces.insert(at + 1, Token(random.choice(marks(pieces, at)), "mark"))
            continue
        word = Token(random.choice(table[random.choice(able)]), "word")
        bare = word.han and pieces[at].han
        pieces[at + 1 : at + 1] = [word] if bare else [Token(" ", "space"), word]
    return pieces


def delete(
    pieces: list[Token], changed: int, random: random.Random, table: Table
) -> list[Token] | None:
    """Take words out; None if too few are there to leave one."""
    able = free(pieces)
    most = min(changed, len(able), len(words(pieces)) - 1)
    if most < 1:
        return None
    for at in sorted(random.sample(able, most), reverse=True):
        del pieces[at]
        if at < len(pieces) and pieces[at].kind == "space":
            del pieces[at]
        elif at and pieces[at - 1].kind == "space":
            del pieces[at - 1]
    return pieces


def swap(
    pieces: list[Token], changed: int, random: random.Random, table: Table
) -> list[Token] | None:
    """Let words change places with the next word; None if no two neighbours may."""
    for _number in range(changed):
        able = neighbours(pieces)
        if not able:
            return None
        one, other = random.choice(able)
        pieces[one], pieces[other] = pieces[other], pieces[one]
    return pieces


METHODS: Mapping[str, Vary] = {
    "synonym": synonym, "insert": insert, "delete": delete, "swap": swap,
}  # fmt: skip


def replaceable(pieces: Sequence[Token], table: Table) -> list[int]:
    """Return the positions of the words that have synonyms and may be replaced."""
    return [
        at
        for at in words(pieces)
        if pieces[at].text.casefold() in table
        and not (pieces[at].negates or DIGIT.search(pieces[at].text))
    ]


def neighbours(pieces: Sequence[Token]) -> list[tuple[int, int]]:
    """Return the positions of words that follow each other, differ and may both move."""
    able = set(free(pieces))
    return [
        (one, other)
        for one, other in pairwise(words(pieces))
        if {one, other} <= able
        and all(between.kind == "space" for between in pieces[one + 1 : other])
        and pieces[one].text.casefold() != pieces[other].text.casefold()
    ]


def marks(pieces: Sequence[Token], at: int) -> str:
    """Return the punctuation marks that may follow a word.

    Chinese ones in full width only where the text has such: clean may have taken them out
    (clean.normalize), and then the model never meets them.
    """
    if not pieces[at].han:
        return MARKS
    return HAN_MARKS if any(one.text in FULL_WIDTH for one in pieces) else NORMALIZED_HAN_MARKS


def cased(word: str, model: str) -> str:
    """Return a word with the capitals of another."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
