"""LitServe over the very files that the service runs, in an environment of its own.

``.venv-litserve/bin/python -m benchmarks.servers.lit PORT FOLDER BATCH``. Batches are what LitServe
is for; BATCH 1 turns them off, which on a processor can be the faster way, so both are measured.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve

WAIT = 0.005  # seconds that a batch waits for company


class Api(litserve.LitAPI):  # type: ignore[misc]
    """One worker on one thread."""

    def __init__(self, folder: str, batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=WAIT if batch > 1 else 0.0)
        self.folder, self.batched = folder, batch > 1

    def setup(self, device: str) -> None:
        """Load the model, in the worker's process."""
        from pipeline.predictor import Predictor

        self.predictor = Predictor.load(self.folder, threads=1)

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Return the text of a request; LitServe takes an annotation for a schema of its own."""
        return str(request["inputs"])

    def predict(self, inputs: Any) -> Any:
        """Answer a text, or a batch of them."""
        texts = inputs if self.batched else [inputs]
        found = [{"label": best.label, "score": best.score} for (best,) in
                 self.predictor.predict(texts)]  # fmt: skip
        return found if self.batched else found[0]

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the body of an answer."""
        return {"predictions": [[output]]}


if __name__ == "__main__":
    port, folder, batch = sys.argv[1:]
    server = litserve.LitServer(Api(folder, int(batch)), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False,
        access_log=False,
    )  # fmt: skip
