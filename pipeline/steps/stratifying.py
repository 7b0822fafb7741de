"""The same mix in every part where a record has several labels.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of
Multi-Label Data", ECML PKDD), with whole families in the place of records.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pipeline.steps import targets
from pipeline.steps.splitting import WHOLE, deal, shuffled


def split(
    groups: Sequence[bytes], labels: Sequence[str], *, shares: Mapping[str, float], seed: int
) -> list[str]:
    """Return the part of each record so that each label is spread by the shares.

    Again and again the families with the label that the fewest are left of are dealt: each to the
    part that lags furthest behind in this label, of equals the one that lags in all records. What
    has no label is dealt last.

    :param groups: the family of each record.
    :param labels: joined ones of each record.
    :param shares: part → share; they add up to 1.
    """
    sizes = Counter(groups)
    holds: dict[bytes, Counter[str]] = defaultdict(Counter)
    for name, text in zip(groups, labels, strict=True):
        holds[name].update(targets.several(text))
    order = sorted(sizes, key=lambda name: shuffled(name, seed))
    families: dict[str, list[bytes]] = defaultdict(list)
    for name in order:
        for label in holds[name]:
            families[label].append(name)
    left = Counter({label: len(names) for label, names in families.items()})
    every: Counter[str] = Counter()
    for held in holds.values():
        every.update(held)
    whole = {part: round(share * WHOLE) for part, share in shares.items()}
    lag = {part: share * len(groups) for part, share in whole.items()}
    behind = {part: {label: share * every[label] for label in every}
              for part, share in whole.items()}  # fmt: skip
    part_of: dict[bytes, str] = {}
    while left := Counter({label: count for label, count in left.items() if count > 0}):
        rare = min(left, key=lambda label: (left[label], label))
        names = [name for name in families[rare] if name not in part_of]
        # The largest first: later nothing could make up for them.
        for name in sorted(names, key=lambda name: -holds[name][rare]):
            part = max(shares, key=lambda part: (behind[part][rare], lag[part]))
            part_of[name] = part
            lag[part] -= sizes[name] * WHOLE
            for label, count in holds[name].items():
                behind[part][label] -= count * WHOLE
                left[label] -= 1
    part_of |= deal([name for name in order if name not in part_of], sizes, shares, lag)
    return [part_of[name] for name in groups]
