"""The one way to predict: text normalization, tokens, batches and scores, without torch.

``Predictor.load(folder)`` reads what ``optimize`` wrote. Label names, the longest input and the
text normalization travel with the model in ``mofang.json``, so that training and serving cannot
differ. The torch predictor of ``modeling`` inherits everything but the forward pass.

Texts of equal length in tokens share a batch, so nothing is padded and a text's answer does not
depend on its company.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeline.artifacts import verify_manifest
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.quiet import be_quiet
from pipeline.steps import personal
from pipeline.steps.targets import SINGLE
from pipeline.steps.text import normalize
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

CARD = "mofang.json"
RUNTIME = "runtime.json"  # what a model runs on, and in which precision
TOKENS_PER_BATCH = 4_096  # bounds memory; on a CPU larger batches are not faster
# OpenVINO compiles kernels for each shape it sees (texts, tokens) and keeps them twice: itself, by
# default 5,000 in each stream, and oneDNN below it 1,024 in the process. A MiniLM in int8 that saw
# 1,300 shapes held 857 MB and grew on. With these figures it stops at 230, two streams at 326; with
# 64 and 256 at 163, but then the service answers 5 to 7 % fewer texts a second.
KERNELS = 256  # of all streams together
FEWEST_KERNELS = 64  # of a stream
SHARED_KERNELS = "512"
ONEDNN_KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"  # oneDNN reads it once, at the first model
MASK = "attention_mask"  # the input without which a model cannot leave padding out
SOME_TOKEN = 0  # stands for a text that has no token at all, which no model can read


@dataclass(frozen=True)
class Card:
    """What a model has to know about itself to answer as it was trained."""

    task: str  # single_label, multi_label or regression
    labels: list[str]  # none for regression
    max_tokens: int
    normalize: dict[str, Any]  # keywords of steps.text.normalize
    mask: dict[str, Any]  # keywords of steps.personal.mask: what was masked in training
    temperature: float = 1.0  # logits are divided by it; validate fits it (Guo et al. 2017)
    thresholds: dict[str, float] = field(default_factory=dict)  # label → given from here on

    def __post_init__(self) -> None:
        """Refuse what would make scores of nothing.

        :raises ValueError: for a temperature or a threshold that is none.
        """
        if not (0 < self.temperature < math.inf):
            raise ValueError(f"temperature: {self.temperature}")
        for label, bound in self.thresholds.items():
            if label not in self.labels or not 0 <= bound <= 1:
                raise ValueError(f"threshold of {label}: {bound}")

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Read the card of a model folder.

        :raises ModelError: if it is missing or not a card.
        """
        try:
            return cls(**json.loads((folder / CARD).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError.at(
                folder / CARD,
                found=str(error),
                allowed=_("the card that init writes into every model folder"),
                fix=_("Run dvc repro, or copy the whole model folder again."),
            ) from error


@dataclass(frozen=True)
class Score:
    """A label and its probability, 0 to 1; for regression ``value`` and the number."""

    label: str
    score: float


class Calibrated(Protocol):
    """What was fitted after training (``evaluation.calibration.Fitted``)."""

    def on(self, card: Card) -> Card:
        """Return the card with temperature and thresholds."""


class BasePredictor:
    """Everything about predicting but the forward pass."""

    def __init__(self, card: Card, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(card.max_tokens)
        self.card, self.tokenizer = card, tokenizer
        self.task = tasks.of(card.task, card.labels)

    @property
    def labels(self) -> list[str]:
        """The names of the labels, in the order of the scores; none for regression."""
        return self.card.labels

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for token ids without padding, [texts, length]."""
        raise NotImplementedError

    def predict(self, texts: Sequence[str], top_k: int = 1) -> list[list[Score]]:
        """Return the ``top_k`` best-scored labels of each text, best first.

        Where one of two labels has a threshold, the label that is answered comes first. A number is
        the only output of its task, and so the only score.
        """
        import numpy as np

        scores, names = self.scores(texts), self.task.outputs
        order = (-scores).argsort(axis=1, kind="stable")
        if self.card.task == SINGLE and self.card.thresholds:  # then there are two labels
            first = self.task.targets(self.task.decide(scores, self.card.thresholds))
            order = np.stack([first, 1 - first], axis=1)
        return [
            [Score(names[at], float(row[at])) for at in best]
            for row, best in zip(scores, order[:, :top_k], strict=True)
        ]

    def answers(self, texts: Sequence[str], batch_size: int = 64) -> list[str]:
        """Return the label text of each text, as records hold it (``steps.targets``)."""
        return self.task.decide(self.scores(texts, batch_size), self.card.thresholds)

    def scores(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float64]:
        """Return the probability of each label for each text, or its number, [texts, outputs]."""
        return self.scored(self.logits(texts, batch_size))

    def scored(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return calibrated scores of logits, both [texts, outputs]."""
        return self.task.activate(logits / self.card.temperature)

    def logits(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Return the logits of each text, [texts, outputs]."""
        import numpy as np

        result = np.zeros((len(texts), len(self.task.outputs)), dtype=np.float32)
        tokens = self.tokens(texts)
        for batch in batches([len(one) for one in tokens], batch_size):
            ids = np.array([tokens[at] for at in batch], dtype=np.int64)
            result[batch] = self.forward(ids)
        return result

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, normalized and cut as in training."""
        clean = [self.clean(text) for text in texts]
        return [one.ids or [SOME_TOKEN] for one in self.tokenizer.encode_batch(clean)]

    def clean(self, text: str) -> str:
        """Return a text normalized and masked as in training."""
        text = normalize(text, **self.card.normalize)
        return personal.mask(text, **self.card.mask) if self.card.mask["kinds"] else text


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model folder.

    A text that speaks of ``</s>`` or ``[SEP]`` does not end there: written out by a person they are
    text, not signs. Some models count these signs, so that such a text would break its batch.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield positions of equal length, at most ``batch_size`` and ``TOKENS_PER_BATCH`` at once."""
    same: dict[int, list[int]] = defaultdict(list)
    for position, length in enumerate(lengths):
        same[length].append(position)
    for length, positions in sorted(same.items()):
        size = max(1, min(batch_size, TOKENS_PER_BATCH // max(1, length)))
        for start in range(0, len(positions), size):
            yield positions[start : start + size]


class Predictor(BasePredictor):
    """A model as it is served: no torch, no transformers, nothing executed from the folder."""

    def __init__(self, card: Card, tokenizer: Tokenizer, engine: OpenVino | OnnxRuntime) -> None:
        super().__init__(card, tokenizer)
        self.engine = engine

    @classmethod
    def load(cls, folder: Path | str, threads: int = 0) -> Self:
        """Load a model folder after checking its manifest.

        :param threads: 0 takes all cores.
        :raises ModelError: if a file is missing or differs from the manifest, or if the folder
            asks for a runtime that is not one of ``ENGINES``.
        """
        return cls.team(folder, 1, threads)[0]

    @classmethod
    def team(cls, folder: Path | str, count: int, threads: int = 1) -> list[Self]:
        """Load a model once for several threads of a program: a predictor for each.

        They share weights and tokenizer, and answer at the same time.

        :param threads: of each predictor; 0 takes all cores.
        :raises ModelError: as ``load``.
        """
        be_quiet()
        folder = Path(folder)
        verify_manifest(folder)
        card, tokenizer = Card.read(folder), read_tokenizer(folder)
        runtime, precision = read_runtime(folder)
        engine = ENGINES[runtime](folder, precision, threads, count)
        others = [engine.another() for _one in range(count - 1)]
        return [cls(card, tokenizer, one) for one in (engine, *others)]

    def forward(
        self, tokens: NDArray[np.int64], mask: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for token ids, [texts, length].

        Families differ in what they take; a model gets those of its inputs that it has.

        :param mask: 0 where a text has ended, [texts, length]; None where nothing is padded.
        """
        import numpy as np

        known = {
            "input_ids": tokens,
            MASK: np.ones_like(tokens) if mask is None else mask,
            "token_type_ids": np.zeros_like(tokens),
            "position_ids": np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape).copy(),
        }
        return self.engine.run({name: known[name] for name in self.engine.inputs if name in known})


def read_runtime(folder: Path) -> tuple[str, str]:
    """Return what a folder's model runs on, and the precision it computes in.

    Folders without ``runtime.json`` are of OpenVINO, in fp32.

    :raises ModelError: for a runtime or a precision that is not served.
    """
    path = folder / RUNTIME
    if not path.is_file():
        return "openvino", "f32"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        runtime, precision = str(told["runtime"]), str(told["precision"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        found = str(error)
    else:
        if runtime in ENGINES and precision in ENGINES[runtime].precisions:
            return runtime, precision
        found = f"{runtime}, {precision}"
    raise ModelError.at(
        path,
        found=found,
        allowed="; ".join(f"{name}: {', '.join(ENGINES[name].precisions)}" for name in ENGINES),
        fix=_("Take a variant that is served without torch, such as openvino_int8."),
    )


def bound_kernels() -> None:
    """Bound what oneDNN keeps below OpenVINO; what is set already stays.

    For a process that serves, before it starts threads and loads a model. Where torch computes as
    well it is left: torch has a oneDNN of its own that reads the same variable and needs its cache.
    """
    os.environ.setdefault(ONEDNN_KERNELS, SHARED_KERNELS)


class OpenVino:
    """OpenVINO on the processor."""

    precisions = ("f32", "bf16")

    def __init__(self, folder: Path, precision: str, threads: int, streams: int = 1) -> None:
        import openvino

        # bf16 would be taken by itself where the processor has it, and then a text's score would
        # depend on the machine; int8 stays int8.
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "CPU_RUNTIME_CACHE_CAPACITY": str(max(FEWEST_KERNELS, KERNELS // streams)),
            # Else every model of one thread takes the first core, here and in other programs.
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads * streams
        if streams > 1:
            settings["NUM_STREAMS"] = streams
        model = folder / "openvino_model.xml"
        self.compiled = openvino.Core().compile_model(model, "CPU", settings)
        self.request = self.compiled.create_infer_request()
        self.inputs = [name for port in self.compiled.inputs for name in port.names]

    def another(self) -> OpenVino:
        """Return one for another thread; each thread that asks gets a stream of its own."""
        other = copy.copy(self)
        other.request = self.compiled.create_infer_request()
        return other

    def run(self, feed: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for inputs of [texts, length]."""
        logits: NDArray[np.float32] = self.request.infer(feed)[0].copy()
        return logits


class OnnxRuntime:
    """ONNX Runtime on the processor; it reads ``.onnx`` and the ``.ort`` of phones."""

    precisions = ("f32",)

    def __init__(self, folder: Path, precision: str, threads: int, streams: int = 1) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        whole, packed = folder / "model.onnx", folder / "model.ort"
        self.session = onnxruntime.InferenceSession(
            whole if whole.is_file() else packed, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [one.name for one in self.session.get_inputs()]

    def another(self) -> OnnxRuntime:
        """Return one for another thread: a session may be run by several at once."""
        return self

    def run(self, feed: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for inputs of [texts, length]."""
        logits: NDArray[np.float32] = self.session.run(["logits"], feed)[0]
        return logits


ENGINES: dict[str, type[OpenVino] | type[OnnxRuntime]] = {
    "openvino": OpenVino,
    "onnx": OnnxRuntime,
}
