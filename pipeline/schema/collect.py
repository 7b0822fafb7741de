"""Section ``collect``: where raw records come from, and under which licence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob
from pipeline.schema.origin import INSIDE, PackageOrigin, Reader


class Stated(Section):
    """What every source states about itself."""

    name: str = knob(
        "Name",
        "How reports call this source.",
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=40,
    )
    licence: str = knob(
        "Licence",
        "Under which terms the data may be used: an SPDX name or a sentence.",
        min_length=1,
        max_length=300,
    )
    required: bool = knob(
        "Required",
        "When a required source fails, the stage fails; an optional one is listed as missing.",
    )
    limit: int | None = knob(
        "At most",
        "Take only the first so many records; null takes all.",
        unit="records",
        level="advanced",
        ge=1,
        le=100_000_000,
    )
    reader: Reader = knob("Reader", "How the file becomes records.")


class FileSource(Stated):
    """Files of the project."""

    kind: Literal["file"] = knob("Kind", "Files that lie in the project.")
    path: str = knob(
        "Files",
        "A path or a pattern such as data/raw/*.csv. Only data/raw is watched for changes.",
        pattern=r"^data/raw/" + INSIDE,
        max_length=400,
    )


class PackageSource(Stated, PackageOrigin):
    """Data files that a package of the index carries."""


Source = Annotated[FileSource | PackageSource, Field(discriminator="kind")]


class Collect(Section):
    """Where raw records come from."""

    sources: list[Source] = knob(
        "Sources", "Read in this order and joined.", min_length=1, max_length=64
    )

    @model_validator(mode="after")
    def names_differ(self) -> Collect:
        """Reports and record ids go by the name."""
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise contradiction("the name {names} twice", names=", ".join(twice))
        return self
