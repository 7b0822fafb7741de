"""Test: how good the saved model is on records nobody looked at, and how sure that is."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.evaluation import intervals, metrics
from pipeline.evaluation.answers import ask
from pipeline.modeling.baselines import Baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.stage import run


def test(params: Params) -> None:
    """Measure the saved model through the interface that serves, beside the baselines."""
    knobs = params.test
    artifacts.verify_manifest(artifacts.TRAIN)
    answers = ask(
        TorchPredictor.load(artifacts.TRAIN / "model"),
        Baselines.load(artifacts.TRAIN / "baselines"),
        artifacts.part("test"),
        knobs.batch_size,
    )
    task, truth, predicted = answers.task, answers.truth, answers.predicted
    strongest, cheap = answers.strongest, answers.baseline_figures()
    sure = intervals.bootstrap(
        task,
        truth,
        {intervals.MODEL: predicted, **answers.baselines},
        samples=knobs.bootstrap_samples,
        confidence=knobs.confidence,
        seed=knobs.seed,
    )
    gain = sure[f"{intervals.MODEL} - {strongest}"][task.main]
    report = {
        "records": len(truth),
        "task": task.name,
        "main": task.main,
        "strongest": strongest,
        "worth_it": intervals.worth_it(task, strongest, gain),
        "confidence": knobs.confidence,
        "intervals": sure,
        "per_label": metrics.per_label(task, truth, predicted),
        "confusion": metrics.confusion(task, truth, predicted),
        "worst_errors": metrics.worst_errors(
            task, answers.records, answers.scores, count=knobs.worst_errors
        ),
    }
    figures = {"model": answers.figures(), "baseline": cheap[strongest], "baselines": cheap}
    with artifacts.output_folder(artifacts.TEST) as folder:
        artifacts.write_json(folder / artifacts.METRICS, figures)
        artifacts.write_csv(
            folder / "confusion.csv",
            ("actual", "predicted"),
            metrics.pairs(task, truth, predicted),
        )
        artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(test)
