"""The supervised contrastive loss against values worked out by hand, and what it does to states."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.modeling import anatomy, contrastive, embeddings
from tests.pipeline.kinds import batch, examples, texts, tiny

KNOBS = SimpleNamespace(steps=12, batch_size=8, learning_rate=3e-3, temperature=0.5)


def collate(some: list[dict[str, Any]]) -> dict[str, Any]:
    labels = torch.tensor([one["labels"] for one in some])
    return batch([one["input_ids"] for one in some], labels=labels)


def test_the_loss_is_that_of_equation_2() -> None:
    """Khosla et al. 2020, equation 2, for three texts at 0, 90 and 0 degrees, the first two alike.

    With t = 1: for text 1 -log(e^0 / (e^0 + e^1)), for text 2 -log(e^0 / (e^0 + e^0)); text 3 has
    no positive. Lengths do not count.
    """
    states = torch.tensor([[2.0, 0.0], [0.0, 0.5], [7.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    wanted = (math.log(1 + math.e) + math.log(2)) / 2
    assert float(contrastive.supervised(states, labels, 1.0)) == pytest.approx(wanted, rel=1e-6)


def test_a_lower_temperature_sharpens() -> None:
    """The same texts with t = 0.5: cosines count twice."""
    states = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    wanted = (math.log(1 + math.e**2) + math.log(2)) / 2
    assert float(contrastive.supervised(states, labels, 0.5)) == pytest.approx(wanted, rel=1e-6)


def test_the_mean_over_positives_stands_outside_the_logarithm() -> None:
    """Equation 2, not 3: with two positives at cosine 1 and 0 the mean of two logarithms."""
    states = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.ones(3, 1)
    first = -((1 - math.log(math.e + 1)) + (0 - math.log(math.e + 1))) / 2
    third = math.log(2)
    assert float(contrastive.supervised(states, labels, 1.0)) == pytest.approx(
        (2 * first + third) / 3, rel=1e-6
    )


def test_one_label_in_common_makes_a_pair() -> None:
    states = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    several = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    single = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert torch.equal(
        contrastive.supervised(states, several, 0.1), contrastive.supervised(states, single, 0.1)
    )


def test_a_batch_without_a_pair_teaches_nothing() -> None:
    states = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    loss = contrastive.supervised(states, torch.eye(2), 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert states.grad is not None
    assert not states.grad.any()


def telling() -> list[list[int]]:
    """Return texts of two labels in turn, whose first word tells which."""
    return [[one[0], 10 + 10 * (at % 2), *one[2:]] for at, one in enumerate(texts(16))]


def warmed(seed: int = 1, labels: list[Any] | None = None, kind: str = "bert") -> Any:
    torch.set_num_threads(1)
    model = tiny(kind, dropout=0.1)
    some = examples(telling(), labels or [at % 2 for at in range(16)])
    contrastive.warm_up(model, some, KNOBS, seed, collate)
    return model


def loss_of(model: Any, labels: Any) -> float:
    with torch.inference_mode():
        states = embeddings.of_batch(model, batch(telling()))
    return float(contrastive.supervised(states, labels, KNOBS.temperature))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "bart"])
def test_texts_of_a_label_come_together(kind: str) -> None:
    labels = torch.nn.functional.one_hot(torch.arange(16) % 2).float()
    before, model = loss_of(tiny(kind), labels), warmed(kind=kind)
    assert loss_of(model, labels) < before - 0.1
    assert not model.training


@pytest.mark.parametrize("kind", ["bert", "gpt2", "bart"])
def test_the_head_starts_from_what_it_saw(kind: str) -> None:
    model, truth = warmed(kind=kind), torch.arange(16) % 2
    with torch.inference_mode():
        found = model(**batch(telling())).logits.argmax(dim=1)
    assert (found == truth).float().mean() > 0.9
    assert all(one.grad is None for one in model.parameters())


def test_what_was_frozen_stays_as_it_was() -> None:
    model = tiny("bert")
    model.get_input_embeddings().requires_grad_(False)
    wanted = {name: one.requires_grad for name, one in model.named_parameters()}
    before = model.get_input_embeddings().weight.clone()
    contrastive.warm_up(model, examples(texts(16), [0, 1] * 8), KNOBS, 1, collate)
    assert {name: one.requires_grad for name, one in model.named_parameters()} == wanted
    assert torch.equal(model.get_input_embeddings().weight, before)
    assert "forward" not in vars(model.base_model)


def test_the_seed_decides() -> None:
    first, again, other = (
        anatomy.layers(warmed(seed))[0].get_parameter("output.dense.weight") for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_other_random_numbers_are_left_alone() -> None:
    torch.manual_seed(8)
    wanted = torch.rand(1)
    torch.manual_seed(8)
    warmed_model = warmed()
    torch.manual_seed(8)
    contrastive.warm_up(warmed_model, examples(texts(16), [0, 1] * 8), KNOBS, 1, collate)
    assert torch.equal(torch.rand(1), wanted)


def test_several_labels_warm_up_too() -> None:
    several = [[1.0, 0.0, float(at % 3 == 0)] if at % 2 else [0.0, 1.0, 0.0] for at in range(16)]
    assert loss_of(warmed(labels=several), torch.tensor(several)) < loss_of(
        tiny("bert"), torch.tensor(several)
    )


def test_numbers_are_refused() -> None:
    with pytest.raises(ModelError, match=r"train\.contrastive\.enabled.*regression"):
        warmed(labels=[float(at) for at in range(16)])


def test_every_record_comes_before_any_comes_again() -> None:
    knobs = SimpleNamespace(steps=5, batch_size=4)
    found = list(contrastive.batches(10, knobs, np.random.default_rng(1)))
    assert [len(one) for one in found] == [4] * 5
    assert all(len(set(one)) == 4 for one in found)
    flat = [at for one in found for at in one]
    assert sorted(flat[:10]) == list(range(10))
    assert sorted(flat[10:]) == list(range(10))


def test_fewer_records_than_a_batch_come_all_at_once() -> None:
    knobs = SimpleNamespace(steps=2, batch_size=64)
    found = list(contrastive.batches(3, knobs, np.random.default_rng(1)))
    assert [sorted(one) for one in found] == [[0, 1, 2]] * 2


def test_the_rate_rises_then_falls_to_zero() -> None:
    """Twenty steps: two to rise, then a line to zero after the last one."""
    assert [contrastive.pace(at, 20) for at in (0, 1, 2, 11, 19)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.5, 1 / 18]
    )
    assert contrastive.pace(0, 1) == 1.0
