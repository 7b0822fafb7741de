"""Test: how good the saved model is on records nobody looked at, and how sure that is."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.evaluation import intervals, metrics
from pipeline.evaluation.answers import ask
from pipeline.modeling.baseline import Baseline
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.stage import run


def test(params: Params) -> None:
    """Measure the saved model through the interface that serves, beside the baseline."""
    knobs = params.test
    artifacts.verify_manifest(artifacts.TRAIN)
    answers = ask(
        TorchPredictor.load(artifacts.TRAIN / "model"),
        Baseline.load(artifacts.TRAIN),
        artifacts.part("test"),
        knobs.batch_size,
    )
    truth, labels = answers.truth, answers.labels
    figures = metrics.figures(truth, answers.predicted, labels)
    figures["loss"] = metrics.log_loss(truth, answers.probabilities, labels)
    sure = intervals.bootstrap(
        truth,
        {"model": answers.predicted, "baseline": answers.baseline},
        labels,
        samples=knobs.bootstrap_samples,
        confidence=knobs.confidence,
        seed=knobs.seed,
    )
    report = {
        "records": len(truth),
        "confidence": knobs.confidence,
        "intervals": sure,
        "per_label": metrics.per_label(truth, answers.predicted, labels),
        "confusion": {
            "labels": labels,
            "counts": metrics.confusion(truth, answers.predicted, labels),
        },
        "worst_errors": metrics.worst_errors(
            answers.records, answers.probabilities, labels, count=knobs.worst_errors
        ),
    }
    with artifacts.output_folder(artifacts.TEST) as folder:
        artifacts.write_json(
            folder / artifacts.METRICS,
            {"model": figures, "baseline": metrics.figures(truth, answers.baseline, labels)},
        )
        artifacts.write_csv(
            folder / "confusion.csv",
            ("actual", "predicted"),
            zip(truth, answers.predicted, strict=True),
        )
        artifacts.write_json(folder / artifacts.REPORT, report)


if __name__ == "__main__":
    run(test)
