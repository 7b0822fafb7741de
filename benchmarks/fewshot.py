"""Few records a label, beside SetFit: ``make bench-fewshot``, after ``make run``.

Both start from the same encoder, learn from the same records of the training part and answer the
test part. SetFit runs as its README shows it, in an environment of its own
(requirements-fewshot.txt). Ours is train with ``contrastive``; its validation part are the same few
records, for nobody has others. Seconds are those of learning, without imports and loading of texts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WORK = Path("work/bench-fewshot")
PEER = [str(Path(".venv-fewshot/bin/python")), "-m", "benchmarks.fewshot_peer"]
SHOTS, SEEDS = (8, 16), (3, 4, 5)  # other seeds than those by which the knobs were chosen
POINTS, TIMES = 0.5, 5.0  # at most so far behind, at least so much faster
CHANGES = {
    "train.contrastive.enabled": True,
    "train.contrastive.steps": 16,
    "train.contrastive.batch_size": 48,
    "train.contrastive.learning_rate": 1e-4,
    "train.contrastive.temperature": 0.1,
    "train.epochs": 1,
    "train.learning_rate": 1e-6,
    "train.method": "full",
    "train.checkpoint_steps": 1_000,
}


def draw(shots: int, seed: int, folder: Path) -> Path:
    """Write so many records of each label of the training part; return the file."""
    import pyarrow as pa

    from pipeline import artifacts

    table = artifacts.read_records(artifacts.part("train"))
    labels = np.array(table["label"].to_pylist())
    random = np.random.default_rng(seed)
    chosen = [
        random.choice(np.flatnonzero(labels == label), shots, replace=False)
        for label in sorted(set(labels.tolist()))
    ]
    path = folder / f"{shots}-{seed}.parquet"
    artifacts.write_records(path, table.take(pa.array(np.concatenate(chosen))))
    return path


def changed(changes: dict[str, Any]) -> Any:
    """Return the project's section ``train`` with other values in some places."""
    from ruamel.yaml import YAML

    from pipeline import artifacts
    from pipeline.params import check

    content = YAML(typ="safe", pure=True).load(artifacts.PARAMS.read_text(encoding="utf-8"))
    for where, value in changes.items():
        *steps, last = where.split(".")
        place = content
        for step in steps:
            place = place[step]
        place[last] = value
    return check(json.dumps(content, ensure_ascii=False).encode()).train


def ours(records: Path, seed: int, threads: int) -> dict[str, float]:
    """Train from ``models/init`` on few records; return seconds and accuracy on the test part."""
    import transformers.trainer  # noqa: F401 - SetFit's imports are not counted either

    from pipeline import artifacts
    from pipeline.modeling import fitting, training  # noqa: F401
    from pipeline.modeling.predictor import TorchPredictor
    from pipeline.predictor import Card

    start, work = artifacts.INIT / "model", WORK / "run"
    shutil.rmtree(work, ignore_errors=True)
    knobs = changed(CHANGES | {"train.seed": seed, "train.threads": threads})
    began = time.monotonic()
    model, _outcome = fitting.fit(start, {"train": records, "validation": records}, knobs, work)
    seconds = time.monotonic() - began
    test = artifacts.read_records(artifacts.part("test"))
    tokenizer = TorchPredictor.load(start).tokenizer
    predictor = TorchPredictor(Card.read(start), tokenizer, model)
    answers = [found[0].label for found in predictor.predict(test["text"].to_pylist(), top_k=1)]
    truth = test["label"].to_pylist()
    return {"seconds": seconds, "accuracy": float(np.mean(np.array(answers) == np.array(truth)))}


def in_a_process(command: list[str], threads: int) -> dict[str, float]:
    """Run a program that prints one line of JSON last; return what it says.

    :raises subprocess.CalledProcessError: if the program fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(shots: int, seed: int, threads: int, encoder: Path) -> dict[str, Any]:
    """Return what both came to with the same records, one after the other."""
    from pipeline import artifacts

    records = draw(shots, seed, WORK)
    asked = [str(records), str(seed), str(threads)]
    us = in_a_process([sys.executable, "-m", "benchmarks.fewshot", "--one", *asked], threads)
    given = [*asked, str(encoder), str(artifacts.part("test"))]
    peer = in_a_process([*PEER, *given], threads)
    row = {"shots": shots, "seed": seed, "ours": us, "setfit": peer}
    print(json.dumps(row), flush=True)
    return row


def encoder_of_params() -> Path:
    """Return the folder of the pretrained model, as it came, with what SetFit needs of it.

    :raises FileNotFoundError: if no run has brought it and the records yet.
    :raises TypeError: if the model is of another origin.
    """
    from pipeline import artifacts
    from pipeline.params import load
    from pipeline.schema.origin import PackageOrigin

    wanted = load().init.pretrained
    if not isinstance(wanted, PackageOrigin):
        raise TypeError("SetFit needs the whole sentence encoder, which comes as a package")
    folder = artifacts.WORK / "packages" / wanted.sha256 / "content" / wanted.path
    if not (folder / "modules.json").exists() or not artifacts.part("test").exists():
        raise FileNotFoundError(f"no records, or no encoder in {folder}: run make run first")
    return folder


def report(rows: list[dict[str, Any]]) -> None:
    """Print means over seeds for each number of shots, and whether the goals are met."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="TREC-6, accuracy on the test part and seconds of learning")
    for name in ("shots", "seeds", "ours", "SetFit", "points behind", "seconds", "SetFit's",
                 "times faster", "goals"):  # fmt: skip
        table.add_column(name)
    for shots in sorted({row["shots"] for row in rows}):
        some = [row for row in rows if row["shots"] == shots]
        mine, theirs = (np.array([row[who]["accuracy"] for row in some])
                        for who in ("ours", "setfit"))  # fmt: skip
        took, took_them = (sum(row[who]["seconds"] for row in some) for who in ("ours", "setfit"))
        behind, faster = 100 * float(theirs.mean() - mine.mean()), took_them / took
        met = behind <= POINTS and faster >= TIMES
        table.add_row(
            str(shots), str(len(some)), f"{mine.mean():.3f} ± {mine.std():.3f}",
            f"{theirs.mean():.3f} ± {theirs.std():.3f}", f"{behind:+.1f}",
            f"{took / len(some):.0f}", f"{took_them / len(some):.0f}", f"{faster:.1f}",
            "met" if met else "missed",
        )  # fmt: skip
    Console(width=120).print(table)


def main() -> None:
    """Measure all, or one run of ours in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # RECORDS SEED THREADS
    given = parser.parse_args()
    if given.one:
        from pipeline.quiet import be_quiet

        be_quiet()
        print(json.dumps(ours(Path(given.one[0]), int(given.one[1]), int(given.one[2]))))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        encoder = encoder_of_params()
    except (FileNotFoundError, TypeError) as error:
        sys.exit(str(error))
    report([
        compare(shots, seed, given.threads, encoder)
        for shots in given.shots
        for seed in given.seeds
    ])  # fmt: skip


if __name__ == "__main__":
    main()
