"""The one way to predict: same answer in any company, without torch, silent, guarded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import processors

from pipeline.errors import ModelError
from pipeline.predictor import (
    SOME_TOKEN,
    BasePredictor,
    Card,
    Predictor,
    Score,
    batches,
    read_tokenizer,
)
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.e2e.project import Project, requests
from tests.helpers import changed
from tests.pipeline import made_models

ODD = ["", " ", "\ud83d", "👍🏽 ok", "a\x00b", "我的包裹在哪里", "<b>where</b> is it", "x" * 5_000,
       "what does </s> mean , or [SEP] ?"]  # fmt: skip
TEXTS = [one["request"] for one in requests(80)] + ODD

ALONE = """
import socket, sys
def refuse(*_a, **_k):
    raise AssertionError("a connection was tried")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from pipeline.predictor import Predictor
answer = Predictor.load("models/optimize/model").predict(["where is my parcel"], 2)
assert len(answer[0]) == 2, answer
heavy = {"torch", "transformers", "optimum", "nncf", "sklearn", "pandas", "openvino_telemetry"}
loaded = {name for name in heavy if sys.modules.get(name) is not None}
assert not loaded, loaded
"""

SHAPES = """
import random, sys
from pathlib import Path
import numpy as np
from pipeline import predictor
from pipeline.modeling.measuring import resident
if sys.argv[1] == "bounded":
    predictor.bound_kernels()
model = predictor.Predictor.load(Path("models/optimize/model"), 1)
shapes = [(texts, tokens) for texts in range(1, 41) for tokens in range(1, 17)]
random.Random(0).shuffle(shapes)
seen = [resident()]
for at, shape in enumerate(shapes, 1):
    model.forward(np.zeros(shape, dtype=np.int64))
    if at % 320 == 0:
        seen.append(resident())
print([one / 2**20 for one in seen])
"""


@pytest.fixture(scope="module")
def model(built: Project) -> Predictor:
    return Predictor.load(built.folder / "models/optimize/model")


@pytest.mark.e2e
def test_it_runs_alone_and_asks_nobody(built: Project) -> None:
    built.run(sys.executable, "-c", ALONE)


@pytest.mark.e2e
def test_shapes_that_were_seen_do_not_fill_memory(built: Project) -> None:
    """The runtime keeps kernels of each shape; a service that runs for weeks sees all of them."""

    def megabytes(how: str) -> list[float]:
        found: list[float] = json.loads(built.run(sys.executable, "-c", SHAPES, how))
        return found

    (first, half, last), (other_first, _half, other_last) = megabytes("bounded"), megabytes("not")
    assert last - half < 16, "what 320 shapes took is enough for 320 others"
    assert last - first < 0.8 * (other_last - other_first)


@pytest.mark.e2e
def test_an_answer_does_not_depend_on_its_company(model: Predictor) -> None:
    alone = np.vstack([model.scores([text]) for text in TEXTS])
    for size in (2, 7, 32, 64):
        together = model.scores(TEXTS, size)
        assert (alone.argmax(axis=1) == together.argmax(axis=1)).all()
        assert np.abs(alone - together).max() < 1e-6
    shuffled = np.random.default_rng(1).permutation(len(TEXTS))
    other = model.scores([TEXTS[at] for at in shuffled])
    assert np.abs(alone[shuffled] - other).max() < 1e-6


@pytest.mark.e2e
def test_it_reads_as_the_torch_model_does(built: Project, model: Predictor) -> None:
    from pipeline.modeling.predictor import TorchPredictor

    torch_model = TorchPredictor.load(built.folder / "models/train/model")
    assert model.card == torch_model.card
    assert model.tokens(TEXTS) == torch_model.tokens(TEXTS)


@pytest.mark.e2e
def test_a_folder_that_is_no_model_is_refused(built: Project) -> None:
    with pytest.raises(ModelError, match=r"mofang\.json"):
        Predictor.load(built.folder / "models/train")


@pytest.mark.e2e
def test_scores_are_probabilities_best_first(model: Predictor) -> None:
    for answer in model.predict(TEXTS, top_k=3):
        scores = [one.score for one in answer]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1.0)
    assert [len(answer) for answer in model.predict(TEXTS[:2], top_k=99)] == [3, 3]
    assert model.predict([]) == []


@pytest.mark.e2e
def test_answers_are_the_best_labels(model: Predictor) -> None:
    assert model.answers(TEXTS) == [best[0].label for best in model.predict(TEXTS)]


@pytest.mark.e2e
def test_text_is_normalized_as_in_training(model: Predictor) -> None:
    one, other = model.predict(["<p>Where  is my\u200b parcel</p>", "Where is my parcel"])
    assert one == other


@pytest.mark.e2e
def test_the_longest_input_travels_with_the_model(model: Predictor) -> None:
    assert max(len(one) for one in model.tokens(["parcel " * 500])) == 24


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["openvino_model.bin", "tokenizer.json", "mofang.json"])
def test_a_flipped_byte_is_refused(built: Project, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built.folder / "models/optimize/model", folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}: found content that differs"):
        Predictor.load(folder)


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["openvino_model.xml", "manifest.json"])
def test_a_missing_file_is_named(built: Project, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built.folder / "models/optimize/model", folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        Predictor.load(folder)


@pytest.mark.e2e
def test_the_command_line_answers(built: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.predict", "--top", "1", "refund please"],
        cwd=built.folder, env=built.environment, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "refund please"
    assert "%" in done.stdout


def test_batches_share_a_length_and_keep_their_bounds() -> None:
    lengths = [3, 5, 3, 3, 5, 600, 3]
    found = list(batches(lengths, 2))
    assert sorted(at for batch in found for at in batch) == list(range(7))
    assert all(len(batch) <= 2 for batch in found)
    assert all(len({lengths[at] for at in batch}) == 1 for batch in found)
    assert all(len(batch) == 1 for batch in batches([5_000, 5_000], 64))


@pytest.mark.e2e
def test_the_card_names_what_it_needs(built: Project) -> None:
    card = json.loads((built.folder / "models/optimize/model/mofang.json").read_text())
    wanted = {"task", "labels", "max_tokens", "normalize", "mask", "temperature", "thresholds"}
    assert set(card) == wanted


# --- tasks, without a whole project


class Drawn(BasePredictor):
    """Logits that depend on the tokens alone, worked by hand."""

    def forward(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return how often each sign stands in a text, less one half."""
        signs = [made_models.VOCABULARY.index(word) for word in made_models.SIGNS.values()]
        signs = signs[: len(self.task.outputs)]
        counts = np.stack([(tokens == sign).sum(axis=1) for sign in signs], axis=1)
        less = 0.0 if self.task.name == REGRESSION else 0.5
        logits: NDArray[np.float32] = (counts - less).astype(np.float32)
        return logits


def drawn(task: str, labels: list[str] | None = None, **calibrated: Any) -> Drawn:
    whole = changed().clean.normalize.model_dump()
    named = made_models.labels_of(task) if labels is None else labels
    card = Card(task, named, 32, whole, {"kinds": [], "region": "US"}, **calibrated)
    return Drawn(card, made_models.tokenizer())


SOME = ["my parcel password", "password password password", "hello"]


def test_several_labels_are_scored_one_by_one() -> None:
    model = drawn(MULTI)
    half, one, three = 1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-2.5))
    assert model.scores(SOME) == pytest.approx(
        np.array([[one, one, half], [three, half, half], [half, half, half]])
    )
    assert model.answers(SOME) == ["account|delivery", "account", ""]
    best = model.predict(SOME, top_k=2)[1]
    assert [score.label for score in best] == ["account", "delivery"]
    assert best[0].score == pytest.approx(three)


def test_a_number_is_the_only_score() -> None:
    model = drawn(REGRESSION)
    assert model.labels == []
    assert model.predict(SOME, top_k=3) == [[Score("value", float(one))] for one in (1, 3, 0)]
    assert model.answers(SOME) == ["1.0", "3.0", "0.0"]
    assert model.scores([]).shape == (0, 1)


def test_one_label_is_the_most_probable() -> None:
    assert drawn(SINGLE).answers(SOME) == ["account", "account", "account"]
    assert drawn(SINGLE).scores(SOME).sum(axis=1) == pytest.approx(np.ones(3))


def test_logits_are_divided_by_the_temperature() -> None:
    """Once in the text and not at all: logits 0.5 and -0.5, a quarter of that with T = 4."""
    model = drawn(MULTI, temperature=4.0)
    assert model.scores(["my parcel"])[0] == pytest.approx(
        [1 / (1 + np.exp(0.125)), 1 / (1 + np.exp(-0.125)), 1 / (1 + np.exp(0.125))]
    )
    assert model.answers(SOME) == drawn(MULTI).answers(SOME), "no answer is changed"
    assert model.predict(["my parcel"])[0][0].score == pytest.approx(1 / (1 + np.exp(-0.125)))


def test_several_labels_are_given_from_their_thresholds_on() -> None:
    half, one = 1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.5))
    model = drawn(MULTI, thresholds={"account": one + 0.01, "refund": half})
    assert model.answers(SOME) == ["delivery|refund", "account|refund", "refund"]
    assert model.predict(SOME, 3) == drawn(MULTI).predict(SOME, 3), "probabilities stay"


def test_of_two_labels_the_answered_one_comes_first() -> None:
    two = ["account", "delivery"]
    model = drawn(SINGLE, two, thresholds={"delivery": 0.2})
    texts = ["password", "password password"]  # 1 and 2 apart: delivery has 0.27 and 0.12
    assert drawn(SINGLE, two).answers(texts) == ["account", "account"]
    assert model.answers(texts) == ["delivery", "account"]
    found = model.predict(texts, top_k=2)
    assert [[one.label for one in row] for row in found] == [two[::-1], two]
    assert found[0][0].score == pytest.approx(1 / (1 + np.e))
    assert [row[0].label for row in model.predict(texts)] == model.answers(texts)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"temperature": float("inf")},
     {"temperature": float("nan")}, {"temperature": "hot"}, {"thresholds": {"nobody": 0.5}},
     {"thresholds": {"refund": 1.5}}, {"heat": 1.0}],
)  # fmt: skip
def test_a_card_that_makes_no_scores_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    content = {"task": MULTI, "labels": made_models.LABELS, "max_tokens": 8, "normalize": {},
               "mask": {}}  # fmt: skip
    path = tmp_path / "mofang.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    old = Card.read(tmp_path)
    assert (old.temperature, old.thresholds) == (1.0, {}), "a model of before is as it was"
    path.write_text(json.dumps(content | wrong), encoding="utf-8")
    with pytest.raises(ModelError, match=r"mofang\.json"):
        Card.read(tmp_path)


def test_a_text_without_a_token_is_read_as_one() -> None:
    bare = drawn(SINGLE)
    bare.tokenizer.post_processor = processors.Sequence([])
    assert bare.tokens(["", "password"]) == [[SOME_TOKEN], bare.tokens(["password"])[0]]
    assert bare.scores([""]).shape == (1, 3)


def test_a_sign_that_a_person_wrote_is_text(tmp_path: Path) -> None:
    made_models.tokenizer().save(str(tmp_path / "tokenizer.json"))
    tokenizer = read_tokenizer(tmp_path)
    sign = tokenizer.token_to_id("[SEP]")
    assert sign is not None
    without, written = (tokenizer.encode(one).ids for one in ("hello late", "hello [SEP] late"))
    assert written.count(sign) == without.count(sign)
    assert len(written) > len(without)
