"""The head alone: what it reads, that it reads the same when the encoder is back, and how well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.modeling import anatomy, embeddings, frozen, methods, pooling
from tests.helpers import changed
from tests.pipeline.kinds import KINDS, WIDTH, examples, logits, texts, tiny

METHOD = methods.of(changed({"train.method": "frozen"}).train)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_answers_on_states_as_the_whole_model_on_texts(kind: str) -> None:
    tokens = texts()
    parts = {"train": examples(tokens, [0] * len(tokens))}
    model, made = METHOD.prepare(tiny(kind), parts, Path())
    batch = METHOD.collator(None)(made["train"])
    assert batch["inputs_embeds"].shape == (len(tokens), 1, WIDTH)
    assert all(len(one["input_ids"]) == 1 for one in made["train"])
    with torch.inference_mode():
        on_states = model(**batch)
    assert on_states.loss is not None
    whole = METHOD.finish(model)
    assert (logits(whole, tokens) - on_states.logits).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_head_learns(kind: str) -> None:
    tokens = texts()
    labels = [at % 3 for at in range(len(tokens))]
    model, made = METHOD.prepare(tiny(kind), {"train": examples(tokens, labels)}, Path())
    model(**frozen.stack(made["train"])).loss.backward()
    head = {name for name, _weight in anatomy.head(model)}
    with_gradient = {name for name, one in model.named_parameters() if one.grad is not None}
    assert with_gradient == head


def test_the_states_come_from_the_cache_of_the_project() -> None:
    parts = {"train": examples(texts(), [0] * 12), "validation": examples(texts(5, 6), [0] * 5)}
    METHOD.prepare(tiny("bert"), parts, Path())
    assert len(list(embeddings.CACHE.iterdir())) == 2
    assert embeddings.CACHE.resolve() == Path("work/embeddings").resolve()


@pytest.mark.parametrize(
    ("labels", "kind"), [([1, 2], torch.int64), ([1.5, 2.0], torch.float32),
                         ([[1.0, 0.0], [0.0, 1.0]], torch.float32)],
)  # fmt: skip
def test_targets_of_every_task_are_stacked(labels: list[Any], kind: torch.dtype) -> None:
    some = examples([[1], [1]], labels)
    batch = frozen.stack([one | {"features": np.ones(2, np.float32)} for one in some])
    assert batch["labels"].dtype == kind
    assert batch["labels"].tolist() == labels


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_last_layer_becomes_the_mean(kind: str) -> None:
    """norm(first + SHARE · mean), worked out from the states below the last layer."""
    model, tokens = tiny(kind), [texts(1)[0]]
    ids = torch.tensor(tokens)
    with torch.inference_mode():
        below = model.base_model(input_ids=ids, output_hidden_states=True).hidden_states[-2][0]
        assert pooling.average(model)
        found = model.base_model(input_ids=ids)[0][0, 0]
        wanted = below[0] + pooling.SHARE * below.mean(dim=0)
        wanted = (wanted - wanted.mean()) / wanted.std(correction=0)
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "modernbert"])
def test_padding_is_no_part_of_the_mean(kind: str) -> None:
    model, tokens = tiny(kind), texts(6)
    assert pooling.average(model)
    alone = torch.cat([logits(model, [one]) for one in tokens])
    assert (logits(model, tokens) - alone).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bart", "t5"])
def test_a_head_that_reads_the_last_token_is_left_alone(kind: str) -> None:
    model, plain = tiny(kind), tiny(kind)
    assert not pooling.average(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(),
                                                 strict=True))  # fmt: skip
