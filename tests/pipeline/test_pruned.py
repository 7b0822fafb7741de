"""What matters least goes, really, and what went stays away while the rest recovers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.modeling import anatomy, lessons, recovering, students
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.variants import distilled, pruned_units, pruned_weights
from pipeline.modeling.variants.base import Unavailable
from pipeline.steps.targets import REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.pipeline import kinds, made_models, teachers

TEXTS = [one["text"] for one in made_models.records(SINGLE, 40, 9)]
CUTTABLE = ["bert", "roberta", "distilbert"]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def zeros(model: Any) -> int:
    """Return how many weights of the layers' matrices are zero."""
    return sum(int((one == 0).sum()) for one in recovering.matrices(model))


def test_the_smallest_weights_of_all_layers_go() -> None:
    model = copy.deepcopy(teachers.teacher())
    before = torch.cat([one.detach().flatten() for one in recovering.matrices(model)])
    embedded = model.get_input_embeddings().weight.clone()
    pruned_weights.zero_smallest(model, 0.5)
    after = torch.cat([one.detach().flatten() for one in recovering.matrices(model)])
    # 3 layers of 4 · 32 · 32 for attention and 2 · 32 · 64 within.
    assert len(before) == 3 * (4 * 32 * 32 + 2 * 32 * 64)
    assert int((after == 0).sum()) == len(before) // 2
    assert float(before[after == 0].abs().max()) <= float(before[after != 0].abs().min())
    assert torch.equal(after[after != 0], before[after != 0])
    assert torch.equal(model.get_input_embeddings().weight, embedded)
    assert not any("orig" in name for name in model.state_dict())


def test_what_became_zero_stays_zero_while_the_rest_learns(tmp_path: Path) -> None:
    context = teachers.lay_out(
        tmp_path, pruning__weights=0.9, pruning__learning_rate=3e-3, pruning__epochs=4,
        distillation__batch_size=8,
    )  # fmt: skip
    report = pruned_weights.make(context.source, tmp_path / "pruned", context)
    model = TorchPredictor.load(tmp_path / "pruned").model
    assert report["prunable"] == 3 * 8192
    assert report["zero"] == round(0.9 * 3 * 8192) == zeros(model)
    recovery = report["recovery"]
    assert recovery["best_epoch"] > 0
    assert recovery["best_macro_f1"] > recovery["epochs"][0]["macro_f1"]
    assert recovery["altered_copies"] == 0
    assert recovery["tuned_on_this_part"] == ["the best epoch"]
    untrained = copy.deepcopy(teachers.teacher())
    pruned_weights.zero_smallest(untrained, 0.9)
    pairs = zip(recovering.matrices(untrained), recovering.matrices(model), strict=True)
    for one, two in pairs:
        assert torch.equal(one == 0, two == 0)
        assert not torch.equal(one, two)


@pytest.mark.parametrize("kind", CUTTABLE)
def test_silent_heads_and_idle_units_are_cut_out_without_a_trace(kind: str) -> None:
    model = kinds.tiny(kind)
    with torch.no_grad():
        for layer in anatomy.layers(model):
            names = students.LAYERS[kind]
            above: Any = layer.get_submodule(names.above)
            above.weight[:, 10:30] = 0.0
    students.silence(model, [[1], [0]])
    expected, before = kinds.logits(model, kinds.texts()), model.num_parameters()
    students.cut_idle(model)
    assert torch.allclose(kinds.logits(model, kinds.texts()), expected, atol=1e-5)
    # Of a head: 16 rows with a bias of three matrices, 16 columns of one; of a unit: a row with a
    # bias and a column.
    head, unit = 3 * 16 * 33 + 16 * 32, 33 + 32
    assert before - model.num_parameters() == 2 * (head + 20 * unit)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_other_families_stay_whole(kind: str) -> None:
    model = kinds.tiny(kind)
    before = model.num_parameters()
    students.cut_idle(model)
    assert model.num_parameters() == before


def test_importance_is_how_fast_the_loss_changes_with_a_gate() -> None:
    """Michel et al. 2019, equation 4: |∂L/∂ξ| of a gate ξ on a head; here by differences."""
    model = copy.deepcopy(teachers.teacher()).double()
    task = tasks.of(SINGLE, made_models.LABELS)
    tokens, targets = [[2, 5, 14, 7, 9, 3]], np.array([1])
    heads, units = pruned_units.measured(model, task, tokens, targets)

    def slope(columns: slice, layer: int, *, attended: bool) -> float:
        part = model.bert.encoder.layer[layer]
        weight = (part.attention.output if attended else part.output).dense.weight
        whole, losses = weight.detach().clone(), []
        for gate in (1.0001, 0.9999):
            with torch.no_grad():
                weight[:, columns] = whole[:, columns] * gate
                logits = model(input_ids=torch.tensor(tokens)).logits
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor([1]))
                weight.copy_(whole)
            losses.append(float(loss))
        return abs(losses[0] - losses[1]) / 0.0002

    for layer in range(3):
        wanted = [slope(slice(8 * at, 8 * at + 8), layer, attended=True) for at in range(4)]
        wanted = [one / sum(each**2 for each in wanted) ** 0.5 for one in wanted]
        assert heads[layer].tolist() == pytest.approx(wanted, rel=0.02, abs=1e-3)
        for unit in (0, 17, 63):
            expected = slope(slice(unit, unit + 1), layer, attended=False)
            assert float(units[layer][unit]) == pytest.approx(expected, rel=0.02, abs=1e-5)


def test_a_layer_keeps_its_last_head() -> None:
    heads = [torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.9, 0.8, 0.7])]
    assert pruned_units.weakest(heads, 0.5) == [[0, 1], [2]]
    assert pruned_units.weakest(heads, 0.3) == [[0], []]
    assert pruned_units.weakest(heads, 0.0) == [[], []]


@pytest.mark.parametrize("name", [SINGLE, REGRESSION])
def test_a_pruned_model_is_smaller_and_recovers(name: str, tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path, name, pruning__units=0.5)
    report = pruned_units.make(context.source, tmp_path / "pruned", context)
    assert report["heads"]["before"] == 12
    assert report["heads"]["after"] == 6 == 12 - sum(map(len, report["heads"]["gone"]))
    assert report["inner_units"] == {"before": 64, "after": 32}
    saved = TorchPredictor.load(tmp_path / "pruned")
    assert saved.model.config.intermediate_size == 32
    cut = students.load(tmp_path / "pruned")
    head, unit = 3 * 8 * 33 + 8 * 32, 33 + 32
    whole = report["weights"]["before"]
    assert report["weights"]["after"] == whole - 6 * head - 3 * 32 * unit == cut.num_parameters()
    there = TorchPredictor(saved.card, saved.tokenizer, cut)
    expected = saved.logits(TEXTS)
    assert np.allclose(there.logits(TEXTS), expected, atol=1e-4 * max(1, np.abs(expected).max()))
    main = saved.task.main
    assert report["recovery"][f"best_{main}"] > report["recovery"]["teacher"] - 0.1


def test_a_family_whose_heads_are_not_known_is_not_pruned(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path, model=kinds.tiny("gpt2"))
    with pytest.raises(Unavailable, match="this model is gpt2"):
        pruned_units.make(context.source, tmp_path / "pruned", context)


def test_makers_follow_each_other(tmp_path: Path) -> None:
    """Neither zeros nor heads that went come back in what is made of a pruned model."""
    context = teachers.lay_out(
        tmp_path, pruning__units=0.5, pruning__epochs=1, distillation__epochs=1,
        distillation__augmented=0,
    )  # fmt: skip
    steps = [tmp_path / name for name in ("zeros", "units", "student")]
    first = pruned_weights.make(context.source, steps[0], context)
    second = pruned_units.make(steps[0], steps[1], context)
    distilled.make(steps[1], steps[2], context)
    assert first["zero"] == 12288
    units, student = (students.read(folder) for folder in steps[1:])
    pairs = zip(recovering.matrices(student), recovering.matrices(units), strict=False)
    assert all(bool((one[two == 0] == 0).all()) for one, two in pairs)
    assert zeros(student) > 0
    cut = students.load(steps[2])
    kept = 4 - len(second["heads"]["gone"][0])
    assert cut.bert.encoder.layer[0].attention.self.query.out_features == 8 * kept
    # All were taught by the trained model: its answers were computed once for each part.
    assert len(list(context.cache.glob("*.safetensors"))) == 2
    assert lessons.fingerprint(context.source, [[1]]) != lessons.fingerprint(steps[0], [[1]])
