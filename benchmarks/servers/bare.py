"""The service's own batches behind one bare route: what log, metrics and validation cost beyond it.

``python -m benchmarks.servers.bare PORT FOLDER``, in a folder with the ``params.yaml`` of the
service. The same server, event loop and parser as the service, the same workers, batches and bound
of kernels; no release, no canary, no limits, no log, no metrics, no validation, no headers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.service import workers
from app.service.batching import Batcher
from app.service.errors import Refusal
from pipeline.params import load
from pipeline.predictor import bound_kernels


def application(folder: Path) -> Starlette:
    """Return an application with one route around the model of a folder."""
    knobs = load().serve
    predictors = workers.load(folder, knobs.workers)
    names = predictors[0].task.outputs
    batching = knobs.batching
    batcher = Batcher(predictors, batching.budget, batching.queue, batching.deadline_ms / 1_000)

    async def predict(request: Request) -> Response:
        """Answer one text."""
        body = json.loads(await request.body())
        try:
            answered = await batcher.ask([body["inputs"]])
        except Refusal as error:
            return Response(status_code=error.status, headers=error.headers())
        best = int(np.argmax(answered.scores[0]))
        one = {"label": names[best], "score": float(answered.scores[0, best])}
        content = json.dumps({"predictions": [[one]]}).encode()
        return Response(content, media_type="application/json")

    return Starlette(routes=[Route("/predict", predict, methods=["POST"])])


if __name__ == "__main__":
    port, model = sys.argv[1:]
    bound_kernels()
    uvicorn.run(
        application(Path(model)), host="127.0.0.1", port=int(port), log_level="warning",
        access_log=False, loop="uvloop", http="httptools",
    )  # fmt: skip
