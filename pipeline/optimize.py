"""Optimize: make the model small and fast, measure the price, choose, and ship without torch."""

from __future__ import annotations

from typing import Any

from pipeline import artifacts
from pipeline.evaluation import comparison, shipping
from pipeline.modeling.variants import building
from pipeline.params import Params
from pipeline.stage import run


def optimize(params: Params) -> None:
    """Build the variants, compare them with the original in one run, and keep the chosen one."""
    knobs = params.optimize
    artifacts.verify_manifest(artifacts.TRAIN)
    with artifacts.scratch("optimize") as work:
        setting, context = comparison.prepared(knobs, params.validate_, work)
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
            shipping.write(folder, found, told, setting.parts[comparison.VALIDATION])


if __name__ == "__main__":
    run(optimize)
