"""A model as it is written into a graph: token ids and a mask in, logits out, nothing else."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.modeling import students
from pipeline.predictor import BasePredictor, Card, read_tokenizer

if TYPE_CHECKING:
    import torch

SAMPLE = "one text of some words , to trace a model with : is it the same ? 一 二 三 四"


def example(source: Path) -> dict[str, torch.Tensor]:
    """Return two texts of one length, as ``input_ids`` and ``attention_mask``, [2, length]."""
    import torch

    ids = torch.tensor(2 * tokens(source, [SAMPLE]))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def tokens(source: Path, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts, as the model of a folder reads them."""
    return BasePredictor(Card.read(source), read_tokenizer(source)).tokens(texts)


def plain(source: Path, attention: str | None = None) -> torch.nn.Module:
    """Return the model of a folder as a module that takes what every family takes.

    Its ``forward(input_ids, attention_mask)``, each [texts, length], returns logits,
    [texts, outputs]. What pruning left idle is cut out.

    :param attention: ``eager`` spells attention out in products; None keeps the family's own.
    """
    import torch

    model: Any = students.load(source)
    if attention is not None:
        model.set_attn_implementation(attention)
    model.config.use_cache = False  # or decoders would also return keys and values

    class Whole(torch.nn.Module):
        """The model as it is."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(
                input_ids=input_ids, attention_mask=attention_mask
            ).logits
            return logits

    class LastSign(Whole):
        """Reads the state of each text's last end sign.

        BART and T5 first count these signs and pick states by a mask: how many there are depends
        on the text, and a graph cannot ask.
        """

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.model.base_model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                use_cache=False,
                **decoder_of(self.model, input_ids),
            )[0]
            ends = input_ids.eq(self.model.config.eos_token_id)
            last = (torch.arange(input_ids.shape[1]) * ends).argmax(dim=1)
            rows = torch.arange(input_ids.shape[0])
            logits: torch.Tensor = self.model.classification_head(states[rows, last])
            return logits

    return LastSign() if model.config.is_encoder_decoder else Whole()


def decoder_of(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what a decoder reads, where its classifier makes it (T5); BART's model does so."""
    shift = getattr(model, "_shift_right", None)
    return {} if shift is None else {"decoder_input_ids": shift(ids)}


@contextlib.contextmanager
def quietly(*names: str) -> Iterator[None]:
    """Keep the talk of libraries out of the stage's output; their errors are still told.

    :param names: of their loggers.
    """
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
