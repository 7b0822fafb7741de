"""Whether the test knows something of what is learnt from, asked again after parts were dealt.

Nothing here believes how parts came about: every mark is compared directly, and texts are compared
with each other.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pipeline.errors import DataError, Problem
from pipeline.i18n import Message, _
from pipeline.steps.splitting import listed, place
from pipeline.steps.text import key
from pipeline.steps.wording import HAN

FAMILIES_LISTED = 20
LONG = 10  # words from which one may differ and the texts are still almost the same
UNIT = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")
NAMES = {
    "text": _("one text (case and spacing do not matter)"),
    "group": _("one group"),
    "cluster": _("one cluster of near-duplicates"),
    "family": _("one family"),
}


def refuse_leak(
    marks: Mapping[str, Sequence[object | None]],
    parts: Sequence[str],
    *,
    metas: Sequence[str],
    column: str | None,
) -> None:
    """Refuse parts of which two hold the same text, group, cluster or family.

    A chain (one group leads to a cluster, that to another group) that is torn apart is torn at one
    of its links, so comparing links finds all.

    :param marks: kind → what each record shares with others, or None. The kinds are in ``NAMES``.
    :param metas: of each record, as JSON with its ``file`` and ``row``, for the message.
    :param column: the column that gave the parts, or None where this module's neighbours dealt.
    :raises DataError: naming what stands on two sides, the first of many.
    """
    problems: list[Problem] = []
    for kind, values in marks.items():
        torn = on_two_sides(values, parts)
        members: dict[object, list[int]] = {value: [] for value in sorted(torn, key=str)}
        if members:
            for at, value in enumerate(values):
                if value in members:
                    members[value].append(at)
        for positions in list(members.values())[:FAMILIES_LISTED]:
            problems.append(problem(NAMES[kind], positions, parts, metas, column))
        if len(members) > FAMILIES_LISTED:
            more = len(members) - FAMILIES_LISTED
            found = _("{count} more of {kind}", count=more, kind=NAMES[kind])
            problems.append(Problem("data/split", found, _("each in one part"), advice(column)))
    if problems:
        raise DataError(*problems)


def on_two_sides(values: Sequence[object | None], parts: Sequence[str]) -> set[object]:
    """Return the values that stand in more than one part."""
    first: dict[object, str] = {}
    return {
        value
        for value, part in zip(values, parts, strict=True)
        if value is not None and first.setdefault(value, part) != part
    }


def problem(
    kind: Message,
    positions: Sequence[int],
    parts: Sequence[str],
    metas: Sequence[str],
    column: str | None,
) -> Problem:
    """Return the problem of records that belong together and stand apart."""
    sides = sorted({parts[at] for at in positions})
    found = _(
        "{kind} in {parts}, {count} records", kind=kind, parts=", ".join(sides),
        count=len(positions),
    )  # fmt: skip
    where = listed([f"{place(metas[at])} ({parts[at]})" for at in positions])
    return Problem(where, found, _("each in one part"), advice(column))


def advice(column: str | None) -> Message:
    """Return what to do about a leak."""
    if column is None:
        return _("Please report this: it must not happen.")
    return _(
        "Give all of them the same value in column {column}, let clean drop them "
        "(clean.duplicates), or choose another split.strategy.",
        column=column,
    )


def alike(learnt: Iterable[str], asked: Sequence[str]) -> list[int | None]:
    """Return for each text that is asked the first one of those learnt with the same words.

    Order, case and punctuation do not matter; from ``LONG`` words on, one word may be another, or
    be missing on either side. In Chinese characters count instead of words. Sums of hashes find
    candidates (all words, and all but each one), comparing the words decides.

    :returns: a position in ``learnt``, or None.
    """
    sets = [units(one) for one in asked]
    index: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(sets):
        for total in set(totals(one)):
            index[total].append(number)
    found: list[int | None] = [None] * len(asked)
    for position, text in enumerate(learnt):
        have = units(text)
        sums = totals(have)
        if index.keys().isdisjoint(sums):
            continue
        for total in sums:
            for number in index.get(total, ()):
                if found[number] is None and one_apart(have, sets[number]):
                    found[number] = position
    return found


def units(text: str) -> list[str]:
    """Return the words of a text, of Chinese the characters; none for punctuation alone."""
    return UNIT.findall(key(text))


def totals(words: Sequence[str]) -> list[int]:
    """Return the sum of the words' hashes and, of a long text, that without each one."""
    hashes = [hash(word) for word in words]
    total = sum(hashes)
    if len(words) < LONG:
        return [total] if words else []
    return [total, *(total - one for one in hashes)]


def one_apart(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two texts have the same words, of long ones all but one on each side."""
    mine, yours = Counter(one), Counter(other)
    most = int(max(len(one), len(other)) >= LONG)
    return (mine - yours).total() <= most and (yours - mine).total() <= most
