"""Curves of a run: through dvclive, for TensorBoard, and as tables for ``dvc plots``.

All of them are made from Trainer's log, which every checkpoint carries. So a run that was resumed
tells each step once, and none after the one it went back to.

::

    live/metrics.json, live/plots/metrics/…/*.tsv   dvclive
    live/tensorboard/events.out.tfevents.*          TensorBoard
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

History = Sequence[Mapping[str, float]]
STEP_FIGURES = {  # Trainer's name → ours; the first four columns are drawn by dvc plots
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "examples_per_second": "examples_per_second",
    "memory_bytes": "memory_bytes",
    "seconds_left": "seconds_left",
}
EVALUATION = "eval_"
NOT_FIGURES = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


def evaluated(entry: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of an evaluation by their own names; what it took is left out."""
    return {
        name.removeprefix(EVALUATION): float(value)
        for name, value in entry.items()
        if name.startswith(EVALUATION) and name.removeprefix(EVALUATION) not in NOT_FIGURES
    }


def named(entry: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the figures of one entry of the log, as ``train/loss`` or ``validation/macro_f1``."""
    for name, value in entry.items():
        if name in STEP_FIGURES and "loss" in entry:
            yield f"train/{STEP_FIGURES[name]}", float(value)
    for name, value in evaluated(entry).items():
        yield f"validation/{name}", value


class Recorder:
    """Writes entries of the log as they come, after those that were there before.

    :param folder: is written anew, so that nothing stays of steps after the one resumed from.
    """

    def __init__(self, folder: Path, history: History = ()) -> None:
        # The user's Studio token must not send a run anywhere.
        os.environ.setdefault("DVC_STUDIO_OFFLINE", "true")
        from dvclive.live import Live  # type: ignore[import-untyped, unused-ignore]
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped, unused-ignore]

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.live: Any = Live(dir=str(folder), dvcyaml=None, save_dvc_exp=False, report=None)
        self.events: Any = SummaryWriter(logdir=str(folder / "tensorboard"))
        for entry in history:
            self.add(entry)

    def add(self, entry: Mapping[str, float]) -> None:
        """Write one entry of Trainer's log."""
        figures = {name: value for name, value in named(entry) if math.isfinite(value)}
        if not figures:
            return
        step = int(entry["step"])
        self.live.step = step
        for name, value in figures.items():
            self.live.log_metric(name, value)
            self.events.add_scalar(name, value, step)
        self.live.make_summary()

    def close(self) -> None:
        """Write what is still kept back; on a full disk that is given up."""
        for one in (self.live.end, self.events.close):
            with contextlib.suppress(OSError):
                one()


def export(history: History, folder: Path) -> None:
    """Write a finished run's curves into ``live`` and ``tensorboard`` below ``folder``."""
    recorder = Recorder(folder / "live", history)
    recorder.close()
    (folder / "live/tensorboard").rename(folder / "tensorboard")


Table = tuple[list[str], list[list[Any]]]


def curves(history: History, metric: str) -> tuple[Table, Table]:
    """Return header and rows of the two tables that ``dvc plots`` draws: by step and by epoch.

    :param metric: what epochs are chosen by (``train.metric``); it stands in ``chosen_by`` too, so
        that one plot serves every task.
    """
    steps = [
        [entry["step"], *(entry.get(name) for name in STEP_FIGURES)]
        for entry in history
        if "loss" in entry
    ]
    told = [entry for entry in history if f"{EVALUATION}loss" in entry]
    figures = ["loss", *sorted(evaluated(told[0]).keys() - {"loss"})] if told else ["loss"]
    epochs = [
        [
            entry["epoch"], entry["step"],
            *(entry.get(f"{EVALUATION}{one}") for one in (metric, *figures)),
        ]
        for entry in told
    ]  # fmt: skip
    columns = ["epoch", "step", "chosen_by", *figures]
    return (["step", *STEP_FIGURES.values()], steps), (columns, epochs)
