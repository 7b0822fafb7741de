"""Seconds that a whole run of all stages spends importing: ``make bench-imports``.

Every stage runs once in a copy of the project, with Python's own account of imports
(``-X importtime``, which itself costs a little). Results are printed and written to
``work/benchmarks/imports.json``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.training import ROOT, WORK, lay_out

STAGES = ("collect", "clean", "label", "split", "init", "train", "validate", "test", "optimize")
LINE = re.compile(r"^import time: +(\d+) \| +\d+ \| ", re.MULTILINE)  # microseconds without nested
WANTED = 0.2


def measure(stage: str, folder: Path) -> dict[str, float]:
    """Run one stage and return its seconds and those spent importing.

    :raises subprocess.CalledProcessError: if the stage fails; its messages are in ``stderr``.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"pipeline.{stage}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    imports = sum(int(found) for found in LINE.findall(done.stderr)) / 1e6
    return {"seconds": seconds, "imports": imports}


def show(found: dict[str, dict[str, float]]) -> None:
    """Print seconds, imports and their share, stage by stage and for all."""
    table = Table(title="Seconds of all stages, and of importing")
    for name in ("stage", "seconds", "imports", "share"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name, one in found.items():
        share = one["imports"] / one["seconds"]
        table.add_row(name, f"{one['seconds']:.1f}", f"{one['imports']:.1f}", f"{share:.0%}")
    Console().print(table, f"wanted of all: at most {WANTED:.0%}")


def main() -> None:
    """Run all stages once; print and write what they took."""
    WORK.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=WORK) as place:
        lay_out(Path(place))
        for stage in STAGES:
            found[stage] = measure(stage, Path(place))
            print(f"{stage}: {found[stage]['seconds']:.1f} s", flush=True)
    found["all"] = {
        name: sum(one[name] for one in found.values()) for name in ("seconds", "imports")
    }
    show(found)
    (WORK / "imports.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
