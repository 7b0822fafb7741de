"""The real service, whose models misbehave when ``faults.json`` says so.

``python -m tests.e2e.faulty`` takes what ``python -m app.service`` takes. The file maps versions to
what their models do from then on: ``errors``, ``slow``, ``wrong`` (other labels), ``nan``, or
``dies`` (the process is killed in the middle of an answer). A model that is wrong only in service
passes its golden questions, which is what the canary is for.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import Predictor

FAULTS = Path("faults.json")
SLOW = 0.25  # seconds a batch


@functools.lru_cache(maxsize=1)
def told(changed: int) -> dict[str, str]:
    """Return the content of the file, read again when it changed."""
    found: dict[str, str] = json.loads(FAULTS.read_text(encoding="utf-8"))
    return found


class Faulty:
    """A runtime around a real one."""

    def __init__(self, engine: Any, version: str) -> None:
        self.engine, self.version, self.inputs = engine, version, engine.inputs

    def run(self, feed: dict[str, Any]) -> Any:
        """Run the model, and then do what the file says."""
        logits = self.engine.run(feed)
        fault = told(FAULTS.stat().st_mtime_ns).get(self.version) if FAULTS.exists() else None
        if fault == "errors":
            raise RuntimeError("a model that fails")
        if fault == "slow":
            time.sleep(SLOW)
        if fault == "wrong":
            return np.roll(logits, 1, axis=1)
        if fault == "nan":
            return np.full_like(logits, np.nan)
        if fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return logits


def main() -> None:
    """Run the service."""
    team = Predictor.team.__func__  # type: ignore[attr-defined]

    def loaded(
        cls: type[Predictor], folder: Path | str, count: int, threads: int = 1
    ) -> list[Predictor]:
        made: list[Predictor] = team(cls, folder, count, threads)
        for one in made:
            one.engine = Faulty(one.engine, Path(folder).parent.name)  # type: ignore[assignment]
        return made

    Predictor.team = classmethod(loaded)  # type: ignore[method-assign,assignment]
    runpy.run_module("app.service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
