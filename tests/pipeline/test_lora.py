"""Adapters: where they stand, that they change nothing at first, and that merging keeps answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipeline.errors import ModelError
from pipeline.modeling import anatomy, lora, methods
from tests.helpers import changed
from tests.pipeline.kinds import KINDS, logits, texts, tiny

ADAPTED = {  # matrices of one layer (or of one of each stack): attention's, and all
    "bert": (4, 6), "distilbert": (4, 6), "roberta": (4, 6), "modernbert": (2, 4),
    "gpt2": (2, 4), "llama": (4, 7), "bart": (12, 16), "t5": (12, 16),
}  # fmt: skip
LAYERS = {"bart": 1, "t5": 1}  # counted over both stacks above


def knobs(targets: str = "all", others: dict[str, Any] | None = None) -> Any:
    lora_knobs = {"train.lora.targets": targets, "train.lora.dropout": 0.0}
    return changed({"train.method": "lora"} | lora_knobs | (others or {})).train


def disturb(model: Any) -> None:
    """Move the adapters away from where they start, as training does."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0.0, 0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", ["attention", "all"])
def test_adapters_stand_on_the_matrices_of_the_layers(kind: str, targets: str) -> None:
    names = lora.matrices(tiny(kind), targets)
    wanted = ADAPTED[kind][targets == "all"] * LAYERS.get(kind, 2)
    assert len(names) == len(set(names)) == wanted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", ["attention", "all"])
def test_a_merged_model_answers_as_the_unmerged_one(kind: str, targets: str) -> None:
    method = methods.of(knobs(targets))
    plain, model = tiny(kind), tiny(kind)
    before = logits(plain, texts())
    method.prepare(model, {}, None)  # type: ignore[arg-type]
    assert torch.equal(logits(model, texts()), before)  # B starts at zero
    disturb(model)
    trained = logits(model, texts())
    assert (trained - before).abs().max() > 1e-2
    merged = method.finish(model)
    assert (logits(merged, texts()) - trained).abs().max() < 1e-5
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert not hasattr(merged, "peft_config")


def test_a_merged_matrix_is_the_sum_of_the_paper() -> None:
    """W + alpha / rank · B·A, Hu et al. 2021, section 4.1."""
    model = tiny("bert")
    lora.add(model, knobs("all", {"train.lora.rank": 2, "train.lora.alpha": 6.0}).lora, seed=1)
    disturb(model)
    part = model.bert.encoder.layer[0].attention.self.query
    down, up = part.lora_A["default"].weight, part.lora_B["default"].weight
    assert down.shape == (2, 32)
    wanted = part.base_layer.weight + 6.0 / 2 * up @ down
    lora.merge(model)
    found = model.bert.encoder.layer[0].attention.self.query.weight
    assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_and_the_head_are_all_that_changes(kind: str) -> None:
    model = tiny(kind)
    head = {name for name, _weight in anatomy.head(model)}
    methods.of(knobs()).prepare(model, {}, None)  # type: ignore[arg-type]
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name for name in trained if "lora_" not in name} == head
    assert any("lora_" in name for name in trained)


def test_the_seed_alone_decides_where_adapters_start() -> None:
    drawn = []
    for seed, before in ((1, 5), (1, 6), (2, 5)):
        model = tiny("bert")
        torch.manual_seed(before)
        lora.add(model, knobs().lora, seed=seed)
        drawn.append(model.bert.encoder.layer[1].output.dense.lora_A["default"].weight)
        after = torch.rand(1)
        torch.manual_seed(before)
        assert torch.equal(torch.rand(1), after)  # nobody else's numbers were used up
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_an_adapter_that_diverged_is_not_merged() -> None:
    model = tiny("bert")
    lora.add(model, knobs().lora, seed=1)
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.lora_B["default"].weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="not a number"):
        lora.merge(model)
