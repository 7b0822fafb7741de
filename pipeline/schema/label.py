"""Section ``label``: the labels of the task, and how far they can be trusted."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

LabelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
JOINT = "|"  # stands between the labels of one record, see steps.targets
Example = Annotated[str, Field(min_length=1, max_length=2_000)]


class Definition(Section):
    """What a label means."""

    meaning: str = knob("Meaning", "When a record gets this label.", max_length=2_000)
    examples: list[Example] = knob("Examples", "Texts with this label.", max_length=20)


class Rule(Section):
    """A pattern that gives a label to records without one."""

    pattern: str = knob(
        "Pattern", "A regular expression that the text holds.", min_length=1, max_length=500
    )
    label: LabelName = knob("Label", "What such a record is.", max_length=200)

    @model_validator(mode="after")
    def is_a_pattern(self) -> Rule:
        """Python has to be able to read it."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise contradiction(
                "a pattern that is no regular expression ({reason})", reason=str(error)
            ) from error
        return self


class Annotation(Section):
    """How work is given to annotators."""

    per_record: int = knob(
        "Annotators a record",
        "How many label each record of the overlap, without seeing each other.",
        unit="annotators",
        ge=2,
        le=20,
    )
    overlap: float = knob(
        "Overlap",
        "Share of the records that several annotators label, to measure their agreement.",
        unit="share",
        ge=0,
        le=1,
    )
    checked: float = knob(
        "Checked",
        "Share of annotated records drawn for a second look.",
        unit="share",
        ge=0,
        le=1,
    )
    queue: int = knob(
        "Queue", "How many records a queue for annotators holds.", unit="records", ge=1, le=100_000
    )
    seed: int = knob("Seed", "Which records are drawn.", level="advanced", ge=0, le=2**31 - 1)


class Agreement(Section):
    """How far annotators agree."""

    min_alpha: float | None = knob(
        "Least agreement",
        "The lower end of the interval of Krippendorff's alpha must reach this, or the pipeline "
        "stops; 0.667 is the usual least, 0.8 good. null measures only.",
        ge=-1,
        le=1,
    )
    min_records: int = knob(
        "Least overlap",
        "The gate needs so many records that several people labelled: two records on which all "
        "agree prove nothing.",
        unit="records",
        ge=2,
        le=1_000_000,
    )
    bootstrap_samples: int = knob(
        "Bootstrap samples",
        "More make the intervals steadier and take longer.",
        level="advanced",
        unit="samples",
        ge=100,
        le=100_000,
    )
    confidence: float = knob(
        "Confidence of intervals",
        "Of the intervals.",
        level="advanced",
        unit="share",
        ge=0.5,
        le=0.999,
    )
    seed: int = knob("Seed", "Of the bootstrap.", level="advanced", ge=0, le=2**31 - 1)


class Suspects(Section):
    """Labels that a cheap model would not have given."""

    enabled: bool = knob(
        "Switch", "Fits the baseline on parts of the records and asks it about the rest."
    )
    folds: int = knob(
        "Folds", "More see more data and take longer.", unit="folds", level="advanced", ge=2, le=20
    )
    listed: int = knob(
        "Listed", "How many of the likeliest errors are listed.", unit="records", ge=1, le=100_000
    )
    seed: int = knob("Seed", "Which record is in which fold.", level="advanced", ge=0, le=2**31 - 1)


class Numbers(Section):
    """Which numbers a record can have as its label, regression only."""

    low: float | None = knob(
        "Lowest", "Smaller ones are refused; null: none are.",
        level="advanced", ge=-1e15, le=1e15,
    )  # fmt: skip
    high: float | None = knob(
        "Highest", "Larger ones are refused; null: none are.",
        level="advanced", ge=-1e15, le=1e15,
    )  # fmt: skip

    @model_validator(mode="after")
    def low_is_low(self) -> Numbers:
        """The lowest lies below the highest."""
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise contradiction("low that is not below high")
        return self


class Label(Section):
    """The labels of the task."""

    task: Literal["single_label", "multi_label", "regression"] = knob(
        "Task",
        "single_label: one of the labels; multi_label: any number of them; regression: a number.",
    )
    labels: list[LabelName] = knob(
        "Labels",
        "Every label of the task; others are refused. Empty for regression.",
        max_length=1_000,
    )
    separator: str = knob(
        "Separator",
        "multi_label: what stands between labels in a cell of the source.",
        level="advanced",
        min_length=1,
        max_length=5,
    )
    numbers: Numbers = knob("Numbers", "regression: which numbers can be.")
    definitions: dict[str, Definition] = knob(
        "Definitions", "Label → what it means, with examples, for annotators.", max_length=1_000
    )
    mapping: dict[str, LabelName] = knob(
        "Mapping",
        "Label of the source → label of the task; * stands for anything, an exact name goes first.",
        max_length=10_000,
    )
    rules: list[Rule] = knob(
        "Rules",
        "Patterns that give a label to records without one. Where rules disagree, none counts and "
        "the conflict is listed.",
        level="advanced",
        max_length=1_000,
    )
    annotation: Annotation = knob("Annotation", "How work is given to annotators.")
    consensus: Literal["majority", "cleanlab"] = knob(
        "Consensus",
        "Of several annotators: majority: the most frequent label; cleanlab: weighs annotators by "
        "how reliable they proved (CROWDLAB).",
    )
    agreement: Agreement = knob("Agreement", "How far annotators agree.")
    suspects: Suspects = knob("Suspects", "Labels that are probably wrong.")

    @model_validator(mode="after")
    def mapping_leads_to_labels(self) -> Label:
        """A label that is not declared could never be learnt."""
        if self.task == "regression":
            named = (self.labels, self.mapping, self.definitions, self.rules)
            if any(named) or self.consensus == "cleanlab":
                raise contradiction(
                    "labels, mapping, definitions, rules or consensus cleanlab, which the task "
                    "regression does not have"
                )
            return self
        if len(self.labels) < 2:
            raise contradiction("fewer than two labels")
        if self.task == "multi_label":
            if any(JOINT in one for one in self.labels):
                raise contradiction("a label with {sign} in its name", sign=JOINT)
            if self.consensus == "cleanlab":
                raise contradiction("consensus cleanlab, which the task multi_label does not have")
        if len(set(self.labels)) < len(self.labels):
            raise contradiction("a label twice in labels")
        unknown = sorted(set(self.mapping.values()) - set(self.labels))
        if unknown:
            raise contradiction(
                "a mapping to {names}, which labels does not list", names=", ".join(unknown)
            )
        strange = {one.label for one in self.rules} | set(self.definitions)
        if strange - set(self.labels):
            raise contradiction(
                "a rule or a definition of {names}, which labels does not list",
                names=", ".join(sorted(strange - set(self.labels))),
            )
        return self
