"""Optimize: make the model small and fast, measure the price, choose, and ship without torch."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.evaluation import comparison
from pipeline.modeling import compression
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.predictor import BasePredictor, Predictor
from pipeline.stage import run


def optimize(params: Params) -> None:
    """Build the variants, compare them with the original in one run, and keep the chosen one."""
    knobs, source = params.optimize, artifacts.TRAIN / "model"
    artifacts.verify_manifest(artifacts.TRAIN)
    artifacts.WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=artifacts.WORK, prefix="optimize-") as work:
        folders = compression.build(
            source, Path(work), knobs.variants, calibration(knobs.calibration_records, knobs.seed)
        )
        models: dict[str, BasePredictor] = {comparison.ORIGINAL: TorchPredictor.load(source)} | {
            name: Predictor.load(folder) for name, folder in folders.items()
        }
        sizes = {
            name: artifacts.folder_bytes(folder)
            for name, folder in {comparison.ORIGINAL: source, **folders}.items()
        }
        parts = {
            name: artifacts.read_records(artifacts.part(name)).to_pylist()
            for name in ("validation", "test")
        }
        table = comparison.compare(models, sizes, parts, rounds=knobs.rounds)
        wanted: dict[str, comparison.Line] = {
            name: line for name, line in table.items() if name in knobs.variants
        }
        chosen = comparison.choose(
            wanted,
            rule=knobs.rule,
            max_points_lost=knobs.max_points_lost,
            min_agreement=knobs.min_agreement,
        )
        told = {
            "chosen": chosen,
            "rule": knobs.rule,
            "main": models[comparison.ORIGINAL].task.main,
            "meaning": comparison.meaning(models[comparison.ORIGINAL].task),
        }
        save(folders[chosen or compression.FP32], table, told)


def calibration(count: int, seed: int) -> list[str]:
    """Return training texts from which int8 learns its value ranges."""
    texts: list[str] = artifacts.read_records(artifacts.part("train"))["text"].to_pylist()
    return random.Random(seed).sample(texts, min(count, len(texts)))


def save(folder: Path, table: dict[str, comparison.Line], told: dict[str, Any]) -> None:
    """Write the model that ships, and the table that says why it is this one."""
    with artifacts.output_folder(artifacts.OPTIMIZE) as target:
        (target / "model").mkdir()
        for path in folder.iterdir():
            path.replace(target / "model" / path.name)
        lines = comparison.as_json(table)
        artifacts.write_json(target / artifacts.METRICS, lines)
        artifacts.write_json(
            target / artifacts.REPORT,
            told | {"shipped": folder.name, "table": lines},
        )


if __name__ == "__main__":
    run(optimize)
