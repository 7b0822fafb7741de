"""What an encoder makes of texts, computed once and kept on the disk.

The encoder reads texts of equal length together, so that no batch holds padding. Its states are
kept under a name made of what they depend on: the encoder's weights and configuration, the tokens
(hence the texts, the tokenizer and the longest input), and the libraries.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifacts import WORK, write_bytes
from pipeline.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

Pooling = Literal["head", "mean"]

CACHE = WORK / "embeddings"
KEPT = 8  # files; a run needs two or three
# Configuration that changes nothing of what an encoder answers.
INDIFFERENT = frozenset({
    "_name_or_path", "architectures", "dtype", "id2label", "label2id", "problem_type",
    "transformers_version",
})  # fmt: skip


def embed(
    model_folder: Path,
    texts: Sequence[str],
    *,
    pooling: Pooling,
    cache: Path,
    batch_size: int,
) -> NDArray[np.float32]:
    """Return a vector a text, float32 [n, hidden], from the encoder of a saved classifier.

    :param texts: normalized already.
    :param pooling: ``head``: the state that the classifier's head reads; ``mean``: the mean
        of all tokens' states, below the last layer where that can be (``pooling.average``).
    """
    from transformers import AutoModelForSequenceClassification

    from pipeline.modeling import pooling as averaging
    from pipeline.predictor import Card, read_tokenizer

    tokenizer = read_tokenizer(model_folder)
    tokenizer.no_padding()
    tokenizer.enable_truncation(Card.read(model_folder).max_tokens)
    model = AutoModelForSequenceClassification.from_pretrained(model_folder, use_safetensors=True)
    if pooling == "mean" and averaging.average(model):
        pooling = "head"  # it reads the mean now, of the states that carry over best
    tokens = [one.ids for one in tokenizer.encode_batch(list(texts))]
    return states(model, tokens, pooling=pooling, cache=cache, batch_size=batch_size)


def states(
    model: PreTrainedModel,
    tokens: Sequence[Sequence[int]],
    *,
    pooling: Pooling,
    cache: Path,
    batch_size: int,
) -> NDArray[np.float32]:
    """Return a vector a sequence of tokens, float32 [n, hidden], from the cache or computed now."""
    place = cache / f"{fingerprint(model, tokens)}.safetensors"
    found = read(place)
    if found is None:
        found = compute(model, tokens, batch_size)
        keep(place, found)
    return found[pooling]


def fingerprint(model: PreTrainedModel, tokens: Sequence[Sequence[int]]) -> str:
    """Return a name for all that states depend on; the head is not part of it."""
    import numpy as np

    from pipeline.modeling import anatomy

    settings = {
        name: value
        for name, value in model.config.to_dict().items()
        if name not in INDIFFERENT and "dropout" not in name
    }
    libraries = [version(package) for package in ("torch", "transformers")]
    digest = hashlib.sha256(json.dumps([settings, libraries], sort_keys=True, default=str).encode())
    head = {name for name, _weight in anatomy.head(model)}
    for name, weight in model.named_parameters():
        if name not in head:
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(raw(weight))
    lengths = np.array([len(one) for one in tokens], dtype=np.int64)
    digest.update(lengths.tobytes())
    digest.update(np.concatenate([np.array(one, dtype=np.int64) for one in tokens]).tobytes())
    return digest.hexdigest()[:32]


def raw(weight: Any) -> memoryview:
    """Return the bytes of a weight; numpy does not know bf16, bytes it does."""
    import torch

    flat = weight.detach().cpu().contiguous().view(-1).view(torch.uint8)
    return memoryview(flat.numpy())


def compute(
    model: PreTrainedModel, tokens: Sequence[Sequence[int]], batch_size: int
) -> dict[str, NDArray[np.float32]]:
    """Return both kinds of vectors, ``head`` and ``mean``: one pass gives the two."""
    import numpy as np
    import torch

    found = {
        kind: np.empty((len(tokens), model.config.hidden_size), dtype=np.float32)
        for kind in ("head", "mean")
    }
    training, progress = model.training, Progress("embed", len(tokens))
    model.eval()
    try:
        with torch.inference_mode():
            for at in of_equal_length(tokens, batch_size):
                batch = torch.tensor([tokens[one] for one in at], device=model.device)
                seen = torch.ones_like(batch)
                top = last_states(model, batch, seen)
                found["mean"][at] = mean_of(top, seen).float().cpu().numpy()
                found["head"][at] = read_by_head(model, top, seen).float().cpu().numpy()
                progress.advance(len(at))
    finally:
        progress.bar.close()
        model.train(training)
    return found


def of_equal_length(tokens: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Yield positions of sequences of one length, at most ``batch_size`` at a time."""
    groups: dict[int, list[int]] = {}
    for at, one in enumerate(tokens):
        groups.setdefault(len(one), []).append(at)
    for length in sorted(groups, reverse=True):  # the largest batch first: memory runs out at once
        group = groups[length]
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]


def of_batch(model: PreTrainedModel, batch: Mapping[str, Any]) -> Any:
    """Return the one state a text that the classifier's head reads, [n, hidden].

    :param batch: ``input_ids`` and ``attention_mask``, [n, tokens], padded on any side.
    """
    seen = batch["attention_mask"]
    return read_by_head(model, last_states(model, batch["input_ids"], seen), seen)


def last_states(model: PreTrainedModel, tokens: Any, seen: Any) -> Any:
    """Return the states above the last layer, [n, tokens, hidden], as the head gets them."""
    found = []

    def listen(_part: Any, _given: Any, answer: Any) -> None:
        found.append(answer[0])

    # The whole model runs, because some prepare what their decoder is given (T5).
    hook = model.base_model.register_forward_hook(listen)
    try:
        model(input_ids=tokens, attention_mask=seen)
    finally:
        hook.remove()
    return found[0]


def read_by_head(model: PreTrainedModel, states: Any, seen: Any) -> Any:
    """Return the state of the token that the head reads, or the mean where it reads all.

    :param states: above the last layer, [n, tokens, hidden].
    :param seen: 0 for padding, else 1, [n, tokens].
    """
    import torch

    from pipeline.modeling import anatomy

    if getattr(model.config, "classifier_pooling", None) == "mean":  # ModernBERT's choice
        return mean_of(states, seen)
    places = torch.arange(seen.shape[1], device=seen.device)
    last = anatomy.read_position(model) == "last"
    at = (places * seen).argmax(dim=1) if last else seen.argmax(dim=1)  # the first of the ones
    return states[torch.arange(len(states), device=seen.device), at]


def mean_of(states: Any, seen: Any) -> Any:
    """Return the mean state of each text's tokens, [n, hidden]; padding does not count."""
    weights = seen[:, :, None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def read(place: Path) -> dict[str, NDArray[np.float32]] | None:
    """Return what a file of the cache holds, or None where there is none that is whole."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: dict[str, NDArray[np.float32]] = load_file(place)
        place.touch()  # the files used last are kept
    except (OSError, SafetensorError):
        return None
    return found


def keep(place: Path, vectors: dict[str, NDArray[np.float32]]) -> None:
    """Write a file of the cache whole or not at all, and remove the oldest ones."""
    from safetensors.numpy import save

    place.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(place, save(vectors))
    files = sorted(place.parent.glob("*.safetensors"), key=age)
    for old in files[KEPT:]:
        old.unlink(missing_ok=True)


def age(place: Path) -> float:
    """Return how long ago a file was used last, in seconds; later ones first. Gone files last."""
    with contextlib.suppress(OSError):
        return -place.stat().st_mtime
    return 0.0
