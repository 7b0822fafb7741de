"""What a person writes first: FastAPI around a model, one request after the other.

``python -m benchmarks.servers.plain pipeline PORT FOLDER`` serves ``transformers.pipeline`` over
the torch model in fp32; ``runtime`` serves the files that the service runs, on the same runtime.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from pipeline.quiet import be_quiet

Answer = Callable[[list[str]], list[dict[str, Any]]]


class Question(BaseModel):
    """The body of a request."""

    inputs: str | list[str]


def torch_pipeline(folder: str) -> Answer:
    """Return how ``transformers.pipeline`` answers, on one thread as everything here."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(1)
    made = pipeline("text-classification", model=folder, truncation=True)
    return lambda texts: list(made(texts))


def runtime(folder: str) -> Answer:
    """Return how the model files of the service answer; a request of OpenVINO serves one thread."""
    from pipeline.predictor import Predictor

    made, lock = Predictor.load(folder, threads=1), threading.Lock()

    def answer(texts: list[str]) -> list[dict[str, Any]]:
        with lock:
            found = made.predict(texts)
        return [{"label": best.label, "score": best.score} for (best,) in found]

    return answer


def application(answer: Answer) -> FastAPI:
    """Return an application with one route."""
    app = FastAPI()

    @app.post("/predict")
    def predict(question: Question) -> dict[str, Any]:
        """Answer in a thread of the pool, as FastAPI does with a function that may block."""
        texts = [question.inputs] if isinstance(question.inputs, str) else question.inputs
        return {"predictions": [[one] for one in answer(texts)]}

    return app


def main() -> None:
    """Serve until the process ends."""
    be_quiet()
    kind, port, folder = sys.argv[1:]
    answer = {"pipeline": torch_pipeline, "runtime": runtime}[kind](folder)
    answer(["warm"])
    uvicorn.run(
        application(answer), host="127.0.0.1", port=int(port), log_level="warning",
        access_log=False, loop="uvloop", http="httptools",
    )  # fmt: skip


if __name__ == "__main__":
    main()
