"""A bundle for phones: the model in ONNX Runtime's own format, its tokenizer, labels and a guide.

``Predictor`` reads the bundle too, so that parity is tested on the very file that a phone loads.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_bytes, write_json, write_manifest
from pipeline.modeling.variants import guide, onnx, tracing
from pipeline.modeling.variants.base import Context
from pipeline.predictor import Card, Predictor

MODEL = "model.ort"
LABELS = "labels.json"
CHECK = "check.json"
GUIDE = "README.md"
BESIDE = "tokenizer_config.json"  # where a model has it: Swift's tokenizer asks for it


def write(model: Path, folder: Path, context: Context, *, quantized: bool = True) -> dict[str, Any]:
    """Write the bundle of a torch model: ``MODEL``, tokenizer, labels, card and a guide.

    ``CHECK`` holds a text, its tokens and its logits, with which an app can be tested.

    :param quantized: int8 as ``onnx_int8``; else fp32, for models that int8 harms.
    :returns: bytes of the model, and its precision.
    :raises Unavailable: if the family cannot be written as ONNX.
    """
    target = onnx.Quantized() if quantized else onnx.Exact()
    target.write(model, folder, context)
    convert(folder / onnx.MODEL, folder / MODEL)
    (folder / onnx.MODEL).unlink()
    if (model / BESIDE).is_file():
        shutil.copy2(model / BESIDE, folder / BESIDE)
    card = Card.read(folder)
    write_json(folder / LABELS, card.labels)
    write_manifest(folder)
    predictor = Predictor.load(folder)
    write_json(folder / CHECK, sample(predictor))
    write_bytes(folder / GUIDE, guide.text(card, predictor.tokenizer).encode())
    write_manifest(folder)
    return {
        "bytes": (folder / MODEL).stat().st_size,
        "precision": "int8" if quantized else "fp32",
    }


def convert(source: Path, target: Path) -> None:
    """Write an ONNX graph in ONNX Runtime's format, which its small builds for phones read too.

    Its optimizations are those that hold on any processor ("extended"), not only on this one.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def sample(predictor: Predictor) -> list[dict[str, Any]]:
    """Return texts of nobody's with their tokens and logits, for a test of an app."""
    texts = [tracing.SAMPLE, tracing.SAMPLE.split()[0]]
    return [
        {"text": text, "input_ids": tokens, "logits": [float(one) for one in logits]}
        for text, tokens, logits in zip(
            texts, predictor.tokens(texts), predictor.logits(texts), strict=True
        )
    ]
