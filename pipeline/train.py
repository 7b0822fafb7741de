"""Train: fine-tune the model and fit the baseline beside it."""

from __future__ import annotations

import time

from pipeline import artifacts
from pipeline.modeling import baseline, checkpoints
from pipeline.params import Params
from pipeline.stage import run


def train(params: Params) -> None:
    """Train until the validation part says stop; save the best model, loaded again and compared."""
    from pipeline.modeling import fitting, training  # torch, only once be_quiet was called

    knobs, start = params.train, artifacts.INIT / "model"
    artifacts.verify_manifest(artifacts.INIT)
    files = {name: artifacts.part(name) for name in ("train", "validation")}
    work = artifacts.WORK / "train"
    mark = checkpoints.fingerprint(
        knobs.model_dump(), [*files.values(), artifacts.INIT / artifacts.MANIFEST]
    )
    with checkpoints.only_one(work):
        checkpoints.forget_old(work, work / mark)
        (work / mark).mkdir(exist_ok=True)
        started = time.monotonic()
        learnt = artifacts.read_records(files["train"])
        cheap = baseline.fit(
            learnt["text"].to_pylist(),
            learnt["label"].to_pylist(),
            seed=knobs.seed,
            **knobs.baseline.model_dump(),
        )
        baseline_seconds = time.monotonic() - started
        model, outcome = fitting.fit(start, files, knobs, work / mark)
        steps, epochs = fitting.curves(outcome.history)
        texts = artifacts.read_records(files["validation"])["text"].to_pylist()
        with artifacts.output_folder(artifacts.TRAIN) as folder:
            fitting.save(model, start, folder / "model", texts)
            cheap.save(folder)
            artifacts.write_csv(
                folder / "steps.csv", ("step", "loss", "learning_rate", "gradient_norm"), steps
            )
            artifacts.write_csv(
                folder / "epochs.csv", ("epoch", "loss", "accuracy", "macro_f1"), epochs
            )
            report = {
                "records": len(learnt),
                "steps": outcome.steps,
                "best_step": outcome.best_step,
                f"best_{knobs.metric}": outcome.best_value,
                "resumed_from_step": outcome.resumed_from,
                "seconds": round(time.monotonic() - started, 1),
                "baseline_seconds": round(baseline_seconds, 1),
                "device": training.device(knobs.device),
            }
            artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(train)
