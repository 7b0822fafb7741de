"""Init: the model that training starts from, with its tokenizer and what it knows of itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline import artifacts
from pipeline.modeling import architecture
from pipeline.params import Params
from pipeline.predictor import CARD, Card
from pipeline.sources import package
from pipeline.stage import run


def init(params: Params) -> None:
    """Bring or build the model, and write it with its architecture and size."""
    knobs, labels = params.init, params.label.labels
    model, tokenizer = build(params)
    model.config.dtype = "float32"
    card = Card(
        task="single_label",
        labels=labels,
        max_tokens=knobs.max_tokens,
        normalize=params.clean.normalize.model_dump(),
        mask=masked(params),
    )
    report = {"method": knobs.method} | architecture.describe(model, knobs.max_tokens)
    if knobs.method == "pretrained":
        report["origin"] = knobs.pretrained.model_dump()
    with artifacts.output_folder(artifacts.INIT) as folder:
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        artifacts.write_json(folder / "model" / CARD, asdict(card))
        artifacts.write_json(folder / artifacts.REPORT, report)


def masked(params: Params) -> dict[str, Any]:
    """Return which personal data is masked in training, and so has to be in serving."""
    handling = params.clean.personal_data.model_dump()
    region = handling.pop("region")
    return {"kinds": [kind for kind, how in handling.items() if how == "mask"], "region": region}


def build(params: Params) -> tuple[Any, Any]:
    """Return the model and its tokenizer, from where ``params`` say."""
    knobs, labels = params.init, params.label.labels
    if knobs.method == "scratch":
        texts = artifacts.read_records(artifacts.part("train"))["text"].to_pylist()
        sizes = knobs.scratch.model_dump()
        return architecture.from_scratch(
            texts, labels, sizes, max_tokens=knobs.max_tokens, seed=knobs.seed
        )
    origin = knobs.pretrained
    if origin.kind == "hub":
        return architecture.load_pretrained(
            origin.name, labels, seed=knobs.seed, revision=origin.revision
        )
    place = package.take(origin) if origin.kind == "package" else origin.path
    return architecture.load_pretrained(str(place), labels, seed=knobs.seed)


if __name__ == "__main__":
    run(init)
