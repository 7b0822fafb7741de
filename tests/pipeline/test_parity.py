"""A copy that answers otherwise than its original is found out, however it was broken."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import artifacts
from pipeline.errors import ModelError
from pipeline.evaluation import parity
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import base, building, onnx
from pipeline.predictor import CARD, BasePredictor, Card, Predictor
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed
from tests.pipeline import families, made_models

KNOBS: Any = SimpleNamespace(margin=0.5, tolerance=0.2, invariance=1e-4)
LABELS = ["a", "b", "c"]
Scores = Callable[[Sequence[str]], Any]


class Made(BasePredictor):
    """Answers by a function of texts, and not through tokens."""

    def __init__(
        self, scores: Scores, task: str = SINGLE, labels: Sequence[str] = LABELS, **card: Any
    ) -> None:
        self.card = Card(task, list(labels), 32, {}, {"kinds": []}, **card)
        self.task = tasks.of(task, list(labels))
        self.told = scores

    def scores(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float64]:
        return np.array(self.told(texts), dtype=np.float64)


def by_text(table: dict[str, Sequence[float]]) -> Scores:
    """Return scores that depend on each text alone."""
    return lambda texts: [table[text] for text in texts]


def found(one: Scores, other: Scores, texts: Sequence[str], **card: Any) -> dict[str, Any]:
    return parity.check(Made(one, **card), Made(other, **card), texts, KNOBS)


def test_margins_by_hand() -> None:
    one, two, several = (tasks.of(*given) for given in (
        (SINGLE, LABELS), (SINGLE, ["no", "yes"]), (MULTI, ["x", "y"]),
    ))  # fmt: skip
    scores = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2]])
    assert parity.margins(one, scores, {}) == pytest.approx(np.array([[0.5], [0.0]]))
    # From 0.8 there are 0.2 up to 1 and 0.8 down to 0.
    pairs = np.array([[0.1, 0.9], [0.6, 0.4], [0.2, 0.8]])
    found = parity.margins(two, pairs, {"yes": 0.8})
    assert found == pytest.approx(np.array([[0.5], [0.5], [0.0]]))
    # At one half the share of the way is what the first leads the second by.
    assert parity.margins(two, pairs, {"yes": 0.5}) == pytest.approx(parity.margins(two, pairs, {}))
    entries = np.array([[0.75, 0.25], [0.5, 1.0]])
    assert parity.margins(several, entries, {}) == pytest.approx(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert parity.margins(several, entries, {"y": 0.2})[0, 1] == pytest.approx(0.05 / 0.8)


def test_a_copy_that_is_the_same_holds() -> None:
    rows = {"one": [0.9, 0.06, 0.04], "two": [0.1, 0.75, 0.15]}
    told = found(by_text(rows), by_text(rows), ["one", "two", "one"])
    assert told == {
        "holds": True, "refused": [], "records": 3, "labels": {"compared": 3, "different": 0},
        "scores": {"p99": 0.0, "max": 0.0},
        "invariance": {"records": 3, "alone": 0.0, "batch": 0.0, "shuffled": 0.0,
                       "answers_changed": 0},
        "disagreements": [],
    }  # fmt: skip


@pytest.mark.parametrize(("lead", "refused"), [(0.5, ["labels"]), (0.498, [])])
def test_another_label_counts_from_the_margin_on(lead: float, refused: list[str]) -> None:
    texts = [str(at) for at in range(200)]
    # Dyadic numbers, so that the lead is exact: 0.75 - 0.25, or a little less.
    was = {text: [0.75, 0.25, 0.0] for text in texts} | {"7": [0.25 + lead, 0.25, 0.5 - lead]}
    now = was | {"7": [0.25, 0.25 + lead, 0.5 - lead]}
    told = found(by_text(was), by_text(now), texts)
    assert told["refused"] == refused
    assert told["holds"] == (not refused)
    (other,) = told["disagreements"]
    assert (other["at"], other["original"], other["copy"]) == (7, "a", "b")
    assert other["margin"] == pytest.approx(lead)
    assert other["counts"] == bool(refused)
    assert told["labels"] == {"compared": 199 + len(refused), "different": len(refused)}


@pytest.mark.parametrize(("off", "refused"), [(1, []), (2, ["scores"])])
def test_one_in_a_hundred_scores_may_be_off(off: int, refused: list[str]) -> None:
    texts = [str(at) for at in range(100)]
    was = {text: [0.9, 0.1, 0.0] for text in texts}
    now = was | {str(at): [0.6, 0.4, 0.0] for at in range(off)}
    told = found(by_text(was), by_text(now), texts)
    assert told["refused"] == refused
    assert told["scores"]["max"] == pytest.approx(0.3)
    assert not told["disagreements"]


def test_scores_at_the_tolerance_hold() -> None:
    told = found(by_text({"x": [0.75, 0.25, 0.0]}), by_text({"x": [0.625, 0.375, 0.0]}), ["x"] * 5)
    assert told["scores"]["p99"] == 0.125
    for tolerance, refused in ((0.125, []), (0.124, ["scores"])):
        knobs: Any = SimpleNamespace(margin=0.5, tolerance=tolerance, invariance=0.0)
        assert parity.refusals(told, knobs) == refused


@pytest.mark.parametrize("way", ["alone", "batch", "shuffled"])
def test_company_must_not_matter(way: str) -> None:
    texts = [str(at) for at in range(70)]

    def moved(asked: Sequence[str]) -> list[list[float]]:
        kinds = {
            "alone": len(asked) == 1,
            "batch": list(asked) == texts[:32],
            "shuffled": len(asked) == 32 and list(asked) != sorted(asked, key=int),
        }
        return [[0.9 + 2e-4 * kinds[way], 0.1, 0.0] for _text in asked]

    told = found(lambda asked: [[0.9, 0.1, 0.0]] * len(asked), moved, texts)
    assert told["refused"] == ["invariance"]
    ways = {name: told["invariance"][name] for name in ("alone", "batch", "shuffled")}
    assert ways.pop(way) == pytest.approx(2e-4)
    assert set(ways.values()) == {0.0}


def test_many_texts_are_tried_alone_from_first_to_last() -> None:
    texts = [str(at) for at in range(2_000)]
    alone: list[str] = []

    def asked(some: Sequence[str]) -> list[list[float]]:
        alone.extend(some if len(some) == 1 else [])
        return [[0.9, 0.1, 0.0]] * len(some)

    told = found(asked, asked, texts)
    assert told["invariance"]["records"] == len(alone) == parity.MOST_ALONE
    assert (alone[0], alone[-1]) == ("0", "1999")


def test_scores_that_are_no_numbers_are_refused_and_can_be_written() -> None:
    fine: Scores = lambda texts: [[0.9, 0.1, 0.0]] * len(texts)  # noqa: E731
    told = found(fine, lambda texts: [[math.nan] * 3] * len(texts), ["x", "y"])
    assert told["refused"] == ["scores", "invariance"]
    assert told["scores"] == {"p99": None, "max": None}
    json.dumps(told, allow_nan=False)
    assert found(lambda texts: [[math.nan] * 3] * len(texts), fine, ["x"])["holds"] is False


def test_several_labels_are_compared_entry_by_entry() -> None:
    was = by_text({"one": [0.9, 0.45], "two": [0.1, 0.9]})
    now = by_text({"one": [0.9, 0.55], "two": [0.1, 0.9]})
    told = found(was, now, ["one", "two"], task=MULTI, labels=["x", "y"])
    assert told["labels"] == {"compared": 3, "different": 0}
    (other,) = told["disagreements"]
    assert (other["original"], other["copy"], other["counts"]) == ("x", "x|y", False)
    assert other["margin"] == pytest.approx(0.1)


def test_thresholds_decide_what_is_answered() -> None:
    was, now = by_text({"one": [0.28, 0.72]}), by_text({"one": [0.22, 0.78]})
    plain = found(was, now, ["one"], labels=["no", "yes"])
    assert plain["disagreements"] == []
    moved = found(was, now, ["one"], labels=["no", "yes"], thresholds={"yes": 0.75})
    (other,) = moved["disagreements"]
    assert (other["original"], other["copy"]) == ("no", "yes")


def test_numbers_are_compared_in_deviations() -> None:
    # Deviation 10: 1 off is a tenth of it, 3 off are three tenths.
    was = {"low": [0.0], "high": [20.0]}
    for off, refused in ((1.0, []), (3.0, ["scores"])):
        now = {name: [row[0] + off] for name, row in was.items()}
        told = found(by_text(was), by_text(now), ["low", "high"], task=REGRESSION, labels=[])
        assert told["refused"] == refused
        assert told["scores"]["p99"] == pytest.approx(off / 10)
        assert told["labels"] == {"compared": 0, "different": 0}
        assert len(told["disagreements"]) == (2 if refused else 0)


def test_labels_in_another_order_are_the_same_labels() -> None:
    rows = {"one": [0.9, 0.1, 0.0]}
    turned = Made(by_text({"one": [0.0, 0.1, 0.9]}), labels=["c", "b", "a"])
    assert parity.check(Made(by_text(rows)), turned, ["one"], KNOBS)["holds"]
    others = Made(by_text(rows), labels=["a", "b", "d"])
    assert parity.check(Made(by_text(rows)), others, ["one"], KNOBS)["refused"] == ["outputs"]


def test_whatever_answers_texts_can_be_checked() -> None:
    """As a service does, which says its label and its scores."""
    rows = {"one": [0.9, 0.1, 0.0], "two": [0.0, 1.0, 0.0]}

    def service(texts: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
        return ["a"] * len(texts), np.array([rows[text] for text in texts])

    told = parity.check(Made(by_text(rows)), service, ["one", "two"], KNOBS)
    assert told["refused"] == ["labels"], "its scores are right, its label is not"


# --- real copies of a model that learnt


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.learnt(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """Its copy for OpenVINO, in fp32."""
    made = building.build([], families.context(trained, trained.parent / "work"))
    return made[base.FALLBACK].folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may break."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


TEXTS = families.texts(96, 4)


def checked(trained: Path, folder: Path) -> dict[str, Any]:
    knobs = changed().optimize.parity
    return parity.check(TorchPredictor.load(trained), Predictor.load(folder), TEXTS, knobs)


def test_a_faithful_copy_is_let_through(trained: Path, copy: Path) -> None:
    told = checked(trained, copy)
    assert told["holds"]
    assert told["labels"]["compared"] > 60
    assert told["scores"]["max"] < 1e-4
    assert told["invariance"]["records"] == len(TEXTS)


def test_permuted_labels_are_found_out(trained: Path, copy: Path) -> None:
    card = Card.read(copy)
    turned = replace(card, labels=card.labels[1:] + card.labels[:1])
    artifacts.write_json(copy / CARD, asdict(turned))
    with pytest.raises(ModelError, match="differs from the manifest"):
        Predictor.load(copy)
    artifacts.write_manifest(copy)
    told = checked(trained, copy)
    assert told["refused"] == ["labels", "scores"]
    assert told["labels"]["different"] == told["labels"]["compared"]


def test_another_tokenizer_is_found_out(trained: Path, copy: Path) -> None:
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    words = content["model"]["vocab"]
    signs = list(made_models.SIGNS.values())
    turned = dict(zip(signs, [words[one] for one in signs[1:] + signs[:1]], strict=True))
    content["model"]["vocab"] = words | turned
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="differs from the manifest"):
        Predictor.load(copy)
    artifacts.write_manifest(copy)
    assert checked(trained, copy)["refused"] == ["labels", "scores"]


def test_one_flipped_weight_is_found_out(trained: Path, copy: Path) -> None:
    row = made_models.model(SINGLE).classifier.weight.detach().numpy()[0]
    path = copy / "openvino_model.bin"
    content = bytearray(path.read_bytes())
    first = content.find(row.tobytes())
    assert first >= 0
    content[first + 4 * abs(row).argmin() + 3] ^= 0x40  # the highest bit of the exponent
    path.write_bytes(content)
    with pytest.raises(ModelError, match="differs from the manifest"):
        Predictor.load(copy)
    artifacts.write_manifest(copy)
    assert "scores" in checked(trained, copy)["refused"]


def test_int8_that_scales_over_the_batch_is_refused(trained: Path, tmp_path: Path) -> None:
    """ONNX Runtime's dynamic int8: 1.2 % of labels changed between batches of 1 and of 32."""
    import onnx as library
    from onnxruntime import quantization

    (tmp_path / "work").mkdir()
    graph = library.load(onnx.exported(trained, families.context(trained, tmp_path / "work")))
    del graph.graph.value_info[:]
    library.save(graph, tmp_path / "bare.onnx")
    folder = tmp_path / "dynamic"
    folder.mkdir()
    quantization.quantize_dynamic(tmp_path / "bare.onnx", folder / onnx.MODEL)
    base.seal(trained, folder, "onnx", "f32")
    told = checked(trained, folder)
    assert told["refused"] == ["invariance"]
    assert told["invariance"]["alone"] > 1e-4
