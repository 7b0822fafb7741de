"""Where training starts: what may be loaded, each family, what is written."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import artifacts
from pipeline.errors import ModelError, ParamsError
from pipeline.init import init
from pipeline.modeling import anatomy, architecture
from pipeline.predictor import Card
from pipeline.tasks.task import of
from tests.e2e.project import Project
from tests.helpers import changed, folder_bytes, record, report
from tests.pipeline.small import FAMILIES, LABELS, SIZES, TEXTS, small

ENCODER = ("encoder", "learned")
ARCHITECTURES = ["Bert", "ModernBert", "GPT2", "Llama", "Bart", "T5"]


def tokens(tokenizer: Any, texts: list[str]) -> Any:
    return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")


@pytest.mark.parametrize(("family", "name"), list(zip(FAMILIES, ARCHITECTURES, strict=True)))
def test_each_family_trains_is_saved_and_repeats_its_answers(
    tmp_path: Path, family: tuple[str, str], name: str
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    algorithm = ["wordpiece", "bpe", "unigram"][FAMILIES.index(family) % 3]
    drawn, tokenizer = small(family, {"init.scratch.tokenizer.algorithm": algorithm})
    model = architecture.with_own_names(drawn).train()
    assert type(model).__name__ == f"{name}ForSequenceClassification"
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    texts = [*TEXTS[:4], "refund </s> [SEP] order"]
    batch = tokens(tokenizer, texts)
    loss = model(**batch, labels=torch.tensor([0, 1, 2, 0, 1])).loss
    loss.backward()
    torch.optim.SGD(model.parameters(), 0.5).step()
    moved = [name for name, one in model.named_parameters() if not torch.equal(one, before[name])]
    assert any(name.startswith(anatomy.parts(model).layers[0]) for name in moved)
    model.eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with torch.no_grad():
        logits = model(**batch).logits
        alone = torch.cat([model(**tokens(tokenizer, [text])).logits for text in texts])
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        again = loaded(**tokens(AutoTokenizer.from_pretrained(tmp_path), texts)).logits
    assert torch.equal(again, logits)
    assert torch.allclose(alone, logits, atol=1e-5), "padding changes no answer"
    answers = pipeline("text-classification", model=str(tmp_path), device=-1)(
        texts, top_k=None, truncation=True
    )
    for row, answer in zip(logits.softmax(dim=1), answers, strict=True):
        found = {one["label"]: one["score"] for one in answer}
        assert [found[label] for label in LABELS] == pytest.approx(row.tolist(), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_is_in_one_part(family: tuple[str, str]) -> None:
    model, _tokenizer = small(family)
    inside = [list(one.parameters()) for one in anatomy.layers(model)]
    below = [weight for one in anatomy.embeddings(model) for weight in one.parameters()]
    top = [weight for _name, weight in anatomy.head(model)]
    layers = {id(one) for layer in inside for one in layer}
    assert len(inside) == (4 if family[0] == "encoder_decoder" else 2)
    assert len(layers) == sum(len(one) for one in inside)
    assert not layers & {id(one) for one in [*below, *top]}
    assert not {id(one) for one in below} & {id(one) for one in top}
    rest = {id(one) for one in model.parameters()} - layers - {id(one) for one in [*below, *top]}
    between = [name for name, one in model.named_parameters() if id(one) in rest]
    assert all("norm" in name or "ln_f" in name for name in between)
    assert anatomy.output_layer(model).out_features == len(LABELS)
    assert any(anatomy.output_layer(model).weight is one for one in top)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_reads_the_token_that_is_told(family: tuple[str, str]) -> None:
    """Noise on what the last layer says of that token changes the answer; on others it does not."""
    model, tokenizer = small(family)
    batch = tokens(tokenizer, ["where is my parcel"])
    length = batch["input_ids"].shape[1]
    with torch.no_grad():
        plain = model(**batch).logits

    def noisy(at: int) -> Any:
        def change(module: Any, inputs: Any, output: Any) -> Any:
            state = output[0] if isinstance(output, tuple) else output
            state[0, at] += torch.linspace(-9, 9, state.shape[-1])

        handle = anatomy.layers(model)[-1].register_forward_hook(change)
        with torch.no_grad():
            logits = model(**batch).logits
        handle.remove()
        return logits

    read = 0 if anatomy.read_position(model) == "first" else length - 1
    for at in range(length):
        assert torch.equal(noisy(at), plain) == (at != read), at


@pytest.mark.parametrize("family", FAMILIES)
def test_activation_and_dropout_arrive(family: tuple[str, str]) -> None:
    model, _tokenizer = small(
        family, {"init.scratch.activation": "silu", "init.scratch.dropout": 0.35}
    )
    bends = {type(one).__name__ for layer in anatomy.layers(model) for one in layer.modules()}
    assert bends & {"SiLU", "SiLUActivation"}, bends
    assert not bends & {"GELU", "GELUActivation", "NewGELUActivation", "ReLU"}
    shares = {one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)}
    shares |= {getattr(one, "attention_dropout", 0.35) for one in model.modules()}
    assert {one for one in shares if isinstance(one, float) and one > 0} == {0.35}


def test_parameters_and_memory_are_counted() -> None:
    model, tokenizer = small(ENCODER)
    told = architecture.describe(model, 16)
    hidden, inner, words = 32, 64, len(tokenizer)
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden
    expected = (words + 16 + 2) * hidden + 2 * hidden  # embeddings and their norm
    expected += 2 * layer + hidden * hidden + hidden + 3 * hidden + 3  # layers, pooler, head
    assert told["parameters"] == expected
    assert told["weight_bytes"] == 4 * expected
    assert told["training_memory_bytes"] > 16 * expected
    assert architecture.describe(small(("encoder_decoder", "relative"))[0], 16)["layers"] == 4


def test_a_rotary_encoder_of_one_layer_is_refused() -> None:
    with pytest.raises(ParamsError, match="rotary positions and a single layer"):
        small(("encoder", "rotary"), {"init.scratch.layers": 1})


@pytest.mark.parametrize(
    ("task", "labels", "outputs", "kind"),
    [
        ("single_label", LABELS, LABELS, "single_label_classification"),
        ("multi_label", LABELS, LABELS, "multi_label_classification"),
        ("regression", [], ["value"], "regression"),
    ],
)
def test_the_configuration_names_task_and_labels(
    tmp_path: Path, task: str, labels: list[str], outputs: list[str], kind: str
) -> None:
    for family in FAMILIES:
        model, tokenizer = small(family, task=task)
        written = json.loads(model.config.to_json_string())
        assert written["id2label"] == {str(at): name for at, name in enumerate(outputs)}
        assert written["label2id"] == {name: at for at, name in enumerate(outputs)}
        assert written["problem_type"] == kind
        assert anatomy.output_layer(model).out_features == len(outputs)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, _tokenizer = load(tmp_path, of(task, labels))
    assert loaded.config.problem_type == kind
    assert loaded.config.id2label == dict(enumerate(outputs))


def load(folder: Path, task: Any = None, max_tokens: int = 16) -> Any:
    task = task or of("single_label", LABELS)
    weights = changed().init.weights
    return architecture.load_pretrained(str(folder), task, weights, max_tokens=max_tokens, seed=1)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_x.py", "data.pkl", "a/b.pt"])
def test_a_folder_with_code_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="can run code") as caught:
        load(tmp_path)
    assert str(path) in str(caught.value)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights as safetensors"):
        load(tmp_path)


def test_a_model_that_reads_less_than_asked_for_is_refused(tmp_path: Path) -> None:
    model, tokenizer = small(ENCODER)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="found 17, allowed at most 16"):
        load(tmp_path, max_tokens=17)


def test_a_kind_of_model_that_is_not_known_is_refused(tmp_path: Path) -> None:
    from transformers import FunnelConfig, FunnelForSequenceClassification

    _model, tokenizer = small(ENCODER)
    config = FunnelConfig(vocab_size=50, block_sizes=[1], d_model=8, n_head=2, d_head=4, d_inner=8)
    FunnelForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="found funnel, allowed bart, bert"):
        load(tmp_path)


def test_a_model_that_was_never_padded_gets_a_padding_token(tmp_path: Path) -> None:
    model, tokenizer = small(("decoder", "learned"))
    tokenizer.pad_token = None
    model.config.pad_token_id = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, reader = load(tmp_path)
    assert reader.pad_token == reader.eos_token
    assert loaded.config.pad_token_id == reader.eos_token_id
    with torch.no_grad():
        assert loaded(**tokens(reader, TEXTS[:4])).logits.shape == (4, 3)


def test_a_sign_that_a_person_wrote_is_text_for_a_pretrained_model_too(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model, tokenizer = small(ENCODER)
    tokenizer.split_special_tokens = False  # as nearly all come
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _loaded, reader = load(tmp_path)
    reader.save_pretrained(tmp_path / "again")
    plain = AutoTokenizer.from_pretrained(tmp_path / "again")
    for one in (reader, plain):
        sign = one.sep_token_id or one.eos_token_id
        text = f"where {one.convert_ids_to_tokens(sign)} is"
        assert one(text)["input_ids"].count(sign) == one("where is")["input_ids"].count(sign)


def test_weights_under_old_names_are_written_under_todays(tmp_path: Path) -> None:
    """Trainer reads checkpoints without translating names, and would lose every layer norm."""
    from safetensors.torch import load_file, save_file

    model, tokenizer = small(ENCODER, {"init.weights.norm": 0.75})
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
    loaded, _ = load(tmp_path / "old")
    loaded.save_pretrained(tmp_path / "new")
    written = load_file(tmp_path / "new/model.safetensors")
    assert set(written) == set(loaded.state_dict())
    norm = "bert.embeddings.LayerNorm.weight"
    assert (written[norm] == 0.75).all()


def records(project: Path, labels: list[str]) -> None:
    import pyarrow as pa

    (project / "data/split").mkdir(parents=True)
    rows = [record(at, text, labels[at % len(labels)]) for at, text in enumerate(TEXTS)]
    table = pa.Table.from_pylist(rows, schema=artifacts.record_schema())
    artifacts.write_records(artifacts.part("train"), table)


SMALL = SIZES | {
    "init.method": "scratch", "init.max_tokens": 16, "label.labels": LABELS,
    "label.mapping": {}, "label.definitions": {}, "train.freeze_embeddings": False,
}  # fmt: skip


def test_the_stage_writes_a_start_with_its_report_twice_the_same(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records(project, LABELS)
    init(changed(SMALL))
    written = folder_bytes(project / "models/init")
    card = Card.read(project / "models/init/model")
    assert (card.task, card.labels, card.max_tokens) == ("single_label", LABELS, 16)
    told = report(project / "models/init")
    assert told["start"]["expected_loss"] == math.log(3)
    assert told["start"]["loss"] == pytest.approx(math.log(3), abs=0.1)
    assert told["start"]["warnings"] == []
    with (project / "models/init/layers.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    assert sum(int(row["weights"]) for row in rows) == told["parameters"]
    init(changed(SMALL))
    assert folder_bytes(project / "models/init") == written
    assert "gradient" not in capfd.readouterr().err


def test_a_bad_start_is_told(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    records(project, LABELS)
    bad = {f"init.weights.{part}.std": 5.0 for part in ("embeddings", "layers", "head")}
    init(changed(SMALL | bad))
    assert "sure of wrong answers" in capfd.readouterr().err
    kinds = [one["kind"] for one in report(project / "models/init")["start"]["warnings"]]
    assert "loss_high" in kinds


def test_a_folder_of_the_project_is_a_start_for_another_task(project: Path) -> None:
    records(project, ["1.5", "-2", "10"])
    model, tokenizer = small(("decoder", "rotary"))
    model.save_pretrained(project / "models/base/mine")
    tokenizer.save_pretrained(project / "models/base/mine")
    numbers = {
        "label.task": "regression", "label.labels": [], "label.mapping": {},
        "label.definitions": {}, "init.max_tokens": 16, "init.method": "pretrained",
        "init.pretrained": {"kind": "folder", "path": "models/base/mine"},
    }  # fmt: skip
    init(changed(numbers))
    told = report(project / "models/init")
    assert told["origin"]["path"] == "models/base/mine"
    assert told["start"]["expected_loss"] == 1.0
    card = Card.read(project / "models/init/model")
    assert (card.task, card.labels) == ("regression", [])


@pytest.mark.e2e
def test_the_stage_writes_a_loadable_start(built: Project) -> None:
    folder = built.folder / "models/init"
    card = Card.read(folder / "model")
    assert card.labels == ["account", "delivery", "refund"]
    assert card.max_tokens == 24
    assert card.normalize == built.get()["clean"]["normalize"]
    told = json.loads((folder / "report.json").read_text())
    assert told["method"] == "scratch"
    assert told["architecture"] == "BertForSequenceClassification"
    weights = (folder / "model/model.safetensors").stat().st_size
    assert math.isclose(told["weight_bytes"], weights, rel_tol=0.1)
