"""The order in which a run reads its records; the seed and the epoch alone decide it.

Trainer's own samplers draw from torch's global generator, so that a run resumed within an epoch
would see another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

BATCHES_SORTED_TOGETHER = 50


class GroupedByLength(Sampler[int]):
    """Batches of texts of like length, in an order that the seed and the epoch alone decide.

    Trainer's own sampler draws from torch's global generator, so that a run resumed within an epoch
    would see another order.

    :param batch_size: texts a step, over all processes and accumulated batches: so the order stays
        the same when a step is taken in smaller batches.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``; accelerate calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        # So many batches are sorted at a time: nearly no padding, and still another mix each epoch.
        pool = BATCHES_SORTED_TOGETHER * self.batch_size
        groups = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool].tolist(), key=lambda at: -self.lengths[at])
            groups += [
                part[at : at + self.batch_size] for at in range(0, len(part), self.batch_size)
            ]
        # A short last group stays last, or every later batch would straddle two groups.
        last = groups.pop() if len(groups[-1]) < self.batch_size else []
        for at in random.permutation(len(groups)):
            yield from groups[at]
        yield from last


class Shuffled(Sampler[int]):
    """Records in an order that the seed and the epoch alone decide, whatever their length."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``; accelerate calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        yield from random.permutation(self.count).tolist()
