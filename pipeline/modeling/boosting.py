"""Gradient boosting on the columns beside the text, kept as plain arrays of trees.

The trees are scikit-learn's (Friedman 2001), read from the public arrays of their ``tree_``, and
asked here: a model that was loaded answers as the one that was fitted, without a pickle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.steps.targets import MULTI, REGRESSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.tasks.base import Task

TREES, DEPTH, RATE = 100, 3, 0.1  # scikit-learn's own
MOST_RECORDS = 20_000  # drawn by the seed from more: time grows with records × trees × labels
MOST_CATEGORIES = 30  # that become a column each; the rest share the zeros
NEVER = -np.inf


@dataclass(frozen=True)
class Columns:
    """How features become numbers: names, fills and categories learnt from training records."""

    numbers: dict[str, float]  # name → what a missing value becomes: the median
    categories: dict[str, list[str]]  # name → its most frequent values

    def matrix(self, records: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Return [records, columns]: a number and whether it is missing, or each category."""
        rows = [features_of(record) for record in records]
        columns: list[list[float]] = []
        for name, fill in self.numbers.items():
            values = [as_number(row.get(name)) for row in rows]
            columns.append([fill if one is None else one for one in values])
            columns.append([float(one is None) for one in values])
        for name, known in self.categories.items():
            told = [row.get(name) for row in rows]
            columns += [[float(value == one) for value in told] for one in known]
        return np.array(columns, dtype=np.float32).reshape(len(columns), len(rows)).T


def features_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns beside a record's text; split keeps them as JSON."""
    found = record.get("features")
    told = json.loads(found) if isinstance(found, str) else found
    return told if isinstance(told, dict) else {}


def as_number(value: object) -> float | None:
    """Return a feature as a number; None where it is missing or text."""
    if isinstance(value, bool | int | float):
        return float(value)
    return None


def learn_columns(records: Sequence[Mapping[str, Any]]) -> Columns | None:
    """Return how the features of ``records`` become numbers; None where there are none.

    A column that holds any text is one of categories.
    """
    seen: dict[str, list[Any]] = {}
    for record in records:
        for name, value in features_of(record).items():
            seen.setdefault(name, []).append(value)
    numbers: dict[str, float] = {}
    categories: dict[str, list[str]] = {}
    for name, values in seen.items():
        texts = Counter(value for value in values if isinstance(value, str))
        known = [one for one in map(as_number, values) if one is not None]
        if texts:
            order = sorted(texts, key=lambda one: (-texts[one], one))
            categories[name] = order[:MOST_CATEGORIES]
        elif known:
            numbers[name] = float(np.float32(np.median(known)))
    return Columns(numbers, categories) if numbers or categories else None


@dataclass(frozen=True)
class Forest:
    """The trees of all outputs, one after the other."""

    offsets: NDArray[np.float64]  # [outputs]: what stands before the first tree
    output: NDArray[np.int64]  # [trees]: which output a tree adds to
    root: NDArray[np.int64]  # [trees]: its first node
    feature: NDArray[np.int64]  # [nodes]: which column is asked; -1 in a leaf
    threshold: NDArray[np.float64]  # [nodes]: up to this one goes left
    left: NDArray[np.int64]  # [nodes]
    right: NDArray[np.int64]  # [nodes]
    value: NDArray[np.float64]  # [nodes]: what a leaf adds

    def values(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each output comes to, [records, outputs]."""
        found = np.tile(self.offsets, (len(matrix), 1))
        rows = np.arange(len(matrix))
        for output, root in zip(self.output, self.root, strict=True):
            node = np.full(len(matrix), root)
            for _level in range(DEPTH):
                asked = self.feature[node]
                goes_left = matrix[rows, np.maximum(asked, 0)] <= self.threshold[node]
                below = np.where(goes_left, self.left[node], self.right[node])
                node = np.where(asked < 0, node, below)
            found[:, output] += self.value[node]
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all there is, by name."""
        return dict(vars(self))


class Planting:
    """Collects trees of scikit-learn's models into one ``Forest``."""

    def __init__(self, outputs: int) -> None:
        self.offsets = np.full(outputs, NEVER)
        self.output: list[int] = []
        self.root: list[int] = []
        self.nodes: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("feature", "threshold", "left", "right", "value")
        }
        self.size = 0

    def add(self, trees: Sequence[Any], output: int, offset: float, sign: float = 1.0) -> None:
        """Add the trees of one output, with what stands before them.

        :param sign: -1 turns the trees round: the other one of two labels.
        """
        self.offsets[output] = sign * offset
        for one in trees:
            tree = one.tree_
            leaf = tree.children_left < 0
            self.output.append(output)
            self.root.append(self.size)
            self.nodes["feature"].append(np.where(leaf, -1, tree.feature))
            self.nodes["threshold"].append(tree.threshold)
            self.nodes["left"].append(np.where(leaf, 0, tree.children_left + self.size))
            self.nodes["right"].append(np.where(leaf, 0, tree.children_right + self.size))
            self.nodes["value"].append(sign * RATE * tree.value[:, 0, 0])
            self.size += tree.node_count

    def forest(self) -> Forest:
        """Return what was collected."""
        joined = {name: np.concatenate(parts) if parts else np.zeros(0)
                  for name, parts in self.nodes.items()}  # fmt: skip
        whole = {name: joined[name].astype(np.int64) for name in ("feature", "left", "right")}
        return Forest(
            offsets=self.offsets,
            output=np.array(self.output, dtype=np.int64),
            root=np.array(self.root, dtype=np.int64),
            threshold=joined["threshold"].astype(np.float64),
            value=joined["value"].astype(np.float64),
            **whole,
        )


def fit(task: Task, matrix: NDArray[np.float32], labels: Sequence[str], *, seed: int
        ) -> Forest | None:  # fmt: skip
    """Return boosted trees for ``task``; None where all records say the same."""
    wanted = task.targets(labels)
    if len(matrix) > MOST_RECORDS:
        drawn = np.random.default_rng(seed).choice(len(matrix), MOST_RECORDS, replace=False)
        matrix, wanted = matrix[np.sort(drawn)], wanted[np.sort(drawn)]
    planting = Planting(len(task.outputs))
    if task.name == MULTI:
        for at, column in enumerate(np.asarray(wanted).T):
            has = column > 0.5
            if has.all() or not has.any():
                planting.offsets[at] = 1.0 if has.all() else -1.0
            else:
                model = booster(seed).fit(matrix, has)
                planting.add(model.estimators_[:, 0], at, start(model, matrix)[0])
    elif task.name == REGRESSION:
        if len(np.unique(wanted)) < 2:
            return None
        model = booster(seed, numbers=True).fit(matrix, np.asarray(wanted, dtype=np.float64))
        planting.add(model.estimators_[:, 0], 0, start(model, matrix, numbers=True)[0])
    else:
        plant_single(planting, matrix, wanted, seed)
    return planting.forest() if planting.size else None


def plant_single(
    planting: Planting, matrix: NDArray[np.float32], wanted: NDArray[np.int64], seed: int
) -> None:
    """Add the trees of each label that the records have, if they have two."""
    if len(np.unique(wanted)) < 2:
        return
    model = booster(seed).fit(matrix, wanted)
    before = start(model, matrix)
    if len(model.classes_) == 2:  # scikit-learn grows trees for the second label only
        no, yes = (int(one) for one in model.classes_)
        planting.add(model.estimators_[:, 0], no, before[0], sign=-1.0)
        planting.add(model.estimators_[:, 0], yes, before[0])
        return
    for column, output in enumerate(model.classes_):
        planting.add(model.estimators_[:, column], int(output), before[column])


def booster(seed: int, *, numbers: bool = False) -> Any:
    """Return scikit-learn's gradient boosting, not fitted yet."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingRegressor if numbers else GradientBoostingClassifier
    return kind(n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, random_state=seed)


def start(model: Any, matrix: NDArray[np.float32], *, numbers: bool = False) -> list[float]:
    """Return what stands before the first tree, for each column of trees.

    It is the answer less what the trees add: scikit-learn has no public name for it.
    """
    one = matrix[:1]
    whole = np.ravel(model.predict(one) if numbers else model.decision_function(one))
    grown = [sum(RATE * tree.predict(one)[0] for tree in trees) for trees in model.estimators_.T]
    return [float(value - added) for value, added in zip(whole, grown, strict=True)]
