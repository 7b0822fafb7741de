"""What OpenVINO runs: fp32, bf16, int8 throughout, int8 in the weights alone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import students
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import base, tracing
from pipeline.modeling.variants.base import Context, Unavailable
from pipeline.predictor import Predictor

XML = "openvino_model.xml"
BIN = "openvino_model.bin"
TOLERANCE = 1e-3  # of logits, as a share of the largest: other kernels round otherwise


class Exact:
    """fp32: answers as torch does."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write the IR of ``model``."""
        shutil.copytree(exported(model, context), folder)
        return {}


class Half:
    """bf16: half the size, and half the work where the processor has bf16."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write the IR of ``model`` in 16 bits a weight.

        :raises Unavailable: if the processor has no bf16; it would compute in fp32.
        """
        import openvino

        core = openvino.Core()
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Unavailable(_("this processor has no bf16"))
        folder.mkdir()
        graph = core.read_model(exported(model, context) / XML)
        openvino.save_model(graph, folder / XML, compress_to_fp16=True)
        base.seal(model, folder, "openvino", "bf16")
        return {}


class Weights:
    """int8 weights, unpacked for fp32 arithmetic: a quarter of the size, no calibration."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write the IR of ``model`` with a scale for each row of its weights (NNCF)."""
        import nncf
        import openvino

        graph = openvino.Core().read_model(exported(model, context) / XML)
        with tracing.quietly("nncf"):
            packed = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
        folder.mkdir()
        openvino.save_model(packed, folder / XML, compress_to_fp16=False)
        base.seal(model, folder, "openvino", "f32")
        return {}


class Quantized:
    """int8 throughout, with value ranges that are learnt once and then fixed.

    Fixed ranges are why a text's answer does not depend on its batch. Activations and weights of
    the transformer are int8 (NNCF's static scheme for transformers, with SmoothQuant and fast bias
    correction).
    """

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write the int8 IR of ``model``, calibrated on ``context.texts``."""
        quantize(model, exported(model, context), folder, context.texts)
        base.seal(model, folder, "openvino", "f32")
        return {"calibration_texts": len(context.texts)}


def exported(model: Path, context: Context) -> Path:
    """Return the folder of a model's fp32 IR, which several targets begin with; written once."""
    folder = context.work / f"{model.name}.openvino"
    if not folder.exists():
        export(model, folder)
    return folder


def export(source: Path, folder: Path) -> None:
    """Write the torch model of ``source`` as OpenVINO IR in fp32.

    optimum-intel exports the families that it knows; others (ModernBERT, T5) are traced here. So
    are all with a decoder of their own, because optimum makes its texts up and BART refuses those
    that happen to hold its end sign elsewhere, and models that pruning left with idle heads.

    :raises ModelError: if the copy answers differently, texts of other lengths included.
    """
    import warnings

    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source)
    odd = config.is_encoder_decoder or getattr(config, students.IDLE_HEADS, False)
    known = not odd and optimum_exports(config.model_type)
    folder.mkdir()
    with warnings.catch_warnings():
        # Tracing warns about masks of a fixed length; the answers are compared below.
        warnings.simplefilter("ignore")
        (through_optimum if known else traced)(source, folder)
    base.seal(source, folder, "openvino", "f32")
    refuse_other_answers(source, folder)


def refuse_other_answers(source: Path, folder: Path) -> None:
    """Compare a copy with the original, in texts of one word to many.

    The fp32 copy is what ships when no other may, so it is refused here and not by a gate.

    :raises ModelError: if their logits differ by more than rounding.
    """
    import numpy as np

    words = tracing.SAMPLE.split()
    texts = [" ".join(words[:end]) for end in range(1, len(words) + 1)]
    wanted = TorchPredictor.load(source).logits(texts)
    difference = float(np.abs(Predictor.load(folder).logits(texts) - wanted).max())
    limit = TOLERANCE * (1 + float(np.abs(wanted).max()))
    if not difference <= limit:
        raise ModelError.at(
            folder,
            found=_("answers that differ by {difference} from the original's",
                    difference=f"{difference:.2g}"),
            allowed=_("at most {limit}", limit=f"{limit:.2g}"),
            fix=_("This family cannot be exported; choose another one in params.yaml, init."),
        )  # fmt: skip


def optimum_exports(family: str) -> bool:
    """Return whether optimum-intel knows how to export classifiers of a family."""
    import optimum.exporters.openvino.model_configs  # noqa: F401 - registers the families
    from optimum.exporters.tasks import TasksManager

    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(
            family, "openvino", library_name="transformers"
        )
    except KeyError:  # a family that it has never heard of
        return False
    return "text-classification" in tasks


def through_optimum(source: Path, folder: Path) -> None:
    """Let optimum-intel write the IR."""
    from optimum.intel import OVModelForSequenceClassification

    OVModelForSequenceClassification.from_pretrained(
        source, export=True, compile=False, load_in_8bit=False, trust_remote_code=False
    ).save_pretrained(folder)


def traced(source: Path, folder: Path) -> None:
    """Trace a model with two texts of one length, leaving both dimensions open, and write the IR.

    :raises RuntimeError: if the family cannot be traced.
    """
    import openvino

    inputs = tracing.example(source)
    with masks_that_trace():
        graph = openvino.convert_model(
            tracing.plain(source),
            example_input=inputs,
            input=dict.fromkeys(inputs, openvino.PartialShape([-1, -1])),
        )
    for name in inputs:
        graph.input(name).get_tensor().set_names({name})
    graph.outputs[0].get_tensor().set_names({"logits"})
    openvino.save_model(graph, folder / XML, compress_to_fp16=False)


@contextlib.contextmanager
def masks_that_trace() -> Iterator[None]:
    """Let transformers build attention masks by broadcasting: vmap cannot be traced."""
    from optimum.exporters.openvino.patching_utils import eager_mask_without_vmap
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    before = {name: ALL_MASK_ATTENTION_FUNCTIONS[name] for name in ("sdpa", "eager")}
    try:
        for name in before:
            ALL_MASK_ATTENTION_FUNCTIONS.register(name, eager_mask_without_vmap)
        yield
    finally:
        for name, mask in before.items():
            ALL_MASK_ATTENTION_FUNCTIONS.register(name, mask)


def quantize(source: Path, exact: Path, folder: Path, texts: Sequence[str]) -> None:
    """Write an int8 copy of a fp32 IR, with value ranges learnt from ``texts``.

    :param source: torch model, whose tokenizer reads the texts.
    """
    from datasets import Dataset
    from optimum.intel import (
        OVConfig,
        OVModelForSequenceClassification,
        OVQuantizationConfig,
        OVQuantizer,
    )

    tokens = tracing.tokens(source, texts)
    model = OVModelForSequenceClassification.from_pretrained(exact, compile=False)
    columns = {"input_ids": tokens, "attention_mask": [[1] * len(one) for one in tokens]}
    if "token_type_ids" in {port.any_name for port in model.model.inputs}:
        columns["token_type_ids"] = [[0] * len(one) for one in tokens]
    with tracing.quietly("nncf"):
        OVQuantizer.from_pretrained(model).quantize(
            ov_config=OVConfig(quantization_config=OVQuantizationConfig(num_samples=len(tokens))),
            calibration_dataset=Dataset.from_dict(columns),
            save_directory=folder,
        )
