"""Validate: may this model go on? A gate that does not hold stops the pipeline."""

from __future__ import annotations

from dataclasses import asdict

from pipeline import artifacts
from pipeline.evaluation import gates
from pipeline.evaluation.answers import ask
from pipeline.modeling.baselines import Baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.stage import run


def validate(params: Params) -> None:
    """Measure the model on the validation part, write the figures down, then judge them."""
    knobs = params.validate_
    artifacts.verify_manifest(artifacts.TRAIN)
    answers = ask(
        TorchPredictor.load(artifacts.TRAIN / "model"),
        Baselines.load(artifacts.TRAIN / "baselines"),
        artifacts.part("validation"),
        knobs.batch_size,
    )
    task, figures, cheap = answers.task, answers.figures(), answers.baseline_figures()
    figures |= {f"baseline_{name}": value for name, value in cheap[answers.strongest].items()}
    verdicts = gates.judge(
        knobs.gates,
        figures,
        beat=task.main if knobs.better_than_baseline else None,
        greater=task.greater_is_better(task.main),
    )
    report = {
        "records": len(answers.truth),
        "main": task.main,
        "strongest": answers.strongest,
        "gates": [asdict(verdict) for verdict in verdicts],
    }
    with artifacts.output_folder(artifacts.VALIDATE) as folder:
        artifacts.write_json(folder / artifacts.METRICS, figures | {"baselines": cheap})
        artifacts.write_json(folder / artifacts.REPORT, report)
    gates.refuse_failed(verdicts, figures)


if __name__ == "__main__":
    run(validate)
