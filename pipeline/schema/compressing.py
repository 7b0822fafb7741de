"""Section ``optimize``: how the model becomes small and fast, and which copy of it ships."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.judgement import Gate
from pipeline.schema.knob import Section, contradiction, knob

# What is done to the model, from left to right; the last word is what it runs on.
MAKERS = ("distilled", "pruned_units", "pruned_weights")
TARGETS = (
    "openvino_fp32", "openvino_bf16", "openvino_int8", "openvino_int8_weights",
    "onnx_fp32", "onnx_int8", "torch_bf16", "torch_int8",
)  # fmt: skip
VARIANT = rf"^(({'|'.join(MAKERS)})\+)*({'|'.join(TARGETS)})$"
Variant = Annotated[str, Field(pattern=VARIANT, max_length=100)]


class Distillation(Section):
    """A smaller model that learns the answers of the trained one (Hinton et al. 2015)."""

    layers: int = knob(
        "Layers", "Of the student; they are taken from the teacher, evenly.",
        unit="layers", ge=1, le=200,
    )  # fmt: skip
    width: float = knob(
        "Width", "Of the student's inner layers, as a share of the teacher's.",
        unit="share", level="advanced", gt=0.0, le=1.0,
    )  # fmt: skip
    epochs: int = knob("Epochs", "Passes over the training part.", unit="epochs", ge=1, le=1_000)
    learning_rate: float = knob("Learning rate", "Highest, after warm-up.", gt=0.0, le=1.0)
    batch_size: int = knob("Batch size", "Texts at once.", unit="texts", ge=1, le=4_096)
    temperature: float = knob(
        "Temperature", "Higher shows the student more of what the teacher hesitated between.",
        level="advanced", gt=0.0, le=100.0,
    )  # fmt: skip
    teacher_share: float = knob(
        "Teacher's share", "Of the loss; the rest comes from the true labels.",
        unit="share", level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip
    augmented: int = knob(
        "Altered copies", "Of each text, that only the teacher labels; more help small sets.",
        unit="copies", level="advanced", ge=0, le=20,
    )  # fmt: skip


class Pruning(Section):
    """Parts of the model that are taken away, and how the rest recovers."""

    units: float = knob(
        "Units", "pruned_units: share of attention heads and inner units that go.",
        unit="share", ge=0.0, lt=1.0,
    )  # fmt: skip
    weights: float = knob(
        "Weights",
        "pruned_weights: share of the smallest weights that become zero. It saves room where a "
        "file is compressed, and no time on a usual processor.",
        unit="share", ge=0.0, lt=1.0,
    )  # fmt: skip
    epochs: int = knob(
        "Epochs", "Of recovery, with the teacher's answers as in distillation.",
        unit="epochs", ge=0, le=100,
    )  # fmt: skip
    learning_rate: float = knob("Learning rate", "Of recovery.", gt=0.0, le=1.0)


class Parity(Section):
    """A copy must answer as the model it was made from, or it is refused."""

    margin: float = knob(
        "Margin",
        "Where the first label leads the second by at least this, it must be the same; several "
        "labels: where a probability is this far from its threshold.",
        unit="share", ge=0.0, le=1.0,
    )  # fmt: skip
    tolerance: float = knob(
        "Tolerance",
        "How far a score may differ from the original's, at the 99th percentile; numbers: in "
        "standard deviations.",
        ge=0.0, le=1.0,
    )  # fmt: skip
    invariance: float = knob(
        "Invariance",
        "How far a score may differ alone, in a batch of 32 and in another order.",
        level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip


class Measuring(Section):
    """How the copies are timed, side by side."""

    rounds: int = knob(
        "Rounds", "How often each latency is measured.",
        unit="rounds", level="advanced", ge=3, le=10_000,
    )  # fmt: skip
    batches: list[Annotated[int, Field(ge=1, le=1_024)]] = knob(
        "Batches", "How many texts at once.", unit="texts", level="advanced",
        min_length=1, max_length=5,
    )  # fmt: skip
    lengths: list[Annotated[int, Field(ge=1, le=8_192)]] = knob(
        "Lengths", "Of the texts that are timed.", unit="tokens", level="advanced",
        min_length=1, max_length=5,
    )  # fmt: skip
    threads: int = knob(
        "Threads", "Of each copy; 0 takes all cores.",
        unit="threads", level="advanced", ge=0, le=1_024,
    )  # fmt: skip


class Optimize(Section):
    """How the model becomes small and fast."""

    variants: list[Variant] = knob(
        "Variants",
        "What is built and measured, as in openvino_int8 or distilled+openvino_int8: first what "
        "is done to the model, last what it runs on.",
        min_length=1, max_length=20,
    )  # fmt: skip
    mobile: bool = knob("For phones", "Also writes a bundle for Android and iOS (ONNX Runtime).")
    calibration_records: int = knob(
        "Calibration records",
        "Training records from which int8 learns its value ranges; 300 are enough for most.",
        unit="records", level="advanced", ge=10, le=10_000,
    )  # fmt: skip
    rule: Literal["smallest", "fastest"] = knob(
        "Choose the", "Among the variants that keep parity and all gates."
    )
    gates: list[Gate] = knob(
        "Gates",
        "What a variant must keep, on the validation part: points_lost <= 1 (of the main figure, "
        "in hundredths), agreement >= 0.97 (share of records answered as before), any figure of "
        "validate, size_mb, memory_mb, cold_start_s, latency_ms_p95 or texts_per_second.",
        max_length=50,
    )
    parity: Parity = knob("Parity", "What is tested must be what ships.")
    distillation: Distillation = knob("Distillation", "For variants that begin with distilled.")
    pruning: Pruning = knob("Pruning", "For variants that begin with pruned.")
    measuring: Measuring = knob("Measuring", "How copies are timed.")
    seed: int = knob("Seed", "For all that is drawn.", level="advanced", ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def variants_differ(self) -> Optimize:
        """Each variant is built once."""
        if len(set(self.variants)) < len(self.variants):
            raise contradiction("a variant twice")
        return self
