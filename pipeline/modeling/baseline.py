"""The cheap model beside the large one: TF-IDF and a linear classifier, fitted in seconds.

What was learnt is a vocabulary and three arrays, kept as JSON and safetensors: nothing that could
run when it is loaded. (skops would do too, but it looks into every loaded module for type names,
which fails beside transformers.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts import read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETTINGS, WEIGHTS = "baseline.json", "baseline.safetensors"


@dataclass(frozen=True)
class Baseline:
    """A fitted TF-IDF with a linear classifier on top."""

    labels: list[str]
    features: Any  # scikit-learn's TfidfVectorizer
    weights: NDArray[np.float64]  # [labels, features]
    offsets: NDArray[np.float64]  # [labels]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the label of each text."""
        values = self.features.transform(list(texts)) @ self.weights.T + self.offsets
        return [self.labels[at] for at in values.argmax(axis=1)]

    def save(self, folder: Path) -> None:
        """Write the baseline into ``folder``."""
        from safetensors.numpy import save_file

        settings = {
            "labels": self.labels,
            "analyzer": self.features.analyzer,
            "longest": self.features.ngram_range[1],
            "vocabulary": {word: int(at) for word, at in self.features.vocabulary_.items()},
        }
        write_json(folder / SETTINGS, settings)
        arrays = {"idf": self.features.idf_, "weights": self.weights, "offsets": self.offsets}
        save_file(
            {name: np.ascontiguousarray(one) for name, one in arrays.items()}, folder / WEIGHTS
        )

    @classmethod
    def load(cls, folder: Path) -> Baseline:
        """Read a baseline.

        :raises DataError: if its settings cannot be read.
        """
        from safetensors.numpy import load_file

        settings, arrays = read_json(folder / SETTINGS), load_file(folder / WEIGHTS)
        features = vectorizer(
            settings["analyzer"], settings["longest"], vocabulary=settings["vocabulary"]
        )
        features.idf_ = arrays["idf"]
        return cls(settings["labels"], features, arrays["weights"], arrays["offsets"])


def fit(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    classifier: str,
    analyzer: str,
    longest: int,
    max_features: int,
    seed: int,
) -> Baseline:
    """Return a fitted baseline (``params.yaml``, ``train.baseline``)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    kinds = {
        "linear_svc": LinearSVC(random_state=seed),
        "logistic_regression": LogisticRegression(max_iter=1_000, C=10.0, random_state=seed),
    }
    features = vectorizer(analyzer, longest, max_features=max_features)
    linear = kinds[classifier].fit(features.fit_transform(list(texts)), list(labels))
    weights, offsets = linear.coef_, np.atleast_1d(linear.intercept_)
    if len(linear.classes_) == 2:  # scikit-learn keeps one row, the second label's
        weights, offsets = np.vstack([-weights, weights]), np.hstack([-offsets, offsets])
    return Baseline([str(label) for label in linear.classes_], features, weights, offsets)


def vectorizer(analyzer: str, longest: int, **more: Any) -> Any:
    """Return a TF-IDF that is not fitted yet."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, longest),
        sublinear_tf=True,
        # One-letter words count too; without words there is no pattern of one.
        token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
        **more,
    )
