"""The cheap models: as scikit-learn answers, the same after they were saved, never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.modeling import baselines, boosting, linear
from pipeline.modeling.baselines import Baselines, fit_all
from pipeline.tasks import task as tasks
from tests.e2e.project import requests

LABELS = ["account", "delivery", "refund"]
SINGLE = tasks.of("single_label", LABELS)
MULTI = tasks.of("multi_label", ["big", "red", "round"])
NUMBER = tasks.of("regression", [])
LINEAR = ["logistic_regression", "linear_svc"]


def knobs(*kinds: str, analyzer: str = "word", most: int = 5_000) -> SimpleNamespace:
    return SimpleNamespace(kinds=list(kinds), analyzer=analyzer, longest=2, max_features=most)


def singles(count: int, kinds: int = 3) -> list[dict[str, Any]]:
    rows = [one for one in requests(2 * count) if kinds == 3 or one["kind"] != "refund"]
    made = [{"text": one["request"], "label": one["kind"], "features": None} for one in rows]
    return made[:count]


def several(count: int) -> list[dict[str, Any]]:
    """Texts that name what they have, beside words that mean nothing."""
    random = np.random.default_rng(5)
    made = []
    for _record in range(count):
        has = [name for name in MULTI.labels if random.random() < 0.4]
        filler = [f"thing{random.integers(20)}" for _word in range(3)]
        made.append({"text": " ".join([*has, *filler]), "label": "|".join(has)})
    return made


def numbers(count: int) -> list[dict[str, Any]]:
    """Texts whose words are worth a number each, far from 0 and 1."""
    random = np.random.default_rng(6)
    worth = {"poor": 100.0, "fair": 200.0, "good": 300.0}
    made = []
    for _record in range(count):
        words = [str(one) for one in random.choice(list(worth), 3)]
        made.append(
            {"text": " ".join(words), "label": repr(sum(worth[word] for word in words) / 3)}
        )
    return made


def with_columns(count: int, task: str) -> list[dict[str, Any]]:
    """Records whose label follows from columns: numbers with gaps, a category, a switch."""
    random = np.random.default_rng(7)
    made = []
    for _record in range(count):
        price = None if random.random() < 0.1 else round(float(random.normal(50, 20)), 2)
        shop, new = str(random.choice(["east", "west"])), bool(random.random() < 0.5)
        high = price is not None and price > 50
        label = {
            "single_label": "delivery" if high else "refund" if shop == "east" else "account",
            "multi_label": "|".join(["big"] * high + ["red"] * (shop == "east") + ["round"] * new),
            "regression": repr(3.0 * (price or 0.0) + 10.0 * (shop == "east")),
        }[task]
        features = json.dumps({"price": price, "shop": shop, "new": new})
        made.append({"text": "no words that help", "label": label, "features": features})
    return made


def fitted(
    task: Any, train: list[dict[str, Any]], told: SimpleNamespace, validation: Any = None
) -> Baselines:
    return fit_all(
        task, train, validation or train[:20], told, seed=3, start=Path("no"), cache=Path("no")
    )


MADE: dict[str, Any] = {"single_label": singles, "multi_label": several, "regression": numbers}
OF = {"single_label": SINGLE, "multi_label": MULTI, "regression": NUMBER}


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        (SINGLE, ["refund", "account", "refund"], "refund"),
        (SINGLE, ["refund", "delivery"], "delivery"),  # of equals the first of the task
        (MULTI, ["big|red", "red", "big|red|round", ""], "red"),  # big: exactly half
        (MULTI, ["", "big", ""], ""),
        (NUMBER, ["1.0", "2.0", "6.0"], "3.0"),
    ],
)
def test_the_majority_by_hand(task: Any, labels: list[str], expected: str) -> None:
    assert baselines.most_common(task, labels) == expected


@pytest.mark.parametrize("analyzer", ["word", "char_wb", "both"])
@pytest.mark.parametrize("name", MADE)
def test_saved_baselines_answer_as_before(tmp_path: Path, name: str, analyzer: str) -> None:
    records = MADE[name](300)
    train, asked = records[:200], records[200:]
    made = fitted(OF[name], train, knobs("majority", *LINEAR, analyzer=analyzer), asked)
    made.save(tmp_path)
    again = Baselines.load(tmp_path)
    odd = [*asked, {"text": "", "label": None}, {"text": "words never seen", "label": None}]
    assert again.answers(odd) == made.answers(odd)
    assert (again.figures, again.strongest) == (made.figures, made.strongest)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    main = OF[name].main
    assert made.strongest != "majority"
    for kind in LINEAR:
        assert made.figures[kind][main] > 0.9 > made.figures["majority"][main]
        assert made.figures[kind] == OF[name].figures(
            [one["label"] for one in asked], made.answers(asked)[kind]
        )


@pytest.mark.parametrize("kinds", [2, 3])
def test_one_label_is_what_scikit_learn_answers(kinds: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    records = singles(300, kinds)
    train, asked = records[:200], records[200:]
    made = fitted(SINGLE, train, knobs(*LINEAR))
    assert made.words is not None
    learnt, seen = ([one["text"] for one in part] for part in (train, asked))
    for kind, theirs in (
        ("linear_svc", LinearSVC(max_iter=5_000, random_state=3)),
        ("logistic_regression", LogisticRegression(max_iter=1_000, C=10.0, random_state=3)),
    ):
        theirs.fit(made.words.features(learnt), [one["label"] for one in train])
        expected = theirs.predict(made.words.features(seen)).tolist()
        assert made.answers(asked)[kind] == expected


def test_several_labels_are_one_against_the_rest() -> None:
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    records = several(300)
    train, asked = records[:200], records[200:]
    made = fitted(MULTI, train, knobs("linear_svc"))
    assert made.words is not None
    theirs = OneVsRestClassifier(LinearSVC(max_iter=5_000, random_state=3))
    theirs.fit(
        made.words.features([one["text"] for one in train]),
        MULTI.targets([one["label"] for one in train]).astype(int),
    )
    expected = theirs.predict(made.words.features([one["text"] for one in asked]))
    assert made.answers(asked)["linear_svc"] == [
        "|".join(name for name, has in zip(MULTI.labels, row, strict=True) if has)
        for row in expected
    ]


def test_numbers_are_what_ridge_regression_answers() -> None:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    records = numbers(200)
    made = fitted(NUMBER, records, knobs("logistic_regression"))
    assert made.words is not None
    features = made.words.features([one["text"] for one in records])
    theirs = TransformedTargetRegressor(Ridge(alpha=1.0), transformer=StandardScaler())
    theirs.fit(features, [float(one["label"]) for one in records])
    ours = [float(one) for one in made.answers(records)["logistic_regression"]]
    assert ours == pytest.approx(theirs.predict(features), rel=1e-6)


def test_dense_features_are_standardized_and_the_weights_say_so() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(1)
    matrix = (random.normal(size=(120, 6)) * [1, 100, 1, 1, 0.01, 0] + 5).astype(np.float32)
    labels = [LABELS[int(one)] for one in (matrix[:, 1] > 5).astype(int) + (matrix[:, 0] > 5)]
    model, converged = linear.fit("logistic_regression", SINGLE, matrix, labels, seed=1)
    assert model is not None
    assert converged
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=linear.STRENGTH_DENSE, max_iter=1_000)
    ).fit(matrix.astype(float), labels)
    assert model.values(matrix) == pytest.approx(theirs.decision_function(matrix), abs=1e-4)


def test_words_and_characters_share_the_features() -> None:
    texts = [one["text"] for one in singles(300)]
    found = linear.fit_words(texts, knobs(analyzer="both", most=100))
    assert found is not None
    assert [len(block.vocabulary_) for block in found.blocks] == [50, 50]
    assert found.features(texts).shape == (300, 100)


def test_characters_read_chinese() -> None:
    train = [{"text": text, "label": label} for text, label in
             [("我的包裹在哪里", "delivery"), ("请退款", "refund"), ("包裹没有到", "delivery"),
              ("我要退款", "refund")] * 5]  # fmt: skip
    made = fitted(SINGLE, train, knobs("linear_svc", analyzer="char_wb"))
    asked = [{"text": "包裹呢"}, {"text": "退款呢"}]
    assert made.answers(asked)["linear_svc"] == ["delivery", "refund"]


@pytest.mark.parametrize("name", MADE)
def test_trees_answer_as_scikit_learn(tmp_path: Path, name: str) -> None:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    records = with_columns(240, name)
    train, asked = records[:180], records[180:]
    made = fitted(OF[name], train, knobs("columns"), asked)
    made.save(tmp_path)
    again = Baselines.load(tmp_path)
    assert again.answers(asked) == made.answers(asked)
    assert again.columns is not None
    learnt, seen = again.columns.matrix(train), again.columns.matrix(asked)
    wanted = OF[name].targets([one["label"] for one in train])
    values = again.models["columns"].values(seen)
    if name == "regression":
        theirs = GradientBoostingRegressor(random_state=3).fit(learnt, wanted.astype(float))
        assert values[:, 0] == pytest.approx(theirs.predict(seen), rel=1e-9)
    elif name == "single_label":
        theirs = GradientBoostingClassifier(random_state=3).fit(learnt, wanted)
        assert values == pytest.approx(theirs.decision_function(seen), rel=1e-9)
    else:
        for at, column in enumerate(wanted.T):
            theirs = GradientBoostingClassifier(random_state=3).fit(learnt, column > 0)
            assert values[:, at] == pytest.approx(theirs.decision_function(seen), rel=1e-9)
    assert made.figures["columns"][OF[name].main] > 0.9


def test_trees_for_two_labels() -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    matrix = np.random.default_rng(2).normal(size=(100, 3)).astype(np.float32)
    labels = ["account" if row[0] > row[1] else "refund" for row in matrix]
    forest = boosting.fit(SINGLE, matrix, labels, seed=3)
    assert forest is not None
    theirs = GradientBoostingClassifier(random_state=3).fit(matrix, labels)
    assert SINGLE.decide(forest.values(matrix)) == theirs.predict(matrix).tolist()
    assert forest.values(matrix)[:, 2] == pytest.approx(theirs.decision_function(matrix))


def test_columns_become_numbers_by_hand() -> None:
    rows = [
        {"price": 1.0, "shop": "east"},
        {"price": None, "shop": "west"},
        {"price": 4.0, "shop": "west"},
        {"price": 2.0, "shop": None},
    ]
    records = [{"features": json.dumps(one)} for one in rows]
    learnt = boosting.learn_columns(records)
    assert learnt == boosting.Columns({"price": 2.0}, {"shop": ["west", "east"]})
    asked: list[dict[str, Any]] = [
        *records,
        {"features": None},
        {"features": json.dumps({"price": 9.0, "shop": "?"})},
    ]
    # price, price is missing, shop=west, shop=east
    assert learnt.matrix(asked).tolist() == [
        [1, 0, 0, 1], [2, 1, 1, 0], [4, 0, 1, 0], [2, 0, 0, 0], [2, 1, 0, 0], [9, 0, 0, 0],
    ]  # fmt: skip
    assert learnt.matrix([]).shape == (0, 4)


def test_many_records_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "MOST_RECORDS", 50)
    matrix = np.random.default_rng(2).normal(size=(100, 3)).astype(np.float32)
    labels = ["account" if row[0] > row[1] else "refund" for row in matrix]
    one, same, other = (boosting.fit(SINGLE, matrix, labels, seed=seed) for seed in (1, 1, 2))
    assert one is not None
    assert same is not None
    assert other is not None
    assert (one.values(matrix) == same.values(matrix)).all()
    assert not np.array_equal(one.values(matrix), other.values(matrix))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    records = [one | {"text": two["text"]} for one, two in
               zip(with_columns(100, "single_label"), singles(100), strict=True)]  # fmt: skip
    found = []
    for name in ("one", "other"):
        made = fitted(SINGLE, records, knobs("columns", *LINEAR))
        made.seconds = dict.fromkeys(made.kinds, 0.0)
        made.save(tmp_path / name)
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]


def test_a_label_without_records_is_never_answered(tmp_path: Path) -> None:
    train = [one for one in singles(200) if one["label"] != "delivery"]
    train = [one | {"features": json.dumps({"a": at % 7})} for at, one in enumerate(train)]
    made = fitted(SINGLE, train, knobs(*LINEAR, "columns"))
    made.save(tmp_path)
    for told in Baselines.load(tmp_path).answers(singles(300)).values():
        assert set(told) <= {"account", "refund"}


def test_a_label_that_all_records_have_is_always_answered() -> None:
    records = [one | {"label": "|".join(["big", *(["red"] if "red" in one["text"] else [])])}
               for one in several(100)]  # fmt: skip
    made = fitted(MULTI, records, knobs("linear_svc"))
    assert set(made.answers(records)["linear_svc"]) == {"big", "big|red"}


@pytest.mark.parametrize(
    ("task", "records", "notes"),
    [
        (SINGLE, [{"text": f"a text {at}", "label": "refund"} for at in range(5)],
         dict.fromkeys([*LINEAR, "frozen"], "same_label") | {"columns": "no_columns"}),
        (NUMBER, [{"text": f"a text {at}", "label": "2.5"} for at in range(5)],
         dict.fromkeys([*LINEAR, "frozen"], "same_label") | {"columns": "no_columns"}),
        (MULTI, [{"text": "a text", "label": ""}] * 5,
         dict.fromkeys([*LINEAR, "frozen"], "same_label") | {"columns": "no_columns"}),
        (SINGLE, [{"text": "!!!", "label": one, "features": "{}"} for one in LABELS],
         dict.fromkeys(LINEAR, "no_words") | {"columns": "no_columns"}),
        (SINGLE, [{"text": "x", "label": "refund", "features": '{"a": 1}'}] * 3,
         dict.fromkeys([*LINEAR, "columns"], "same_label")),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_named(
    tmp_path: Path, task: Any, records: list[dict[str, Any]], notes: dict[str, str]
) -> None:
    made = fitted(task, records, knobs(*notes))
    assert made.notes == notes | {"majority": "only_one"}
    assert made.kinds == ["majority"]
    assert made.strongest == "majority"
    assert set(made.notes.values()) <= set(baselines.NOTES)
    made.save(tmp_path)
    assert Baselines.load(tmp_path).answers(records) == made.answers(records)
    assert made.answers([]) == {"majority": []}


def test_an_end_before_convergence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "ROUNDS", 1)
    made = fitted(SINGLE, singles(200), knobs("logistic_regression"))
    assert made.notes == {"logistic_regression": "not_converged"}
    assert made.kinds == ["logistic_regression"]


def test_the_strongest_is_the_best_by_the_main_figure() -> None:
    made = Baselines(SINGLE, kinds=["a", "b", "c"])
    made.figures = {"a": {"macro_f1": 0.5, "accuracy": 0.9}, "b": {"macro_f1": 0.6},
                    "c": {"macro_f1": 0.6}}  # fmt: skip
    assert made.strongest == "b"


@pytest.mark.parametrize("name", MADE)
def test_a_frozen_encoder_with_a_linear_head(tmp_path: Path, name: str) -> None:
    start = tiny_encoder(tmp_path / "start", [one["text"] for one in MADE[name](100)])
    records = MADE[name](150)
    train, asked = records[:120], records[120:]
    made = fit_all(OF[name], train, asked, knobs("majority", "frozen"), seed=3, start=start,
                   cache=tmp_path / "cache")  # fmt: skip
    assert made.notes == {}
    assert made.strongest == "frozen"  # even vectors that nobody trained tell words apart
    made.save(tmp_path / "saved")
    again = Baselines.load(tmp_path / "saved")
    assert again.encoder is not None
    again.encoder = baselines.Encoder(start, again.encoder.sha256, tmp_path / "cache")
    assert again.answers(asked)["frozen"] == made.answers(asked)["frozen"]
    weights = start / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="another model than the one"):
        again.answers(asked)


def tiny_encoder(folder: Path, texts: list[str]) -> Path:
    """Write a model of one layer whose weights nobody trained."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = sorted({word for text in texts for word in text.split()})
    known = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(known), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    card = {"task": "single_label", "labels": LABELS, "max_tokens": 32, "normalize": {},
            "mask": {"kinds": [], "region": "US"}}  # fmt: skip
    (folder / "mofang.json").write_text(json.dumps(card))
    return folder
