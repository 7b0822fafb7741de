"""Which words decided: complete for every family, word by word, and right where it is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors

from pipeline.evaluation.calibration import Fitted
from pipeline.modeling import attributions
from pipeline.modeling.attributions import Explained, explain, words_of
from pipeline.modeling.predictor import TorchPredictor
from pipeline.predictor import CARD, Card
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.helpers import changed
from tests.pipeline import kinds, made_models
from tests.pipeline.small import FAMILIES, LABELS, small

NOTHING = kinds.WORDS - 1  # a token that no text has, which the tests make equal to padding
TEXTS = ["my parcel is late", "please the money", "help", "bad good bad good today urgent"]


def write(folder: Path, model: Any, tokenizer: Any, **card: Any) -> Path:
    """Write a model folder with a card."""
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    whole = changed().clean.normalize.model_dump()
    told: dict[str, Any] = {"task": SINGLE, "labels": LABELS, "max_tokens": 32,
                            "normalize": whole, "mask": {"kinds": [], "region": "US"}}  # fmt: skip
    (folder / CARD).write_text(json.dumps(asdict(Card(**told | card))), encoding="utf-8")
    return folder


def learnt(folder: Path, name: str) -> Path:
    """Write a tiny model that learnt a task."""
    made_models.save_model(folder, made_models.model(name), name)
    return folder


def logit(predictor: TorchPredictor, ids: list[int], target: int) -> float:
    with torch.inference_mode():
        given = torch.tensor([ids])
        answer = predictor.model(input_ids=given, attention_mask=torch.ones_like(given))
    return float(answer.logits[0, target])


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_words_add_up_to_the_difference_of_logits(kind: str, tmp_path: Path) -> None:
    """The text without its words is read by the model itself, as tokens equal to padding."""
    model = kinds.tiny(kind)
    with torch.no_grad():
        words = model.get_input_embeddings().weight
        words[NOTHING] = words[0]
    folder = write(tmp_path / kind, model, made_models.tokenizer())
    predictor = TorchPredictor.load(folder)
    targets = [0, 1, 2, 1]
    found = explain(folder, TEXTS, targets, steps=50)
    for text, target, one in zip(TEXTS, targets, found, strict=True):
        ids = predictor.tokens([text])[0]
        without = [ids[0], *[NOTHING] * (len(ids) - 2), ids[-1]]
        difference = logit(predictor, ids, target) - logit(predictor, without, target)
        assert one.difference == pytest.approx(difference, abs=1e-3)
        assert sum(value for _word, value in one) == pytest.approx(
            difference, abs=attributions.EXACT * max(1.0, abs(difference)) + 1e-3
        )
        assert abs(one.delta) <= attributions.EXACT * max(1.0, abs(difference))
        assert [word for word, _value in one] == text.split()


@pytest.mark.parametrize("family", FAMILIES)
def test_models_from_scratch_are_complete_too(family: tuple[str, str], tmp_path: Path) -> None:
    """Their padding is a vector of zeros, from which some families jump at the first step."""
    model, tokenizer = small(family)
    folder = write(tmp_path / "model", model, tokenizer.backend_tokenizer, max_tokens=16)
    predictor = TorchPredictor.load(folder)
    texts = ["where is my parcel", "我的包裹在哪里", "change the password"]
    for text, one in zip(texts, explain(folder, texts, [0, 1, 2], steps=50), strict=True):
        assert "".join(word for word, _value in one) == text.replace(" ", "")
        assert any(value for _word, value in one)
        assert abs(one.delta) <= attributions.EXACT * max(1.0, abs(one.difference))
    whole = predictor.logits(texts)
    levels = torch.ones(1, len(predictor.tokens(texts)[0]))
    ids = torch.tensor(predictor.tokens(texts)[:1])
    with torch.inference_mode():
        faded = attributions.Fading(predictor).logits(levels, ids)
    assert faded[0].tolist() == pytest.approx(whole[0].tolist(), abs=1e-5)


def test_they_are_those_of_captums_layer_integrated_gradients(tmp_path: Path) -> None:
    from captum.attr import LayerIntegratedGradients

    folder = learnt(tmp_path / "model", SINGLE)
    predictor = TorchPredictor.load(folder)
    model: Any = predictor.model
    text = "please my parcel is late today"
    ids = torch.tensor(predictor.tokens([text]))
    blank = ids.clone()
    blank[0, 1:-1] = 0

    def logits(given: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = model(given, attention_mask=torch.ones_like(given)).logits
        return answer

    wanted = LayerIntegratedGradients(logits, model.bert.embeddings.word_embeddings).attribute(
        ids, baselines=blank, target=1, n_steps=1_000
    )
    (found,) = explain(folder, [text], [1], steps=1_000)
    by_token = wanted.sum(dim=2)[0, 1:-1].tolist()
    assert [value for _word, value in found] == pytest.approx(by_token, abs=0.01)


def test_the_word_that_decides_weighs_most(tmp_path: Path) -> None:
    folder = learnt(tmp_path / "model", SINGLE)
    texts = [f"please the {word} is late" for word in made_models.SIGNS.values()]
    for (label, word), one in zip(
        made_models.SIGNS.items(),
        explain(folder, texts, [made_models.LABELS.index(one) for one in made_models.SIGNS],
                steps=50),
        strict=True,
    ):  # fmt: skip
        assert max(one, key=lambda item: item[1])[0] == word, label


def test_of_several_labels_each_is_explained_by_itself(tmp_path: Path) -> None:
    """Words that name labels weigh more than any other, and each label has sums of its own."""
    folder = learnt(tmp_path / "model", MULTI)
    predictor = TorchPredictor.load(folder)
    text = "late the parcel and the money"
    found = explain(folder, [text] * 3, [0, 1, 2], steps=50)
    for one in found:
        values = dict(one)
        others = [value for word, value in one if word not in ("parcel", "money")]
        assert min(values["parcel"], values["money"]) > max(others)
    blank = [2, *[0] * 6, 3]  # padding has the number 0
    for target, one in enumerate(found):
        ids = predictor.tokens([text])[0]
        wanted = logit(predictor, ids, target) - logit(predictor, blank, target)
        assert one.difference == pytest.approx(wanted, abs=1e-3)


def test_numbers_rise_and_fall_with_their_words(tmp_path: Path) -> None:
    folder = learnt(tmp_path / "model", REGRESSION)
    (found,) = explain(folder, ["good help bad please"], [0], steps=50)
    values = dict(found)
    assert values["good"] > values["help"] > values["bad"]


def test_a_temperature_divides_what_words_gave(tmp_path: Path) -> None:
    folder = learnt(tmp_path / "model", SINGLE)
    text = "please my parcel is late"
    (plain,) = explain(folder, [text], [1], steps=50)
    (cooled,) = explain(folder, [text], [1], steps=50, fitted=Fitted(temperature=2.0))
    assert cooled.difference == pytest.approx(plain.difference / 2, rel=1e-4)
    assert [value for _word, value in cooled] == pytest.approx(
        [value / 2 for _word, value in plain], rel=0.02, abs=0.005
    )


def test_the_text_that_is_explained_is_the_one_that_is_read(tmp_path: Path) -> None:
    """Tokens are those of the predictor, masked and normalized, and cut where it cuts."""
    mask = {"kinds": ["phone"], "region": "US"}
    model = made_models.model(SINGLE)
    folder = write(tmp_path / "model", model, made_models.tokenizer(),
                   labels=made_models.LABELS, mask=mask, max_tokens=8)  # fmt: skip
    predictor = TorchPredictor.load(folder)
    text = "call  +1 650-253-0000 \u200b my parcel is late today hello wrong help"
    reading = attributions.read(predictor, text)
    assert reading.ids == predictor.tokens([text])[0]
    assert "650" not in reading.text
    (found,) = explain(folder, [text], [0], steps=50)
    words = [word for word, _value in found]
    assert words == ["call", "[PHONE]", "my", "parcel"]


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
def test_a_text_without_words_has_none_to_explain(text: str, tmp_path: Path) -> None:
    folder = learnt(tmp_path / "model", SINGLE)
    (found,) = explain(folder, [text], [0], steps=8)
    assert list(found) == []
    assert found.delta == 0
    bare = made_models.tokenizer()  # no signs: nothing at all is left to read
    bare.post_processor = processors.Sequence([])
    folder = write(tmp_path / "bare", made_models.model(SINGLE), bare, labels=made_models.LABELS)
    (found,) = explain(folder, [text], [0], steps=8)
    assert list(found) == []


def test_more_steps_are_taken_where_the_sum_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With eight steps this model's sum is off; halving the worst stretch mends it."""
    folder = learnt(tmp_path / "model", SINGLE)
    asked: list[tuple[float, float]] = []
    plain = attributions.Fading.stretch

    def seen(self: Any, reading: Any, target: int, between: Any, steps: int) -> Any:
        asked.append(between)
        return plain(self, reading, target, between, steps)

    monkeypatch.setattr(attributions.Fading, "stretch", seen)
    (found,) = explain(folder, ["my parcel is late"], [1], steps=8)
    assert asked[:3] == [(0.0, 1.0), (0.0, 0.5), (0.5, 1.0)]
    assert abs(found.delta) <= attributions.EXACT * max(1.0, abs(found.difference))
    monkeypatch.setattr(attributions, "SPLITS", 0)
    (rough,) = explain(folder, ["my parcel is late"], [1], steps=8)
    assert abs(rough.delta) > attributions.EXACT * max(1.0, abs(rough.difference))
    assert rough.difference == pytest.approx(found.difference, abs=1e-4)


def test_memory_is_bounded_by_running_steps_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = learnt(tmp_path / "model", SINGLE)
    text = "please my parcel is late"
    (whole,) = explain(folder, [text], [1], steps=50)
    monkeypatch.setattr(attributions, "TOKENS_AT_ONCE", 1)
    (turns,) = explain(folder, [text], [1], steps=50)
    assert [value for _word, value in turns] == pytest.approx(
        [value for _word, value in whole], abs=1e-4
    )


@pytest.mark.parametrize(
    ("text", "spans", "words"),
    [
        # Pieces of one word, an apostrophe within, a mark by itself.
        ("don't go!", [(0, 3), (3, 4), (4, 5), (6, 8), (8, 9)], {"don't": 3, "go": 1, "!": 1}),
        # Byte-level pieces bring the space before them.
        ("my parcel", [(0, 2), (2, 9)], {"my": 1, "parcel": 1}),
        # Chinese by characters; a token of two keeps them together.
        ("我的包裹", [(0, 1), (1, 2), (2, 4)], {"我": 1, "的": 1, "包裹": 1}),
        # A space by itself goes to the next word, at the end to the last.
        ("a b ", [(0, 1), (1, 2), (2, 3), (3, 4)], {"a": 1, "b": 3}),
        # What was cut off has no token.
        ("a b c", [(0, 1)], {"a": 1}),
        # Two bytes of one character.
        ("好", [(0, 1), (0, 1)], {"好": 2}),
        # No word at all, but a token.
        (" ", [(0, 1)], {" ": 1}),
        ("a@b.org [URL]", [(0, 1), (1, 2), (2, 7), (8, 13)], {"a@b.org": 3, "[URL]": 1}),
    ],
)
def test_tokens_are_put_together_to_words(
    text: str, spans: list[tuple[int, int]], words: dict[str, int]
) -> None:
    places, belongs = words_of(text, spans)
    found: dict[str, int] = {}
    for one in belongs:
        word = text[slice(*places[one])]
        found[word] = found.get(word, 0) + 1
    assert found == words


def test_what_is_explained_is_a_list_that_json_takes() -> None:
    one = Explained([("a", 1.0), ("b", -0.25)], difference=0.7)
    assert one.delta == pytest.approx(0.05)
    assert json.loads(json.dumps(one)) == [["a", 1.0], ["b", -0.25]]


def test_hooks_are_gone_afterwards(tmp_path: Path) -> None:
    predictor = TorchPredictor.load(learnt(tmp_path / "model", SINGLE))
    before = predictor.logits(["my parcel"])
    fading = attributions.Fading(predictor)
    fading.attributions(attributions.read(predictor, "my parcel"), 0, 8)
    assert (predictor.logits(["my parcel"]) == before).all()
    assert not any(module._forward_hooks for module in fading.lookups)
