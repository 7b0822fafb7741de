"""Whether a model answers the same when a text is written a little differently.

Four disturbances that leave the meaning to a reader: slips of the fingers, capitals, punctuation,
and other words of the same meaning. Words that negate, numbers, masks and addresses stay as they
are, because a reader would understand another thing. What becomes of a text depends on the seed
and its record's id, never on the order of the records.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.i18n import _
from pipeline.steps.augmenting import hashed, marks, synonym
from pipeline.steps.synonyms import Table
from pipeline.steps.targets import REGRESSION
from pipeline.steps.wording import DIGIT, Token, tokens, words

if TYPE_CHECKING:
    from pipeline.tasks.base import Task

    Records = Sequence[Mapping[str, Any]]

SYNONYMS = "synonyms"
NO_TABLE, NOTHING = "no_table", "nothing"
REASONS = {
    NO_TABLE: _("no table of synonyms is named in split.augment.synonyms"),
    NOTHING: _("none of the texts can be changed in this way"),
}
EXAMPLES = 5  # texts whose answer changed
NEAR = 0.1  # numbers are the same when they differ by at most so many deviations of the answers
CONFIDENCE = 0.95
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # ANSI keyboard, each row half a key further right
MARKS = ".,;:!?。，；：！？、…"
TO_FULL_WIDTH = dict(zip(".,;:!?", "。，；：！？", strict=True))  # as a Chinese input method
WIDTH = TO_FULL_WIDTH | {wide: narrow for narrow, wide in TO_FULL_WIDTH.items()}

Disturb = Callable[[list[Token], int, random.Random, Table], str | None]


def table(
    predict: Callable[[list[str]], list[str]],
    task: Task,
    records: Records,
    knobs: Any,
    *,
    synonyms: Table | None,
    seed: int,
    confidence: float = CONFIDENCE,
) -> dict[str, dict[str, Any]]:
    """Return, for each kind of disturbance, the share of texts that keep their answer.

    ``records`` counts the texts that the kind changes at all; ``low`` and ``high`` are Wilson's
    interval of ``same_answer`` (Wilson 1927); ``figures`` hold the task's main figure on these
    records before and after. Two numbers are the same answer when they differ by at most ``NEAR``
    standard deviations of the answers before. A kind that cannot be tried is ``{"skipped":
    reason}``, a name of ``REASONS``.

    :param predict: texts → answers, as labels are written.
    :param records: with ``id``, ``text`` and ``label``.
    :param knobs: section ``test.robustness``.
    :param synonyms: None or empty where the project has none.
    """
    some = drawn(records, knobs.records, seed)
    texts = [str(record["text"]) for record in some]
    before = predict(texts) if texts else []
    found: dict[str, dict[str, Any]] = {}
    for kind in knobs.kinds:
        if kind == SYNONYMS and not synonyms:
            found[kind] = {"skipped": NO_TABLE}
            continue
        changed = {
            at: new
            for at, record in enumerate(some)
            if (new := disturbed(kind, record, knobs.share, synonyms or {}, seed)) is not None
        }
        if not changed:
            found[kind] = {"skipped": NOTHING}
            continue
        after = predict(list(changed.values()))
        kept = [some[at] for at in changed]
        found[kind] = line(
            task, kept, list(changed.values()), [before[at] for at in changed], after, confidence
        )
    return found


def drawn(records: Records, count: int, seed: int) -> list[Mapping[str, Any]]:
    """Return at most ``count`` records, by the seed and their ids."""
    return sorted(records, key=lambda one: (hashed(seed, one["id"]), one["text"]))[:count]


def disturbed(
    kind: str, record: Mapping[str, Any], share: float, synonyms: Table, seed: int
) -> str | None:
    """Return a record's text written differently, or None where ``kind`` finds nothing to change.

    :param share: of words that are changed, at least one.
    """
    text = str(record["text"])
    pieces = tokens(text)
    chance = random.Random(hashed(seed, kind, record["id"]))
    changed = max(1, round(share * len(words(pieces))))
    new = KINDS[kind](pieces, changed, chance, synonyms)
    return None if new is None or new == text or not new.strip() else new


def line(
    task: Task,
    records: Records,
    changed: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    confidence: float,
) -> dict[str, Any]:
    """Return what one disturbance did to the answers."""
    from scipy.stats import binomtest

    kept = same(task, before, after)
    interval = binomtest(sum(kept), len(kept)).proportion_ci(confidence, method="wilson")
    true, figure = task.coded([str(one["label"]) for one in records]), task.quick[task.main]
    rows = zip(records, changed, before, after, kept, strict=True)
    return {
        "records": len(kept),
        "same_answer": sum(kept) / len(kept),
        "low": float(interval.low),
        "high": float(interval.high),
        "figures": {
            "figure": task.main,
            "before": float(figure(true, task.coded(before))),
            "after": float(figure(true, task.coded(after))),
        },
        "examples": [
            {"text": str(record["text"]), "changed": new, "before": was, "after": now}
            for record, new, was, now, equal in rows
            if not equal
        ][:EXAMPLES],
    }


def same(task: Task, before: Sequence[str], after: Sequence[str]) -> list[bool]:
    """Return which answers are as they were.

    Two numbers are when they differ by at most ``NEAR`` standard deviations of those before.
    """
    if task.name == REGRESSION:
        was, now = task.coded(before), task.coded(after)
        return [bool(one) for one in abs(now - was) <= NEAR * was.std()]
    return [one == other for one, other in zip(before, after, strict=True)]


def typing(pieces: list[Token], changed: int, random: random.Random, synonyms: Table) -> str | None:
    """Return the text with a slip in some words of two characters or more."""
    able = [at for at in words(pieces) if may_change(pieces[at]) and len(pieces[at].text) > 1]
    for at in random.sample(able, min(changed, len(able))):
        word = pieces[at].text
        slips = [swapped, missing] if pieces[at].han else [swapped, missing, doubled, beside]
        random.shuffle(slips)
        for slip in slips:
            slipped = slip(word, random)
            if slipped is not None:
                pieces[at] = Token(slipped, "word")
                break
    return joined(pieces) if able else None


def may_change(word: Token) -> bool:
    """Return whether a word means the same to a reader when a letter of it is wrong."""
    return not (word.negates or DIGIT.search(word.text))


def swapped(word: str, random: random.Random) -> str | None:
    """Return a word with two neighbouring characters that changed places, if any two differ."""
    able = [at for at in range(len(word) - 1) if word[at] != word[at + 1]]
    if not able:
        return None
    at = random.choice(able)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def missing(word: str, random: random.Random) -> str:
    """Return a word without one of its characters."""
    at = random.randrange(len(word))
    return word[:at] + word[at + 1 :]


def doubled(word: str, random: random.Random) -> str:
    """Return a word with one of its characters twice."""
    at = random.randrange(len(word))
    return word[: at + 1] + word[at:]


def beside(word: str, random: random.Random) -> str | None:
    """Return a word in which a neighbouring key was hit; None without a letter from a to z."""
    able = [at for at, letter in enumerate(word) if letter.lower() in NEXT_KEYS]
    if not able:
        return None
    at = random.choice(able)
    key = random.choice(NEXT_KEYS[word[at].lower()])
    return word[:at] + (key.upper() if word[at].isupper() else key) + word[at + 1 :]


def next_keys() -> dict[str, str]:
    """Return the keys around each letter on a keyboard: left, right, and two in each other row."""
    at = {
        letter: (row, place) for row, keys in enumerate(KEYS) for place, letter in enumerate(keys)
    }
    around = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
    return {
        letter: "".join(
            KEYS[row + down][place + right]
            for down, right in around
            if 0 <= row + down < len(KEYS) and 0 <= place + right < len(KEYS[row + down])
        )
        for letter, (row, place) in at.items()
    }


NEXT_KEYS = next_keys()


def case(pieces: list[Token], changed: int, random: random.Random, synonyms: Table) -> str | None:
    """Return the text in capitals, in small letters, or with a capital to each word."""
    text = joined(pieces)
    ways: list[Callable[[str], str]] = [str.upper, str.lower, str.capitalize]
    written = [
        joined([Token(way(one.text), one.kind) if one.kind == "word" else one for one in pieces])
        for way in ways
    ]
    others = [one for one in written if one != text]
    return random.choice(others) if others else None


def punctuation(
    pieces: list[Token], changed: int, random: random.Random, synonyms: Table
) -> str | None:
    """Return the text with its marks left out, doubled or of another width, or with more marks."""
    if not words(pieces):
        return None
    there = [at for at in range(len(pieces)) if is_mark(pieces, at)]
    ways = [without, twice, other_width] if there else []
    way = random.choice([*ways, None])
    return added(pieces, changed, random) if way is None else way(pieces, there)


def is_mark(pieces: Sequence[Token], at: int) -> bool:
    """Return whether a piece is a mark of a sentence, not one within a number such as 3,500."""
    if pieces[at].kind != "mark" or pieces[at].text not in MARKS:
        return False
    around = [pieces[one].text for one in (at - 1, at + 1) if 0 <= one < len(pieces)]
    return not (len(around) == 2 and around[0][-1].isdigit() and around[1][0].isdigit())


def without(pieces: list[Token], there: Sequence[int]) -> str:
    """Leave marks out, with a space between words that would run together."""
    gone = set(there)
    for at in there:
        left = next((one for one in range(at - 1, -1, -1) if one not in gone), None)
        right = None if at + 1 in gone or at + 1 == len(pieces) else at + 1
        sides = [] if left is None or right is None else [pieces[left], pieces[right]]
        apart = len(sides) == 2 and all(one.kind in ("word", "fixed") for one in sides)
        bare = not apart or all(one.han for one in sides)
        pieces[at] = Token("" if bare else " ", "space")
    return joined(pieces).strip()


def twice(pieces: list[Token], there: Sequence[int]) -> str:
    """Write each mark twice."""
    for at in there:
        pieces[at] = Token(2 * pieces[at].text, "mark")
    return joined(pieces)


def other_width(pieces: list[Token], there: Sequence[int]) -> str:
    """Write ASCII marks as a Chinese input method does, and Chinese ones as ASCII."""
    for at in there:
        pieces[at] = Token(WIDTH.get(pieces[at].text, pieces[at].text), "mark")
    return joined(pieces)


def added(pieces: list[Token], changed: int, random: random.Random) -> str | None:
    """Put marks behind some words, but never behind one that negates or within a number."""
    last = len(pieces) - 1
    able = [
        at
        for at in words(pieces)
        if not pieces[at].negates and (at == last or pieces[at + 1].kind != "mark")
    ]
    for at in sorted(random.sample(able, min(changed, len(able))), reverse=True):
        pieces.insert(at + 1, Token(random.choice(marks(pieces, at)), "mark"))
    return joined(pieces) if able else None


def synonymous(
    pieces: list[Token], changed: int, random: random.Random, synonyms: Table
) -> str | None:
    """Return the text with synonyms in the place of some words."""
    new = synonym(pieces, changed, random, synonyms)
    return None if new is None else joined(new)


def joined(pieces: Sequence[Token]) -> str:
    """Return the text that pieces were taken from."""
    return "".join(one.text for one in pieces)


KINDS: Mapping[str, Disturb] = {
    "typing": typing, "case": case, "punctuation": punctuation, SYNONYMS: synonymous,
}  # fmt: skip
