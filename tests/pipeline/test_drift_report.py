"""The page about drift by Evidently: one verdict with the alert, nothing that runs or tells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.watching import drift, evidently_report, reference
from pipeline.watching.windows import Window, collect
from tests.pipeline.made_windows import (
    TASKS,
    Counting,
    answers_of,
    knobs,
    records_of,
    texts_of,
    window_of,
)

KNOBS = knobs(draws=50)
HOSTILE = "</script><img src=x onerror=alert(1)>"
PHONE = "13812345678"


def made(folder: Path, model: Counting) -> reference.Reference:
    texts = texts_of("travel", 600, 1)
    records = records_of(texts, model.answers(texts))
    return reference.build(folder, records, model, KNOBS, unseen=records)


@pytest.mark.parametrize("task", TASKS)
def test_the_page_says_what_the_alert_says(tmp_path: Path, task: str) -> None:
    model = Counting(task)
    before = made(tmp_path, model)
    rows = answers_of(texts_of("banking", 300, 2), model)
    for one in rows:
        one.truth = one.label
    window = collect(rows)
    found = evidently_report.write(tmp_path / "page", before, window, KNOBS)
    assert found == drift.check(before, window, KNOBS)
    assert "text" in found.kinds
    told = json.loads((tmp_path / "page/drift.json").read_text(encoding="utf-8"))
    assert told["verdict"] == json.loads(json.dumps(found.told()))
    tests = {one["name"].rpartition("column ")[2]: one for one in told["evidently"]["tests"]}
    for one in found.findings:
        status = tests[evidently_report.title(one.kind)]["status"]
        assert status == ("FAIL" if one.drifted else "SUCCESS"), one.kind
    page = (tmp_path / "page/drift.html").read_text(encoding="utf-8")
    assert "Length of texts" in page
    assert "Content-Security-Policy" in page.split("<script", 1)[0]


def test_chinese_that_changed_its_subject_is_found_though_evidently_alone_sees_nothing(
    tmp_path: Path,
) -> None:
    import pandas as pd
    from evidently.legacy.utils.data_drift_utils import calculate_text_drift_score

    model = Counting()
    before, now = texts_of("hotel", 600, 1), texts_of("finance", 600, 2)
    area, told = calculate_text_drift_score(pd.Series(before), pd.Series(now), bootstrap=False)
    records = records_of(before, model.answers(before))
    found = reference.build(tmp_path, records, model, KNOBS, unseen=records)
    assert "text" in drift.check(found, window_of(now, model), KNOBS).kinds
    assert (told, area < 0.55) == (False, True)


def test_a_sound_window_is_sound_on_the_page_too(tmp_path: Path) -> None:
    model = Counting()
    window = window_of(texts_of("travel", 300, 5), model)
    assert not evidently_report.write(tmp_path, made(tmp_path, model), window, KNOBS).drifted
    told = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    assert {one["status"] for one in told["evidently"]["tests"]} == {"SUCCESS"}


def test_no_value_runs_and_none_tells_who_somebody_is(tmp_path: Path) -> None:
    labels = [HOSTILE, f"Li Si {PHONE}", "=1+1\u202e"]
    model = Counting(labels=labels)
    before = made(tmp_path, model)
    rows = answers_of(texts_of("travel", 300, 2), model)
    for at, one in enumerate(rows):
        one.label = labels[at % 3]
    for one in rows[:100]:
        one.language = HOSTILE
        one.label = f"{HOSTILE} {PHONE} of nobody's"
    evidently_report.write(tmp_path / "page", before, collect(rows), KNOBS)
    page = (tmp_path / "page/drift.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "onerror=alert(1)>" not in page
    assert "\u202e" not in page
    assert PHONE not in page
    assert "[PHONE]" in page
    # Our values stand in one script; it ends where its author meant it to end.
    data = re.search(r"<script>\s*var (?s:.*?)</script>", page)
    assert data is not None
    assert "additional_graphs_" in data[0]
    assert "&lt;/script&gt;" in page


def test_a_window_that_proves_nothing_has_no_page(tmp_path: Path) -> None:
    model = Counting()
    before = made(tmp_path, model)
    found = evidently_report.write(
        tmp_path / "page", before, window_of(texts_of("travel", 20, 1), model), KNOBS
    )
    assert found.findings == ()
    assert not (tmp_path / "page/drift.html").exists()
    assert "evidently" not in json.loads((tmp_path / "page/drift.json").read_text())


def test_large_sides_are_drawn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    before = made(tmp_path, model)
    sizes: list[int] = []
    table = evidently_report.table

    def counted(reference: reference.Reference, window: Window, findings: object) -> object:
        sizes.append(len(window))
        return table(reference, window, findings)  # type: ignore[arg-type]

    monkeypatch.setattr(evidently_report, "table", counted)
    window = window_of(texts_of("travel", 700, 1), model)
    evidently_report.write(tmp_path, before, window, knobs(max_texts=250))
    assert sizes == [250, 250]


def test_what_evidently_was_told_it_forgets(tmp_path: Path) -> None:
    from evidently.legacy.calculations.stattests import registry

    model = Counting()
    window = window_of(texts_of("travel", 300, 1), model)
    evidently_report.write(tmp_path, made(tmp_path, model), window, KNOBS)
    kept = [*registry._registered_stat_tests, *registry._registered_stat_test_funcs.values()]
    assert not [one for one in kept if one.startswith("mofang")]


def test_json_has_no_number_that_it_does_not_know() -> None:
    given = {"a": [float("nan"), 1.5, {"b": float("-inf")}], "c": "x"}
    assert evidently_report.finite(given) == {"a": [None, 1.5, {"b": None}], "c": "x"}
