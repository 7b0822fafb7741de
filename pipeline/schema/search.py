"""Section ``search``: which knobs a search tries, and for how long. No stage reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import LARGEST_SEED, Section, contradiction, knob

FieldName = Annotated[str, Field(pattern=r"^(init|train)(\.[a-z][a-z0-9_]*)+$", max_length=100)]


class Search(Section):
    """Which knobs ``python -m pipeline.search`` tries, and for how long."""

    sampler: Literal["grid", "random", "bayesian"] = knob(
        "Sampler",
        "grid: every combination; random: any; bayesian: where it has been good so far (TPE).",
    )
    fields: list[FieldName] = knob(
        "Fields",
        "Knobs of init and train that are tried, within the range that each one states.",
        min_length=1, max_length=20,
    )  # fmt: skip
    grid_points: int = knob(
        "Points a field", "grid only: how many values of a range are tried.", ge=2, le=20
    )
    trials: int = knob("Trials", "At most so many.", unit="trials", ge=1, le=10_000)
    minutes: int = knob("Minutes", "No trial begins after them.", unit="minutes", ge=1, le=100_000)
    prune: bool = knob("Prune", "Stops trials early that fall behind the median of the others.")
    seed: int = knob("Seed", "Of the sampler.", level="advanced", ge=0, le=LARGEST_SEED)

    @model_validator(mode="after")
    def fields_differ(self) -> Search:
        """Each knob is tried once."""
        if len(set(self.fields)) < len(self.fields):
            raise contradiction("a field twice")
        return self
