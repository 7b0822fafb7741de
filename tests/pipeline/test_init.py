"""Where training starts: what may be loaded, what is drawn, what is written."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.modeling import architecture
from pipeline.predictor import Card
from tests.e2e.project import Project
from tests.helpers import ROOT

SIZES = {
    "vocabulary": 200,
    "layers": 2,
    "hidden": 16,
    "heads": 2,
    "intermediate": 32,
    "dropout": 0.0,
}
TEXTS = ["where is my parcel", "refund my order", "我的包裹在哪里", "change the password"] * 5


def test_scratch_is_the_same_for_a_seed_and_another_for_another() -> None:
    one, other, third = (
        architecture.from_scratch(TEXTS, ["a", "b"], SIZES, max_tokens=16, seed=seed)[0]
        for seed in (1, 1, 2)
    )
    weights = [model.bert.embeddings.word_embeddings.weight for model in (one, other, third)]
    assert (weights[0] == weights[1]).all()
    assert not (weights[0] == weights[2]).all()


def test_the_tokenizer_learns_from_the_texts() -> None:
    tokenizer = architecture.train_tokenizer(TEXTS, vocabulary=200, max_tokens=16)
    ids = tokenizer("Where is my PARCEL")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "[CLS]"
    assert tokenizer.unk_token_id not in ids
    assert len(tokenizer.tokenize("我的包裹")) == 4


def test_the_vocabulary_is_the_same_in_every_process() -> None:
    program = (
        "from tests.e2e.project import requests\n"
        "from pipeline.modeling.architecture import train_tokenizer\n"
        "texts = [one['request'] for one in requests(360)]\n"
        "made = train_tokenizer(texts, vocabulary=300, max_tokens=24)\n"
        "print(sorted(made.get_vocab().items()))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for _process in range(3)
    ]
    assert "'##" in printed[0]
    assert len(set(printed)) == 1


def test_parameters_and_memory_are_counted() -> None:
    model, tokenizer = architecture.from_scratch(TEXTS, ["a", "b"], SIZES, max_tokens=16, seed=1)
    told = architecture.describe(model, 16)
    hidden, inner, words = 16, 32, len(tokenizer)
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden
    expected = (words + 16 + 2) * hidden + 2 * hidden  # embeddings and their norm
    expected += 2 * layer + hidden * hidden + hidden + 2 * hidden + 2  # layers, pooler, head
    assert told["parameters"] == expected
    assert told["weight_bytes"] == 4 * expected
    assert told["training_memory_bytes"] > 16 * expected


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_x.py", "data.pkl", "a/b.pt"])
def test_a_folder_with_code_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="can run code") as caught:
        architecture.load_pretrained(str(tmp_path), ["a", "b"], seed=1)
    assert str(path) in str(caught.value)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights as safetensors"):
        architecture.load_pretrained(str(tmp_path), ["a", "b"], seed=1)


def test_weights_under_old_names_are_written_under_todays(tmp_path: Path) -> None:
    """Trainer reads checkpoints without translating names, and would lose every layer norm."""
    from safetensors.torch import load_file, save_file

    model, tokenizer = architecture.from_scratch(TEXTS, ["a", "b"], SIZES, max_tokens=16, seed=1)
    model.save_pretrained(tmp_path / "old")
    tokenizer.save_pretrained(tmp_path / "old")
    file = tmp_path / "old/model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): one
        for name, one in load_file(file).items()
    }
    save_file(old, file, metadata={"format": "pt"})
    loaded, _ = architecture.load_pretrained(str(tmp_path / "old"), ["a", "b"], seed=1)
    loaded.save_pretrained(tmp_path / "new")
    written = load_file(tmp_path / "new/model.safetensors")
    assert set(written) == set(loaded.state_dict())
    norm = "bert.embeddings.LayerNorm.weight"
    assert (written[norm] == model.state_dict()[norm]).all()


@pytest.mark.e2e
def test_the_stage_writes_a_loadable_start(built: Project) -> None:
    folder = built.folder / "models/init"
    card = Card.read(folder / "model")
    assert card.labels == ["account", "delivery", "refund"]
    assert card.max_tokens == 24
    assert card.normalize == built.get()["clean"]["normalize"]
    report = json.loads((folder / "report.json").read_text())
    assert report["method"] == "scratch"
    assert report["architecture"] == "BertForSequenceClassification"
    weights = (folder / "model/model.safetensors").stat().st_size
    assert math.isclose(report["weight_bytes"], weights, rel_tol=0.1)
