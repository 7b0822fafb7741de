"""Fine-tune a classifier with transformers' Trainer, so that no run is ever lost.

Reads in the order of a run: settings, data, train, what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from pipeline.artifacts import read_json, require_space
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import checkpoints
from pipeline.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Example = dict[str, Any]
BYTES_PER_STEP_OF_SAVING = 3 * 4  # weights and two moments, fp32


@dataclass(frozen=True)
class Outcome:
    """What training came to."""

    history: list[dict[str, float]]  # Trainer's log, one entry a logged step or evaluation
    steps: int
    best_step: int
    best_value: float
    resumed_from: int | None  # step


class GroupedByLength(Sampler[int]):
    """Batches of texts of like length, in an order that the seed and the epoch alone decide.

    Trainer's own sampler draws from torch's global generator, so that a run resumed within an epoch
    would see another order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``; accelerate calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        # Fifty batches are sorted at a time: nearly no padding, and still another mix each epoch.
        pool = 50 * self.batch_size
        groups = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool].tolist(), key=lambda at: -self.lengths[at])
            groups += [
                part[at : at + self.batch_size] for at in range(0, len(part), self.batch_size)
            ]
        # A short last group stays last, or every later batch would straddle two groups.
        last = groups.pop() if len(groups[-1]) < self.batch_size else []
        for at in random.permutation(len(groups)):
            yield from groups[at]
        yield from last


class ResumableTrainer(Trainer):  # type: ignore[misc]
    """Trainer with batches grouped by length in an order that a resumed run repeats."""

    optimizer: torch.optim.Optimizer | None
    head_rate = 1.0  # learning rate of what is not the encoder, as a multiple

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW whose head learns faster; biases and norms do not decay."""
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                parameter_groups(self.model, self.args, self.head_rate), fused=True
            )
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        lengths = [len(one["input_ids"]) for one in self.train_dataset]
        return GroupedByLength(lengths, self.args.train_batch_size, self.args.seed)


def parameter_groups(model: Any, args: TrainingArguments, head_rate: float) -> list[dict[str, Any]]:
    """Return the weights to train by learning rate and by whether they decay."""
    body = {id(one) for one in model.base_model.parameters()}
    body -= {id(one) for one in pooler(model)}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for one in model.parameters():
        if one.requires_grad:
            groups.setdefault((id(one) in body, one.ndim > 1), []).append(one)
    return [
        {
            "params": weights,
            "lr": args.learning_rate * (1.0 if in_body else head_rate),
            "weight_decay": args.weight_decay if decays else 0.0,
        }
        for (in_body, decays), weights in groups.items()
    ]


def pooler(model: Any) -> Iterator[torch.nn.Parameter]:
    """Yield the weights between encoder and classifier, which pretraining hardly touched."""
    part = getattr(model.base_model, "pooler", None)
    return part.parameters() if part is not None else iter(())


class Habits(TrainerCallback):  # type: ignore[misc]
    """Shows progress, seals checkpoints, stops early, and never goes on after a NaN."""

    def __init__(self, folder: Path, *, every: int, patience: int, metric: str) -> None:
        self.folder, self.every, self.patience = folder, every, patience
        self.metric = f"eval_{metric}"
        self.progress: Progress | None = None
        self.shown: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start counting where the run starts or goes on."""
        self.progress = Progress("train", state.max_steps, step=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the step, and save now and then; an epoch's last step is saved with its score."""
        assert self.progress is not None
        self.progress.advance(1, **self.shown)
        ends_epoch = state.global_step % (state.max_steps // args.num_train_epochs) == 0
        if state.global_step % self.every == 0 and not ends_epoch:
            control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float],
        **_: Any,
    ) -> None:
        """Show loss and learning rate; a loss that is no number ends the run."""
        names = {"loss": "loss", "learning_rate": "learning_rate", "eval_loss": "eval_loss"}
        self.shown |= {shown: float(logs[name]) for name, shown in names.items() if name in logs}
        if not all(np.isfinite(value) for value in self.shown.values()):
            raise diverged(state.global_step)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop when ``patience`` epochs brought nothing better; counted from the log alone."""
        values = [entry[self.metric] for entry in state.log_history if self.metric in entry]
        better = min if self.metric == "eval_loss" else max
        since_best = len(values) - 1 - values.index(better(values))
        if self.patience and since_best >= self.patience:
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Write the manifest of the checkpoint that is now complete."""
        checkpoints.seal(self.folder, state.global_step, state.best_model_checkpoint)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.bar.close()


def diverged(step: int) -> ModelError:
    """Return the error for a loss that is no number any more."""
    return ModelError.at(
        f"train, step {step}",
        found=_("a loss that is not a number"),
        allowed=_("a finite loss"),
        fix=_("Lower train.learning_rate, or set train.max_gradient_norm to 1. "
              "The last good checkpoint is kept."),
    )  # fmt: skip


def encode(tokenizer: Any, texts: Sequence[str], labels: Sequence[int]) -> list[Example]:
    """Return examples for Trainer from texts that are normalized already."""
    return [
        {"input_ids": one.ids, "attention_mask": one.attention_mask, "labels": label}
        for one, label in zip(tokenizer.encode_batch(list(texts)), labels, strict=True)
    ]


def settings(knobs: Any, folder: Path) -> TrainingArguments:
    """Return Trainer's settings for ``params.yaml``'s section ``train``."""
    cpu = device(knobs.device) == "cpu"
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=knobs.epochs,
        per_device_train_batch_size=knobs.batch_size,
        per_device_eval_batch_size=2 * knobs.batch_size,
        learning_rate=knobs.learning_rate,
        lr_scheduler_type=knobs.schedule
        if knobs.schedule != "constant"
        else "constant_with_warmup",
        warmup_steps=knobs.warmup_share,
        weight_decay=knobs.weight_decay,
        label_smoothing_factor=knobs.label_smoothing,
        max_grad_norm=knobs.max_gradient_norm,
        bf16=precision(knobs.precision, cpu=cpu) == "bf16",
        use_cpu=cpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model=knobs.metric,
        greater_is_better=knobs.metric != "loss",
        logging_steps=10,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
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
    """Return ``fp32`` or ``bf16``: what was asked for, or what the processor is fast at."""
    if wanted != "auto":
        return wanted
    if cpu:
        can = torch.cpu.get_capabilities()
        return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp32"


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    parts: Mapping[str, list[Example]],
    knobs: Any,
    folder: Path,
    score: Callable[[Any], dict[str, float]],
) -> Outcome:
    """Train ``model`` in place; afterwards it is the best one of all epochs.

    A run that was killed goes on from its newest whole checkpoint and ends with the same weights
    as one that was not.

    :param parts: ``train`` and ``validation``, encoded.
    :param folder: for checkpoints; one per run, see ``checkpoints.fingerprint``.
    :param score: figures from logits and labels (``EvalPrediction``).
    :raises ModelError: if the loss is not a number.
    """
    torch.set_num_threads(knobs.threads or torch.get_num_threads())
    if knobs.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    weights = sum(one.numel() for one in model.parameters())
    require_space(folder, 3 * weights * BYTES_PER_STEP_OF_SAVING)
    resumed = checkpoints.resumable(folder)
    habits = Habits(
        folder, every=knobs.checkpoint_steps, patience=knobs.patience, metric=knobs.metric
    )
    trainer = ResumableTrainer(
        model=model,
        args=settings(knobs, folder),
        train_dataset=parts["train"],
        eval_dataset=parts["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=score,
        callbacks=[habits],
    )
    trainer.head_rate = knobs.head_rate
    trainer.remove_callback(PrinterCallback)
    if not (folder / checkpoints.FINISHED).exists():
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        note_end(trainer.state, folder)
    return recall(model, folder, checkpoints.step_of(resumed) if resumed else None)


def note_end(state: TrainerState, folder: Path) -> None:
    """Write down what training came to: a run killed from here on is only exported again."""
    checkpoints.finish(
        folder,
        {
            "history": state.log_history,
            "steps": state.global_step,
            "best_step": checkpoints.step_of(Path(state.best_model_checkpoint)),
            "best_value": state.best_metric,
        },
    )


def recall(model: PreTrainedModel, folder: Path, resumed_from: int | None) -> Outcome:
    """Put the best weights into ``model`` and return what training came to."""
    from safetensors.torch import load_file

    noted = read_json(folder / checkpoints.FINISHED)
    best = folder / f"checkpoint-{noted['best_step']}" / "model.safetensors"
    model.load_state_dict(load_file(best))
    model.to("cpu").eval()
    return Outcome(**noted, resumed_from=resumed_from)
