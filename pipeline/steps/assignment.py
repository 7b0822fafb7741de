"""Who labels what: a blind overlap to measure agreement, the rest once, the same for each seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set

from pipeline.errors import DataError
from pipeline.i18n import _


def draw(seed: int, *names: str) -> float:
    """Return a number from 0 up to 1 that depends on nothing but the seed and the names."""
    text = "\x1f".join((str(seed), *names)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64


def assign(
    records: Sequence[str],
    annotators: Sequence[str],
    *,
    per_record: int,
    overlap: float,
    seed: int,
    done: Mapping[str, Set[str]],
) -> dict[str, list[str]]:
    """Return for each annotator the records to label.

    Whether a record belongs to the overlap depends on the seed and its name alone, so that it stays
    so when others come. What was labelled already counts: nobody gets a record twice, and a record
    gets no more people than it needs. Nobody's share is more than one record larger than needed.

    :param records: ids, in any order.
    :param per_record: how many people label a record of the overlap.
    :param overlap: share of records that several people label.
    :param done: record → who has labelled it.
    :raises DataError: if there are fewer annotators than a record of the overlap needs.
    """
    people = sorted(set(annotators))
    if len(people) < (per_record if overlap else 1):
        raise DataError.at(
            "label.annotation.per_record",
            found=_("{count} annotators", count=len(people)),
            allowed=_("at least {count}", count=per_record if overlap else 1),
            fix=_("Name more annotators, or lower per_record or overlap."),
        )
    given: dict[str, list[str]] = {name: [] for name in people}
    for record in sorted(records, key=lambda one: (draw(seed, "order", one), one)):
        before = done.get(record, frozenset())
        needed = per_record if draw(seed, "overlap", record) < overlap else 1
        free = [name for name in people if name not in before]
        # The least busy first, and of equals whom the seed chooses for this record.
        free.sort(key=lambda name: (len(given[name]), draw(seed, "annotator", record, name)))
        for name in free[: max(0, needed - len(before))]:
            given[name].append(record)
    return given
