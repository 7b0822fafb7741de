"""What ONNX Runtime runs: fp32, and int8 with fixed value ranges.

The graph comes from ``torch.onnx.export`` (dynamo), which keeps both dimensions open.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.i18n import _
from pipeline.modeling.variants import base, tracing
from pipeline.modeling.variants.base import Context, Unavailable

MODEL = "model.onnx"
OPSET = 18  # the one that the exporter writes by itself, without a conversion
LARGEST = 2**31 - 2**26  # bytes of weights: one file of protobuf holds 2 GB, the graph included
EXPORTER = "torch.onnx._internal.exporter._registration"  # says that torchvision is not here
# Products with weights and look-ups in them; the rest is cheap and stays in fp32.
HEAVY = ("MatMul", "Gemm", "Gather")


class Exact:
    """fp32: answers as torch does."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write the ONNX graph of ``model``."""
        graph = exported(model, context)
        folder.mkdir()
        shutil.copy2(graph, folder / MODEL)
        base.seal(model, folder, "onnx", "f32")
        return {}


class Quantized:
    """int8 weights and activations; their value ranges are learnt once and then fixed.

    ONNX Runtime's dynamic int8 takes the range of each whole batch instead, so that a text's
    answer depends on its company.
    """

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write the int8 graph of ``model``, calibrated on ``context.texts``."""
        graph = exported(model, context)
        folder.mkdir()
        tokens = tracing.tokens(model, context.texts)
        quantize(graph, folder / MODEL, tokens)
        base.seal(model, folder, "onnx", "f32")
        return {"calibration_texts": len(tokens)}


def exported(model: Path, context: Context) -> Path:
    """Return the file of a model's fp32 graph, which several targets begin with; written once."""
    path = context.work / f"{model.name}.onnx"
    if not path.exists():
        export(model, path)
    return path


def export(source: Path, path: Path) -> None:
    """Write the torch model of ``source`` as an ONNX graph in fp32, in one file.

    :raises Unavailable: for a model of more than 2 GB, or a family that cannot be exported.
    """
    import warnings

    import torch
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    from torch.onnx import OnnxExporterError

    model, inputs = tracing.plain(source, "eager"), tracing.example(source)
    if sum(one.numel() * one.element_size() for one in model.parameters()) > LARGEST:
        raise Unavailable(_("one ONNX file holds at most 2 GB"))
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings(), tracing.quietly(EXPORTER):
        warnings.simplefilter("ignore")  # of torch, about itself
        try:
            program = torch.onnx.export(
                model,
                kwargs=inputs,
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(inputs, either),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except OnnxExporterError as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise Unavailable(
                _("torch.onnx.export refuses this family: {reason}", reason=reason)
            ) from error
    assert program is not None, "given no file name, it returns the program"
    ClearMetadataAndDocStringPass()(program.model)  # they tell where this machine keeps its files
    program.save(path, external_data=False)


def quantize(source: Path, target: Path, tokens: Sequence[Sequence[int]]) -> None:
    """Write an int8 copy of a graph, with value ranges learnt from ``tokens``.

    Products keep an fp32 result, because what is added to it is fp32. Weights have a range for
    each column and keep seven bits: processors without VNNI add pairs up in 16 bits, and a model
    that was tested on one with VNNI would saturate there.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".int8-") as scratch:
        bare, ready = Path(scratch) / "bare.onnx", Path(scratch) / "ready.onnx"
        graph = onnx.load(source)
        del graph.graph.value_info[:]  # shapes that inference, stricter, would contradict
        onnx.save(graph, bare)
        quant_pre_process(bare, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            target,
            reader(tokens, inputs_of(graph)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(HEAVY),
            nodes_to_quantize=with_weights(onnx.load(ready)),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )


def inputs_of(graph: Any) -> list[str]:
    """Return the names of a graph's inputs; the exporter leaves out what a model never reads."""
    return [one.name for one in graph.graph.input]


def with_weights(graph: Any) -> list[str]:
    """Return the names of the operations that read weights, the one of the logits left out.

    Products of two activations stay in fp32, and so do the logits: they cost next to nothing.
    """
    import onnx

    weights = {
        one.name for one in graph.graph.initializer if one.data_type == onnx.TensorProto.FLOAT
    }
    return [
        node.name
        for node in graph.graph.node
        if node.op_type in HEAVY and weights & set(node.input[:2]) and "logits" not in node.output
    ]


def reader(tokens: Sequence[Sequence[int]], names: Sequence[str]) -> Any:
    """Return what ONNX Runtime calibrates with: one text at a time, so that none is padded."""
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader

    class Texts(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(tokens)

        def get_next(self) -> dict[str, Any] | None:
            """Return the inputs for the next text, [1, length] each, or None after the last."""
            one = next(self.left, None)
            if one is None:
                return None
            ids = np.array([one], dtype=np.int64)
            known = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            return {name: known[name] for name in names}

    return Texts()
