"""Missing numbers worked out from the other numbers: learnt by scikit-learn, kept as plain values.

What is learnt is a JSON-able mapping, and filling takes nothing else, so that what an audit reads
is what was applied. Matrices are [records, columns], NaN where a value is missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

NEIGHBOURS = 5
DONORS = 2_000  # among whom neighbours are looked for; time and size grow with it
ROUNDS = 10  # in which each column is worked out from the others again


def learn_comparable(known: Matrix) -> dict[str, Any]:
    """Return what makes columns comparable: without it the largest would outweigh the rest."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(known)
    return {"means": scaler.mean_.tolist(), "deviations": scaler.scale_.tolist()}


def comparable(values: Matrix, learnt: Mapping[str, Any]) -> Matrix:
    """Return the columns with mean 0 and deviation 1."""
    import numpy as np

    scaled: Matrix = (values - np.array(learnt["means"])) / np.array(learnt["deviations"])
    return scaled


def merged(values: Matrix, scaled: Matrix, learnt: Mapping[str, Any]) -> Matrix:
    """Return the values there were, and for missing ones what was found on the comparable scale."""
    import numpy as np

    found = scaled * np.array(learnt["deviations"]) + np.array(learnt["means"])
    return np.where(np.isnan(values), found, values)


def learn_neighbours(known: Matrix, seed: int) -> dict[str, Any]:
    """Return the records that lend their values, at most ``DONORS`` drawn ones."""
    import numpy as np

    drawn = np.random.default_rng(seed).permutation(len(known))[:DONORS]
    donors = known[np.sort(drawn)]
    return learn_comparable(known) | {
        "donors": [[None if np.isnan(one) else float(one) for one in row] for row in donors],
    }


def from_neighbours(values: Matrix, learnt: Mapping[str, Any]) -> Matrix:
    """Fill with the mean of the nearest donors, by Euclidean distance on the comparable scale."""
    import numpy as np
    from sklearn.impute import KNNImputer

    donors = comparable(np.array(learnt["donors"], dtype=np.float64), learnt)
    imputer = KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True).fit(donors)
    return merged(values, np.asarray(imputer.transform(comparable(values, learnt))), learnt)


def learn_regression(known: Matrix, seed: int) -> dict[str, Any]:
    """Return the regressions of each column on the others, in the order in which they apply."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer
    from sklearn.linear_model import BayesianRidge

    learnt = learn_comparable(known)
    if known.shape[1] == 1:  # no other column: what is missing becomes the mean
        return learnt | {"steps": []}
    imputer = IterativeImputer(
        BayesianRidge(), max_iter=ROUNDS, random_state=seed, keep_empty_features=True
    )
    with warnings.catch_warnings():
        # The rounds are bounded on purpose: the last ones change little.
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer.fit(comparable(known, learnt))
    steps = [
        {
            "column": int(step.feat_idx),
            "others": [int(one) for one in step.neighbor_feat_idx],
            "coefficients": step.estimator.coef_.tolist(),
            "intercept": float(step.estimator.intercept_),
        }
        for step in imputer.imputation_sequence_
    ]
    return learnt | {"steps": steps}


def from_regression(values: Matrix, learnt: Mapping[str, Any]) -> Matrix:
    """Fill with what the regressions give, one after the other, starting from the means."""
    import numpy as np

    missing = np.isnan(values)
    scaled = np.where(missing, 0.0, comparable(values, learnt))
    for step in learnt["steps"]:
        rows = missing[:, step["column"]]
        others = scaled[rows][:, step["others"]]
        scaled[rows, step["column"]] = others @ np.array(step["coefficients"]) + step["intercept"]
    return merged(values, scaled, learnt)
