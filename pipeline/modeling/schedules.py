"""How the learning rate changes from step to step.

With ``s`` steps taken, ``w`` of warm-up, ``S`` in all, ``c`` cycles and
``p = (s - w) / (S - w)``, the rate of every parameter group is its own highest one times

=============== ===================================
warm-up         ``s / w``, while ``s < w``
constant        ``1``
linear          ``1 - p``
cosine          ``(1 + cos(π p)) / 2``
cosine_restarts ``(1 + cos(π (c p mod 1))) / 2``
inverse_sqrt    ``√(t / (s - w + t))``
plateau         ``factor ^ (falls so far)``
=============== ===================================

These are the formulas of ``transformers.optimization``; its time scale ``t`` of ``inverse_sqrt`` is
``w``, so that the rate is ``√(w / s)`` (Vaswani et al. 2017, section 5.3). Without a warm-up
transformers takes 10,000 steps, in which a short run would never notice it; here it is a tenth of
all steps.
"""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

TIME_SCALE = 0.1  # of inverse_sqrt without a warm-up, as a share of all steps


def build(optimizer: Optimizer, knobs: Any, *, steps: int, greater_is_better: bool) -> LRScheduler:
    """Return the schedule of an optimizer whose groups hold their highest rates.

    :param knobs: ``train.schedule``.
    :param steps: of the whole run.
    :param greater_is_better: of the figure that ``plateau`` is stepped with after an evaluation;
        the others take one step after each step of the optimizer.
    """
    warmup = warmup_steps(knobs.warmup_share, steps)
    if knobs.kind == "plateau":
        return Plateau(optimizer, knobs, warmup=warmup, greater_is_better=greater_is_better)
    return LambdaLR(
        optimizer,
        lambda step: share(knobs.kind, step, steps=steps, warmup=warmup, cycles=knobs.cycles),
    )


def warmup_steps(warmup_share: float, steps: int) -> int:
    """Return in how many steps the learning rate rises; a started step counts, as in Trainer."""
    return math.ceil(round(warmup_share * steps, 9))  # 0.07 * 100 is 7.000000000000001


def share(kind: str, step: int, *, steps: int, warmup: int, cycles: int) -> float:
    """Return the share of the highest rate with which a step is taken; the first is step 0."""
    if step < warmup:
        return step / warmup
    if kind == "constant":
        return 1.0
    if kind == "inverse_sqrt":
        scale = warmup or TIME_SCALE * steps
        return math.sqrt(scale / (step - warmup + scale))
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if kind == "linear":
        return 1.0 - done
    if kind == "cosine_restarts":
        done = cycles * done % 1.0 if done < 1.0 else 1.0
    return (1.0 + math.cos(math.pi * done)) / 2


class Plateau(ReduceLROnPlateau):
    """Falls when a figure stops getting better; Trainer steps it after each evaluation.

    Between evaluations Trainer leaves such a schedule alone, so that a warm-up would never happen:
    the optimizer itself asks for its rate before each of its steps. Evaluations within the warm-up
    are remembered, but nothing falls before the highest rate was tried.
    """

    def __init__(
        self, optimizer: Optimizer, knobs: Any, *, warmup: int, greater_is_better: bool
    ) -> None:
        super().__init__(
            optimizer,
            mode="max" if greater_is_better else "min",
            factor=knobs.factor,
            patience=knobs.patience,
            threshold=0.0,
            threshold_mode="abs",
            eps=0.0,
        )
        self.warmup, self.taken = warmup, 0
        self.highest = [float(group["lr"]) for group in optimizer.param_groups]
        # accelerate's wrapper has no hooks; what it wraps has.
        inner: Optimizer = getattr(optimizer, "optimizer", optimizer)
        inner.register_step_pre_hook(lambda stepping, *_: self.before_step(stepping))
        if warmup:
            self.put(inner, 0.0)

    def before_step(self, optimizer: Optimizer) -> None:
        """Set the rate of the step that is about to be taken, as long as it rises."""
        if self.taken <= self.warmup:
            if self.warmup:
                self.put(optimizer, self.taken / self.warmup)
            self.taken += 1

    def put(self, optimizer: Optimizer, part: float) -> None:
        """Set every group to a share of its highest rate."""
        for group, highest in zip(optimizer.param_groups, self.highest, strict=True):
            group["lr"] = highest * part

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the figure of an evaluation, and fall if it was no better for too long."""
        if self.taken > self.warmup:
            super().step(metrics, epoch)
        elif self._is_better(float(metrics), self.best):  # type: ignore[no-untyped-call]
            self.best = float(metrics)
