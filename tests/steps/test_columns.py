"""Columns: hand-worked figures, scikit-learn as reference, and no leak from other parts."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.schema.columns import Column
from pipeline.steps import columns, values
from pipeline.steps.reasons import MISSING_VALUE, OUTLIER


def recipe(name: str = "x", **others: Any) -> dict[str, Any]:
    """Return one of ``clean.columns``."""
    plain = {
        "name": name,
        "type": "number",
        "missing": "keep",
        "constant": None,
        "outliers": "keep",
        "outlier_rule": "iqr",
        "outlier_bound": 1.5,
        "scale": "none",
        "encode": "none",
    }
    wanted = plain | others
    assert set(wanted) == set(Column.model_fields)
    if wanted["constant"] is None:
        Column.model_validate(wanted)
    return wanted


def prepare(
    found: list[object], *recipes: dict[str, Any], training: list[bool] | None = None
) -> columns.Prepared:
    """Prepare one column, ``x``, of which all but the last record are for training."""
    rows = [{"x": one} for one in found]
    return columns.prepare(rows, recipes, training or [True] * (len(rows) - 1) + [False], seed=1)


def x(prepared: columns.Prepared) -> list[object]:
    return [one.get("x") for one in prepared.features]


@pytest.mark.parametrize(
    ("missing", "filled"),
    [
        ({"missing": "mean"}, 4),  # of 1, 1, 4, 10
        ({"missing": "median"}, 2.5),
        ({"missing": "mode"}, 1),
        ({"missing": "constant", "constant": 7}, 7),
        ({"missing": "constant", "constant": "7.5"}, 7.5),
        ({"missing": "keep"}, None),
        ({"missing": "marker"}, 4),
    ],
)
def test_a_missing_number(missing: dict[str, Any], filled: float | None) -> None:
    done = prepare([1, "1", 4.0, " 10 ", None, "", float("nan"), 1000], recipe(**missing))
    assert x(done) == [1, 1, 4, 10, filled, filled, filled, 1000]
    assert done.reasons == [None] * 8
    if missing["missing"] == "marker":
        assert [one["x_missing"] for one in done.features] == [0, 0, 0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("missing", "filled"),
    [
        ({"missing": "mode"}, "b"),
        ({"missing": "constant", "constant": "none"}, "none"),
        ({"missing": "keep"}, None),
    ],
)
def test_a_missing_category(missing: dict[str, Any], filled: str | None) -> None:
    done = prepare(["b", "a", "b", "", None, "a"], recipe(type="category", **missing))
    assert x(done) == ["b", "a", "b", filled, filled, "a"]


def test_a_record_without_the_value_goes_from_every_part() -> None:
    done = prepare([1, None, 3, None], recipe(missing="drop"))
    assert done.reasons == [None, MISSING_VALUE, None, MISSING_VALUE]
    assert done.features == [{"x": 1}, {}, {"x": 3}, {}]
    assert done.fitted["records"] == 2


def test_the_nearest_neighbours_lend_their_mean() -> None:
    """Six donors have y = x; the five nearest to x = 6 are 3, 4, 5, 6, 7, whose y are lent."""
    rows = [{"x": one, "y": one} for one in (0, 3, 4, 5, 6, 7)]
    rows += [{"x": 6, "y": None}, {"x": None, "y": None}]
    recipes = [recipe("x"), recipe("y", missing="knn")]
    done = columns.prepare(rows, recipes, [True] * 6 + [False] * 2, seed=1)
    assert done.features[6]["y"] == pytest.approx(5)  # (3 + 4 + 5 + 6 + 7) / 5
    assert done.features[7]["y"] == pytest.approx(25 / 6)  # nothing to compare: the mean of all
    assert done.features[1] == {"x": 3, "y": 3}


def test_a_regression_on_the_other_numbers() -> None:
    rows: list[dict[str, object]] = [{"x": at, "y": 3 * at + 2, "z": at % 3} for at in range(40)]
    rows += [{"x": 50, "y": None, "z": 1}, {"x": None, "y": 65, "z": 0}]
    recipes = [recipe("x", missing="regression"), recipe("y", missing="regression"), recipe("z")]
    done = columns.prepare(rows, recipes, [True] * 40 + [False] * 2, seed=1)
    assert done.features[40]["y"] == pytest.approx(152, abs=0.1)
    assert done.features[41]["x"] == pytest.approx(21, abs=0.1)


@pytest.mark.parametrize("how", ["knn", "regression"])
def test_stored_values_fill_as_the_estimator_itself_does(how: str) -> None:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer
    from sklearn.linear_model import BayesianRidge
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(3)
    matrix = random.normal([5, -2, 100], [1, 3, 40], (60, 3))
    matrix[:, 1] += matrix[:, 0]
    matrix[random.random((60, 3)) < 0.2] = np.nan
    rows = [dict(zip("abc", row, strict=True)) for row in matrix.tolist()]
    recipes = [recipe(name, missing=how) for name in "abc"]
    done = columns.prepare(rows, recipes, [True] * 40 + [False] * 20, seed=1)
    scaler = StandardScaler().fit(matrix[:40])
    imputer = (
        KNNImputer(n_neighbors=5)
        if how == "knn"
        else IterativeImputer(BayesianRidge(), max_iter=10, random_state=1)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer.fit(scaler.transform(matrix[:40]))
    wanted = scaler.inverse_transform(imputer.transform(scaler.transform(matrix)))
    found = [[one[name] for name in "abc"] for one in done.features]
    np.testing.assert_allclose(np.array(found, dtype=float), wanted, rtol=1e-6)


def test_the_only_column_has_nothing_to_regress_on() -> None:
    assert x(prepare([1, 3, None, None], recipe(missing="regression"))) == [1, 3, 2, 2]


@pytest.mark.parametrize(
    ("rule", "bound", "low", "high"),
    [
        ("iqr", 1.5, -1, 7),  # quartiles of 1, 2, 3, 4, 100 are 2 and 4
        ("z_score", 1, 22 - 39.0128, 22 + 39.0128),  # mean 22, deviation √1522
    ],
)
def test_outliers(rule: str, bound: float, low: float, high: float) -> None:
    how = {"outlier_rule": rule, "outlier_bound": bound}
    dropped = prepare([1, 2, 3, 4, 100, 500], recipe(outliers="drop", **how))
    assert dropped.reasons == [None] * 4 + [OUTLIER, None]  # a hard test record stays
    assert dropped.fitted["columns"]["x"] == pytest.approx({"low": low, "high": high}, rel=1e-4)
    assert dropped.features[4:] == [{}, {"x": 500}]
    clipped = prepare([1, 2, 3, 4, 100, 500], recipe(outliers="clip", **how))
    assert x(clipped) == pytest.approx([1, 2, 3, 4, high, high], rel=1e-4)
    assert clipped.reasons == [None] * 6


def test_an_isolation_forest_sees_columns_together() -> None:
    """The odd record is ordinary in each column; only both together give it away."""
    rows: list[dict[str, object]] = [{"x": at / 10, "y": at / 10} for at in range(99)]
    rows += [{"x": 0.5, "y": 9.5}, {"x": 0.5, "y": 9.5}]
    how = {"outliers": "drop", "outlier_rule": "isolation_forest", "outlier_bound": 0.01}
    recipes = [recipe("x", **how), recipe("y", **how)]
    done = columns.prepare(rows, recipes, [True] * 100 + [False], seed=1)
    assert [at for at, reason in enumerate(done.reasons) if reason] == [99]
    assert done.reasons == columns.prepare(rows, recipes, [True] * 100 + [False], seed=1).reasons


def test_scales() -> None:
    assert x(prepare([0, 5, 10, 20], recipe(scale="min_max"))) == [0, 0.5, 1, 2]
    done = x(prepare([2, 4, 6, 4], recipe(scale="standard")))
    assert done == pytest.approx([-math.sqrt(1.5), 0, math.sqrt(1.5), 0])
    assert x(prepare([3, 3, 4], recipe(scale="min_max"))) == [0, 0, 1]
    assert x(prepare([3, None, 4], recipe(scale="standard"))) == [0, None, 1]


def test_outliers_do_not_stretch_the_scale() -> None:
    done = prepare([0, 1, 2, 3, 4, 1000, 8], recipe(outliers="drop", scale="min_max"))
    assert x(done) == [0, 0.25, 0.5, 0.75, 1, None, 2]
    done = prepare([0, 1, 2, 3, 4, 1000, 9e9], recipe(outliers="clip", scale="min_max"))
    assert x(done)[5:] == [1, 1]


def test_encodings() -> None:
    found: list[object] = ["b", "a", None, "new"]
    one_hot = prepare(found, recipe(type="category", encode="one_hot"))
    assert one_hot.features == [
        {"x=a": 0, "x=b": 1}, {"x=a": 1, "x=b": 0}, {"x=a": 0, "x=b": 0}, {"x=a": 0, "x=b": 0},
    ]  # fmt: skip
    assert x(prepare(found, recipe(type="category", encode="ordinal"))) == [1, 0, -1, -1]
    marked = prepare(found, recipe(type="category", encode="ordinal", missing="marker"))
    assert [one["x_missing"] for one in marked.features] == [0, 0, 1, 0]
    assert marked.fitted["columns"]["x"]["categories"] == ["a", "b"]


@pytest.mark.parametrize("value", ["abc", "1_000", "1,5", "inf", float("inf"), [1], 10**400, "0x1"])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(values.NotANumber):
        values.number(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [("１２", 12), (True, 1), (" -1e3\n", -1000), (None, None), (" ", None), ("nan", None)],
)
def test_what_is_a_number(value: object, number: float | None) -> None:
    assert values.number(value) == number


def test_every_wrong_value_is_named_with_its_place() -> None:
    rows = [{"x": "a" * 90, "y": "b", "file": "f.csv", "row": 2}, {"x": 1, "y": "?"}, {"x": "!"}]
    with pytest.raises(DataError) as caught:
        columns.prepare(rows, [recipe("x"), recipe("y")], [True, False, True], seed=1)
    places = [(problem.where, problem.found) for problem in caught.value.problems]
    assert places == [("f.csv:2, x", "a" * 40), ("x", "!"), ("f.csv:2, y", "b"), ("y", "?")]
    with pytest.raises(DataError) as caught:
        prepare(["?"] * 50, recipe())
    assert len(caught.value.problems) == columns.LISTED + 1
    assert "30 more" in str(caught.value)


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        ([None, None, 5], recipe(missing="mean"), "no value in the training part"),
        ([None, None, 5], recipe(scale="standard"), "no value in the training part"),
        ([None, None, 5], recipe(missing="drop"), "no training record"),
        ([1, 2], recipe(missing="constant", constant="one"), "found one"),
        (
            [1, 100, 3],
            recipe(outliers="drop", outlier_rule="z_score", outlier_bound=0.1),
            "outlier",
        ),
        (list(range(2000)), recipe(type="category", encode="one_hot"), "1999 categories"),
    ],
)
def test_what_cannot_be_learnt(found: list[object], wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        prepare(found, wanted)


def test_no_recipe_and_no_column() -> None:
    assert prepare([1, 2]).features == [{}, {}]
    assert columns.apply([{}], [], {"columns": {}}) == [{}]
    assert x(columns.prepare([{}, {}], [recipe()], [True, False], seed=1)) == [None, None]


MISSING = ["keep", "mean", "median", "mode", "knn", "regression", "marker", "drop"]
RULES = [("iqr", 1.5), ("z_score", 2), ("isolation_forest", 0.2)]


@st.composite
def recipes_of(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for name in ("x", "y"):
        rule, bound = draw(st.sampled_from(RULES))
        outliers = ["keep", "drop"] if rule == "isolation_forest" else ["keep", "drop", "clip"]
        made.append(
            recipe(
                name,
                missing=draw(st.sampled_from(MISSING)),
                outliers=draw(st.sampled_from(outliers)),
                outlier_rule=rule,
                outlier_bound=bound,
                scale=draw(st.sampled_from(["none", "min_max", "standard"])),
            )
        )
    how = {"missing": draw(st.sampled_from(["keep", "mode", "drop", "marker"]))}
    encode = draw(st.sampled_from(["none", "one_hot", "ordinal"]))
    return [*made, recipe("c", type="category", encode=encode, **how)]


NUMBERS = st.none() | st.integers(-9, 9) | st.floats(-1e99, 1e99, allow_nan=False)
ROWS = st.lists(
    st.fixed_dictionaries({"x": NUMBERS, "y": NUMBERS, "c": st.sampled_from(["a", "b", None])}),
    max_size=12,
)
KNOWN: list[dict[str, object]] = [
    {"x": 1, "y": 2.5, "c": "a"}, {"x": 2, "y": 3.5, "c": "b"}, {"x": 3, "y": 1, "c": "b"},
    {"x": 4, "y": 8, "c": "a"},
]  # fmt: skip


@settings(max_examples=25)
@given(ROWS, ROWS, ROWS, recipes_of())
def test_nothing_of_other_parts_is_in_what_training_sees(
    mine: list[Any], others: list[Any], changed: list[Any], recipes: list[dict[str, Any]]
) -> None:
    training = [*KNOWN, *mine]

    def prepared(rest: list[Any]) -> columns.Prepared:
        flags = [False] * len(rest) + [True] * len(training)
        return columns.prepare([*rest, *training], recipes, flags, seed=1)

    try:
        one, other = prepared(others), prepared(changed)
    except DataError:  # an outlier in every training record
        assume(False)
    assert one.fitted == other.fitted
    count = len(training)
    assert one.features[-count:] == other.features[-count:]
    assert one.reasons[-count:] == other.reasons[-count:]
    assert OUTLIER not in one.reasons[:-count]


@settings(max_examples=25)
@given(ROWS, recipes_of())
def test_what_is_stored_is_what_is_applied(rest: list[Any], recipes: list[dict[str, Any]]) -> None:
    rows = [*KNOWN, *rest]
    try:
        done = columns.prepare(rows, recipes, [True] * 4 + [False] * len(rest), seed=1)
    except DataError:  # an outlier in every training record
        assume(False)
    stored = json.loads(json.dumps(done.fitted, allow_nan=False))
    again = columns.apply(rows, recipes, stored)
    for mine, reason, other in zip(done.features, done.reasons, again, strict=True):
        assert mine == (other if reason is None else {})
    json.dumps(done.features, allow_nan=False)
    assert done.fitted["records"] == sum(reason is None for reason in done.reasons[:4])
