"""How far annotators agree, beyond what chance would give, and how sure that is.

Krippendorff's α (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", nominal data by
coincidences) takes any number of annotators and missing answers and is what the gate reads.
Fleiss' κ (Fleiss 1971) needs the same number of answers for each record, Cohen's κ (Cohen 1960) is
of two annotators; both know equal and different only, so they are left out for sets of labels and
for numbers. There α takes MASI's distance and the squared difference (``steps.distances``), and a
person's figure is α of their answers with those of the others. Thousands of resamples need each in
microseconds, so they are counted here; tests hold them equal to published examples, to statsmodels
and to scikit-learn.

Records with the same answers are exchangeable, so only the different patterns of answers are kept,
with how often each occurs; a bootstrap over records (Efron and Tibshirani 1993, chapter 13) is then
a multinomial draw of these numbers. A resample for which a figure is undefined does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError
from pipeline.i18n import _
from pipeline.steps import targets
from pipeline.steps.coincidences import Patterns, Plan, patterns, together, usual_number
from pipeline.steps.distances import Distances, Sets, Values
from pipeline.steps.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

NOBODY = "no_annotation"
ONE_ANNOTATOR = "one_annotator"
NO_OVERLAP = "no_overlap"
ONE_LABEL = "one_label"
NOT_NOMINAL = "not_nominal"
REASONS = {
    NOBODY: _("nobody has annotated a record"),
    ONE_ANNOTATOR: _("there is one annotator only"),
    NO_OVERLAP: _("no record was labelled by several annotators"),
    ONE_LABEL: _("only one answer was ever given, so nothing could differ by chance"),
    NOT_NOMINAL: _("the figure is of single labels, not of sets of labels or of numbers"),
}
DIGITS = 6  # the last bits depend on how a processor adds up
CELLS = 4_000_000  # of a block of resamples: bounds memory
NOMINAL, MASI, INTERVAL = "nominal", "masi", "interval"
HEADER = ("kind", "name", "figure", "value", "low", "high", "records", "reason")


@dataclass(frozen=True)
class Figure:
    """A figure with its interval; without a value there is a reason."""

    value: float | None
    low: float | None
    high: float | None
    records: int  # how many it was counted over
    reason: str | None


@dataclass(frozen=True)
class Agreement:
    """All figures of agreement; ``asdict`` gives what stands in the report."""

    metric: str  # how far two answers are apart: nominal, masi (sets of labels) or interval
    annotators: int
    records: int  # labelled by anybody
    overlap: int  # labelled by at least two
    alpha: Figure
    fleiss: Figure
    fleiss_annotators: int | None  # κ counts the records with so many answers, the usual number
    cohen: Figure  # mean of the pairs
    pairs: dict[str, Figure]  # "ann / bob"
    labels: dict[str, Figure]  # α of this label against all others
    people: dict[str, Figure]  # share of agreement with the majority of the others; else α

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of ``agreement.csv``, under ``HEADER``."""
        whole = {"alpha": self.alpha, "fleiss": self.fleiss, "cohen": self.cohen}
        groups = [("all", "all", name, one) for name, one in whole.items()]
        groups += [("pair", name, "cohen", one) for name, one in self.pairs.items()]
        groups += [("label", name, "alpha", one) for name, one in self.labels.items()]
        own = "agreement" if self.metric == NOMINAL else "alpha"
        groups += [("annotator", name, own, one) for name, one in self.people.items()]
        for kind, name, figure, one in groups:
            yield kind, name, figure, one.value, one.low, one.high, one.records, one.reason


def measure(
    votes: Sequence[Mapping[str, str]],
    scheme: Scheme,
    *,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> Agreement:
    """Return how far annotators agree (``params.yaml``, ``label.agreement``).

    :param votes: annotator → label, for each annotated record.
    """
    names = sorted({name for one in votes for name in one})
    shared = [one for one in votes if len(one) > 1]
    found = patterns(shared, names, kinds_of(shared, scheme))
    nominal = not (scheme.several or scheme.numeric)
    usual = usual_number(found) if nominal else None
    pairs = list(combinations(range(len(names)), 2)) if nominal else []
    plan = plan_of(found, scheme, usual, pairs)
    values = plan.figures(found.times[None, :].astype(float))
    low, high = intervals(plan, bootstrap_samples, confidence, seed)

    empty = NOBODY if not names else ONE_ANNOTATOR if len(names) == 1 else NO_OVERLAP

    def figure(key: str, at: int, records: int) -> Figure:
        if key not in values:
            return Figure(None, None, None, 0, NOT_NOMINAL)
        if not records:
            return Figure(None, None, None, 0, empty)
        value = number(values[key][0, at])
        ends = (number(low[key][at]), number(high[key][at]))
        if value is None:
            return Figure(None, None, None, records, ONE_LABEL)
        return Figure(value, *ends, records, None)

    both = {pair: int(found.times[together(found, pair)].sum()) for pair in pairs}
    return Agreement(
        metric=NOMINAL if nominal else MASI if scheme.several else INTERVAL,
        annotators=len(names),
        records=sum(bool(one) for one in votes),
        overlap=len(shared),
        alpha=figure("alpha", 0, len(shared)),
        fleiss=figure("fleiss", 0, int(found.times[found.total == usual].sum())),
        fleiss_annotators=usual,
        cohen=figure("mean", 0, len(shared)),
        pairs={
            f"{names[one]} / {names[other]}": figure("pairs", at, both[one, other])
            for at, (one, other) in enumerate(pairs)
            if both[one, other]
        },
        labels={label: figure("labels", at, len(shared)) for at, label in enumerate(scheme.labels)},
        people={
            name: figure("people", at, int(found.times[found.codes[:, at] >= 0].sum()))
            for at, name in enumerate(names)
        },
    )


def kinds_of(shared: Sequence[Mapping[str, str]], scheme: Scheme) -> Sequence[str]:
    """Return the different answers there can be, or were: sets and numbers have no end."""
    if not (scheme.several or scheme.numeric):
        return scheme.labels
    given = {answer for one in shared for answer in one.values()}
    return sorted(given, key=targets.number if scheme.numeric else None)


def plan_of(
    found: Patterns, scheme: Scheme, usual: int | None, pairs: Sequence[tuple[int, int]]
) -> Plan | Distances:
    """Return what counts the figures of a task."""
    if scheme.numeric:
        return Values(found)
    return Sets(found, scheme.labels) if scheme.several else Plan(found, usual, pairs)


def number(value: float) -> float | None:
    """Return a plain number; JSON knows no NaN."""
    import math

    return round(float(value), DIGITS) if math.isfinite(value) else None


def intervals(
    plan: Plan | Distances, samples: int, confidence: float, seed: int
) -> tuple[dict[str, Numbers], dict[str, Numbers]]:
    """Return the lower and the upper ends of each figure, by name."""
    import numpy as np

    times = plan.found.times
    if not len(times):
        return {}, {}
    random = np.random.default_rng(seed)
    records = int(times.sum())
    drawn: dict[str, list[Numbers]] = {}
    block = max(1, CELLS // len(times))
    for start in range(0, samples, block):
        wanted = min(block, samples - start)
        resampled = random.multinomial(records, times / records, size=wanted).astype(np.float64)
        for name, values in plan.figures(resampled).items():
            drawn.setdefault(name, []).append(values)
    tail = (1 - confidence) / 2
    joined = {name: np.concatenate(values) for name, values in drawn.items()}
    ends = {name: quantiles(values, tail) for name, values in joined.items()}
    return {name: one[0] for name, one in ends.items()}, {
        name: one[1] for name, one in ends.items()
    }


def quantiles(values: Numbers, tail: float) -> Numbers:
    """Return the ends of the interval of each column, [2, columns], over what is defined."""
    import numpy as np

    ends = np.full((2, values.shape[1]), np.nan)
    for at, column in enumerate(values.T):
        defined = column[np.isfinite(column)]
        if len(defined):
            ends[:, at] = np.quantile(defined, [tail, 1 - tail])
    return ends


def gate(found: Agreement, min_alpha: float | None, min_records: int) -> None:
    """Stop the pipeline when annotators agree too little, or when nobody can say.

    :param min_alpha: what the lower end of α's interval has to reach; None asks for nothing.
    :param min_records: how many records at least two people have to have labelled.
    :raises GateError: saying what was found.
    """
    if min_alpha is None:
        return
    where, alpha = "label, agreement.min_alpha", found.alpha
    if alpha.value is None or alpha.low is None:
        raise GateError.at(
            where,
            found=REASONS[alpha.reason or NO_OVERLAP],
            allowed=_("a lower end of Krippendorff's alpha >= {bound}", bound=f"{min_alpha:.4f}"),
            fix=_("Let several people label the same records, or set min_alpha to null."),
        )
    if found.overlap < min_records:
        raise GateError.at(
            "label, agreement.min_records",
            found=_("{count} records that several people labelled", count=found.overlap),
            allowed=_("at least {minimum}", minimum=min_records),
            fix=_("Let several people label the same records, or set min_alpha to null."),
        )
    if alpha.low < min_alpha:
        raise GateError.at(
            where,
            found=_(
                "alpha {value}, interval {low} to {high}",
                value=f"{alpha.value:.4f}",
                low=f"{alpha.low:.4f}",
                high=f"{alpha.high:.4f}",
            ),
            allowed=_("a lower end of Krippendorff's alpha >= {bound}", bound=f"{min_alpha:.4f}"),
            fix=_(
                "See data/label/agreement.csv for where people disagree, make the guideline "
                "clearer, or lower the gate."
            ),
        )
