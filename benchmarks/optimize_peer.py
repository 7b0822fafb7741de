"""Peers that ``make bench-optimize`` asks beside us: programs that answer as ``bench.serve`` does.

``pipeline FOLDER``: transformers' text-classification pipeline at its defaults, on our torch model.
``sentence FOLDER HEAD``: a sentence-transformers encoder at its defaults under a logistic
regression, which is what SetFit runs. ``fit FOLDER PARQUET HEAD`` makes that head beforehand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline.modeling import bench
from pipeline.quiet import be_quiet

Answer = Callable[[list[str], int], list[str]]


def pipeline(folder: str) -> Answer:
    """Return how transformers' pipeline answers."""
    from transformers import pipeline as made

    found = made("text-classification", model=folder)
    return lambda texts, size: [one["label"] for one in found(texts, batch_size=size)]


def sentence(folder: str, head: str) -> Answer:
    """Return how an encoder and a linear head answer."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(folder)
    with np.load(head) as content:
        weights, bias, labels = (content[name] for name in ("weights", "bias", "labels"))

    def answer(texts: list[str], size: int) -> list[str]:
        scores = encoder.encode(texts, batch_size=size) @ weights.T + bias
        found: list[str] = labels[scores.argmax(axis=1)].tolist()
        return found

    return answer


def fit(folder: str, records: str, head: str) -> None:
    """Fit a logistic regression on what the encoder makes of training records, and write it."""
    import numpy as np
    import pyarrow.parquet as pq
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    table = pq.read_table(records, columns=["text", "label"])
    embedded = SentenceTransformer(folder).encode(table["text"].to_pylist(), batch_size=32)
    made = LogisticRegression(max_iter=1_000).fit(embedded, table["label"].to_pylist())
    np.savez(head, weights=made.coef_, bias=made.intercept_, labels=made.classes_.astype(str))


def main() -> None:
    """Run what the command line names."""
    channel = bench.own_channel()
    be_quiet()
    kind, *given = sys.argv[1:]
    if kind == "fit":
        fit(*given)
        return
    ways: dict[str, Callable[..., Answer]] = {"pipeline": pipeline, "sentence": sentence}
    bench.serve(ways[kind](*given), channel)


if __name__ == "__main__":
    main()
