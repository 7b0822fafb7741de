"""The torch model behind the interface that serves: everything but the forward pass is shared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline.predictor import BasePredictor, Calibrated, Card, read_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


class TorchPredictor(BasePredictor):
    """A saved model as training wrote it, in fp32 on the CPU."""

    def __init__(self, card: Card, tokenizer: Tokenizer, model: PreTrainedModel) -> None:
        super().__init__(card, tokenizer)
        self.model = model.eval()

    @classmethod
    def load(cls, folder: Path, fitted: Calibrated | None = None) -> Self:
        """Load a model folder (safetensors only).

        :param fitted: what validate fitted (``calibration.Fitted``); training knows none.
        :raises ModelError: if the folder has no card.
        """
        from transformers import AutoModelForSequenceClassification

        card = Card.read(folder)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        )
        return cls(fitted.on(card) if fitted else card, read_tokenizer(folder), model)

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for token ids without padding, [texts, length]."""
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(tokens)
            logits: NDArray[np.float32] = self.model(
                input_ids=ids, attention_mask=torch.ones_like(ids)
            ).logits.numpy()
        return logits
