"""The cheap model beside the large one: TF-IDF and a linear classifier, fitted in seconds.

Saved by skops, which, other than pickle, loads only the types named here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.i18n import _

FILE = "baseline.skops"


def fit(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    classifier: str,
    analyzer: str,
    longest: int,
    max_features: int,
    seed: int,
) -> Any:
    """Return a fitted scikit-learn pipeline that predicts label names."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.svm import LinearSVC

    features = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, longest),
        max_features=max_features,
        sublinear_tf=True,
        # One-letter words count too; without words there is no pattern of one.
        token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
    )
    kinds = {
        "linear_svc": LinearSVC(random_state=seed),
        "logistic_regression": LogisticRegression(max_iter=1_000, C=10.0, random_state=seed),
    }
    pipeline = Pipeline([("features", features), ("classifier", kinds[classifier])])
    return pipeline.fit(list(texts), list(labels))


def save(pipeline: Any, folder: Path) -> None:
    """Write the baseline without pickle."""
    from skops.io import dump

    dump(pipeline, folder / FILE)


def load(folder: Path) -> Any:
    """Read a baseline.

    :raises ModelError: if the file holds types that a baseline does not need.
    """
    from skops.io import get_untrusted_types
    from skops.io import load as read

    foreign = get_untrusted_types(file=folder / FILE)
    if foreign:
        raise ModelError.at(
            folder / FILE,
            found=", ".join(foreign),
            allowed=_("scikit-learn's own types"),
            fix=_("Do not use this file; run dvc repro train."),
        )
    return read(folder / FILE)
