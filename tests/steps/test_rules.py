"""Rules: they speak where nobody else does, and not at all where they disagree."""

from __future__ import annotations

import pytest

from pipeline.errors import DataError
from pipeline.steps import rules
from tests.steps.schemes import several, single

KINDS = single(["number", "human", "location", "entity"])
MANY = {"pattern": "(?i)how (many|much)", "label": "number"}
WHO = {"pattern": "^Who", "label": "human"}
WHERE = {"pattern": "[Ww]here|何处", "label": "location"}
MUCH = {"pattern": "much", "label": "number"}


def test_rules_label_what_has_no_label() -> None:
    texts = ["How many ?", "Who ?", "何处？", "Why ?", "how much"]
    found = rules.apply(texts, [None] * 5, [MANY, WHO, WHERE, MUCH], KINDS)
    assert found.labels == ["number", "human", "location", None, "number"]
    assert found.conflicts == []
    assert found.rules[0] == MANY | {
        "matches": 2,
        "coverage": 0.4,
        "labelled": 2,
        "known": 0,
        "accuracy": None,
    }


def test_rules_that_disagree_give_nothing_and_are_listed() -> None:
    texts = ["Who knows how many ?", "Who knows how much ?", "Who knows how many ?", "Who"]
    found = rules.apply(texts, [None, None, "human", None], [MANY, WHO, MUCH], KINDS)
    assert found.labels == [None, None, None, "human"]
    assert found.conflicting == 2
    assert found.conflicts == [
        {"rules": [0, 1], "labels": ["number", "human"], "records": 2},
        {"rules": [1, 2], "labels": ["human", "number"], "records": 1},
    ]


def test_what_has_a_label_keeps_it_and_judges_the_rule() -> None:
    texts = ["Who is it ?", "Who was it ?", "Who ?"]
    found = rules.apply(texts, ["human", "entity", None], [WHO], KINDS)
    assert found.labels == [None, None, "human"]
    assert found.rules[0] | {"known": 2, "accuracy": 0.5, "labelled": 1} == found.rules[0]


def test_no_rules_and_no_records() -> None:
    assert rules.apply(["x"], [None], [], KINDS).labels == [None]
    assert rules.apply([], [], [WHO], KINDS).rules[0]["coverage"] is None


def test_only_the_beginning_of_a_text_is_searched() -> None:
    before = "x" * (rules.CHARACTERS - 3)
    found = rules.apply(
        [f"{before}Who", f"{before} Who"], [None, None], [WHO | {"pattern": "Who"}], KINDS
    )
    assert found.labels == ["human", None]
    assert found.report()["characters_searched"] == rules.CHARACTERS


def test_a_pattern_that_would_never_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "SECONDS", 0.2)
    slow = {"pattern": "(a|aa)+$", "label": "human"}
    with pytest.raises(DataError, match=r"label\.rules\[1\]\.pattern: found a search of more than"):
        rules.apply(["a" * 200 + "!"], [None], [WHO, slow], KINDS)


def test_every_unreadable_pattern_is_named() -> None:
    with pytest.raises(DataError) as caught:
        rules.apply(
            ["x"], [None], [{"pattern": "(", "label": "a"}, {"pattern": "[", "label": "b"}], KINDS
        )
    assert len(caught.value.problems) == 2


def test_of_several_labels_each_rule_adds_its_own() -> None:
    kinds = several(["number", "human", "location"])
    texts = ["Who knows how many ?", "Who ?", "How much and how many ?", "Why ?", "Who ?"]
    known = [None, None, None, None, "human|number"]
    found = rules.apply(texts, known, [WHO, MANY, MUCH], kinds)
    assert found.labels == ["number|human", "human", "number", None, None]
    assert (found.conflicts, found.conflicting) == ([], 0)
    assert [(one["known"], one["accuracy"]) for one in found.rules] == [
        (1, 1.0),
        (0, None),
        (0, None),
    ]
