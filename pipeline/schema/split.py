"""Section ``split``: what is learnt from, what is judged on, and what is varied for learning."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.schema.knob import Section, contradiction, knob


class Shares(Section):
    """How much of the records each part gets."""

    train: float = knob("Train", "What the model learns from.", unit="share", ge=0.05, le=0.98)
    validation: float = knob(
        "Validation", "What decides when to stop and whether the gates hold.",
        unit="share", ge=0.01, le=0.5,
    )  # fmt: skip
    test: float = knob(
        "Test", "What nobody looks at before the end.", unit="share", ge=0.01, le=0.5
    )

    @model_validator(mode="after")
    def add_up(self) -> Shares:
        """The parts are all there is."""
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise contradiction("shares that do not add up to 1")
        return self


class Augment(Section):
    """Varied copies of training records; validation and test stay as they came."""

    enabled: bool = knob("Switch", "Adds varied copies of training records.")
    share: float = knob(
        "Share",
        "Varied copies as a share of the training records.",
        unit="share",
        gt=0,
        le=10,
    )
    methods: list[Literal["synonym", "insert", "delete", "swap"]] = knob(
        "Methods",
        "synonym: other words of the same meaning (needs a table); insert: synonyms, or "
        "punctuation marks where there are none; delete; swap: neighbouring words. Each copy "
        "takes one. Words that negate, numbers and masks stay.",
        min_length=1,
        max_length=4,
    )
    words: float = knob(
        "Words changed", "Share of a text's words that a copy changes.", unit="share", gt=0, le=0.5
    )
    synonyms: str | None = knob(
        "Own synonyms",
        "A file of yours, one group of synonyms a line, with tabs between. synonym needs it, "
        "insert uses it.",
        level="advanced",
        pattern=r"^data/synonyms/.+$",
        max_length=400,
    )
    seed: int = knob(
        "Seed", "Another seed gives other copies.", level="advanced", ge=0, le=2**31 - 1
    )


class Split(Section):
    """How records are divided."""

    strategy: Literal["stratified", "random", "grouped", "time", "column"] = knob(
        "Strategy",
        "stratified: every part gets the same mix of labels; grouped: whole groups at random; "
        "time: the newest are the test; column: a column says it. Groups and near-duplicates "
        "never cross in any of them.",
    )
    column: str | None = knob(
        "Column",
        "column only: which of the columns kept beside says train, validation or test.",
        max_length=200,
    )
    shares: Shares = knob("Shares", "How much each part gets.")
    min_per_label: int = knob(
        "Fewest per label",
        "Every label needs so many records in every part, or the stage fails; for numbers every "
        "part.",
        unit="records",
        ge=1,
        le=10_000,
    )
    augment: Augment = knob("Augment", "Varied copies for the training part.")
    seed: int = knob(
        "Seed", "Another seed gives another division.", level="advanced", ge=0, le=2**31 - 1
    )

    @model_validator(mode="after")
    def column_is_named(self) -> Split:
        """A division that a column gives needs the column."""
        if (self.strategy == "column") != (self.column is not None):
            raise contradiction("strategy column without split.column, or the other way round")
        return self
