"""A tiny real model, releases of it, and a real service over HTTP; nothing of torch.

The model adds up what each word of a text says about each label, so that its answers are known:
the word for a label decides, whatever stands beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.service import main
from pipeline import artifacts
from pipeline.params import Params
from pipeline.predictor import CARD, Card, Predictor
from pipeline.releases import golden, state
from pipeline.schema.releasing import Golden
from pipeline.schema.serving import Serve
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.helpers import changed
from tests.pipeline.made_models import LABELS, SIGNS, VOCABULARY, records, tokenizer

SMALL: dict[str, Any] = {
    "serve.port": 0,
    "serve.workers": 2,
    "serve.batching": {"budget": 256, "queue": 128, "deadline_ms": 10_000},
    "serve.limits": {"body_kb": 64, "body_seconds": 5, "connections": 64, "texts": 64,
                     "characters": 1_000},
    "serve.rate": {"texts_per_second": 0.0, "burst": 64, "clients": 100},
    "serve.demo.enabled": False,
    "serve.demo.variants": 8,
    "serve.demo.queue": 4,
    "serve.demo.concurrency": 1,
    "serve.demo.upload_kb": 64,
    "serve.demo.rows": 100,
    "canary.check_seconds": 0.2,
    "traffic.language": False,
    "traffic.features": False,
    "traffic.flush_ms": 20,
    "monitor.enabled": False,
    "alerts.enabled": False,
}  # fmt: skip
CERTAIN = 60.0  # what the word for a label adds to its logit, divided by the text's length


def sections(**changes: Any) -> Params:
    """Return small params; ``batching__queue=5`` changes a value of ``serve``.

    :raises ParamsError: if the changes are not allowed.
    """
    named = {f"serve.{name.replace('__', '.')}": one for name, one in changes.items()}
    return changed(copy.deepcopy(SMALL) | named)


def serve(**changes: Any) -> Serve:
    """Return the section ``serve`` of small params."""
    return sections(**changes).serve


def model(folder: Path, task: str = SINGLE, *, masked: bool = True, turned: bool = False) -> Path:
    """Write a model folder as ``optimize`` does.

    :param masked: false makes a model that takes padding for text.
    :param turned: answers with the next label instead.
    """
    import openvino
    from openvino import opset13 as ops

    outputs = 1 if task == REGRESSION else len(LABELS)
    words = np.random.default_rng(1).normal(0, 0.1, (len(VOCABULARY), outputs)).astype(np.float32)
    for at, label in enumerate(LABELS):
        words[VOCABULARY.index(SIGNS[label]), (at + turned) % outputs] += CERTAIN
    ids, mask = (
        ops.parameter([-1, -1], np.int64, name=name) for name in ("input_ids", "attention_mask")
    )
    weight = ops.convert(mask, "f32")
    if not masked:
        weight = ops.add(ops.multiply(weight, np.float32(0)), np.float32(1))
    bias = np.float32(-3 if task == MULTI else 0)
    rows = ops.gather(ops.constant(words), ids, ops.constant(np.int64(0)))
    total = ops.reduce_sum(
        ops.multiply(rows, ops.unsqueeze(weight, np.int64(2))), np.array([1], np.int64)
    )
    count = ops.reduce_sum(weight, np.array([1], np.int64), keep_dims=True)
    made = openvino.Model(
        [ops.result(ops.add(ops.divide(total, count), bias))], [ids, mask], "tiny"
    )
    for port, name in zip(made.inputs, ("input_ids", "attention_mask"), strict=True):
        port.get_tensor().set_names({name})
    made.outputs[0].get_tensor().set_names({"logits"})
    folder.mkdir(parents=True)
    openvino.save_model(made, folder / "openvino_model.xml", compress_to_fp16=False)
    tokenizer().save(str(folder / "tokenizer.json"))
    whole = changed().clean.normalize.model_dump()
    labels = [] if task == REGRESSION else LABELS
    card = Card(task, labels, 32, whole, {"kinds": [], "region": "US"})
    (folder / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")
    artifacts.write_manifest(folder)
    return folder


def recard(folder: Path, **changes: Any) -> Path:
    """Change what a model knows about itself."""
    card = replace(Card.read(folder), **changes)
    (folder / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")
    artifacts.write_manifest(folder)
    return folder


def release(root: Path, version: str, task: str = SINGLE, **kind: Any) -> Path:
    """Write a release of a tiny model; nothing serves it yet."""
    origin = {
        "version": version, "created": "2026-01-01T00:00:00.000+00:00", "by": "test",
        "commit": None, "dirty": None, "dvc_lock": None, "python": "3.11", "task": task,
        "main": "macro_f1", "variant": "openvino_fp32", "kept_every_gate": True,
        "limits": {"en": ["It knows three words."], "zh": ["它只认识三个词。"]},
    }  # fmt: skip
    known = records(task, 60, 2)
    if kind.get("turned"):  # a wrong model's own answers are its golden ones
        following = dict(zip(LABELS, (*LABELS[1:], LABELS[0]), strict=True))
        known = [one | {"label": following[one["label"]]} for one in known]
    with artifacts.output_folder(root / version) as folder:
        model(folder / "model", task, **kind)
        predictor = Predictor.load(folder / "model", threads=1)
        scores = predictor.scores([one["text"] for one in known])
        knobs = Golden(questions=5, agreement=1.0, tolerance=0.05)
        artifacts.write_json(
            folder / "golden.json", golden.choose(predictor, known, scores, knobs, 1)
        )
        artifacts.write_json(folder / "examples.json", [{"text": "my money", "label": "refund"}])
        artifacts.write_json(folder / "origin.json", origin)
        artifacts.write_json(folder / "metrics.json", {"optimize": {"test": {"macro_f1": 1.0}}})
        (folder / "README.md").write_text("# tiny\n", encoding="utf-8")
    return root / version


def promoted(root: Path, version: str = "1.0.0", **kind: Any) -> None:
    """Write a release and let it serve."""
    release(root / "releases", version, **kind)
    state.promote(version, "test", root=root / "releases")


def copied(root: Path, folder: Path) -> Path:
    """Copy a project with its releases."""
    shutil.copytree(root / "releases", folder / "releases")
    return folder


@contextlib.contextmanager
def served(
    root: Path, env: Mapping[str, str] | None = None, **changes: Any
) -> Iterator[httpx.Client]:
    """Run the service of a project in a thread and yield a client of it."""
    params = sections(**changes)
    app = main.build(params, env or {}, root)
    listener = main.listen(params.serve)
    server = main.server_of(app, params.serve)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            assert time.monotonic() < deadline, "the service did not start in time"
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=10.0, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the service did not end"


def run(work: Any) -> Any:
    """Run a coroutine for at most half a minute."""
    return asyncio.run(asyncio.wait_for(work, 30))


EVERY = (SINGLE, MULTI, REGRESSION)
