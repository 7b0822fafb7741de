"""Optimize: make the model small and fast, measure the price, choose, and ship without torch."""

from __future__ import annotations

import random
from typing import Any

from pipeline import artifacts
from pipeline.evaluation import calibration, comparison, shipping
from pipeline.modeling.variants import building
from pipeline.modeling.variants.base import Context
from pipeline.params import Params
from pipeline.stage import run


def optimize(params: Params) -> None:
    """Build the variants, compare them with the original in one run, and keep the chosen one."""
    knobs = params.optimize
    artifacts.verify_manifest(artifacts.TRAIN)
    fitted = calibration.Fitted.read(artifacts.VALIDATE / calibration.FILE)
    parts = {
        name: artifacts.read_records(artifacts.part(name)).to_pylist()
        for name in ("validation", "test")
    }
    with artifacts.scratch("optimize") as work:
        source = comparison.calibrated(artifacts.TRAIN / "model", work / "model", fitted)
        setting = comparison.Setting(
            source, parts, knobs, params.validate_, artifacts.TRAIN / "baselines"
        )
        context = Context(
            source=source,
            texts=calibration_texts(knobs.calibration_records, knobs.seed),
            train=artifacts.part("train"),
            validation=artifacts.part("validation"),
            knobs=knobs,
            work=work,
            cache=artifacts.WORK / "teacher",
            seed=knobs.seed,
        )
        built = building.build(knobs.variants, context)
        found = comparison.compare(built, setting)
        chosen = comparison.choose(found.lines, knobs.variants, knobs.rule)
        ships = shipping.shipped(found, chosen)
        told: dict[str, Any] = {"chosen": chosen, "shipped": ships}
        told |= {"rule": knobs.rule, "wanted": knobs.variants}
        with artifacts.output_folder(artifacts.OPTIMIZE) as folder:
            phones = folder / "mobile"
            if knobs.mobile:
                told["mobile"] = shipping.bundle(phones, context, setting)
            phones.mkdir(exist_ok=True)  # an output of the stage: empty where there is no bundle
            built[ships].folder.rename(folder / "model")
            shipping.write(folder, found, told, parts["validation"])


def calibration_texts(count: int, seed: int) -> list[str]:
    """Return training texts from which int8 learns its value ranges."""
    texts: list[str] = artifacts.read_records(artifacts.part("train"))["text"].to_pylist()
    return random.Random(seed).sample(texts, min(count, len(texts)))


if __name__ == "__main__":
    run(optimize)
