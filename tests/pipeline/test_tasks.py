"""Losses, answers and figures of the three tasks, against values worked by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import DataError
from pipeline.tasks import task as tasks
from pipeline.tasks.base import Task
from pipeline.tasks.regression import Regression, ranks

ANIMALS = ["bird", "cat", "dog"]
SINGLE = tasks.of("single_label", ANIMALS)
MULTI = tasks.of("multi_label", ANIMALS)
NUMBER = tasks.of("regression", [])
EVERY = pytest.mark.parametrize("task", [SINGLE, MULTI, NUMBER], ids=lambda task: str(task.name))


def knobs(
    smoothing: float = 0.0, gamma: float = 0.0, regression: str = "squared"
) -> SimpleNamespace:
    return SimpleNamespace(label_smoothing=smoothing, focal_gamma=gamma, regression=regression)


def logits_of(*shares: list[float]) -> Any:
    """Return logits whose softmax is ``shares``."""
    return torch.tensor(shares, dtype=torch.float64).log()


def odds(*chances: list[float]) -> Any:
    """Return logits whose sigmoid is ``chances``."""
    return torch.tensor(chances, dtype=torch.float64).logit()


# --- labels and answers


def test_targets_are_what_the_loss_takes() -> None:
    assert SINGLE.target("dog") == 2
    assert MULTI.target("bird|dog") == [1.0, 0.0, 1.0]
    assert MULTI.target("") == [0.0, 0.0, 0.0]
    assert NUMBER.target("3.5") == 3.5
    assert SINGLE.targets(["dog", "bird"]).dtype == np.int64
    assert MULTI.targets(["dog", ""]).tolist() == [[0, 0, 1], [0, 0, 0]]
    assert MULTI.targets([]).shape == (0, 3)
    assert NUMBER.targets(["1", "-2.5"]).dtype == np.float32


@pytest.mark.parametrize(
    ("task", "text"), [(SINGLE, "fish"), (MULTI, "cat|fish"), (NUMBER, "fish"), (NUMBER, "nan")]
)
def test_what_is_no_label_is_refused_by_name(task: Task, text: str) -> None:
    with pytest.raises(DataError, match=r"fish|nan"):
        task.target(text)


def test_scores_are_softmax_sigmoid_and_the_number_itself() -> None:
    row = np.log(np.array([[0.2, 0.3, 0.5]], dtype=np.float64))
    assert SINGLE.activate(row) == pytest.approx(np.array([[0.2, 0.3, 0.5]]))
    wide = np.array([[0.0, math.log(3), -1_000.0]], dtype=np.float32)
    assert MULTI.activate(wide) == pytest.approx(np.array([[0.5, 0.75, 0.0]]))
    assert NUMBER.activate(np.array([[3.5]], dtype=np.float32)).tolist() == [[3.5]]


def test_a_threshold_says_from_which_probability_a_label_is_given() -> None:
    scores = np.array([[0.2, 0.5, 0.3], [0.5, 0.1, 0.9], [0.4, 0.1, 0.2]])
    assert MULTI.decide(scores, {"bird": 0.4, "dog": 0.95}) == ["cat", "bird", "bird"]
    assert MULTI.decide(scores, {}) == MULTI.decide(scores) == ["cat", "bird|dog", ""]
    two = tasks.of("single_label", ["no", "yes"])
    pairs = np.array([[0.75, 0.25], [0.5, 0.5], [0.2, 0.8]])
    assert two.decide(pairs) == ["no", "no", "yes"]
    assert two.decide(pairs, {"yes": 0.25}) == ["yes", "yes", "yes"]
    assert two.decide(pairs, {"yes": 0.81}) == ["no", "no", "no"]
    assert SINGLE.decide(scores, {"dog": 0.0}) == SINGLE.decide(scores), "three labels have none"
    assert NUMBER.decide(np.array([[3.5]]), {"value": 9.0}) == ["3.5"]


def test_answers_are_label_texts() -> None:
    scores = np.array([[0.2, 0.5, 0.3], [0.5, 0.1, 0.9], [0.4, 0.1, 0.2]])
    assert SINGLE.decide(scores) == ["cat", "dog", "bird"]
    assert MULTI.decide(scores) == ["cat", "bird|dog", ""]
    assert NUMBER.decide(np.array([[3.5], [-1.0]])) == ["3.5", "-1.0"]


@EVERY
def test_an_answer_can_be_read_again(task: Task) -> None:
    logits = np.random.default_rng(1).normal(size=(20, len(task.outputs)))
    answers = task.decide(task.activate(logits))
    assert task.targets(answers).shape[0] == 20


def test_a_task_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a task: ranking"):
        tasks.of("ranking", ["a", "b"])


# --- figures


def test_figures_of_one_label_by_hand() -> None:
    """Cat 2 of 3 found and 2 of 2 right, dog 1 of 2 found and 1 of 2, bird 1 of 1 and 1 of 2."""
    truth = ["cat", "cat", "cat", "dog", "dog", "bird"]
    found = ["cat", "cat", "dog", "dog", "bird", "bird"]
    figures = SINGLE.figures(truth, found)
    f1 = {"cat": 0.8, "dog": 0.5, "bird": 2 / 3}
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["macro_precision"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert figures["macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert figures["macro_f1"] == pytest.approx(sum(f1.values()) / 3)
    assert figures["weighted_f1"] == pytest.approx((3 * 0.8 + 2 * 0.5 + 2 / 3) / 6)
    for part in ("precision", "recall", "f1"):
        assert figures[f"micro_{part}"] == pytest.approx(4 / 6)
    assert figures["balanced_accuracy"] == figures["macro_recall"], "each label has a record"
    assert figures["worst_class_recall"] == 1 / 2
    assert figures["worst_class_f1"] == 0.5
    # Gorodkin 2004: 4 right of 6; true 3 2 1, answered 2 2 2: (4·6 - 12) / √((36-12)·(36-14)).
    assert figures["matthews"] == pytest.approx(12 / math.sqrt(24 * 22))


def test_labels_that_the_truth_does_not_have_are_not_the_worst() -> None:
    """Only cats, one of them taken for a dog: of dogs and birds there is nothing to find."""
    figures = SINGLE.figures(["cat", "cat"], ["cat", "dog"])
    assert figures["balanced_accuracy"] == figures["worst_class_recall"] == 0.5
    assert figures["worst_class_f1"] == pytest.approx(2 / 3)
    assert figures["macro_recall"] == pytest.approx(0.5 / 3)
    assert MULTI.figures([""], ["cat"])["worst_class_recall"] == 0.0


def test_figures_of_one_label_as_scikit_learn_documents_them() -> None:
    """The examples of its reference: precision and recall, balanced accuracy, Matthews."""
    three, two = tasks.of("single_label", ["0", "1", "2"]), tasks.of("single_label", ["0", "1"])
    figures = three.figures(list("012012"), list("021001"))
    documented = {"macro": (0.222, 0.333, 0.267), "micro": (0.333, 0.333, 0.333),
                  "weighted": (0.222, 0.333, 0.267)}  # fmt: skip
    for average, values in documented.items():
        for part, value in zip(("precision", "recall", "f1"), values, strict=True):
            assert figures[f"{average}_{part}"] == pytest.approx(value, abs=5e-4)
    balanced = two.figures(list("010010"), list("010001"))["balanced_accuracy"]
    assert balanced == pytest.approx(0.625)
    assert two.figures(list("1110"), list("1011"))["matthews"] == pytest.approx(-1 / 3)


def test_a_label_that_is_never_predicted_counts_as_zero() -> None:
    two = tasks.of("single_label", ["a", "b"])
    assert two.figures(["a", "b"], ["a", "a"])["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_figures_of_several_labels_by_hand() -> None:
    """Four records; entries: 3 hits, 1 false alarm (dog at 2), 1 miss (dog at 1)."""
    truth = ["cat|dog", "bird", "cat", ""]
    found = ["cat", "bird|dog", "cat", ""]
    figures = MULTI.figures(truth, found)
    assert figures["subset_accuracy"] == pytest.approx(2 / 4)
    assert figures["hamming_loss"] == pytest.approx(2 / 12)
    assert figures["micro_precision"] == pytest.approx(3 / 4)
    assert figures["micro_recall"] == pytest.approx(3 / 4)
    assert figures["micro_f1"] == pytest.approx(3 / 4)
    assert figures["macro_f1"] == pytest.approx((1 + 1 + 0) / 3)
    assert figures["macro_precision"] == pytest.approx((1 + 1 + 0) / 3)
    assert figures["samples_precision"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert figures["samples_recall"] == pytest.approx((1 / 2 + 1 + 1 + 1) / 4)
    assert figures["samples_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1 + 1) / 4)
    assert figures["worst_class_recall"] == figures["worst_class_f1"] == 0.0, "dogs are not found"
    two = tasks.of("multi_label", ["a", "b"])  # scikit-learn's example of hamming_loss
    assert two.figures(["b", "a|b"], ["", ""])["hamming_loss"] == 0.75


def test_figures_of_numbers_by_hand() -> None:
    """Errors 0, 1, -1, 2; the truth deviates from its mean 2.5 by 5 in squares."""
    figures = NUMBER.figures(["1", "2", "3", "4"], ["1", "3", "2", "6"])
    assert figures["mae"] == pytest.approx(1.0)
    assert figures["mse"] == pytest.approx(6 / 4)
    assert figures["rmse"] == pytest.approx(math.sqrt(6 / 4))
    assert figures["r2"] == pytest.approx(1 - 6 / 5)
    # Deviations -1.5 -0.5 0.5 1.5 and -2 0 -1 3: products 3 + 0 - 0.5 + 4.5, squares 5 and 14.
    assert figures["pearson"] == pytest.approx(7 / math.sqrt(5 * 14))
    # Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 · 2 / (4 · 15).
    assert figures["spearman"] == pytest.approx(1 - 12 / 60)


def test_figures_of_numbers_as_scikit_learn_documents_them() -> None:
    """The example that its reference gives for each of them."""
    figures = NUMBER.figures(["3", "-0.5", "2", "7"], ["2.5", "0.0", "2", "8"])
    documented = {"mae": 0.5, "mse": 0.375, "rmse": 0.612, "r2": 0.948}
    for name, value in documented.items():
        assert figures[name] == pytest.approx(value, abs=1e-3)


def test_a_constant_answer_correlates_with_nothing_and_explains_nothing() -> None:
    figures = NUMBER.figures(["1", "2", "3"], ["0.1", "0.1", "0.1"])
    assert figures["pearson"] == figures["spearman"] == 0.0
    mean = NUMBER.figures(["1", "2", "3"], ["2", "2", "2"])
    assert mean["r2"] == 0.0
    assert NUMBER.figures(["2", "2"], ["2", "2"])["r2"] == 1.0
    assert NUMBER.figures(["2", "2"], ["2", "3"])["r2"] == 0.0


@EVERY
def test_what_is_named_is_given(task: Task) -> None:
    some = ["1", "2"] if task is NUMBER else ["cat", "dog"]
    scores = np.full((2, len(task.outputs)), 0.5)
    assert (*task.figures(some, some), "loss") == task.answer_figures
    assert tuple(task.score_figures(some, scores)) == task.score_figures_named
    assert set(task.answer_figures) | set(task.score_figures_named) == set(task.figures_named)
    assert len(set(task.figures_named)) == len(task.figures_named)
    assert task.main in task.answer_figures
    assert task.main in task.quick
    assert set(task.quick) < set(task.figures_named)


@EVERY
def test_perfect_answers_are_the_best_of_each_figure(task: Task) -> None:
    some, others = (["1", "2", "5"], ["2", "1", "1"]) if task is NUMBER else (
        ["cat", "dog", "bird"], ["dog", "dog", "cat"])  # fmt: skip
    best, worse = task.figures(some, some), task.figures(some, others)
    for name, value in best.items():
        assert value == pytest.approx(1.0 if task.greater_is_better(name) else 0.0)
        assert value > worse[name] if task.greater_is_better(name) else value < worse[name]
    assert not any(task.greater_is_better(name) for name in ("loss", "brier", "ece"))
    assert task.greater_is_better("roc_auc")


def test_quick_figures_equal_scikit_learn() -> None:
    from sklearn.metrics import f1_score, mean_absolute_error, r2_score

    random = np.random.default_rng(5)
    names = [f"label{at}" for at in range(6)]
    single, multi = tasks.of("single_label", names), tasks.of("multi_label", names)
    for _ in range(30):
        one = [names[at] for at in random.integers(0, 5, 40)]
        other = [names[at] for at in random.integers(0, 6, 40)]
        assert_quick(single, one, other)
        rows, found = random.random((2, 40, 6)) < 0.3
        rows[:, 5] = found[:, 5] = False  # a label that nothing has
        assert_quick(multi, multi.decide(rows.astype(float)), multi.decide(found.astype(float)))
        true, guess = random.normal(size=(2, 40)).round(1)
        texts, guesses = [str(value) for value in true], [str(value) for value in guess]
        assert_quick(NUMBER, texts, guesses)
        quick = {name: figure(true, guess) for name, figure in NUMBER.quick.items()}
        assert quick["r2"] == pytest.approx(r2_score(true, guess))
        assert quick["mae"] == pytest.approx(mean_absolute_error(true, guess))
        samples = f1_score(rows, found, average="samples", zero_division=0)
        both_empty = (~rows.any(axis=1) & ~found.any(axis=1)).mean()
        ours = multi.figures(
            multi.decide(rows.astype(float)), multi.decide(found.astype(float))
        )["samples_f1"]  # fmt: skip
        assert ours == pytest.approx(samples + both_empty)


def assert_quick(task: Task, truth: list[str], found: list[str]) -> None:
    true, guess, slow = task.coded(truth), task.coded(found), task.figures(truth, found)
    samples = np.random.default_rng(1).integers(0, len(true), (3, len(true)))
    for name, figure in task.quick.items():
        one = figure(true, guess)
        assert isinstance(one, float)
        assert one == pytest.approx(slow[name])
        each = [figure(true[at], guess[at]) for at in samples]
        assert figure(true[samples], guess[samples]).tolist() == pytest.approx(each)


def test_correlations_equal_those_of_pandas() -> None:
    import pandas as pd

    random = np.random.default_rng(2)
    for _ in range(20):
        true, guess = random.normal(size=(2, 30)).round(1)
        found = NUMBER.figures([str(one) for one in true], [str(one) for one in guess])
        table = pd.DataFrame({"true": true, "guess": guess})
        for kind in ("pearson", "spearman"):
            assert found[kind] == pytest.approx(table.corr(kind).loc["true", "guess"])
        assert (ranks(true) == table["true"].rank()).all()


# --- losses


def test_cross_entropy_by_hand() -> None:
    logits = logits_of([0.5, 0.25, 0.25], [0.1, 0.7, 0.2])
    targets = torch.tensor([0, 2])
    loss = SINGLE.loss(logits, targets, knobs=knobs())
    assert float(loss) == pytest.approx(-(math.log(0.5) + math.log(0.2)) / 2)
    assert loss.dtype == torch.float32


def test_label_smoothing_by_hand() -> None:
    """Szegedy 2016: (1 - e) of the true label's loss, e of the mean over all labels."""
    loss = SINGLE.loss(logits_of([0.5, 0.25, 0.25]), torch.tensor([0]), knobs=knobs(0.1))
    uniform = -(math.log(0.5) + 2 * math.log(0.25)) / 3
    assert float(loss) == pytest.approx(0.9 * -math.log(0.5) + 0.1 * uniform)


def test_focal_loss_by_hand() -> None:
    loss = SINGLE.loss(
        logits_of([0.5, 0.25, 0.25], [0.1, 0.7, 0.2]), torch.tensor([0, 1]), knobs=knobs(gamma=2.0)
    )
    expected = -(0.5**2 * math.log(0.5) + 0.3**2 * math.log(0.7)) / 2
    assert float(loss) == pytest.approx(expected)


def test_class_weights_make_a_weighted_mean() -> None:
    logits, targets = logits_of([0.5, 0.25, 0.25], [0.1, 0.7, 0.2]), torch.tensor([0, 1])
    weights = torch.tensor([3.0, 1.0, 1.0])
    loss = SINGLE.loss(logits, targets, knobs=knobs(), weights=weights)
    assert float(loss) == pytest.approx(-(3 * math.log(0.5) + math.log(0.7)) / 4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_gamma_it_is_torch_s_cross_entropy(smoothing: float, weighted: bool) -> None:
    torch.manual_seed(3)
    logits, targets = torch.randn(16, 3), torch.randint(0, 3, (16,))
    weights = torch.tensor([0.5, 2.0, 1.0]) if weighted else None
    theirs = torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)
    ours = SINGLE.loss(logits, targets, knobs=knobs(smoothing), weights=weights)
    assert float(ours) == pytest.approx(float(theirs(logits, targets)))


def test_binary_cross_entropy_by_hand() -> None:
    chances, targets = odds([0.5, 0.8, 0.1]), torch.tensor([[1.0, 1.0, 0.0]])
    plain = -(math.log(0.5) + math.log(0.8) + math.log(0.9)) / 3
    assert float(MULTI.loss(chances, targets, knobs=knobs())) == pytest.approx(plain)
    weights = torch.tensor([2.0, 3.0, 5.0])
    weighted = -(2 * math.log(0.5) + 3 * math.log(0.8) + math.log(0.9)) / 3
    found = MULTI.loss(chances, targets, knobs=knobs(), weights=weights)
    assert float(found) == pytest.approx(weighted)


def test_smoothing_and_focus_of_several_labels_by_hand() -> None:
    chances, targets = odds([0.8, 0.1]), torch.tensor([[1.0, 0.0]])
    two = tasks.of("multi_label", ["a", "b"])
    # Targets 0.9 and 0.1 with smoothing 0.2.
    smooth = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2) + 0.1 * math.log(0.1)
               + 0.9 * math.log(0.9)) / 2  # fmt: skip
    assert float(two.loss(chances, targets, knobs=knobs(0.2))) == pytest.approx(smooth)
    focal = -(0.2**2 * math.log(0.8) + 0.1**2 * math.log(0.9)) / 2
    assert float(two.loss(chances, targets, knobs=knobs(gamma=2.0))) == pytest.approx(focal)


def test_losses_of_numbers_by_hand() -> None:
    logits, targets = torch.tensor([[0.5], [3.0]]), torch.tensor([0.0, 0.0])
    assert float(NUMBER.loss(logits, targets, knobs=knobs())) == pytest.approx((0.25 + 9) / 2)
    # Huber 1964 with delta 1: e² / 2 up to 1, |e| - 1 / 2 beyond.
    huber = NUMBER.loss(logits, targets, knobs=knobs(regression="huber"))
    assert float(huber) == pytest.approx((0.125 + 2.5) / 2)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_are_finite_however_sure_the_model_is(gamma: float, smoothing: float) -> None:
    sure = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    for task, targets in ((SINGLE, torch.tensor([0])), (MULTI, torch.tensor([[1.0, 0.0, 1.0]]))):
        task.loss(sure, targets, knobs=knobs(smoothing, gamma)).backward()
        assert sure.grad is not None
        assert bool(sure.grad.isfinite().all())
        sure.grad = None


def test_half_precision_is_summed_in_single() -> None:
    logits = torch.randn(8, 3)
    low = SINGLE.loss(logits.bfloat16(), torch.zeros(8, dtype=torch.long), knobs=knobs())
    assert low.dtype == torch.float32


def test_class_weights_by_hand() -> None:
    """Balanced is n / (labels · count), as scikit-learn's class_weight says."""
    from sklearn.utils.class_weight import compute_class_weight

    targets = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
    assert SINGLE.class_weights(targets, "none") is None
    assert SINGLE.class_weights(targets, "balanced") == pytest.approx([0.5, 1.5, 3.0])
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    assert SINGLE.class_weights(targets, "balanced") == pytest.approx(theirs.tolist())
    roots = [math.sqrt(one) for one in (0.5, 1.5, 3.0)]
    assert SINGLE.class_weights(targets, "sqrt") == pytest.approx(roots)
    assert SINGLE.class_weights(np.array([0, 0, 1]), "balanced") == pytest.approx([0.5, 1.0, 1.0])


def test_weights_of_several_labels_by_hand() -> None:
    targets = MULTI.targets(["bird", "bird|cat", "bird", "bird"])
    assert MULTI.class_weights(targets, "none") is None
    assert MULTI.class_weights(targets, "balanced") == pytest.approx([1.0, 3.0, 1.0])
    assert MULTI.class_weights(targets, "sqrt") == pytest.approx([1.0, math.sqrt(3), 1.0])
    assert NUMBER.class_weights(np.array([1.0]), "balanced") is None


def test_numbers_are_standardized_by_mean_and_deviation() -> None:
    assert NUMBER.scaling(np.array([1.0, 3.0])) == (2.0, 1.0)
    assert NUMBER.scaling(np.array([5.0, 5.0])) == (5.0, 1.0)
    assert SINGLE.scaling(np.array([0, 1])) == MULTI.scaling(np.zeros((2, 3))) == (0.0, 1.0)
    assert isinstance(NUMBER, Regression)
