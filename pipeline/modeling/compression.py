"""Smaller and faster copies of a trained model, through optimum-intel, OpenVINO and NNCF."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts import write_manifest
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import CARD

FP32, INT8 = "openvino_fp32", "openvino_int8"
TRAVELS = (CARD, "tokenizer.json", "config.json")


def export(source: Path, folder: Path) -> None:
    """Write the torch model of ``source`` as OpenVINO IR in fp32."""
    import warnings

    from optimum.intel import OVModelForSequenceClassification

    with warnings.catch_warnings():
        # Tracing warns about masks of a fixed length; parity with the original is measured later.
        warnings.simplefilter("ignore")
        model = OVModelForSequenceClassification.from_pretrained(
            source, export=True, compile=False, load_in_8bit=False, trust_remote_code=False
        )
    model.save_pretrained(folder)
    complete(source, folder)


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
