"""Sections ``clean``, ``label`` and ``split``: what happens to records before a model sees them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

LabelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class Normalize(Section):
    """How a text is written before anything else sees it; travels with the model."""

    repair: bool = knob("Repair encoding", "Mends text that was decoded wrongly (Ã© → é).")
    html: bool = knob("Strip HTML", "Takes out tags and decodes entities.")
    unicode: bool = knob(
        "Unify characters", "Unicode NFKC: full-width to half-width, ligatures, composed accents."
    )
    control: bool = knob(
        "Drop control characters", "Takes out control and invisible formatting characters."
    )
    white_space: bool = knob("Tidy white space", "One space between words, none at the ends.")


class Clean(Section):
    """Which texts stay."""

    normalize: Normalize = knob("Normalization", "The same for training and for serving.")
    min_characters: int = knob(
        "Shortest text", "Shorter ones are dropped.", unit="characters", ge=1, le=1_000
    )
    max_characters: int = knob(
        "Longest text",
        "Longer ones are dropped; the model reads init.max_tokens of what stays.",
        unit="characters",
        ge=1,
        le=1_000_000,
    )
    drop_duplicates: bool = knob(
        "Drop duplicates", "Of records with the same text and label only the first stays."
    )
    drop_contradictions: bool = knob(
        "Drop contradictions", "Drops all records whose text stands there with several labels."
    )

    @model_validator(mode="after")
    def bounds_in_order(self) -> Clean:
        """An empty range would drop every record."""
        if self.min_characters > self.max_characters:
            raise contradiction("min_characters above max_characters")
        return self


class Label(Section):
    """The labels of the task."""

    labels: list[LabelName] = knob(
        "Labels", "Every label of the task; others are refused.", min_length=2, max_length=1_000
    )
    mapping: dict[str, LabelName] = knob(
        "Mapping",
        "Label of the source → label of the task; * stands for anything, an exact name goes first.",
        max_length=10_000,
    )

    @model_validator(mode="after")
    def mapping_leads_to_labels(self) -> Label:
        """A label that is not declared could never be learnt."""
        if len(set(self.labels)) < len(self.labels):
            raise contradiction("a label twice in labels")
        unknown = sorted(set(self.mapping.values()) - set(self.labels))
        if unknown:
            raise contradiction(
                "a mapping to {names}, which labels does not list", names=", ".join(unknown)
            )
        return self


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


class Split(Section):
    """How records are divided."""

    strategy: Literal["stratified", "random"] = knob(
        "Strategy", "stratified gives every part the same mix of labels."
    )
    shares: Shares = knob("Shares", "How much each part gets.")
    min_per_label: int = knob(
        "Fewest per label",
        "Every label needs so many records in every part, or the stage fails.",
        unit="records",
        ge=1,
        le=10_000,
    )
    seed: int = knob(
        "Seed", "Another seed gives another division.", level="advanced", ge=0, le=2**31 - 1
    )
