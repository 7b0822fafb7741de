"""Let a head that reads the first token's state read the mean of all tokens' states instead.

What a frozen encoder says of a text stands in all its states, and those below the last layer carry
over to other tasks best (bert-as-service, Xiao 2018, takes the mean of the second layer from the
top). The head of BERT and its kin reads the first token only. So the last layer, of which no other
state is read, becomes the mean: all tokens get the same attention. The model stays of its class and
of its size, and any library loads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.modeling import anatomy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHARE = 3.0  # how much the mean counts beside the first token's own state, which passes by


@dataclass(frozen=True)
class Layer:
    """What the parts of a layer are called that adds first and normalizes then."""

    scores: tuple[str, str]  # queries and keys: what attention is shared out by
    value: str
    out: str  # output of attention
    above: str  # output of the feed-forward part
    norms: tuple[str, str]


BERT = Layer(
    ("attention.self.query", "attention.self.key"),
    "attention.self.value",
    "attention.output.dense",
    "output.dense",
    ("attention.output.LayerNorm", "output.LayerNorm"),
)
DISTILBERT = Layer(
    ("attention.q_lin", "attention.k_lin"),
    "attention.v_lin",
    "attention.out_lin",
    "ffn.lin2",
    ("sa_layer_norm", "output_layer_norm"),
)
KINDS = dict.fromkeys(("bert", "ernie", "roberta", "xlm-roberta", "camembert", "electra"), BERT)
KINDS["distilbert"] = DISTILBERT


def average(model: PreTrainedModel) -> bool:
    """Make the head read the mean of the tokens' states; return whether this model can.

    With queries and keys of zero each of n tokens gets 1/n of the attention (softmax of equal
    scores); padding gets none. With the identity as values and ``SHARE`` times it as output the
    first token's state becomes norm(state + SHARE · mean of states). ModernBERT has a mean of its
    own; heads that read the last token read the whole text already.
    """
    if hasattr(model.config, "classifier_pooling"):
        model.config.classifier_pooling = "mean"
        return True
    names = KINDS.get(model.config.model_type)
    if names is None:
        return False
    last: Any = anatomy.layers(model)[-1]
    fill(last, names)
    return True


def fill(layer: Any, names: Layer) -> None:
    """Overwrite the weights of a layer so that it is a mean."""
    import torch

    with torch.no_grad():
        for name in (*names.scores, names.above):
            part = layer.get_submodule(name)
            part.weight.zero_()
            part.bias.zero_()
        for name, factor in ((names.value, 1.0), (names.out, SHARE)):
            part = layer.get_submodule(name)
            torch.nn.init.eye_(part.weight).mul_(factor)
            part.bias.zero_()
        for name in names.norms:
            part = layer.get_submodule(name)
            part.weight.fill_(1.0)
            part.bias.zero_()
