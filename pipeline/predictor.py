"""The one way to predict: text normalization, tokens, batches and scores, without torch.

``Predictor.load(folder)`` reads what ``optimize`` wrote. Label names, the longest input and the
text normalization travel with the model in ``mofang.json``, so that training and serving cannot
differ. The torch predictor of ``modeling`` inherits everything but the forward pass.

Texts of equal length in tokens share a batch, so nothing is padded and a text's answer does not
depend on its company.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.artifacts import verify_manifest
from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.quiet import be_quiet
from pipeline.steps import personal
from pipeline.steps.text import normalize
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

CARD = "mofang.json"
TOKENS_PER_BATCH = 4_096  # bounds memory; on a CPU larger batches are not faster
SOME_TOKEN = 0  # stands for a text that has no token at all, which no model can read


@dataclass(frozen=True)
class Card:
    """What a model has to know about itself to answer as it was trained."""

    task: str  # single_label, multi_label or regression
    labels: list[str]  # none for regression
    max_tokens: int
    normalize: dict[str, Any]  # keywords of steps.text.normalize
    mask: dict[str, Any]  # keywords of steps.personal.mask: what was masked in training

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

        A number is the only output of its task, and so the only score.
        """
        scores, names = self.scores(texts), self.task.outputs
        order = (-scores).argsort(axis=1, kind="stable")[:, :top_k]
        return [
            [Score(names[at], float(row[at])) for at in best]
            for row, best in zip(scores, order, strict=True)
        ]

    def answers(self, texts: Sequence[str], batch_size: int = 64) -> list[str]:
        """Return the label text of each text, as records hold it (``steps.targets``)."""
        return self.task.decide(self.scores(texts, batch_size))

    def scores(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float64]:
        """Return the probability of each label for each text, or its number, [texts, outputs]."""
        return self.task.activate(self.logits(texts, batch_size))

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
        clean = [normalize(text, **self.card.normalize) for text in texts]
        if self.card.mask["kinds"]:
            clean = [personal.mask(text, **self.card.mask) for text in clean]
        return [one.ids or [SOME_TOKEN] for one in self.tokenizer.encode_batch(clean)]


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
    """A model as OpenVINO runs it: no torch, no transformers, nothing executed from the folder."""

    def __init__(self, card: Card, tokenizer: Tokenizer, compiled: Any) -> None:
        super().__init__(card, tokenizer)
        self.request = compiled.create_infer_request()
        self.inputs = {name for port in compiled.inputs for name in port.names}

    @classmethod
    def load(cls, folder: Path | str, threads: int = 0) -> Self:
        """Load a model folder after checking its manifest.

        :param threads: 0 takes all cores.
        :raises ModelError: if a file is missing or differs from the manifest.
        """
        be_quiet()
        import openvino

        folder = Path(folder)
        verify_manifest(folder)
        card = Card.read(folder)
        # bf16 would be taken by itself where the processor has it, and then a text's score would
        # depend on the machine; int8 stays int8.
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        model = folder / "openvino_model.xml"
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        return cls(card, read_tokenizer(folder), compiled)

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, [texts, outputs], for token ids without padding, [texts, length].

        Families differ in what they take; a model gets those of its inputs that it has.
        """
        import numpy as np

        known = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
            "position_ids": np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape).copy(),
        }
        feed = {name: value for name, value in known.items() if name in self.inputs}
        logits: NDArray[np.float32] = self.request.infer(feed)[0].copy()
        return logits
