"""Where a model starts: weights of somebody else, or none; its tokens; what it will weigh."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
REFUSED = (".bin", ".pt", ".pth", ".pkl", ".joblib", ".ckpt", ".py")
BYTES_PER_WEIGHT = 4
STATED_BATCH = 32


def load_pretrained(
    place: str, labels: Sequence[str], *, seed: int, revision: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a pretrained encoder with a new head for ``labels``, and its tokenizer.

    :param place: a folder, or a hub name when ``revision`` is a commit.
    :raises ModelError: for a folder without safetensors, or one that brings code or pickles.
    """
    if revision is not None:
        os.environ["HF_HUB_OFFLINE"] = "0"  # the one place that asks a hub, because params say so
    else:
        refuse_unsafe(Path(place))
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        place,
        revision=revision,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        **names(labels),
    )
    return with_own_names(model), tokenizer


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
    labels: Sequence[str],
    sizes: dict[str, Any],
    *,
    max_tokens: int,
    seed: int,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a BERT of the given sizes with drawn weights, and a tokenizer trained on ``texts``."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = train_tokenizer(texts, vocabulary=sizes["vocabulary"], max_tokens=max_tokens)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["intermediate"],
        hidden_dropout_prob=sizes["dropout"],
        attention_probs_dropout_prob=sizes["dropout"],
        max_position_embeddings=max_tokens,
        pad_token_id=tokenizer.pad_token_id,
        **names(labels),
    )
    return BertForSequenceClassification(config), tokenizer


def train_tokenizer(
    texts: Sequence[str], *, vocabulary: int, max_tokens: int
) -> PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer learnt from ``texts``; Chinese goes character by character.

    The same texts give the same vocabulary. The library numbers the pieces within words in the
    order of a hash table and breaks ties by these numbers, so they are numbered here beforehand.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    learner, tokenizer = (
        Tokenizer(models.WordPiece(unk_token="[UNK]")),
        Tokenizer(models.WordPiece()),
    )
    for one in (learner, tokenizer):
        one.normalizer = normalizers.BertNormalizer(lowercase=True)
        one.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces = sorted({f"##{letter}" for word in split_words(learner, texts) for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=[*SPECIAL, *pieces], show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    tokenizer.model = models.WordPiece(learner.get_vocab(), unk_token="[UNK]")
    start, end = ((name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.BertProcessing(end, start)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def split_words(tokenizer: Any, texts: Sequence[str]) -> Iterator[str]:
    """Yield every word that a tokenizer would take apart."""
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        yield from (word for word, _span in tokenizer.pre_tokenizer.pre_tokenize_str(normal))


def names(labels: Sequence[str]) -> dict[str, Any]:
    """Return the label names as ``transformers`` keeps them in ``config.json``."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: at for at, label in enumerate(labels)},
        "problem_type": "single_label_classification",
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
        config.num_hidden_layers,
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
