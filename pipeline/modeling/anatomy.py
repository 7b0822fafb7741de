"""What a classifier is made of: embeddings, layers from bottom to top, and a head that is new.

Each kind of model names its parts in its own way; this is the one place that knows how. A model
that adapters are wrapped around (peft) has the parts of the model within.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import ModelError
from pipeline.i18n import _

if TYPE_CHECKING:
    from torch import nn

Position = Literal["first", "last"]


@dataclass(frozen=True)
class Parts:
    """Where the parts of one kind of model stand; some checkpoints lack some of them."""

    layers: tuple[str, ...]  # lists of layers, the one that reads the text first
    embeddings: tuple[str, ...]
    head: tuple[str, ...]  # everything between the layers' last state and the logits
    output: str
    reads: Position  # the token whose state the head reads
    bends: str = "tanh"  # activation within the head, in front of its output layer


def bert_like(name: str, *, layers: str = "encoder.layer", bends: str = "tanh") -> Parts:
    """Return the parts of an encoder whose head, with a layer of its own, is ``classifier``."""
    head, output = ("classifier",), "classifier.out_proj"
    return Parts((f"{name}.{layers}",), (f"{name}.embeddings",), head, output, "first", bends)


def pooled(name: str) -> Parts:
    """Return the parts of an encoder with a pooler, as BERT has it."""
    head = (f"{name}.pooler", "classifier")
    return Parts((f"{name}.encoder.layer",), (f"{name}.embeddings",), head, "classifier", "first")


LEFT_TO_RIGHT = Parts(("model.layers",), ("model.embed_tokens",), ("score",), "score", "last")
BART = Parts(
    ("model.encoder.layers", "model.decoder.layers"),
    (
        "model.shared",
        "model.encoder.embed_tokens",
        "model.encoder.embed_positions",
        "model.encoder.layernorm_embedding",
        "model.decoder.embed_tokens",
        "model.decoder.embed_positions",
        "model.decoder.layernorm_embedding",
    ),
    ("classification_head",),
    "classification_head.out_proj",
    "last",
)
T5 = Parts(
    ("transformer.encoder.block", "transformer.decoder.block"),
    ("transformer.shared", "transformer.encoder.embed_tokens", "transformer.decoder.embed_tokens"),
    ("classification_head",),
    "classification_head.out_proj",
    "last",
)
KINDS: dict[str, Parts] = {
    "bert": pooled("bert"),
    "ernie": pooled("ernie"),
    "distilbert": Parts(
        ("distilbert.transformer.layer",), ("distilbert.embeddings",),
        ("pre_classifier", "classifier"), "classifier", "first", "relu",
    ),
    "roberta": bert_like("roberta"),
    "xlm-roberta": bert_like("roberta"),
    "camembert": bert_like("roberta"),
    "mpnet": bert_like("mpnet"),
    "electra": bert_like("electra", bends="gelu"),
    "roformer": bert_like("roformer", bends="gelu"),
    "modernbert": Parts(
        ("model.layers",), ("model.embeddings",), ("head", "classifier"), "classifier", "first",
        "gelu",
    ),
    "gpt2": Parts(
        ("transformer.h",), ("transformer.wte", "transformer.wpe"), ("score",), "score", "last"
    ),
    "llama": LEFT_TO_RIGHT,
    "mistral": LEFT_TO_RIGHT,
    "qwen2": LEFT_TO_RIGHT,
    "qwen3": LEFT_TO_RIGHT,
    "bart": BART,
    "mbart": BART,
    "t5": T5,
    "mt5": T5,
}  # fmt: skip


def parts(model: Any) -> Parts:
    """Return where the parts of ``model`` stand.

    :raises ModelError: for a kind of model that nobody took apart yet.
    """
    return parts_of(plain(model).config.model_type)


def parts_of(kind: str) -> Parts:
    """Return where the parts of a kind of model (``config.model_type``) stand.

    :raises ModelError: for one that nobody took apart yet.
    """
    if kind not in KINDS:
        raise ModelError.at(
            "config.json, model_type",
            found=kind,
            allowed=", ".join(sorted(KINDS)),
            fix=_("Take a model of one of these kinds."),
        )
    return KINDS[kind]


def plain(model: Any) -> Any:
    """Return the model that adapters are wrapped around, or ``model`` itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def find(model: Any, name: str) -> Any:
    """Return the module called ``name``, or None where this model has none."""
    try:
        return plain(model).get_submodule(name)
    except AttributeError:
        return None


def head(model: Any) -> list[tuple[str, nn.Parameter]]:
    """Return names and weights between the layers and the logits, each once.

    Pretraining did not bring them, or hardly touched them: BERT's pooler is counted among them.
    """
    wanted = tuple(f"{name}." for name in parts(model).head)
    return [item for item in plain(model).named_parameters() if item[0].startswith(wanted)]


def layers(model: Any) -> list[nn.Module]:
    """Return the layers from the text upwards; those of an encoder before those of a decoder."""
    lists = [find(model, name) for name in parts(model).layers]
    return [layer for one in lists if one is not None for layer in one]


def embeddings(model: Any) -> list[nn.Module]:
    """Return what turns tokens and places into vectors; modules may share a weight (Bart, T5)."""
    found = [find(model, name) for name in parts(model).embeddings]
    unique = {id(one): one for one in found if one is not None}
    return list(unique.values())


def output_layer(model: Any) -> nn.Linear:
    """Return the last linear layer: each of its rows makes one logit. Some have no bias."""
    found: Any = find(model, parts(model).output)
    inner = getattr(found, "modules_to_save", None)  # peft keeps the one it trains in a dict
    return found if inner is None else next(iter(inner.values()))  # type: ignore[no-any-return]


def read_position(model: Any) -> Position:
    """Return the token whose state the head reads: the first, or the last that is no padding."""
    return parts(model).reads
