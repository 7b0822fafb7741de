"""Transformers' Trainer with our loss, our order of records and no work between steps.

What differs: losses come from the task, the optimizer and the schedule from ``params.yaml``;
batches come in an order that a resumed run repeats; a checkpoint holds weights that changed and no
pickled settings; weights that are no numbers never get into one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainingArguments

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import launcher, optimizers, schedules
from pipeline.modeling.sampling import GroupedByLength, Shuffled

if TYPE_CHECKING:
    from pipeline.modeling.methods import Method
    from pipeline.tasks.base import Task

Example = dict[str, Any]
LOGGING_STEPS = 10
SHARE = "share"  # of a batch in the step it belongs to, travels beside its tensors


@dataclass(frozen=True)
class Setup:
    """What a training run is about, beside its records."""

    task: Task
    method: Method
    knobs: Any  # params.train
    folder: Path
    batch_size: int  # texts at once in one process
    accumulation: int
    weights: list[float] | None = None  # of classes


class ResumableTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose run can be taken up again at any checkpoint, and ends the same to the bit."""

    optimizer: torch.optim.Optimizer | None
    lr_scheduler: Any

    def __init__(self, setup: Setup, **others: Any) -> None:
        super().__init__(**others)
        self.setup = setup
        self.weights = None
        if setup.weights is not None:
            self.weights = torch.tensor(setup.weights, device=self.args.device)
        self.trained = [one for one in self.model.parameters() if one.requires_grad]
        self.examples, self.since = 0, time.perf_counter()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimizer that ``params.yaml`` names."""
        if self.optimizer is None:
            self.optimizer = optimizers.build(
                self.model if model is None else model, self.setup.knobs
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the schedule that ``params.yaml`` names."""
        if self.lr_scheduler is None:
            chosen: Any = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler = schedules.build(
                chosen,
                self.setup.knobs.schedule,
                steps=num_training_steps,
                greater_is_better=self.args.greater_is_better,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        knobs = self.setup.knobs
        if not knobs.group_by_length:
            return Shuffled(len(self.train_dataset), knobs.seed)
        lengths = [len(one["input_ids"]) for one in self.train_dataset]
        return GroupedByLength(lengths, knobs.batch_size * knobs.accumulation, knobs.seed)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: Any
    ) -> tuple[list[Any], None]:
        """Return the batches of a step, each with its share in it."""
        samples, _items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if len(samples) > 1:
            sizes = [self.size(one["labels"]) for one in samples]
            for one, size in zip(samples, sizes, strict=True):
                one[SHARE] = size / sum(sizes)
        return samples, None

    def size(self, labels: torch.Tensor) -> float:
        """Return what a batch weighs: its records or, where classes weigh differently, theirs.

        With these shares accumulated batches give the mean of one large batch.
        """
        if self.weights is None or labels.is_floating_point():
            return float(len(labels))
        return float(self.weights.to(labels.device)[labels].sum())

    def _get_num_items_in_batch(self, batch_samples: Any, device: Any) -> None:
        return None

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the task's loss, and the penalty on the weights while training."""
        knobs = self.setup.knobs
        share = inputs.pop(SHARE, None)
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        loss = self.setup.task.loss(logits, labels, knobs=knobs.loss, weights=self.weights)
        if model.training and (knobs.l1 or knobs.l2):
            loss = loss + optimizers.penalty(self.model, knobs.l1, knobs.l2)
        if share is not None:
            # Trainer divides by the number of batches afterwards.
            loss = loss * share * self.current_gradient_accumulation_steps
        return (loss, {"logits": logits}) if return_outputs else loss

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Take one batch forward and back.

        :raises ModelError: on a CPU if the loss is no number; a GPU is not waited for each step.
        """
        self.examples += len(inputs["labels"])
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        if loss.device.type == "cpu" and not torch.isfinite(loss):
            raise diverged(self.state.global_step + 1, _("a loss that is not a number"))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        if self.args.device.type != "cpu" or self.args.world_size > 1:
            return super()._clip_grad_norm(model)
        norm = self.gradient_norm()
        # Shortening costs a pass over all gradients, which most steps do not need.
        if norm > self.args.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self.trained, self.args.max_grad_norm, norm)
        return norm

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        if grad_norm is None and self.args.device.type == "cpu" and self.args.world_size <= 1:
            return self.gradient_norm()
        return super()._get_grad_norm(model, grad_norm)

    def gradient_norm(self) -> torch.Tensor:
        """Return the length of all gradients together.

        :raises ModelError: if it is no number, before the step would spoil the weights.
        """
        grads = [one.grad for one in self.trained if one.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        if not torch.isfinite(norm):
            raise diverged(self.state.global_step + 1, _("a gradient that is not a number"))
        return norm

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: nobody reads Trainer's count."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add speed, memory and time left to what a step tells."""
        if "loss" in logs:
            now = time.perf_counter()
            pace = self.examples * self.args.world_size / max(now - self.since, 1e-9)
            done = self.state.epoch * len(self.train_dataset)
            ahead = self.state.num_train_epochs * len(self.train_dataset) - done
            logs |= {
                "examples_per_second": round(pace, 2),
                "memory_bytes": memory(self.args.device),
                "seconds_left": round(ahead / max(pace, 1e-9), 1),
            }
            self.examples, self.since = 0, now
        super().log(logs, start_time)

    def evaluation_loop(self, *args: Any, **others: Any) -> Any:
        """Evaluate; with several processes the loss is that of all records, each counted once.

        Trainer fills the last batches up to equal size, and counts the filling; what it gathers is
        without.
        """
        output = super().evaluation_loop(*args, **others)
        name = f"{others.get('metric_key_prefix', 'eval')}_loss"
        if self.args.world_size > 1 and name in output.metrics:
            loss = self.setup.task.loss(
                torch.tensor(output.predictions).float(),
                torch.tensor(output.label_ids),
                knobs=self.setup.knobs.loss,
                weights=None if self.weights is None else self.weights.cpu(),
            )
            output.metrics[name] = loss.item()
        return output

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not finite(self.trained):
            raise diverged(self.state.global_step, _("weights that are not numbers"))
        super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        plain = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        plain.save_pretrained(output_dir, state_dict=state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            self.setup.method.restore(self.model, Path(resume_from_checkpoint))


def finite(weights: Sequence[torch.Tensor]) -> bool:
    """Return whether all weights are numbers; one pass, one wait for the device."""
    sums = torch.stack([one.detach().sum(dtype=torch.float64) for one in weights])
    return bool(torch.isfinite(sums).all())


def memory(device: torch.device) -> int:
    """Return the bytes that this process holds on its device."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def diverged(step: int, found: Any) -> ModelError:
    """Return the error for a loss, a gradient or weights that are no numbers any more."""
    return ModelError.at(
        f"train, step {step}",
        found=found,
        allowed=_("a finite loss"),
        fix=_("Lower train.learning_rate, or set train.max_gradient_norm to 1. "
              "The last good checkpoint is kept."),
    )  # fmt: skip


def encode(tokenizer: Any, texts: Sequence[str], targets: Sequence[Any]) -> list[Example]:
    """Return examples for Trainer from texts that are normalized already."""
    return [
        {"input_ids": one.ids, "attention_mask": one.attention_mask, "labels": target}
        for one, target in zip(tokenizer.encode_batch(list(texts)), targets, strict=True)
    ]


def world() -> int:
    """Return how many processes train together; torchrun says so."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def settings(setup: Setup) -> TrainingArguments:
    """Return Trainer's settings for ``params.yaml``'s section ``train``.

    :raises ModelError: for a device or a precision that this machine does not have.
    """
    knobs = setup.knobs
    cpu = device(knobs.device) == "cpu"
    chosen = precision(knobs.precision, cpu=cpu)
    return TrainingArguments(
        output_dir=str(setup.folder),
        num_train_epochs=knobs.epochs,
        per_device_train_batch_size=setup.batch_size,
        per_device_eval_batch_size=2 * setup.batch_size,
        gradient_accumulation_steps=setup.accumulation,
        learning_rate=knobs.learning_rate,
        max_grad_norm=knobs.max_gradient_norm,
        bf16=chosen == "bf16",
        fp16=chosen == "fp16",
        use_cpu=cpu,
        torch_compile=knobs.compile,
        gradient_checkpointing=knobs.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model=knobs.metric,
        greater_is_better=setup.task.greater_is_better(knobs.metric),
        logging_steps=LOGGING_STEPS,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=not cpu,
        **launcher.settings(knobs),
        disable_tqdm=True,
        report_to="none",
        seed=knobs.seed,
    )


def device(wanted: str) -> str:
    """Return ``cpu`` or ``cuda``.

    :raises ModelError: if a GPU is asked for and there is none.
    """
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ModelError.at(
            "params.yaml, train.device",
            found=_("no GPU that torch can use"),
            allowed="auto, cpu",
            fix=_("Set it to auto, or install a torch with CUDA."),
        )
    return "cuda" if present and wanted != "cpu" else "cpu"


def precision(wanted: str, *, cpu: bool) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16``: what was asked for, or what the processor is fast at.

    :raises ModelError: for fp16 on a CPU, whose gradients would vanish unscaled.
    """
    if wanted == "fp16" and cpu:
        raise ModelError.at(
            "params.yaml, train.precision",
            found="fp16",
            allowed="auto, fp32, bf16",
            fix=_("fp16 is for GPUs; set it to auto."),
        )
    if wanted != "auto":
        return wanted
    if cpu:
        can = torch.cpu.get_capabilities()
        return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp32"


def prepare_torch(knobs: Any) -> None:
    """Set threads and determinism of this process."""
    if knobs.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(knobs.deterministic)
    if knobs.threads:
        torch.set_num_threads(knobs.threads)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there was not enough memory, on the device or the CPU."""
    words = ("out of memory", "not enough memory", "DefaultCPUAllocator", "bad_alloc")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(one in str(error) for one in words)
    )
