"""The figures of a run by which runs are compared, and which way each of them is better."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.studio.stamps import parsed

FILES = {
    "validate": "models/validate/metrics.json",
    "test": "models/test/metrics.json",
    "optimize": "models/optimize/metrics.json",
}
SMALLER = re.compile(
    r"(^|_)(loss|brier|ece|mae|mse|rmse|error|lost|latency|size|bytes|seconds|cost|co2|memory|start"
    r"|wh)(_|$)"
)
NEITHER = re.compile(r"(^|_)p$|_low$|_high$|^keeps$")
LEFT_OUT = re.compile(r"^(baseline|mcnemar)|_low$|_high$|^bytes$|^keeps$")
FIRST = ("macro_f1", "r2", "accuracy", "mae")  # what a task is judged by, in this order


def of_folder(root: Path) -> dict[str, Any]:
    """Return the figures that lie in a folder: ``{"stage.figure": value}``, with what they mean."""

    def read(path: str) -> str | None:
        try:
            return (root / path).read_text(encoding="utf-8")
        except OSError:
            return None

    found = collect(read)
    told = (parsed(read("models/test/report.json")) or {}).get("smaller_is_better")
    return {"figures": found, "smaller": told if isinstance(told, list) else []}


def collect(read: Callable[[str], str | None]) -> dict[str, float]:
    """Return the figures of all stages.

    :param read: returns the text of a file of the project, or None.
    """
    content = {stage: parsed(read(path)) or {} for stage, path in FILES.items()}
    found = dict(named("validate", content["validate"]))
    found |= dict(named("test", content["test"].get("model", content["test"])))
    report = parsed(read("models/optimize/report.json")) or {}
    shipped = shipped_variant(content["optimize"], report)
    return found | dict(named("optimize", shipped))


def shipped_variant(metrics: Mapping[str, Any], report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the figures of the variant that ships; none where that is not told."""
    chosen = metrics.get(str(report.get("chosen")), {})
    return chosen if isinstance(chosen, Mapping) else {}


def named(stage: str, content: Any) -> Iterator[tuple[str, float]]:
    """Yield a stage's plain figures."""
    if not isinstance(content, Mapping):
        return
    for name, value in content.items():
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if plain and not LEFT_OUT.search(name):
            yield f"{stage}.{name}", float(value)


def smaller_is_better(name: str, told: list[str]) -> bool | None:
    """Return which way a figure is better; None where neither is."""
    own = name.rpartition(".")[2]
    if NEITHER.search(own):
        return None
    return own in told or bool(SMALLER.search(own))


def headline(found: Mapping[str, float]) -> tuple[str, float] | None:
    """Return the figure that a run is named by, of the test part if it came so far."""
    for stage in ("test", "validate"):
        for name in FIRST:
            if f"{stage}.{name}" in found:
                return f"{stage}.{name}", found[f"{stage}.{name}"]
    return None
