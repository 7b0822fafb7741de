"""Computing the same with less work, on processors: quick dropout, and only the states that count.

Measured with MiniLM (fp32, 13 tokens a text), a fifth of a step of training went into drawing
dropout one number at a time, and an eighth into states of the last layer that the head never reads.

Nothing of this is saved: weights, their names and the configuration stay what they are.
"""

from __future__ import annotations

import math
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

QUICK = "quick"  # name of our attention
LEVELS = 2**16  # in which a share of dropout is counted
SEED_OF_TORCH = 2**62
# Kinds of models whose layers are built like BERT's and whose head reads the first token.
LIKE_BERT = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie")


class Draws:
    """Random numbers, 16 bits each, from a generator that each batch seeds anew from torch's.

    torch draws dropout's numbers one at a time on a processor. Its state stands in every
    checkpoint, so what is drawn from a seed that it gave is drawn again after a resume.
    """

    def __init__(self) -> None:
        self.source = np.random.Generator(np.random.SFC64(0))

    def renew(self) -> None:
        """Take a new seed."""
        seed = int(torch.randint(SEED_OF_TORCH, ()))
        self.source = np.random.Generator(np.random.SFC64(seed))

    def keep(self, like: torch.Tensor, share: float) -> torch.Tensor:
        """Return 0 for a ``share`` of the places and ``1 / (1 - share)`` for the others.

        The share is rounded to 1/65536, and the factor with it: the mean stays 1.
        """
        count = like.numel()
        words = self.source.integers(0, 2**64, size=-(-count // 4), dtype=np.uint64)
        drawn = torch.from_numpy(words.view(np.int16)[:count]).view(like.shape)
        out = min(LEVELS - 1, round(share * LEVELS))
        kept = drawn >= out - LEVELS // 2
        return kept.to(like.dtype).mul_(LEVELS / (LEVELS - out))


class Dropout(nn.Dropout):
    """Dropout whose numbers are drawn many at a time."""

    draws: Draws

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return ``input`` with a share of it switched off, while training."""
        if not self.training or not self.p or self.p == 1.0:
            return super().forward(input)
        return input * self.draws.keep(input, self.p)


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return what a layer's tokens take from each other, with dropout drawn as above.

    :param query: [texts, heads, tokens, width]; ``key`` and ``value`` may have fewer heads.
    :param attention_mask: True, or 0, where a token may be looked at.
    :returns: [texts, tokens, heads, width].
    """
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    if not dropout or (causal and attention_mask is None and query.shape[2] > 1):
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask,
            dropout=dropout, scaling=scaling, is_causal=is_causal, **others,
        )  # fmt: skip
        return result
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = repeat_kv(key, shared), repeat_kv(value, shared)
    factor = scaling if scaling is not None else 1 / math.sqrt(query.shape[-1])
    scores = (query * factor) @ key.transpose(2, 3)
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + attention_mask
    shares = scores.softmax(dim=-1)
    shares = shares * module.mofang_draws.keep(shares, dropout)  # type: ignore[union-attr,operator]
    return (shares @ value).transpose(1, 2).contiguous(), None


def drop_out_quickly(model: Any) -> None:
    """Let a model on a processor draw dropout quickly; a GPU does so by itself."""
    AttentionInterface.register(QUICK, attend)
    AttentionMaskInterface.register(QUICK, sdpa_mask)
    draws = Draws()
    model.register_forward_pre_hook(lambda *_given: draws.renew() if model.training else None)
    dropouts: list[Any] = [one for one in model.modules() if type(one) is nn.Dropout]
    for module in dropouts:
        module.__class__ = Dropout
        module.draws = draws
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.mofang_draws = draws
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(QUICK)


def read_first_only(model: Any) -> None:
    """Leave out the states of the last layer that the head does not read, where that is known."""
    if model.config.model_type in LIKE_BERT and not model.config.is_decoder:
        last = model.base_model.encoder.layer[-1]
        last.forward = MethodType(first_token_alone, last)


def first_token_alone(
    layer: Any, hidden_states: torch.Tensor, attention_mask: Any = None, *_none: Any, **others: Any
) -> torch.Tensor:
    """Return the first token's state after the last layer, the only one that the head reads.

    Its keys and values still come from all tokens.

    :param hidden_states: [texts, tokens, hidden].
    :returns: [texts, 1, hidden].
    """
    own = layer.attention.self
    first = hidden_states[:, :1]

    def heads(states: torch.Tensor) -> torch.Tensor:
        return states.view(*states.shape[:-1], -1, own.attention_head_size).transpose(1, 2)

    if attention_mask is not None and attention_mask.shape[2] > 1:
        attention_mask = attention_mask[:, :, :1]
    taken, _shares = attend(
        own,
        heads(own.query(first)),
        heads(own.key(hidden_states)),
        heads(own.value(hidden_states)),
        attention_mask,
        dropout=own.dropout.p if own.training else 0.0,
        scaling=own.scaling,
        is_causal=False,
    )
    attended = layer.attention.output(taken.flatten(2), first)
    found: torch.Tensor = layer.feed_forward_chunk(attended)
    return found
