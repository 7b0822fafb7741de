"""Cold start and memory of ``Predictor`` beside ``transformers.pipeline``, in one run.

Each is a process of its own that loads the model and answers one text; they take turns, and the
medians count. ``make bench-predictor`` after ``dvc repro``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
ROUNDS = 5
ENDING = """
import resource
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
PROGRAMS = {
    "Predictor, OpenVINO": """
import time; begun = time.perf_counter()
from pipeline.predictor import Predictor
Predictor.load("models/optimize/model").predict(["What is the capital of Iceland ?"])
""",
    "transformers.pipeline, torch fp32": """
import time; begun = time.perf_counter()
from transformers import pipeline
pipeline("text-classification", model="models/train/model")("What is the capital of Iceland ?")
""",
}


def measure(program: str) -> tuple[float, float]:
    """Return seconds from the first line to the answer, and the largest resident memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", program + ENDING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def main() -> None:
    """Measure and print the table."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for _round in range(ROUNDS):
        for name, program in PROGRAMS.items():
            found[name].append(measure(program))
    table = Table(title=f"Cold start, median of {ROUNDS}")
    for column in ("", "seconds", "memory, MB"):
        table.add_column(column, justify="right" if column else "left")
    for name, values in found.items():
        seconds, megabytes = (median(column) for column in zip(*values, strict=True))
        table.add_row(name, f"{seconds:.2f}", f"{megabytes:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
