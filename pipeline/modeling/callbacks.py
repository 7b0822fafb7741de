"""What happens around Trainer's steps: progress, checkpoints, an early stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import checkpoints
from pipeline.modeling.recording import Recorder
from pipeline.progress import Progress

Watch = Callable[[float, dict[str, float]], None]
SHOWN = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "eval_loss": "eval_loss",
    "examples_per_second": "examples_per_second",
}


class Habits(TrainerCallback):  # type: ignore[misc]
    """Shows progress, records, seals checkpoints, stops early, and never goes on after a NaN.

    :param knobs: ``params.train``.
    :param greater_is_better: of ``knobs.metric``.
    :param watch: called with epoch and figures after each evaluation; what it raises ends the run.
    """

    def __init__(
        self, folder: Path, knobs: Any, *, greater_is_better: bool, watch: Watch | None = None
    ) -> None:
        self.folder, self.knobs, self.watch = folder, knobs, watch
        self.greater_is_better = greater_is_better
        self.metric = f"eval_{knobs.metric}"
        self.progress: Progress | None = None
        self.recorder: Recorder | None = None
        self.shown: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start counting where the run starts or goes on."""
        if state.is_world_process_zero:
            self.progress = Progress("train", state.max_steps, step=state.global_step)
            self.recorder = Recorder(self.folder / "live", state.log_history)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the step, and save now and then; an epoch's last step is saved with its score."""
        if self.progress is not None:
            self.progress.advance(1, **self.shown)
        ends_epoch = state.global_step % (state.max_steps // args.num_train_epochs) == 0
        if state.global_step % self.knobs.checkpoint_steps == 0 and not ends_epoch:
            control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float],
        **others: Any,
    ) -> None:
        """Show and record what was logged; a loss that is no number ends the run."""
        from pipeline.modeling.training import diverged

        self.shown |= {SHOWN[name]: float(logs[name]) for name in SHOWN if name in logs}
        if not all(math.isfinite(value) for value in self.shown.values()):
            raise diverged(state.global_step, _("a loss that is not a number"))
        if self.recorder is not None:
            self.recorder.add({**logs, "step": state.global_step})

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Stop when ``patience`` epochs brought nothing better; counted from the log alone."""
        values = [entry[self.metric] for entry in state.log_history if self.metric in entry]
        waited = epochs_without_better(
            values, self.knobs.min_improvement, greater_is_better=self.greater_is_better
        )
        if self.knobs.patience and waited >= self.knobs.patience:
            control.should_training_stop = True
        if self.watch is not None and metrics is not None and state.is_world_process_zero:
            figures = {
                name.removeprefix("eval_"): float(value) for name, value in metrics.items()
                if name.startswith("eval_")
            }  # fmt: skip
            self.watch(float(state.epoch or 0.0), figures)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Write the manifest of the checkpoint that is now complete."""
        if args.world_size > 1:
            from torch import distributed

            distributed.barrier()  # every process writes its own random state
        if args.should_save:  # the first process of every machine
            checkpoints.seal(self.folder, state.global_step, state.best_model_checkpoint)

    def close(self) -> None:
        """Take the bar away and close the records, however the run ended."""
        if self.progress is not None:
            self.progress.bar.close()
        if self.recorder is not None:
            self.recorder.close()


def epochs_without_better(
    values: Sequence[float], min_improvement: float, *, greater_is_better: bool
) -> int:
    """Return how many evaluations passed since the last that was better by enough.

    A value that is not a number is never better.
    """
    best, waited = None, 0
    for value in values:
        gain = math.inf if best is None else (value - best) * (1 if greater_is_better else -1)
        if math.isfinite(value) and gain > min_improvement:
            best, waited = value, 0
        else:
            waited += 1
    return waited


def no_figure(metric: str, named: Sequence[str]) -> ModelError:
    """Return the error for a figure that the task does not have."""
    return ModelError.at(
        "params.yaml, train.metric",
        found=metric,
        allowed=", ".join(named),
        fix=_("Name a figure of this task, or loss."),
    )
