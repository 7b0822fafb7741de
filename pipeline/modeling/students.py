"""Smaller models made of a trained one: fewer layers, fewer inner units, heads taken out.

A student is a model of the same class with a smaller configuration, filled with weights of its
teacher, so any library loads it. One thing no configuration of these families can state: how many
heads a layer has. So heads that go are all zero in the folder, which answers as if they were not
there, and ``load`` cuts them out of the model in memory, for whoever exports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import read_json, write_json
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import anatomy

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

IDLE_HEADS = "mofang_idle_heads"  # in config.json: some heads are all zero
EIGHT = 8
State = dict[str, "torch.Tensor"]
Cut = list[tuple[str, int]]  # names of weights, and the dimension that becomes smaller


@dataclass(frozen=True)
class Sizes:
    """What a configuration calls the sizes of each list of layers (``anatomy.parts``)."""

    depth: tuple[str, ...] = ("num_hidden_layers",)
    inner: tuple[str, ...] = ("intermediate_size",)


BART = Sizes(("encoder_layers", "decoder_layers"), ("encoder_ffn_dim", "decoder_ffn_dim"))
T5 = Sizes(("num_layers", "num_decoder_layers"), ("d_ff", "d_ff"))
SIZES = {
    "distilbert": Sizes(("n_layers",), ("hidden_dim",)),
    "gpt2": Sizes(("n_layer",), ("n_inner",)),
    "bart": BART, "mbart": BART, "t5": T5, "mt5": T5,
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """What the matrices of a layer are called whose heads and inner units can be told apart."""

    heads: tuple[str, str, str]  # a head is some rows of each: queries, keys, values
    attended: str  # and the same columns of this one
    inner: str  # an inner unit is a row of this one
    above: str  # and a column of this one


BERT = Layer(
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
DISTILBERT = Layer(
    ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention.out_lin",
    "ffn.lin1",
    "ffn.lin2",
)
LAYERS = dict.fromkeys(("bert", "ernie", "roberta", "xlm-roberta", "camembert", "electra"), BERT)
LAYERS["distilbert"] = DISTILBERT


def read(folder: Path) -> PreTrainedModel:
    """Return the model of a folder as it was saved."""
    from transformers import AutoModelForSequenceClassification

    from pipeline.modeling.architecture import with_own_names

    return with_own_names(
        AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        )
    ).eval()


def load(folder: Path) -> PreTrainedModel:
    """Return the model of a folder without the heads and inner units that add nothing.

    It answers as the folder does, but for rounding. What it is cannot be saved again.
    """
    model = read(folder)
    cut_idle(model)
    return model


def save(
    model: PreTrainedModel, start: Path, folder: Path, texts: Sequence[str], told: dict[str, Any]
) -> None:
    """Write a student with its tokenizer and card, and what it was made from.

    :param start: folder of the model that it was made from.
    :param texts: some, to compare the answers of the saved model to.
    :param told: what was done, for ``origin.json``.
    :raises ModelError: if the saved model answers differently.
    """
    from pipeline.modeling import saving

    saving.save(model, start, folder, texts)
    path = start / saving.ORIGIN
    origin: dict[str, Any] = read_json(path) if path.exists() else {}
    write_json(folder / saving.ORIGIN, origin | {"made": [*origin.get("made", []), told]})


def stacks(model: PreTrainedModel) -> dict[str, int]:
    """Return the lists of layers of a model, by name, and how many layers each has."""
    found = {name: anatomy.find(model, name) for name in anatomy.parts(model).layers}
    return {name: len(one) for name, one in found.items() if one is not None}


def sizes(model: PreTrainedModel) -> Sizes:
    """Return what a model's configuration calls its sizes."""
    return SIZES.get(model.config.model_type, Sizes())


def inner_sizes(model: PreTrainedModel) -> list[int]:
    """Return how many inner units the layers of each list have."""
    config: Any = model.config
    # GPT-2 may leave it open and then means four times its width.
    return [
        int(getattr(config, name) or 4 * config.hidden_size)
        for name, _stack in zip(sizes(model).inner, stacks(model), strict=False)
    ]


def evenly(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` of ``count`` positions, spread evenly; the first is always among them.

    The first layer is not like the others in some families: T5 keeps the distances of tokens there,
    ModernBERT leaves out a norm.
    """
    return [at * count // wanted for at in range(wanted)]


def of_each_kind(kept: list[int], kinds: Sequence[str] | None) -> list[int]:
    """Return positions of layers, changed so that each kind of attention is among them.

    ModernBERT sees the whole text in every third layer and a window in the others, and is not
    built without one of each.

    :param kinds: of all layers; None if there is but one.
    :raises ModelError: if there are more kinds than layers.
    """
    needed = set(kinds or ())
    if len(needed) > len(kept):
        raise ModelError.at(
            "params.yaml, optimize.distillation.layers",
            found=str(len(kept)),
            allowed=_("at least {count}: the trained model has so many kinds of layers",
                      count=len(needed)),
            fix=_("Raise it."),
        )  # fmt: skip
    for kind in sorted(needed - {kinds[at] for at in kept} if kinds else ()):
        after = kept[-2]
        kept = [*kept[:-1], after + 1 + list(kinds or ())[after + 1 :].index(kind)]
    return kept


def kept_of(count: int, share: float) -> int:
    """Return a share of some units, at least one; in eights, as processors take them."""
    kept = max(1, round(count * share))
    return kept if count % EIGHT else -(-kept // EIGHT) * EIGHT


def smaller(model: PreTrainedModel, layers: int, width: float) -> PreTrainedModel:
    """Return a student with some layers of its teacher, and a share of their inner units.

    :param layers: of each list of layers; one that has fewer keeps all.
    :param width: the share of inner units that stay: those of the largest weights.
    :raises ModelError: if there are more kinds of layers than layers.
    """
    kinds = getattr(model.config, "layer_types", None)
    kept = [
        of_each_kind(evenly(depth, min(depth, layers)), kinds) for depth in stacks(model).values()
    ]
    return rebuilt(model, kept, [kept_of(inner, width) for inner in inner_sizes(model)])


def rebuilt(
    model: PreTrainedModel,
    kept: Sequence[Sequence[int]],
    counts: Sequence[int],
    measures: Sequence[torch.Tensor] | None = None,
) -> PreTrainedModel:
    """Return a model of the same class with these layers and so many inner units.

    :param kept: for each list of layers, the positions of those that stay.
    :param counts: for each list, how many inner units its layers have afterwards.
    :param measures: for each layer that stays, over all lists, what its inner units count for,
        [inner]; the largest stay. None measures them by their weights.
    """
    student = type(model)(changed(model, kept, counts))
    begins = beginnings(model, kept)
    source, wanted = model.state_dict(), student.state_dict()
    state = {}
    for name in wanted:
        new = next((new for new in begins if name.startswith(new)), "")
        state[name] = source[begins.get(new, "") + name.removeprefix(new)]
    inner = [size for size, stack in zip(inner_sizes(model), kept, strict=True) for _at in stack]
    for at, new in enumerate(begins):
        cut = differing(new, state, wanted)
        if cut:
            measure = loudness(state, cut, inner[at]) if measures is None else measures[at]
            take_best(state, wanted, cut, measure)
    student.load_state_dict(state)
    return student.eval()


def changed(model: PreTrainedModel, kept: Sequence[Sequence[int]], counts: Sequence[int]) -> Any:
    """Return the model's configuration with other sizes."""
    content, named = model.config.to_dict(), sizes(model)
    content |= {name: len(stack) for name, stack in zip(named.depth, kept, strict=False)}
    content |= dict(zip(named.inner, counts, strict=False))
    if "num_hidden_layers" in content:  # Bart keeps it beside encoder_layers
        content["num_hidden_layers"] = len(kept[0])
    if content.get("layer_types"):
        content["layer_types"] = [content["layer_types"][at] for at in kept[0]]
    return type(model.config).from_dict(content)


def beginnings(model: PreTrainedModel, kept: Sequence[Sequence[int]]) -> dict[str, str]:
    """Return what the names of a layer's weights begin with: in the student → in the teacher."""
    return {
        f"{name}.{new}.": f"{name}.{old}."
        for name, stack in zip(stacks(model), kept, strict=True)
        for new, old in enumerate(stack)
    }


def differing(begin: str, state: State, wanted: State) -> Cut:
    """Return which weights of a layer are smaller in the student, and in which dimension."""
    return [
        (name, dimension)
        for name, weight in state.items()
        if name.startswith(begin)
        for dimension, size in enumerate(weight.shape)
        if wanted[name].shape[dimension] != size
    ]


def loudness(state: State, cut: Cut, inner: int) -> torch.Tensor:
    """Return a measure of a layer's inner units: the product of the norms of their weights.

    What a unit adds grows with what comes in and with what goes out. The product, here as a sum of
    logarithms, stays the same when one is scaled up and the other down.

    :returns: [inner].
    """
    import torch

    found = torch.zeros(inner)
    for name, dimension in cut:
        weight = state[name].float()
        if weight.ndim == 2:
            units = weight.movedim(dimension, 0)
            # Gated layers may hold two matrices in one, the second below the first.
            found += units.view(-1, inner, units.shape[1]).norm(dim=2).log().sum(dim=0)
    return found


def take_best(state: State, wanted: State, cut: Cut, measure: torch.Tensor) -> None:
    """Keep the inner units of the largest measure in the weights of a layer, in their order."""
    import torch

    inner = len(measure)
    for name, dimension in cut:
        times = state[name].shape[dimension] // inner
        count = wanted[name].shape[dimension] // times
        order = measure.argsort(descending=True, stable=True)[:count].sort().values
        places = torch.cat([order + inner * one for one in range(times)])
        state[name] = state[name].index_select(dimension, places)


def head_width(model: PreTrainedModel) -> int:
    """Return how many numbers one head of a model gives for a token."""
    return int(model.config.hidden_size) // int(model.config.num_attention_heads)


def silence(model: PreTrainedModel, idle: Sequence[Sequence[int]]) -> None:
    """Set everything of some heads to zero; training leaves them so, their gradients are zero.

    :param idle: for each layer, the positions of its heads that go.
    """
    import torch

    names, width = LAYERS[model.config.model_type], head_width(model)
    with torch.no_grad():
        for layer, heads in zip(anatomy.layers(model), idle, strict=True):
            rows = positions(heads, width)
            for name in names.heads:
                part: Any = layer.get_submodule(name)
                part.weight[rows] = 0.0
                part.bias[rows] = 0.0
            after: Any = layer.get_submodule(names.attended)
            after.weight[:, rows] = 0.0
    if any(idle):
        setattr(model.config, IDLE_HEADS, True)


def cut_idle(model: PreTrainedModel) -> None:
    """Take heads and inner units out, whose way into what follows is all zero; one always stays.

    Models of other families stay as they are.
    """
    names = LAYERS.get(model.config.model_type)
    if names is None or getattr(model.config, "is_decoder", False):
        return
    width = head_width(model)
    for layer in anatomy.layers(model):
        cut_out(layer, names.heads, names.attended, width)
        cut_out(layer, (names.inner,), names.above, 1)


def cut_out(layer: nn.Module, before: Sequence[str], after: str, width: int) -> None:
    """Take out what gives only zeros: rows of the matrices ``before``, columns of ``after``.

    :param width: of one head or one unit.
    """
    from transformers.pytorch_utils import prune_linear_layer

    last: Any = layer.get_submodule(after)
    counts = last.weight.view(last.out_features, -1, width).ne(0).sum(dim=(0, 2))
    alive = counts.nonzero()[:, 0].tolist() or [0]
    if len(alive) == len(counts):
        return
    rows = positions(alive, width)
    for name in before:
        layer.set_submodule(name, prune_linear_layer(layer.get_submodule(name), rows))
    layer.set_submodule(after, prune_linear_layer(last, rows, dim=1))


def positions(heads: Sequence[int], width: int) -> torch.Tensor:
    """Return the positions of the numbers that some heads give, int64."""
    import torch

    first = torch.tensor(heads, dtype=torch.int64)[:, None] * width
    return (first + torch.arange(width)).flatten()
