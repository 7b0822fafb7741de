"""A student of fewer layers that learns the answers of the trained model (Hinton et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import lessons, recovering, students
from pipeline.modeling.recovering import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from pipeline.modeling.variants.base import Context


def make(model: Path, folder: Path, context: Context) -> dict[str, Any]:
    """Write a student of ``model`` and return how it learnt.

    It begins with some layers of ``model`` and keeps its embeddings; the trained model teaches it.

    :raises ModelError: if it would not be smaller, or the loss is not a number.
    """
    knobs = context.knobs.distillation
    parent = students.read(model)
    refuse_as_large(parent, knobs)
    student = students.smaller(parent, knobs.layers, knobs.width)
    lesson = lessons.prepare(context, knobs.augmented)
    learnt = recovering.learn(
        student,
        lesson,
        Recipe(
            maker="distilled",
            epochs=knobs.epochs,
            learning_rate=knobs.learning_rate,
            batch_size=knobs.batch_size,
            temperature=knobs.temperature,
            teacher_share=knobs.teacher_share,
            seed=context.seed,
            keep_zeros=model != context.source,  # pruning came before
        ),
    )
    report = {
        "layers": {"before": list(students.stacks(parent).values()),
                   "after": list(students.stacks(student).values())},
        "inner_units": {"before": students.inner_sizes(parent),
                        "after": students.inner_sizes(student)},
        "weights": {"before": parent.num_parameters(), "after": student.num_parameters()},
        **learnt,
    }  # fmt: skip
    told = {"maker": "distilled", "knobs": knobs.model_dump(mode="json"), **report}
    students.save(student, model, folder, lesson.some, told)
    return report


def refuse_as_large(parent: PreTrainedModel, knobs: Any) -> None:
    """Refuse a student that is no smaller than its teacher.

    :raises ModelError: naming what is allowed.
    """
    most = max(students.stacks(parent).values())
    if knobs.layers >= most and knobs.width >= 1:
        raise ModelError.at(
            "params.yaml, optimize.distillation.layers",
            found=str(knobs.layers),
            allowed=_("fewer than the trained model's {layers}", layers=most),
            fix=_("Lower it, or optimize.distillation.width."),
        )
