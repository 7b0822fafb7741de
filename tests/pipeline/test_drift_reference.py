"""What a release keeps to compare requests with: counted once, whole, without a text."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from pipeline.watching import drift, reference
from pipeline.watching.bins import Bins
from pipeline.watching.windows import COLUMNS, LABEL, collect
from tests.helpers import ROOT
from tests.pipeline.made_windows import (
    SIZE,
    TASKS,
    Counting,
    answers_of,
    knobs,
    made_reference,
    records_of,
    texts_of,
    window_of,
)

KNOBS = knobs()
MODEL = Counting()


@pytest.mark.parametrize("task", TASKS)
def test_a_reference_is_read_as_it_was_written(tmp_path: Path, task: str) -> None:
    model = Counting(task)
    written = made_reference(tmp_path, "travel", model=model)
    found = reference.read(tmp_path)
    assert found.bins == written.bins
    assert found.numeric == (task == REGRESSION)
    assert np.array_equal(found.texts.whitening, written.texts.whitening)
    assert {name: len(found.sample.known(name)) for name in COLUMNS} == {
        name: 0 if name == "confidence" and task == REGRESSION else KNOBS.sample for name in COLUMNS
    }
    window = window_of(texts_of("travel", SIZE, 9), model)
    told = drift.check(found, window, KNOBS)
    assert told == drift.check(written, window, KNOBS)
    assert not told.drifted
    assert ("confidence" in told.scores) == (task != REGRESSION)


def test_a_reference_is_made_again_to_the_byte(tmp_path: Path) -> None:
    for name in ("one", "other"):
        made_reference(tmp_path / name, "hotel", draws=50)
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "other")
    )
    assert one == other


def test_no_text_stands_in_a_reference(tmp_path: Path) -> None:
    private = "张三的手机13812345678"
    texts = [f"{text}{private}" for text in texts_of("hotel", 400, 1)]
    records = records_of(texts, ["good"] * 400)
    reference.build(tmp_path, records, MODEL, KNOBS, unseen=records)
    assert {path.name for path in tmp_path.rglob("*.*")} == {
        "reference.json", "texts.npz", "sample.npz",
    }  # fmt: skip
    for path in tmp_path.rglob("*.*"):
        content = path.read_bytes()
        assert not any(
            part.encode() in content for part in (private, "13812345678", "张三", "房间")
        )
    with np.load(tmp_path / "reference/sample.npz", allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays} <= {"i", "f"}


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "shape", "pickle", "format"])
def test_a_damaged_reference_is_refused(tmp_path: Path, damage: str) -> None:
    made_reference(tmp_path, "hotel", draws=50)
    texts, told = tmp_path / "reference/texts.npz", tmp_path / "reference.json"
    if damage == "missing":
        shutil.rmtree(tmp_path / "reference")
    elif damage == "cut":
        texts.write_bytes(texts.read_bytes()[:2_000])
    elif damage == "text":
        told.write_text("{", encoding="utf-8")
    elif damage == "shape":
        np.savez(texts, rows=1, spread=1.0, mean=np.zeros(3), whitening=np.eye(3), null=np.zeros(2))
    elif damage == "pickle":
        np.savez(texts, rows=np.array([object()], dtype=object))
    else:
        told.write_text(told.read_text().replace('"format": 1', '"format": 9'), encoding="utf-8")
    with pytest.raises(ModelError, match=r"reference\.json: found"):
        reference.read(tmp_path)


def test_varied_copies_are_no_reference(tmp_path: Path) -> None:
    records = records_of(texts_of("hotel", 300, 1), ["good"] * 300)
    copies = [one | {"augmented_from": "r1"} for one in records]
    found = reference.build(tmp_path, records + copies, MODEL, KNOBS, unseen=records)
    assert found.texts.rows == found.bins["length"].total == 300


def test_confidence_is_that_of_records_the_model_did_not_learn_from(tmp_path: Path) -> None:
    texts = texts_of("travel", 800, 1)
    records = records_of(texts, MODEL.answers(texts))
    without = reference.build(tmp_path, records[:400], MODEL, KNOBS)
    assert "confidence" not in without.bins
    assert without.bins[LABEL].total == KNOBS.sample
    unseen = reference.build(tmp_path, records[:400], MODEL, KNOBS, unseen=records[400:])
    sure = MODEL.scores(texts[400:]).max(axis=1)
    assert unseen.bins["confidence"] == Bins.of_numbers(sure.tolist())


def test_a_few_records_make_a_reference_that_judges_what_it_can(tmp_path: Path) -> None:
    records = records_of(texts_of("hotel", 10, 1), ["good"] * 10)
    found = reference.build(tmp_path, records, MODEL, KNOBS, unseen=records)
    told = drift.check(
        reference.read(tmp_path), window_of(texts_of("hotel", SIZE, 2), MODEL), KNOBS
    )
    assert not found.texts.ready
    assert "text" not in told.scores
    assert "length" in told.scores


def test_fewer_records_than_buckets_make_a_sound_measure(tmp_path: Path) -> None:
    records = records_of(texts_of("travel", 150, 1), ["good"] * 150)
    found = reference.build(tmp_path, records, MODEL, KNOBS, unseen=records)
    asked = knobs(kinds=["text"])
    alarms = [
        drift.check(found, window_of(texts_of("travel", SIZE, at), MODEL), asked).drifted
        for at in range(50, 90)
    ]
    assert sum(alarms) <= 5  # 2 of 40 expected
    assert drift.check(found, window_of(texts_of("banking", SIZE, 1), MODEL), asked).drifted


def test_texts_that_are_all_the_same_make_a_reference(tmp_path: Path) -> None:
    records = records_of(["同样的话"] * 100, ["good"] * 100)
    found = reference.build(tmp_path, records, MODEL, KNOBS, unseen=records)
    assert not drift.check(found, window_of(["同样的话"] * SIZE, MODEL), KNOBS).drifted
    assert drift.check(found, window_of(["另一句话"] * SIZE, MODEL), KNOBS).drifted


def test_several_labels_and_numbers_are_judged(tmp_path: Path) -> None:
    for task in (SINGLE, MULTI, REGRESSION):
        model = Counting(task)
        found = made_reference(tmp_path / task, "travel", model=model)
        rows = answers_of(texts_of("travel", SIZE, 9), model)
        for one in rows:
            one.label = "" if task == MULTI else "7.5" if task == REGRESSION else "good"
        assert LABEL in drift.check(found, collect(rows), KNOBS).kinds
        if task == REGRESSION:
            rows[0].label = "not a number"
            assert LABEL not in drift.check(found, collect(rows), KNOBS).scores


def test_the_alert_path_imports_nothing_heavy(tmp_path: Path) -> None:
    made_reference(tmp_path, "hotel", draws=50)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipeline.watching import drift, reference\n"
        "from pipeline.watching.windows import Window\n"
        "from tests.pipeline.made_windows import knobs\n"
        "found = reference.read(Path(sys.argv[1]))\n"
        "assert drift.check(found, found.sample, knobs()).findings\n"
        "heavy = ('evidently', 'sklearn', 'scipy', 'pandas', 'torch', 'transformers', 'plotly')\n"
        "print(sorted(set(heavy) & set(sys.modules)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "[]"
