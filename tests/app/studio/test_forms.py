"""Forms: every field of the schema is described, matters when it does, and fits a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.studio.forms import mattering, showing, tables
from app.studio.forms.describing import FieldView, describe, every, sections
from app.studio.forms.mattering import MISSING, RULES, matters, settled, value_at
from app.studio.forms.templates import OWN_FILE
from pipeline.params import Params
from tests.app.studio.forms_on_pages import ODD, params, values

SECTIONS = list(sections())
LEAVES = [one for one in every(list(sections().values())) if one.kind not in ("group", "kinds")]


# --- describing ---------------------------------------------------------------------------------


def schema_fields(content: Any, definitions: Any, path: str) -> Iterator[str]:
    """Yield the path of every field by another way: pydantic's JSON schema."""
    if "$ref" in content:
        content = definitions[content["$ref"].rpartition("/")[2]]
    for one in [*content.get("anyOf", []), *content.get("oneOf", [])]:
        yield from schema_fields(one, definitions, path)
    if "items" in content:
        yield from schema_fields(content["items"], definitions, f"{path}.*")
    if isinstance(content.get("additionalProperties"), dict):
        yield from schema_fields(content["additionalProperties"], definitions, f"{path}.*")
    for name, one in content.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        yield inner
        yield from schema_fields(one, definitions, inner)


def test_every_field_of_the_schema_is_described() -> None:
    schema = Params.model_json_schema(by_alias=True)
    wanted = set(schema_fields(schema, schema["$defs"], ""))
    assert len(wanted) > 400
    assert wanted - {one.path for one in every(list(sections().values()))} == set()


@pytest.mark.parametrize("view", LEAVES, ids=lambda one: one.path)
def test_a_field_says_what_it_is_and_what_is_allowed(view: FieldView) -> None:
    assert view.title.text
    assert view.help.text
    assert view.level in ("basic", "advanced")
    if view.kind in ("whole", "number") and not view.path.endswith("*"):
        assert view.low is not None
        assert view.high is not None
        assert showing.bounds(view)
        assert view.step > 0
    if view.kind in ("choice", "choices"):
        assert len(view.choices) > 1 or view.name == "kind"


def test_steps_are_right_for_the_size_of_the_number() -> None:
    known = values(OWN_FILE)
    fields = {one.path: one for one in describe("train", known, known)}
    assert fields["train.learning_rate"].exponent
    assert fields["train.learning_rate"].step == 1e-4
    assert fields["train.epochs"].step == 1
    assert fields["train.head_rate"].step == 0.1
    inner = {one.path: one for one in fields["train.loss"].fields}
    assert inner["train.loss.label_smoothing"].step == 0.01


def test_every_field_of_the_release_has_a_default() -> None:
    known = values(OWN_FILE)
    for section in SECTIONS:
        for one in describe(section, known, known):
            assert one.default is not MISSING, one.path
            assert not one.changed


def test_choices_are_explained_from_the_help() -> None:
    view = {one.path: one for one in describe("split")}["split.strategy"]
    assert "same mix" in showing.choice_told(view, "stratified")
    assert showing.choice_told(view, "time") == "the newest are the test"


# --- what matters -------------------------------------------------------------------------------


def known_paths() -> set[str]:
    return {one.path for one in every(list(sections().values()))}


@pytest.mark.parametrize("rule", RULES, ids=lambda one: f"{one.path}-{one.other}")
def test_a_rule_speaks_of_fields_that_there_are(rule: mattering.Rule) -> None:
    def fitting(pattern: str) -> list[str]:
        expression = re.escape(pattern).replace(r"\*", r"[^.]+")
        return [one for one in known_paths() if re.fullmatch(expression, one)]

    assert fitting(rule.path)
    if rule.other.startswith("."):
        assert fitting(rule.path.rpartition(".")[0] + rule.other)
    else:
        assert fitting(rule.other)


@pytest.mark.parametrize(
    ("path", "changes", "expected"),
    [
        ("init.pretrained.package", {}, True),
        ("init.scratch.tokenizer.vocabulary", {}, False),
        ("init.scratch.tokenizer.vocabulary", {"init.method": "scratch"}, True),
        ("train.lora.rank", {}, False),
        ("train.contrastive.enabled", {}, True),
        ("train.contrastive.steps", {}, False),
        ("clean.quality.length.min_characters", {}, True),
        ("clean.quality.length.min_characters", {"clean.quality.length.enabled": False}, False),
        ("monitor.every_minutes", {"monitor.enabled": False}, True),
        ("alerts.attempts", {"alerts.enabled": False}, False),
        ("collect.sources.0.sample", {}, False),
        ("collect.sources.0.sample", {"collect.sources.0.limit": 3}, True),
        ("collect.sources.0.reader.sheet", {}, False),
        ("label.numbers.low", {}, False),
    ],
)
def test_a_field_appears_only_when_it_matters(
    path: str, changes: dict[str, Any], expected: bool
) -> None:
    from app.studio.forms.rewriting import with_changes

    assert matters(path, with_changes(values(OWN_FILE), changes)) is expected


def test_what_no_longer_matters_stops_to_contradict() -> None:
    from app.studio.forms.rewriting import with_changes

    known = values(OWN_FILE)
    assert settled(known) == {}
    numbers = with_changes(known, {"label.task": "regression", "init.method": "scratch"})
    assert settled(numbers) == {
        "label.labels": [],
        "label.definitions": {},
        "label.mapping": {},
        "train.freeze_embeddings": False,
    }
    Params.model_validate(with_changes(numbers, settled(numbers)))


# --- tables -------------------------------------------------------------------------------------

TABLES = [one for one in LEAVES if one.kind in ("texts", "numbers", "pairs", "entries", "table")]


@pytest.mark.parametrize("view", TABLES, ids=lambda one: one.path)
def test_a_table_gives_back_what_it_was_given(view: FieldView) -> None:
    for source in (params(), params(ODD)):
        from app.studio.forms import present

        value = value_at(present.of(source.encode()).values, view.path)
        if value is not MISSING and value is not None:
            assert tables.value_of(view, tables.rows_of(view, value)) == value


PAIRS = next(one for one in LEAVES if one.path == "label.mapping")


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1)))
def test_pairs_give_back_what_they_were_given(value: dict[str, str]) -> None:
    assert tables.value_of(PAIRS, tables.rows_of(PAIRS, value)) == value


def test_rows_that_people_leave_are_read_as_they_mean_them() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "a", "value": "x"},
        {"name": None, "value": float("nan")},
        {"name": "a", "value": "y"},
        {"name": "b", "value": None},
    ]
    assert tables.value_of(PAIRS, rows) == {"a": "x", "b": ""}
    assert tables.twice(PAIRS, rows) == ["a"]
    numbers = next(one for one in LEAVES if one.path == "optimize.measuring.batches")
    assert tables.value_of(numbers, [{"value": 8.0}, {"value": None}, {"value": 1}]) == [8, 1]
    table = next(one for one in LEAVES if one.path == "clean.columns")
    row = {"name": "price", "constant": "0.5", "outlier_bound": 0.1 + 0.2}
    (found,) = tables.value_of(table, [row])
    assert (found["constant"], found["outlier_bound"], found["missing"]) == (0.5, 0.3, None)


def test_an_edited_table_has_no_cells_that_are_neither_full_nor_empty() -> None:
    """Pandas says NA, NaN and None; lists come back as arrays."""
    import numpy
    import pandas

    from app.studio.forms.widgets import records

    frame = pandas.DataFrame(
        {
            "name": pandas.Series(["price", None], dtype="object"),
            "outlier_bound": pandas.Series([1.5, None], dtype="Float64"),
            "flag": pandas.Series([True, None], dtype="boolean"),
        }
    )
    rows = records(frame)
    assert rows[1] == {"name": None, "outlier_bound": None, "flag": None}
    table = next(one for one in LEAVES if one.path == "clean.columns")
    assert len(tables.value_of(table, rows)) == 1
    derived = next(one for one in LEAVES if one.path == "clean.derived")
    row = {"name": "share", "formula": "ratio", "of": numpy.array(["a", "b"])}
    assert tables.value_of(derived, [row])[0]["of"] == ["a", "b"]
