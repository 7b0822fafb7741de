"""A tiny classifier of each kind that init can build or that is usual as a pretrained one."""

from __future__ import annotations

from typing import Any

KINDS = ("bert", "distilbert", "roberta", "modernbert", "gpt2", "llama", "bart", "t5")
WORDS, WIDTH, END = 60, 32, 3


def tiny(kind: str, *, seed: int = 1, labels: int = 3, dropout: float = 0.0) -> Any:
    """Return a tiny classifier, in evaluation mode, of three labels."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(seed)
    common = {"vocab_size": WORDS, "num_labels": labels, "pad_token_id": 0, "eos_token_id": END,
              "bos_token_id": 1, "sep_token_id": END, "cls_token_id": 2}  # fmt: skip
    config = AutoConfig.for_model(kind, **common, **sizes(kind, dropout))
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():  # large enough to see a difference of a logit
            if weight.ndim > 1:
                weight.normal_(0.0, 0.2)
    return model.eval()


def sizes(kind: str, dropout: float) -> dict[str, Any]:
    """Return what a kind calls its sizes."""
    if kind == "distilbert":
        return {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 64,
                "max_position_embeddings": 32, "dropout": dropout, "attention_dropout": dropout,
                "seq_classif_dropout": dropout}  # fmt: skip
    if kind == "gpt2":
        return {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 32,
                "resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}  # fmt: skip
    if kind == "bart":
        return {"d_model": WIDTH, "encoder_layers": 1, "decoder_layers": 1, "dropout": dropout,
                "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64,
                "decoder_ffn_dim": 64, "max_position_embeddings": 32,
                "decoder_start_token_id": 2, "forced_eos_token_id": END}  # fmt: skip
    if kind == "t5":
        return {"d_model": WIDTH, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2,
                "num_decoder_layers": 1, "dropout_rate": dropout, "decoder_start_token_id": 0,
                "is_encoder_decoder": True}  # fmt: skip
    common: dict[str, Any] = {
              "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
              "intermediate_size": 64, "max_position_embeddings": 40}  # fmt: skip
    if kind in ("bert", "roberta"):
        common |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return common


def texts(count: int = 12, seed: int = 5) -> list[list[int]]:
    """Return sequences of tokens of several lengths, each ending as encoder-decoders want it."""
    import numpy as np

    random = np.random.default_rng(seed)
    return [
        [2, *random.integers(4, WORDS, random.integers(2, 9)).tolist(), END]
        for _one in range(count)
    ]


def batch(tokens: list[list[int]], **others: Any) -> dict[str, Any]:
    """Return a batch, padded on the right."""
    import torch

    longest = max(len(one) for one in tokens)
    ids = [one + [0] * (longest - len(one)) for one in tokens]
    seen = [[1] * len(one) + [0] * (longest - len(one)) for one in tokens]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(seen), **others}


def examples(tokens: list[list[int]], labels: list[Any]) -> list[dict[str, Any]]:
    """Return encoded examples, as training has them."""
    return [
        {"input_ids": one, "attention_mask": [1] * len(one), "labels": label}
        for one, label in zip(tokens, labels, strict=True)
    ]


def logits(model: Any, tokens: list[list[int]]) -> Any:
    """Return the logits of a batch, [n, labels]."""
    import torch

    with torch.inference_mode():
        return model(**batch(tokens)).logits
