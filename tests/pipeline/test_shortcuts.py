"""Less work gives the same: states that nobody reads are left out, and dropout stays dropout."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from pipeline.modeling import shortcuts
from pipeline.steps.targets import SINGLE
from tests.pipeline import made_models


def tiny(kind: str, layers: int = 2, dropout: float = 0.1) -> Any:
    """Return a tiny classifier of a kind."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4,
        "intermediate_size": 64, "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }  # fmt: skip
    if kind == "llama":
        sizes = sizes | {"num_key_value_heads": 2, "attention_dropout": dropout}
    config = AutoConfig.for_model(
        kind, vocab_size=50, max_position_embeddings=40, pad_token_id=0, num_labels=3, **sizes
    )
    torch.manual_seed(5)
    return AutoModelForSequenceClassification.from_config(config)


def batch() -> dict[str, torch.Tensor]:
    """Return three texts of 9, 6 and 1 tokens."""
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] + [0] * 8])
    torch.manual_seed(6)
    return {"input_ids": torch.randint(1, 50, (3, 9)) * mask, "attention_mask": mask}


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "llama", "distilbert"])
def test_answers_and_gradients_are_those_of_the_plain_model(kind: str) -> None:
    plain = tiny(kind, dropout=0.0) if kind != "distilbert" else tiny(kind)
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    quick = copy.deepcopy(plain)
    shortcuts.drop_out_quickly(quick)
    shortcuts.read_first_only(quick)
    assert quick.state_dict().keys() == plain.state_dict().keys()
    for model in (plain, quick):
        model.eval()
    inputs = batch()
    expected, found = plain(**inputs).logits, quick(**inputs).logits
    assert torch.allclose(found, expected, atol=1e-5)
    for logits in (expected, found):
        logits.square().sum().backward()
    for (name, one), two in zip(plain.named_parameters(), quick.parameters(), strict=True):
        if one.grad is None:
            assert two.grad is None, name
        else:
            assert two.grad is not None, name
            assert torch.allclose(one.grad, two.grad, atol=1e-4), name


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_attention_is_that_of_the_library_but_for_what_is_dropped(kind: str) -> None:
    """With a dropout so small that no number of 16 bits falls below it, nothing is dropped."""
    plain, quick = tiny(kind, dropout=0.0), tiny(kind, dropout=1e-6)
    quick.load_state_dict(plain.state_dict())
    shortcuts.drop_out_quickly(quick)
    shortcuts.read_first_only(quick)
    plain.train(), quick.train()
    assert torch.allclose(quick(**batch()).logits, plain(**batch()).logits, atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_stays(share: float) -> None:
    """Bernoulli: n draws of p have the deviation √(p(1-p)/n); five of them is once in 10⁶."""
    draws = shortcuts.Draws()
    torch.manual_seed(1)
    draws.renew()
    kept = draws.keep(torch.ones(1_000, 333), share)
    count = kept.numel()
    dropped = float((kept == 0).float().mean())
    assert dropped == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5 + 2**-16)
    assert float(kept.max()) == pytest.approx(1 / (1 - share), rel=1e-3)
    assert float(kept.mean()) == pytest.approx(1.0, abs=5 * (share / (1 - share) / count) ** 0.5)


def test_what_is_dropped_follows_from_the_state_of_torch() -> None:
    model = made_models.model(SINGLE, steps=0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    shortcuts.drop_out_quickly(model)
    model.train()
    ids = torch.tensor([[2, 5, 6, 3]])

    def answer(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        logits: torch.Tensor = model(input_ids=ids).logits
        return logits

    assert torch.equal(answer(1), answer(1))
    assert not torch.equal(answer(1), answer(2))
    torch.manual_seed(1)
    assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
