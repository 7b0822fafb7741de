"""Copies of a model: what OpenVINO and torch run, built, served without torch, and sealed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.errors import ModelError, words
from pipeline.i18n import _
from pipeline.modeling import students
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import base, building, onnx, openvino, tracing
from pipeline.modeling.variants import torch as variants_of_torch
from pipeline.modeling.variants.base import Built, Context, Target, Unavailable
from pipeline.predictor import RUNTIME, Predictor
from pipeline.steps.targets import MULTI, REGRESSION
from tests.pipeline import families
from tests.pipeline.families import ODD, context, distance, learnt, texts, untrained, variance

INVARIANCE = 1e-4  # of scores: optimize.parity.invariance
SLOW = pytest.mark.slow
T5 = ("encoder_decoder", "relative")  # which optimum knows, but not as a classifier
WANTED = [one for one in building.TARGETS if one.startswith(("openvino", "torch"))][::-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def copies(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Copies of a trained model; those of ONNX have a file of tests of their own."""
    work = tmp_path_factory.mktemp("copies")
    return building.build(WANTED, context(trained, work))


def names(variant: str) -> tuple[list[str], str]:
    return base.parse(variant)


def test_a_name_says_what_is_done_and_what_it_runs_on() -> None:
    assert names("onnx_int8") == ([], "onnx_int8")
    assert names("distilled+pruned_units+onnx_int8") == (["distilled", "pruned_units"], "onnx_int8")


@pytest.mark.parametrize(
    ("family", "positions"),
    [pytest.param(*one, marks=() if one == T5 else SLOW) for one in families.EVERY],
)
def test_fp32_answers_as_torch_does(tmp_path: Path, family: str, positions: str) -> None:
    source = untrained(tmp_path / "source", family, positions)
    some = [*texts(40, 2), *ODD]
    wanted = TorchPredictor.load(source).logits(some)
    assert np.ptp(wanted, axis=0).min() > 0.1, "texts are told apart"
    made = building.build([], context(source, tmp_path / "work"))
    assert distance(building.load(made[base.FALLBACK]).logits(some), wanted) < 1e-4


@SLOW
@pytest.mark.parametrize(("family", "positions"), families.EVERY)
def test_int8_of_every_family(tmp_path: Path, family: str, positions: str) -> None:
    source = untrained(tmp_path / "source", family, positions)
    some = [*texts(40, 2), *ODD]
    wanted = TorchPredictor.load(source).logits(some)
    made = building.build(
        ["openvino_int8_weights", "openvino_int8"], context(source, tmp_path / "work", some[:20])
    )
    size = {name: (one.folder / openvino.BIN).stat().st_size for name, one in made.items()}
    # int8 is harsh on weights as wild as these; a trained model loses far less.
    for name, least in (("openvino_int8_weights", 0.9), ("openvino_int8", 0.5)):
        model = building.load(made[name])
        assert np.corrcoef(model.logits(some).ravel(), wanted.ravel())[0, 1] > least
        assert variance(model, some) < INVARIANCE
        assert size[name] < size["openvino_fp32"]


@pytest.mark.parametrize("task", [pytest.param(MULTI, marks=SLOW), REGRESSION])
def test_each_task_is_served_as_torch_answers(tmp_path: Path, task: str) -> None:
    source = learnt(tmp_path / "model", task)
    made = building.build([], context(source, tmp_path / "work"))
    served, wanted = Predictor.load(made[base.FALLBACK].folder), TorchPredictor.load(source)
    assert served.scores(texts(60, 3)) == pytest.approx(wanted.scores(texts(60, 3)), abs=1e-4)
    if task != REGRESSION:  # whose answers are numbers, to the last digit
        assert served.answers(texts(60, 3)) == wanted.answers(texts(60, 3))


def test_the_fallback_is_always_built_and_first(copies: dict[str, Built], trained: Path) -> None:
    assert next(iter(copies)) == base.FALLBACK
    assert WANTED[0] != base.FALLBACK
    assert sorted(copies) == sorted(WANTED)
    for name, one in copies.items():
        assert one.source == trained
        assert one.target == name
        if one.unavailable is None:
            artifacts.verify_manifest(one.folder)
            assert not list(one.folder.glob("*.bin.*"))


@pytest.mark.parametrize("name", ["openvino_int8", "openvino_int8_weights"])
def test_int8_answers_do_not_depend_on_the_batch(copies: dict[str, Built], name: str) -> None:
    some = [*texts(96, 4), *ODD]
    model = Predictor.load(copies[name].folder)
    assert variance(model, some) < INVARIANCE
    wanted = TorchPredictor.load(copies[name].source)
    assert model.answers(some) == wanted.answers(some)
    assert not np.array_equal(model.logits(some), wanted.logits(some)), "it is int8 indeed"


def test_bf16_takes_half_the_room_where_the_processor_has_it(copies: dict[str, Built]) -> None:
    import openvino as library

    one = copies["openvino_bf16"]
    if "BF16" in library.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert one.unavailable is None
        full = (copies["openvino_fp32"].folder / openvino.BIN).stat().st_size
        assert (one.folder / openvino.BIN).stat().st_size < 0.6 * full
        assert json.loads((one.folder / RUNTIME).read_text())["precision"] == "bf16"
        some = texts(60, 5)
        served, wanted = Predictor.load(one.folder), TorchPredictor.load(one.source)
        assert served.scores(some) == pytest.approx(wanted.scores(some), abs=0.05)
        assert variance(served, some) < INVARIANCE
    else:
        assert words(one.unavailable, "en") == "this processor has no bf16"


def test_without_a_gpu_its_variants_are_listed_with_the_reason(copies: dict[str, Built]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for name in building.TORCH:
        assert words(copies[name].unavailable, "en") == "this machine has no GPU"
        assert not copies[name].folder.exists()


def test_torch_in_bf16_is_kept_without_a_pickle(tmp_path: Path, trained: Path) -> None:
    """What a GPU would load, loaded on the processor."""
    folder = tmp_path / "copy"
    variants_of_torch.save(trained, folder, "bf16")
    assert {one.suffix for one in folder.iterdir()} <= {".json", ".safetensors"}
    full = (trained / "model.safetensors").stat().st_size
    assert (folder / "model.safetensors").stat().st_size < 0.6 * full
    half = variants_of_torch.FastPredictor.load(folder, device="cpu")
    some = texts(60, 6)
    assert half.scores(some) == pytest.approx(TorchPredictor.load(trained).scores(some), abs=0.05)
    with pytest.raises(ModelError, match="found torch, bf16, allowed openvino: f32, bf16; onnx"):
        Predictor.load(folder)


def test_torch_int8_needs_torchao(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants_of_torch, "require_gpu", lambda: None)
    monkeypatch.setattr(variants_of_torch, "find_spec", lambda _name: None)
    with pytest.raises(Unavailable, match="torchao is not installed"):
        variants_of_torch.Quantized().write(trained, tmp_path / "copy", context(trained, tmp_path))


class Counted:
    """A maker that copies a model and counts; or one that cannot."""

    def __init__(self, able: bool = True) -> None:
        self.able, self.begun_with = able, list[Path]()

    def make(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
        self.begun_with.append(model)
        if not self.able:
            raise Unavailable(_("this family has too few layers"))
        shutil.copytree(model, folder)
        return {"times": len(self.begun_with)}


def test_steps_that_variants_share_are_made_once(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, unable = Counted(), Counted(), Counted(able=False)
    monkeypatch.setattr(
        building, "MAKERS",
        {"distilled": first, "pruned_units": second, "pruned_weights": unable},
    )  # fmt: skip
    written: list[Path] = []

    class Copied:
        def write(self, model: Path, folder: Path, context: Context) -> dict[str, Any]:
            written.append(model)
            folder.mkdir()
            return {"written": True}

    monkeypatch.setattr(building, "TARGETS", dict.fromkeys(building.TARGETS, Copied()))
    wanted = [
        "distilled+onnx_fp32", "distilled+pruned_units+onnx_fp32", "distilled+onnx_int8",
        "pruned_weights+distilled+onnx_fp32",
    ]  # fmt: skip
    made = building.build(wanted, context(trained, tmp_path))
    assert list(made) == ["openvino_fp32", *wanted]
    assert first.begun_with == [trained]
    assert second.begun_with == [tmp_path / "distilled"]
    assert written == [
        trained, tmp_path / "distilled", tmp_path / "distilled+pruned_units", tmp_path / "distilled"
    ]  # fmt: skip
    both = made["distilled+pruned_units+onnx_fp32"]
    assert both.source == tmp_path / "distilled+pruned_units"
    assert both.report == {
        "distilled": {"times": 1}, "pruned_units": {"times": 1}, "onnx_fp32": {"written": True}
    }  # fmt: skip
    refused = made["pruned_weights+distilled+onnx_fp32"]
    assert words(refused.unavailable, "en") == "this family has too few layers"
    assert refused.seconds >= 0


def test_a_copy_that_answers_otherwise_is_refused(
    tmp_path: Path, trained: Path, copies: dict[str, Built]
) -> None:
    copy, drawn = copies["openvino_fp32"].folder, learnt(tmp_path / "drawn", steps=0)
    openvino.refuse_other_answers(trained, copy)
    with pytest.raises(ModelError, match="answers that differ by"):
        openvino.refuse_other_answers(drawn, copy)


@pytest.mark.parametrize("name", ["openvino_fp32", "openvino_int8"])
def test_serving_imports_neither_torch_nor_transformers(
    copies: dict[str, Built], name: str
) -> None:
    """What is imported is looked at in a process of its own."""
    answer, heavy, engines = families.served(copies[name].folder, "my parcel is late")
    assert answer == "['delivery']"
    assert heavy == "set()"
    assert engines == "{'openvino'}"


def test_a_file_that_was_cut_off_or_changed_is_refused(
    copies: dict[str, Built], tmp_path: Path
) -> None:
    for name, folder in families.damaged(copies["openvino_int8"].folder, tmp_path):
        with pytest.raises(ModelError, match=rf"{name}: found content that differs from the man"):
            Predictor.load(folder)


@pytest.mark.parametrize(
    "told", ["[]", "{", '{"runtime": "openvino"}', '{"runtime": "rocket", "precision": "f32"}',
             '{"runtime": "onnx", "precision": "bf16"}', '{"runtime": [], "precision": "f32"}'],
)  # fmt: skip
def test_a_runtime_that_is_not_known_is_refused(
    copies: dict[str, Built], tmp_path: Path, told: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(copies["openvino_fp32"].folder, folder)
    (folder / RUNTIME).write_text(told)
    artifacts.write_manifest(folder)
    with pytest.raises(ModelError, match=r"runtime\.json: found .* allowed openvino: f32, bf16"):
        Predictor.load(folder)


def test_a_folder_without_a_runtime_is_of_openvino(
    copies: dict[str, Built], tmp_path: Path
) -> None:
    """As releases before this one wrote them."""
    folder = tmp_path / "copy"
    shutil.copytree(copies["openvino_fp32"].folder, folder)
    (folder / RUNTIME).unlink()
    artifacts.write_manifest(folder)
    old, new = Predictor.load(folder), Predictor.load(copies["openvino_fp32"].folder, threads=1)
    assert old.logits(["my parcel is late"]) == pytest.approx(new.logits(["my parcel is late"]))


@pytest.mark.parametrize(
    ("target", "weights"),
    [(openvino.Exact(), openvino.BIN), pytest.param(onnx.Exact(), onnx.MODEL, marks=SLOW)],
    ids=["openvino", "onnx"],
)
def test_heads_that_pruning_left_idle_are_not_exported(
    tmp_path: Path, trained: Path, target: Target, weights: str
) -> None:
    pruned = tmp_path / "pruned"
    shutil.copytree(trained, pruned)
    model = students.read(trained)
    students.silence(model, [[1]])  # one of two
    model.save_pretrained(pruned)
    sizes = []
    for source in (trained, pruned):
        folder = tmp_path / f"{source.name}.copy"
        target.write(source, folder, context(source, tmp_path))
        wanted = TorchPredictor.load(source).logits(texts(40, 2))
        assert distance(Predictor.load(folder).logits(texts(40, 2)), wanted) < 1e-4
        sizes.append((folder / weights).stat().st_size)
    # A head is 3 × 16 rows of 32 weights and a bias, and 16 columns of 32, of four bytes each.
    assert sizes[0] - sizes[1] == pytest.approx(4 * (3 * 16 * 33 + 16 * 32), rel=0.1)


def test_every_family_is_traced_by_the_same_two_inputs(tmp_path: Path) -> None:
    """The graph reads the state that the family's own classifier reads."""
    import torch

    for family, positions in families.EVERY:
        source = untrained(tmp_path / f"{family}-{positions}", family, positions)
        wanted = TorchPredictor.load(source)
        tokens = torch.tensor([wanted.tokens(["my parcel is late today"])[0]])
        with torch.inference_mode():
            found = tracing.plain(source, "eager")(tokens, torch.ones_like(tokens)).numpy()
        assert distance(found, wanted.forward(tokens.numpy())) < 1e-5, family
