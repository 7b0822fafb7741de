"""How far a stage is: a bar for people, one JSON line a step for other programs.

A program that follows a run names a file in ``MOFANG_PROGRESS``; every line it finds there is
``{"time", "stage", "step", "total", "seconds_left", …}`` with the values of that step.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0  # in a log file a bar would be noise: a plain line now and then


class Progress:
    """Counts the steps of one piece of work inside a stage."""

    def __init__(self, stage: str, total: int, *, step: int = 0) -> None:
        self.stage, self.total, self.first, self.step = stage, total, step, step
        self.started = self.last_line = time.monotonic()
        self.bar = tqdm(
            total=total, initial=step, desc=stage, disable=not sys.stderr.isatty(), leave=False
        )
        self.report = lines_to(os.environ.get("MOFANG_PROGRESS"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()

    @property
    def seconds_left(self) -> float | None:
        """Return the expected seconds to the end at the pace so far; None before the first step."""
        done = self.step - self.first
        if not done:
            return None
        return (time.monotonic() - self.started) / done * (self.total - self.step)

    def advance(self, steps: int = 1, **values: float) -> None:
        """Count ``steps`` and show ``values`` (loss, learning rate, …)."""
        self.step += steps
        self.bar.set_postfix(values, refresh=False)
        self.bar.update(steps)
        left = self.seconds_left
        self.report(
            {
                "time": time.time(),
                "stage": self.stage,
                "step": self.step,
                "total": self.total,
                "seconds_left": left,
                **values,
            }
        )
        if self.bar.disable:
            self.print_line(left, values)

    def print_line(self, left: float | None, values: dict[str, float]) -> None:
        """Print a plain line, at most one in ``SECONDS_BETWEEN_LINES``."""
        now = time.monotonic()
        if now - self.last_line < SECONDS_BETWEEN_LINES:
            return
        self.last_line = now
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        ahead = "" if left is None else f"  {left:.0f} s left"
        print(f"{self.stage} {self.step}/{self.total}  {shown}{ahead}", file=sys.stderr, flush=True)


def lines_to(path: str | None) -> Callable[[dict[str, object]], None]:
    """Return what appends one JSON line to ``path``, or does nothing where there is none."""
    if not path:
        return lambda values: None

    def append(values: dict[str, object]) -> None:
        with Path(path).open("a", encoding="utf-8") as target:
            target.write(json.dumps(values, ensure_ascii=False) + "\n")

    return append
