"""Fine-tuning beside transformers' Trainer, in one run, on the same cores (``make bench-train``).

Same model (MiniLM), records (TREC-6), batch, learning rate and schedule; what differs is how:

==========  ============================================================================
``ours``    ``fitting.fit`` with the project's params, as the stage train does it
``padded``  Trainer, every text padded to the longest input, fp32
``dynamic`` Trainer, each batch padded to its longest text, fp32
``grouped`` Trainer, texts of like length together, bf16 where the processor has it
==========  ============================================================================

Speed is taken over a number of steps after a warm-up, in rounds that take turns. Quality is
macro-F1 on the validation part after all epochs, over several seeds. Results are printed and
written to ``work/benchmarks/training.json``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from pipeline.quiet import be_quiet

ROOT = Path(__file__).parents[1]
WORK = ROOT / "work/benchmarks"
PACKAGES = ROOT / "work/packages"
WAYS = ("ours", "padded", "dynamic", "grouped")
WANTED = {"padded": 10.0, "dynamic": 3.0, "grouped": 1.3}
WARM_UP = 3  # steps
# Floating-point operations a second in bf16 without sparsity, as the makers' data sheets say.
PEAKS = {"H200": 989e12, "H100": 989e12, "H20": 148e12, "A100": 312e12, "L40S": 362e12,
         "L4": 121e12, "A10": 125e12}  # fmt: skip


def bring(folder: Path) -> Path:
    """Run the stages in front of train in ``folder``, unless they were run there before."""
    import subprocess

    if (folder / "models/init/manifest.json").exists():
        return folder
    lay_out(folder)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for stage in ("collect", "clean", "label", "split", "init"):
        subprocess.run(
            [sys.executable, "-m", f"pipeline.{stage}"], cwd=folder, env=environment, check=True
        )
    return folder


def lay_out(folder: Path) -> None:
    """Copy the project's params and inputs into ``folder``, and packages that were fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / "params.yaml", folder)
    for name in ("data/raw", "data/annotations", "data/synonyms", "data/snapshots", "models/base"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    if PACKAGES.exists() and not (folder / "work/packages").exists():
        shutil.copytree(PACKAGES, folder / "work/packages")


def knobs_of(seed: int, **changes: Any) -> Any:
    """Return the project's section ``train`` with some values changed."""
    from pipeline.params import load

    section = load(Path("params.yaml")).train
    return section.model_copy(update={"seed": seed, "patience": 0, **changes})


class Stopwatch:
    """A callback that times steps after a warm-up, and stops when it has seen enough.

    :param steps: to time; 0 for a whole run.
    """

    def __new__(cls, steps: int) -> Any:
        """Return a callback; transformers is imported here."""
        from transformers import TrainerCallback

        class Watch(TrainerCallback):  # type: ignore[misc]
            seconds, begun, ended = 0.0, 0.0, 0

            def on_step_end(self, args: Any, state: Any, control: Any, **_others: Any) -> None:
                if state.global_step == WARM_UP:
                    synchronize()
                    self.begun = time.perf_counter()
                if steps and state.global_step == WARM_UP + steps:
                    synchronize()
                    self.seconds = time.perf_counter() - self.begun
                    control.should_training_stop = True

            def on_epoch_end(self, args: Any, state: Any, control: Any, **_others: Any) -> None:
                if control.should_training_stop:
                    control.should_evaluate = control.should_save = False

        return Watch()


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def trainer_of(way: str, seed: int, steps: int, folder: Path, max_tokens: int) -> tuple[Any, Any]:
    """Return a Trainer for one way, ready to train, and its stopwatch.

    :param steps: to time; 0 trains all epochs and evaluates each.
    """
    from pipeline import artifacts
    from pipeline.modeling import material

    knobs = knobs_of(seed)
    start = artifacts.INIT / "model"
    files = {name: artifacts.part(name) for name in ("train", "validation")}
    watch = Stopwatch(steps)
    if way == "ours":
        return ours(knobs, start, files, folder, steps), watch
    plain = knobs.model_copy(update={"freeze_embeddings": False})
    made = material.gather(start, files, plain)
    return theirs(way, made, knobs, folder, steps, max_tokens), watch


def ours(knobs: Any, start: Path, files: Any, folder: Path, steps: int) -> Any:
    """Return our trainer as ``fitting.train_once`` makes it."""
    from pipeline.modeling import fitting

    if steps:  # no checkpoint falls among the timed steps of any way
        knobs = knobs.model_copy(update={"checkpoint_steps": 1_000_000})
    return fitting.ready(start, files, knobs, folder).trainer


def theirs(way: str, made: Any, knobs: Any, folder: Path, steps: int, max_tokens: int) -> Any:
    """Return transformers' Trainer as its documentation sets it up."""
    import torch
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

    from pipeline.modeling import material, training

    cpu = not torch.cuda.is_available()
    fast = training.precision("auto", cpu=cpu)
    padding = {"padding": "max_length", "max_length": max_tokens} if way == "padded" else {}
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=knobs.epochs,
        per_device_train_batch_size=knobs.batch_size,
        per_device_eval_batch_size=2 * knobs.batch_size,
        learning_rate=knobs.learning_rate,
        warmup_steps=knobs.schedule.warmup_share,
        weight_decay=knobs.weight_decay,
        label_smoothing_factor=knobs.loss.label_smoothing,
        max_grad_norm=knobs.max_gradient_norm,
        train_sampling_strategy="group_by_length" if way == "grouped" else "random",
        bf16=way == "grouped" and fast == "bf16",
        use_cpu=cpu,
        eval_strategy="no" if steps else "epoch",
        save_strategy="no" if steps else "epoch",
        load_best_model_at_end=not steps,
        metric_for_best_model="macro_f1",
        save_total_limit=1,
        logging_steps=10,
        disable_tqdm=True,
        report_to="none",
        seed=knobs.seed,
    )
    trainer = Trainer(
        model=made.model,
        args=arguments,
        train_dataset=made.parts["train"],
        eval_dataset=made.parts["validation"],
        data_collator=DataCollatorWithPadding(made.padder, **padding),
        compute_metrics=material.judge(made.task, made.scaling),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def timed(way: str, steps: int, max_tokens: int) -> float:
    """Return the examples a second of one way over so many steps."""
    with temporary() as folder:
        trainer, watch = trainer_of(way, 42, steps, folder, max_tokens)
        trainer.add_callback(watch)
        trainer.train()
        examples = steps * int(trainer.args.train_batch_size)
        del trainer
        gc.collect()
        return examples / float(watch.seconds)


def macro_f1(way: str, seed: int, max_tokens: int) -> tuple[float, float]:
    """Return macro-F1 on the validation part after all epochs, and the seconds that took."""
    with temporary() as folder:
        trainer, _watch = trainer_of(way, seed, 0, folder, max_tokens)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        best = max(one["eval_macro_f1"] for one in trainer.state.log_history
                   if "eval_macro_f1" in one)  # fmt: skip
        return float(best), seconds


class temporary:  # noqa: N801 - reads as the context it is
    """A folder for checkpoints that is gone afterwards."""

    def __enter__(self) -> Path:
        WORK.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=WORK))
        return self.folder

    def __exit__(self, *_error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def speeds(ways: Sequence[str], rounds: int, steps: int, max_tokens: int) -> dict[str, list[float]]:
    """Return the examples a second of each way, round after round; the ways take turns."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in ways if turn % 2 == 0 else reversed(ways):
            found[way].append(timed(way, steps, max_tokens))
            print(f"round {turn + 1}: {way} {found[way][-1]:.1f} examples/s", flush=True)
    return found


def ratios(found: dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    """Yield how many times as fast ours is as each other way: median, and the spread of rounds."""
    for way, wanted in WANTED.items():
        if way in found:
            each = [a / b for a, b in zip(found["ours"], found[way], strict=True)]
            yield {
                "beside": way, "ratio": median(each), "lowest": min(each), "highest": max(each),
                "wanted": wanted, "reached": median(each) >= wanted,
            }  # fmt: skip


def on_gpu(examples_per_second: float) -> dict[str, Any] | None:
    """Return tokens a second and the share of the GPU's peak; None without a GPU.

    Operations are six a weight and token, less the tables that are looked up (Kaplan et al. 2020).
    """
    import torch

    if not torch.cuda.is_available():
        return None
    from pipeline import artifacts
    from pipeline.modeling import estimates, material

    knobs = knobs_of(42)
    files = {name: artifacts.part(name) for name in ("train", "validation")}
    made = material.gather(artifacts.INIT / "model", files, knobs)
    lengths = [len(one["input_ids"]) for one in made.parts["train"]]
    tokens = examples_per_second * mean(lengths)
    name = torch.cuda.get_device_name()
    peak = next((value for key, value in PEAKS.items() if key in name), None)
    operations = 6 * estimates.shape_of(made.model).matrices * tokens
    return {
        "gpu": name,
        "tokens_per_second": tokens,
        "share_of_peak": operations / peak if peak else None,
    }


def quality(seeds: int, max_tokens: int) -> dict[str, Any]:
    """Return macro-F1 of ours and of Trainer with dynamic padding, over seeds."""
    found: dict[str, list[float]] = {"ours": [], "dynamic": []}
    seconds: dict[str, list[float]] = {"ours": [], "dynamic": []}
    for seed in range(1, seeds + 1):
        for way in found:
            value, took = macro_f1(way, seed, max_tokens)
            found[way].append(value)
            seconds[way].append(took)
            print(f"seed {seed}: {way} macro-F1 {value:.4f} in {took:.0f} s", flush=True)
    spread = {way: stdev(values) if len(values) > 1 else 0.0 for way, values in found.items()}
    difference = mean(found["ours"]) - mean(found["dynamic"])
    return {
        "macro_f1": found,
        "seconds": seconds,
        "spread": spread,
        "difference": difference,
        "equal": difference >= -max(spread.values()),
    }


def show(result: dict[str, Any]) -> None:
    """Print what was measured."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Fine-tuning MiniLM on TREC-6, {result['cores']} cores, "
                        f"precision {result['precision']}")  # fmt: skip
    for column in ("", "examples/s", "ours is faster by", "wanted"):
        table.add_column(column, justify="right" if column else "left")
    lines = {one["beside"]: one for one in result["ratios"]}
    for way, values in result["examples_per_second"].items():
        one = lines.get(way)
        told = f"{one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f})" if one else ""
        table.add_row(way, f"{median(values):.1f}", told, f"{one['wanted']:g}" if one else "")
    console = Console()
    console.print(table)
    if result["precision"] == "fp32":
        console.print("This processor has no bf16: all ways compute in fp32.")
    if result["gpu"]:
        console.print(result["gpu"])
    if result["quality"]:
        told = result["quality"]
        for way, values in told["macro_f1"].items():
            console.print(f"macro-F1 {way}: {mean(values):.4f} ± {told['spread'][way]:.4f}")


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="timed steps a round")
    parser.add_argument("--seeds", type=int, default=5, help="0 leaves quality out")
    parser.add_argument("--max-tokens", type=int, default=128, help="what padded pads to")
    parser.add_argument("--threads", type=int, default=0, help="0 takes all cores")
    parser.add_argument("--project", type=Path, default=WORK / "training")
    parser.add_argument("--quick", action="store_true", help="two rounds of ten steps, no quality")
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.steps, asked.seeds = 2, 10, 0
    be_quiet()
    os.chdir(bring(asked.project))
    import torch

    from pipeline.modeling import training

    if asked.threads:
        torch.set_num_threads(asked.threads)
    cpu = not torch.cuda.is_available()
    found = speeds(WAYS, asked.rounds, asked.steps, asked.max_tokens)
    result = {
        "cores": torch.get_num_threads(),
        "precision": training.precision("auto", cpu=cpu),
        "max_tokens": asked.max_tokens,
        "steps": asked.steps,
        "examples_per_second": found,
        "ratios": list(ratios(found)),
        "gpu": on_gpu(median(found["ours"])),
        "quality": quality(asked.seeds, asked.max_tokens) if asked.seeds else None,
    }
    show(result)
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "training.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
