"""What a model and the baseline answer on one part of the split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import read_records

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.modeling.baseline import Baseline
    from pipeline.predictor import BasePredictor


@dataclass(frozen=True)
class Answers:
    """Records of a part with the answers of the model and of the baseline."""

    records: list[dict[str, Any]]
    labels: list[str]
    truth: list[str]
    probabilities: NDArray[np.float64]
    predicted: list[str]
    baseline: list[str]


def ask(model: BasePredictor, baseline: Baseline, part: Path, batch_size: int) -> Answers:
    """Ask the model and the baseline about every record of ``part``."""
    records = read_records(part).to_pylist()
    texts = [record["text"] for record in records]
    probabilities = model.probabilities(texts, batch_size)
    return Answers(
        records=records,
        labels=model.labels,
        truth=[record["label"] for record in records],
        probabilities=probabilities,
        predicted=[model.labels[at] for at in probabilities.argmax(axis=1)],
        baseline=baseline.predict(texts),
    )
