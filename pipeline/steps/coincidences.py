"""Annotators' answers, counted: the different patterns of them, and the figures of agreement.

Krippendorff's α, Fleiss' κ and Cohen's κ of one label a record are counted here for thousands of
resamples at once, as products with how often each pattern of answers occurs. Sets of labels and
numbers have plans of their own in ``steps.distances``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Patterns:
    """The different rows of answers of records with at least two, and how often each occurs."""

    kinds: Sequence[str]  # the different answers
    codes: NDArray[np.int64]  # [patterns, annotators], position of the kind, -1 without an answer
    times: NDArray[np.int64]  # [patterns]
    total: Numbers  # [patterns], how many answers there are

    def answers(self) -> Numbers:
        """Return how many annotators gave each kind of answer, [patterns, kinds]."""
        import numpy as np

        found = np.zeros((len(self.codes), len(self.kinds)))
        for column in self.codes.T:
            spoken = np.flatnonzero(column >= 0)
            found[spoken, column[spoken]] += 1
        return found


def patterns(
    shared: Sequence[Mapping[str, str]], names: Sequence[str], kinds: Sequence[str]
) -> Patterns:
    """Return the different rows of answers; their order does not depend on the records'.

    :param shared: annotator → answer, for each record with at least two.
    :param names: of the annotators.
    :param kinds: of answers, each once.
    """
    import numpy as np

    position = {label: at for at, label in enumerate(kinds)}
    rows = Counter(
        tuple(position[one[name]] if name in one else -1 for name in names) for one in shared
    )
    codes = np.array(sorted(rows), dtype=np.int64).reshape(len(rows), len(names))
    times = np.array([rows[tuple(row)] for row in codes.tolist()], dtype=np.int64)
    return Patterns(kinds, codes, times, (codes >= 0).sum(axis=1).astype(np.float64))


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
        self.answers = found.answers()
        self.credit, self.compared = credit(found, self.answers)

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
        answers, total = self.answers, self.found.total
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
        answers, times = self.answers[rows], times[:, rows]
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

        rows = together(self.found, pair)
        one, other = self.found.codes[rows][:, list(pair)].T
        times = times[:, rows]
        kinds = np.arange(len(self.found.kinds))
        records = times.sum(axis=1)
        observed = over(times @ (one == other).astype(np.float64), records)
        first = times @ (one[:, None] == kinds).astype(np.float64)
        second = times @ (other[:, None] == kinds).astype(np.float64)
        chance = over((first * second).sum(axis=1), records**2)
        return over(observed - chance, 1 - chance)


def together(found: Patterns, pair: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which patterns hold an answer of both annotators."""
    shared: NDArray[np.bool_] = (found.codes[:, pair[0]] >= 0) & (found.codes[:, pair[1]] >= 0)
    return shared


def credit(found: Patterns, answers: Numbers) -> tuple[Numbers, Numbers]:
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
        others = answers[rows]
        others[np.arange(len(rows)), own] -= 1
        best = others == others.max(axis=1, keepdims=True)
        earned[rows, at] = best[np.arange(len(rows)), own] / best.sum(axis=1)
    return earned, spoken.astype(np.float64)
