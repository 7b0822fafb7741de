"""Smaller and faster copies of a trained model, through optimum-intel, OpenVINO and NNCF."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.artifacts import write_manifest
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import CARD, Predictor

FP32, INT8 = "openvino_fp32", "openvino_int8"
SAMPLE = "one text of some words , to trace a model with : is it the same ? 一 二 三 四"
TOLERANCE = 1e-3  # of logits, as a share of the largest: other kernels round otherwise
TRAVELS = (CARD, "tokenizer.json", "config.json")


def export(source: Path, folder: Path) -> None:
    """Write the torch model of ``source`` as OpenVINO IR in fp32.

    optimum-intel exports the families that it knows; others (ModernBERT, T5) are traced here. So
    are all with a decoder of their own: optimum makes its texts up, and BART refuses those that
    happen to hold its end sign elsewhere.

    :raises ModelError: if the copy answers differently, texts of other lengths included.
    """
    import warnings

    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source)
    known = not config.is_encoder_decoder and optimum_exports(config.model_type)
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        # Tracing warns about masks of a fixed length; parity with the original is measured later.
        warnings.simplefilter("ignore")
        (through_optimum if known else traced)(source, folder)
    complete(source, folder)
    refuse_other_answers(source, folder)


def refuse_other_answers(source: Path, folder: Path) -> None:
    """Compare a copy with the original, in texts of one word to many.

    :raises ModelError: if their logits differ by more than rounding.
    """
    import numpy as np

    words = SAMPLE.split()
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
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(source, use_safetensors=True).eval()
    model.config.use_cache = False  # or decoders would also return keys and values

    class Plain(torch.nn.Module):
        """Takes what every family takes and returns logits alone."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(
                input_ids=input_ids, attention_mask=attention_mask
            ).logits
            return logits

    tokens = torch.tensor(2 * [TorchPredictor.load(source).tokens([SAMPLE])[0]])
    example = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    with masks_that_trace():
        graph = openvino.convert_model(
            Plain(),
            example_input=example,
            input=dict.fromkeys(example, openvino.PartialShape([-1, -1])),
        )
    for name in example:
        graph.input(name).get_tensor().set_names({name})
    graph.outputs[0].get_tensor().set_names({"logits"})
    openvino.save_model(graph, folder / "openvino_model.xml", compress_to_fp16=False)


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


def quantize(source: Path, exported: Path, folder: Path, texts: Sequence[str]) -> None:
    """Write an int8 copy whose value ranges are learnt from ``texts`` and then fixed.

    Fixed ranges are why a text's answer does not depend on its batch. Activations and weights of
    the transformer are int8 (NNCF's static scheme for transformers, with SmoothQuant and fast bias
    correction).

    :param exported: the fp32 IR of the same model.
    """
    from datasets import Dataset
    from optimum.intel import (
        OVConfig,
        OVModelForSequenceClassification,
        OVQuantizationConfig,
        OVQuantizer,
    )

    tokens = TorchPredictor.load(source).tokens(texts)
    model = OVModelForSequenceClassification.from_pretrained(exported, compile=False)
    columns = {"input_ids": tokens, "attention_mask": [[1] * len(one) for one in tokens]}
    if "token_type_ids" in {port.any_name for port in model.model.inputs}:
        columns["token_type_ids"] = [[0] * len(one) for one in tokens]
    OVQuantizer.from_pretrained(model).quantize(
        ov_config=OVConfig(quantization_config=OVQuantizationConfig(num_samples=len(tokens))),
        calibration_dataset=Dataset.from_dict(columns),
        save_directory=folder,
    )
    complete(source, folder)


def complete(source: Path, folder: Path) -> None:
    """Lay beside an IR what a predictor needs, and seal the folder with a manifest."""
    for name in TRAVELS:
        shutil.copy2(source / name, folder / name)
    write_manifest(folder)


def build(
    source: Path, work: Path, variants: Sequence[str], texts: Sequence[str]
) -> dict[str, Path]:
    """Return the folders of the wanted variants; fp32 is always among them, as the fallback."""
    folders = {FP32: work / FP32}
    export(source, folders[FP32])
    if INT8 in variants:
        folders[INT8] = work / INT8
        quantize(source, folders[FP32], folders[INT8], texts)
    return folders
