"""The model card: what the Hub reads, in both languages, and no label leaves its cell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline import artifacts, i18n
from pipeline.evaluation import (
    background,
    card,
    plots,
)
from pipeline.steps.targets import MULTI, SINGLE
from tests.pipeline.made_reports import EVERY, PLAIN, hostile, judged


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that everything is translated, so that what is not marked for it shows."""
    monkeypatch.setattr(
        i18n, "translate", lambda text, language: text if language == "en" else f"【{text}】"
    )


def front_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(text.split("---\n")[1])
    return found


@pytest.mark.parametrize("task", EVERY)
def test_the_card_has_the_front_matter_of_the_hub(task: str) -> None:
    from huggingface_hub import ModelCard

    told = hostile(task)[0]
    text = card.render(told, plots.names(told), ["zh", "en", "en", "unknown!"])
    front = front_of(text)
    assert front["language"] == ["en", "zh"]
    assert front["license"] == "mit"
    assert front["base_model"] == "minilm"
    assert front["datasets"] == ["trec"]
    assert front["pipeline_tag"] == "text-classification"
    assert front["co2_eq_emissions"]["emissions"] == pytest.approx(1.05)
    assert front["metrics"]
    figures = {
        one["name"]: one["value"] for one in front["model-index"][0]["results"][0]["metrics"]
    }
    assert figures
    assert all(figures[name] == pytest.approx(told["figures"][name], abs=1e-4) for name in figures)
    parsed = ModelCard(text, ignore_metadata_errors=False)
    assert parsed.data.license == "mit"
    assert "/tmp" not in text
    assert str(artifacts.Path.cwd()) not in text


def test_a_card_says_what_is_not_known() -> None:
    bare = dict(hostile(SINGLE)[0]) | {"training": {}, "sources": [], "parts": {},
                                       "model": {"origin": {}}, "declared": []}  # fmt: skip
    text = card.render(bare, [], [])
    front = front_of(text)
    assert front["license"] == "other"
    assert "co2_eq_emissions" not in front
    assert "base_model" not in front
    assert "nothing is known about fairness" in text


def test_several_licences_are_none_of_the_hubs() -> None:
    assert card.licence([{"licence": "MIT"}, {"licence": "mit"}]) == "mit"
    assert card.licence([{"licence": "MIT"}, {"licence": "apache-2.0"}]) == "other"
    assert card.licence([{"licence": "free for research"}]) == "other"
    assert card.licence([]) == "other"


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_hostile_labels_stay_text_in_the_card(task: str) -> None:
    told = hostile(task)[0]
    text = card.render(told, [], ["en"])
    body = text.split("---\n", 2)[2]
    assert "<script" not in body
    assert "<img" not in body
    assert "https://evil" not in body
    rows = [line for line in body.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in rows if "alert" in line}
    assert widths == {8}, "no label leaves its cell: seven columns"


def test_the_card_is_written_in_both_languages(pretended: None) -> None:
    told = judged(SINGLE, PLAIN, ["one", "two"])[0]
    body = card.render(told, plots.names(told), ["en"]).split("---\n", 2)[2]
    english, _mark, chinese = body.partition("【# Model card】")
    assert "【" not in english
    for line in chinese.splitlines():
        if line and not line.startswith(("|", "```", "from ", "model", "- ", "!")):
            assert line.startswith("【"), line


# --- what other stages said


def test_background_is_what_is_there(project: Path) -> None:
    empty = background.gather({})
    assert empty["sources"] == []
    assert empty["training"] == {}
    assert empty["model"] == {"origin": {}}
    artifacts.TRAIN.mkdir(parents=True)
    actual = {"seconds": 3.0, "co2_kg": None, "kwh": 0.1, "peak_memory_bytes": 1}
    artifacts.write_json(artifacts.TRAIN / artifacts.REPORT, {"actual": actual, "device": "cpu"})
    assert background.gather({})["training"] == {"seconds": 3.0, "kwh": 0.1, "device": "cpu"}


def test_an_origin_is_named_without_a_place_on_this_machine() -> None:
    told = {"kind": "package", "package": "x==1.0", "sha256": "ab", "path": "inside/model"}
    assert background.origin(told) == {"kind": "package", "name": "x==1.0", "exact": "ab"}
    hub = {"kind": "hub", "name": "org/m", "revision": "c0ffee"}
    assert background.origin(hub) == {"kind": "hub", "name": "org/m", "exact": "c0ffee"}
    assert background.origin({}) == {}
