"""States of texts: which one, the same with and without the cache, and when it counts no more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import StorageError
from pipeline.modeling import embeddings, pooling
from tests.pipeline import made_models
from tests.pipeline.kinds import KINDS, WIDTH, batch, texts, tiny


def states(model: Any, tokens: list[list[int]], cache: Path, kind: str = "head") -> Any:
    return embeddings.states(
        model, tokens, pooling=kind, cache=cache, batch_size=4  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_the_one_that_the_head_reads(kind: str, tmp_path: Path) -> None:
    """Changing other tokens' states above the last layer leaves the logits; this one's does not."""
    model, tokens = tiny(kind), texts(4)
    found = states(model, tokens, tmp_path)
    assert found.shape == (4, WIDTH)
    assert found.dtype == np.float32
    seen = []
    base = model.base_model
    plain = base.forward

    def listen(*given: Any, **named: Any) -> Any:
        answer = plain(*given, **named)
        seen.append(answer[0])
        return answer

    base.forward = listen
    with torch.inference_mode():
        model(**batch(tokens))
    for row, one, state in zip(seen[0], tokens, found, strict=True):
        at = embeddings.read_by_head(model, row[None], torch.tensor([[1] * len(one)]))
        wanted = row[0] if kind not in ("gpt2", "llama", "bart", "t5") else row[len(one) - 1]
        if kind != "modernbert":
            assert torch.allclose(at[0], wanted)
        assert np.allclose(state, wanted.numpy(), atol=1e-5)


def test_the_mean_leaves_padding_out() -> None:
    """By hand: the mean of (1, 2) and (3, 6) is (2, 4); the padded third state counts nothing."""
    top = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]])
    found = embeddings.mean_of(top, torch.tensor([[1, 1, 0]]))
    assert found.tolist() == [[2.0, 4.0]]


def test_batches_hold_texts_of_one_length_and_each_text_once() -> None:
    tokens = texts(40)
    found = list(embeddings.of_equal_length(tokens, 4))
    assert sorted(at for one in found for at in one) == list(range(40))
    assert all(len({len(tokens[at]) for at in one}) == 1 for one in found)
    assert max(len(one) for one in found) == 4


def test_a_second_time_nothing_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = tiny("bert"), texts()
    first = states(model, tokens, tmp_path)

    def never(*_given: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(embeddings, "compute", never)
    assert np.array_equal(states(tiny("bert"), tokens, tmp_path), first)
    assert not np.array_equal(states(model, tokens, tmp_path, "mean"), first)
    with torch.no_grad():
        model.classifier.weight.add_(1.0)
        model.bert.pooler.dense.weight.add_(1.0)
    model.config.id2label = {0: "x", 1: "y", 2: "z"}
    states(model, tokens, tmp_path)  # the head reads states, it does not make them


@pytest.mark.parametrize("what", ["text", "order", "cut", "weight", "bias", "activation"])
def test_the_cache_counts_no_more_once_something_changes(what: str, tmp_path: Path) -> None:
    model, tokens = tiny("bert"), texts()
    before = states(model, tokens, tmp_path)
    if what == "text":
        tokens[3][1] += 1 if tokens[3][1] < 50 else -1
    elif what == "order":
        tokens[0], tokens[1] = tokens[1], tokens[0]
    elif what == "cut":
        tokens = [one[:3] for one in tokens]  # init.max_tokens
    elif what == "activation":
        model.config.hidden_act = "relu"
        model = type(model)(model.config).eval()
        model.load_state_dict(tiny("bert").state_dict())
    else:
        with torch.no_grad():
            part = model.bert.encoder.layer[0].output.dense
            getattr(part, what).view(-1)[0] += 0.5
    after = states(model, tokens, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    assert not np.allclose(before, after, atol=1e-6)


def test_another_tokenizer_makes_other_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    made_models.save_model(folder, made_models.model("single_label", 0), "single_label")
    asked: dict[str, Any] = {"cache": tmp_path / "cache", "batch_size": 4, "pooling": "head"}
    some = ["my parcel is late", "please help"]
    before = embeddings.embed(folder, some, **asked)
    assert np.array_equal(embeddings.embed(folder, some, **asked), before)
    place = folder / "tokenizer.json"
    text = place.read_text(encoding="utf-8")
    place.write_text(text.replace('"parcel"', '"bundle"'), encoding="utf-8")
    after = embeddings.embed(folder, some, **asked)
    assert not np.allclose(before[0], after[0])
    assert np.allclose(before[1], after[1])


def test_embed_takes_the_mean_below_the_last_layer(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    made_models.save_model(folder, made_models.model("single_label", 0), "single_label")
    some = ["my parcel is late"]
    found = embeddings.embed(folder, some, pooling="mean", cache=tmp_path / "cache", batch_size=4)
    model = made_models.model("single_label", 0)
    ids = torch.tensor([made_models.tokenizer().encode(some[0]).ids])
    with torch.inference_mode():
        below = model.bert.embeddings(ids)[0]
    wanted = torch.nn.functional.layer_norm(
        below[0] + pooling.SHARE * below.mean(0), (32,), eps=1e-12
    )
    assert np.allclose(found[0], wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
def test_a_damaged_file_is_computed_again(damage: str, tmp_path: Path) -> None:
    model, tokens = tiny("bert"), texts()
    before = states(model, tokens, tmp_path)
    (place,) = tmp_path.glob("*.safetensors")
    whole = place.read_bytes()
    place.write_bytes({"cut": whole[:-20], "empty": b"", "garbage": b"x" * 100}[damage])
    assert np.array_equal(states(model, tokens, tmp_path), before)
    assert place.read_bytes() == whole


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(_place: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError):
        states(tiny("bert"), texts(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_files_used_last_are_kept(tmp_path: Path) -> None:
    vectors = {"head": np.zeros((1, 2), np.float32)}
    for number in range(embeddings.KEPT + 3):
        place = tmp_path / f"{number}.safetensors"
        embeddings.keep(place, vectors)
        os.utime(place, (number, number))
    found = {int(one.stem) for one in tmp_path.iterdir()}
    assert len(found) <= embeddings.KEPT + 1
    assert embeddings.KEPT + 2 in found
    assert 0 not in found


def test_bf16_weights_have_bytes_too() -> None:
    weight = torch.tensor([[1.0, -2.0]], dtype=torch.bfloat16)
    assert bytes(embeddings.raw(weight)) == b"\x80\x3f\x00\xc0"  # 0x3f80 and 0xc000, little-endian
