"""Section ``traffic``: what the service writes down about requests, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

Region = Annotated[str, Field(pattern=r"^[A-Z]{2}$", max_length=2)]
Kind = Literal["email", "phone", "identity_card", "bank_card", "ip"]


class Retry(Section):
    """How soon a database that failed is tried again."""

    first: float = knob(
        "First wait", "After a first failure; doubled from one try to the next.",
        unit="seconds", level="advanced", ge=0.05, le=60.0,
    )  # fmt: skip
    longest: float = knob(
        "Longest", "No longer than this between two tries.",
        unit="seconds", level="advanced", ge=0.05, le=600.0,
    )  # fmt: skip


class Traffic(Section):
    """What the service writes down about requests, and for how long."""

    text: Literal["none", "masked"] = knob(
        "Texts",
        "none: a text's keyed hash, length, language and answer; masked: also the text itself, "
        "with personal data masked, so that people can label it.",
    )
    mask: list[Kind] = knob(
        "Masked", "Personal data that is masked in a stored text and in the reasons of feedback.",
        max_length=5,
    )  # fmt: skip
    region: Region = knob(
        "Region", "Where phone numbers without a country code belong, as in CN or US.",
        level="advanced",
    )  # fmt: skip
    characters: int = knob(
        "Characters", "A stored text is cut after them.",
        unit="characters", level="advanced", ge=1, le=100_000,
    )  # fmt: skip
    language: bool = knob(
        "Language", "Tells which language each text is in; a short text costs up to 0.1 ms."
    )
    features: bool = knob(
        "Features", "256 bytes a text, by which drift is found without its words."
    )
    queue: int = knob(
        "Queue", "Texts that wait to be written. Beyond it requests are answered as ever, and "
        "counted instead of kept.",
        unit="texts", level="advanced", ge=1, le=1_000_000,
    )  # fmt: skip
    batch: int = knob(
        "Batch", "Texts a transaction; more write faster and lock the database for longer.",
        unit="texts", level="advanced", ge=1, le=10_000,
    )  # fmt: skip
    flush_ms: int = knob(
        "Flush", "A kill loses at most what came in so long; less writes more often.",
        unit="ms", level="advanced", ge=10, le=60_000,
    )  # fmt: skip
    retry_seconds: Retry = knob("Retry", "How soon a database that failed is tried again.")
    retention_days: int = knob(
        "Retention", "Requests, answers and feedback are deleted after so long.",
        unit="days", ge=1, le=3_650,
    )  # fmt: skip
    figures_days: int = knob(
        "Retention of figures", "Figures of windows and events, which speak of nobody.",
        unit="days", level="advanced", ge=1, le=36_500,
    )  # fmt: skip
    most_mb: int = knob(
        "Size", "Of the whole database; the oldest days go first. SQLite: of its files; "
        "PostgreSQL: of what its rows hold.",
        unit="MB", ge=16, le=1_000_000,
    )  # fmt: skip
    sweep_minutes: float = knob(
        "Sweep", "How often it is looked for what is too old or too much.",
        unit="minutes", level="advanced", ge=0.01, le=1_440.0,
    )  # fmt: skip

    @model_validator(mode="after")
    def values_fit(self) -> Traffic:
        """Tries grow apart, and figures outlive what they were computed from."""
        if self.retry_seconds.longest < self.retry_seconds.first:
            raise contradiction("retry_seconds.longest below retry_seconds.first")
        if self.figures_days < self.retention_days:
            raise contradiction("figures_days below retention_days")
        return self
