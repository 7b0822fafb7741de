"""From a model folder and records to a trained model: prepare, learn, resume, recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts import read_json, require_space
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import batching, checkpoints, launcher, material, methods, recording
from pipeline.modeling.material import AS_THEY_ARE, Scaling

if TYPE_CHECKING:
    from pipeline.modeling.callbacks import Watch
    from pipeline.modeling.training import Example, Setup

BYTES_PER_TRAINED_WEIGHT = 3 * 4  # itself and two moments, fp32
CHECKPOINTS_AT_ONCE = 3  # the best, the newest, and the one being written


@dataclass(frozen=True)
class Outcome:
    """What training came to."""

    history: list[dict[str, float]]  # Trainer's log, one entry a logged step or evaluation
    steps: int
    best_step: int
    best_value: float
    resumed_from: int | None  # step; that of the end if nothing was left to train
    scaling: Scaling = AS_THEY_ARE
    halvings: list[dict[str, int]] = field(default_factory=list)  # step, batch_size, accumulation

    @property
    def best(self) -> dict[str, float]:
        """Return the figures of the best epoch on the validation part, and that epoch."""
        found = (
            one for one in self.history if one["step"] == self.best_step and "eval_loss" in one
        )
        entry = next(found)
        return {"epoch": entry["epoch"], **recording.evaluated(entry)}


def fit(
    start: Path, files: Mapping[str, Path], knobs: Any, work: Path, watch: Watch | None = None
) -> tuple[Any, Outcome]:
    """Train the model of ``start`` and return the best of all epochs, with what training came to.

    A run that was killed goes on from its newest whole checkpoint and ends with the same weights
    as one that was not. One that had ended is only read again.

    :param files: records of ``train`` and ``validation``.
    :param knobs: ``params.train``.
    :param work: for checkpoints; one folder per run, see ``checkpoints.fingerprint``.
    :param watch: called with epoch and figures after each evaluation; what it raises passes out.
        Not with several processes.
    :raises ModelError: if the loss is not a number, or memory is too small for a single text.
    """
    work.mkdir(parents=True, exist_ok=True)
    checkpoints.resumable(work)  # a finished run whose best weights were damaged is not finished
    again = (work / checkpoints.FINISHED).exists()
    if not again and knobs.launcher.processes > 1:
        launcher.run(start, files, knobs, work)
    elif not again:
        learn(start, files, knobs, work, watch)
    model, outcome = recall(start, knobs, work)
    return model, outcome if not again else resumed_at_the_end(outcome)


def resumed_at_the_end(outcome: Outcome) -> Outcome:
    """Return the outcome of a run of which nothing was left to train."""
    return Outcome(**{**vars(outcome), "resumed_from": outcome.steps})


def learn(
    start: Path, files: Mapping[str, Path], knobs: Any, work: Path, watch: Watch | None = None
) -> None:
    """Train until ``finished.json`` is written, with smaller batches where memory runs out.

    In a process of torchrun this is one of several that do so together.

    :raises ModelError: as ``fit`` does.
    """
    from pipeline.modeling import training

    while not (work / checkpoints.FINISHED).exists():
        try:
            train_once(start, files, knobs, work, watch)
        except (MemoryError, RuntimeError) as error:
            if not training.out_of_memory(error):
                raise
            if training.world() > 1:
                raise batching.too_small(batching.batch(work, knobs)[0]) from error
        else:
            return
        # Only here, after the handler, nothing holds what the failed attempt held.
        batching.free_memory()
        batching.halve(work, knobs)


@dataclass(frozen=True)
class Ready:
    """A run that only has to be started."""

    trainer: Any  # ResumableTrainer
    habits: Any
    setup: Setup
    scaling: Scaling
    resumed: Path | None  # checkpoint


def train_once(
    start: Path, files: Mapping[str, Path], knobs: Any, work: Path, watch: Watch | None
) -> None:
    """Train from the newest checkpoint, or from the start, to the end."""
    run = ready(start, files, knobs, work, watch)
    resumed = str(run.resumed) if run.resumed else None
    with checkpoints.full_disk_named(work, checkpoint_bytes(run.trainer.model)):
        try:
            run.trainer.train(resume_from_checkpoint=resumed)
        finally:
            run.habits.close()
        if run.trainer.args.should_save:  # the first process of every machine
            note_end(run.trainer.state, run)


def ready(
    start: Path, files: Mapping[str, Path], knobs: Any, work: Path, watch: Watch | None = None
) -> Ready:
    """Return a run that goes on from the newest checkpoint, or begins.

    :raises ModelError: for a metric that the task does not have, or a device that is not there.
    """
    from transformers import PrinterCallback

    from pipeline.modeling import shortcuts, training
    from pipeline.modeling.callbacks import Habits, no_figure

    training.prepare_torch(knobs)
    made = material.gather(start, files, knobs)
    if knobs.metric not in made.task.answer_figures:
        raise no_figure(knobs.metric, made.task.answer_figures)
    method = methods.of(knobs)
    size, accumulation = batching.batch(work, knobs)
    targets = np.array([one["labels"] for one in made.parts["train"]])
    setup = training.Setup(
        made.task, method, knobs, work, size, accumulation,
        weights=made.task.class_weights(targets, knobs.loss.class_weights),
    )  # fmt: skip
    arguments = training.settings(setup)
    model, parts = method.prepare(made.model, made.parts, work)
    room_for_checkpoints(model, work)
    with arguments.main_process_first():
        resumed = checkpoints.resumable(work)
    collate = method.collator(made.padder)
    on_cpu = arguments.device.type == "cpu"
    quick = on_cpu and knobs.method != "frozen" and not knobs.compile
    if quick:
        shortcuts.drop_out_quickly(model)
    if knobs.contrastive.enabled and resumed is None:
        warm_up(model, parts["train"], knobs, collate)
    if quick:
        shortcuts.read_first_only(model)
    habits = Habits(work, knobs, greater_is_better=arguments.greater_is_better, watch=watch)
    if batching.halvings(work):
        habits.shown = {"batch_size": size}
    trainer = training.ResumableTrainer(
        setup,
        model=model,
        args=arguments,
        train_dataset=parts["train"],
        eval_dataset=parts["validation"],
        data_collator=collate,
        compute_metrics=material.judge(made.task, made.scaling),
        callbacks=[habits],
    )
    trainer.remove_callback(PrinterCallback)
    return Ready(trainer, habits, setup, made.scaling, resumed)


def warm_up(model: Any, examples: list[Example], knobs: Any, collate: Any) -> None:
    """Pull texts of one label together before the head is trained."""
    from pipeline.modeling import contrastive

    contrastive.warm_up(model, examples, knobs.contrastive, knobs.seed, collate)


def note_end(state: Any, run: Ready) -> None:
    """Write down what training came to: a run killed from here on is only exported again.

    :raises ModelError: if no epoch had a figure to be chosen by.
    """
    if state.best_model_checkpoint is None:
        raise ModelError.at(
            "train",
            found=_("no epoch whose {metric} is a number", metric=run.setup.knobs.metric),
            allowed=_("at least one"),
            fix=_("Choose by another figure (train.metric), for example loss."),
        )
    checkpoints.finish(
        run.setup.folder,
        {
            "history": state.log_history,
            "steps": state.global_step,
            "best_step": checkpoints.step_of(Path(state.best_model_checkpoint)),
            "best_value": state.best_metric,
            "resumed_from": checkpoints.step_of(run.resumed) if run.resumed else None,
            "scaling": run.scaling,
            "halvings": batching.halvings(run.setup.folder),
        },
    )


def recall(start: Path, knobs: Any, work: Path) -> tuple[Any, Outcome]:
    """Return the best model of a finished run, on the CPU, answering in real units."""
    noted = read_json(work / checkpoints.FINISHED)
    outcome = Outcome(**noted | {"scaling": tuple(noted["scaling"])})
    method = methods.of(knobs)
    model, _parts = method.prepare(material.load(start, knobs), {}, work)
    method.restore(model, work / f"checkpoint-{outcome.best_step}")
    plain = method.finish(model)
    material.unstandardize(plain, outcome.scaling)
    return plain.to("cpu").eval(), outcome


def checkpoint_bytes(model: Any) -> int:
    """Return what one checkpoint takes at most, in bytes."""
    trained = sum(int(one.numel()) for one in model.parameters() if one.requires_grad)
    return trained * BYTES_PER_TRAINED_WEIGHT


def room_for_checkpoints(model: Any, work: Path) -> None:
    """Refuse to start where not all checkpoints fit that are there at once.

    :raises StorageError: naming what is needed and what is free.
    """
    present = len(list(work.glob("checkpoint-*")))
    require_space(work, max(1, CHECKPOINTS_AT_ONCE - present) * checkpoint_bytes(model))
