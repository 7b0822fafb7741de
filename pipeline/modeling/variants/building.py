"""Every variant that params name, made from one trained model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.modeling.variants import (
    base,
    distilled,
    onnx,
    openvino,
    pruned_units,
    pruned_weights,
    torch,
)
from pipeline.modeling.variants.base import Built, Context, Maker, Target, Unavailable
from pipeline.predictor import BasePredictor, Predictor
from pipeline.quiet import be_quiet

MAKERS: dict[str, Maker] = {
    "distilled": distilled,
    "pruned_units": pruned_units,
    "pruned_weights": pruned_weights,
}
TARGETS: dict[str, Target] = {
    "openvino_fp32": openvino.Exact(),
    "openvino_bf16": openvino.Half(),
    "openvino_int8": openvino.Quantized(),
    "openvino_int8_weights": openvino.Weights(),
    "onnx_fp32": onnx.Exact(),
    "onnx_int8": onnx.Quantized(),
    "torch_bf16": torch.Half(),
    "torch_int8": torch.Quantized(),
}
TORCH = ("torch_bf16", "torch_int8")
Steps = dict[tuple[str, ...], tuple[Path, dict[str, Any]]]  # makers → torch folder and reports


def build(variants: Sequence[str], context: Context) -> dict[str, Built]:
    """Return every wanted variant by its name; ``FALLBACK`` comes first and is always there.

    What several variants begin with is made once. A variant that cannot be had here is listed with
    its reason.

    :raises ModelError: if even the fallback answers otherwise than the original.
    """
    be_quiet()
    done: Steps = {(): (context.source, {})}
    return {name: one(name, context, done) for name in dict.fromkeys([base.FALLBACK, *variants])}


def one(variant: str, context: Context, done: Steps) -> Built:
    """Return one variant; its makers' work is kept in ``done``."""
    makers, target = base.parse(variant)
    folder, source = context.work / variant, context.source
    report: dict[str, Any] = {}
    begun = time.perf_counter()
    try:
        source, report = made(tuple(makers), context, done)
        report = {**report, target: TARGETS[target].write(source, folder, context)}
    except Unavailable as reason:
        return Built(folder, source, target, report, time.perf_counter() - begun, reason.message)
    return Built(folder, source, target, report, time.perf_counter() - begun)


def made(makers: tuple[str, ...], context: Context, done: Steps) -> tuple[Path, dict[str, Any]]:
    """Return the torch model that comes out of some makers, and a report of each of them.

    :raises Unavailable: if one of them cannot work here.
    """
    if makers not in done:
        start, report = made(makers[:-1], context, done)
        folder = context.work / base.JOINT.join(makers)
        told = MAKERS[makers[-1]].make(start, folder, context)
        done[makers] = folder, {**report, makers[-1]: told}
    return done[makers]


def load(variant: Built, threads: int = 0) -> BasePredictor:
    """Return a variant, ready to predict; those for a GPU too, which ``Predictor`` does not know.

    :param threads: of the processor; 0 takes all.
    """
    if variant.target in TORCH:
        return torch.FastPredictor.load(variant.folder)
    return Predictor.load(variant.folder, threads)
