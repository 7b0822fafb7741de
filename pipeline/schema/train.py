"""Section ``train``: how training goes. What it is made of stands in ``schema.fitting``."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.schema.fitting import (
    Baselines,
    Contrastive,
    Costs,
    Launcher,
    Lora,
    Loss,
    Optimizer,
    Schedule,
)
from pipeline.schema.knob import LARGEST_SEED, Section, between, contradiction, knob, one_of


class Train(Section):
    """How training goes."""

    method: Literal["full", "lora", "frozen"] = knob(
        "Method",
        "full trains every weight; lora a few added ones, in less memory; frozen the "
        "head alone, in seconds.",
    )
    lora: Lora = knob("LoRA", "Used when method is lora.")
    contrastive: Contrastive = knob("Few records", "A first step for very few records a label.")
    epochs: int = knob(
        "Epochs", "Passes over the training part; time grows with it.",
        ge=1, le=1_000, search=between(1, 8),
    )  # fmt: skip
    batch_size: int = knob(
        "Batch size",
        "Texts per step: higher is smoother and needs more memory. When memory runs out it is "
        "halved, with twice the accumulation, and the run goes on.",
        unit="texts", ge=1, le=4_096, search=one_of(8, 16, 32, 64),
    )  # fmt: skip
    accumulation: int = knob(
        "Accumulation", "Batches added up before a step: a larger batch in the same memory.",
        unit="batches", level="advanced", ge=1, le=1_024,
    )  # fmt: skip
    optimizer: Optimizer = knob("Optimizer", "How weights are changed.")
    learning_rate: float = knob(
        "Learning rate",
        "Size of a step: too high diverges, too low never arrives. 1e-5 to 5e-4 when pretrained.",
        gt=0.0, le=1.0, search=between(1e-5, 1e-3, log=True),
    )  # fmt: skip
    head_rate: float = knob(
        "Head learns faster",
        "Learning rate of the new head as a multiple of the rest's, which is trained already.",
        level="advanced", ge=0.1, le=100.0, search=between(1.0, 20.0, log=True),
    )  # fmt: skip
    layer_decay: float = knob(
        "Lower layers learn slower",
        "Learning rate of each layer as a share of the next one's above; 1 treats all alike.",
        unit="share", level="advanced", gt=0.0, le=1.0, search=between(0.6, 1.0),
    )  # fmt: skip
    schedule: Schedule = knob("Schedule", "How the learning rate changes.")
    loss: Loss = knob("Loss", "What training makes small.")
    weight_decay: float = knob(
        "Weight decay", "Pulls weights towards zero, against learning by heart.",
        level="advanced", ge=0.0, le=1.0, search=between(0.001, 0.3, log=True),
    )  # fmt: skip
    l1: float = knob(
        "L1 penalty", "Adds the sum of absolute weights to the loss; drives weights to zero.",
        level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip
    l2: float = knob(
        "L2 penalty", "Adds half the sum of squared weights to the loss.",
        level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip
    dropout: float | None = knob(
        "Dropout", "Share switched off while training; null keeps the model's own.",
        unit="share", level="advanced", ge=0.0, le=0.9,
    )  # fmt: skip
    max_gradient_norm: float = knob(
        "Gradient clipping", "Longer gradients are shortened to this; 0 turns it off.",
        level="advanced", ge=0.0, le=1_000.0,
    )  # fmt: skip
    freeze_embeddings: bool = knob(
        "Keep the word vectors",
        "Leaves a pretrained model's word vectors as they are: a quarter faster, hardly a loss.",
        level="advanced",
    )
    metric: str = knob(
        "Best by",
        "The figure on the validation part by which the best epoch is chosen: loss, or one of the "
        "task's (macro_f1, accuracy; micro_f1; r2, mae).",
        pattern=r"^[a-z][a-z0-9_]*$", max_length=50,
    )  # fmt: skip
    patience: int = knob(
        "Patience", "Stops after so many epochs without a better one; 0 never stops early.",
        unit="epochs", ge=0, le=100,
    )  # fmt: skip
    min_improvement: float = knob(
        "Least improvement", "A smaller gain does not count as better for patience.",
        level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip
    group_by_length: bool = knob(
        "Group by length", "Texts of like length share a batch: nearly no padding.",
        level="advanced",
    )  # fmt: skip
    precision: Literal["auto", "fp32", "bf16", "fp16"] = knob(
        "Precision",
        "auto takes bf16 where the processor has it: twice as fast, hardly a loss. fp16 is for "
        "GPUs without bf16.",
        level="advanced",
    )
    compile: bool = knob(
        "Compile",
        "Compiles the model first: minutes, which only long runs win back.",
        level="advanced",
    )
    gradient_checkpointing: bool = knob(
        "Gradient checkpointing", "Computes layers twice to hold less: a third slower.",
        level="advanced",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = knob(
        "Device", "auto takes a GPU when there is one.", level="advanced"
    )
    threads: int = knob(
        "Threads", "Processor threads; 0 takes all. 1 repeats to the bit.",
        level="advanced", ge=0, le=1_024,
    )  # fmt: skip
    deterministic: bool = knob(
        "Deterministic",
        "Only operations that repeat to the bit, on one thread; slower.",
        level="advanced",
    )
    launcher: Launcher = knob("Launcher", "Several processes or machines.", level="advanced")
    checkpoint_steps: int = knob(
        "Checkpoint every", "At most so much work is lost when the machine stops.",
        unit="steps", level="advanced", ge=1, le=1_000_000,
    )  # fmt: skip
    seed: int = knob(
        "Seed", "For dropout and the order of records.", level="advanced", ge=0, le=LARGEST_SEED
    )
    baselines: Baselines = knob("Baselines", "Cheap models that the large one has to beat.")
    costs: Costs = knob("Costs", "What an hour of this machine costs, and where it stands.")

    @model_validator(mode="after")
    def parts_fit(self) -> Train:
        """Some ways of training exclude each other."""
        if self.gradient_checkpointing and self.method == "frozen":
            raise contradiction("gradient_checkpointing with method frozen, which keeps nothing")
        if self.contrastive.enabled and self.method == "frozen":
            raise contradiction("contrastive with method frozen, which does not change the encoder")
        if self.launcher.processes > 1 and self.contrastive.enabled:
            raise contradiction("contrastive with several processes")
        if self.launcher.machines > 1 and self.launcher.processes == 1:
            raise contradiction("several machines with one process")
        if self.deterministic and self.threads != 1:
            raise contradiction("deterministic with threads other than 1")
        return self
