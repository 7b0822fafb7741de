"""Columns beside the text, made fit for slices and baselines: fitted on the training part only.

What is fitted is a JSON-able mapping, learnt with scikit-learn from training records alone, and
features are made from a record and that mapping and nothing else: so nothing can leak, and what
an audit reads is what was applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, Problem
from pipeline.i18n import _
from pipeline.steps import imputation
from pipeline.steps.reasons import MISSING_VALUE, OUTLIER
from pipeline.steps.values import NotANumber, category, number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Row = Mapping[str, object]
Recipe = Mapping[str, Any]
Feature = float | str | None
# By column: numbers as an array with NaN, categories as a list with None, where one is missing.
Table = dict[str, Any]

LISTED = 20  # rows with a wrong value, of each column
MOST_CATEGORIES = 1_000  # that become a column each; an identifier would become millions
UNKNOWN = -1.0  # the number of a category that the training part does not have
LEARNT_FILLS = ("mean", "median", "mode", "knn", "regression", "marker")


@dataclass(frozen=True)
class Prepared:
    """Features by record (none for a dropped one), why it goes or None, and what was fitted."""

    features: list[dict[str, Feature]]
    reasons: list[str | None]
    fitted: dict[str, Any]


def prepare(
    rows: Sequence[Row], recipes: Sequence[Recipe], training: Sequence[bool], *, seed: int
) -> Prepared:
    """Return the features of all records, fitted on the training ones.

    A record without a value that its recipe needs goes from every part; an outlier goes from the
    training part only, because without its hard records a test would flatter the model.

    :param rows: each record's columns; ``file`` and ``row``, where there, say where it stood.
    :param recipes: ``clean.columns``.
    :param training: whether a record is in the training part.
    :raises DataError: for a value that is no number and a column that nothing can be learnt from.
    """
    import numpy as np

    if not recipes:
        return Prepared([{} for _row in rows], [None] * len(rows), {"columns": {}})
    table = read(rows, recipes)
    lacking = missing_where_needed(table, recipes, len(rows))
    learnable = np.array(training, dtype=bool).reshape(len(rows)) & ~lacking
    if not learnable.any():
        raise DataError.at(
            "clean.columns",
            found=_("no training record that has all values"),
            allowed=_("one at least"),
            fix=_("Fill missing values instead of dropping their records."),
        )
    check(table, recipes, learnable)
    markers = missing_markers(table, recipes)
    fitted: dict[str, Any] = {"columns": {recipe["name"]: {} for recipe in recipes}}
    learn_fills(table, recipes, learnable, fitted, seed)
    table = filled(table, recipes, fitted)
    outside = learn_outliers(table, recipes, learnable, fitted, seed)
    kept = learnable & ~outside
    if not kept.any():
        raise DataError.at(
            "clean.columns",
            found=_("an outlier in every training record"),
            allowed=_("some that are none"),
            fix=_("Raise outlier_bound."),
        )
    fitted["records"] = int(kept.sum())
    learn_scales(clipped(table, recipes, fitted), recipes, kept, fitted)
    features = made(table, recipes, fitted, markers)
    reasons = [
        MISSING_VALUE if lacks else OUTLIER if lies else None
        for lacks, lies in zip(lacking, learnable & outside, strict=True)
    ]
    return Prepared(
        [one if reason is None else {} for one, reason in zip(features, reasons, strict=True)],
        reasons,
        fitted,
    )


def apply(
    rows: Sequence[Row], recipes: Sequence[Recipe], fitted: Mapping[str, Any]
) -> list[dict[str, Feature]]:
    """Return the features of further records from what ``prepare`` fitted; none is dropped."""
    if not recipes:
        return [{} for _row in rows]
    table = read(rows, recipes)
    markers = missing_markers(table, recipes)
    return made(filled(table, recipes, fitted), recipes, fitted, markers)


def read(rows: Sequence[Row], recipes: Sequence[Recipe]) -> Table:
    """Return the columns with their types.

    :raises DataError: with every row whose value is no number, up to ``LISTED`` a column.
    """
    import numpy as np

    table: Table = {}
    problems: list[Problem] = []
    for recipe in recipes:
        name = recipe["name"]
        if recipe["type"] == "category":
            table[name] = [category(row.get(name)) for row in rows]
            continue
        found, wrong = [], 0
        for row in rows:
            try:
                value = number(row.get(name))
            except NotANumber:
                value, wrong = None, wrong + 1
                if wrong <= LISTED:
                    problems.append(no_number(name, row))
            found.append(np.nan if value is None else value)
        if wrong > LISTED:
            problems.append(no_number(name, {name: _("{count} more", count=wrong - LISTED)}))
        table[name] = np.array(found, dtype=np.float64)
    if problems:
        raise DataError(*problems)
    return table


def no_number(name: str, row: Row) -> Problem:
    """Return what is wrong with one value, with the place it came from."""
    place = f"{row['file']}:{row.get('row')}, {name}" if "file" in row else name
    return Problem(
        place,
        str(row.get(name))[:40],
        _("a number, or nothing where it is missing"),
        _("Correct the data, or make the column's type category."),
    )


def missing(values: Any) -> Flags:
    """Return where a column has no value, [records]."""
    import numpy as np

    if isinstance(values, list):
        return np.array([one is None for one in values], dtype=bool)
    flags: Flags = np.isnan(values)
    return flags


def missing_where_needed(table: Table, recipes: Sequence[Recipe], records: int) -> Flags:
    """Return which records lack a value without which they are to be dropped."""
    import numpy as np

    lacking = np.zeros(records, dtype=bool)
    for recipe in recipes:
        if recipe["missing"] == "drop":
            lacking |= missing(table[recipe["name"]])
    return lacking


def missing_markers(table: Table, recipes: Sequence[Recipe]) -> dict[str, Flags]:
    """Return where the columns with a marker have no value."""
    names = [recipe["name"] for recipe in recipes if recipe["missing"] == "marker"]
    return {name: missing(table[name]) for name in names}


def check(table: Table, recipes: Sequence[Recipe], learnable: Flags) -> None:
    """Refuse what cannot be learnt.

    :raises DataError: with all such columns.
    """
    problems = []
    for recipe in recipes:
        where = f"clean.columns, {recipe['name']}"
        fitted = [recipe["outliers"] != "keep", recipe["scale"] != "none"]
        learns = recipe["missing"] in LEARNT_FILLS or (
            recipe["missing"] != "constant" and (any(fitted) or recipe["encode"] != "none")
        )
        present = ~missing(table[recipe["name"]]) & learnable
        if learns and not present.any():
            found, fix = _("no value in the training part"), _("Leave the column out.")
            problems.append(Problem(where, found, _("one at least"), fix))
        if recipe["encode"] == "one_hot":
            count = len({table[recipe["name"]][at] for at in present.nonzero()[0]})
            if count > MOST_CATEGORIES:
                found, fix = _("{count} categories", count=count), _("Encode it as ordinal.")
                allowed = _("{count} at most", count=MOST_CATEGORIES)
                problems.append(Problem(where, found, allowed, fix))
        if recipe["type"] == "number" and recipe["missing"] == "constant":
            try:
                number(recipe["constant"])
            except NotANumber:
                fix = _("Correct the constant, or make the column's type category.")
                problems.append(Problem(where, str(recipe["constant"])[:40], _("a number"), fix))
    if problems:
        raise DataError(*problems)


def learn_fills(
    table: Table, recipes: Sequence[Recipe], learnable: Flags, fitted: dict[str, Any], seed: int
) -> None:
    """Learn what missing values become; ``fitted`` takes it."""
    import numpy as np
    from sklearn.impute import SimpleImputer

    strategies = {"mode": "most_frequent", "marker": "mean"}
    for recipe in recipes:
        how, learnt = recipe["missing"], fitted["columns"][recipe["name"]]
        if how == "constant":
            wanted = recipe["constant"]
            learnt["fill"] = number(wanted) if recipe["type"] == "number" else category(wanted)
        elif how in ("mean", "median", "mode") or (how == "marker" and recipe["type"] == "number"):
            values = table[recipe["name"]]
            known = learnable & ~missing(values)
            column = np.array(values, dtype=None if recipe["type"] == "number" else object)[known]
            imputer = SimpleImputer(strategy=strategies.get(how, how)).fit(column[:, None])
            fill = imputer.statistics_[0]
            learnt["fill"] = float(fill) if recipe["type"] == "number" else str(fill)
    used = {recipe["missing"] for recipe in recipes}
    if "knn" in used:
        matrix = numbers(table, recipes)[learnable]
        fitted["neighbours"] = imputation.learn_neighbours(matrix, seed)
    if "regression" in used:
        matrix = numbers(table, recipes)[learnable]
        fitted["regression"] = imputation.learn_regression(matrix, seed)


def numbers(table: Table, recipes: Sequence[Recipe]) -> Any:
    """Return all columns of numbers, [records, columns], in the order of the recipes."""
    import numpy as np

    return np.column_stack([table[one["name"]] for one in recipes if one["type"] == "number"])


def filled(table: Table, recipes: Sequence[Recipe], fitted: Mapping[str, Any]) -> Table:
    """Return the columns with their missing values filled."""
    import numpy as np

    names = [one["name"] for one in recipes if one["type"] == "number"]
    worked_out: dict[str, Any] = {}
    if "neighbours" in fitted:
        worked_out["knn"] = imputation.from_neighbours(
            numbers(table, recipes), fitted["neighbours"]
        )
    if "regression" in fitted:
        worked_out["regression"] = imputation.from_regression(
            numbers(table, recipes), fitted["regression"]
        )
    whole = dict(table)
    for recipe in recipes:
        name, learnt = recipe["name"], fitted["columns"][recipe["name"]]
        if recipe["missing"] in worked_out:
            whole[name] = worked_out[recipe["missing"]][:, names.index(name)]
        elif "fill" in learnt and recipe["type"] == "number":
            whole[name] = np.where(np.isnan(table[name]), learnt["fill"], table[name])
        elif "fill" in learnt:
            whole[name] = [learnt["fill"] if one is None else one for one in table[name]]
    return whole


def learn_outliers(
    table: Table, recipes: Sequence[Recipe], learnable: Flags, fitted: dict[str, Any], seed: int
) -> Flags:
    """Learn the bounds and return which training records are to be dropped as outliers."""
    import numpy as np

    outside = np.zeros(len(learnable), dtype=bool)
    forests: dict[float, list[str]] = {}
    for recipe in recipes:
        name = recipe["name"]
        if recipe["outliers"] == "keep":
            continue
        if recipe["outlier_rule"] == "isolation_forest":
            forests.setdefault(recipe["outlier_bound"], []).append(name)
            continue
        known = table[name][learnable & ~np.isnan(table[name])]
        low, high = bounds(known, recipe["outlier_rule"], recipe["outlier_bound"])
        fitted["columns"][name] |= {"low": low, "high": high}
        if recipe["outliers"] == "drop":
            outside |= learnable & ((table[name] < low) | (table[name] > high))
    # Columns with the same share are judged together: a record may be odd in none but in all.
    for share, names in forests.items():
        values = np.column_stack([table[name] for name in names])
        whole = np.flatnonzero(learnable & ~np.isnan(values).any(axis=1))
        outside[whole[easily_told_apart(values[whole], share, seed)]] = True
    return outside


def bounds(known: Numbers, rule: str, bound: float) -> tuple[float, float]:
    """Return the lowest and the highest value that is no outlier, by ``iqr`` or ``z_score``."""
    import numpy as np

    if rule == "iqr":
        first, third = (float(one) for one in np.quantile(known, [0.25, 0.75]))
        return first - bound * (third - first), third + bound * (third - first)
    mean, deviation = float(known.mean()), float(known.std())
    return mean - bound * deviation, mean + bound * deviation


def easily_told_apart(values: Numbers, share: float, seed: int) -> Flags:
    """Return the share of records that an isolation forest tells apart first, [records]."""
    import numpy as np
    from sklearn.ensemble import IsolationForest
    from sklearn.preprocessing import StandardScaler

    if len(values) < 2:
        return np.zeros(len(values), dtype=bool)
    # Standardized, because the forest reads 32 bits, which large numbers do not fit.
    forest = IsolationForest(contamination=share, random_state=seed)
    flags: Flags = forest.fit_predict(StandardScaler().fit_transform(values)) == -1
    return flags


def clipped(table: Table, recipes: Sequence[Recipe], fitted: Mapping[str, Any]) -> Table:
    """Return the columns with outliers moved to the bound where that is wanted."""
    import numpy as np

    inside = dict(table)
    for recipe in recipes:
        if recipe["outliers"] == "clip":
            learnt = fitted["columns"][recipe["name"]]
            inside[recipe["name"]] = np.clip(table[recipe["name"]], learnt["low"], learnt["high"])
    return inside


def learn_scales(
    table: Table, recipes: Sequence[Recipe], kept: Flags, fitted: dict[str, Any]
) -> None:
    """Learn scales and categories; ``fitted`` takes them."""
    import numpy as np
    from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder, StandardScaler

    for recipe in recipes:
        values, learnt = table[recipe["name"]], fitted["columns"][recipe["name"]]
        known = kept & ~missing(values)
        if recipe["encode"] != "none":
            column = np.array(values, dtype=object)[known][:, None]
            categories = OrdinalEncoder().fit(column).categories_[0] if len(column) else ()
            learnt["categories"] = [str(one) for one in categories]
        if recipe["scale"] == "none" or not known.any():
            continue
        if recipe["scale"] == "min_max":
            scaler = MinMaxScaler().fit(values[known][:, None])
            offset, divisor = scaler.data_min_[0], 1 / scaler.scale_[0]
        else:
            scaler = StandardScaler().fit(values[known][:, None])
            offset, divisor = scaler.mean_[0], scaler.scale_[0]
        learnt |= {"offset": float(offset), "divisor": float(divisor)}


def made(
    table: Table,
    recipes: Sequence[Recipe],
    fitted: Mapping[str, Any],
    markers: Mapping[str, Flags],
) -> list[dict[str, Feature]]:
    """Return the features of each record, from columns whose missing values are filled."""
    inside = clipped(table, recipes, fitted)
    features: dict[str, Sequence[Feature]] = {}
    for recipe in recipes:
        name, learnt = recipe["name"], fitted["columns"][recipe["name"]]
        values = inside[name]
        if recipe["type"] == "number":
            scaled = (values - learnt.get("offset", 0.0)) / learnt.get("divisor", 1.0)
            features[name] = [None if one != one else one for one in scaled.tolist()]
        elif recipe["encode"] == "one_hot":
            for one in learnt["categories"]:
                features[f"{name}={one}"] = [float(value == one) for value in values]
        elif recipe["encode"] == "ordinal":
            order = {one: float(at) for at, one in enumerate(learnt["categories"])}
            features[name] = [order.get(value, UNKNOWN) for value in values]
        else:
            features[name] = values
        if name in markers:
            features[f"{name}_missing"] = markers[name].astype(float).tolist()
    names = list(features)
    return [dict(zip(names, one, strict=True)) for one in zip(*features.values(), strict=True)]
