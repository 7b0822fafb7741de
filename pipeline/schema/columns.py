"""Columns beside the text: numbers and categories, made fit for slices and for baselines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

Words = Annotated[str, Field(max_length=200)]
Number = Annotated[float, Field(ge=-1e100, le=1e100)]


class Column(Section):
    """One column and what is done to it, in this order: missing, outliers, scale, encode."""

    name: str = knob(
        "Name", "One of reader.columns.meta, or of the derived columns.", min_length=1,
        max_length=200,
    )  # fmt: skip
    type: Literal["number", "category"] = knob("Type", "number or category.")
    missing: Literal[
        "keep", "drop", "constant", "mean", "median", "mode", "knn", "regression", "marker"
    ] = knob(
        "Missing values",
        "drop the record; fill with a constant, the mean, median or mode, the k nearest neighbours "
        "or a regression on the other numbers; marker: a column of its own says so.",
    )
    constant: Words | Number | None = knob(
        "Constant", "What a missing value becomes, for missing: constant."
    )
    outliers: Literal["keep", "drop", "clip"] = knob(
        "Outliers", "Of numbers: drop the training record, or clip to the bound; keep leaves them."
    )
    outlier_rule: Literal["iqr", "z_score", "isolation_forest"] = knob(
        "Outlier rule",
        "iqr: beyond so many interquartile ranges; z_score: so many standard deviations; "
        "isolation_forest: the share that is easiest to tell apart; it can only drop.",
    )
    outlier_bound: float = knob(
        "Outlier bound",
        "1.5 for iqr, 3 for z_score; the share of records for isolation_forest.",
        gt=0,
        le=100,
    )
    scale: Literal["none", "min_max", "standard"] = knob(
        "Scale", "min_max: from 0 to 1; standard: mean 0 and deviation 1."
    )
    encode: Literal["none", "one_hot", "ordinal"] = knob(
        "Encode", "Of categories: a column each, or a number each."
    )

    @model_validator(mode="after")
    def fits_its_type(self) -> Column:
        """A category has no mean and a number no one-hot."""
        numeric = {"mean", "median", "knn", "regression"}
        if self.type == "category" and (
            self.missing in numeric or self.outliers != "keep" or self.scale != "none"
        ):
            raise contradiction("a category with what only numbers have")
        if self.type == "number" and self.encode != "none":
            raise contradiction("a number that is to be encoded")
        if (self.missing == "constant") != (self.constant is not None):
            raise contradiction("missing: constant without a constant, or the other way round")
        if self.outliers == "clip" and self.outlier_rule == "isolation_forest":
            raise contradiction("isolation_forest with clip: it knows no bound")
        if self.outlier_rule == "isolation_forest" and self.outlier_bound > 0.5:
            raise contradiction("isolation_forest with a share above one half")
        return self


class Derived(Section):
    """A new column."""

    name: str = knob("Name", "Of the new column.", pattern=r"^\w+$", min_length=1, max_length=200)
    formula: Literal[
        "characters", "words", "digits", "capitals", "hour", "weekday", "month", "ratio",
        "difference", "product", "logarithm",
    ] = knob(
        "Formula",
        "characters, words, digits, capitals: counted in the text; hour, weekday, month: of "
        "created_at; ratio, difference, product: of two columns; logarithm: ln(1 + x) of one.",
    )  # fmt: skip
    of: list[str] = knob(
        "Of", "The columns that a formula of columns takes, in this order.", max_length=2
    )

    @model_validator(mode="after")
    def takes_what_it_needs(self) -> Derived:
        """Each formula knows how many columns it takes."""
        needed = {"ratio": 2, "difference": 2, "product": 2, "logarithm": 1}.get(self.formula, 0)
        if len(self.of) != needed:
            raise contradiction("a formula with too few or too many columns")
        return self
