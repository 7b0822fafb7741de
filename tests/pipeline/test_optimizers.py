"""Which weights are changed by how much: groups, first steps worked out by hand, penalties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.modeling import optimizers, schedules
from tests.helpers import changed

KINDS = ("adamw", "sgd", "rmsprop", "adafactor")
CALM = {
    "train.learning_rate": 0.1,
    "train.head_rate": 5.0,
    "train.layer_decay": 0.5,
    "train.weight_decay": 0.02,
}


def knobs(**others: Any) -> Any:
    """Return ``params.train`` with other values; ``optimizer__kind`` stands for a nested one."""
    inner = {f"train.{name.replace('__', '.')}": value for name, value in others.items()}
    return changed(CALM | inner).train


def bert(layers: int = 2) -> Any:
    """Return a tiny BERT classifier; every weight is drawn, biases as well."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        num_labels=2,
        hidden_dropout_prob=0.1,
    )
    return BertForSequenceClassification(config)


def settings_of(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, tuple[Any, float]]:
    """Return learning rate and decay by the name of a weight."""
    names = {id(one): name for name, one in model.named_parameters()}
    return {
        names[id(one)]: (pytest.approx(group["lr"]), group["weight_decay"])
        for group in optimizer.param_groups
        for one in group["params"]
    }


@pytest.mark.parametrize("kind", KINDS)
def test_lower_layers_learn_slower_and_the_head_faster(kind: str) -> None:
    model = bert()
    found = settings_of(model, optimizers.build(model, knobs(optimizer__kind=kind)))
    assert set(found) == {name for name, _one in model.named_parameters()}
    assert found["classifier.weight"] == (0.5, 0.02)
    assert found["classifier.bias"] == (0.5, 0.0)
    assert found["bert.pooler.dense.weight"] == (0.5, 0.02)
    assert found["bert.encoder.layer.1.attention.self.query.weight"] == (0.1, 0.02)
    assert found["bert.encoder.layer.0.attention.self.query.weight"] == (0.05, 0.02)
    assert found["bert.encoder.layer.0.attention.self.query.bias"] == (0.05, 0.0)
    assert found["bert.encoder.layer.0.output.LayerNorm.weight"] == (0.05, 0.0)
    assert found["bert.embeddings.word_embeddings.weight"] == (0.025, 0.02)
    assert found["bert.embeddings.LayerNorm.weight"] == (0.025, 0.0)


def test_the_rate_that_is_logged_is_the_learning_rate() -> None:
    built = optimizers.build(bert(), knobs(head_rate=50.0, layer_decay=0.9))
    assert built.param_groups[0]["lr"] == pytest.approx(0.1)


def test_what_is_above_the_layers_takes_the_learning_rate_itself() -> None:
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    config = ModernBertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, num_labels=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    model = ModernBertForSequenceClassification(config)
    found = settings_of(model, optimizers.build(model, knobs()))
    assert found["model.final_norm.weight"] == (0.1, 0.0)
    assert found["model.embeddings.tok_embeddings.weight"] == (0.025, 0.02)


def test_biases_of_attention_do_not_decay_although_t5_keeps_them_as_a_matrix() -> None:
    from transformers import T5Config, T5ForSequenceClassification

    config = T5Config(
        vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, num_labels=2,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    model = T5ForSequenceClassification(config)
    found = settings_of(model, optimizers.build(model, knobs()))
    bias = "transformer.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert found[bias] == (0.05, 0.0)  # one layer below the decoder's only one
    assert found["transformer.shared.weight"] == (0.025, 0.02)


def test_frozen_weights_belong_to_no_group() -> None:
    model = bert()
    model.bert.requires_grad_(False)
    found = settings_of(model, optimizers.build(model, knobs()))
    assert found == {"classifier.weight": (0.5, 0.02), "classifier.bias": (0.5, 0.0)}


def test_adapters_take_the_rate_of_their_layer() -> None:
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(
        bert(), LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
    )
    found = settings_of(wrapped, optimizers.build(wrapped, knobs()))
    start = "base_model.model.bert.encoder.layer"
    assert found == {
        f"{start}.{layer}.attention.self.query.lora_{letter}.default.weight": (rate, 0.02)
        for layer, rate in ((0, 0.05), (1, 0.1))
        for letter in "AB"
    } | {
        "base_model.model.classifier.modules_to_save.default.weight": (0.5, 0.02),
        "base_model.model.classifier.modules_to_save.default.bias": (0.5, 0.0),
    }


# The matrix holds 2, its gradient is 1: rate 0.1, decay 0.02, momentum 0.9, beta2 0.75.
# adamw: decay 2·(1 - 0.1·0.02), then 0.1 · m/√v, which is 1 in the first step.
# sgd: gradient 1 + 0.02·2 = 1.04. rmsprop: the same gradient; v = 0.25·1.04², its root is 0.52.
# adafactor: v is 1 in the first step (1 - 1^-0.8 = 0 is kept), u = 1; its RMS of 1 is not clipped.
FIRST = {
    "adamw": 2 * (1 - 0.002) - 0.1,
    "sgd": 2 - 0.104,
    "rmsprop": 2 - 0.1 * 1.04 / 0.52,
    "adafactor": 2 * (1 - 0.002) - 0.1,
}
# Second step, gradient 1 again: sgd's and rmsprop's momentum adds 0.9 of the step before.
SGD_SECOND = FIRST["sgd"] - 0.1 * (0.9 * 1.04 + 1 + 0.02 * FIRST["sgd"])


@pytest.mark.parametrize("kind", KINDS)
def test_first_step_is_the_one_worked_out_by_hand(kind: str) -> None:
    model = bert(layers=1)
    chosen = knobs(optimizer__kind=kind, optimizer__momentum=0.9, optimizer__beta2=0.75)
    weight = model.bert.encoder.layer[0].attention.self.query.weight
    with torch.no_grad():
        weight.fill_(2.0)
    weight.grad = torch.ones_like(weight)
    built = optimizers.build(model, chosen)
    built.step()
    torch.testing.assert_close(weight, torch.full_like(weight, FIRST[kind]), atol=1e-6, rtol=0)
    if kind == "sgd":
        built.step()
        torch.testing.assert_close(weight, torch.full_like(weight, SGD_SECOND), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_optimizer_survives_a_checkpoint_of_trainer(kind: str, tmp_path: Path) -> None:
    """Six steps at once, and three steps, a checkpoint, and three in another Trainer: the same."""
    chosen = knobs(optimizer__kind=kind, learning_rate=0.001)
    whole = trained(chosen, tmp_path / "whole", stop=0)
    trained(chosen, tmp_path / "parts", stop=3)
    resumed = trained(chosen, tmp_path / "parts", stop=0, resume=True)
    assert whole["losses"][3:] == resumed["losses"][3:]
    for name, one in whole["weights"].items():
        assert torch.equal(one, resumed["weights"][name]), name
    start = bert().state_dict()
    assert any(not torch.equal(one, start[name]) for name, one in whole["weights"].items())


def trained(chosen: Any, folder: Path, *, stop: int, resume: bool = False) -> dict[str, Any]:
    """Train a tiny model for six steps with transformers' Trainer, or end it earlier."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Ours(Trainer):  # type: ignore[misc]
        optimizer: torch.optim.Optimizer | None

        def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
            if self.optimizer is None:
                self.optimizer = optimizers.build(self.model, chosen)
            assert self.optimizer is not None
            return self.optimizer

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            found = self.optimizer if optimizer is None else optimizer
            assert found is not None
            self.lr_scheduler = schedules.build(
                found,
                chosen.schedule,
                steps=num_training_steps,
                greater_is_better=False,
            )
            return self.lr_scheduler

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = stop == state.global_step

    torch.manual_seed(1)
    examples = [
        {"input_ids": torch.randint(3, 50, (8,)), "labels": torch.tensor(at % 2)}
        for at in range(24)
    ]
    args = TrainingArguments(
        output_dir=str(folder), num_train_epochs=2, per_device_train_batch_size=8, use_cpu=True,
        save_steps=3, logging_steps=1, report_to="none", disable_tqdm=True, seed=1,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Ours(model=bert(), args=args, train_dataset=examples, callbacks=[Stop()])
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-3") if resume else None)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"weights": trainer.model.state_dict(), "losses": losses}


def test_penalty_is_the_one_worked_out_by_hand() -> None:
    model: Any = torch.nn.Sequential(
        torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.Linear(2, 1)
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
        model[0].bias.fill_(100.0)
        model[2].weight.fill_(7.0)
    model[2].weight.requires_grad_(False)
    found = optimizers.penalty(model, 0.5, 0.1)
    assert found.item() == pytest.approx(0.5 * 6 + 0.1 / 2 * 14)
    found.backward()  # type: ignore[no-untyped-call]  # l1 · sign(w) + l2 · w
    expected = torch.tensor([[0.5 + 0.1, -0.5 - 0.2], [0.0, 0.5 + 0.3]])
    torch.testing.assert_close(model[0].weight.grad, expected)
    assert model[0].bias.grad is None
    assert model[1].weight.grad is None
    assert model[2].weight.grad is None


def test_no_penalty_touches_no_weight() -> None:
    found = optimizers.penalty(None, 0.0, 0.0)  # there is not even a model to look at
    assert found.item() == 0.0
    assert not found.requires_grad
