"""What the report on a start says: figures against counts of their own, and bad starts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from pipeline.modeling import diagnosis
from pipeline.tasks.task import of
from tests.pipeline.small import FAMILIES, LABELS, TEXTS, small

TRUTH = [LABELS[at % 3] for at in range(len(TEXTS))]
EVERYTHING = ("embeddings", "layers", "head")


def start(
    family: tuple[str, str] = ("encoder", "learned"), **draws: Any
) -> tuple[Any, dict[str, Any]]:
    """Return a model whose weights are all drawn alike, and the report on it."""
    changes = {
        f"init.weights.{part}.{name}": value for part in EVERYTHING for name, value in draws.items()
    }
    model, tokenizer = small(family, changes)
    task = of("single_label", LABELS)
    return model, diagnosis.diagnose(model, tokenizer, task, TEXTS, TRUTH)[0]


def kinds(report: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in report["warnings"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_usual_start_is_without_warnings(family: tuple[str, str]) -> None:
    _model, report = start(family)
    assert report["loss"] == pytest.approx(math.log(3), abs=0.15)
    assert report["expected_loss"] == math.log(3)
    assert 0.01 < report["gradient_norm"] < 100
    assert report["warnings"] == []


def test_loss_and_gradient_are_those_of_plain_torch() -> None:
    model, report = start()
    _model, tokenizer = small(("encoder", "learned"))
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    truth = torch.tensor([LABELS.index(one) for one in TRUTH])
    loss = model(**batch, labels=truth).loss
    loss.backward()
    gradients = torch.cat([one.grad.flatten() for one in model.parameters()])
    assert report["texts"] == 20
    assert report["loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
    assert report["gradient_norm"] == pytest.approx(float(gradients.norm()), rel=1e-5)
    layer = next(one for one in report["parts"] if one["part"] == "layer 2")
    weights = list(model.bert.encoder.layer[1].parameters())
    matrices = torch.cat([one.detach().flatten() for one in weights if one.ndim > 1])
    assert layer["weights"] == sum(one.numel() for one in weights)
    assert layer["deviation"] == pytest.approx(float(matrices.std()), rel=1e-3)
    assert layer["mean"] == pytest.approx(float(matrices.mean()), rel=1e-4)
    assert (layer["smallest"], layer["largest"]) == (matrices.min(), matrices.max())
    own = torch.cat([one.grad.flatten() for one in weights])
    assert layer["gradient_norm"] == pytest.approx(float(own.norm()), rel=1e-5)


def test_parts_and_modules_count_every_weight_once() -> None:
    for family in FAMILIES:
        model, tokenizer = small(family)
        task = of("single_label", LABELS)
        report, modules = diagnosis.diagnose(model, tokenizer, task, TEXTS, TRUTH)
        total = sum(one.numel() for one in model.parameters())
        assert sum(one["weights"] for one in report["parts"]) == total
        assert sum(one["weights"] for one in modules) == total
        assert all(set(one) == set(diagnosis.HEADER) for one in modules)
        layers = [one for one in report["parts"] if one["part"].startswith("layer ")]
        assert len(layers) == (4 if family[0] == "encoder_decoder" else 2)
        assert all(one["state_deviation"] > 0 for one in layers)


def test_a_state_is_measured_over_tokens_of_texts_only() -> None:
    """Of equal texts of equal length nothing is padded; of others padding must not count."""
    model, tokenizer = small(("encoder", "learned"))
    task = of("single_label", LABELS)
    texts = ["where is my parcel", "refund"]
    report, _modules = diagnosis.diagnose(model, tokenizer, task, texts, ["a", "b"])
    states = []
    for text in texts:
        whole = model.bert(**tokenizer(text, return_tensors="pt")).last_hidden_state
        states.append(whole[0].detach().double())
    last = next(one for one in report["parts"] if one["part"] == "layer 2")
    expected = float(torch.cat(states).std(correction=0))
    assert last["state_deviation"] == pytest.approx(expected, rel=1e-5)


def test_all_zeros_learn_nothing() -> None:
    for family in FAMILIES:
        _model, report = start(family, scheme="zeros")
        assert report["loss"] == pytest.approx(math.log(3), abs=1e-6)
        assert {"layer_still", "layer_dead"} <= kinds(report)
        if family[0] == "decoder":
            # Its output layer has no bias, so nothing at all gets a gradient.
            assert report["gradient_norm"] == 0
            assert "gradient_zero" in kinds(report)


def test_a_deviation_of_five_is_sure_of_wrong_answers() -> None:
    for family in FAMILIES:
        _model, report = start(family, scheme="normal", std=5.0)
        assert report["loss"] > 2 * math.log(3)
        assert "loss_high" in kinds(report)
    _model, report = start(scheme="normal", std=5.0)
    assert "head_saturated" in kinds(report)
    assert report["gradient_norm"] > 50
    assert report["head_at_its_limits"] > 0.5


def test_weights_that_are_no_numbers_are_told_not_raised() -> None:
    model, tokenizer = small(("encoder", "learned"))
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, 0] = math.nan
    report, _modules = diagnosis.diagnose(
        model, tokenizer, of("single_label", LABELS), TEXTS, TRUTH
    )
    assert report["loss"] is None
    assert report["gradient_norm"] is None
    assert {"no_number", "gradient_huge"} <= kinds(report)


@pytest.mark.parametrize(
    ("task", "truth", "expected"),
    [
        ("multi_label", ["a|b", "c", "", "a|b|c"] * 5, math.log(2)),
        ("regression", ["1.0", "250.5", "-3", "77"] * 5, 1.0),
    ],
)
def test_other_tasks_have_their_own_expectation(
    task: str, truth: list[str], expected: float
) -> None:
    model, tokenizer = small(("encoder", "learned"), task=task)
    report, _modules = diagnosis.diagnose(model, tokenizer, of(task, LABELS), TEXTS, truth)
    assert report["expected_loss"] == expected
    assert report["loss"] == pytest.approx(expected, rel=0.05)
    assert report["warnings"] == []


def test_the_model_is_as_it_was() -> None:
    model, tokenizer = small(("encoder", "learned"), {"init.scratch.dropout": 0.5})
    before = {name: one.clone() for name, one in model.state_dict().items()}
    model.train()
    model.bert.eval()  # a mixed state comes back as well
    modes = [one.training for one in model.modules()]
    state = torch.get_rng_state()
    task = of("single_label", LABELS)
    first, _modules = diagnosis.diagnose(model, tokenizer, task, TEXTS, TRUTH)
    second, _modules = diagnosis.diagnose(model, tokenizer, task, TEXTS, TRUTH)
    assert first == second, "no dropout"
    assert [one.training for one in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(one.grad is None for one in model.parameters())
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


def test_the_batch_is_spread_over_sorted_records() -> None:
    assert diagnosis.spread(3, 32) == [0, 1, 2]
    assert diagnosis.spread(100, 4) == [0, 25, 50, 75]
    assert len(set(diagnosis.spread(33, 32))) == 32


def test_warnings_read_like_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFANG_LANGUAGE", "en")
    told = diagnosis.told({"kind": "layer_still", "parts": ["layer 1", "layer 2"]})
    assert told == "some layers get no gradient in the first batch (layer 1, layer 2)"
