"""Validate: may this model go on? A gate that does not hold stops the pipeline."""

from __future__ import annotations

from dataclasses import asdict

from pipeline import artifacts
from pipeline.evaluation import gates, metrics
from pipeline.evaluation.answers import ask
from pipeline.modeling.baseline import Baseline
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.stage import run


def validate(params: Params) -> None:
    """Measure the model on the validation part, write the figures down, then judge them."""
    knobs = params.validate_
    artifacts.verify_manifest(artifacts.TRAIN)
    answers = ask(
        TorchPredictor.load(artifacts.TRAIN / "model"),
        Baseline.load(artifacts.TRAIN),
        artifacts.part("validation"),
        knobs.batch_size,
    )
    figures = metrics.figures(answers.truth, answers.predicted, answers.labels)
    figures["loss"] = metrics.log_loss(answers.truth, answers.probabilities, answers.labels)
    cheap = metrics.figures(answers.truth, answers.baseline, answers.labels)
    figures |= {f"baseline_{name}": value for name, value in cheap.items()}
    verdicts = gates.judge(knobs.gates, figures, better_than_baseline=knobs.better_than_baseline)
    with artifacts.output_folder(artifacts.VALIDATE) as folder:
        artifacts.write_json(folder / artifacts.METRICS, figures)
        artifacts.write_json(
            folder / artifacts.REPORT,
            {"records": len(answers.truth), "gates": [asdict(verdict) for verdict in verdicts]},
        )
    gates.refuse_failed(verdicts, figures)


if __name__ == "__main__":
    run(validate)
