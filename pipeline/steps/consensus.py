"""What annotators come to together, the records to adjudicate, and those for a second look."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import TYPE_CHECKING, Any

from pipeline.i18n import _
from pipeline.steps import targets
from pipeline.steps.annotations import ACCEPT, RETURN, Said
from pipeline.steps.assignment import draw
from pipeline.steps.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOO_FEW_ANNOTATORS = "too_few_annotators"
NO_OVERLAP = "no_overlap"
NO_AGREEMENT = "no_agreement"
NO_PROBABILITIES = "no_probabilities"
NOTES = {
    TOO_FEW_ANNOTATORS: _("fewer than two annotators, so the majority was taken"),
    NO_OVERLAP: _("no record was labelled by several annotators, so the majority was taken"),
    NO_AGREEMENT: _("no two annotators ever agreed, so the majority was taken"),
    NO_PROBABILITIES: _("too little is labelled for a baseline, so the majority was taken"),
}
OPEN, ACCEPTED, RETURNED = "open", "accepted", "returned"
DIGITS = 6


@dataclass(frozen=True)
class Weighed:
    """The consensus of each annotated record, and how far it can be trusted."""

    used: str  # majority, median (of numbers) or cleanlab
    note: str | None  # why not what was asked for
    labels: list[str | None]  # None leaves the majority's
    quality: list[float | None]  # 0 to 1, that the label is right
    annotators: dict[str, float]  # quality of each annotator's labels, 0 to 1

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"used": self.used, "note": self.note, "annotators": self.annotators}


@dataclass(frozen=True)
class Dispute:
    """A record whose annotators disagree."""

    at: int  # position of the record
    votes: dict[str, str]
    entropy: float | None  # of the votes: 0 all agree, 1 all differ; None for numbers
    spread: float | None  # between the lowest and the highest number; None for labels
    quality: float | None


def weigh(
    votes: Sequence[Mapping[str, str]],
    scheme: Scheme,
    probabilities: NDArray[np.float64] | None,
    method: str,
) -> Weighed:
    """Return the consensus by a method, by majority where the method has too little to go by.

    Of several labels the majority is one a label, of numbers it is the median.

    :param votes: annotator → label, of each annotated record; never empty.
    :param probabilities: of a model that has not seen the record, [records, labels]; rows of NaN
        where it could not be asked.
    :param method: ``majority`` or ``cleanlab``.
    """
    note = None
    if method == "cleanlab":
        note = obstacle(votes, probabilities)
        if note is None and probabilities is not None:
            return crowdlab(votes, scheme.labels, probabilities)
    nothing = [None] * len(votes)
    return Weighed("median" if scheme.numeric else "majority", note, [*nothing], [*nothing], {})


def obstacle(
    votes: Sequence[Mapping[str, str]], probabilities: NDArray[np.float64] | None
) -> str | None:
    """Return why annotators cannot be weighed, as one of ``NOTES``, or None."""
    import numpy as np

    if len({name for one in votes for name in one}) < 2:
        return TOO_FEW_ANNOTATORS
    if all(len(one) < 2 for one in votes):
        return NO_OVERLAP
    if all(len(set(one.values())) == len(one) for one in votes):
        return NO_AGREEMENT
    if probabilities is None or not np.isfinite(probabilities).all(axis=1).any():
        return NO_PROBABILITIES
    return None


def crowdlab(
    votes: Sequence[Mapping[str, str]],
    labels: Sequence[str],
    probabilities: NDArray[np.float64],
) -> Weighed:
    """Return the consensus of CROWDLAB (Goh, Tkachenko and Mueller 2022, arXiv 2210.06812).

    It weighs annotators, and a model, by how often they agree with the others.
    """
    import warnings

    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divisions by nothing, which it mends itself
        from cleanlab.multiannotator import (  # type: ignore[import-untyped]
            get_label_quality_multiannotator,
        )

        names = sorted({name for one in votes for name in one})
        position = {label: at for at, label in enumerate(labels)}
        given = np.full((len(votes), len(names)), np.nan)
        for at, one in enumerate(votes):
            for name, label in one.items():
                given[at, names.index(name)] = position[label]
        found = get_label_quality_multiannotator(
            given,
            smoothed(probabilities),
            return_detailed_quality=False,
            verbose=False,
        )
    table, people = found["label_quality"], found["annotator_stats"]
    quality = {names[at]: one for at, one in people["annotator_quality"].items()}
    return Weighed(
        "cleanlab",
        None,
        [labels[at] for at in table["consensus_label"]],
        [finite(one) for one in table["consensus_quality_score"]],
        {name: round(float(quality[name]), DIGITS) for name in names},
    )


def smoothed(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows without a nothing, equal shares where a model could not be asked."""
    import numpy as np

    labels = probabilities.shape[1]
    known = np.where(np.isfinite(probabilities), probabilities, 1 / labels) + 1e-6
    shares: NDArray[np.float64] = known / known.sum(axis=1, keepdims=True)
    return shares


def finite(value: float) -> float | None:
    """Return a plain number; JSON knows no NaN."""
    return round(float(value), DIGITS) if math.isfinite(value) else None


def entropy(labels: Sequence[str]) -> float:
    """Return how far votes differ: Shannon's entropy as a share of its largest value."""
    if len(labels) < 2:
        return 0.0
    shares = [count / len(labels) for _label, count in Counter(labels).most_common()]
    return round(-sum(one * math.log(one) for one in shares) / math.log(len(labels)), DIGITS) + 0.0


def disputes(
    ids: Sequence[str],
    said: Sequence[Said | None],
    quality: Mapping[int, float | None],
    scheme: Scheme,
) -> list[Dispute]:
    """Return the records to adjudicate, those that differ most first.

    Numbers hardly ever agree to the last digit: in dispute are records whose numbers lie further
    apart than one standard deviation of all numbers that annotators gave.

    :param said: what stands about each record.
    :param quality: position of a record → quality of its consensus, where that is known.
    """
    votes = {at: dict(one.texts(scheme)) for at, one in enumerate(said) if one is not None}
    least = deviation(votes.values()) if scheme.numeric else 0.0
    found: list[Dispute] = []
    for at, given in votes.items():
        one = said[at]
        if one is None or one.adjudicated is not None or len(set(given.values())) < 2:
            continue
        if scheme.numeric:
            numbers = [targets.number(text) for text in given.values()]
            spread = max(numbers) - min(numbers)
            if spread > least:
                found.append(Dispute(at, given, None, round(spread, DIGITS), quality.get(at)))
        else:
            mixed = entropy(list(given.values()))
            found.append(Dispute(at, given, mixed, None, quality.get(at)))

    def order(one: Dispute) -> tuple[float, float, int, str]:
        doubt = 1.0 if one.quality is None else one.quality
        apart = one.entropy if one.spread is None else one.spread
        return -(apart or 0.0), doubt, -len(one.votes), ids[one.at]

    return sorted(found, key=order)


def deviation(votes: Iterable[Mapping[str, str]]) -> float:
    """Return the standard deviation of all numbers that annotators gave."""
    numbers = [targets.number(text) for one in votes for text in one.values()]
    return pstdev(numbers) if numbers else 0.0


def checks(
    ids: Sequence[str], said: Sequence[Said | None], *, checked: float, seed: int
) -> dict[int, str]:
    """Return the records for a second look, with what came of it.

    A share of the annotated ones is drawn by the seed and the record's name, so that the sample
    stays when others come; what a checker has spoken about belongs to it in any case.

    :returns: position of a record → ``open``, ``accepted`` or ``returned``.
    """
    states = {ACCEPT: ACCEPTED, RETURN: RETURNED, None: OPEN}
    return {
        at: states[one.verdict]
        for at, one in enumerate(said)
        if one is not None
        and (one.votes or one.adjudicated or one.verdict)
        and (one.verdict is not None or draw(seed, "check", ids[at]) < checked)
    }
