"""Consensus: the majority, or annotators weighed; and who has to look again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipeline.steps import consensus
from pipeline.steps.annotations import Said, by_record, read
from pipeline.steps.consensus import NOTES, checks, disputes, entropy, weigh
from pipeline.steps.scheme import Scheme
from tests.steps.schemes import numbers, several, single

LABELS = ["a", "b", "c"]


def crowd(records: int) -> tuple[list[dict[str, str]], list[str], np.ndarray[Any, Any]]:
    """Return votes of two good and three careless annotators, the truth, and a fair model."""
    random = np.random.default_rng(2)
    truth = random.integers(0, 3, records)
    right = {"good1": 0.95, "good2": 0.95, "bad1": 0.4, "bad2": 0.4, "bad3": 0.4}
    votes = []
    for one in truth:
        guess = {
            name: int(one) if random.random() < share else int(random.integers(0, 3))
            for name, share in right.items()
        }
        votes.append({name: LABELS[label] for name, label in guess.items()})
    model = np.full((records, 3), 0.15)
    model[np.arange(records), truth] = 0.7
    return votes, [LABELS[one] for one in truth], model


def test_weighing_beats_the_majority() -> None:
    votes, truth, model = crowd(300)
    found = weigh(votes, single(LABELS), model, "cleanlab")
    assert (found.used, found.note) == ("cleanlab", None)
    majority = [max(sorted(set(one.values())), key=list(one.values()).count) for one in votes]
    hits = sum(one == right for one, right in zip(found.labels, truth, strict=True))
    plain = sum(one == right for one, right in zip(majority, truth, strict=True))
    assert hits > plain
    assert hits > 285
    assert min(found.annotators[name] for name in ("good1", "good2")) > max(
        found.annotators[name] for name in ("bad1", "bad2", "bad3")
    )
    assert all(one is not None and 0 <= one <= 1 for one in found.quality)
    json.dumps(found.report(), allow_nan=False)


def test_weighing_takes_missing_answers_and_rows_nobody_could_judge() -> None:
    votes, _truth, model = crowd(60)
    votes = [{name: one[name] for name in list(one)[at % 4 :]} for at, one in enumerate(votes)]
    model[::7] = np.nan
    found = weigh(votes, single(LABELS), model, "cleanlab")
    assert found.used == "cleanlab"
    assert set(found.labels) <= set(LABELS)


@pytest.mark.parametrize(
    ("votes", "known", "note"),
    [
        ([], True, "too_few_annotators"),
        ([{"ann": "a"}, {"ann": "b"}], True, "too_few_annotators"),
        ([{"ann": "a"}, {"bob": "b"}], True, "no_overlap"),
        ([{"ann": "a", "bob": "b"}, {"bob": "c"}], True, "no_agreement"),
        ([{"ann": "a", "bob": "a"}, {"bob": "c"}], False, "no_probabilities"),
    ],
)
def test_what_cannot_be_weighed_is_named(
    votes: list[dict[str, str]], known: bool, note: str
) -> None:
    model = np.full((len(votes), 3), 1 / 3 if known else np.nan)
    found = weigh(votes, single(LABELS), model, "cleanlab")
    assert (found.used, found.note) == ("majority", note)
    assert found.labels == [None] * len(votes)
    assert str(NOTES[note])
    assert weigh(votes, single(LABELS), None, "majority").note is None


def said(*votes: str, verdict: str | None = None, judged: bool = False) -> Said:
    lines = [
        {"annotator": f"p{at}", "label": label, "time": f"2026-11-01T00:00:{at:02}"}
        for at, label in enumerate(votes)
    ]
    if judged:
        lines.append({"annotator": "j", "label": "a", "time": "2026-11-02", "role": "adjudicator"})
    if verdict:
        who = {"annotator": "e", "role": "checker", "verdict": verdict}
        lines.append(who | {"time": "2026-11-03"})
    text = [json.dumps({"record": "r"} | one) for one in lines]
    return by_record(read({"f": text}, single(LABELS)))["r"]


def test_entropy_is_nothing_in_unison_and_one_in_discord() -> None:
    assert entropy(["a"]) == entropy(["a", "a", "a"]) == 0
    assert entropy(["a", "b"]) == entropy(["a", "b", "c"]) == 1
    assert 0 < entropy(["a", "a", "b"]) < 1


def test_disputes_are_ranked_by_disagreement() -> None:
    spoken = [None, said("a", "a", "b"), said("a", "b"), said("a", "a")]
    spoken += [said("b", "c"), said("a", "b", judged=True)]
    ids = [f"r{at}" for at in range(len(spoken))]
    found = disputes(ids, spoken, {}, single(LABELS))
    assert [one.at for one in found] == [2, 4, 1], "of equals the first id"
    assert found[0].votes == {"p0": "a", "p1": "b"}
    doubted = disputes(ids, spoken, {4: 0.2, 2: 0.9}, single(LABELS))
    assert [one.at for one in doubted] == [4, 2, 1]


def test_the_sample_to_check_is_drawn_by_seed_and_name() -> None:
    spoken = [said("a")] * 1_000 + [None] * 10
    ids = [f"r{at}" for at in range(len(spoken))]
    found = checks(ids, spoken, checked=0.05, seed=1)
    assert 25 < len(found) < 80
    assert set(found.values()) == {"open"}
    assert checks(ids[:500], spoken[:500], checked=0.05, seed=1).keys() <= found.keys()
    assert checks(ids, spoken, checked=0.05, seed=2).keys() != found.keys()
    assert checks(ids, spoken, checked=0, seed=1) == {}


def test_what_a_checker_said_is_listed_in_any_case() -> None:
    spoken = [said("a", verdict="accept"), said("a", verdict="return"), said("a"), None]
    found = checks(["r0", "r1", "r2", "r3"], spoken, checked=0, seed=1)
    assert found == {0: "accepted", 1: "returned"}
    assert set(found.values()) == {consensus.ACCEPTED, consensus.RETURNED}


def given(scheme: Scheme, *labels: Any) -> Said:
    """Return what annotators said in a task with several labels, or with numbers."""
    lines = [
        {"record": "r", "annotator": f"p{at}", "label": label, "time": f"2026-11-01T00:00:{at:02}"}
        for at, label in enumerate(labels)
    ]
    return by_record(read({"f": [json.dumps(one) for one in lines]}, scheme))["r"]


def test_sets_of_labels_are_in_dispute_unless_they_are_equal() -> None:
    scheme = several(LABELS)
    spoken = [given(scheme, ["a", "b"], ["b", "a"]), given(scheme, ["a"], ["a", "b"], ["a"]),
              given(scheme, ["a"], [])]  # fmt: skip
    found = disputes(["r0", "r1", "r2"], spoken, {}, scheme)
    assert [one.at for one in found] == [2, 1]
    assert found[1].votes == {"p0": "a", "p1": "a|b", "p2": "a"}
    assert found[0].spread is None


def test_numbers_are_in_dispute_when_they_lie_far_apart() -> None:
    """All seven numbers: 0, 10, 5, 5.1, 1, 9, 5; their deviation is 3.49."""
    scheme = numbers()
    spoken = [given(scheme, 0, 10), given(scheme, 5, 5.1), given(scheme, 1, 9), given(scheme, 5)]
    found = disputes(["r0", "r1", "r2", "r3"], spoken, {}, scheme)
    assert [(one.at, one.spread, one.entropy) for one in found] == [(0, 10.0, None), (2, 8.0, None)]
    assert disputes([], [], {}, scheme) == []


def test_the_consensus_of_numbers_is_called_what_it_is() -> None:
    assert weigh([{"ann": "1.0"}], numbers(), None, "majority").used == "median"
    assert weigh([{"ann": "a"}], several(LABELS), None, "majority").used == "majority"
