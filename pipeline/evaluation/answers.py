"""What a model, the baselines and the released model answer on one part of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import read_records
from pipeline.errors import ModelError
from pipeline.evaluation import calibration
from pipeline.i18n import _
from pipeline.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.modeling.baselines import Baselines
    from pipeline.predictor import BasePredictor
    from pipeline.tasks.base import Figures, Task

RELEASES = Path("releases")


@dataclass(frozen=True)
class Answers:
    """Records of a part with the answers of the model and of each baseline."""

    task: Task
    records: list[dict[str, Any]]
    truth: list[str]
    logits: NDArray[np.float32]  # [records, outputs]
    scores: NDArray[np.float64]  # [records, outputs], calibrated
    predicted: list[str]
    baselines: Mapping[str, list[str]]  # kind → answers
    strongest: str  # the kind to beat, chosen on the validation part
    fitted: calibration.Fitted  # the temperature and the thresholds that the answers are made with

    def figures(self) -> Figures:
        """Return all figures of the model: those of its answers and those of its scores."""
        found = self.task.figures(self.truth, self.predicted)
        return found | self.task.score_figures(self.truth, self.scores)

    def baseline_figures(self) -> dict[str, Figures]:
        """Return the figures of each baseline's answers."""
        return {
            kind: self.task.figures(self.truth, found) for kind, found in self.baselines.items()
        }


def ask(
    model: BasePredictor, baselines: Baselines, part: Path, batch_size: int, knobs: Any = None
) -> Answers:
    """Ask the model and the baselines about every record of ``part``.

    :param knobs: section ``validate.calibration``: temperature and thresholds are fitted on these
        records and put into the model; None leaves the model as it is.
    """
    records = read_records(part).to_pylist()
    truth = [record["label"] for record in records]
    logits = model.logits([record["text"] for record in records], batch_size)
    if knobs is None:
        fitted = calibration.Fitted(model.card.temperature, model.card.thresholds)
    else:
        fitted = calibration.fit(model.task, logits, truth, knobs)
        model.card = fitted.on(model.card)
    scores = model.scored(logits)
    return Answers(
        task=model.task,
        records=records,
        truth=truth,
        logits=logits,
        scores=scores,
        predicted=model.task.decide(scores, model.card.thresholds),
        baselines=baselines.answers(records),
        strongest=baselines.strongest,
        fitted=fitted,
    )


def released(version: str) -> BasePredictor | None:
    """Return the model of a release, its manifest verified; None for no version.

    :param version: as in ``1.2.0``, or ``""``.
    :raises ModelError: if the release is not there, or is not whole.
    """
    if not version:
        return None
    folder = RELEASES / version / "model"
    if not folder.is_dir():
        there = sorted(one.name for one in RELEASES.glob("*") if (one / "model").is_dir())
        raise ModelError.at(
            folder,
            found=_("no such folder"),
            allowed=", ".join(there) or _("a release"),
            fix=_("Name a release that is there in params.yaml, validate.released, or none."),
        )
    return Predictor.load(folder)


def answers_of(
    model: BasePredictor, task: Task, texts: Sequence[str], batch_size: int
) -> list[str]:
    """Return what another model answers.

    :raises ModelError: if it was made for another task, or has labels that this one has not.
    """
    strange = sorted(set(model.labels) - set(task.labels))
    if model.task.name != task.name or strange:
        raise ModelError.at(
            "params.yaml, validate.released",
            found=", ".join((model.task.name, *strange)),
            allowed=", ".join((task.name, *task.labels)),
            fix=_("Compare with a release of the same task and labels, or with none."),
        )
    return model.answers(texts, batch_size)
