"""Divide records into parts so that nothing the test asks was ever learnt from.

A family is what must stay together: records of one group, of one text (case, spacing and
punctuation do not matter) or of one cluster of near-duplicates, and whatever these share with
others. No strategy tears a family apart. What a record is given depends on its family's texts and
the seed, never on the order of the records.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps.text import key

ROWS_LISTED = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")
ASCII_MARKS = bytes(one for one in range(128) if not chr(one).isalnum())
WHOLE = 1_000_000  # what a share is counted in, so that equals are equal to the bit


@dataclass(frozen=True)
class Borders:
    """Where time was cut. All times are microseconds since 1970 in UTC."""

    starts: Mapping[str, int]  # part → the newest record of each of its families is not before this
    straddling: int  # families with records on both sides of a border: they went to the later part
    records: int  # of those families, on the earlier side

    def report(self) -> dict[str, object]:
        """Return the borders for the report, times as ISO 8601."""
        starts = {part: iso(time) for part, time in self.starts.items()}
        return {
            "starts": starts,
            "straddling_families": self.straddling,
            "straddling_records": self.records,
        }


def digest(text: str) -> bytes:
    """Return 16 bytes that two texts share when they count as the same (``steps.text.key``)."""
    return hashlib.blake2b(key(text).encode(errors="surrogatepass"), digest_size=16).digest()


def bare_digest(text: str) -> bytes:
    """Return 16 bytes that two texts share when they differ in case and punctuation only.

    A text of punctuation alone, such as ``:-)``, keeps it.
    """
    plain = key(text)
    whole = plain.encode(errors="surrogatepass")
    if plain.isascii():  # five times as fast
        bare = whole.translate(None, ASCII_MARKS)
    else:
        bare = NEITHER_LETTER_NOR_DIGIT.sub("", plain).encode(errors="surrogatepass")
    return hashlib.blake2b(bare or whole, digest_size=16).digest()


def families(keys: Sequence[bytes], *ties: Sequence[str | None]) -> list[bytes]:
    """Return the name of each record's family: the smallest key in it.

    :param keys: what equal texts share, for each record.
    :param ties: further reasons to stay together, such as groups and clusters: a name, or None,
        for each record. Equal names in two of these lists mean nothing.
    """
    leader = list(range(len(keys)))

    def top(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    for names in (keys, *ties):
        first: dict[bytes | str, int] = {}
        for at, name in enumerate(names):
            if name is not None:
                earlier = first.setdefault(name, at)
                if earlier != at:
                    leader[top(at)] = top(earlier)
    names_of: dict[int, bytes] = {}
    tops = [top(at) for at in range(len(keys))]
    for at, name in zip(tops, keys, strict=True):
        names_of[at] = min(names_of.get(at, name), name)
    return [names_of[at] for at in tops]


def split(
    groups: Sequence[bytes],
    labels: Sequence[str],
    *,
    shares: Mapping[str, float],
    stratify: bool,
    seed: int,
) -> list[str]:
    """Return the part of each record, by the seed.

    Families are put in an order that depends on the seed and their names only, then dealt so that
    every part comes as near to its share as whole families allow; with ``stratify`` for each
    label by itself.

    :param groups: the family of each record.
    :param labels: one a record; a family counts under its most frequent one.
    :param shares: part → share; they add up to 1.
    """
    sizes = Counter(groups)
    strata: dict[str, list[bytes]] = defaultdict(list)
    if stratify:
        for name, label in frequent_labels(groups, labels).items():
            strata[label].append(name)
    else:
        strata[""] = list(sizes)
    part_of: dict[bytes, str] = {}
    lag = dict.fromkeys(shares, 0)
    for label in sorted(strata):
        names = sorted(strata[label], key=lambda name: shuffled(name, seed))
        part_of |= deal(names, sizes, shares, lag)
    return [part_of[name] for name in groups]


def deal(
    names: Sequence[bytes],
    sizes: Mapping[bytes, int],
    shares: Mapping[str, float],
    lag: dict[str, int],
) -> dict[bytes, str]:
    """Return a part for each family: always the one that lags furthest behind its share.

    Families larger than the smallest part is to be go first, because later nothing could make up
    for them; the others come in the order given.

    :param lag: how far each part lags behind over all calls; decides between equals
        and is brought up to date, so that the same part does not gain in every label.
    """
    total = sum(sizes[name] for name in names)
    wanted = {part: round(share * WHOLE) * total for part, share in shares.items()}
    room = min(wanted.values()) // WHOLE
    large = sorted((name for name in names if sizes[name] > room), key=lambda name: -sizes[name])
    turn = {part: -at for at, part in enumerate(shares)}
    order = sorted(shares, key=lambda part: (lag[part], turn[part]))
    places = len(order)  # the last digit, in this base, decides between equals
    behind = {part: wanted[part] * places + order.index(part) for part in shares}
    one = WHOLE * places
    dealt: dict[bytes, str] = {}
    for name in (*large, *(name for name in names if sizes[name] <= room)):
        part = max(behind, key=behind.__getitem__)
        behind[part] -= sizes[name] * one
        dealt[name] = part
    for part in shares:
        lag[part] += behind[part] // places
    return dealt


def frequent_labels(groups: Sequence[bytes], labels: Sequence[str]) -> dict[bytes, str]:
    """Return each family's most frequent label; of equals the first in the alphabet."""
    best: dict[bytes, str] = {}
    pairs = list(zip(groups, labels, strict=True))
    mixed = {name for name, label in pairs if best.setdefault(name, label) != label}
    found = Counter(pair for pair in pairs if pair[0] in mixed)
    ranked = sorted(found, key=lambda pair: pair[1], reverse=True)
    best.update(sorted(ranked, key=lambda pair: found[pair]))  # the last one of a name stays
    return best


def shuffled(name: bytes, seed: int) -> bytes:
    """Return a sort key that looks random and is the same on every machine."""
    return hashlib.blake2b(name, digest_size=16, salt=seed.to_bytes(8, "little")).digest()


def by_time(
    groups: Sequence[bytes], times: Sequence[int], *, shares: Mapping[str, float]
) -> tuple[list[str], Borders]:
    """Return the part of each record, the oldest first, and where time was cut.

    A family goes where its newest record belongs. So every record of a part is older than the
    newest record of every family in the parts after it: nothing that is learnt from came after a
    border. A family that lies on both sides of a border goes to the later part whole. What came at
    the same instant is never divided, so the shares are met as near as instants allow.

    :param times: microseconds since 1970 in UTC.
    :param shares: part → share, in the order of time.
    :raises DataError: if there are fewer instants than parts.
    """
    newest: dict[bytes, int] = {}
    oldest: dict[bytes, int] = {}
    for name, time in zip(groups, times, strict=True):
        newest[name] = max(newest.get(name, time), time)
        oldest[name] = min(oldest.get(name, time), time)
    sizes = Counter(newest[name] for name in groups)
    instants = sorted(sizes)
    if len(instants) < len(shares):
        raise DataError.at(
            "data/label, created_at",
            found=_("{count} points in time", count=len(instants)),
            allowed=_("at least {count}, one a part", count=len(shares)),
            fix=_("Choose another split.strategy, or collect over a longer time."),
        )
    cuts = nearest_cuts([sizes[one] for one in instants], list(shares.values()))
    starts = {part: instants[cut] for part, cut in zip(list(shares)[1:], cuts, strict=True)}
    part_of = {name: part_at(time, shares, starts) for name, time in newest.items()}
    parts = [part_of[name] for name in groups]
    torn = {
        name for name, part in part_of.items() if part in starts and oldest[name] < starts[part]
    }
    early = sum(
        name in torn and time < starts[part]
        for name, time, part in zip(groups, times, parts, strict=True)
    )
    return parts, Borders(starts, len(torn), early)


def nearest_cuts(sizes: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Return the positions at which parts but the first begin, as near to the shares as can be.

    :param sizes: how many records each instant has; every part gets at least one instant.
    """
    reached = [0, *accumulate(sizes)]
    cuts: list[int] = []
    for number, share in enumerate(accumulate(shares[:-1]), start=1):
        lowest = cuts[-1] + 1 if cuts else 1
        highest = len(sizes) - (len(shares) - number)
        wanted = share * reached[-1]
        cuts.append(min(range(lowest, highest + 1), key=lambda at: abs(reached[at] - wanted)))
    return cuts


def part_at(time: int, parts: Iterable[str], starts: Mapping[str, int]) -> str:
    """Return the last part that has begun at ``time``; the first has no beginning."""
    return [part for part in parts if part not in starts or starts[part] <= time][-1]


def iso(time: int) -> str:
    """Return microseconds since 1970 as ISO 8601."""
    return (EPOCH + timedelta(microseconds=time)).isoformat()


def by_column(metas: Sequence[str], *, column: str, parts: Sequence[str]) -> list[str]:
    """Return the part that a column kept beside the text gives each record.

    :param metas: of each record, as JSON.
    :param parts: the values that the column may have.
    :raises DataError: with every other value and where it stands.
    """
    values: list[str] = []
    strange: dict[str, list[str]] = defaultdict(list)
    for meta in metas:
        content = json.loads(meta)
        value = content.get(column)
        if value not in parts:
            strange[json.dumps(value, ensure_ascii=False)].append(place(meta))
        values.append(value)
    if strange:
        raise DataError(*(strange_value(column, *one, parts) for one in sorted(strange.items())))
    return values


def strange_value(column: str, value: str, places: Sequence[str], parts: Sequence[str]) -> Problem:
    """Return the problem of one value that names no part; ``null`` means nothing stands there."""
    return Problem(
        listed(places),
        _("{value} in column {column} of {count} records", value=value, column=column,
          count=len(places)),
        _("one of {choices}", choices=", ".join(parts)),
        _("Correct the column in the source, and name it in reader.columns.meta, or choose "
          "another split.strategy."),
    )  # fmt: skip


def place(meta: str) -> str:
    """Return where a record came from, as ``file:row``."""
    content = json.loads(meta)
    return f"{content.get('file')}:{content.get('row')}"


def listed(places: Sequence[str]) -> str:
    """Return the first of many places."""
    return ", ".join(places[:ROWS_LISTED]) + (" …" if len(places) > ROWS_LISTED else "")


def refuse_undated(times: Sequence[int | None], sources: Sequence[str]) -> None:
    """Refuse records that no time is known of.

    :raises DataError: one problem a source, with how many of its records have none.
    """
    missing = Counter(source for source, time in zip(sources, times, strict=True) if time is None)
    if missing:
        every = Counter(sources)
        raise DataError(
            *(
                Problem(
                    f"data/label, {source}, created_at",
                    _("{count} of {total} records without a time", count=count,
                      total=every[source]),
                    _("a time for each record"),
                    _("Name the column in reader.columns.created_at, or choose another "
                      "split.strategy."),
                )
                for source, count in sorted(missing.items())
            )
        )  # fmt: skip


def refuse_ungrouped(groups: Sequence[str | None]) -> None:
    """Refuse to divide by groups where nobody named one.

    :raises DataError: if no record has a group.
    """
    if all(group is None for group in groups):
        raise DataError.at(
            "data/label, group",
            found=_("no record with a group"),
            allowed=_("a group for some records"),
            fix=_("Name the column in reader.columns.group, or choose another split.strategy."),
        )


def refuse_single(labels: Sequence[str]) -> None:
    """Refuse records from which nothing can be told apart.

    :raises DataError: if there are not at least two labels, two sets of them, or two numbers.
    """
    if len(set(labels)) < 2:
        raise DataError.at(
            "data/label",
            found=_("records of one label only ({labels})", labels=", ".join(set(labels)) or "0"),
            allowed=_("at least two labels"),
            fix=_("Collect records of another label, or check label.mapping."),
        )


def refuse_small_parts(sizes: Mapping[str, int], *, minimum: int) -> None:
    """Refuse parts with hardly a record.

    :param sizes: part → how many records it has.
    :raises DataError: with every part below ``minimum``.
    """
    problems = [
        Problem(
            f"data/split, {part}",
            _("{count} records", count=size),
            _("at least {minimum}", minimum=minimum),
            _("Collect more records, or lower split.min_per_label."),
        )
        for part, size in sizes.items()
        if size < minimum
    ]
    if problems:
        raise DataError(*problems)


def refuse_small(counts: Mapping[str, Mapping[str, int]], *, minimum: int) -> None:
    """Refuse parts in which a label hardly stands.

    :param counts: part → label → count.
    :raises DataError: with every part and label below ``minimum``.
    """
    problems = [
        Problem(
            f"data/split, {part}, {label}",
            _("{count} records", count=found),
            _("at least {minimum}", minimum=minimum),
            _("Collect more records of this label, join it with another in label.mapping, "
              "or lower split.min_per_label."),
        )
        for part, labels in counts.items()
        for label, found in labels.items()
        if found < minimum
    ]  # fmt: skip
    if problems:
        raise DataError(*problems)
