"""Low-rank adapters (Hu et al. 2021) within a classifier, and merging them into its matrices.

The adapters stand in the model itself, without a wrapper around it: whatever reads a classifier
reads this one too, and the merged model is of the class that it was before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import anatomy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "default"  # peft's name of the only one
# What families call the matrices that make queries, keys, values and the output of attention.
ATTENTION = frozenset({"attention", "self_attn", "attn", "encoder_attn", "SelfAttention",
                       "EncDecAttention"})  # fmt: skip


def add(model: PreTrainedModel, knobs: Any, *, seed: int) -> None:
    """Put adapters on matrices of the layers; they and the head are then all that training changes.

    :param knobs: section ``train.lora``.
    :param seed: for the adapters' first factor; the second starts at zero, hence nothing changes.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    names = matrices(model, knobs.targets)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LoraConfig(
            r=knobs.rank,
            lora_alpha=knobs.alpha,
            lora_dropout=knobs.dropout,
            target_modules=names,
            fan_in_fan_out=transposed(model, names),
        )
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    model.train(model.training)  # new parts take the mode of the whole
    for _name, weight in anatomy.head(model):
        weight.requires_grad_(True)


def matrices(model: PreTrainedModel, where: str) -> list[str]:
    """Return the names of the matrices of the layers that get an adapter.

    :param where: ``attention`` or ``all``.
    """
    kept: set[int] = {id(part) for layer in anatomy.layers(model) for part in layer.modules()}
    return [
        name
        for name, part in model.named_modules()
        if id(part) in kept
        and is_matrix(part)
        and (where == "all" or ATTENTION.intersection(name.split(".")))
    ]


def is_matrix(part: Any) -> bool:
    """Return whether a module multiplies by a matrix: torch's Linear, or GPT-2's Conv1D."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(part, (torch.nn.Linear, Conv1D))


def transposed(model: PreTrainedModel, names: list[str]) -> bool:
    """Return whether the matrices are kept as [in, out], as GPT-2 has them."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(model.get_submodule(names[0]), Conv1D)


def merge(model: PreTrainedModel) -> None:
    """Add each adapter's product to its matrix, W + alpha / rank · B·A, and take the adapter out.

    :raises ModelError: if an adapter holds what is not a number.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in list(model.named_modules()):
        if isinstance(part, BaseTunerLayer):
            try:
                part.merge(safe_merge=True)
            except ValueError as error:
                raise not_merged(name) from error
            parent, _dot, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, part.get_base_layer())
    model.__dict__.pop("peft_config", None)


def not_merged(name: str) -> ModelError:
    """Return the error for an adapter that training drove out of the numbers."""
    return ModelError.at(
        name,
        found=_("a weight that is not a number"),
        allowed=_("finite weights"),
        fix=_("Lower train.learning_rate or train.lora.alpha, and train again."),
    )
