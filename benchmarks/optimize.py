"""Every variant of the default model beside its peers, in one run (``make bench-optimize``).

After ``dvc repro``: all variants are built from ``models/train``, checked against it and timed,
each in a process of its own, taking turns with plain ``transformers.pipeline`` and, where
``.venv-fewshot`` is there, with a sentence-transformers encoder under a logistic regression (what
SetFit runs). Ratios stand beside those that are wanted. Results are printed and written to
``work/benchmarks/optimize.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from pipeline import artifacts
from pipeline.modeling import bench
from pipeline.modeling.bench import Child
from pipeline.quiet import be_quiet

ROOT = Path(__file__).parents[1]
WORK = Path("work/benchmarks")
FEWSHOT = ROOT / ".venv-fewshot/bin/python"
VARIANTS = [
    "openvino_fp32", "openvino_bf16", "openvino_int8", "openvino_int8_weights", "onnx_fp32",
    "onnx_int8", "pruned_units+openvino_int8", "pruned_weights+openvino_int8",
    "distilled+openvino_fp32", "distilled+openvino_int8", "torch_bf16", "torch_int8",
]  # fmt: skip
STUDENT = "distilled+openvino_int8"
PIPELINE, SENTENCE = "transformers.pipeline", "sentence-transformers"
OTHER_BACKENDS = ("onnx_fp32", "onnx_int8", "openvino_fp32", "openvino_bf16",
                  "openvino_int8_weights", PIPELINE, SENTENCE)  # fmt: skip
STARTS = 5


def peers() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the commands of the peers, and why others are left out."""
    module = "benchmarks.optimize_peer"
    found = {PIPELINE: [sys.executable, "-m", module, "pipeline", "models/train/model"]}
    if not FEWSHOT.exists():
        return found, {SENTENCE: "no .venv-fewshot: make .venv-fewshot/ready"}
    head = str(WORK / "head.npz")
    encoder, python = "models/init/model", str(FEWSHOT)
    subprocess.run(
        [python, "-m", module, "fit", encoder, "data/split/train.parquet", head],
        check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return found | {SENTENCE: [python, "-m", module, "sentence", encoder, head]}, {}


def compare(variants: list[str], commands: Mapping[str, list[str]]) -> tuple[Any, dict[str, Any]]:
    """Build, check and time everything; return the comparison and what its report tells."""
    from pipeline.evaluation import comparison, plain, shipping
    from pipeline.modeling.variants import building
    from pipeline.params import load

    params = load()
    knobs = params.optimize.model_copy(update={"variants": variants})
    with artifacts.scratch("bench-optimize") as work:
        setting, context = comparison.prepared(knobs, params.validate_, work)
        built = building.build(variants, context)
        found = comparison.compare(built, setting, commands)
        ships = comparison.choose(found.lines, params.optimize.variants, knobs.rule)
        starts = cold_starts(built[ships or "openvino_fp32"].folder, commands[PIPELINE])
    told = {"ships": ships or "openvino_fp32", "starts": starts, "measured": found.how}
    return found, told | {"table": plain.finite(shipping.as_json(found))}


def cold_starts(folder: Path, pipeline: list[str]) -> dict[str, float]:
    """Return the median seconds to the first answer of what ships and of transformers."""
    commands = {"ships": bench.command(folder, bench.SERVED, 0), PIPELINE: pipeline}
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _round in range(STARTS):
        for name, command in commands.items():
            with Child(command) as child:
                found[name].append(child.start("What is the capital of Iceland ?"))
    return {name: median(values) for name, values in found.items()}


def qualities(commands: Mapping[str, list[str]]) -> dict[str, float]:
    """Return the accuracy of each peer on the test part."""
    records = artifacts.read_records(artifacts.part("test")).to_pylist()
    texts, found = [one["text"] for one in records], {}
    for name, command in commands.items():
        with Child(command) as child:
            child.start(texts[0])
            answers = child.ask(texts, 32, answers=True).answers or []
        right = [one["label"] == said for one, said in zip(records, answers, strict=True)]
        found[name] = sum(right) / len(right)
    return found


def ratios(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what was wanted of the default project beside what was found."""
    table, peers = told["table"], told["peers"]
    torch, ships = table["torch_fp32"], table[told["ships"]]
    known = {name: line for name, line in table.items() if line["unavailable"] is None}
    rates = {name: line["texts_per_second"] for name, line in (known | peers).items()}
    # What is refused answers otherwise: its speed is no measure.
    others = [name for name in OTHER_BACKENDS if name in peers or known.get(name, {}).get("keeps")]
    best = max((name for name in others if name != told["ships"]), key=lambda name: rates[name])

    def row(what: str, found: float, sign: str, wanted: float) -> dict[str, Any]:
        reached = found >= wanted if sign == ">=" else found <= wanted
        return {"what": what, "found": found, "wanted": f"{sign} {wanted:g}", "reached": reached}

    yield row("throughput / torch fp32", rates[told["ships"]] / torch["texts_per_second"], ">=", 5)
    yield row(
        "batch 1, torch fp32 / it", torch["latency_ms_p50"] / ships["latency_ms_p50"], ">=", 4
    )
    yield row(f"throughput / best other ({best})", rates[told["ships"]] / rates[best], ">=", 1)
    yield row("points lost", ships["points_lost"], "<=", 0.3)
    yield row("size / torch fp32", ships["bytes"] / torch["bytes"], "<=", 0.3)
    yield row("cold start, s", told["starts"]["ships"], "<=", 2)
    yield row("cold start, transformers / it",
              told["starts"][PIPELINE] / told["starts"]["ships"], ">=", 5)  # fmt: skip
    yield row("resident memory, MB", ships["memory_mb"], "<=", 300)
    if STUDENT in known:
        student = known[STUDENT]
        yield row(f"{STUDENT}: throughput / torch fp32",
                  student["texts_per_second"] / torch["texts_per_second"], ">=", 12)  # fmt: skip
        yield row(f"{STUDENT}: points lost", student["points_lost"], "<=", 2)


def show(told: Mapping[str, Any]) -> None:
    """Print the table and the ratios."""
    from rich.console import Console
    from rich.table import Table

    measured = told["measured"]
    title = f"{measured['processor']}, {measured['threads']:g} threads, one run, taking turns"
    table = Table(title=title)
    for column in ("", "MB", "memory", "cold s", "p50 ms", "p95 ms", "texts/s", "Wh/1000",
                   "accuracy", "lost", "agrees", "parity"):  # fmt: skip
        table.add_column(column, justify="right" if column else "left")
    for name, line in told["table"].items():
        if line["unavailable"] is not None:
            table.add_row(name, *["–"] * 10, line["unavailable"]["en"])
            continue
        checked = line["parity"]
        fine = (
            "" if checked is None else "yes" if checked["holds"] else ",".join(checked["refused"])
        )
        table.add_row(
            name, f"{line['size_mb']:.1f}", *times(line),
            f"{line['test'].get('accuracy', 0):.4f}", f"{line['points_lost']:.2f}",
            f"{line['agreement']:.4f}", fine,
        )  # fmt: skip
    for name, line in told["peers"].items():
        table.add_row(name, "", *times(line), f"{told['accuracy'][name]:.4f}")
    for name, reason in told["left_out"].items():
        table.add_row(name, *["–"] * 10, reason)
    console = Console(width=150)
    console.print(table)
    wanted = Table(title=f"{told['ships']} ships")
    for column in ("", "found", "wanted", ""):
        wanted.add_column(column, justify="right" if column else "left")
    for one in told["ratios"]:
        wanted.add_row(
            one["what"], f"{one['found']:.2f}", one["wanted"], "" if one["reached"] else "missed"
        )
    console.print(wanted)


def times(line: Mapping[str, Any]) -> list[str]:
    """Return the cells of a line about memory and time."""
    energy = line["wh_per_1000_texts"]
    return [
        f"{line['memory_mb']:.0f}", f"{line['cold_start_s']:.2f}", f"{line['latency_ms_p50']:.2f}",
        f"{line['latency_ms_p95']:.2f}", f"{line['texts_per_second']:,.0f}",
        "–" if energy is None else f"{energy:.3f}",
    ]  # fmt: skip


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--project", type=Path, default=ROOT, help="a project after dvc repro")
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    asked = parser.parse_args()
    be_quiet()
    os.chdir(asked.project)
    WORK.mkdir(parents=True, exist_ok=True)
    commands, left_out = peers()
    found, told = compare(asked.variants, commands)
    told |= {
        "peers": {name: asdict(speed) for name, speed in found.beside.items()},
        "accuracy": qualities(commands),
        "left_out": left_out,
    }
    told["ratios"] = list(ratios(told))
    (WORK / "optimize.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    show(told)


if __name__ == "__main__":
    main()
