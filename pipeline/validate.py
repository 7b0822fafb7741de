"""Validate: may this model go on? A gate that does not hold stops the pipeline."""

from __future__ import annotations

from dataclasses import asdict

from pipeline import artifacts
from pipeline.evaluation import calibration, evidence, gates
from pipeline.evaluation.answers import ask, released
from pipeline.modeling.baselines import Baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.stage import run


def validate(params: Params) -> None:
    """Calibrate and measure the model on the validation part, write it all down, then judge."""
    knobs, source = params.validate_, artifacts.TRAIN / "model"
    artifacts.verify_manifest(artifacts.TRAIN)
    release = released(knobs.released)
    model = TorchPredictor.load(source)
    answers = ask(
        model,
        Baselines.load(artifacts.TRAIN / "baselines"),
        artifacts.part("validation"),
        knobs.batch_size,
        knobs.calibration,
    )
    task, texts = answers.task, [one["text"] for one in answers.records]
    found = evidence.gather(answers, knobs, evidence.others(answers, release, knobs.batch_size))
    costs = evidence.costs(model, source, texts, artifacts.TRAIN / artifacts.REPORT)
    figures = found.figures | costs
    verdicts = gates.judge(
        knobs.gates,
        figures,
        found.slices,
        beat=task.main if knobs.better_than_baseline else None,
        greater=task.greater_is_better(task.main),
    )
    report = {
        "records": len(answers.truth),
        "main": task.main,
        "strongest": answers.strongest,
        "released": knobs.released or None,
        "gates": [asdict(verdict) for verdict in verdicts],
        "tuned_on_this_part": evidence.tuned(answers, knobs.calibration),
        "calibration": answers.fitted.report,
        **found.report,
        "costs": costs,
    }
    with artifacts.output_folder(artifacts.VALIDATE) as folder:
        cheap = {"baselines": answers.baseline_figures()}
        artifacts.write_json(folder / artifacts.METRICS, figures | cheap)
        artifacts.write_json(folder / artifacts.REPORT, report)
        answers.fitted.write(folder / calibration.FILE)
    gates.refuse_failed(verdicts, figures)


if __name__ == "__main__":
    run(validate)
