"""The smallest weights become zero, over all layers together, and the rest recovers.

It saves room where a file is compressed; a usual processor multiplies by zero as slowly as by
anything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.modeling import anatomy, lessons, recovering, students

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from pipeline.modeling.variants.base import Context


def make(model: Path, folder: Path, context: Context) -> dict[str, Any]:
    """Write ``model`` with a share of its weights at zero and return what was done.

    Only matrices of the layers are pruned: neither embeddings, head, biases nor norms.

    :raises ModelError: if the loss of recovery is not a number.
    """
    knobs = context.knobs.pruning
    pruned = students.read(model)
    zero_smallest(pruned, knobs.weights)
    lesson = lessons.prepare(context, copies=0)
    recovered = recovering.learn(pruned, lesson, recovering.recovery("pruned_weights", context))
    matrices = list(recovering.matrices(pruned))
    report = {
        "weights": pruned.num_parameters(),
        "prunable": sum(one.numel() for one in matrices),
        "zero": sum(int((one == 0).sum()) for one in matrices),
        "recovery": recovered,
    }
    told = {"maker": "pruned_weights", "knobs": knobs.model_dump(mode="json"), **report}
    students.save(pruned, model, folder, lesson.some, told)
    return report


def zero_smallest(model: PreTrainedModel, share: float) -> None:
    """Set a share of all weights of the layers' matrices to zero, those nearest to it."""
    from torch.nn.utils import prune

    wanted = {id(one) for one in recovering.matrices(model)}
    places = [
        (part, name)
        for layer in anatomy.layers(model)
        for part in layer.modules()
        for name, one in part.named_parameters(recurse=False)
        if id(one) in wanted
    ]
    prune.global_unstructured(places, pruning_method=prune.L1Unstructured, amount=share)
    for part, name in places:
        prune.remove(part, name)  # type: ignore[no-untyped-call]
