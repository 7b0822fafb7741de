"""How far annotators agree, beyond what chance would give, and how sure that is.

Krippendorff's α (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", nominal data by
coincidences) takes any number of annotators and missing answers and is what the gate reads.
Fleiss' κ (Fleiss 1971) needs the same number of answers for each record, Cohen's κ (Cohen 1960) is
of two annotators. Thousands of resamples need each in microseconds, so they are counted here;
tests hold them equal to published examples, to statsmodels and to scikit-learn.

Records with the same answers are exchangeable, so only the different patterns of answers are kept,
with how often each occurs; a bootstrap over records (Efron and Tibshirani 1993, chapter 13) is then
a multinomial draw of these numbers. A resample for which a figure is undefined does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError
from pipeline.i18n import _

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

NOBODY = "no_annotation"
ONE_ANNOTATOR = "one_annotator"
NO_OVERLAP = "no_overlap"
ONE_LABEL = "one_label"
REASONS = {
    NOBODY: _("nobody has annotated a record"),
    ONE_ANNOTATOR: _("there is one annotator only"),
    NO_OVERLAP: _("no record was labelled by several annotators"),
    ONE_LABEL: _("only one answer was ever given, so nothing could differ by chance"),
}
DIGITS = 6  # the last bits depend on how a processor adds up
CELLS = 4_000_000  # of a block of resamples: bounds memory
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

    annotators: int
    records: int  # labelled by anybody
    overlap: int  # labelled by at least two
    alpha: Figure
    fleiss: Figure
    fleiss_annotators: int | None  # κ counts the records with so many answers, the usual number
    cohen: Figure  # mean of the pairs
    pairs: dict[str, Figure]  # "ann / bob"
    labels: dict[str, Figure]  # α of this label against all others
    people: dict[str, Figure]  # share of agreement with the majority of the others

    def report(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of ``agreement.csv``, under ``HEADER``."""
        whole = {"alpha": self.alpha, "fleiss": self.fleiss, "cohen": self.cohen}
        groups = [("all", "all", name, one) for name, one in whole.items()]
        groups += [("pair", name, "cohen", one) for name, one in self.pairs.items()]
        groups += [("label", name, "alpha", one) for name, one in self.labels.items()]
        groups += [("annotator", name, "agreement", one) for name, one in self.people.items()]
        for kind, name, figure, one in groups:
            yield kind, name, figure, one.value, one.low, one.high, one.records, one.reason


@dataclass(frozen=True)
class Patterns:
    """The different rows of answers of records with at least two, and how often each occurs."""

    codes: NDArray[np.int64]  # [patterns, annotators], -1 where an annotator gave no answer
    times: NDArray[np.int64]  # [patterns]
    answers: Numbers  # [patterns, labels], how many annotators gave each label
    total: Numbers  # [patterns], how many answers there are


def measure(
    votes: Sequence[Mapping[str, str]],
    labels: Sequence[str],
    *,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> Agreement:
    """Return how far annotators agree (``params.yaml``, ``label.agreement``).

    :param votes: annotator → label, for each annotated record.
    :param labels: of the task.
    """
    import numpy as np

    names = sorted({name for one in votes for name in one})
    shared = [one for one in votes if len(one) > 1]
    found = patterns(shared, names, labels)
    usual = usual_number(found)
    pairs = list(combinations(range(len(names)), 2))
    plan = Plan(found, usual, pairs)
    values = plan.figures(found.times[None, :].astype(np.float64))
    low, high = intervals(plan, bootstrap_samples, confidence, seed)

    empty = NOBODY if not names else ONE_ANNOTATOR if len(names) == 1 else NO_OVERLAP

    def figure(key: tuple[str, ...] | str, at: int, records: int) -> Figure:
        if not records:
            return Figure(None, None, None, 0, empty)
        value = number(values[str(key)][0, at])
        ends = (number(low[str(key)][at]), number(high[str(key)][at]))
        if value is None:
            return Figure(None, None, None, records, ONE_LABEL)
        return Figure(value, *ends, records, None)

    both = {pair: int(found.times[plan.together(pair)].sum()) for pair in pairs}
    return Agreement(
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
        labels={label: figure("labels", at, len(shared)) for at, label in enumerate(labels)},
        people={
            name: figure("people", at, int(found.times[found.codes[:, at] >= 0].sum()))
            for at, name in enumerate(names)
        },
    )


def number(value: float) -> float | None:
    """Return a plain number; JSON knows no NaN."""
    import math

    return round(float(value), DIGITS) if math.isfinite(value) else None


def patterns(
    shared: Sequence[Mapping[str, str]], names: Sequence[str], labels: Sequence[str]
) -> Patterns:
    """Return the different rows of answers; their order does not depend on the records'."""
    import numpy as np

    position = {label: at for at, label in enumerate(labels)}
    rows = Counter(
        tuple(position[one[name]] if name in one else -1 for name in names) for one in shared
    )
    codes = np.array(sorted(rows), dtype=np.int64).reshape(len(rows), len(names))
    times = np.array([rows[tuple(row)] for row in codes.tolist()], dtype=np.int64)
    answers = np.zeros((len(rows), len(labels)))
    for column in codes.T:
        spoken = np.flatnonzero(column >= 0)
        answers[spoken, column[spoken]] += 1
    return Patterns(codes, times, answers, answers.sum(axis=1))


def usual_number(found: Patterns) -> int | None:
    """Return how many answers most shared records have, of equals the larger; None without any."""
    import numpy as np

    often = {int(n): int(found.times[found.total == n].sum()) for n in np.unique(found.total)}
    return max(often, key=lambda n: (often[n], n)) if often else None


def over(above: Numbers, below: Numbers) -> Numbers:
    """Return ``above / below``, NaN where ``below`` is nothing: the figure is undefined there."""
    import numpy as np

    empty = np.full(np.shape(above), np.nan)
    shares: Numbers = np.divide(above, below, out=empty, where=below > 1e-12)
    return shares


class Plan:
    """What all figures need, counted once; then they are products with the patterns' numbers."""

    def __init__(
        self, found: Patterns, usual: int | None, pairs: Sequence[tuple[int, int]]
    ) -> None:
        self.found, self.usual, self.pairs = found, usual, pairs
        self.credit, self.compared = credit(found)

    def together(self, pair: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which patterns hold an answer of both annotators."""
        codes = self.found.codes
        shared: NDArray[np.bool_] = (codes[:, pair[0]] >= 0) & (codes[:, pair[1]] >= 0)
        return shared

    def figures(self, times: Numbers) -> dict[str, Numbers]:
        """Return every figure for several samples.

        :param times: [samples, patterns], how often each pattern occurs in a sample.
        :returns: name → [samples, annotators, labels, pairs or 1]; NaN where it is undefined.
        """
        import numpy as np

        kappas = [self.cohen(times, pair) for pair in self.pairs]
        cohen = np.stack(kappas, axis=1) if kappas else np.empty((len(times), 0))
        defined = np.isfinite(cohen)
        alpha, labels = self.alphas(times)
        return {
            "alpha": alpha[:, None],
            "labels": labels,
            "fleiss": self.fleiss(times)[:, None],
            "pairs": cohen,
            "mean": over(np.where(defined, cohen, 0).sum(axis=1), defined.sum(axis=1))[:, None],
            "people": over(times @ self.credit, times @ self.compared),
        }

    def alphas(self, times: Numbers) -> tuple[Numbers, Numbers]:
        """Return Krippendorff's α of all labels, [samples], and of each alone, [samples, labels].

        1 - (n - 1) Σ observed disagreement / Σ expected, over the n answers of shared records.
        """
        answers, total = self.found.answers, self.found.total
        others = total - 1
        apart = (total**2 - (answers**2).sum(axis=1)) / others
        alone = 2 * answers * (total[:, None] - answers) / others[:, None]
        each, every = times @ answers, times @ total
        expected = every**2 - (each**2).sum(axis=1)
        against = 2 * each * (every[:, None] - each)
        return (
            1 - over((every - 1) * (times @ apart), expected),
            1 - over((every - 1)[:, None] * (times @ alone), against),
        )

    def fleiss(self, times: Numbers) -> Numbers:
        """Return Fleiss' κ, [samples], over the records with the usual number of answers."""
        import numpy as np

        usual = self.usual or 2
        rows = self.found.total == usual
        answers, times = self.found.answers[rows], times[:, rows]
        records = times.sum(axis=1)
        agreeing = ((answers**2).sum(axis=1) - usual) / (usual * (usual - 1))
        observed = over(times @ agreeing, records)
        shares = over(
            times @ answers,
            np.broadcast_to(records[:, None] * usual, (len(times), answers.shape[1])),
        )
        chance = (shares**2).sum(axis=1)
        return over(observed - chance, 1 - chance)

    def cohen(self, times: Numbers, pair: tuple[int, int]) -> Numbers:
        """Return Cohen's κ of two annotators, [samples], over the records that both labelled."""
        import numpy as np

        rows = self.together(pair)
        one, other = self.found.codes[rows][:, list(pair)].T
        times = times[:, rows]
        kinds = np.arange(self.found.answers.shape[1])
        records = times.sum(axis=1)
        observed = over(times @ (one == other).astype(np.float64), records)
        first = times @ (one[:, None] == kinds).astype(np.float64)
        second = times @ (other[:, None] == kinds).astype(np.float64)
        chance = over((first * second).sum(axis=1), records**2)
        return over(observed - chance, 1 - chance)


def credit(found: Patterns) -> tuple[Numbers, Numbers]:
    """Return each annotator's agreement with the majority of the others, and where there is one.

    Where k labels of the others are equally frequent, each of them earns 1 / k.

    :returns: two arrays, [patterns, annotators].
    """
    import numpy as np

    spoken = found.codes >= 0
    earned = np.zeros(found.codes.shape)
    for at in range(found.codes.shape[1]):
        rows = np.flatnonzero(spoken[:, at])
        own = found.codes[rows, at]
        others = found.answers[rows]
        others[np.arange(len(rows)), own] -= 1
        best = others == others.max(axis=1, keepdims=True)
        earned[rows, at] = best[np.arange(len(rows)), own] / best.sum(axis=1)
    return earned, spoken.astype(np.float64)


def intervals(
    plan: Plan, samples: int, confidence: float, seed: int
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
