"""Section ``collect``: where raw records come from, and under which terms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.feeds import (
    DatasetsSource,
    DocumentsSource,
    FileSource,
    HubSource,
    PackageSource,
    SqlSource,
    StreamSource,
)
from pipeline.schema.knob import Section, contradiction, knob
from pipeline.schema.web import HttpSource

Source = Annotated[
    FileSource
    | PackageSource
    | DocumentsSource
    | HttpSource
    | SqlSource
    | HubSource
    | DatasetsSource
    | StreamSource,
    Field(discriminator="kind"),
]
Sortable = Literal["created_at", "label", "group", "source", "text"]


class Limits(Section):
    """What reading one source may use; a source that wants more is stopped, for a named reason."""

    memory: int = knob(
        "Memory",
        "Address space of the process that reads the source.",
        unit="MB",
        level="advanced",
        ge=512,
        le=1_000_000,
    )
    seconds: int = knob(
        "Time",
        "Wall clock and processor time for one source.",
        unit="seconds",
        level="advanced",
        ge=1,
        le=604_800,
    )
    size: int = knob(
        "Size",
        "Decoded bytes of one source: what a small archive or parquet file may grow to.",
        unit="MB",
        level="advanced",
        ge=1,
        le=10_000_000,
    )


class Collect(Section):
    """Where raw records come from."""

    sources: list[Source] = knob(
        "Sources", "Read in this order and joined.", min_length=1, max_length=64
    )
    merge: Literal["append", "interleave"] = knob(
        "Merge", "append: one source after the other; interleave: one record of each in turn."
    )
    sort_by: Sortable | None = knob(
        "Sort", "Sorts the merged records by this column; null leaves them as they come."
    )
    group_by: list[Sortable] = knob(
        "Counted by",
        "The data card counts records by these columns, as in [source, label].",
        level="advanced",
        max_length=3,
    )
    limits: Limits = knob("Limits", "What reading one source may use.", level="advanced")
    seed: int = knob(
        "Seed", "For sources that take a random sample.", level="advanced", ge=0, le=2**31 - 1
    )

    @model_validator(mode="after")
    def names_differ(self) -> Collect:
        """Reports and record ids go by the name."""
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise contradiction("the name {names} twice", names=", ".join(twice))
        return self
