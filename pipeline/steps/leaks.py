"""Whether the test knows something of what is learnt from, asked again after parts were dealt.

Nothing here believes how parts came about: every mark is compared directly, and texts are compared
with each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from pipeline.errors import DataError, Problem
from pipeline.i18n import Message, _
from pipeline.steps.splitting import listed, place
from pipeline.steps.text import key

FAMILIES_LISTED = 20
SHINGLE = 4  # characters in a row
ALIKE = 0.9  # Jaccard similarity
EVERY = 3  # of a learnt text's shingles are looked up first
FREQUENT = 50  # texts that hold a shingle before it is left to the last
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


def alike(learnt: Iterable[str], asked: Sequence[str], *, threshold: float) -> list[int | None]:
    """Return for each text that is asked the first one of those learnt that is almost the same.

    Compares sets of character shingles exactly (Jaccard) and misses none. A text whose similarity
    to another is t shares all but (1 − t) of its shingles with it (Chaudhuri, Ganti, Kaushik, ICDE
    2006); so of any s of its n shingles, such as every third, at least s − (1 − t)·n are shared.
    Only texts that share so many are compared whole.

    :param threshold: share of common shingles from which texts count as alike, above 2/3.
    :returns: a position in ``learnt``, or None.
    """
    sets = [shingles(key(one)) for one in asked]
    index: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(sets):
        for shingle in one:
            index[shingle].append(number)
    frequent = {shingle for shingle, numbers in index.items() if len(numbers) > FREQUENT}
    found: list[int | None] = [None] * len(asked)
    for position, text in enumerate(learnt):
        plain = key(text)
        spare = (1 - threshold) * max(1, len(plain) - SHINGLE + 1) + 1e-9
        some = shingles(plain, EVERY)
        rare = some - frequent  # lists of frequent ones are long: only where nothing else is left
        chosen = rare if len(rare) > spare else some
        lists = [index[shingle] for shingle in chosen if shingle in index]
        if len(lists) < len(chosen) - spare:
            continue
        whole = shingles(plain)
        for number, count in Counter(chain.from_iterable(lists)).items():
            if found[number] is None and count >= len(chosen) - spare:
                common = len(whole & sets[number])
                if common >= threshold * (len(whole) + len(sets[number]) - common):
                    found[number] = position
    return found


def shingles(plain: str, every: int = 1) -> set[str]:
    """Return the runs of ``SHINGLE`` characters that begin at every so manyth character."""
    starts = range(0, max(1, len(plain) - SHINGLE + 1), every)
    return {plain[at : at + SHINGLE] for at in starts}
