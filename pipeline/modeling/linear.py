"""Linear models of scikit-learn, fitted here, kept as plain arrays, and the TF-IDF below them.

What was learnt is a vocabulary and some arrays: nothing that could run when it is loaded. (skops
would do too, but it looks into every loaded module for type names, which fails beside
transformers.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.steps.targets import MULTI, REGRESSION, SINGLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

LOGISTIC, SUPPORT = "logistic_regression", "linear_svc"
NEVER = -np.inf  # the value of a label that the training part does not have
STRENGTH = 10.0  # C of the logistic regression on TF-IDF, measured on TREC and on reviews
STRENGTH_DENSE = 0.03  # of that on standardized embeddings, measured on TREC with MiniLM
ROUNDS, ROUNDS_SUPPORT = 1_000, 5_000


@dataclass(frozen=True)
class Linear:
    """One row of weights an output."""

    weights: NDArray[np.float64]  # [outputs, features]
    offsets: NDArray[np.float64]  # [outputs]

    def values(self, features: Any) -> NDArray[np.float64]:
        """Return what each output comes to, [records, outputs].

        :param features: [records, features], sparse or dense.
        """
        return np.asarray(features @ self.weights.T + self.offsets)


@dataclass(frozen=True)
class Words:
    """TF-IDF of words, of characters, or of both beside each other."""

    blocks: list[Any]  # scikit-learn's TfidfVectorizer, each with its analyzer

    def features(self, texts: Sequence[str]) -> Any:
        """Return a sparse matrix, [texts, features]."""
        from scipy.sparse import hstack

        found = [block.transform(list(texts)) for block in self.blocks]
        return hstack(found).tocsr() if len(found) > 1 else found[0]

    def settings(self) -> list[dict[str, Any]]:
        """Return what to keep as JSON; ``weights`` returns the rest."""
        return [
            {
                "analyzer": block.analyzer,
                "longest": block.ngram_range[1],
                "vocabulary": {word: int(at) for word, at in block.vocabulary_.items()},
            }
            for block in self.blocks
        ]

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Return the inverse document frequencies of each block."""
        return {f"idf_{at}": block.idf_ for at, block in enumerate(self.blocks)}

    @classmethod
    def restore(cls, settings: Sequence[dict[str, Any]], weights: dict[str, Any]) -> Words:
        """Return what ``settings`` and ``weights`` were taken from."""
        blocks = []
        for at, one in enumerate(settings):
            block = vectorizer(one["analyzer"], one["longest"], vocabulary=one["vocabulary"])
            block.idf_ = weights[f"idf_{at}"]
            blocks.append(block)
        return cls(blocks)


def fit_words(texts: Sequence[str], knobs: Any) -> Words | None:
    """Return the TF-IDF of ``texts``; None where they hold no words.

    :param knobs: section ``train.baselines``; ``both`` shares ``max_features`` between the two.
    """
    both = knobs.analyzer == "both"
    analyzers = ("word", "char_wb") if both else (knobs.analyzer,)
    blocks = []
    for analyzer in analyzers:
        most = knobs.max_features // len(analyzers)
        block = vectorizer(analyzer, knobs.longest, max_features=most)
        try:
            blocks.append(block.fit(list(texts)))
        except ValueError:  # scikit-learn's word for an empty vocabulary
            continue
    return Words(blocks) if blocks else None


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


def fit(
    kind: str, task: Task, features: Any, labels: Sequence[str], *, seed: int
) -> tuple[Linear | None, bool]:
    """Return a fitted model, None where all records say the same, and whether it converged.

    :param kind: ``LOGISTIC`` or ``SUPPORT``; for numbers ridge regression or its support vectors.
    :param features: [records, features]; dense ones are standardized first, which the returned
        weights hold already.
    """
    from sklearn.exceptions import ConvergenceWarning

    wanted = task.targets(labels)
    dense = isinstance(features, np.ndarray)
    middle, spread = standard(features) if dense else (0.0, 1.0)
    scaled = (features - middle) / spread if dense else features
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        found = FITTED[task.name](kind, task, scaled, wanted, seed, dense)
    converged = not any(issubclass(one.category, ConvergenceWarning) for one in told)
    if found is None or not dense:
        return found, converged
    weights = found.weights / spread
    return Linear(weights, found.offsets - weights @ middle), converged


def standard(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each column; 1 for what does not vary."""
    spread = values.std(axis=0, dtype=np.float64)
    return values.mean(axis=0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


def classifier(kind: str, seed: int, dense: bool) -> Any:
    """Return scikit-learn's model for labels, not fitted yet."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    if kind == SUPPORT:
        return LinearSVC(max_iter=ROUNDS_SUPPORT, random_state=seed)
    strength = STRENGTH_DENSE if dense else STRENGTH
    return LogisticRegression(max_iter=ROUNDS, C=strength, random_state=seed)


def fit_single(
    kind: str, task: Task, features: Any, wanted: NDArray[np.int64], seed: int, dense: bool
) -> Linear | None:
    """Return one row of weights a label; labels that nobody has are never answered."""
    if len(np.unique(wanted)) < 2:
        return None
    fitted = classifier(kind, seed, dense).fit(features, wanted)
    weights, offsets = fitted.coef_, np.atleast_1d(fitted.intercept_)
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row, the second label's
        weights, offsets = np.vstack([-weights, weights]), np.hstack([-offsets, offsets])
    whole = Linear(
        np.zeros((len(task.labels), features.shape[1])), np.full(len(task.labels), NEVER)
    )
    whole.weights[fitted.classes_], whole.offsets[fitted.classes_] = weights, offsets
    return whole


def fit_multi(
    kind: str, task: Task, features: Any, wanted: NDArray[np.float32], seed: int, dense: bool
) -> Linear | None:
    """Return one row of weights a label, each fitted against the rest.

    A label that all records have, or none, is answered always, or never.
    """
    whole = Linear(np.zeros((len(task.labels), features.shape[1])), np.zeros(len(task.labels)))
    varies = 0
    for at, column in enumerate(np.asarray(wanted).T):
        has = column > 0.5
        if has.all() or not has.any():
            whole.offsets[at] = 1.0 if has.all() else -1.0
            continue
        fitted = classifier(kind, seed, dense).fit(features, has)
        whole.weights[at], whole.offsets[at] = fitted.coef_[0], fitted.intercept_[0]
        varies += 1
    return whole if varies else None


def fit_numbers(
    kind: str, task: Task, features: Any, wanted: NDArray[np.float32], seed: int, dense: bool
) -> Linear | None:
    """Return the weights of a regression, fitted on standardized numbers."""
    from sklearn.linear_model import Ridge
    from sklearn.svm import LinearSVR

    middle, spread = float(np.mean(wanted, dtype=float)), float(np.std(wanted, dtype=float))
    if spread == 0:
        return None
    models = {
        # More records than numbers of an embedding: its penalty has to grow to mean anything.
        LOGISTIC: Ridge(alpha=1 / STRENGTH_DENSE if dense else 1.0, random_state=seed),
        SUPPORT: LinearSVR(max_iter=ROUNDS_SUPPORT, random_state=seed),
    }
    fitted = models[kind].fit(features, (np.asarray(wanted, dtype=float) - middle) / spread)
    weights = np.asarray(fitted.coef_, dtype=float).reshape(1, -1) * spread
    return Linear(weights, np.atleast_1d(fitted.intercept_).astype(float) * spread + middle)


FITTED: dict[str, Callable[..., Linear | None]] = {
    SINGLE: fit_single,
    MULTI: fit_multi,
    REGRESSION: fit_numbers,
}
