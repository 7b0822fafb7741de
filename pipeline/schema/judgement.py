"""Sections ``validate``, ``test`` and ``optimize``: is it good, how sure, can it be smaller."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

GATE = r"^[a-z][a-z0-9_]* *(>=|<=) *-?[0-9]+(\.[0-9]+)?$"
Gate = Annotated[str, Field(pattern=GATE, max_length=100)]


class Validate(Section):
    """Whether the model may go on."""

    gates: list[Gate] = knob(
        "Gates",
        "Each must hold on the validation part, as in macro_f1 >= 0.85 or mae <= 0.9.",
        max_length=50,
    )
    better_than_baseline: bool = knob(
        "Better than the baseline",
        "The model's main figure (macro-F1; R² for numbers) must be above that of the best cheap "
        "model.",
    )
    batch_size: int = knob(
        "Batch size", "Texts at once; changes time and memory only.",
        unit="texts", level="advanced", ge=1, le=4_096,
    )  # fmt: skip


class Test(Section):
    """How good the model is, and how certain that is."""

    batch_size: int = knob(
        "Batch size", "Texts at once; changes time and memory only.",
        unit="texts", level="advanced", ge=1, le=4_096,
    )  # fmt: skip
    bootstrap_samples: int = knob(
        "Bootstrap samples", "More make the intervals steadier and take longer.",
        unit="samples", level="advanced", ge=100, le=100_000,
    )  # fmt: skip
    confidence: float = knob(
        "Confidence", "Of every interval in the report.", unit="share", ge=0.5, le=0.999
    )
    worst_errors: int = knob(
        "Worst errors", "How many of the most confident errors are listed.",
        unit="records", ge=1, le=1_000,
    )  # fmt: skip
    seed: int = knob("Seed", "For the bootstrap.", level="advanced", ge=0, le=2**31 - 1)


class Optimize(Section):
    """How the model becomes small and fast."""

    variants: list[Literal["openvino_fp32", "openvino_int8"]] = knob(
        "Variants", "What is built and measured.", min_length=1, max_length=2
    )
    calibration_records: int = knob(
        "Calibration records",
        "Training records from which int8 learns its value ranges; 300 are enough for most.",
        unit="records", level="advanced", ge=10, le=10_000,
    )  # fmt: skip
    rule: Literal["smallest", "fastest"] = knob(
        "Choose the", "Among the variants that keep the two limits below."
    )
    max_points_lost: float = knob(
        "Loss at most",
        "What a variant may lose of the main figure (macro-F1; R² for numbers), in hundredths.",
        unit="points", ge=0.0, le=100.0,
    )  # fmt: skip
    min_agreement: float = knob(
        "Agreement at least",
        "Share of validation records that get the answer they got before; numbers may differ by a "
        "tenth of a standard deviation.",
        unit="share", ge=0.0, le=1.0,
    )  # fmt: skip
    rounds: int = knob(
        "Rounds", "How often each latency is measured; the median counts.",
        unit="rounds", level="advanced", ge=3, le=1_000,
    )  # fmt: skip
    seed: int = knob(
        "Seed", "For the choice of calibration records.", level="advanced", ge=0, le=2**31 - 1
    )

    @model_validator(mode="after")
    def variants_differ(self) -> Optimize:
        """Each variant is built once."""
        if len(set(self.variants)) < len(self.variants):
            raise contradiction("a variant twice")
        return self
