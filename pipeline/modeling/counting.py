"""What training a model costs, counted: operations, bytes, and from them time and money.

No model is needed for it, so models that are not here yet can be compared. What is counted once
and measured on this machine (``estimates``) is more exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

SECONDS_PER_HOUR = 3_600.0
FP32 = 4  # bytes
# Share of a large matrix product's speed that training reaches. Measured on a processor, see
# benchmarks/estimate.py; on GPUs from Narayanan et al. 2021, table 1 (0.41 to 0.52 of the peak).
EFFICIENCY = {"cpu": 0.5, "cuda": 0.4}
# What the process holds before there is a model: Python, torch, transformers.
# This and the next three are rough, and serve where nothing can be tried.
BASE_BYTES = {"cpu": 600 * 2**20, "cuda": 0}
SECONDS_PER_STEP = {"cpu": 0.006, "cuda": 0.012}  # of Trainer, beside the computing
LIBRARY_BYTES = 50 * 2**20  # of Trainer and of the recorder, which the probe does not need
START_SECONDS = 0.8  # of Trainer and of the recorder, before the first step
# For each pass that the method makes: forward is one, the gradients of activations another, the
# gradients of weights the third (Kaplan et al. 2020, table 1 and section 2.1).
PASSES = {"full": 3, "lora": 2, "frozen": 1}


@dataclass(frozen=True)
class Shape:
    """The sizes of a model that decide what it costs."""

    parameters: int
    embeddings: int  # of these, in tables that are looked up: they take no operations
    layers: int
    hidden: int
    heads: int

    @property
    def matrices(self) -> int:
        """Return the weights that every token is multiplied with."""
        return self.parameters - self.embeddings


@dataclass(frozen=True)
class Rates:
    """What this machine gives and takes."""

    device: str
    operations_per_second: float  # of a matrix product in the precision of training
    watts: float | None = None
    co2_kg_per_kwh: float | None = None
    price_per_hour: float = 0.0
    currency: str = ""


@dataclass(frozen=True)
class Work:
    """How much there is to train on, and how."""

    lengths: list[int]  # of each training text, in tokens, cut to the longest input
    validation: list[int]
    epochs: int
    batch_size: int
    method: str = "full"  # full, lora, frozen
    optimizer: str = "adamw"
    momentum: float = 0.9
    precision: str = "fp32"
    rank: int = 8
    accumulation: int = 1
    freeze_embeddings: bool = True
    gradient_checkpointing: bool = False
    checkpoint_steps: int = 50

    @property
    def longest(self) -> int:
        """Return the length of the longest text, in tokens."""
        return max([*self.lengths, *self.validation, 1])

    @property
    def batches(self) -> int:
        """Return the batches of an epoch."""
        return math.ceil(len(self.lengths) / self.batch_size)


@dataclass(frozen=True)
class Estimate:
    """What a training run will take. ``how`` is ``probe`` or ``counted``."""

    seconds: float
    peak_memory_bytes: int
    kwh: float | None
    co2_kg: float | None
    money: float
    currency: str
    how: str
    steps: int  # changes of the weights, if no early stop comes
    seconds_of: dict[str, float] = field(default_factory=dict)  # training, evaluation, checkpoints…
    probe_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def forward(shape: Shape, lengths: Iterable[int]) -> float:
    """Return the floating-point operations of reading texts once.

    Two a weight and token, less the tables that are looked up (Kaplan et al. 2020, equation 2.2),
    and ``4 · layers · length · hidden`` a token for attention's two products (Korthikanti et al.
    2022, appendix A: ``4·B·s²·h`` a layer).
    """
    each = list(lengths)
    tokens, squares = sum(each), sum(length**2 for length in each)
    return 2.0 * shape.matrices * tokens + 4.0 * shape.layers * shape.hidden * squares


def training(shape: Shape, work: Work) -> float:
    """Return the operations of all epochs: three passes a text for full, two for LoRA.

    LoRA needs no gradient of the weights that stay. Gradient checkpointing reads each text again
    (Korthikanti et al. 2022, section 5). The frozen encoder reads each text a single time, and its
    head costs next to nothing.
    """
    once = forward(shape, work.lengths)
    if work.method == "frozen":
        return once
    passes = PASSES[work.method] + (1 if work.gradient_checkpointing else 0)
    return passes * once * work.epochs


def evaluation(shape: Shape, work: Work) -> float:
    """Return the operations of reading the validation part after every epoch."""
    once = forward(shape, work.validation)
    return once if work.method == "frozen" else once * work.epochs


def trained(shape: Shape, work: Work) -> int:
    """Return how many weights change.

    LoRA adds ``rank · (in + out)`` a matrix: 8 widths a layer for attention, 10 for a feed-forward
    part four times as wide.
    """
    if work.method == "frozen":
        return shape.hidden * shape.hidden
    if work.method == "lora":
        return shape.layers * work.rank * 18 * shape.hidden + shape.hidden * shape.hidden
    return shape.parameters - (shape.embeddings if work.freeze_embeddings else 0)


def optimizer_bytes(shape: Shape, work: Work) -> int:
    """Return what the optimizer remembers: AdamW two numbers a weight, momentum one."""
    numbers = {
        "adamw": 2.0,
        "sgd": 1.0 if work.momentum else 0.0,
        "rmsprop": 2.0 if work.momentum else 1.0,
        # A row and a column for a matrix (Shazeer and Stern 2018, section 3).
        "adafactor": 2.0 / shape.hidden,
    }
    return round(numbers[work.optimizer] * FP32 * trained(shape, work))


def activations(shape: Shape, work: Work) -> int:
    """Return the bytes that are kept between reading and learning, for the largest batch.

    One layer keeps ``34·s·b·h + 5·a·s²·b`` bytes in 16 bits (Korthikanti et al. 2022, equation 2),
    hence twice that in 32. With gradient checkpointing each layer keeps its input alone, and one is
    computed at a time; a frozen encoder, or LoRA's part of it, keeps less.
    """
    length, texts = work.longest, min(work.batch_size, max(1, len(work.lengths)))
    wide = 2 if work.precision == "fp32" else 1
    layer = wide * texts * (34 * length * shape.hidden + 5 * shape.heads * length**2)
    if work.method == "frozen":
        return layer
    if work.gradient_checkpointing:
        return layer + shape.layers * 2 * wide * texts * length * shape.hidden
    return shape.layers * layer


def memory(shape: Shape, work: Work, device: str = "cpu") -> int:
    """Return the highest use of memory in bytes.

    Weights, a gradient for each that changes, what the optimizer remembers (Rajbhandari et al.
    2020, section 3.1), activations, and the process itself.
    """
    weights = FP32 * (shape.parameters + trained(shape, work))
    if work.precision != "fp32":
        weights += 2 * shape.parameters  # autocast's copies
    return BASE_BYTES[device] + weights + optimizer_bytes(shape, work) + activations(shape, work)


def checkpoint_bytes(shape: Shape, work: Work) -> int:
    """Return the size of a checkpoint: the weights that change, and the optimizer's."""
    return FP32 * trained(shape, work) + optimizer_bytes(shape, work)


def counted(shape: Shape, work: Work, rates: Rates) -> Estimate:
    """Return the estimate that takes nothing but counting and the speed of this machine."""
    speed = rates.operations_per_second * EFFICIENCY[rates.device]
    micro = work.batches * work.epochs
    seconds_of = {
        "training": training(shape, work) / speed + micro * SECONDS_PER_STEP[rates.device],
        "evaluation": evaluation(shape, work) / speed,
    }
    steps = math.ceil(work.batches / work.accumulation) * work.epochs
    return priced(
        seconds_of,
        memory(shape, work, rates.device),
        rates,
        steps=steps,
        how="counted",
    )


def priced(
    seconds_of: dict[str, float], peak: int, rates: Rates, *, steps: int, how: str,
    probe_seconds: float = 0.0,
) -> Estimate:  # fmt: skip
    """Return an estimate with energy, CO2 and money that its seconds take on this machine."""
    seconds = sum(seconds_of.values())
    hours = seconds / SECONDS_PER_HOUR
    kwh = None if rates.watts is None else rates.watts / 1_000 * hours
    co2 = None if kwh is None or rates.co2_kg_per_kwh is None else kwh * rates.co2_kg_per_kwh
    return Estimate(
        seconds=seconds,
        peak_memory_bytes=peak,
        kwh=kwh,
        co2_kg=co2,
        money=hours * rates.price_per_hour,
        currency=rates.currency,
        how=how,
        steps=steps,
        seconds_of=seconds_of,
        probe_seconds=probe_seconds,
    )


def compared(estimate: Estimate, actual: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return estimate, actual value and relative error of each figure that both know.

    :returns: ``{figure: {"estimate", "actual", "error"}}``; ``error`` is (estimate − actual) /
        actual, None where the actual value is 0 or unknown.
    """
    table = {}
    for name in ("seconds", "peak_memory_bytes", "kwh", "co2_kg", "money"):
        expected, found = getattr(estimate, name), actual.get(name)
        error = None if expected is None or not found else (expected - found) / found
        table[name] = {"estimate": expected, "actual": found, "error": error}
    return table
