"""The curves of training: while it goes on from its work folder, afterwards from the run's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from app.studio.runs import records
from app.studio.runs.growing import Growing
from app.studio.runs.records import CURVES, Run
from app.studio.stamps import parsed

Points = list[tuple[int, float]]
Point = TypeVar("Point", bound=tuple[float, float])
SHOWN = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "eval_loss": "validation/loss",
    "examples_per_second": "train/examples_per_second",
}
MOST = 2_000  # points of a curve; more than a screen has columns
WHOLE = 100_000_000  # bytes of progress lines: weeks of training


def of(run: Run) -> dict[str, Points]:
    """Return a run's curves: name → (step, value)."""
    kept = records.read_json(run.folder / CURVES)
    if kept is not None:
        return {
            name: [(int(step), float(value)) for step, value in some] for name, some in kept.items()
        }
    return live(run)


def live(run: Run) -> dict[str, Points]:
    """Return the curves of the training that the run does, or did last."""
    found: dict[str, Points] = {}
    for folder in working(run):
        found = dict(tables(folder / "live/plots/metrics"))
    reported = dict(told(run.progress_lines))
    return {name: thinned(points) for name, points in (reported | found).items() if points}


def working(run: Run) -> list[Path]:
    """Return the newest work folder of training in which something was written since the start."""
    began = records.moment(run.began).timestamp()
    folders = [
        (path.stat().st_mtime, path.parent)
        for path in run.project.work.glob("train/*/live")
        if path.stat().st_mtime >= began - 1
    ]
    return [max(folders)[1]] if folders else []


def tables(folder: Path) -> Iterator[tuple[str, Points]]:
    """Yield the curves that dvclive writes, one file each."""
    for path in sorted(folder.rglob("*.tsv")):
        points = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
            step, _tab, value = line.partition("\t")
            try:  # the last line may be half written
                points.append((int(step), float(value)))
            except ValueError:
                continue
        yield str(path.relative_to(folder).with_suffix("")), finite(points)


class Told(Growing):
    """What the progress lines of training tell, which repeat a value until the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.curves: dict[str, dict[int, float]] = {name: {} for name in SHOWN.values()}
        self.last: dict[str, float] = {}

    def take(self, line: str) -> None:
        """Read one line."""
        found = parsed(line) if '"stage": "train"' in line else None
        if found is None or not isinstance(found.get("step"), int):
            return
        for key, name in SHOWN.items():
            value = found.get(key)
            if isinstance(value, int | float) and self.last.get(key) != value:
                self.last[key] = self.curves[name][found["step"]] = float(value)


def told(path: Path) -> Iterator[tuple[str, Points]]:
    """Yield the curves that progress lines tell."""
    try:
        found = Told.of(path)
        with found.lock:
            found.look(path, WHOLE)
            curves = {name: sorted(points.items()) for name, points in found.curves.items()}
    except OSError:
        return
    for name, points in curves.items():
        yield name, finite(points)


def finite(points: Points) -> Points:
    """Return the points that can be drawn."""
    return [(step, value) for step, value in points if math.isfinite(value)]


def thinned(points: list[Point], most: int = MOST) -> list[Point]:
    """Return at most so many points as can be seen: of each stretch the lowest and the highest.

    A peak stays to be seen so; the first and the last point stay too.
    """
    if len(points) <= most:
        return points
    every = math.ceil(len(points) / max(1, most // 2 - 1))
    kept = {points[0], points[-1]}
    for start in range(0, len(points), every):
        stretch = points[start : start + every]
        kept |= {min(stretch, key=height), max(stretch, key=height)}
    return sorted(kept)


def height(point: tuple[float, float]) -> float:
    """Return the value of a point."""
    return point[1]
