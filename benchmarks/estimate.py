"""Estimate beside what training then took: ``make bench-estimate`` after ``dvc repro``.

Each setting is a process of its own that estimates, trains and measures. Results are kept in
``work/benchmarks/estimate.jsonl``; a run that was stopped goes on where it was, and ``--again``
starts anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

START = Path("models/init/model")
TEXTS = Path("data/split/train.parquet")
KEPT = Path("work/benchmarks/estimate.jsonl")
WANTED = {"peak_memory_bytes": 0.10, "seconds": 0.20}
SECONDS_AT_MOST = 600
VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class Setting:
    """One training run."""

    name: str
    records: int
    joined: int = 1  # texts put together to a longer one
    max_tokens: int = 64
    sizes: tuple[int, int] | None = None  # layers and width from scratch; None is the pretrained
    train: dict[str, Any] = field(default_factory=dict)  # dotted names of knobs


def settings() -> Iterator[Setting]:
    """Yield what is tried; about a quarter of a minute each on two cores."""
    yield Setting("minilm", 1_200)
    yield Setting("minilm, batch 8", 800, train={"batch_size": 8})
    yield Setting("minilm, batch 16", 1_000, train={"batch_size": 16})
    yield Setting("minilm, batch 64", 1_200, train={"batch_size": 64})
    yield Setting("minilm, one epoch", 3_000, train={"epochs": 1})
    yield Setting("minilm, accumulation 4", 1_200,
                  train={"batch_size": 8, "accumulation": 4})  # fmt: skip
    yield Setting("minilm, word vectors learnt", 800, train={"freeze_embeddings": False})
    yield Setting("minilm, not grouped", 1_000, train={"group_by_length": False})
    yield Setting("minilm, sgd", 1_200, train={"optimizer.kind": "sgd"})
    yield Setting("minilm, rmsprop", 1_200, train={"optimizer.kind": "rmsprop"})
    yield Setting("minilm, adafactor", 1_200, train={"optimizer.kind": "adafactor"})
    yield Setting("minilm, checkpointing", 1_000, train={"gradient_checkpointing": True})
    yield Setting("minilm, l2", 1_000, train={"l2": 1e-4})
    yield Setting("minilm, long texts", 400, joined=8, max_tokens=128)
    yield Setting("minilm, very long texts", 160, joined=24, max_tokens=256,
                  train={"batch_size": 16})  # fmt: skip
    yield Setting("minilm, long, checkpointing", 300, joined=8, max_tokens=128,
                  train={"gradient_checkpointing": True})  # fmt: skip
    yield Setting("minilm, lora", 1_200, train={"method": "lora"})
    yield Setting("minilm, lora attention, long", 400, joined=8, max_tokens=128,
                  train={"method": "lora", "lora.targets": "attention"})  # fmt: skip
    yield Setting("minilm, frozen", 4_000, train={"method": "frozen"})
    yield Setting("minilm, frozen, 20 epochs, long", 1_000, joined=8, max_tokens=128,
                  train={"method": "frozen", "epochs": 20})  # fmt: skip
    yield Setting("minilm, contrastive", 600, train={"contrastive.enabled": True})
    yield Setting("scratch 2 × 128", 4_000, sizes=(2, 128))
    yield Setting("scratch 4 × 256", 2_500, sizes=(4, 256))
    yield Setting("scratch 4 × 256, batch 128", 3_000, sizes=(4, 256), train={"batch_size": 128})
    yield Setting("scratch 6 × 512, long", 200, joined=8, max_tokens=128, sizes=(6, 512))
    yield Setting("scratch 12 × 768", 200, sizes=(12, 768), train={"batch_size": 16})
    if bf16():
        yield Setting("minilm, fp32", 1_200, train={"precision": "fp32"})


def bf16() -> bool:
    """Return whether this machine is fast at bf16; there ``auto`` takes it."""
    from pipeline.modeling.machine import look

    machine = look()
    return machine.bf16 or any(gpu.bf16 for gpu in machine.gpus)


def knobs(changes: dict[str, Any]) -> Any:
    """Return ``params.train`` with changes; nothing stops early, so that all of it is measured."""
    from pipeline.params import load

    values = load().train.model_dump()
    for name, value in {"patience": 0, **changes}.items():
        *above, last = name.split(".")
        section = values
        for one in above:
            section = section[one]
        section[last] = value
    return type(load().train).model_validate(values)


def prepare(setting: Setting, folder: Path) -> tuple[Path, dict[str, Path]]:
    """Write the model to start from and the records, and return where they are."""
    from pipeline.predictor import CARD, Card

    start = folder / "model"
    shutil.copytree(START, start)
    values = json.loads((START / CARD).read_text(encoding="utf-8"))
    card = Card(**{"mask": {}, **values, "max_tokens": setting.max_tokens})
    (start / CARD).write_text(json.dumps(vars(card)), encoding="utf-8")
    if setting.sizes is not None:
        scratch(start, *setting.sizes, max_tokens=setting.max_tokens)
    table = pq.read_table(TEXTS, columns=["text", "label"]).to_pydict()
    drawn = np.random.default_rng(0)
    files = {}
    for name, count in (
        ("train", setting.records),
        ("validation", round(VALIDATION_SHARE * setting.records)),
    ):
        chosen = drawn.integers(len(table["text"]), size=(count, setting.joined))
        texts = [" ".join(table["text"][at] for at in row) for row in chosen]
        labels = [table["label"][row[0]] for row in chosen]
        files[name] = folder / f"{name}.parquet"
        pq.write_table(pa.table({"text": texts, "label": labels}), files[name])
    return start, files


def scratch(start: Path, layers: int, hidden: int, *, max_tokens: int) -> None:
    """Put a fresh BERT in the place of the pretrained one, with the same tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(start)
    config.num_hidden_layers, config.hidden_size = layers, hidden
    config.intermediate_size, config.num_attention_heads = 4 * hidden, hidden // 64
    config.max_position_embeddings = max_tokens
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(start)


def measure(setting: Setting) -> dict[str, Any]:
    """Estimate, train and return both."""
    from pipeline.modeling import estimates, fitting, material, measuring, training

    chosen = knobs(setting.train)
    with tempfile.TemporaryDirectory(dir="work") as temporary:
        start, files = prepare(setting, Path(temporary))
        made = material.gather(start, files, chosen)
        estimate = estimates.foresee(start, files, chosen, made.model, made.parts)
        del made
        with measuring.Meter(chosen.costs, training.device(chosen.device)) as meter:
            _model, outcome = fitting.fit(start, files, chosen, Path(temporary) / "run")
    return {
        "name": setting.name,
        "estimate": estimate.as_dict(),
        "actual": meter.actual(),
        "steps": outcome.steps,
        "compared": estimates.compared(estimate, meter.actual()),
    }


def run(name: str) -> dict[str, Any]:
    """Measure one setting in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.estimate", "--one", name],
        capture_output=True, text=True, timeout=SECONDS_AT_MOST,
    )  # fmt: skip
    if done.returncode:
        return {"name": name, "failed": done.stderr.strip().splitlines()[-1:]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def show(results: list[dict[str, Any]]) -> None:
    """Print each setting, then median and 95th percentile of the errors."""
    console = Console(width=120, highlight=False)
    table = Table(title="Estimate beside actual")
    for at, column in enumerate(
        ("", "s, estimate", "actual", "error", "MB, estimate", "actual", "error", "probe, s")
    ):
        table.add_column(column, justify="right" if at else "left")
    errors: dict[str, list[float]] = {name: [] for name in WANTED}
    for one in results:
        if "failed" in one:
            table.add_row(one["name"], *one["failed"])
            continue
        cells = []
        for figure, unit in (("seconds", 1.0), ("peak_memory_bytes", 2.0**20)):
            line = one["compared"][figure]
            errors[figure].append(abs(line["error"]))
            cells += [f"{line[key] / unit:.1f}" for key in ("estimate", "actual")]
            cells.append(f"{line['error']:+.1%}")
        table.add_row(one["name"], *cells, f"{one['estimate']['probe_seconds']:.1f}")
    console.print(table)
    for figure, wanted in WANTED.items():
        if errors[figure]:
            half, most = np.percentile(errors[figure], [50, 95])
            console.print(
                f"{figure}: {len(errors[figure])} settings, median error {half:.1%} "
                f"(wanted ≤ {wanted:.0%}), 95th percentile {most:.1%}"
            )


def main() -> None:
    """Run what is not known yet, then print all."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--one", help="measure this setting here and print it as JSON")
    reader.add_argument("--only", help="settings whose name holds this")
    reader.add_argument("--again", action="store_true", help="forget earlier results")
    given = reader.parse_args()
    every = {one.name: one for one in settings()}
    if given.one:
        from pipeline.quiet import be_quiet

        be_quiet()
        print(json.dumps(measure(every[given.one])))
        return
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    if given.again:
        KEPT.unlink(missing_ok=True)
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    known = {one["name"]: one for one in map(json.loads, lines)}
    for name in every:
        if given.only and given.only not in name:
            continue
        if name not in known or "failed" in known[name]:
            print(name, flush=True)
            known[name] = run(name)
            with KEPT.open("a", encoding="utf-8") as kept:
                kept.write(json.dumps(known[name]) + "\n")
    show([known[name] for name in every if name in known])


if __name__ == "__main__":
    main()
