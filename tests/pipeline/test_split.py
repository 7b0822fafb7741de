"""Split: shares and mix are met, nothing known stands on both sides, what is too small is said."""

from __future__ import annotations

import bisect
import json
import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline import artifacts
from pipeline.errors import DataError
from pipeline.split import split
from pipeline.steps import splitting
from pipeline.steps.text import key
from tests.helpers import changed, folder_bytes, record, report, rows, write_records

LABELS = ["human", "number"]


def write(records: list[dict[str, Any]]) -> None:
    """Write records as label does: with the columns that clean and label add."""
    added = [
        ("cluster", pa.string()), ("language", pa.string()), ("annotators", pa.string()),
        ("agreement", pa.float64()), ("label_origin", pa.string()),
        ("baseline_probability", pa.float64()),
    ]  # fmt: skip
    schema = pa.schema([*artifacts.record_schema(), *(pa.field(*one) for one in added)])
    whole = [dict.fromkeys(schema.names) | {"label_origin": "source"} | one for one in records]
    artifacts.LABEL.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(whole, schema=schema)
    artifacts.write_records(artifacts.LABEL / artifacts.RECORDS, table)


def divided(
    records: list[dict[str, Any]], others: dict[str, object] | None = None, **changes: object
) -> dict[str, list[dict[str, Any]]]:
    write(records)
    knobs: dict[str, object] = {
        "label.labels": LABELS,
        "label.mapping": {},
        "label.definitions": {},
    }
    split(
        changed(
            knobs
            | {f"split.{name.replace('__', '.')}": value for name, value in changes.items()}
            | (others or {})
        )
    )
    return {part: rows(artifacts.part(part)) for part in artifacts.PARTS}


def many(count: int = 200, **others: object) -> list[dict[str, Any]]:
    return [
        record(number, f"text {number}", LABELS[number % 4 == 0], **others)
        for number in range(count)
    ]


def test_shares_and_the_mix_of_labels_are_met(project: Path) -> None:
    parts = divided(many())
    assert [len(parts[name]) for name in artifacts.PARTS] == [160, 20, 20]
    counts = report(artifacts.SPLIT)["labels"]
    assert counts["validation"] == counts["test"] == {"human": 15, "number": 5}
    ids = [one["id"] for part in parts.values() for one in part]
    assert sorted(ids) == sorted(f"r{number}" for number in range(200))
    assert all(one["part"] == name for name, part in parts.items() for one in part)


def test_the_seed_decides_to_the_byte(project: Path) -> None:
    divided(many())
    first = {name: artifacts.part(name).read_bytes() for name in artifacts.PARTS}
    divided(many())
    assert {name: artifacts.part(name).read_bytes() for name in artifacts.PARTS} == first
    divided(many(), seed=7)
    assert artifacts.part("test").read_bytes() != first["test"]


def test_duplicates_never_cross_even_when_they_are_kept(project: Path) -> None:
    records = [
        record(number, f"{'Text ' if number % 2 else 'text'} {number % 50}", LABELS[number % 2])
        for number in range(400)
    ]
    parts = divided(records)
    texts = [{str(one["text"]).lower().split()[1] for one in part} for part in parts.values()]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert len(set.union(*texts)) == 50


def test_a_group_never_crosses(project: Path) -> None:
    records = [
        record(number, f"text {number}", LABELS[number % 2], group=f"customer {number % 40}")
        for number in range(400)
    ]
    parts = divided(records, strategy="random")
    groups = [{one["group"] for one in part} for part in parts.values()]
    assert sum(map(len, groups)) == 40


def test_one_label_only_is_a_clear_error(project: Path) -> None:
    records = [record(number, f"text {number}", "human") for number in range(20)]
    with pytest.raises(
        DataError, match=r"records of one label only \(human\), allowed at least two"
    ):
        divided(records)


def test_a_label_too_small_to_split_is_named_with_its_parts(project: Path) -> None:
    rare = [one for one in many(100) if one["label"] == "human"]
    rare += [record(500, "rare", "number"), record(501, "rarer", "number")]
    with pytest.raises(DataError) as caught:
        divided(rare)
    places = [problem.where for problem in caught.value.problems]
    assert {"data/split, validation, number", "data/split, test, number"} <= set(places)
    assert "data/split, train, human" not in places
    assert not artifacts.SPLIT.exists()


def test_a_declared_label_without_records_is_an_error(project: Path) -> None:
    LABELS.append("location")
    try:
        with pytest.raises(DataError, match="data/split, train, location: found 0 records"):
            divided([one for one in many() if one["label"] != "location"])
    finally:
        LABELS.remove("location")


def test_records_without_the_columns_of_clean_and_label_are_divided_too(project: Path) -> None:
    write_records(artifacts.LABEL, many())
    split(changed({"label.labels": LABELS, "label.mapping": {}, "label.definitions": {}}))
    assert len(rows(artifacts.part("train"))) == 160
    assert {one["difficulty"] for one in rows(artifacts.part("test"))} == {None}


FOLDS = ("train", "validation", "test")
STRATEGIES = ("stratified", "random", "grouped", "time", "column")


def planted(count: int = 600, seed: int = 1) -> list[dict[str, Any]]:
    """Families of every kind: the same text written otherwise, clusters, groups, chains of them.

    Column ``fold`` gives every member of a family the same part; ``family`` says which it is.
    """
    draw = random.Random(seed)
    records: list[dict[str, Any]] = []

    def plant(family: int, text: str, group: str | None, cluster: str | None) -> None:
        number = len(records)
        fold = FOLDS[(family % 10 == 0) + (family % 20 == 0)]
        meta = {"file": "made.csv", "row": number, "fold": fold, "family": family}
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=draw.randrange(100_000))
        others = {"group": group, "cluster": cluster, "created_at": when}
        records.append(
            record(number, text, LABELS[family % 3 == 0], **others) | {"meta": json.dumps(meta)}
        )

    family = 0
    while len(records) < count:
        own = f"text about {family} and {draw.randrange(10**9)}"
        kind = family % 6
        if kind == 0:  # the same text
            for text in (own, own.upper(), own.replace(" ", "  "), f" {own}"):
                plant(family, text, None, None)
        elif kind == 1:  # near-duplicates, as clean names them
            for at in range(3):
                plant(family, f"{own} {'almost ' * at}so", None, f"cluster {family}")
        elif kind == 2:  # one customer
            for at in range(3):
                plant(family, f"{own} number {at}", f"customer {family}", None)
        elif kind == 3:  # a chain: group, cluster, group, text
            plant(family, f"{own} a", f"customer {family}", None)
            plant(family, f"{own} b", f"customer {family}", f"cluster {family}")
            plant(family, f"{own} c", f"client {family}", f"cluster {family}")
            plant(family, f"{own} d", f"client {family}", None)
            plant(family, f"{own} D", None, None)
        else:
            plant(family, own, None, None)
        family += 1
    draw.shuffle(records)
    return records


def refuse_leaks(parts: dict[str, list[dict[str, Any]]], field: str = "family") -> None:
    """Assert that nothing stands in two parts, by another way than the stage's own."""
    for name in (field, "group", "cluster", "text"):
        where: dict[Any, set[str]] = {}
        for part, records in parts.items():
            for one in records:
                if name == "text":
                    value = "".join(one["text"].lower().split())
                else:
                    value = one.get(name) if name in one else json.loads(one["meta"]).get(name)
                if value is not None:
                    where.setdefault(value, set()).add(part)
        assert where or name != field
        assert not {value for value, found in where.items() if len(found) > 1}, name


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_family_crosses_in_any_strategy(project: Path, strategy: str, augmented: bool) -> None:
    changes: dict[str, Any] = {"strategy": strategy, "augment__enabled": augmented}
    changes["augment__methods"] = ["insert", "delete", "swap"]
    changes["column"] = "fold" if strategy == "column" else None
    parts = divided(planted(), **changes)
    refuse_leaks(parts)
    found = report(artifacts.SPLIT)
    assert sum(found["parts"].values()) == found["records"]
    assert sum(map(len, parts.values())) == found["records"] + found["augmented"]["made"]
    first = folder_bytes(artifacts.SPLIT)
    divided(planted(), **changes)
    assert folder_bytes(artifacts.SPLIT) == first, "the same bytes twice"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_the_records_changes_no_part(project: Path, strategy: str) -> None:
    changes: dict[str, Any] = {"strategy": strategy, "augment__enabled": True}
    changes["augment__methods"] = ["insert", "delete"]
    changes["column"] = "fold" if strategy == "column" else None
    first, again = divided(planted(), **changes), divided(planted()[::-1], **changes)
    for part, records in first.items():
        texts = {one["id"]: one["text"] for one in records}
        assert {one["id"]: one["text"] for one in again[part]} == texts


MARK = st.none() | st.integers(0, 150).map(str)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    marks=st.lists(st.tuples(MARK, MARK, st.integers(0, 300)), min_size=80, max_size=120),
    strategy=st.sampled_from(["stratified", "random", "time"]),
    seed=st.integers(0, 5),
)
def test_no_leak_whatever_belongs_together(
    project: Path, marks: list[tuple[str | None, str | None, int]], strategy: str, seed: int
) -> None:
    records = [
        record(
            number, f"{'A' if number % 2 else 'a'} text, {text}.", LABELS[number % 2],
            group=group, cluster=cluster, created_at=datetime.fromtimestamp(number, UTC),
        )
        for number, (group, cluster, text) in enumerate(marks)
    ]  # fmt: skip
    try:
        parts = divided(records, strategy=strategy, seed=seed, min_per_label=1)
    except DataError as error:  # a family may hold nearly everything
        assume("records, allowed at least 1" not in str(error))
        raise
    refuse_leaks(parts, "text")


@pytest.mark.parametrize("strategy", ["stratified", "time"])
def test_families_that_were_not_seen_stop_the_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """What is about to be written is compared without believing in families."""

    def unseen(keys: list[bytes], *_ties: object) -> list[bytes]:
        return [at.to_bytes(2, "big") for at in range(len(keys))]

    monkeypatch.setattr(splitting, "families", unseen)
    with pytest.raises(DataError, match="it must not happen") as caught:
        divided(planted(), strategy=strategy)
    for kind in ("one text", "one group", "one cluster"):
        assert kind in str(caught.value)
    assert not artifacts.SPLIT.exists()


def test_a_fault_in_dealing_stops_the_stage(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deal = splitting.split

    def careless(groups: list[bytes], *rest: object, **knobs: Any) -> list[str]:
        parts = deal(groups, *rest, **knobs)  # type: ignore[arg-type]
        return [part if at % 50 else "test" for at, part in enumerate(parts)]

    monkeypatch.setattr(splitting, "split", careless)
    with pytest.raises(DataError, match=r"one family in test, train"):
        divided(planted())


def test_punctuation_does_not_make_another_text(project: Path) -> None:
    marks = ["", "!", "?", " ...", ")"]
    records = [
        record(at, f"Text {at // 5}{marks[at % 5]}", LABELS[at // 5 % 2]) for at in range(400)
    ]
    parts = divided(records)
    texts = [{str(one["text"]).rstrip("!?.) ") for one in part} for part in parts.values()]
    assert sum(map(len, texts)) == 80


def test_time_puts_the_newest_into_the_test_and_reports_what_straddles(project: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        record(at, f"text {at}", LABELS[at % 2], created_at=start + timedelta(hours=at))
        for at in range(100)
    ]
    records[3]["group"] = records[95]["group"] = "over months"
    parts = divided(records, strategy="time")
    newest = {name: max(one["created_at"] for one in part) for name, part in parts.items()}
    assert newest["train"] < newest["validation"] < newest["test"]
    assert "r3" in {one["id"] for one in parts["test"]}
    found = report(artifacts.SPLIT)["time"]
    assert (found["straddling_families"], found["straddling_records"]) == (1, 1)
    assert newest["train"].isoformat() < found["starts"]["validation"]
    assert newest["validation"].isoformat() < found["starts"]["test"]


def test_time_and_groups_have_to_be_there(project: Path) -> None:
    records = many()
    records[0]["created_at"] = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(DataError, match="199 of 200 records without a time"):
        divided(records, strategy="time")
    with pytest.raises(DataError, match="no record with a group"):
        divided(records, strategy="grouped")


def test_a_column_that_tears_families_apart_is_refused_by_name(project: Path) -> None:
    records = planted()
    lost = next(one for one in records if one["group"] == "client 3")
    content = json.loads(lost["meta"])
    lost["meta"] = json.dumps(content | {"fold": "test"})
    with pytest.raises(DataError) as caught:
        divided(records, strategy="column", column="fold")
    assert all("made.csv:" in one.where for one in caught.value.problems)
    assert f"made.csv:{content['row']} (test)" in str(caught.value)
    assert "clean.duplicates" in str(caught.value)
    assert not artifacts.SPLIT.exists()


def test_a_column_that_says_something_else_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match="null in column fold of 200 records"):
        divided(many(), strategy="column", column="fold")


def test_difficulty_is_thirds_of_the_training_part(project: Path) -> None:
    records = many(300)
    for number, one in enumerate(records):
        one["baseline_probability"] = None if number % 10 == 0 else (number % 97 + 1) / 98
    parts = divided(records)
    found = report(artifacts.SPLIT)["difficulty"]
    bands = Counter(one["difficulty"] for one in parts["train"])
    assert max(bands[name] for name in ("easy", "medium", "hard")) - bands["hard"] <= 9
    for name, part in parts.items():
        counts = Counter(one["difficulty"] for one in part)
        assert found["parts"][name] == {
            "easy": counts["easy"], "medium": counts["medium"], "hard": counts["hard"],
            "unknown": counts[None],
        }  # fmt: skip
        for one in part:
            if one["baseline_probability"] is None:
                assert one["difficulty"] is None
            elif -math.log(one["baseline_probability"]) > found["bounds"]["medium"]:
                assert one["difficulty"] == "hard"


def recipe(name: str, **others: object) -> dict[str, object]:
    plain = {
        "type": "number", "missing": "keep", "constant": None, "outliers": "keep",
        "outlier_rule": "iqr", "outlier_bound": 1.5, "scale": "none", "encode": "none",
    }  # fmt: skip
    return {"name": name} | plain | others


def test_columns_beside_the_text_are_fitted_on_the_training_part_only(project: Path) -> None:
    records = many()
    for number, one in enumerate(records):
        price = None if number % 20 == 0 else str(number)
        one["meta"] = json.dumps({"file": "made.csv", "row": number, "price": price})
    others = {
        "clean.columns": [recipe("price", missing="drop", scale="min_max")],
        "clean.derived": [{"name": "length", "formula": "characters", "of": []}],
    }
    parts = divided(records, others)
    dropped = rows(artifacts.SPLIT / artifacts.DROPPED)
    assert {one["dropped_by"] for one in dropped} == {"missing_value"}
    assert set(dropped[0]) == set(parts["train"][0]) | {"dropped_by"}
    found = report(artifacts.SPLIT)
    assert found["dropped"] == {"missing_value": 10}
    assert sum(found["parts"].values()) + 10 == found["records"] == 200
    prices = [json.loads(one["features"])["price"] for one in parts["train"]]
    assert (min(prices), max(prices)) == pytest.approx((0, 1))
    for one in parts["test"]:
        assert json.loads(one["features"])["length"] == len(one["text"])
    fitted = json.loads((artifacts.SPLIT / "fitted.json").read_text())
    learnt = [int(json.loads(one["meta"])["price"]) for one in parts["train"]]
    assert fitted["columns"]["price"]["offset"] == min(learnt)


def test_without_columns_nothing_is_dropped_and_the_files_are_there(project: Path) -> None:
    parts = divided(many())
    assert rows(artifacts.SPLIT / artifacts.DROPPED) == []
    assert json.loads((artifacts.SPLIT / "fitted.json").read_text()) == {}
    assert {one["features"] for part in parts.values() for one in part} == {None}


def sentences(count: int = 200) -> list[dict[str, Any]]:
    draw = random.Random(3)
    vocabulary = ["很好", "快递", "酒店", "the", "quick", "delivery", "was", "late", "room", "view"]
    return [
        record(
            at, " ".join([*draw.choices(vocabulary, k=8), f"word{at}"]), LABELS[at % 2],
            group=f"customer {at % 90}", baseline_probability=0.5, annotators='["ann"]',
        )
        for at in range(count)
    ]  # fmt: skip


def test_augmenting_touches_the_training_part_only(project: Path) -> None:
    knobs: dict[str, Any] = {"augment__methods": ["insert", "delete", "swap"]}
    plain = divided(sentences(), **knobs)
    untouched = {name: artifacts.part(name).read_bytes() for name in ("validation", "test")}
    parts = divided(sentences(), augment__enabled=True, augment__share=0.5, **knobs)
    assert {name: artifacts.part(name).read_bytes() for name in untouched} == untouched
    originals = {one["id"]: one for one in plain["train"]}
    assert parts["train"][: len(originals)] == plain["train"]
    copies = parts["train"][len(originals) :]
    assert len(copies) == round(len(originals) / 2)
    known = [key(one["text"]) for part in plain.values() for one in part]
    for one in copies:
        original = originals[one["augmented_from"]]
        for name in ("label", "group", "cluster", "source", "meta", "part", "created_at"):
            assert one[name] == original[name]
        assert key(one["text"]) not in known
        assert (one["label_origin"], one["annotators"]) == ("augmented", "[]")
        assert (one["difficulty"], one["baseline_probability"]) == (None, None)
    assert len({one["id"] for one in parts["train"]}) == len(parts["train"])
    found = report(artifacts.SPLIT)["augmented"]
    assert (found["wanted"], found["made"]) == (len(copies), len(copies))
    assert sum(found["methods"].values()) == len(copies)
    assert report(artifacts.SPLIT)["parts"]["train"] == len(originals)


def test_no_copy_is_a_text_that_is_held_back(project: Path) -> None:
    """Half of all sentences of two words that deletion and swap can reach are held back."""
    words = [f"word{chr(97 + at)}" for at in range(16)]
    texts = [*words, *(f"{one} {two}" for one in words for two in words if one != two)]
    records = [record(at, text, LABELS[at % 2]) for at, text in enumerate(texts)]
    parts = divided(
        records, augment__enabled=True, augment__share=1.0, augment__methods=["delete", "swap"],
        shares={"train": 0.5, "validation": 0.25, "test": 0.25},
    )  # fmt: skip
    assert len({key(one["text"]) for part in parts.values() for one in part}) == len(texts)
    found = report(artifacts.SPLIT)["augmented"]
    assert found["made"] == 0 < found["wanted"], "all that can be made is there already"


def test_synonyms_come_from_the_projects_own_table(project: Path) -> None:
    knobs: dict[str, Any] = {"augment__enabled": True, "augment__methods": ["synonym"]}
    with pytest.raises(DataError, match=r"split.augment.synonyms: found null"):
        divided(sentences(), **knobs)
    knobs["augment__synonyms"] = "data/synonyms/synonyms.tsv"
    with pytest.raises(DataError, match="a file below data/synonyms"):
        divided(sentences(), **knobs)
    (project / "outside.tsv").write_text("quick\tfast\n")
    with pytest.raises(DataError, match="a file below data/synonyms"):
        divided(sentences(), **knobs | {"augment__synonyms": "data/synonyms/../../outside.tsv"})
    (project / "data/synonyms").mkdir()
    (project / "data/synonyms/synonyms.tsv").write_text(
        "quick\tfast\n酒店\t宾馆\n", encoding="utf-8"
    )
    parts = divided(sentences(), **knobs)
    made = [one["text"] for one in parts["train"] if one["augmented_from"]]
    assert made
    assert all("fast" in text or "宾馆" in text for text in made)


def test_texts_that_are_almost_the_same_are_reported(project: Path) -> None:
    long = " ".join(f"word{at}" for at in range(12))
    records = [record(at, f"{long} {at}", LABELS[at % 2]) for at in range(100)]
    divided(records)
    found = report(artifacts.SPLIT)["alike"]
    assert found["parts"] == {
        "validation": {"checked": 10, "found": 10}, "test": {"checked": 10, "found": 10},
    }  # fmt: skip
    assert len(found["examples"]) == 20


def of_several(count: int = 400) -> list[dict[str, Any]]:
    """Return records with a colour, many with a size too, and a few with nothing."""
    labels = ["red|large", "red", "blue", "red|rare", "blue|large"]
    return [
        record(at, f"text {at}", "" if at % 40 == 0 else labels[at % 20 % 5 if at % 4 else 1])
        for at in range(count)
    ]


SEVERAL: dict[str, object] = {
    "label.task": "multi_label",
    "label.labels": ["red", "blue", "large", "rare"],
}
NUMBERS: dict[str, object] = {"label.task": "regression", "label.labels": []}


def test_each_of_several_labels_is_in_every_part(project: Path) -> None:
    records = of_several()
    parts = divided(records, SEVERAL)
    told = report(artifacts.SPLIT)
    every = Counter(name for one in records for name in one["label"].split("|") if name)
    assert set(every) == {"red", "blue", "large", "rare"}
    for part, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        for name, count in every.items():
            assert abs(told["labels"][part][name] - share * count) <= 2, (part, name)
    assert sum(map(len, parts.values())) == 400
    assert told["numbers"] is None


def test_a_rare_one_of_several_labels_is_named(project: Path) -> None:
    records = [one | {"label": one["label"].replace("|rare", "")} for one in of_several(100)]
    records[3]["label"] = "red|rare"
    with pytest.raises(DataError) as caught:
        divided(records, SEVERAL)
    places = {"data/split, validation, rare", "data/split, test, rare"}
    assert places <= {one.where for one in caught.value.problems}


def rated(count: int = 400) -> list[dict[str, Any]]:
    return [record(at, f"text {at}", repr(random.Random(at).gauss(0, 2))) for at in range(count)]


def test_numbers_are_spread_alike_and_reported_by_quantiles(project: Path) -> None:
    records = rated()
    parts = divided(records, NUMBERS)
    assert [len(parts[name]) for name in artifacts.PARTS] == [320, 40, 40]
    told = report(artifacts.SPLIT)
    assert told["labels"] == {name: {} for name in artifacts.PARTS}
    ordered = sorted(float(one["label"]) for one in records)
    borders = ordered[39:360:40]  # the largest of each tenth but the last
    for part in ("validation", "test"):
        tenths = Counter(bisect.bisect_left(borders, float(one["label"])) for one in parts[part])
        assert tenths == dict.fromkeys(range(10), 4)
        for share in ("0.25", "0.5", "0.75"):
            expected = told["numbers"]["train"][share]
            assert told["numbers"][part][share] == pytest.approx(expected, abs=0.5)


def test_a_part_with_few_numbers_is_named(project: Path) -> None:
    with pytest.raises(DataError) as caught:
        divided(rated(40), NUMBERS, min_per_label=6)
    places = [one.where for one in caught.value.problems]
    assert places == ["data/split, validation", "data/split, test"]
    with pytest.raises(DataError, match=r"records of one label only \(3\.5\)"):
        divided([record(at, f"text {at}", "3.5") for at in range(20)], NUMBERS)


def test_the_difficulty_of_a_number_is_how_far_off_the_baseline_was(project: Path) -> None:
    write(rated(300))
    path = artifacts.LABEL / artifacts.RECORDS
    table = artifacts.read_records(path)
    off = [(-1) ** at * at / 100 for at in range(300)]
    table = table.append_column("baseline_residual", pa.array(off, pa.float64()))
    artifacts.write_records(path, table)
    split(changed({"label.definitions": {}, "label.mapping": {}} | NUMBERS))
    bounds = report(artifacts.SPLIT)["difficulty"]["bounds"]
    for part in artifacts.PARTS:
        for one in rows(artifacts.part(part)):
            distance = abs(one["baseline_residual"])
            hard = (distance > bounds["easy"]) + (distance > bounds["medium"])
            assert one["difficulty"] == ("easy", "medium", "hard")[hard]
    assert bounds["easy"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("task", ["several", "numbers"])
def test_copies_are_spread_over_labels_and_tenths(project: Path, task: str) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    made = of_several(200) if task == "several" else rated(200)
    records = [
        one | {"text": " ".join(random.Random(at).sample(words, 6)) + f" {at}"}
        for at, one in enumerate(made)
    ]
    knobs = SEVERAL if task == "several" else NUMBERS
    methods = ["insert", "delete", "swap"]
    parts = divided(
        records, knobs, augment__enabled=True, augment__share=0.5, augment__methods=methods
    )
    told = report(artifacts.SPLIT)["augmented"]
    assert told["made"] == told["wanted"] > 70
    if task == "several":
        assert set(told["labels"]) == {"red", "blue", "large", "rare", ""}
    else:
        assert {one["made"] for one in told["labels"].values()} == {8}, "of ten tenths"
    own = {one["id"]: one["label"] for one in parts["train"]}
    copies = [one for one in parts["train"] if one["augmented_from"]]
    assert len(copies) == told["made"]
    assert all(one["label"] == own[one["augmented_from"]] for one in copies)


@pytest.mark.parametrize("task", ["several", "numbers"])
@pytest.mark.parametrize("strategy", ["stratified", "grouped", "time"])
def test_no_family_crosses_in_any_task(project: Path, task: str, strategy: str) -> None:
    labels = ["red|large", "red", "blue", "", "blue|large", "red|rare"]
    records = [
        one | {"label": repr(at % 31 / 7) if task == "numbers" else labels[at % 6]}
        for at, one in enumerate(planted(900))
    ]
    parts = divided(records, SEVERAL if task == "several" else NUMBERS, strategy=strategy)
    assert sum(map(len, parts.values())) == len(records)
    refuse_leaks(parts)
