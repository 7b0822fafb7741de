"""Training the head alone: the encoder runs once, and its states stand in for the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.modeling import anatomy, embeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

Example = dict[str, Any]


def features(
    model: PreTrainedModel, parts: dict[str, list[Example]], knobs: Any
) -> dict[str, list[Example]]:
    """Return examples of one token each, with the state that the head reads as ``features``."""
    found = {}
    for name, examples in parts.items():
        states = embeddings.states(
            model,
            [one["input_ids"] for one in examples],
            pooling="head",
            cache=embeddings.CACHE,
            batch_size=2 * knobs.batch_size,
        )
        found[name] = with_states(model, examples, states)
    return found


def with_states(
    model: PreTrainedModel, examples: Sequence[Example], states: NDArray[np.float32]
) -> list[Example]:
    """Return examples whose text is one token, and its state, a row of ``states``."""
    token = stand_in(model)
    return [
        one | {"input_ids": [token], "attention_mask": [1], "features": state}
        for one, state in zip(examples, states, strict=True)
    ]


def stand_in(model: PreTrainedModel) -> int:
    """Return a token at which the head looks for its state: encoder-decoders look for the end."""
    config = model.config
    if config.is_encoder_decoder:
        return int(config.eos_token_id)
    return 1 if config.pad_token_id == 0 else 0


def stack(examples: Sequence[Example]) -> dict[str, Any]:
    """Return a batch of examples with states: ``inputs_embeds`` is [n, 1, hidden]."""
    import numpy as np
    import torch

    batch = {
        name: torch.tensor([one[name] for one in examples])
        for name in ("input_ids", "attention_mask", "labels")
    }
    states = np.stack([one["features"] for one in examples])
    return batch | {"inputs_embeds": torch.from_numpy(states)[:, None]}


def bypass(model: PreTrainedModel) -> None:
    """Let the model take states for texts (``inputs_embeds``); its head is all that training sees.

    The head stays where it is, a pooler within the encoder too, and reads what it always read.
    """
    from transformers.modeling_outputs import (
        BaseModelOutputWithPast,
        BaseModelOutputWithPooling,
        Seq2SeqModelOutput,
    )

    encoder = model.base_model
    pooler = getattr(encoder, "pooler", None)

    def hand_on(*_given: Any, inputs_embeds: Any, **_others: Any) -> Any:
        if pooler is not None:
            return BaseModelOutputWithPooling(inputs_embeds, pooler(inputs_embeds))
        kind = Seq2SeqModelOutput if model.config.is_encoder_decoder else BaseModelOutputWithPast
        return kind(inputs_embeds)

    encoder.forward = hand_on
    model.requires_grad_(False)
    for _name, weight in anatomy.head(model):
        weight.requires_grad_(True)


def rejoin(model: PreTrainedModel) -> None:
    """Put the encoder back to work."""
    del model.base_model.forward
