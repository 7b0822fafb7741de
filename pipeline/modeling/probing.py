"""Ten steps of training on this machine, timed, that leave nothing behind.

They run on a model of their own. What is drawn at random is drawn again afterwards, threads and
modes are what they were, and the optimizer is thrown away: a run after a probe gives the same bytes
as one without.
"""

from __future__ import annotations

import ctypes
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Example = dict[str, Any]
Batch = tuple[int, int]  # texts, and the length that they are padded to
STEPS = 10
SECONDS_AT_MOST = 30.0  # after which no further step is tried
LEAST_STEPS = 4
WRITTEN_AT_MOST = 512 * 2**20  # bytes that are written to learn what a checkpoint takes
# Where in the batches, ordered by their tokens, steps are taken. The largest comes first: it takes
# the most memory, and the first step is always slow, so its time does not count.
PLACES = (1.0, 0.5, 0.05, 0.95, 0.25, 0.75, 0.15, 0.85, 0.4, 0.6)


@dataclass(frozen=True)
class Step:
    """What one batch took, in seconds."""

    texts: int
    length: int
    learning: float  # forward and backward
    updating: float  # clipping, optimizer, schedule


@dataclass(frozen=True)
class Findings:
    """What the probe found out."""

    steps: list[Step]
    reading: list[Step]  # evaluation: ``updating`` is 0
    saving_seconds: float  # of one checkpoint
    seconds: float  # that the probe took


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give back random states, threads and memory as they were."""
    import torch

    drawn, plain, arrays = torch.get_rng_state(), random.getstate(), np.random.get_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_rng_state(drawn)
        random.setstate(plain)
        np.random.set_state(arrays)
        if on_gpus is not None:
            torch.cuda.set_rng_state_all(on_gpus)
            torch.cuda.empty_cache()
        torch.set_num_threads(threads)
        give_back_memory()


def give_back_memory() -> None:
    """Return freed memory to the system, so that the run's peak is not the probe's remains."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # no glibc
        return


def chosen(sizes: Sequence[Batch], places: Sequence[float] = PLACES) -> list[int]:
    """Return the positions of the batches to try: the largest first, then spread over all sizes."""
    order = sorted(range(len(sizes)), key=lambda at: (sizes[at][0] * sizes[at][1], sizes[at]))
    return [order[round(place * (len(order) - 1))] for place in places]


@dataclass
class Probe:
    """A model of its own, ready to be trained for a few steps."""

    model: Any
    optimizer: Any
    loss: Callable[[Any, Any], Any]
    collate: Callable[[list[Example]], Any]
    knobs: Any
    device: str
    precision: str

    def inputs(self, examples: list[Example]) -> tuple[dict[str, Any], Any]:
        """Return a padded batch and its targets on the device."""
        batch = {name: value.to(self.device) for name, value in self.collate(examples).items()}
        return batch, batch.pop("labels")

    def autocast(self) -> Any:
        """Return what computes in the precision of training."""
        import torch

        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(self.precision)
        return torch.autocast(self.device, dtype=kind, enabled=kind is not None)

    def learn(self, examples: list[Example]) -> Step:
        """Do one step and time it."""
        import torch

        started = time.perf_counter()
        self.model.train()
        batch, targets = self.inputs(examples)
        with self.autocast():
            logits = self.model(**batch).logits
        self.loss(logits, targets).backward()
        settle(self.device)
        learnt = time.perf_counter()
        trained = [one for one in self.model.parameters() if one.grad is not None]
        if self.knobs.max_gradient_norm:
            torch.nn.utils.clip_grad_norm_(trained, self.knobs.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        settle(self.device)
        return Step(*size(batch), learnt - started, time.perf_counter() - learnt)

    def read(self, examples: list[Example]) -> Step:
        """Read a batch as evaluation does and time it."""
        import torch

        started = time.perf_counter()
        self.model.eval()
        with torch.no_grad(), self.autocast():
            batch, _targets = self.inputs(examples)
            self.model(**batch).logits.float().cpu()
        settle(self.device)
        return Step(*size(batch), time.perf_counter() - started, 0.0)

    def save(self, folder: Path) -> float:
        """Write what a checkpoint holds, or a piece of it, and return the seconds for all of it."""
        from safetensors.torch import save_file

        from pipeline.artifacts import sha256, sync

        state = [
            one.detach() for one in self.model.state_dict(keep_vars=True).values()
            if one.requires_grad
        ]  # fmt: skip
        remembered = [
            value
            for values in self.optimizer.state.values()
            for value in values.values()
            if hasattr(value, "element_size")
        ]
        whole = sum(one.numel() * one.element_size() for one in [*state, *remembered])
        some, written = {}, 0
        for at, one in enumerate(state):
            if written and written + one.numel() * one.element_size() > WRITTEN_AT_MOST:
                break
            some[str(at)] = one.cpu().contiguous()
            written += one.numel() * one.element_size()
        if not some:
            return 0.0
        path = folder / "probe.safetensors"
        share = whole / written
        started = time.perf_counter()
        save_file(some, path)
        sync(path)
        sha256(path)
        seconds: float = (time.perf_counter() - started) * share
        return seconds


def size(batch: Mapping[str, Any]) -> Batch:
    """Return texts and length of a batch; states of a frozen encoder have the length 1."""
    shape = next(iter(batch.values())).shape
    return int(shape[0]), int(shape[1]) if "input_ids" in batch else 1


def settle(device: str) -> None:
    """Wait until the GPU has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def measure(
    probe: Probe,
    train: Sequence[list[Example]],
    validation: Sequence[list[Example]],
    folder: Path,
) -> Findings:
    """Try batches of training and of evaluation, and a checkpoint.

    :param train: batches to learn from, the largest first.
    :param validation: batches to read, the largest first.
    :param folder: on the disk that checkpoints go to.
    """
    began = time.perf_counter()
    steps: list[Step] = []
    for at, examples in enumerate(train):
        enough = at >= LEAST_STEPS and time.perf_counter() - began > SECONDS_AT_MOST
        if not enough:
            steps.append(probe.learn(examples))
    reading = [probe.read(examples) for examples in validation]
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        saving = probe.save(Path(temporary))
    return Findings(
        # The first of each warms up; it counts where there is no other.
        steps=steps[1:] or steps,
        reading=reading[1:] or reading,
        saving_seconds=saving,
        seconds=time.perf_counter() - began,
    )


def fit(steps: Sequence[Step]) -> Callable[[Sequence[Batch]], float]:
    """Return what tells the seconds of batches from their sizes.

    ``seconds = a + b · tokens + c · tokens · length`` with a, b, c ≥ 0 (a step, a token, a pair of
    tokens in attention), by least squares of the seconds a token, so that short batches count as
    much as long ones.
    """
    from scipy.optimize import nnls

    sizes = [(step.texts, step.length) for step in steps]
    rows, seconds = features(sizes), np.array([step.learning for step in steps])
    scale, tokens = rows.max(axis=0), rows[:, 1]
    weights = nnls(rows / scale / tokens[:, None], seconds / tokens)[0] / scale
    return lambda sizes: float((features(sizes) @ weights).sum()) if len(sizes) else 0.0


def features(sizes: Sequence[Batch]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return 1, tokens and pairs of tokens of each batch, [batches, 3]."""
    each = np.asarray(sizes, np.float64).reshape(-1, 2)
    tokens = each[:, 0] * each[:, 1]
    return np.column_stack([np.ones(len(each)), tokens, tokens * each[:, 1]])
