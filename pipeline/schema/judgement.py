"""Sections ``validate`` and ``test``: may the model go on, how good is it, and for whom."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

# A figure, perhaps of one group of records only, a sign and a bound: recall[label=human] >= 0.8
GATE = (
    r"^[a-z][a-z0-9_]*(\[[^\W\d][\w.]*=[^\[\]=]{1,100}\])? *(>=|<=) *"
    r"-?[0-9]+(\.[0-9]+)?$"
)
Gate = Annotated[str, Field(pattern=GATE, max_length=200)]
Column = Annotated[str, Field(pattern=r"^[^\W\d][\w.]*$", max_length=100)]
Version = Annotated[str, Field(pattern=r"^$|^[0-9]+\.[0-9]+\.[0-9]+$", max_length=50)]
Disturbance = Literal["typing", "case", "punctuation", "synonyms"]


def batch_size() -> Any:
    """Return the field for the texts that are answered at once."""
    return knob(
        "Batch size", "Texts at once; changes time and memory only.",
        unit="texts", level="advanced", ge=1, le=4_096,
    )  # fmt: skip


def bootstrap_samples() -> Any:
    """Return the field for the number of bootstrap samples."""
    return knob(
        "Bootstrap samples", "More make the intervals steadier and take longer.",
        unit="samples", level="advanced", ge=100, le=100_000,
    )  # fmt: skip


class Calibration(Section):
    """What is fitted on the validation part and travels with the model."""

    temperature: bool = knob(
        "Temperature",
        "One number by which logits are divided, so that a confidence of 0.8 is right in about "
        "80 of 100 cases (Guo et al. 2017). It changes no answer.",
    )
    thresholds: Literal["fixed", "fitted"] = knob(
        "Thresholds",
        "From which probability a label is given, where there are two labels or several at once. "
        "fixed: one half; fitted: where F1 is best on the validation part.",
    )


class Groups(Section):
    """Groups of records that the model is judged on one by one."""

    columns: list[Column] = knob(
        "Columns",
        "Columns of your data by which answers are compared, for fairness too, as in gender or "
        "region. Label, difficulty, length, source and language are always looked at.",
        max_length=20,
    )
    min_records: int = knob(
        "Records at least", "A smaller group is shown, marked, and makes no claim.",
        unit="records", level="advanced", ge=2, le=100_000,
    )  # fmt: skip
    most: int = knob(
        "Groups at most", "Of one column; the rest is put together.",
        unit="groups", level="advanced", ge=2, le=1_000,
    )  # fmt: skip


class Validate(Section):
    """Whether the model may go on."""

    gates: list[Gate] = knob(
        "Gates",
        "Each must hold on the validation part, as in macro_f1 >= 0.85, macro_f1_low >= 0.8 (the "
        "lower end of its interval), recall[label=human] >= 0.7, size_mb <= 200 or "
        "difference_to_released_low >= -0.01.",
        max_length=50,
    )
    better_than_baseline: bool = knob(
        "Better than the baseline",
        "The model's main figure (macro-F1; R² for numbers) must be above that of the best cheap "
        "model.",
    )
    released: Version = knob(
        "Released version",
        "Of the release that this model would follow, as in 1.2.0; both answer the same records. "
        "Empty: none.",
    )
    calibration: Calibration = knob("Calibration", "How far confidences can be trusted.")
    groups: Groups = knob("Groups", "For whom the model is good; the test report uses them too.")
    batch_size: int = batch_size()
    bootstrap_samples: int = bootstrap_samples()
    confidence: float = knob(
        "Confidence of intervals", "Of all that are told.", unit="share", ge=0.5, le=0.999
    )
    seed: int = knob("Seed", "For the bootstrap.", level="advanced", ge=0, le=2**31 - 1)


class Robustness(Section):
    """Whether the model answers the same when a text is written a little differently."""

    kinds: list[Disturbance] = knob("Disturbances", "What is done to texts.", max_length=4)
    records: int = knob(
        "Records", "Of the test part, drawn by the seed.", unit="records", ge=10, le=100_000
    )
    share: float = knob(
        "Strength", "Share of words that are changed, at least one.",
        unit="share", level="advanced", gt=0.0, le=1.0,
    )  # fmt: skip


class Errors(Section):
    """What is shown about wrong answers."""

    most: int = knob(
        "Errors", "How many of the most confident errors are listed.",
        unit="records", ge=1, le=1_000,
    )  # fmt: skip
    explained: int = knob(
        "Explained", "For how many of them it is shown which words decided.",
        unit="records", ge=0, le=200,
    )  # fmt: skip
    neighbours: int = knob(
        "Neighbours", "How many similar records of the training part stand beside each error.",
        unit="records", ge=0, le=20,
    )  # fmt: skip
    steps: int = knob(
        "Steps", "Of integrated gradients (Sundararajan et al. 2017); more are more exact.",
        unit="steps", level="advanced", ge=8, le=1_000,
    )  # fmt: skip


class LearningCurve(Section):
    """Whether more data would be worth it."""

    shares: list[Annotated[float, Field(gt=0.0, le=1.0)]] = knob(
        "Shares", "Of the training part that are learnt from; empty leaves the curve out.",
        max_length=10,
    )  # fmt: skip
    draws: int = knob(
        "Draws", "How often each share is drawn.", unit="draws", level="advanced", ge=1, le=50
    )


class Test(Section):
    """How good the model is, for whom, and how certain that is."""

    batch_size: int = batch_size()
    bootstrap_samples: int = bootstrap_samples()
    confidence: float = knob(
        "Confidence of intervals",
        "Of every interval in the report.",
        unit="share",
        ge=0.5,
        le=0.999,
    )
    errors: Errors = knob("Errors", "What is shown about wrong answers.")
    robustness: Robustness = knob("Robustness", "Texts written a little differently.")
    learning_curve: LearningCurve = knob(
        "Learning curve", "What more data would bring, told by a cheap model."
    )
    seed: int = knob("Seed", "For all that is drawn.", level="advanced", ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def shares_rise(self) -> Test:
        """A curve goes from few records to many."""
        shares = self.learning_curve.shares
        if sorted(set(shares)) != shares:
            raise contradiction("learning_curve.shares that do not rise")
        return self
