"""The curves of training that ended, as ``steps.csv`` and ``epochs.csv`` of ``models/train`` tell.

Those of a run that still works come from ``app.studio.runs.following.curves``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from app.studio.runs.curves import thinned

STEPS, EPOCHS = "steps.csv", "epochs.csv"
TRAIN, VALIDATION = "train/", "validation/"
POINTS = 400  # of a curve that are drawn: a screen has not many more places for them
NOT_DRAWN = ("step", "epoch", "chosen_by")

Points = list[tuple[float, float]]
Curves = dict[str, Points]


def finished(folder: Path) -> Curves:
    """Return the curves by name, as in ``train/loss`` and ``validation/macro_f1``."""
    steps = {f"{TRAIN}{name}": points for name, points in table(folder / STEPS).items()}
    epochs = {f"{VALIDATION}{name}": points for name, points in table(folder / EPOCHS).items()}
    return steps | epochs


def table(path: Path) -> Curves:
    """Return every column of a table of steps or epochs as a curve over the steps."""
    if not path.is_file():
        return {}
    made: Curves = {}
    with path.open(encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source):
            step = number(row.get("step"))
            for name, cell in row.items():
                value = number(cell)
                if step is not None and value is not None and name not in NOT_DRAWN:
                    made.setdefault(name, []).append((step, value))
    return made


def number(cell: str | None) -> float | None:
    """Return a cell as a finite number, None where it holds none."""
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def losses(curves: Mapping[str, Iterable[tuple[float, float]]]) -> Curves:
    """Return the two curves that stand in one chart: the loss of both parts."""
    names = (f"{TRAIN}loss", f"{VALIDATION}loss")
    return {name: thinned(list(curves[name]), POINTS) for name in names if name in curves}


def figures(curves: Mapping[str, Iterable[tuple[float, float]]]) -> Curves:
    """Return the figures of the validation part, by their own names."""
    return {
        name.removeprefix(VALIDATION): thinned(list(points), POINTS)
        for name, points in curves.items()
        if name.startswith(VALIDATION) and name != f"{VALIDATION}loss"
    }


def best_step(report: Mapping[str, object]) -> float | None:
    """Return the step whose weights were kept."""
    step = report.get("best_step")
    return float(step) if isinstance(step, int | float) else None
