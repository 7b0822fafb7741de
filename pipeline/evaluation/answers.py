"""What a model and the baselines answer on one part of the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import read_records

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.modeling.baselines import Baselines
    from pipeline.predictor import BasePredictor
    from pipeline.tasks.base import Figures, Task


@dataclass(frozen=True)
class Answers:
    """Records of a part with the answers of the model and of each baseline."""

    task: Task
    records: list[dict[str, Any]]
    truth: list[str]
    scores: NDArray[np.float64]  # [records, outputs]
    predicted: list[str]
    baselines: Mapping[str, list[str]]  # kind → answers
    strongest: str  # the kind to beat, chosen on the validation part

    def figures(self) -> Figures:
        """Return all figures of the model, its loss among them."""
        found = self.task.figures(self.truth, self.predicted)
        return found | {"loss": self.task.log_loss(self.truth, self.scores)}

    def baseline_figures(self) -> dict[str, Figures]:
        """Return the figures of each baseline."""
        return {
            kind: self.task.figures(self.truth, found) for kind, found in self.baselines.items()
        }


def ask(model: BasePredictor, baselines: Baselines, part: Path, batch_size: int) -> Answers:
    """Ask the model and the baselines about every record of ``part``."""
    records = read_records(part).to_pylist()
    scores = model.scores([record["text"] for record in records], batch_size)
    return Answers(
        task=model.task,
        records=records,
        truth=[record["label"] for record in records],
        scores=scores,
        predicted=model.task.decide(scores),
        baselines=baselines.answers(records),
        strongest=baselines.strongest,
    )
