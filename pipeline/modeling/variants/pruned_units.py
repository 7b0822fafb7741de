"""Attention heads and inner units that matter least go, and the rest recovers.

How much a head matters is what its answer and the gradient of the loss with respect to it have in
common, ``|answer · gradient|``, mean over texts, divided by the length of these of its layer
(Michel, Levy and Neubig 2019, section 4.1); inner units are measured in the same way, within their
layer. Heads go wherever they matter least, but one stays in each layer; of the inner units each
layer loses the same share, because the configuration has one number for all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.i18n import _
from pipeline.modeling import anatomy, embeddings, lessons, recovering, students
from pipeline.modeling.variants.base import Unavailable
from pipeline.predictor import Card
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import PreTrainedModel

    from pipeline.modeling.variants.base import Context
    from pipeline.tasks.base import Task

    Measured = tuple[list[torch.Tensor], list[torch.Tensor]]

READ_AT_ONCE = 32  # texts, with gradients


def make(model: Path, folder: Path, context: Context) -> dict[str, Any]:
    """Write ``model`` with fewer heads and inner units and return what went.

    :raises Unavailable: for a family whose heads cannot be told apart here.
    :raises ModelError: if the loss of recovery is not a number.
    """
    knobs = context.knobs.pruning
    whole = students.read(model)
    if whole.config.model_type not in students.LAYERS:
        raise Unavailable(
            _("pruned_units knows {known}; this model is {family}",
              known=", ".join(sorted(students.LAYERS)), family=whole.config.model_type)
        )  # fmt: skip
    heads, units = importance(whole, model, context)
    idle = weakest(heads, knobs.units)
    students.silence(whole, idle)
    depth, inner = len(heads), students.inner_sizes(whole)
    left = [students.kept_of(one, 1 - knobs.units) for one in inner]
    pruned = students.rebuilt(whole, [range(depth)], left, units)
    lesson = lessons.prepare(context, copies=0)
    recovered = recovering.learn(pruned, lesson, recovering.recovery("pruned_units", context))
    every = sum(len(one) for one in heads)
    report = {
        "heads": {"before": every, "after": every - sum(map(len, idle)), "gone": idle},
        "inner_units": {"before": inner[0], "after": left[0]},
        "weights": {"before": whole.num_parameters(), "after": weights_left(pruned)},
        "recovery": recovered,
    }
    told = {"maker": "pruned_units", "knobs": knobs.model_dump(mode="json"), **report}
    students.save(pruned, model, folder, lesson.some, told)
    return report


def weights_left(model: PreTrainedModel) -> int:
    """Return how many weights are left once the heads that are all zero are cut out."""
    import copy

    cut = copy.deepcopy(model)
    students.cut_idle(cut)
    return int(cut.num_parameters())


def importance(model: PreTrainedModel, folder: Path, context: Context) -> Measured:
    """Return how much heads and inner units matter, by some records of the training part.

    :param folder: of ``model``; its tokenizer and card.
    """
    card = Card.read(folder)
    task = tasks.of(card.task, card.labels)
    table = artifacts.read_records(context.train)
    count = min(context.knobs.calibration_records, len(table))
    some = table.take(random.Random(context.seed).sample(range(len(table)), count))
    tokens = lessons.encoded(folder, some["text"].to_pylist())
    return measured(model, task, tokens, task.targets(some["label"].to_pylist()))


def measured(
    model: PreTrainedModel, task: Task, tokens: Sequence[Sequence[int]], targets: NDArray[Any]
) -> Measured:
    """Return ``|answer · gradient|`` of each layer's heads, [heads], and inner units, [inner].

    :param targets: as ``Task.targets`` gives them.
    """
    import torch

    names, width = students.LAYERS[model.config.model_type], students.head_width(model)
    layers = anatomy.layers(model)
    heads = [part(layer, names.attended, width) for layer in layers]
    units = [part(layer, names.above, 1) for layer in layers]
    model.eval()
    with ExitStack() as stack:
        for one in (*heads, *units):
            stack.enter_context(one.listening())
        for at in embeddings.of_equal_length(tokens, READ_AT_ONCE):
            ids = torch.tensor([tokens[one] for one in at])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            loss = task.loss(logits, torch.from_numpy(targets[at]), knobs=recovering.PLAIN)
            model.zero_grad()
            (loss * len(at)).backward()  # the sum: texts do not share a gradient
            for one in (*heads, *units):
                one.add()
    model.zero_grad()
    return [scaled(one.total) for one in heads], [one.total for one in units]


@dataclass
class Part:
    """What enters the matrix behind a layer's heads or inner units, and its gradient."""

    matrix: Any
    width: int  # numbers of one head or unit for a token
    total: torch.Tensor
    given: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep what the matrix is given, with its gradient, within the block."""

        def listen(_matrix: Any, given: Any) -> None:
            self.given = given[0]
            self.given.retain_grad()

        hook = self.matrix.register_forward_pre_hook(listen)
        try:
            yield
        finally:
            hook.remove()

    def add(self) -> None:
        """Add what the texts of a batch say."""
        product = (self.given.detach() * self.given.grad).sum(dim=1)  # over tokens
        self.total += product.view(len(product), -1, self.width).sum(dim=2).abs().sum(dim=0)
        self.given = None


def part(layer: nn.Module, name: str, width: int) -> Part:
    """Return the matrix of a layer to listen to."""
    import torch

    matrix: Any = layer.get_submodule(name)
    return Part(matrix, width, torch.zeros(matrix.in_features // width))


def scaled(total: torch.Tensor) -> torch.Tensor:
    """Return the measures of a layer with the length 1; zeros stay zeros."""
    length: torch.Tensor = total.norm()
    return total / length.clamp(min=1e-30)


def weakest(heads: Sequence[torch.Tensor], share: float) -> list[list[int]]:
    """Return the heads that go, for each layer: a share of all, but never all of a layer."""
    order = sorted(
        (float(value), layer, head)
        for layer, values in enumerate(heads)
        for head, value in enumerate(values)
    )
    gone: list[list[int]] = [[] for _layer in heads]
    left = int(share * len(order))
    for _value, layer, head in order:
        if left and len(gone[layer]) < len(heads[layer]) - 1:
            gone[layer].append(head)
            left -= 1
    return [sorted(one) for one in gone]
