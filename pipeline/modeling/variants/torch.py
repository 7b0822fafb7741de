"""What torch runs on a GPU: bf16, and int8 through torchao.

Neither is served by ``Predictor``, which knows no torch: they are measured beside the others, for
those who serve from a GPU.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.artifacts import read_json, verify_manifest
from pipeline.i18n import _
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import base
from pipeline.modeling.variants.base import Context, Unavailable
from pipeline.predictor import RUNTIME, Calibrated, Card, read_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Half:
    """bf16 weights and arithmetic."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write ``model`` with 16 bits a weight.

        :raises Unavailable: without a GPU.
        """
        require_gpu()
        save(model, folder, "bf16")
        return {}


class Quantized:
    """int8 products, with a scale for each token, so that a text's answer ignores its batch."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write ``model`` in bf16; torchao packs it when it is loaded, so no pickle is kept.

        :raises Unavailable: without a GPU or without torchao.
        """
        require_gpu()
        if find_spec("torchao") is None:
            raise Unavailable(_("torchao is not installed"))
        save(model, folder, "int8")
        return {}


def require_gpu() -> None:
    """Refuse a machine that has no GPU.

    :raises Unavailable: if torch sees none.
    """
    import torch

    if not torch.cuda.is_available():
        raise Unavailable(_("this machine has no GPU"))


def save(model: Path, folder: Path, precision: str) -> None:
    """Write a model folder in bf16."""
    import torch
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(
        model, use_safetensors=True, trust_remote_code=False, dtype=torch.bfloat16
    ).save_pretrained(folder)
    base.seal(model, folder, "torch", precision)


class FastPredictor(TorchPredictor):
    """A model in bf16 or int8 on a GPU."""

    @classmethod
    def load(cls, folder: Path, fitted: Calibrated | None = None, device: str = "cuda") -> Self:
        """Load what ``save`` wrote.

        :param fitted: where the card does not hold temperature and thresholds already.
        :raises ModelError: if a file is missing or differs from the manifest.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        verify_manifest(folder)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, dtype=torch.bfloat16
        ).to(device)
        if read_json(folder / RUNTIME)["precision"] == "int8":
            pack(model)
        card = Card.read(folder)
        return cls(fitted.on(card) if fitted else card, read_tokenizer(folder), model)

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for token ids without padding, [texts, length]."""
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(tokens).to(self.model.device)
            logits: NDArray[np.float32] = (
                self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
                .logits.float()
                .cpu()
                .numpy()
            )
        return logits


def pack(model: Any) -> None:
    """Make all linear layers int8, in place."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig())
