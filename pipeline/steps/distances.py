"""Krippendorff's α where two different answers can be more or less different.

α = 1 - observed / expected disagreement, each a mean distance between two answers: of the same
record, and of any two records (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

The distance of two sets of labels is MASI's (Passonneau 2006, "Measuring Agreement on Set-valued
Items for Semantic and Pragmatic Annotation", LREC): 1 - (common labels / all of both) × m, where m
is 1 for equal sets, 2/3 where one holds the other, 1/3 where they overlap, 0 where they do not. Two
empty sets are equal. The distance of two numbers is the square of their difference (interval data).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.steps import targets
from pipeline.steps.coincidences import Patterns, over

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def masi(one: frozenset[str], other: frozenset[str]) -> float:
    """Return MASI's distance of two sets, 0 to 1."""
    if one == other:
        return 0.0
    common = len(one & other)
    m = 2 / 3 if one <= other or other <= one else 1 / 3
    return 1 - common / len(one | other) * m


class Distances:
    """α of answers with distances, and of each person with the others, for several samples.

    :param apart: [patterns], sum of the distances of all ordered pairs of answers of a record, over
        one less than their number.
    :param off: [patterns, annotators], mean distance of an annotator's answer from the others'.
    """

    def __init__(self, found: Patterns, apart: Numbers, off: Numbers) -> None:
        self.found, self.apart, self.off = found, apart, off

    def expected(self, times: Numbers) -> Numbers:
        """Return the sum of the distances of all ordered pairs of answers, [samples]."""
        raise NotImplementedError

    def figures(self, times: Numbers) -> dict[str, Numbers]:
        """Return α of all and of each person with the others.

        :param times: [samples, patterns], how often each pattern occurs in a sample.
        :returns: name → [samples, 1 or annotators]; NaN where it is undefined.
        """
        import numpy as np

        every = times @ self.found.total
        expected = self.expected(times)
        mean = over(expected, every * (every - 1))
        spoken = (self.found.codes >= 0).astype(np.float64)
        person = over(times @ np.where(spoken > 0, self.off, 0), times @ spoken)
        wide = np.broadcast_to(np.nan_to_num(mean)[:, None], person.shape)
        return {
            "alpha": 1 - over((every - 1) * (times @ self.apart), expected)[:, None],
            "people": 1 - over(person, wide),
        }


class Sets(Distances):
    """Answers are sets of labels, and each label alone is there or not."""

    def __init__(self, found: Patterns, labels: Sequence[str]) -> None:
        import numpy as np

        sets = [frozenset(targets.several(kind)) for kind in found.kinds]
        self.answers = found.answers()
        self.distance = np.array([[masi(one, other) for other in sets] for one in sets])
        self.distance = self.distance.reshape(len(sets), len(sets))
        self.holds = np.array([[label in one for label in labels] for one in sets], np.float64)
        self.holds = self.holds.reshape(len(sets), len(labels))
        others = found.total - 1
        summed = self.answers @ self.distance  # [patterns, kinds]: distances from each kind
        off = np.take_along_axis(summed, np.maximum(found.codes, 0), axis=1) / others[:, None]
        super().__init__(found, (summed * self.answers).sum(axis=1) / others, off)

    def expected(self, times: Numbers) -> Numbers:
        """Return the sum of MASI's distances of all ordered pairs of answers, [samples]."""
        each = times @ self.answers
        total: Numbers = ((each @ self.distance) * each).sum(axis=1)
        return total

    def figures(self, times: Numbers) -> dict[str, Numbers]:
        """Return α of the sets, of each person, and of each label that is there or not."""
        total = self.found.total
        given = self.answers @ self.holds
        alone = 2 * given * (total[:, None] - given) / (total - 1)[:, None]
        each, every = times @ given, (times @ total)[:, None]
        against = 2 * each * (every - each)
        labels = 1 - over((every - 1) * (times @ alone), against)
        return super().figures(times) | {"labels": labels}


class Values(Distances):
    """Answers are numbers."""

    def __init__(self, found: Patterns) -> None:
        import numpy as np

        spoken = found.codes >= 0
        value = np.zeros(found.codes.shape)
        if len(found.kinds) > 1:
            known = np.array([targets.number(kind) for kind in found.kinds])
            value[spoken] = known[found.codes[spoken]]
            # Neither large numbers with small differences nor small ones lose their digits so.
            value[spoken] = (value[spoken] - value[spoken].mean()) / value[spoken].std()
        self.sums, self.squares = value.sum(axis=1), (value**2).sum(axis=1)
        total, others = found.total, found.total - 1
        apart = 2 * (total * self.squares - self.sums**2) / others
        square = total[:, None] * value**2 - 2 * value * self.sums[:, None] + self.squares[:, None]
        super().__init__(found, np.maximum(apart, 0), square / others[:, None])

    def expected(self, times: Numbers) -> Numbers:
        """Return the sum of the squared differences of all ordered pairs, [samples]."""
        every = times @ self.found.total
        total: Numbers = 2 * (every * (times @ self.squares) - (times @ self.sums) ** 2)
        return total
