"""Where a model starts: weights of somebody else, or none; its labels; what it will weigh."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import anatomy, initialization, tokenization

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from pipeline.tasks.base import Task

REFUSED = (".bin", ".pt", ".pth", ".pkl", ".joblib", ".ckpt", ".py")
BYTES_PER_WEIGHT = 4
STATED_BATCH = 32
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "silu": "silu"}
ROTARY_BASE = 10_000.0  # Su et al. 2021, section 3.2.2
# Their places are counted from the padding token's number plus one.
SHIFTED = ("roberta", "xlm-roberta", "camembert", "mpnet")


def load_pretrained(
    place: str,
    task: Task,
    weights: Any,
    *,
    max_tokens: int,
    seed: int,
    revision: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a pretrained model with a new head for ``task``, and its tokenizer.

    Only what the checkpoint does not bring is drawn.

    :param place: a folder, or a hub name when ``revision`` is a commit.
    :param weights: section ``init.weights``.
    :raises ModelError: for a folder without safetensors, one that brings code or pickles, a model
        of a kind that is not known, or one that cannot read ``max_tokens``.
    """
    if revision is not None:
        os.environ["HF_HUB_OFFLINE"] = "0"  # the one place that asks a hub, because params say so
    else:
        refuse_unsafe(Path(place))
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
    config.update(names(task))
    make_fit(config, tokenizer, max_tokens)
    torch.manual_seed(seed)
    model, told = AutoModelForSequenceClassification.from_pretrained(
        place,
        config=config,
        revision=revision,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model = with_own_names(model)
    new = {*told["missing_keys"], *(one[0] for one in told["mismatched_keys"])}
    initialization.draw(model, weights, seed=seed, only=new)
    return model, tokenizer


def make_fit(config: PretrainedConfig, tokenizer: Any, max_tokens: int) -> None:
    """Settle in place what a classifier needs of a model that was trained for something else.

    :raises ModelError: for a kind of model that is not known or cannot read ``max_tokens``.
    """
    kind = config.model_type
    anatomy.parts_of(kind)
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and kind in SHIFTED:
        longest -= config.pad_token_id + 1
    if longest is not None and max_tokens > longest:
        raise ModelError.at(
            "params.yaml, init.max_tokens",
            found=str(max_tokens),
            allowed=_("at most {longest} for this model", longest=longest),
            fix=_("Lower it, or take a model that reads longer texts."),
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # GPT-2 and others were never padded
    tokenizer.model_max_length = max_tokens
    tokenizer.split_special_tokens = True  # as predictor.read_tokenizer does
    config.pad_token_id = tokenizer.pad_token_id
    config.use_cache = False  # for writing on, which a classifier does not
    if kind == "modernbert":
        config.classifier_pooling = "cls"  # the head reads one token, as everywhere else


def with_own_names(model: PreTrainedModel) -> PreTrainedModel:
    """Return the same model, saved from now on under the names that its code gives to weights.

    A model that transformers 5 loads writes some weights under the names of older files
    (``LayerNorm.gamma``), but Trainer reads its checkpoints without translating them: it would
    resume with fresh layer norms and only warn. A model built from its configuration does not.
    """
    fresh = type(model)(model.config)
    fresh.load_state_dict(model.state_dict())
    return fresh


def refuse_unsafe(folder: Path) -> None:
    """Refuse a model folder that would run code when loaded, or that holds no weights.

    :raises ModelError: naming the file.
    """
    unsafe = sorted(path for path in folder.rglob("*") if path.suffix in REFUSED)
    if unsafe or not any(folder.glob("*.safetensors")):
        raise ModelError.at(
            unsafe[0] if unsafe else folder,
            found=_("a file that can run code") if unsafe else _("no weights as safetensors"),
            allowed=_("safetensors and JSON only"),
            fix=_("Convert the model to safetensors where it comes from, or take another."),
        )


def from_scratch(
    texts: Sequence[str],
    task: Task,
    knobs: Any,
    weights: Any,
    *,
    max_tokens: int,
    seed: int,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a model of the given sizes with drawn weights, and a tokenizer learnt from ``texts``.

    :param knobs: section ``init.scratch``.
    :param weights: section ``init.weights``.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    framing = tokenization.signs(knobs.family, knobs.positions)
    tokenizer = tokenization.train(texts, knobs.tokenizer, framing, max_tokens=max_tokens)
    configure = FAMILIES[knobs.family, knobs.positions]
    torch.manual_seed(seed)
    config = configure(knobs, tokenizer, max_tokens, names(task))
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    initialization.draw(model, weights, seed=seed, activation=knobs.activation)
    return model.eval(), tokenizer


def bert(knobs: Any, tokenizer: Any, max_tokens: int, named: dict[str, Any]) -> PretrainedConfig:
    """Return an encoder with a vector for each place: BERT (Devlin et al. 2019)."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=knobs.hidden,
        num_hidden_layers=knobs.layers,
        num_attention_heads=knobs.heads,
        intermediate_size=knobs.intermediate,
        hidden_act=ACTIVATIONS[knobs.activation],
        hidden_dropout_prob=knobs.dropout,
        attention_probs_dropout_prob=knobs.dropout,
        max_position_embeddings=max_tokens,
        pad_token_id=tokenizer.pad_token_id,
        **named,
    )


def modern_bert(
    knobs: Any, tokenizer: Any, max_tokens: int, named: dict[str, Any]
) -> PretrainedConfig:
    """Return an encoder that turns places: ModernBERT (Warner et al. 2024), each layer seeing all.

    Its feed-forward part is gated: one and a half times the weights of BERT's.
    """
    from transformers import ModernBertConfig

    return ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=knobs.hidden,
        num_hidden_layers=knobs.layers,
        num_attention_heads=knobs.heads,
        intermediate_size=knobs.intermediate,
        hidden_activation=ACTIVATIONS[knobs.activation],
        layer_types=["full_attention"] + ["sliding_attention"] * (knobs.layers - 1),
        local_attention=2 * max_tokens,  # a window as wide as the text
        rope_parameters={
            kind: {"rope_type": "default", "rope_theta": ROTARY_BASE}
            for kind in ("full_attention", "sliding_attention")
        },
        max_position_embeddings=max_tokens,
        embedding_dropout=knobs.dropout,
        attention_dropout=knobs.dropout,
        mlp_dropout=knobs.dropout,
        classifier_dropout=knobs.dropout,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        cls_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
        **named,
    )


def gpt2(knobs: Any, tokenizer: Any, max_tokens: int, named: dict[str, Any]) -> PretrainedConfig:
    """Return a decoder with a vector for each place: GPT-2 (Radford et al. 2019)."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=knobs.hidden,
        n_layer=knobs.layers,
        n_head=knobs.heads,
        n_inner=knobs.intermediate,
        n_positions=max_tokens,
        activation_function=ACTIVATIONS[knobs.activation],
        resid_pdrop=knobs.dropout,
        embd_pdrop=knobs.dropout,
        attn_pdrop=knobs.dropout,
        **ends(tokenizer),
        **named,
    )


def llama(knobs: Any, tokenizer: Any, max_tokens: int, named: dict[str, Any]) -> PretrainedConfig:
    """Return a decoder that turns places: LLaMA (Touvron et al. 2023).

    Its feed-forward part is gated, and it knows dropout within attention only.
    """
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=knobs.hidden,
        num_hidden_layers=knobs.layers,
        num_attention_heads=knobs.heads,
        intermediate_size=knobs.intermediate,
        hidden_act=ACTIVATIONS[knobs.activation],
        max_position_embeddings=max_tokens,
        attention_dropout=knobs.dropout,
        **ends(tokenizer),
        **named,
    )


def bart(knobs: Any, tokenizer: Any, max_tokens: int, named: dict[str, Any]) -> PretrainedConfig:
    """Return encoder and decoder with a vector for each place: BART (Lewis et al. 2020)."""
    from transformers import BartConfig

    return BartConfig(
        vocab_size=len(tokenizer),
        d_model=knobs.hidden,
        encoder_layers=knobs.layers,
        decoder_layers=knobs.layers,
        encoder_attention_heads=knobs.heads,
        decoder_attention_heads=knobs.heads,
        encoder_ffn_dim=knobs.intermediate,
        decoder_ffn_dim=knobs.intermediate,
        activation_function=ACTIVATIONS[knobs.activation],
        max_position_embeddings=max_tokens,
        dropout=knobs.dropout,
        attention_dropout=knobs.dropout,
        classifier_dropout=knobs.dropout,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,  # of writing, which a classifier does not
        **ends(tokenizer),
        **named,
    )


def t5(knobs: Any, tokenizer: Any, max_tokens: int, named: dict[str, Any]) -> PretrainedConfig:
    """Return encoder and decoder that know places by distance: T5 (Raffel et al. 2020)."""
    from transformers import T5Config

    return T5Config(
        vocab_size=len(tokenizer),
        d_model=knobs.hidden,
        d_kv=knobs.hidden // knobs.heads,
        d_ff=knobs.intermediate,
        num_layers=knobs.layers,
        num_decoder_layers=knobs.layers,
        num_heads=knobs.heads,
        feed_forward_proj=ACTIVATIONS[knobs.activation],
        dropout_rate=knobs.dropout,
        classifier_dropout=knobs.dropout,
        decoder_start_token_id=tokenizer.pad_token_id,
        **ends(tokenizer),
        **named,
    )


def ends(tokenizer: Any) -> dict[str, Any]:
    """Return what models that read the last token know of tokens."""
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "use_cache": False,  # for writing on, which a classifier does not
    }


FAMILIES = {
    ("encoder", "learned"): bert,
    ("encoder", "rotary"): modern_bert,
    ("decoder", "learned"): gpt2,
    ("decoder", "rotary"): llama,
    ("encoder_decoder", "learned"): bart,
    ("encoder_decoder", "relative"): t5,
}


def names(task: Task) -> dict[str, Any]:
    """Return the task and its labels as ``transformers`` keeps them in ``config.json``."""
    return {
        "num_labels": len(task.outputs),
        "id2label": dict(enumerate(task.outputs)),
        "label2id": {label: at for at, label in enumerate(task.outputs)},
        "problem_type": task.problem_type,
    }


def describe(model: PreTrainedModel, max_tokens: int) -> dict[str, Any]:
    """Return architecture, weights and the memory that training will take at most, in bytes.

    Stated for batches of ``STATED_BATCH`` texts of ``max_tokens``; shorter texts take less.

    Weights, gradients and AdamW's two moments take 16 bytes a weight in fp32 (Rajbhandari et al.
    2020, ZeRO, section 3.1, less its fp16 copies). For one layer's activations they are 34·s·b·h
    + 5·a·s²·b bytes in fp16 (Korthikanti et al. 2022, equation 2), hence twice that here.
    """
    config = model.config
    weights = sum(one.numel() for one in model.parameters())
    layers, width, heads = (
        len(anatomy.layers(model)),
        config.hidden_size,
        config.num_attention_heads,
    )
    one_layer = 34 * max_tokens * STATED_BATCH * width + 5 * heads * max_tokens**2 * STATED_BATCH
    return {
        "architecture": type(model).__name__,
        "model_type": config.model_type,
        "layers": layers,
        "hidden": width,
        "heads": heads,
        "vocabulary": config.vocab_size,
        "parameters": weights,
        "weight_bytes": weights * BYTES_PER_WEIGHT,
        "training_memory_bytes": weights * 4 * BYTES_PER_WEIGHT + 2 * layers * one_layer,
    }
