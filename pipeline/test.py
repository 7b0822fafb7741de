"""Test: how good the saved model is on records nobody looked at, for whom, and how sure that is."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.evaluation import background, calibration, judging, writing
from pipeline.evaluation.answers import ask
from pipeline.modeling.baselines import Baselines
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import Params
from pipeline.stage import run


def test(params: Params) -> None:
    """Judge the saved model through the interface that serves; write report, page and card."""
    knobs = params.test
    artifacts.verify_manifest(artifacts.TRAIN)
    fitted = calibration.Fitted.read(artifacts.VALIDATE / calibration.FILE)
    model = TorchPredictor.load(artifacts.TRAIN / "model", fitted)
    answers = ask(
        model,
        Baselines.load(artifacts.TRAIN / "baselines"),
        artifacts.part("test"),
        knobs.batch_size,
    )
    others = judging.material(params.split.augment.synonyms)
    told = judging.judge(answers, model, others, knobs, params.validate_.groups)
    told |= background.gather(params.label.definitions)
    cheap = told["baselines"]
    figures = {"model": told["figures"], "baseline": cheap[told["strongest"]], "baselines": cheap}
    with artifacts.output_folder(artifacts.TEST) as folder:
        artifacts.write_json(folder / artifacts.METRICS, figures)
        writing.write(folder, told, answers, others.languages)


if __name__ == "__main__":
    run(test)
