"""Divide records into parts so that nothing the test asks was ever learnt from."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pipeline.errors import DataError, Problem
from pipeline.i18n import _


def split(
    groups: Sequence[str],
    labels: Sequence[str],
    *,
    shares: Mapping[str, float],
    stratify: bool,
    seed: int,
) -> list[str]:
    """Return the part of each record.

    Records of one group go to one part. Groups are put in an order that depends on the seed and
    their names only, then dealt so that every part comes as near to its share as whole groups
    allow; with ``stratify`` for each label by itself.

    :param groups: what must stay together: duplicates, one customer, one document.
    :param labels: one a record; a group counts under its most frequent one.
    :param shares: part → share; they add up to 1.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    strata: dict[str, list[str]] = defaultdict(list)
    for group, positions in members.items():
        strata[most_frequent([labels[at] for at in positions]) if stratify else ""].append(group)
    parts = [""] * len(groups)
    for names in strata.values():
        names.sort(key=lambda name: shuffled(name, seed))
        for name, part in deal(names, [len(members[name]) for name in names], shares).items():
            for position in members[name]:
                parts[position] = part
    return parts


def deal(names: Sequence[str], sizes: Sequence[int], shares: Mapping[str, float]) -> dict[str, str]:
    """Return a part for each group: always the one that lags furthest behind its share."""
    total, given = sum(sizes), dict.fromkeys(shares, 0)
    dealt = {}
    for name, size in zip(names, sizes, strict=True):
        part = max(shares, key=lambda part: shares[part] * total - given[part])
        given[part] += size
        dealt[name] = part
    return dealt


def most_frequent(labels: Sequence[str]) -> str:
    """Return the most frequent label; of equals the first in the alphabet."""
    found = Counter(labels)
    return min(found, key=lambda label: (-found[label], label))


def shuffled(name: str, seed: int) -> bytes:
    """Return a sort key that looks random and is the same on every machine."""
    return hashlib.blake2b(name.encode(), digest_size=16, salt=seed.to_bytes(8, "little")).digest()


def families(groups: Sequence[str | None], keys: Sequence[str]) -> list[str]:
    """Return a name for everything that must stay together.

    Records with the same group or the same key belong together, and so does what they in turn
    share with others.

    :param groups: a group, or None, for each record.
    :param keys: what duplicates share, for each record.
    """
    leader: dict[str, str] = {}

    def top(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for group, key in zip(groups, keys, strict=True):
        if group is not None:
            one, other = sorted((top(f"group {group}"), top(f"text {key}")))
            leader[other] = one
    return [top(f"text {key}") for key in keys]


def count(
    labels: Sequence[str], parts: Sequence[str], *, names: Sequence[str], declared: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return how many records of each declared label each part has: part → label → count."""
    found = Counter(zip(parts, labels, strict=True))
    return {name: {label: found[name, label] for label in declared} for name in names}


def refuse_single(labels: Sequence[str]) -> None:
    """Refuse records from which nothing can be told apart.

    :raises DataError: if there are not at least two labels.
    """
    if len(set(labels)) < 2:
        raise DataError.at(
            "data/label",
            found=_("records of one label only ({labels})", labels=", ".join(set(labels)) or "0"),
            allowed=_("at least two labels"),
            fix=_("Collect records of another label, or check label.mapping."),
        )


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


def refuse_leak(groups: Sequence[str], parts: Sequence[str]) -> None:
    """Check that no family stands in two parts.

    :raises DataError: naming families that do, which would be a fault of this module.
    """
    where: dict[str, set[str]] = defaultdict(set)
    for group, part in zip(groups, parts, strict=True):
        where[group].add(part)
    torn = sorted(group for group, found in where.items() if len(found) > 1)
    if torn:
        raise DataError.at(
            "data/split",
            found=_(
                "{count} families on two sides, such as {first}", count=len(torn), first=torn[0]
            ),
            allowed=_("every family on one side"),
            fix=_("Please report this: it must not happen."),
        )
