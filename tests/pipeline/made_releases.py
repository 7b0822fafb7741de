"""A run in ``models/`` and releases of it: tiny, honest, without torch and without training.

The model counts the words that decide each label, and OpenVINO runs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import artifacts
from pipeline.params import Params
from pipeline.predictor import CARD, Card
from pipeline.releases import store
from pipeline.releases.reading import Release
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed, changed_text
from tests.pipeline import made_models

VARIANT, ORIGINAL = "openvino_fp32", "torch_fp32"
PASSED = {"figure": "accuracy", "sign": ">=", "bound": 0.9, "found": 1.0, "passed": True,
          "group": None, "skipped": None, "too_small": None}  # fmt: skip
FAILED = PASSED | {"bound": 0.99, "found": 0.97, "passed": False}


# Fewer questions and draws than the project's own params: a release then takes half a second.
QUICK = {
    "release.golden.questions": 12, "release.examples": 6, "monitor.drift.min_texts": 50,
    "monitor.drift.max_texts": 200, "monitor.drift.sample": 200, "monitor.drift.draws": 50,
}  # fmt: skip


@cache
def params() -> Params:
    """Return params under which releases are made here."""
    return changed(QUICK)


def write_params() -> None:
    """Write the same as ``params.yaml``."""
    artifacts.PARAMS.write_text(changed_text(QUICK), encoding="utf-8")


def weights(task: str, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what each word adds to each output, [words, outputs], and what there is before."""
    outputs = tasks.of(task, made_models.labels_of(task)).outputs
    counts = np.zeros((len(made_models.VOCABULARY), len(outputs)), dtype=np.float32)
    before = np.zeros(len(outputs), dtype=np.float32)
    if task == REGRESSION:
        counts[made_models.VOCABULARY.index("good")] = 3.0 * strength / 5
        counts[made_models.VOCABULARY.index("bad")] = -3.0 * strength / 5
        before += 20.0
    else:
        for at, label in enumerate(outputs):
            counts[made_models.VOCABULARY.index(made_models.SIGNS[label]), at] = strength
        before -= strength / 2 if task == MULTI else 0.0
    return counts, before


def save_model(folder: Path, task: str = SINGLE, strength: float = 5.0) -> None:
    """Write a model folder with its manifest; another ``strength`` gives other scores.

    A strength below 0 answers wrongly, one that is no number gives scores that are none.
    """
    import openvino
    from openvino import opset13 as ops

    counts, before = weights(task, strength)
    tokens = ops.parameter([-1, -1], np.int64, name="input_ids")
    tokens.output(0).set_names({"input_ids"})
    rows = ops.gather(ops.constant(counts), tokens, ops.constant(np.int64(0)))
    sums = ops.reduce_sum(rows, ops.constant(np.array([1])), keep_dims=False)
    logits = ops.add(sums, ops.constant(before))
    whole = params().clean.normalize.model_dump()
    labels = made_models.labels_of(task)
    card = Card(task, labels, 32, whole, {"kinds": [], "region": "US"})
    with artifacts.output_folder(folder) as place:
        openvino.save_model(
            openvino.Model([logits], [tokens]), place / "openvino_model.xml", compress_to_fp16=False
        )
        made_models.tokenizer().save(str(place / "tokenizer.json"))
        artifacts.write_json(place / CARD, asdict(card))


def save_split(task: str = SINGLE) -> None:
    """Write the three parts of the split."""
    artifacts.SPLIT.mkdir(parents=True, exist_ok=True)
    for at, (part, size) in enumerate(made_models.SIZES.items(), 1):
        some = made_models.records(task, size, at)
        table = pa.Table.from_pylist(some, schema=artifacts.record_schema())
        artifacts.write_records(artifacts.part(part), table)


def figures_of(task: str) -> dict[str, float]:
    """Return the figures of a model that is always right."""
    kind = tasks.of(task, made_models.labels_of(task))
    truth = [one["label"] for one in made_models.records(task, 80, 2)]
    return {kind.main: kind.figures(truth, truth)[kind.main], "loss": 0.01}


def lay_out(task: str = SINGLE, strength: float = 5.0, **changes: Any) -> None:
    """Write what a release is made from, below the current folder.

    :param changes: ``gates`` of validate; ``holds``, whether the copy keeps parity; ``found``, what
        optimize found of the trained model; ``measured``, what it found of the variant.
    """
    if not artifacts.SPLIT.exists():
        save_split(task)
    figures = figures_of(task)
    found = figures | changes.get("found", {})
    measured = figures | changes.get("measured", {})
    lines = {
        ORIGINAL: {"unavailable": None, "parity": None, "validation": found, "test": found},
        VARIANT: {
            "unavailable": None, "refused_for": [], "parity": {"holds": changes.get("holds", True)},
            "validation": measured, "test": measured,
        },
    }  # fmt: skip
    main = tasks.of(task, made_models.labels_of(task)).main
    report = {"shipped": VARIANT, "chosen": VARIANT, "original": ORIGINAL, "main": main,
              "table": lines}  # fmt: skip
    with artifacts.output_folder(artifacts.OPTIMIZE) as folder:
        save_model(folder / "model", task, strength)
        (folder / "mobile").mkdir()
        artifacts.write_json(folder / artifacts.REPORT, report)
        artifacts.write_json(folder / artifacts.METRICS, {VARIANT: lines[VARIANT]})
    with artifacts.output_folder(artifacts.VALIDATE) as folder:
        artifacts.write_json(folder / artifacts.REPORT, {"gates": changes.get("gates", [PASSED])})
        artifacts.write_json(folder / artifacts.METRICS, figures | {"baselines": {}})
    with artifacts.output_folder(artifacts.TEST) as folder:
        told = {"sources": [{"name": "made", "personal_data": True}], "declared": []}
        artifacts.write_json(folder / artifacts.REPORT, told)
        artifacts.write_json(folder / artifacts.METRICS, {"model": figures, "baseline": {}})
        (folder / "README.md").write_text("# Model card\n", encoding="utf-8")
        (folder / "plots").mkdir()
        (folder / "plots/confusion.png").write_bytes(b"\x89PNG")


def write_lock(**changes: str) -> None:
    """Write a ``dvc.lock`` of the run that lies there.

    :param changes: ``stage`` → path whose recorded md5 is made another one.
    """
    common = [str(artifacts.part("validation"))]
    folders = {"validate": artifacts.VALIDATE, "test": artifacts.TEST,
               "optimize": artifacts.OPTIMIZE}  # fmt: skip
    stages: dict[str, Any] = {"train": {"cmd": "x", "outs": []}}
    for name, folder in folders.items():
        paths = [str(folder / one) for one in (artifacts.MANIFEST, artifacts.METRICS)]
        stages[name] = {"cmd": "x", "deps": entries(common), "outs": entries(paths)}
        for one in [*stages[name]["deps"], *stages[name]["outs"]]:
            if one["path"] == changes.get(name):
                one["md5"] = "0" * 32
    content = {"schema": "2.0", "stages": stages}
    Path("dvc.lock").write_text(json.dumps(content), encoding="utf-8")


def entries(paths: list[str]) -> list[dict[str, Any]]:
    """Return files as ``dvc.lock`` names them."""
    return [
        {"path": path, "hash": "md5", "md5": hashlib.md5(Path(path).read_bytes()).hexdigest()}  # noqa: S324
        for path in paths
    ]


def create(version: str | None = None, strength: float | None = None, **more: Any) -> Release:
    """Make a release of a run with this strength; None takes the run that lies there."""
    if strength is not None:
        lay_out(strength=strength)
    return store.create(version, params().release, params().monitor.drift, by="anna", **more)


def reseal(folder: Path) -> None:
    """Write new manifests over what a release holds now, as somebody who tampers would."""
    artifacts.write_manifest(folder / "model")
    artifacts.write_manifest(folder)


def three(folder: Path) -> Path:
    """Return a project with three releases of models with other scores and the same answers."""
    with contextlib.chdir(folder):
        for version, strength in (("1.0.0", 5.0), ("1.1.0", 6.0), ("1.2.0", 7.0)):
            create(version, strength)
    return folder
