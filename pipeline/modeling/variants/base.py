"""What makers and targets have in common; ``building.build`` puts them together.

A variant is named as it is made: ``distilled+pruned_units+openvino_int8`` means two makers, one
after the other, and a target. A maker turns a torch model into another torch model; each module of
a maker is one itself, through its function ``make``. A target turns a torch model into a folder
that ``Predictor`` serves.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.artifacts import write_json, write_manifest
from pipeline.i18n import Message
from pipeline.predictor import CARD, RUNTIME

if TYPE_CHECKING:
    from pipeline.schema.compressing import Optimize

JOINT = "+"
FALLBACK = "openvino_fp32"  # always built: the original, served without torch
TRAVELS = (CARD, "tokenizer.json", "config.json")  # what any copy needs beside its weights


@dataclass(frozen=True)
class Context:
    """What makers and targets may need beside the model itself."""

    source: Path  # folder of the trained model
    texts: list[str]  # of the training part: int8 learns its value ranges from them
    train: Path  # records, parquet
    validation: Path  # records, parquet
    knobs: Optimize
    work: Path  # an empty folder, gone after the stage
    cache: Path  # what is kept from run to run, such as a teacher's logits
    seed: int


class Unavailable(Exception):  # noqa: N818 - it is no mistake of anybody
    """This machine cannot run a variant, or this family of models does not have it.

    It is listed with its reason and stops nothing.
    """

    def __init__(self, reason: Message) -> None:
        super().__init__(reason)
        self.message = reason


class Maker(Protocol):
    """Turns a torch model into another one."""

    def make(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write ``folder`` with all that ``model`` holds, and return what there is to report.

        :param model: folder with safetensors, config.json, tokenizer.json and the card.
        :param folder: does not exist yet.
        :raises Unavailable: if it cannot be done to this family.
        """


class Target(Protocol):
    """Turns a torch model into what is served."""

    def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        """Write ``folder``, sealed with a manifest, and return what there is to report.

        :param model: folder of a torch model.
        :param folder: does not exist yet.
        :raises Unavailable: if this machine cannot run it or this family cannot be written so.
        """


@dataclass(frozen=True)
class Built:
    """A variant that was made, or the reason why it was not."""

    folder: Path
    source: Path  # the torch model that it must agree with
    target: str
    report: dict[str, Any]  # a section for each maker, and one for the target
    seconds: float  # shared work counts for the variant that came first
    unavailable: Message | None = None


def parse(variant: str) -> tuple[list[str], str]:
    """Return the makers of a variant, in order, and its target."""
    *makers, target = variant.split(JOINT)
    return makers, target


def seal(model: Path, folder: Path, runtime: str, precision: str) -> None:
    """Lay beside weights what a predictor needs, and close the folder with a manifest.

    :param model: folder that the tokenizer, the configuration and the card come from.
    :param runtime: ``openvino``, ``onnx`` or ``torch``.
    :param precision: ``f32``, ``bf16`` or ``int8``: of the arithmetic that the runtime chooses.
    """
    for name in TRAVELS:
        shutil.copy2(model / name, folder / name)
    write_json(folder / RUNTIME, {"runtime": runtime, "precision": precision})
    write_manifest(folder)
