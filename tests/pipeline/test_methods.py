"""What the ways of training have in common: small checkpoints, exact resuming, a plain model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from pipeline.errors import ModelError
from pipeline.modeling import anatomy, embeddings, methods
from tests.helpers import changed
from tests.pipeline.kinds import KINDS, examples, logits, texts, tiny

METHODS = ("full", "lora", "frozen")
LABELS = [at % 3 for at in range(16)]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Stop(TrainerCallback):  # type: ignore[misc]
    """Ends a run after some steps, once its checkpoint is written."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, **_others: Any) -> None:
        control.should_save = True
        control.should_training_stop = state.global_step >= self.at


def prepared(name: str, kind: str = "bert") -> tuple[methods.Method, Any, list[dict[str, Any]]]:
    """Return a method, what it made of a tiny model, and its examples."""
    method = methods.of(changed({"train.method": name}).train)
    parts = {"train": examples(texts(16), LABELS)}
    model, parts = method.prepare(tiny(kind, dropout=0.1), parts, Path("run"))
    return method, model, parts["train"]


def run(name: str, folder: Path, *, until: int, resume: Path | None = None) -> Any:
    """Train for some of six steps; return the prepared model."""
    method, model, some = prepared(name)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=6, per_device_train_batch_size=4, learning_rate=1e-2,
        use_cpu=True, report_to="none", disable_tqdm=True, remove_unused_columns=False, seed=3,
        save_strategy="steps", save_steps=100, dataloader_pin_memory=False,
    )  # fmt: skip
    collate = method.collator(Padder())
    trainer = Trainer(
        model=model, args=arguments, train_dataset=some, data_collator=lambda some: collate(some),
        callbacks=[Stop(until)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return model


class Padder:
    """Pads with zeros, as a tokenizer does."""

    def pad(self, batch: list[dict[str, Any]], **_others: Any) -> dict[str, Any]:
        longest = max(len(one["input_ids"]) for one in batch)
        padded = {
            name: torch.tensor([one[name] + [0] * (longest - len(one[name])) for one in batch])
            for name in ("input_ids", "attention_mask")
        }
        return padded | {"labels": torch.tensor([one["labels"] for one in batch])}


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_ends_with_the_same_weights_to_the_bit(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.set_num_threads(1)
    whole = run(name, tmp_path / "whole", until=6)
    run(name, tmp_path / "halved", until=3)
    resumed = run(name, tmp_path / "halved", until=6, resume=tmp_path / "halved" / "checkpoint-3")
    start = prepared(name)[1].state_dict()
    changes = {
        key for key, value in whole.state_dict().items() if not torch.equal(value, start[key])
    }
    trained = {key for key, weight in whole.named_parameters() if weight.requires_grad}
    assert changes
    assert changes <= trained
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert "missing keys" not in caplog.text


@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_holds_what_changes_and_nothing_else(name: str, tmp_path: Path) -> None:
    model = run(name, tmp_path, until=2)
    saved = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    assert set(saved) == {key for key, one in model.named_parameters() if one.requires_grad}
    embeddings_too = [key for key in saved if "word_embeddings" in key]
    assert not embeddings_too  # frozen by freeze_embeddings, by lora and by frozen
    if name != "full":
        size = sum(one.numel() for one in saved.values())
        assert size < 0.5 * sum(one.numel() for one in tiny("bert").parameters())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_restored_and_the_saved_model_is_plain(
    name: str, kind: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    method, model, _some = prepared(name, kind)
    torch.manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    model.save_pretrained(tmp_path / "checkpoint-1")
    other, again, _some = prepared(name, kind)
    other.restore(again, tmp_path / "checkpoint-1")
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    finished = other.finish(again)
    assert all(weight.requires_grad for weight in finished.parameters())
    finished.save_pretrained(tmp_path / "model")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert type(loaded) is type(tiny(kind))
    wanted = logits(method.finish(model).eval(), texts())
    assert (logits(loaded.eval(), texts()) - wanted).abs().max() < 1e-5


def test_freezing_the_word_vectors_is_a_choice() -> None:
    for wanted in (True, False):
        model = tiny("bert")
        knobs = changed({"train.freeze_embeddings": wanted}).train
        methods.of(knobs).prepare(model, {}, Path())
        assert model.get_input_embeddings().weight.requires_grad is not wanted
        assert bool(model._keys_to_ignore_on_save) is wanted


@pytest.mark.parametrize("change", ["less", "more"])
def test_a_checkpoint_of_another_training_is_refused(change: str, tmp_path: Path) -> None:
    method, model, _some = prepared("lora")
    weights = {key: one.clone() for key, one in model.named_parameters() if one.requires_grad}
    if change == "less":
        weights.pop(next(key for key in weights if "lora_B" in key))
    else:
        weights["bert.somewhere.weight"] = torch.zeros(1)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"lora_B|somewhere"):
        method.restore(model, tmp_path)


def test_a_checkpoint_of_several_files_is_read_whole(tmp_path: Path) -> None:
    method, model, _some = prepared("full")
    before = copy.deepcopy(model.state_dict())
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.zero_()
    method.restore(model, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["full", "lora"])
def test_few_records_start_from_the_mean_of_the_tokens(name: str) -> None:
    model, plain = tiny("bert"), tiny("bert")
    knobs = changed({"train.method": name, "train.contrastive.enabled": True}).train
    methods.of(knobs).prepare(model, {}, Path())
    assert (logits(model, texts()) - logits(plain, texts())).abs().max() > 1e-3
    last = anatomy.layers(model)[-1].get_submodule("attention.self.query").get_parameter("weight")
    assert not last.any()
    assert embeddings.CACHE.exists() is False
