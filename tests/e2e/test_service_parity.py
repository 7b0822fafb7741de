"""The model that was trained, the variant that ships, REST and the demo give one answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import artifacts
from pipeline.evaluation import parity
from pipeline.evaluation.calibration import Fitted
from pipeline.modeling.predictor import TorchPredictor
from pipeline.params import load
from pipeline.predictor import Predictor
from tests.app.browser import Browser
from tests.e2e.project import Project
from tests.e2e.served import ALONE, Service

pytestmark = pytest.mark.e2e
AT_ONCE = 32
SHOWN = 1e-6  # to which the demo's bars are rounded


@pytest.fixture(scope="module")
def project(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a whole run, whose model is released."""
    made = built.copy(tmp_path_factory.mktemp("released") / "project")
    made.run(sys.executable, "-m", "pipeline.release", "create", "--promote")
    return made


@pytest.fixture(scope="module")
def service(project: Project) -> Iterator[Service]:
    """Its service, with no package but those of requirements-service.txt."""
    with Service(project.folder, module=ALONE) as made:
        yield made


@pytest.fixture(scope="module")
def records(project: Project) -> list[str]:
    """The texts of the whole validation part."""
    path = project.folder / artifacts.part("validation")
    texts: list[str] = artifacts.read_records(path)["text"].to_pylist()
    assert len(texts) > AT_ONCE
    return texts


def test_a_whole_run_is_served_and_tagged(project: Project, service: Service) -> None:
    page = service.client.get("/demo/", follow_redirects=True)
    assert page.status_code == 200
    assert "gradio" in page.text
    assert service.health()["status"] == "ok"
    tags = subprocess.run(
        ["git", "tag"], cwd=project.folder, text=True, stdout=subprocess.PIPE, check=True
    )
    assert re.search(r"^\w+@v\d+\.\d+\.\d+$", tags.stdout, re.MULTILINE)


def test_rest_answers_every_record_as_the_trained_model_does(
    project: Project, service: Service, records: list[str]
) -> None:
    """Alone, in batches and in any order, which ``parity.check`` tries."""
    whole = load(project.folder / "params.yaml")
    fitted = Fitted.read(project.folder / "models/validate/calibration.json")
    original = TorchPredictor.load(project.folder / "models/train/model", fitted)
    outputs = original.task.outputs

    def asked(texts: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
        found: list[dict[str, float]] = []
        for start in range(0, len(texts), AT_ONCE):
            inputs = list(texts[start : start + AT_ONCE])
            wanted = {"inputs": inputs, "parameters": {"top_k": len(outputs)}}
            answer = service.client.post("/predict", json=wanted).raise_for_status()
            found += [
                {one["label"]: one["score"] for one in row} for row in answer.json()["predictions"]
            ]
        labels = [next(iter(row)) for row in found]  # best first
        return labels, np.array([[row[name] for name in outputs] for row in found])

    checked = parity.check(original, asked, records, whole.optimize.parity)
    assert checked["holds"], checked
    assert checked["records"] == len(records)
    shipped = Predictor.load(project.folder / "models/optimize/model")
    labels, scores = asked(records)
    assert labels == shipped.answers(records)
    assert abs(scores - shipped.scores(records)).max() < whole.optimize.parity.invariance


def test_the_demo_shows_what_rest_answers(service: Service, records: list[str]) -> None:
    browser = Browser(service.client)
    for text in records:
        browser.write("text", text)
        browser.do("ask")
        shown = {one["label"]: one["confidence"] for one in browser.value("bars")["confidences"]}
        (row,) = service.ask(text).json()["predictions"]
        best = row[0]
        assert best["label"] in browser.value("answer")
        assert max(shown, key=lambda name: shown[name]) == best["label"]
        assert shown[best["label"]] == pytest.approx(best["score"], abs=SHOWN)
