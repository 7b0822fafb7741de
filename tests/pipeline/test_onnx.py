"""ONNX copies of every family, their int8, and the bundle for phones."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.errors import ModelError
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import base, guide, mobile, onnx
from pipeline.modeling.variants.base import Context, Unavailable
from pipeline.predictor import Card, Predictor
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.helpers import changed
from tests.pipeline import families, made_models
from tests.pipeline.families import ODD, context, distance, learnt, texts, untrained, variance


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def within(trained: Path) -> Context:
    """One folder to work in, so that the model is exported once."""
    return context(trained, trained.parent / "work")


@pytest.fixture(scope="module")
def small(trained: Path, within: Context) -> Path:
    """An int8 copy, its calibration texts being from the training part."""
    folder = trained.parent / "onnx_int8"
    told = onnx.Quantized().write(trained, folder, within)
    assert told == {"calibration_texts": 30}
    return folder


@pytest.fixture(scope="module")
def exact(trained: Path, within: Context) -> Path:
    folder = trained.parent / "onnx_fp32"
    onnx.Exact().write(trained, folder, within)
    return folder


@pytest.fixture(scope="module")
def bundle(trained: Path, within: Context) -> Path:
    folder = trained.parent / "mobile"
    told = mobile.write(trained, folder, within)
    assert told == {"bytes": (folder / mobile.MODEL).stat().st_size, "precision": "int8"}
    return folder


@pytest.mark.slow  # an export takes ten seconds and more
@pytest.mark.parametrize(("family", "positions"), families.EVERY)
def test_every_family_answers_as_torch_does(tmp_path: Path, family: str, positions: str) -> None:
    source = untrained(tmp_path / "source", family, positions)
    within = context(source, tmp_path / "work")
    onnx.Exact().write(source, tmp_path / "exact", within)
    onnx.Quantized().write(source, tmp_path / "small", within)
    some = [*texts(40, 2), *ODD]
    wanted = TorchPredictor.load(source).logits(some)
    assert np.ptp(wanted, axis=0).min() > 0.1, "texts are told apart"
    exact, small = (Predictor.load(tmp_path / name) for name in ("exact", "small"))
    assert distance(exact.logits(some), wanted) < 1e-4
    assert variance(small, some) < 1e-4
    # int8 is harsh on weights as wild as these; a trained model loses far less.
    assert np.corrcoef(small.logits(some).ravel(), wanted.ravel())[0, 1] > 0.5
    size = {name: (tmp_path / name / onnx.MODEL).stat().st_size for name in ("exact", "small")}
    assert size["small"] < 0.6 * size["exact"]


def test_the_learnt_model_answers_as_torch_does(trained: Path, small: Path, exact: Path) -> None:
    some = [*texts(96, 4), *ODD]
    wanted = TorchPredictor.load(trained)
    assert distance(Predictor.load(exact).logits(some), wanted.logits(some)) < 1e-4
    model = Predictor.load(small, threads=1)
    assert model.answers(some) == wanted.answers(some)
    assert not np.array_equal(model.logits(some), wanted.logits(some)), "it is int8 indeed"
    assert variance(model, some) < 1e-4


def test_serving_imports_neither_torch_nor_transformers(small: Path) -> None:
    answer, heavy, engines = families.served(small, "my parcel is late")
    assert answer == "['delivery']"
    assert heavy == "set()"
    assert engines == "{'onnxruntime'}"


def test_a_file_that_was_cut_off_or_changed_is_refused(small: Path, tmp_path: Path) -> None:
    for name, folder in families.damaged(small, tmp_path):
        with pytest.raises(ModelError, match=rf"{name}: found content that differs from the man"):
            Predictor.load(folder)


def test_a_graph_tells_nothing_of_where_it_was_made(exact: Path) -> None:
    content = (exact / onnx.MODEL).read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_weights_are_int8_and_the_rest_is_not(small: Path) -> None:
    import onnx as library

    graph = library.load(small / onnx.MODEL).graph
    large = [one for one in graph.initializer if np.prod(one.dims) >= 32 * 32]
    assert len(large) >= 6, "four of attention, two of the layer"
    types = {library.TensorProto.INT8, library.TensorProto.UINT8}
    assert all(one.data_type in types for one in large if len(one.dims) == 2)
    kinds = [node.op_type for node in graph.node]
    assert "DynamicQuantizeLinear" not in kinds, "ranges are fixed"
    assert [one.name for one in graph.output] == ["logits"]


def test_dynamic_int8_answers_by_the_company(
    trained: Path, small: Path, within: Context, tmp_path: Path
) -> None:
    """Why no such variant is offered: it takes a range over the whole batch."""
    import onnx as library
    from onnxruntime import quantization

    graph = library.load(onnx.exported(trained, within))
    del graph.graph.value_info[:]
    library.save(graph, tmp_path / "bare.onnx")
    folder = tmp_path / "dynamic"
    folder.mkdir()
    quantization.quantize_dynamic(tmp_path / "bare.onnx", folder / onnx.MODEL)
    base.seal(trained, folder, "onnx", "f32")
    some = texts(96, 4)
    fixed = variance(Predictor.load(small), some)
    assert fixed < 1e-4
    assert variance(Predictor.load(folder), some) > max(2e-4, 10 * fixed), "more without VNNI"


def test_what_is_too_large_for_one_file_is_listed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "LARGEST", 1_000)
    with pytest.raises(Unavailable, match="at most 2 GB"):
        onnx.Exact().write(trained, tmp_path / "copy", context(trained, tmp_path / "work"))
    assert not (tmp_path / "copy").exists()


def test_a_family_that_cannot_be_exported_is_listed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    class Counting(torch.nn.Module):
        """Asks how many tokens it sees, which no graph knows."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.weight * int(input_ids.sum().item() > attention_mask.sum().item())

    monkeypatch.setattr(onnx.tracing, "plain", lambda *_given: Counting())
    with pytest.raises(Unavailable, match=r"torch\.onnx\.export refuses this family"):
        onnx.export(trained, tmp_path / "model.onnx")


def test_the_bundle_answers_as_the_int8_copy(bundle: Path, small: Path, trained: Path) -> None:
    some = [*texts(60, 7), *ODD]
    phone, desk = Predictor.load(bundle), Predictor.load(small)
    assert phone.scores(some) == pytest.approx(desk.scores(some), abs=1e-4)
    assert phone.answers(some) == TorchPredictor.load(trained).answers(some)
    assert variance(phone, some) < 1e-4
    assert not (bundle / onnx.MODEL).exists()


def test_a_team_shares_a_session_and_answers_at_once(small: Path) -> None:
    some = texts(60, 7)
    wanted, team = Predictor.load(small, threads=1).logits(some), Predictor.team(small, 3)
    assert len({id(one.engine.session) for one in team}) == 1  # type: ignore[union-attr]
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda one: one.logits(some), team * 4):
            assert distance(found, wanted) < 1e-4


def test_the_bundle_is_read_by_onnx_runtime_alone(bundle: Path) -> None:
    """As an app reads it: by the names in the guide, with the tokens of check.json."""
    import onnxruntime

    content = (bundle / mobile.MODEL).read_bytes()
    assert content[4:8] == b"ORTM", "ONNX Runtime's own format"
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    for one in json.loads((bundle / mobile.CHECK).read_text(encoding="utf-8")):
        ids = np.array([one["input_ids"]], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        assert session.run(["logits"], given)[0][0] == pytest.approx(one["logits"], abs=1e-5)
    assert json.loads((bundle / mobile.LABELS).read_text()) == made_models.LABELS


def test_a_bundle_can_be_exact(trained: Path, within: Context, tmp_path: Path) -> None:
    told = mobile.write(trained, tmp_path / "mobile", within, quantized=False)
    assert told["precision"] == "fp32"
    wanted = TorchPredictor.load(trained).logits(texts(60, 7))
    assert distance(Predictor.load(tmp_path / "mobile").logits(texts(60, 7)), wanted) < 1e-4


def test_the_guide_is_for_this_model(bundle: Path) -> None:
    artifacts.verify_manifest(bundle)
    told = (bundle / mobile.GUIDE).read_text(encoding="utf-8")
    assert told.count("```kotlin") == told.count("```swift") == 2, "English and Chinese"
    assert '"maxLength" to "32"' in told
    assert "ids.prefix(32 - 1) + ids.suffix(1)" in told, "[SEP] stays when a text is cut"
    assert "MAX_TOKENS" not in told
    assert "END_SIGNS" not in told
    assert "softmax(logits / 1)" in told
    assert told.count("NFKC") >= 2
    assert str(bundle.parent) not in told


@pytest.mark.parametrize(
    ("task", "said"),
    [(SINGLE, "softmax(logits / 1.5)"), (MULTI, "sigmoid(logits / 1.5)"), (REGRESSION, "number")],
)
def test_the_guide_says_what_logits_mean(task: str, said: str) -> None:
    plain = dict.fromkeys(("repair", "html", "unicode", "width", "simplified"), False)
    kept = {"urls": "mask", "emails": "keep", "control": False, "white_space": True}
    mask = {"kinds": ["phone"], "region": "US"}
    card = Card(task, made_models.labels_of(task), 32, plain | kept, mask, 1.5)
    told = "\n".join(guide.lines(card, made_models.tokenizer(), "en"))
    assert said in told
    assert "addresses of web pages: mask" in told
    assert "addresses of e-mail" not in told
    assert '"phone"' in told
    assert "one space between words" in told


def test_the_guide_knows_every_step_of_normalization() -> None:
    assert set(guide.STEPS) == set(changed().clean.normalize.model_dump())


def test_the_guide_tells_of_a_threshold_between_two_labels() -> None:
    whole = changed().clean.normalize.model_dump()
    mask = {"kinds": [], "region": "US"}
    card = Card(SINGLE, ["ham", "spam"], 32, whole, mask, 1.5, {"spam": 0.7})
    assert guide.scores(card).render("en").endswith("is spam from 0.7 on, else the other label")
