"""Golden questions: texts with known answers that a model is asked before it may serve.

They are texts of the validation part that the model answered right, and not by a hair, when its
release was made. A copy that answers them otherwise is not that model: a file was changed, or the
libraries or the machine compute otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import GateError, Problem, Text
from pipeline.evaluation import parity
from pipeline.i18n import _
from pipeline.predictor import Predictor
from pipeline.releases.choosing import in_turn
from pipeline.releases.reading import GOLDEN, MODEL, damaged, loaded
from pipeline.steps.targets import REGRESSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.predictor import BasePredictor
    from pipeline.schema.releasing import Golden

SURE = 2.0  # tolerances between an answer and the next best: both scores may move
SHOWN = 5  # wrong answers that an error names
FIX = _("Nothing has changed: what serves goes on. Make the release again, or find out what is "
        "different on this machine.")  # fmt: skip


class Sealed(Protocol):
    """What is asked: a release, or one in the making."""

    @property
    def version(self) -> str:
        """The version, for errors."""

    @property
    def folder(self) -> Path:
        """The folder with the model and its golden questions."""


def choose(
    model: BasePredictor,
    records: Sequence[dict[str, Any]],
    scores: NDArray[np.float64],
    knobs: Golden,
    seed: int,
) -> dict[str, Any]:
    """Return the content of ``golden.json``: how exact, and texts with their answers and scores.

    :param scores: the model's, of the records, [records, outputs].
    :raises GateError: if a score is no number, or nothing is answered right and surely.
    """
    import numpy as np

    task, thresholds = model.task, model.card.thresholds
    if not np.isfinite(scores).all():
        raise refusal("models/optimize", _("scores that are no numbers"), _("finite scores"))
    answers = task.decide(scores, thresholds)
    usable = [True] * len(records)
    if task.name != REGRESSION:
        apart = parity.margins(task, scores, thresholds).min(axis=1)
        usable = [
            record["label"] == answer and margin >= SURE * knobs.tolerance
            for record, answer, margin in zip(records, answers, apart, strict=True)
        ]
    known = [
        {"at": at, "text": record["text"], "label": record["label"], "answer": answers[at]}
        for at, record in enumerate(records)
        if usable[at]
    ]
    if not known:
        raise refusal(
            "models/optimize",
            _("no text of the validation part that is answered right, and surely"),
            _("a model that knows its task"),
        )
    drawn = {one["at"]: random.Random(f"{seed}/{one['at']}").random() for one in known}
    chosen = in_turn(known, task.name, knobs.questions, lambda one: drawn[one["at"]])
    return {
        "agreement": knobs.agreement,
        "tolerance": knobs.tolerance,
        "unit": parity.unit_of(task, scores),
        "outputs": task.outputs,
        "questions": [
            {name: one[name] for name in ("text", "label", "answer")}
            | {"scores": [float(score) for score in scores[one["at"]]]}
            for one in chosen
        ],
    }


def ask(release: Sealed, model: BasePredictor | None = None, most: int | None = None) -> None:
    """Ask a model the golden questions of its release.

    :param model: loaded already; None loads the release's.
    :param most: so many of them; None asks all. One of each label comes before the second of any.
    :raises GateError: if too many answers are not those that the release was made with.
    :raises ModelError: if the model or the questions cannot be read.
    """
    folder = release.folder
    if model is None:
        model = Predictor.load(folder / MODEL)
    told = loaded(folder / GOLDEN)
    try:
        check(told, model, most, f"release {release.version}, {folder / GOLDEN}")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / GOLDEN, str(error)) from error


def check(told: Mapping[str, Any], model: BasePredictor, most: int | None, where: str) -> None:
    """Compare answers and scores with those that are known.

    :raises GateError: naming the first questions that are answered otherwise.
    """
    import numpy as np

    task, questions = model.task, told["questions"][:most]
    if task.outputs != told["outputs"] or not questions:
        raise refusal(where, ", ".join(task.outputs), ", ".join(told["outputs"]))
    scores = model.scores([one["text"] for one in questions])
    before = np.array([one["scores"] for one in questions])
    off = abs(scores - before).max(axis=1) / told["unit"]
    now = task.decide(scores, model.card.thresholds)
    wrong = [
        at
        for at, one in enumerate(questions)
        # What is no number is near nothing, which "off > tolerance" would not see.
        if not off[at] <= told["tolerance"]
        or (task.name != REGRESSION and now[at] != one["answer"])
    ]
    if len(questions) - len(wrong) < told["agreement"] * len(questions):
        raise GateError(
            *(
                Problem(
                    f"{where}, {at + 1}",
                    _("{answer}, scores off by {off}", answer=now[at], off=f"{off[at]:.3g}"),
                    _("{answer}, scores off by {off}", answer=questions[at]["answer"],
                      off=f"0…{told['tolerance']:g}"),
                    FIX,
                )
                for at in wrong[:SHOWN]
            )
        )  # fmt: skip


def refusal(where: str, found: Text, allowed: Text) -> GateError:
    """Return the error for a model that must not serve."""
    return GateError.at(where, found=found, allowed=allowed, fix=FIX)
