"""From which distance on two sides differ: a bound that chance passes as seldom as is wished."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray


def upper(null: NDArray[np.floating[Any]], alarms: float) -> float:
    """Return what a further value of the same kind exceeds in at most a share of ``alarms`` cases.

    The larger of two bounds. One is the value of rank ``(n + 1)(1 - alarms)``, right whatever the
    distribution (Vovk et al. 2005, section 2.2), and at least the largest value where there are
    too few. The other is the quantile of a scaled chi-square with the same mean and variance
    (Satterthwaite 1946), which sums of squares follow nearly, by Wilson and Hilferty's formula
    (1931); it does not depend on the luck of a few large draws.

    :param null: distances where nothing differs, none negative, [draws].
    """
    values = np.sort(np.asarray(null, dtype=np.float64))
    rank = math.ceil((len(values) + 1) * (1 - alarms))
    bound = float(values[min(rank, len(values)) - 1])
    mean, variance = float(values.mean()), float(values.var())
    if mean <= 0 or variance <= 0:
        return bound
    freedom = 2 * mean**2 / variance
    normal = NormalDist().inv_cdf(1 - alarms)
    root = 1 - 2 / (9 * freedom) + normal * math.sqrt(2 / (9 * freedom))
    return max(bound, mean * max(root, 0.0) ** 3)
