"""A student has fewer parts of its teacher, learns its answers, and says how it was chosen."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.artifacts import read_json
from pipeline.errors import ModelError
from pipeline.modeling import anatomy, embeddings, lessons, recovering, students
from pipeline.modeling.predictor import TorchPredictor
from pipeline.modeling.recovering import Course, Recipe
from pipeline.modeling.variants import distilled
from pipeline.steps.splitting import bare_digest
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import rows
from tests.pipeline import kinds, made_models, teachers
from tests.pipeline.made_models import VOCABULARY

LABELS = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "wanted", "chosen"),
    [(6, 2, [0, 3]), (6, 3, [0, 2, 4]), (12, 4, [0, 3, 6, 9]), (5, 5, [0, 1, 2, 3, 4])],
)
def test_layers_are_chosen_evenly(count: int, wanted: int, chosen: list[int]) -> None:
    assert students.evenly(count, wanted) == chosen


def test_each_kind_of_attention_stays() -> None:
    kinds_of_six = ["full", "window", "window"] * 2
    assert students.of_each_kind([0, 3], kinds_of_six) == [0, 1]
    assert students.of_each_kind([0, 2, 4], kinds_of_six) == [0, 2, 4]
    assert students.of_each_kind([0, 3], None) == [0, 3]
    with pytest.raises(ModelError, match="found 1, allowed at least 2"):
        students.of_each_kind([0], kinds_of_six)


def test_shares_are_rounded_to_eights_where_the_whole_is() -> None:
    assert students.kept_of(1536, 0.7) == 1080  # 1075.2
    assert students.kept_of(64, 1.0) == 64
    assert students.kept_of(64, 0.01) == 8
    assert students.kept_of(30, 0.5) == 15


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_student_of_all_layers_is_its_teacher(kind: str) -> None:
    teacher = kinds.tiny(kind)
    whole = [range(count) for count in students.stacks(teacher).values()]
    student = students.rebuilt(teacher, whole, students.inner_sizes(teacher))
    assert torch.equal(kinds.logits(student, kinds.texts()), kinds.logits(teacher, kinds.texts()))


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_student_is_loaded_as_it_was_saved(kind: str, tmp_path: Path) -> None:
    teacher = kinds.tiny(kind)
    wanted = 2 if kind == "modernbert" else 1
    student = students.smaller(teacher, wanted, 0.5)
    assert set(students.stacks(student).values()) == {wanted}
    assert students.inner_sizes(student) == [one // 2 for one in students.inner_sizes(teacher)]
    student.save_pretrained(tmp_path)
    again = students.read(tmp_path)
    assert type(again) is type(teacher)
    assert torch.equal(kinds.logits(again, kinds.texts()), kinds.logits(student, kinds.texts()))


def test_a_layer_left_out_is_left_out() -> None:
    teacher = teachers.teacher()
    student = students.smaller(teacher, 2, 1.0)
    by_hand = copy.deepcopy(teacher)
    by_hand.bert.encoder.layer = torch.nn.ModuleList(
        [by_hand.bert.encoder.layer[0], by_hand.bert.encoder.layer[1]]
    )
    tokens = [[2, 5, 6, 14, 3], [2, 7, 3]]
    assert torch.equal(kinds.logits(student, tokens), kinds.logits(by_hand, tokens))


@pytest.mark.parametrize("kind", ["bert", "modernbert", "gpt2", "llama", "t5"])
def test_inner_units_that_count_for_nothing_go_first(kind: str) -> None:
    """Half of them get no way out, so a student without them answers as its teacher."""
    teacher = kinds.tiny(kind)
    inner = students.inner_sizes(teacher)[0]
    idle = torch.randperm(inner, generator=torch.Generator().manual_seed(3))[: inner // 2]
    out = {"bert": "output.dense", "modernbert": "mlp.Wo", "gpt2": "mlp.c_proj",
           "llama": "mlp.down_proj", "t5": "wo"}[kind]  # fmt: skip
    with torch.no_grad():
        for layer in anatomy.layers(teacher):
            for name, part in layer.named_modules():
                if name.endswith(out) and "attention" not in name:
                    places = (idle,) if kind == "gpt2" else (slice(None), idle)
                    part.weight[places] = 0.0
    student = students.smaller(teacher, 2, 0.5)
    tokens = kinds.texts()
    found, expected = kinds.logits(student, tokens), kinds.logits(teacher, tokens)
    assert torch.allclose(found, expected, atol=1e-5)


def test_losses_are_those_of_the_formulas() -> None:
    """Softmax of (ln 3, 0) is (3/4, 1/4), as is the sigmoid of ln 3; the student says one half."""
    logits, teacher = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    single = recovering.soft_loss(tasks.of(SINGLE, ["a", "b"]), logits, teacher, 2.0)
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert float(single) == pytest.approx(expected, abs=1e-6)
    several = recovering.soft_loss(tasks.of(MULTI, ["a", "b"]), logits, teacher, 2.0)
    assert float(several) == pytest.approx(4 * math.log(2), abs=1e-6)
    number = recovering.soft_loss(
        tasks.of(REGRESSION, []), torch.tensor([[1.0]]), torch.tensor([[3.0]]), 2.0
    )
    assert float(number) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # Teacher and truth say one half each (ln 2): the first text counts for both, the copy
        # for the teacher alone, whose distance is 0; so 0.3 · ln 2 is shared by two texts.
        ([0, 1], 0.3 * math.log(2) / 2),
        ([0], 0.3 * math.log(2)),
        ([1], 0.0),
    ],
)
def test_altered_copies_learn_from_the_teacher_alone(at: list[int], expected: float) -> None:
    how = recipe(temperature=1.0, teacher_share=0.7)
    lesson: Any = SimpleNamespace(
        task=tasks.of(SINGLE, ["a", "b"]),
        teacher=np.zeros((2, 2), dtype=np.float32),
        targets=np.array([1]),
    )
    course = Course(None, lesson, how, "cpu", "fp32", None, None)
    assert float(course.loss(torch.zeros(len(at), 2), at)) == pytest.approx(expected, abs=1e-6)


def beginner(name: str) -> Any:
    """Return a student whose layers and head know nothing; the embeddings are its teacher's."""
    student = students.smaller(teachers.teacher(name), 1, 1.0)
    torch.manual_seed(7)
    with torch.no_grad():
        for weight in student.parameters():
            if weight.ndim > 1 and weight.requires_grad and weight.shape[0] != len(VOCABULARY):
                weight.normal_(0.0, 0.02)
    return student


def recipe(**changes: Any) -> Recipe:
    """Return how students learn here."""
    usual = Recipe("distilled", 8, 5e-3, 16, 2.0, 0.9, 1, keep_zeros=False)
    return replace(usual, **changes)


@pytest.mark.parametrize("name", [SINGLE, MULTI, REGRESSION])
def test_a_student_learns_what_its_teacher_knows(name: str, tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path, name)
    lesson, student = lessons.prepare(context, 1), beginner(name)
    before = student.get_input_embeddings().weight.clone()
    report = recovering.learn(student, lesson, recipe())
    main = lesson.task.main
    first, *others = [one[main] for one in report["epochs"]]
    assert first < 0.5
    assert report[f"best_{main}"] == max(others) == others[report["best_epoch"] - 1]
    assert report[f"best_{main}"] > report["teacher"] - 0.1
    assert torch.equal(student.get_input_embeddings().weight, before)
    # The best epoch is what is left, and a number is answered in its unit.
    predictor = TorchPredictor.load(context.source)
    there = TorchPredictor(predictor.card, predictor.tokenizer, student)
    records = rows(context.validation)
    logits = there.logits([one["text"] for one in records])
    reached = lessons.figure(lesson.task, lesson.truth, logits)
    assert reached == pytest.approx(report[f"best_{main}"], abs=1e-3)


def test_the_same_seed_gives_the_same_student(tmp_path: Path) -> None:
    lesson = lessons.prepare(teachers.lay_out(tmp_path), 0)

    def weights(seed: int) -> torch.Tensor:
        student = beginner(SINGLE)
        recovering.learn(student, lesson, recipe(seed=seed))
        return torch.cat([one.detach().flatten() for one in student.parameters()])

    first = weights(1)
    assert torch.equal(weights(1), first)
    assert not torch.equal(weights(2), first)


def test_a_student_says_what_it_is_and_how_it_was_chosen(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path, distillation__epochs=1)
    report = distilled.make(context.source, tmp_path / "student", context)
    assert report["layers"] == {"before": [3], "after": [1]}
    assert report["inner_units"] == {"before": [64], "after": [64]}
    # A layer: four matrices and two of 64 with biases, two norms.
    layer = 4 * 32 * 33 + 2 * 64 * 32 + 64 + 32 + 4 * 32
    assert report["weights"]["before"] - report["weights"]["after"] == 2 * layer
    assert report["texts"] == 120
    assert 100 <= report["altered_copies"] <= 120
    assert report["metric"] == "macro_f1"
    assert report["part"] == "validation"
    assert report["tuned_on_this_part"] == ["the best epoch"]
    student = TorchPredictor.load(tmp_path / "student")
    assert len(student.model.bert.encoder.layer) == 1
    assert student.labels == made_models.LABELS
    origin = read_json(tmp_path / "student" / "origin.json")
    assert [one["maker"] for one in origin["made"]] == ["distilled"]
    assert origin["made"][0]["knobs"]["epochs"] == 1


def test_a_student_that_is_not_smaller_is_refused(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path, distillation__layers=3)
    with pytest.raises(ModelError, match=r"distillation\.layers: found 3, allowed fewer than"):
        distilled.make(context.source, tmp_path / "student", context)
    knobs = teachers.with_knobs(context, distillation__width=0.5).knobs.distillation
    distilled.refuse_as_large(teachers.teacher(), knobs)  # narrower is smaller


def test_a_training_that_only_harms_changes_nothing(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path)
    model = copy.deepcopy(teachers.teacher())
    before = {name: one.clone() for name, one in model.state_dict().items()}
    harsh = recipe(epochs=1, learning_rate=0.5)
    report = recovering.learn(model, lessons.prepare(context, 0), harsh)
    assert report["epochs"][1]["macro_f1"] < report["epochs"][0]["macro_f1"]
    assert report["best_epoch"] == 0
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path)
    lesson = lessons.prepare(context, 0)
    lesson.teacher[:] = np.nan
    with pytest.raises(ModelError, match=r"Lower optimize\.distillation\.learning_rate"):
        recovering.learn(copy.deepcopy(teachers.teacher()), lesson, recipe())


def test_the_teacher_answers_once(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path)
    tokens = [[2, 5, 6, 14, 3], [2, 7, 3], [2, 8, 9, 15, 3]]
    found = lessons.logits_of(context.source, tokens, context.cache)
    predictor = TorchPredictor.load(context.source)
    expected = np.concatenate([predictor.forward(np.array([one])) for one in tokens])
    assert np.allclose(found, expected, atol=1e-5)
    (kept,) = context.cache.glob("*.safetensors")
    embeddings.keep(kept, {"logits": found + 1})  # to tell it from a new answer
    again = lessons.logits_of(context.source, tokens, context.cache)
    assert np.array_equal(again, found + 1)
    # Other tokens, and other weights, are answered anew.
    other = lessons.logits_of(context.source, tokens[:2], context.cache)
    assert np.allclose(other, expected[:2], atol=1e-5)
    model = copy.deepcopy(teachers.teacher())
    with torch.no_grad():
        model.classifier.bias += 1.0
    model.save_pretrained(context.source)
    changed = lessons.logits_of(context.source, tokens, context.cache)
    assert np.allclose(changed, expected + 1, atol=1e-5)


def test_copies_have_no_text_of_another_part(tmp_path: Path) -> None:
    context = teachers.lay_out(tmp_path)
    train = pq.read_table(context.train).to_pydict()
    first = lessons.altered(train, 2, context)
    assert 200 <= len(first) <= 240  # 2 · 120; a short text may have fewer
    assert len(set(first)) == len(first)
    assert not {*first} & {*train["text"]}
    assert lessons.altered(train, 2, context) == first
    # Put one of them into the test part: it is not made any more.
    table = pq.read_table(context.train.with_name("test.parquet"))
    held = table.set_column(table.schema.get_field_index("text"), "text", [[first[0]] * len(table)])
    pq.write_table(held, context.train.with_name("test.parquet"))
    assert bare_digest(first[0]) not in map(bare_digest, lessons.altered(train, 2, context))
