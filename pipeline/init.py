"""Init: the model that training starts from, with its tokenizer and what it knows of itself."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.modeling import architecture, diagnosis
from pipeline.params import Params
from pipeline.predictor import CARD, Card
from pipeline.sources import package
from pipeline.stage import run
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    from pipeline.tasks.base import Task

LAYERS = "layers.csv"


def init(params: Params) -> None:
    """Bring or build the model, try it on one batch, and write it with what was found."""
    knobs = params.init
    task = tasks.of(params.label.task, params.label.labels)
    records = artifacts.read_records(artifacts.part("train"))
    texts, labels = (records[name].to_pylist() for name in ("text", "label"))
    model, tokenizer = build(params, task, texts)
    model.config.dtype = "float32"
    card = Card(
        task=task.name,
        labels=task.labels,
        max_tokens=knobs.max_tokens,
        normalize=params.clean.normalize.model_dump(),
        mask=masked(params),
    )
    report = {"method": knobs.method} | architecture.describe(model, knobs.max_tokens)
    if knobs.method == "pretrained":
        report["origin"] = knobs.pretrained.model_dump()
    report["start"], modules = diagnosis.diagnose(model, tokenizer, task, texts, labels)
    for warning in report["start"]["warnings"]:
        print(diagnosis.told(warning), file=sys.stderr, flush=True)
    with artifacts.output_folder(artifacts.INIT) as folder:
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        artifacts.write_json(folder / "model" / CARD, asdict(card))
        artifacts.write_json(folder / artifacts.REPORT, report)
        rows = ([row[name] for name in diagnosis.HEADER] for row in modules)
        artifacts.write_csv(folder / LAYERS, diagnosis.HEADER, rows)


def masked(params: Params) -> dict[str, Any]:
    """Return which personal data is masked in training, and so has to be in serving."""
    handling = params.clean.personal_data.model_dump()
    region = handling.pop("region")
    return {"kinds": [kind for kind, how in handling.items() if how == "mask"], "region": region}


def build(params: Params, task: Task, texts: list[str]) -> tuple[Any, Any]:
    """Return the model and its tokenizer, from where ``params`` say."""
    knobs = params.init
    common: dict[str, Any] = {"max_tokens": knobs.max_tokens, "seed": knobs.seed}
    if knobs.method == "scratch":
        return architecture.from_scratch(texts, task, knobs.scratch, knobs.weights, **common)
    place, origin = "", knobs.pretrained
    if origin.kind == "hub":
        place, common["revision"] = origin.name, origin.revision
    else:
        place = str(package.take(origin) if origin.kind == "package" else origin.path)
    return architecture.load_pretrained(place, task, knobs.weights, **common)


if __name__ == "__main__":
    run(init)
