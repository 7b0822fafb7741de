"""What a start is worth before any training: its weights, and one batch forwards and backwards.

A good start answers as if it knew nothing, and its gradient is neither gone nor huge. Nothing here
changes the model: dropout is off, no weight moves, and no random number is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.i18n import Message, _
from pipeline.modeling import anatomy
from pipeline.steps.targets import MULTI, REGRESSION

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.tasks.base import Task

Row = dict[str, Any]

BATCH = 32  # texts
LAYER = "layer "  # and its number, from 1
# The loss as theory knows it: what training adds to it would hide a bad start.
PLAIN = SimpleNamespace(label_smoothing=0.0, focal_gamma=0.0, regression="squared")
LOSS_TOO_HIGH = 2.0  # times the loss of a model that knows nothing
GRADIENT_GONE, GRADIENT_HUGE = 1e-6, 1e3  # norm over all weights; usual starts have 0.1 to 30
STATE_DEAD = 1e-8  # deviation of what comes out of a layer
SATURATED = 0.99  # of a tanh: its slope is below 0.02
MOSTLY = 0.5  # share of the head's inputs

HEADER = (
    "module", "part", "weights", "mean", "deviation", "smallest", "largest", "gradient_norm",
    "state_deviation",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What is known of one weight, so that each is passed over once."""

    module: str
    part: str
    matrix: bool
    count: int
    mean: float
    variance: float
    smallest: float
    largest: float
    gradient: float  # its norm


WARNINGS: dict[str, Message] = {
    "no_number": _("the loss of the first batch is not a number"),
    "loss_high": _("the loss of the first batch is more than twice that of a model that knows "
                   "nothing: the start is sure of wrong answers"),
    "gradient_zero": _("the gradient of the first batch is zero: nothing would be learnt"),
    "gradient_huge": _("the gradient of the first batch is huge: training would diverge"),
    "layer_still": _("some layers get no gradient in the first batch"),
    "layer_dead": _("some layers say the same of every token"),
    "head_saturated": _("the head is saturated: most of what it reads is at its limits"),
}  # fmt: skip


def diagnose(
    model: Any, tokenizer: Any, task: Task, texts: Sequence[str], labels: Sequence[str]
) -> tuple[Row, list[Row]]:
    """Return a report on the first batch and each part of the model, and a row for each module.

    :param texts: of the training part, with their ``labels``; the batch is spread evenly over
        them, so that a part that is sorted by label gives all of them.
    """
    picked = spread(len(texts), BATCH)
    batch = [texts[at] for at in picked], [labels[at] for at in picked]
    with undisturbed(model):
        loss, states = run_batch(model, tokenizer, task, *batch)
        measured = measure(model)
    parts, modules = by_part(measured, states), by_module(measured, states)
    report = {
        "texts": len(picked),
        "loss": loss,
        "expected_loss": expected_loss(task),
        "gradient_norm": finite(math.hypot(*(row["gradient_norm"] or 0.0 for row in parts))),
        "output_deviation": states["output"],
        "head_at_its_limits": states["limits"],
    }
    if any(row["gradient_norm"] is None for row in parts):
        report["gradient_norm"] = None
    return report | {"warnings": list(warnings(report, parts)), "parts": parts}, modules


def spread(count: int, wanted: int) -> list[int]:
    """Return up to ``wanted`` positions, evenly spread over ``count``."""
    taken = min(count, wanted)
    return [at * count // taken for at in range(taken)]


def expected_loss(task: Task) -> float:
    """Return the loss of a model that knows nothing, in nats (a number: in variances).

    ln(labels) for one label of several, ln 2 a label where each is there or not, and 1 for a
    standardized number.
    """
    if task.name == REGRESSION:
        return 1.0
    return math.log(2 if task.name == MULTI else len(task.labels))


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Turn dropout off within the block; afterwards the model is what it was, without gradients."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    model.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)
        for module, mode in modes.items():
            module.training = mode


def run_batch(
    model: Any, tokenizer: Any, task: Task, texts: Sequence[str], labels: Sequence[str]
) -> tuple[float | None, Row]:
    """Return the loss of one batch and the deviation of each module's output; leaves gradients."""
    import torch

    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    targets = task.targets(labels)
    mean, deviation = task.scaling(targets)
    wanted = torch.from_numpy(targets)
    if (mean, deviation) != (0.0, 1.0):
        wanted = (wanted - mean) / deviation
    states: Row = {}
    mask = tokens["attention_mask"].bool()
    watched = {name: one for name, one in model.named_modules() if owns_weights(one)}
    watched |= {f"{LAYER}{at}": one for at, one in enumerate(anatomy.layers(model), start=1)}
    handles = [
        one.register_forward_hook(keeper(states, name, mask)) for name, one in watched.items()
    ]
    output = anatomy.output_layer(model)
    handles.append(output.register_forward_pre_hook(head_keeper(states, model)))
    try:
        logits = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).logits
    finally:
        for handle in handles:
            handle.remove()
    loss = task.loss(logits, wanted, knobs=PLAIN, weights=None)
    loss.backward()
    states["output"] = spread_of(logits)
    return finite(float(loss.detach())), states


def owns_weights(module: nn.Module) -> bool:
    """Return whether a module has weights that are not those of a module within."""
    return next(module.parameters(recurse=False), None) is not None


def keeper(states: Row, name: str, mask: Tensor) -> Any:
    """Return a hook that notes the deviation of a module's output over tokens of texts."""

    def keep(module: Any, inputs: Any, output: Any) -> None:
        value = output[0] if isinstance(output, tuple) else output
        if hasattr(value, "is_floating_point") and value.is_floating_point():
            states[name] = spread_of(value[mask] if value.shape[:2] == mask.shape else value)

    return keep


def head_keeper(states: Row, model: Any) -> Any:
    """Return a hook that notes which share of what the output layer reads is at a limit.

    That is where a tanh is flat, or a relu is zero; None for other heads.
    """
    bends = anatomy.parts(model).bends if len(anatomy.head(model)) > 2 else "linear"
    states["limits"] = None

    def keep(module: Any, inputs: Any) -> None:
        value = inputs[0].detach()
        flat = {"tanh": value.abs() > SATURATED, "relu": value == 0}.get(bends)
        states["limits"] = None if flat is None else float(flat.float().mean())

    return keep


def spread_of(value: Tensor) -> float | None:
    """Return the standard deviation over all numbers of a tensor."""
    return finite(float(value.detach().float().std(correction=0)))


def finite(value: float) -> float | None:
    """Return a number, or None for what JSON does not know."""
    return value if math.isfinite(value) else None


def measure(model: Any) -> list[Measured]:
    """Return what is known of each weight, from the text upwards."""
    import torch

    parts, found = part_of(model), []
    for name, weight in model.named_parameters():
        values = weight.detach()
        variance, mean = torch.var_mean(values, correction=0)
        smallest, largest = values.aminmax()
        found.append(
            Measured(
                module=name.rpartition(".")[0],
                part=parts[id(weight)],
                matrix=weight.ndim > 1,
                count=weight.numel(),
                mean=float(mean),
                variance=float(variance),
                smallest=float(smallest),
                largest=float(largest),
                gradient=0.0 if weight.grad is None else float(weight.grad.norm()),
            )
        )
    return found


def by_part(measured: Sequence[Measured], states: Row) -> list[Row]:
    """Return a row for the embeddings, for each layer from the text upwards, and for the head.

    ``between`` are the norms above the last layer.
    """
    known = {one.part for one in measured}
    layers = sorted(
        (one for one in known if one.startswith(LAYER)),
        key=lambda one: int(one.removeprefix(LAYER)),
    )
    return [
        {"part": part}
        | figures([one for one in measured if one.part == part])
        | {"state_deviation": states.get(part)}
        for part in ("embeddings", *layers, "between", "head")
        if part in known
    ]


def part_of(model: Any) -> dict[int, str]:
    """Return the part of each weight, by its identity."""
    found = {id(weight): "between" for weight in model.parameters()}
    for at, layer in enumerate(anatomy.layers(model), start=1):
        found |= {id(weight): f"{LAYER}{at}" for weight in layer.parameters()}
    for module in anatomy.embeddings(model):
        found |= {id(weight): "embeddings" for weight in module.parameters()}
    return found | {id(weight): "head" for _name, weight in anatomy.head(model)}


def by_module(measured: Sequence[Measured], states: Row) -> list[Row]:
    """Return a row for each module that has weights of its own, from the text upwards."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.module, one.part), []).append(one)
    return [
        {"module": module, "part": part} | figures(group) | {"state_deviation": states.get(module)}
        for (module, part), group in groups.items()
    ]


def figures(measured: Sequence[Measured]) -> Row:
    """Return how many weights there are, their gradient, and mean to largest of the matrices.

    Norms and biases are left out of the latter: they are set, not drawn.
    """
    row: Row = dict.fromkeys(("mean", "deviation", "smallest", "largest"))
    drawn = [one for one in measured if one.matrix]
    if drawn:
        count = sum(one.count for one in drawn)
        mean = sum(one.count * one.mean for one in drawn) / count
        square = sum(one.count * (one.variance + one.mean**2) for one in drawn) / count
        row = {
            "mean": finite(mean),
            "deviation": finite(math.sqrt(max(0.0, square - mean**2))),
            "smallest": finite(min(one.smallest for one in drawn)),
            "largest": finite(max(one.largest for one in drawn)),
        }
    norm = finite(math.hypot(*(one.gradient for one in measured)))
    return {"weights": sum(one.count for one in measured)} | row | {"gradient_norm": norm}


def warnings(report: Row, parts: Sequence[Row]) -> Iterator[Row]:
    """Yield what is wrong with a start: its kind, a key of ``WARNINGS``, and the parts it is in."""
    loss, gradient = report["loss"], report["gradient_norm"]
    if loss is None:
        yield {"kind": "no_number", "parts": []}
    elif loss > LOSS_TOO_HIGH * report["expected_loss"]:
        yield {"kind": "loss_high", "parts": []}
    if gradient is None or gradient > GRADIENT_HUGE:
        yield {"kind": "gradient_huge", "parts": []}
    elif gradient < GRADIENT_GONE:
        yield {"kind": "gradient_zero", "parts": []}
    still = [one["part"] for one in parts if one["gradient_norm"] == 0]
    if still:
        yield {"kind": "layer_still", "parts": still}
    states = {one["part"]: one["state_deviation"] for one in parts}
    dead = [part for part, state in states.items() if state is not None and state < STATE_DEAD]
    if dead:
        yield {"kind": "layer_dead", "parts": dead}
    if (report["head_at_its_limits"] or 0.0) > MOSTLY:
        yield {"kind": "head_saturated", "parts": ["head"]}


def told(warning: Row) -> str:
    """Return a warning in the reader's language."""
    where = f" ({', '.join(warning['parts'])})" if warning["parts"] else ""
    return f"{WARNINGS[warning['kind']]}{where}"
