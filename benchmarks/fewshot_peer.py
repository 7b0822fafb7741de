"""SetFit as its README shows it, in its own environment (requirements-fewshot.txt).

``python -m benchmarks.fewshot_peer RECORDS SEED THREADS ENCODER TEST`` trains on few records with
SetFit's own defaults and prints one line of JSON: seconds of learning, accuracy on the test part.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time


def main(records: str, seed: int, threads: int, encoder: str, test: str) -> None:
    """Train and answer."""
    import pyarrow.parquet as pq
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    torch.set_num_threads(threads)
    few, asked = (pq.read_table(path, columns=["text", "label"]) for path in (records, test))
    labels = sorted(set(few["label"].to_pylist()))
    model = SetFitModel.from_pretrained(encoder, labels=labels)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder, seed=seed, report_to="none", save_strategy="no"
            ),
            train_dataset=Dataset.from_dict(few.to_pydict()),
        )
        began = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - began
    answers = model.predict(asked["text"].to_pylist())
    right = [a == b for a, b in zip(answers, asked["label"].to_pylist(), strict=True)]
    print(json.dumps({"seconds": seconds, "accuracy": sum(right) / len(right)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
