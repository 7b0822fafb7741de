"""Rules of the plan, the catalogue, and the program that prints them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import plan, planning
from pipeline.errors import DataError
from pipeline.modeling.counting import Rates
from pipeline.modeling.machine import Gpu, Machine
from pipeline.planning import Candidate, Choice, Data
from pipeline.schema.init import Scratch
from pipeline.schema.origin import REPOSITORY, PackageOrigin
from tests.helpers import changed
from tests.pipeline import runs

GIB = 2**30
CATALOGUE = plan.catalogue()
LAPTOP = Machine("made up", 2.0, 16 * GIB, 12 * GIB, False, False, False, 100 * GIB)
RATES = Rates("cpu", 1e11, watts=20.0, co2_kg_per_kwh=0.5, price_per_hour=1.0, currency="EUR")
MANY = {"a": 500, "b": 400}


def data(records: int = 900, length: int = 20, **others: Any) -> Data:
    """Return data of texts of one length."""
    made: dict[str, Any] = {"languages": ["en"], "labels": MANY} | others
    return Data([length] * records, [length] * 100, **made)


def recommend(some: Data, machine: Machine = LAPTOP, task: str = "single_label") -> planning.Plan:
    return planning.recommend(
        task, some, machine, CATALOGUE, RATES, epochs=3, batch_size=32, precision="fp32"
    )


def of(name: str, found: planning.Plan) -> Choice:
    return next(one for one in found.choices if name in one.candidate.name)


def said(choice: Choice) -> str:
    return " | ".join(map(str, choice.reasons))


def test_english_labels_get_an_english_encoder() -> None:
    found = recommend(data())
    assert found.family == "encoder"
    first = found.choices[0]
    assert first.candidate.family == "encoder"
    assert first.candidate.languages == ["en"]
    assert (first.method, first.contrastive) == ("full", False)
    assert of("BERT base Chinese", found).excluded
    assert "does not know en" in said(of("BERT base Chinese", found))


@pytest.mark.parametrize(
    ("labels", "wanted"), [(MANY, "none"), ({"a": 500, "b": 40}, "sqrt"), ({}, None)]
)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_rare_labels_get_weight(task: str, labels: dict[str, int], wanted: str | None) -> None:
    """Without it a model of many labels, of which a text has two, answers none for long."""
    some = data(labels=labels)
    found = planning.values(recommend(some, task=task).choices[0], some)
    assert found.get("train.loss.class_weights") == wanted


def test_chinese_texts_get_models_that_know_chinese() -> None:
    found = recommend(data(languages=["zh"]))
    assert "zh" in found.choices[0].candidate.languages
    for choice in found.choices:
        if choice.candidate.languages == ["en"]:
            assert choice.excluded
    assert planning.values(found.choices[0], data(languages=["zh"]))[
        "train.baselines.analyzer"
    ] == "char_wb"  # fmt: skip


def test_both_languages_need_a_model_that_knows_both() -> None:
    first = recommend(data(languages=["en", "zh"])).choices[0].candidate
    assert first.reads("en")
    assert first.reads("zh")


@pytest.mark.parametrize(("fewest", "warm"), [(3, False), (4, True), (29, True), (30, False)])
def test_few_records_a_label_are_pulled_together_first(fewest: int, warm: bool) -> None:
    few = data(labels={"a": 100, "b": fewest})
    first = recommend(few).choices[0]
    assert first.contrastive is warm
    assert ("contrastive first" in said(first)) is warm
    values = planning.values(first, few)
    assert values.get("train.epochs") == (1 if warm else None)
    assert (values["train.learning_rate"] < 1e-5) is warm, "what follows undoes nothing"


def test_less_memory_leads_to_adapters_then_to_a_frozen_encoder_then_to_nothing() -> None:
    def method(gib: float) -> tuple[str, bool]:
        small = replace(LAPTOP, available_bytes=int(gib * GIB))
        choice = of("XLM-RoBERTa", recommend(data(length=128), small))
        return choice.method, choice.excluded

    assert [method(gib) for gib in (16, 0.5)] == [("full", False), ("frozen", True)]
    steps = [method(gib / 4)[0] for gib in range(40, 3, -1)]
    seen = list(dict.fromkeys(steps))
    assert seen == ["full", "lora", "frozen"]


def test_a_night_is_too_long_for_more_than_the_head() -> None:
    some = data(records=30_000, length=400)
    choice = of("BERT base uncased", recommend(some))
    assert choice.method == "frozen"
    assert "night" in said(choice)


def test_scratch_needs_many_records() -> None:
    few, many = (of("scratch, small", recommend(data(records=n))) for n in (500, 25_000))
    assert few.points < many.points
    assert "few" in said(few)
    assert many.method == "full"  # nothing is there that could be frozen


def test_a_gpu_makes_larger_models_worth_it() -> None:
    machine = replace(LAPTOP, gpus=[Gpu("made up", 24 * GIB, bf16=True)])
    found = planning.recommend(
        "single_label", data(), machine, CATALOGUE, replace(RATES, device="cuda",
        operations_per_second=1e14), epochs=3, batch_size=32, precision="bf16",
    )  # fmt: skip
    assert found.choices[0].candidate.parameters > 50e6
    assert recommend(data()).choices[0].candidate.parameters < 50e6


def test_writing_needs_a_decoder() -> None:
    found = recommend(data(), task="summaries")
    assert found.family == "decoder"
    assert found.choices[0].candidate.family != "encoder"
    assert of("MiniLM", found).excluded


def test_long_texts_are_cut_where_the_model_ends() -> None:
    found = recommend(data(length=1_000))
    assert of("MiniLM", found).max_tokens == 512
    assert "cuts texts" in said(of("MiniLM", found))
    assert of("ModernBERT", found).max_tokens == 1_000


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda one: one.name)
def test_values_to_set_are_values_that_params_take(entry: Candidate) -> None:
    some = data(languages=["zh"] if entry.languages == ["zh"] else ["en"])
    values = planning.values(of(entry.name, recommend(some)), some)
    if entry.origin["kind"] == "hub":
        values["init.pretrained"]["revision"] = "0" * 40
    params = changed(values)
    assert params.init.method == ("scratch" if entry.scratch else "pretrained")


def test_the_catalogue_holds_facts() -> None:
    names = [one.name for one in CATALOGUE]
    assert len(set(names)) == len(names) >= 12
    assert {one.family for one in CATALOGUE} == {"encoder", "decoder", "encoder_decoder"}
    for one in CATALOGUE:
        assert one.shape.matrices > 0
        assert one.hidden % one.heads == 0 or one.name.startswith("mT5")
        for words in (one.strengths, one.weaknesses):
            assert set(words) == {"en", "zh"}
            assert len(words["en"]) == len(words["zh"]) > 0
        if one.origin["kind"] == "package":
            PackageOrigin.model_validate(one.origin)
        elif one.origin["kind"] == "hub":
            import re

            assert re.match(REPOSITORY, one.origin["name"])


def bert_parameters(one: Candidate, positions: int, types: int = 2) -> int:
    """Return the weights of a BERT with a pooler (Devlin et al. 2019, section 3)."""
    wide, inner = one.hidden, int(one.origin.get("intermediate", 4 * one.hidden))
    layer = 4 * (wide**2 + wide) + 2 * wide * inner + inner + wide + 4 * wide
    tables = (one.vocabulary + positions + types) * wide + 2 * wide
    return tables + one.layers * layer + wide**2 + wide


@pytest.mark.parametrize(
    ("name", "positions", "types"),
    [("MiniLM", 512, 2), ("BERT base Chinese", 512, 2), ("BERT base uncased", 512, 2),
     ("BGE small", 512, 2), ("E5 small", 512, 2), ("RoBERTa base", 514, 1),
     ("XLM-RoBERTa", 514, 1), ("scratch, small", 64, 2), ("scratch, medium", 64, 2)],
)  # fmt: skip
def test_parameters_of_berts_are_those_of_their_sizes(
    name: str, positions: int, types: int
) -> None:
    one = next(one for one in CATALOGUE if name in one.name and "Distil" not in one.name)
    assert one.parameters == bert_parameters(one, positions, types)


def test_scratch_sizes_are_allowed() -> None:
    for one in CATALOGUE:
        if one.scratch:
            sizes = {name: one.origin[name] for name in
                     ("layers", "hidden", "heads", "intermediate")}  # fmt: skip
            Scratch.model_validate(changed().init.scratch.model_dump() | sizes)


def test_tokens_are_about_characters_in_chinese_and_words_in_english() -> None:
    assert plan.tokens("你好世界") == 4 + 2
    assert plan.tokens("one two three four five six seven eight nine ten") == 13 + 2
    assert plan.tokens("买 iPhone") == round(1 + 1.3) + 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_program_prints_a_plan(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    language: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("MOFANG_LANGUAGE", language)
    runs.lay_out()
    plan.main([])
    told = capsys.readouterr().out
    assert "MiniLM-L6" in told
    assert "init.method: pretrained" in told
    assert {"en": "small and quick", "zh": "小而快"}[language] in told


def test_the_program_tells_other_programs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.lay_out()
    plan.main(["--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["records"] == runs.SIZES["train"]
    assert sum(found["data"]["labels"].values()) == runs.SIZES["train"]
    assert found["machine"]["cores"] > 0
    assert {one["name"] for one in found["candidates"]} == {one.name for one in CATALOGUE}
    assert all(one["estimate"]["seconds"] > 0 for one in found["candidates"])


def test_without_data_the_program_says_what_is_missing(project: Path) -> None:
    runs.lay_out()
    for path in runs.FILES.values():
        path.unlink()
    with pytest.raises(DataError, match="no labelled records"):
        plan.main([])
