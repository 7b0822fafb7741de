"""What the report of training says beside the curves: estimate, costs, and whether it pays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import read_json, write_json

if TYPE_CHECKING:
    from pipeline.modeling.baselines import Baselines
    from pipeline.modeling.counting import Estimate
    from pipeline.modeling.fitting import Outcome
    from pipeline.tasks.base import Task

ESTIMATE = "estimate.json"


def foresee(start: Path, files: Mapping[str, Path], knobs: Any, work: Path) -> Estimate:
    """Return what training will take; a run that was killed keeps the estimate it began with."""
    from pipeline.modeling import counting, estimates, material

    path = work / ESTIMATE
    if path.exists():
        return counting.Estimate(**read_json(path))
    made = material.gather(start, files, knobs)
    estimate = estimates.foresee(start, files, knobs, made.model, made.parts)
    write_json(path, estimate.as_dict())
    return estimate


def costs(estimate: Estimate, actual: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Return estimate, actual value and relative error of what training took.

    A run that was resumed did not do all of the work this time: it has no error.
    """
    from pipeline.modeling import counting

    table = counting.compared(estimate, actual)
    if outcome.resumed_from is not None:
        table = {name: {**line, "error": None} for name, line in table.items()}
    return {
        "estimate": {name: line["estimate"] for name, line in table.items()},
        "actual": {name: line["actual"] for name, line in table.items()},
        "error": {name: line["error"] for name, line in table.items()},
        "estimated_by": estimate.how,
        "probe_seconds": round(estimate.probe_seconds, 2),
        "currency": estimate.currency,
        "stopped_early": outcome.steps < estimate.steps,
    }


def worth(task: Task, outcome: Outcome, cheap: Baselines) -> dict[str, Any]:
    """Return model and strongest baseline side by side on the validation part, by the main figure.

    ``worth_it`` is False where the large model is not better than the cheap one.
    """
    model, kind = outcome.best[task.main], cheap.strongest
    baseline = cheap.figures[kind][task.main]
    better = model > baseline if task.greater_is_better(task.main) else model < baseline
    return {
        "figure": task.main,
        "model": model,
        "strongest_baseline": kind,
        "baseline": baseline,
        "worth_it": bool(better),
    }
