"""Which weights are changed by how much: the optimizer, its groups of weights, and penalties.

Weights fall into groups by learning rate and by whether they decay. With ``lr`` the learning rate,
``d`` ``layer_decay`` and ``L`` layers, of which 0 is the lowest:

========================== ===================
head (classifier, pooler)  ``lr · head_rate``
what lies above the layers ``lr``
layer ``i``                ``lr · d^(L-1-i)``
embeddings                 ``lr · d^L``
========================== ===================

Biases and the gains of norms do not decay. ``adamw`` and ``adafactor`` take the decay straight from
the weights (Loshchilov and Hutter 2019); ``sgd`` and ``rmsprop`` add it to the gradient, as torch
does. ``adafactor`` is transformers' with a fixed rate (``relative_step`` and ``scale_parameter``
off), so that ``learning_rate`` and ``schedule`` mean the same for every optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.modeling import anatomy

if TYPE_CHECKING:
    import torch


def build(model: Any, knobs: Any) -> torch.optim.Optimizer:
    """Return the optimizer of every weight of ``model`` that is trained.

    :param model: a classifier; also one that peft wrapped, or the head of one alone.
    :param knobs: ``params.train``.
    """
    import torch

    weights = groups(model, knobs)
    chosen = knobs.optimizer
    if chosen.kind == "sgd":
        return torch.optim.SGD(
            weights, lr=knobs.learning_rate, momentum=chosen.momentum, fused=True
        )
    if chosen.kind == "rmsprop":
        return torch.optim.RMSprop(
            weights,
            lr=knobs.learning_rate,
            alpha=chosen.beta2,
            eps=chosen.epsilon,
            momentum=chosen.momentum,
        )
    if chosen.kind == "adafactor":
        from transformers.optimization import Adafactor

        fixed: torch.optim.Optimizer = Adafactor(
            weights,
            lr=knobs.learning_rate,
            relative_step=False,
            scale_parameter=False,
            warmup_init=False,
        )
        return fixed
    return torch.optim.AdamW(
        weights,
        lr=knobs.learning_rate,
        betas=(chosen.beta1, chosen.beta2),
        eps=chosen.epsilon,
        fused=True,
    )


def groups(model: Any, knobs: Any) -> list[dict[str, Any]]:
    """Return the weights to train by learning rate and by whether they decay.

    The group nearest to ``learning_rate`` comes first: its rate is what Trainer shows and logs.
    """
    shares = rate_shares(model, head_rate=knobs.head_rate, layer_decay=knobs.layer_decay)
    found: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, one in model.named_parameters():
        if one.requires_grad:
            found.setdefault((shares.get(id(one), 1.0), decays(name, one)), []).append(one)
    return [
        {
            "params": weights,
            "lr": knobs.learning_rate * share,
            "weight_decay": knobs.weight_decay if decaying else 0.0,
        }
        for (share, decaying), weights in sorted(
            found.items(), key=lambda item: (abs(item[0][0] - 1.0), not item[0][1])
        )
    ]


def rate_shares(model: Any, *, head_rate: float, layer_decay: float) -> dict[int, float]:
    """Return the share of the learning rate by ``id`` of a weight; the others take all of it.

    A weight that several layers share takes the rate of the highest of them.
    """
    layers = anatomy.layers(model)
    parts: list[tuple[list[torch.nn.Module], float]] = [
        ([layer], layer_decay**distance) for distance, layer in enumerate(reversed(layers))
    ]
    parts.append((anatomy.embeddings(model), layer_decay ** len(layers)))
    shares: dict[int, float] = {}
    for modules, share in parts:
        for module in modules:
            for one in module.parameters():
                shares.setdefault(id(one), share)
    for _name, one in anatomy.head(model):
        shares.setdefault(id(one), head_rate)
    return shares


def decays(name: str, weight: torch.nn.Parameter) -> bool:
    """Return whether a weight is one of a matrix: neither a bias nor the gain of a norm.

    T5 keeps its biases of attention as a matrix, so the name decides as well.
    """
    return weight.ndim > 1 and "bias" not in name


def penalty(model: Any, l1: float, l2: float) -> torch.Tensor:
    """Return ``l1 · Σ|w| + l2 / 2 · Σw²`` over the trained weights that also decay.

    :returns: a scalar in fp32 to add to the mean loss of a batch; a constant 0 when both are 0.
    """
    import torch

    total = torch.zeros(())
    if not (l1 or l2):
        return total
    for one in penalized(model):
        total = total.to(one.device)
        if l1:
            total = total + l1 * one.float().abs().sum()
        if l2:
            total = total + l2 / 2 * one.float().square().sum()
    return total


def penalized(model: Any) -> Iterator[torch.nn.Parameter]:
    """Yield the trained weights that are neither biases nor norms."""
    for name, one in model.named_parameters():
        if one.requires_grad and decays(name, one):
            yield one
