"""Train: fine-tune the model and fit the baselines beside it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pipeline import artifacts
from pipeline.modeling import baselines, checkpoints, measuring, recording, reporting, stopping
from pipeline.params import Params
from pipeline.predictor import Card
from pipeline.stage import run
from pipeline.tasks import task as tasks


def train(params: Params) -> None:
    """Train until the validation part says stop; save the best model, loaded again and compared."""
    from pipeline.modeling import fitting, saving, training  # torch, only once be_quiet was called

    knobs, start = params.train, artifacts.INIT / "model"
    artifacts.verify_manifest(artifacts.INIT)
    files = {name: artifacts.part(name) for name in ("train", "validation")}
    inputs = [*files.values(), artifacts.INIT / artifacts.MANIFEST]
    place = artifacts.WORK / "train"
    work = place / checkpoints.fingerprint(knobs.model_dump(), inputs)
    began, started = datetime.now(UTC), time.monotonic()
    with stopping.stoppable(), checkpoints.only_one(place):
        checkpoints.forget_old(place, work)
        work.mkdir(exist_ok=True)
        learnt, judged = (artifacts.read_records(path).to_pylist() for path in files.values())
        card = Card.read(start)
        task = tasks.of(card.task, card.labels)
        cheap = baselines.fit_all(
            task, learnt, judged, knobs.baselines,
            seed=knobs.seed, start=start, cache=artifacts.WORK / "embeddings",
        )  # fmt: skip
        baseline_seconds = time.monotonic() - started
        estimate = reporting.foresee(start, files, knobs, work)
        device = training.device(knobs.device)
        with measuring.Meter(knobs.costs, device, processes=knobs.launcher.processes) as meter:
            model, outcome = fitting.fit(start, files, knobs, work)
        actual = meter.actual()
        steps, epochs = recording.curves(outcome.history, knobs.metric)
        times = {
            "began": began.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "training_seconds": round(actual["seconds"], 1),
        }
        with artifacts.output_folder(artifacts.TRAIN) as folder:
            saving.save(model, start, folder / "model", [one["text"] for one in judged])
            saving.write_origin(folder / "model", knobs, outcome, inputs, times)
            cheap.save(folder / "baselines")
            artifacts.write_csv(folder / "steps.csv", *steps)
            artifacts.write_csv(folder / "epochs.csv", *epochs)
            recording.export(outcome.history, folder)
            report = {
                "records": len(learnt),
                "steps": outcome.steps,
                "best_step": outcome.best_step,
                f"best_{knobs.metric}": outcome.best_value,
                "resumed_from_step": outcome.resumed_from,
                "halvings": outcome.halvings,
                "seconds": round(time.monotonic() - started, 1),
                "baseline_seconds": round(baseline_seconds, 1),
                "device": device,
                "baselines": cheap.report(),
                **reporting.worth(task, outcome, cheap),
                **reporting.costs(estimate, actual, outcome),
            }
            artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(train)
