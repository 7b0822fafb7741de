"""The learning curve: the law it follows, what it promises, and that it never peeks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation import learning_curve
from pipeline.modeling import baselines, embeddings, linear
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.tasks import task as tasks
from tests.helpers import changed, record
from tests.pipeline import made_models

SHARES = [0.1, 0.2, 0.4, 0.7, 1.0]


def knobs(shares: list[float] = SHARES, draws: int = 3) -> Any:
    """Return section ``test.learning_curve``."""
    named = {"test.learning_curve.shares": shares, "test.learning_curve.draws": draws}
    return changed(named).test.learning_curve


def curve(name: str, train: Any, judged: Any, tmp_path: Path, **others: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"start": None, "cache": tmp_path / "cache", "seed": 3} | others
    section = asked.pop("knobs", knobs())
    task = tasks.of(name, made_models.labels_of(name))
    return learning_curve.curve(task, train, judged, section, **asked)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [(SINGLE, [3, 6, 12, 21, 30]), (MULTI, [20, 40, 80, 140, 200]),
     (REGRESSION, [20, 40, 80, 140, 200])],
)  # fmt: skip
def test_more_records_teach_more(name: str, sizes: list[int], tmp_path: Path) -> None:
    train, judged = made_models.records(name, sizes[-1], 1), made_models.records(name, 80, 2)
    found = curve(name, train, judged, tmp_path)
    assert found["model"] == linear.LOGISTIC
    assert found["figure"] == tasks.of(name, made_models.labels_of(name)).main
    assert [one["records"] for one in found["points"]] == sizes
    assert [one["share"] for one in found["points"]] == SHARES
    means = [one["mean"] for one in found["points"]]
    assert means[-1] > 0.8
    assert means[-1] > means[0] + 0.05
    for one in found["points"]:
        assert one["low"] <= one["mean"] <= one["high"]
    last = found["points"][-1]  # there is one way only to draw all
    assert last["low"] == last["mean"] == last["high"]


def test_the_last_point_is_the_plain_model(tmp_path: Path) -> None:
    """The whole part teaches what the same model learns without any curve around it."""
    train, judged = made_models.records(SINGLE, 120, 1), made_models.records(SINGLE, 80, 2)
    task = tasks.of(SINGLE, made_models.LABELS)
    found = curve(SINGLE, train, judged, tmp_path, knobs=knobs([1.0]))
    words = linear.fit_words([one["text"] for one in train], learning_curve.CHARACTERS)
    assert words is not None
    model, _converged = linear.fit(
        linear.LOGISTIC, task, words.features([one["text"] for one in train]),
        [one["label"] for one in train], seed=3,
    )  # fmt: skip
    assert model is not None
    answers = task.decide(model.values(words.features([one["text"] for one in judged])))
    truth = [one["label"] for one in judged]
    assert found["points"][0]["mean"] == pytest.approx(task.figures(truth, answers)["macro_f1"])
    assert found["fit"] is None
    assert (found["doubled"], found["worth"]) == (None, "unknown")


def test_states_of_the_starting_model_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "model"
    made_models.save_model(start, made_models.model(REGRESSION), REGRESSION)
    train, judged = made_models.records(REGRESSION, 100, 1), made_models.records(REGRESSION, 60, 2)
    seen = []
    plain = embeddings.compute

    def counted(model: Any, tokens: Any, batch_size: int) -> Any:
        seen.append(len(tokens))
        return plain(model, tokens, batch_size)

    monkeypatch.setattr(embeddings, "compute", counted)
    found = curve(REGRESSION, train, judged, tmp_path, start=start)
    assert found["model"] == baselines.FROZEN
    assert seen == [100, 60]
    again = curve(REGRESSION, train, judged, tmp_path, start=start)
    assert again == found
    assert seen == [100, 60]
    assert found["points"][-1]["mean"] > 0.9


def test_states_that_say_little_give_way_to_tf_idf(tmp_path: Path) -> None:
    """A model that was drawn and never trained is worse than the characters of the texts."""
    start = tmp_path / "model"
    made_models.save_model(start, made_models.model(MULTI, 0), MULTI)
    train, judged = made_models.records(MULTI, 200, 1), made_models.records(MULTI, 80, 2)
    found = curve(MULTI, train, judged, tmp_path, start=start)
    assert found["model"] == linear.LOGISTIC
    assert found == curve(MULTI, train, judged, tmp_path)


def test_a_folder_without_weights_leaves_tf_idf(tmp_path: Path) -> None:
    train, judged = made_models.records(SINGLE, 60, 1), made_models.records(SINGLE, 30, 2)
    assert curve(SINGLE, train, judged, tmp_path, start=tmp_path)["model"] == linear.LOGISTIC


def test_smaller_shares_of_a_draw_are_part_of_larger_ones() -> None:
    class Exam:
        seed = 5
        asked: list[list[int]] = []  # noqa: RUF012

        def figure(self, rows: list[int]) -> float:
            self.asked.append(rows)
            return float(len(rows))

    exam: Any = Exam()
    learning_curve.measured(exam, list(range(10, 60)), knobs([0.2, 0.5, 1.0], draws=2))
    small, large, whole = exam.asked[0:2], exam.asked[2:4], exam.asked[4:]
    assert [len(one) for one in small + large + whole] == [10, 10, 25, 25, 50]
    assert all(set(one) < set(other) for one, other in zip(small, large, strict=True))
    assert set(small[0]) != set(small[1])
    assert sorted(whole[0]) == list(range(10, 60))


def test_copies_do_not_count_as_data(tmp_path: Path) -> None:
    train, judged = made_models.records(SINGLE, 60, 1), made_models.records(SINGLE, 30, 2)
    copies = [one | {"id": f"c{at}", "augmented_from": one["id"]} for at, one in enumerate(train)]
    found = curve(SINGLE, [*train, *copies], judged, tmp_path)
    assert [one["records"] for one in found["points"]] == [6, 12, 24, 42, 60]


def test_a_power_law_is_found_again() -> None:
    """By hand: 0.95 - 2 / sqrt(n) at 2,000 records is 0.95 - 2 / 44.7214 = 0.905279."""
    sizes = [100, 200, 400, 700, 1000]
    fit = learning_curve.power_law(sizes, [0.95 - 2 * n**-0.5 for n in sizes])
    assert fit is not None
    assert (fit["a"], fit["b"], fit["c"]) == pytest.approx((0.95, 2.0, 0.5), rel=0.02)
    assert learning_curve.value_at(fit, 2000) == pytest.approx(0.905279, abs=1e-4)


@pytest.mark.parametrize(
    ("figures", "wanted"),
    [
        ([0.95 - 2 * n**-0.5 for n in (100, 200, 400, 700, 1000)], "yes"),  # 0.887 to 0.905
        ([0.95 - 0.2 * n**-0.5 for n in (100, 200, 400, 700, 1000)], "little"),  # 0.944 to 0.946
        ([0.9] * 5, "little"),
        ([1.0] * 5, "little"),
        ([0.5, 0.9, 0.4, 0.8, 0.5], "unknown"),  # scatters more than it rises
        ([0.9, 0.8, 0.7, 0.6, 0.5], "unknown"),  # falls
    ],
)
def test_whether_more_data_is_worth_it(figures: list[float], wanted: str) -> None:
    sizes = [100, 200, 400, 700, 1000]
    points = [{"records": n, "mean": y} for n, y in zip(sizes, figures, strict=True)]
    assert learning_curve.worth(points, learning_curve.power_law(sizes, figures)) == wanted


def test_nothing_above_one_is_promised() -> None:
    sizes = [10, 20, 40, 70, 100]
    fit = learning_curve.power_law(sizes, [0.1 + 0.4 * np.log10(n) for n in sizes])
    assert fit is not None
    assert fit["a"] <= 1
    assert learning_curve.value_at(fit, 1e9) <= 1


@pytest.mark.parametrize("case", ["one label", "two records", "no words", "none judged", "off"])
def test_what_teaches_nothing_promises_nothing(case: str, tmp_path: Path) -> None:
    train, judged = made_models.records(SINGLE, 40, 1), made_models.records(SINGLE, 20, 2)
    section = knobs()
    if case == "one label":
        train = [one | {"label": "refund"} for one in train]
    elif case == "two records":
        train = train[:2]
    elif case == "no words":
        train = [one | {"text": " "} for one in train]
    elif case == "none judged":
        judged = []
    else:
        section = knobs([])
    found = curve(SINGLE, train, judged, tmp_path, knobs=section)
    assert found["worth"] in ("unknown", "little")
    if case == "one label":  # always the same answer, so the curve is flat
        assert len({one["mean"] for one in found["points"]}) == 1
    elif case == "two records":
        assert [one["records"] for one in found["points"]] == [2]
        assert found["doubled"] is None
    else:
        assert found["points"] == []
        assert found["model"] is None


def test_the_seed_decides(tmp_path: Path) -> None:
    train, judged = made_models.records(SINGLE, 80, 1), made_models.records(SINGLE, 40, 2)
    one, again, other = (
        curve(SINGLE, train, judged, tmp_path, seed=seed)["points"] for seed in (1, 1, 2)
    )
    assert one == again
    assert one[:-1] != other[:-1]


def test_two_labels_of_which_one_is_rare_are_learnt_all_the_same(tmp_path: Path) -> None:
    """A small share may hold one label only; then that is the answer."""
    train = [record(at, f"my parcel {at}", "delivery") for at in range(50)]
    train += [record(100 + at, f"my money {at}", "refund") for at in range(3)]
    judged = [record(200, "my parcel", "delivery"), record(201, "my money", "refund")]
    found = curve(SINGLE, train, judged, tmp_path)
    assert found["points"][-1]["mean"] == pytest.approx(2 / 3)  # the third label has no record
