"""Annotation: work goes out blind and comes back once; what people said survives any crash."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline import annotation, artifacts
from pipeline.annotation import append, file_of, only_writer
from pipeline.errors import BusyError, DataError, StorageError
from pipeline.records import desk
from pipeline.steps.annotations import read
from tests.helpers import ROOT, changed_text, record, write_records
from tests.steps.schemes import single

LABELS = ["abbreviation", "description", "entity", "human", "location", "number"]
HUMAN, NUMBER = "Who wrote the book {} ?", "How many people read the book {} ?"


def line(number: int, label: str = "human", who: str = "ann", **more: object) -> dict[str, object]:
    moment = f"2026-11-01T08:00:{number % 60:02}Z"
    return {"record": f"r{number}", "annotator": who, "label": label, "time": moment} | more


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(project: Path) -> Path:
    return file_of("ann")


@pytest.fixture
def filled(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a project with 40 records, half of them labelled, as clean leaves it."""
    artifacts.PARAMS.write_text(changed_text({"label.annotation.queue": 12}), encoding="utf-8")
    texts = [(HUMAN, NUMBER)[at % 2].format(at) for at in range(40)]
    labels = ["human", "number"] * 10 + [None] * 20
    write_records(artifacts.CLEAN, [record(at, texts[at], labels[at]) for at in range(len(texts))])
    return project


def command(*words: str) -> None:
    annotation.commands().run(words)


def test_lines_are_added_once_and_stay_as_they_are(path: Path) -> None:
    assert append(path, [line(1), line(2, note="第\u2028二")]) == 2
    before = path.read_bytes()
    assert append(path, [line(2, note="第\u2028二"), line(3), line(3)]) == 1
    assert path.read_bytes().startswith(before)
    found = read({"f": path.read_text(encoding="utf-8").split("\n")}, single(LABELS))
    assert [one.record for one in found] == ["r1", "r2", "r3"]
    assert append(path, []) == 0
    assert not list(artifacts.ANNOTATIONS.glob("*.lock")), "DVC would take it for a change"


def test_what_is_no_annotation_is_refused_and_nothing_written(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        append(path, [line(1), {"record": "r2"}, line(3, who="\ud800"), line(4, role="boss")])
    assert len(caught.value.problems) == 3
    assert not path.exists()


@pytest.mark.parametrize(
    "torn", [b'{"record": "r9", "anno', b"{", b"\xe4\xb8", b"17", '{"note": "第'.encode()[:-1]]
)
def test_a_torn_last_line_is_set_aside_and_never_lost(path: Path, torn: bytes) -> None:
    append(path, [line(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    append(path, [line(2)])
    assert [one["record"] for one in entries(path)] == ["r1", "r2"]
    assert path.read_bytes().startswith(whole)
    assert path.with_suffix(".torn").read_bytes() == torn + b"\n"
    path.write_bytes(path.read_bytes() + torn)
    append(path, [line(3)])
    assert path.with_suffix(".torn").read_bytes() == (torn + b"\n") * 2


def test_a_whole_line_without_its_end_stays(path: Path) -> None:
    append(path, [line(1)])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append(path, [line(2)])
    assert [one["record"] for one in entries(path)] == ["r1", "r2"]
    assert not path.with_suffix(".torn").exists()


def child(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{code}", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WRITES = """
from pipeline.annotation import append
for at in range(int(sys.argv[2])):
    line = {"record": f"r{at}", "annotator": sys.argv[1], "label": "x" * 3000, "time": "2026-11-01"}
    append(Path("data/annotations/shared.jsonl"), [line, {**line, "note": "second"}])
    if at == 0:
        print("begun", flush=True)
"""


def test_two_processes_write_into_one_file(project: Path) -> None:
    both = [child(WRITES, name, "60") for name in ("ann", "bob")]
    for one in both:
        _out, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
    found = entries(file_of("shared"))
    assert len(found) == 240
    pairs = zip(found[::2], found[1::2], strict=True)
    assert all(one | {"note": "second"} == other for one, other in pairs), "calls do not mix"


def test_a_killed_writer_loses_no_line_of_others(project: Path) -> None:
    path = file_of("shared")
    for _round in range(3):
        writer = child(WRITES, "ann", "100000")
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        before = path.read_bytes()
        append(path, [line(_round, who="eve")])
        whole = before[: before.rfind(b"\n") + 1]
        assert path.read_bytes().startswith(whole)
    assert [one["record"] for one in entries(path) if one["annotator"] == "eve"] == [
        "r0",
        "r1",
        "r2",
    ]


def test_a_disk_that_fills_up_leaves_the_file_as_it_was(path: Path) -> None:
    """The kernel itself cuts the write off, in the middle of a line."""
    append(path, [line(1)])
    before = path.read_bytes()
    code = (
        "import resource\nfrom pipeline.annotation import append\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 40}, {len(before) + 40}))\n"
        f"append(Path('{path}'), [{line(2)}])"
    )
    done = child(code)
    _out, errors = done.communicate()
    assert done.returncode != 0
    assert StorageError.__name__ in errors
    assert path.read_bytes() == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_writer_that_waits_too_long_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation, "SECONDS_TO_WAIT", 0.1)
    with only_writer(path), pytest.raises(BusyError, match="somebody else"):
        append(path, [line(1)])


@pytest.mark.parametrize("name", ["", "../ann", "a/b", ".hidden", "a b", "-x", "x" * 65, "a\n"])
def test_a_name_that_makes_no_file_is_refused(project: Path, name: str) -> None:
    with pytest.raises(DataError, match="a name that cannot be a file's"):
        file_of(name)
    assert file_of("李雷").name == "李雷.jsonl"
    assert file_of("ann@example.com").name == "ann@example.com.jsonl"


def queue() -> list[dict[str, Any]]:
    command("queue")
    return entries(annotation.FOLDER / desk.QUEUE)


def test_the_queue_begins_with_what_was_returned_and_what_has_no_label(filled: Path) -> None:
    verdict = {"role": "checker", "verdict": "return", "time": "2026-11-02"}
    append(file_of("ann"), [line(3), line(5)])
    append(file_of("eve"), [line(3, who="eve") | verdict])
    found = queue()
    assert len(found) == 12
    assert [one["why"] for one in found] == ["returned"] + ["unlabelled"] * 11
    assert found[0]["record"] == "r3"
    assert {one["by"] for one in found} == {"baseline"}
    unsure = [one["uncertainty"] for one in found[1:]]
    assert unsure == sorted(unsure, reverse=True)
    assert queue() == found


def test_the_queue_goes_on_with_what_no_person_has_labelled(filled: Path) -> None:
    artifacts.PARAMS.write_text(changed_text({"label.annotation.queue": 100}), encoding="utf-8")
    append(file_of("ann"), [line(at) for at in (0, 2, 30)])
    found = queue()
    assert [one["why"] for one in found].count("doubtful") == 18
    assert len(found) == 37
    assert not {"r0", "r2", "r30"} & {one["record"] for one in found}


def test_the_shipped_model_is_asked_when_there_is_one(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        task = SimpleNamespace(name="single_label")

        def scores(self, texts: list[str]) -> Any:
            """The later a record the surer."""
            sure = np.array([0.5 + int(text.split()[-2]) / 100 for text in texts])
            return np.stack([sure, 1 - sure], axis=1)

    folder = artifacts.OPTIMIZE / "model"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    monkeypatch.setattr("pipeline.predictor.Predictor.load", lambda folder: Model())
    found = queue()
    assert {one["by"] for one in found} == {"model"}
    assert [one["record"] for one in found] == [f"r{at}" for at in range(20, 32)]
    assert found[0]["uncertainty"] == pytest.approx(0.6)


def test_without_any_label_chance_decides(filled: Path) -> None:
    write_records(artifacts.CLEAN, [record(at, f"text {at}", None) for at in range(40)])
    found = queue()
    assert {one["by"] for one in found} == {"chance"}
    assert [one["record"] for one in found] != sorted(one["record"] for one in found)
    assert queue() == found


def test_work_is_divided_blind(filled: Path) -> None:
    with pytest.raises(DataError, match=r"queue first"):
        command("assign", "ann", "bob")
    queue()
    append(file_of("ann"), [line(20)])
    command("assign", "ann", "bob")
    given = {}
    for name in ("ann", "bob"):
        text = (annotation.FOLDER / f"for-{name}.csv").read_text(encoding="utf-8-sig")
        given[name] = list(csv.DictReader(text.splitlines()))
        assert all(row["label"] == "" and row["text"] for row in given[name])
    both = {row["record"] for rows in given.values() for row in rows}
    assert both <= {one["record"] for one in entries(annotation.FOLDER / desk.QUEUE)}
    assert "r20" not in {row["record"] for row in given["ann"]}
    command("assign", "ann", "bob", "--as", "label-studio")
    tasks = json.loads((annotation.FOLDER / "for-ann.json").read_text(encoding="utf-8"))
    assert all("predictions" not in one for one in tasks)
    with pytest.raises(DataError, match="cannot be a file's"):
        command("assign", "ann", "../bob")


def test_a_sheet_goes_out_and_comes_back_once(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts.ANNOTATIONS.mkdir(parents=True)
    (artifacts.ANNOTATIONS / "guideline.md").write_text("Label well.", encoding="utf-8")
    queue()
    command("assign", "ann", "bob")
    sheet = annotation.FOLDER / "for-ann.csv"
    rows = list(csv.DictReader(sheet.read_text(encoding="utf-8-sig").splitlines()))
    with sheet.open("w", encoding="utf-8-sig", newline="") as target:
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows(row | {"label": "human", "seconds": "3"} for row in rows[1:])
        writer.writerow(rows[0])
    command("import", str(sheet), "--annotator", "ann")
    found = entries(file_of("ann"))
    assert [one["record"] for one in found] == [row["record"] for row in rows[1:]]
    assert {one["guideline"] for one in found} == {desk.guideline()}
    assert f"{len(rows) - 1} added, 0 were there already" in capsys.readouterr().out
    command("import", str(sheet), "--annotator", "ann")
    assert entries(file_of("ann")) == found
    out = capsys.readouterr().out
    assert f"0 added, {len(rows) - 1} were there already" in out
    assert "passed over (without a label): 1" in out


def test_label_studio_goes_out_and_comes_back_once(filled: Path) -> None:
    command("export", "--as", "label-studio")
    path = annotation.FOLDER / "all.json"
    tasks = json.loads(path.read_text(encoding="utf-8"))
    assert len(tasks) == 40
    assert (annotation.FOLDER / "interface.xml").is_file()
    for at, task in enumerate(tasks[:20]):
        result = task["predictions"][0]["result"]
        stamp = {"completed_by": at % 2 + 1, "created_at": "2026-11-01T08:00:00Z", "lead_time": 2}
        task["annotations"] = [stamp | {"result": result}]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    for _again in range(2):
        command("import", str(path), "--as", "label-studio")
    assert [one["label"] for one in entries(file_of("label-studio-1"))] == ["human"] * 10
    assert [one["label"] for one in entries(file_of("label-studio-2"))] == ["number"] * 10


def test_an_import_that_does_not_fit_writes_nothing(filled: Path) -> None:
    sheet = filled / "sheet.csv"
    sheet.write_text("record,label\nr1,human\nr99,human\nr2,animal\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        command("import", str(sheet), "--annotator", "ann")
    assert [one.where for one in caught.value.problems] == [f"{sheet}:3", f"{sheet}:4"]
    sheet.write_text("record,label,annotator\nr1,human,ann\nr2,human,../x\n", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be a file's"):
        command("import", str(sheet))
    assert not list(artifacts.ANNOTATIONS.glob("*"))


def test_lists_of_the_label_stage_go_out_for_who_works_on_them(filled: Path) -> None:
    from pipeline.label import label
    from pipeline.params import load

    artifacts.PARAMS.write_text(changed_text({"label.annotation.checked": 1}), encoding="utf-8")
    append(file_of("ann"), [line(1), line(2)])
    append(file_of("bob"), [line(1, "entity", "bob")])
    label(load())
    command("export", "--of", "adjudication")
    text = (annotation.FOLDER / "adjudication.csv").read_text(encoding="utf-8-sig")
    assert [(one["record"], one["label"]) for one in csv.DictReader(text.splitlines())] == [
        ("r1", "")
    ]
    command("export", "--of", "checks")
    path = annotation.FOLDER / "checks.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert [one["record"] for one in rows] == ["r1", "r2"]
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows(one | {"verdict": "return"} for one in rows[:1])
    command("import", str(path), "--annotator", "eve", "--role", "checker")
    assert queue()[0] | {"record": "r1", "why": "returned"} == queue()[0]


def test_check_says_what_the_annotations_come_to(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command("check")
    assert "agreement: nobody has annotated a record" in capsys.readouterr().out
    for who in ("ann", "bob"):
        append(file_of(who), [line(at, LABELS[at % 2], who) for at in range(6)])
    append(file_of("bob"), [line(9, "entity", "bob")])
    file_of("bob").with_suffix(".torn").write_text("{")
    command("check")
    out = capsys.readouterr().out
    assert "13 annotations" in out
    assert "bob: 7 annotations of 7 records" in out
    assert "alpha 1.000" in out
    assert "bob.torn holds lines that a crash cut off" in out
    file_of("ann").write_text('{"record": 1}\n')
    with pytest.raises(DataError, match=r"ann\.jsonl:1"):
        command("check")


def test_the_command_line_ends_with_the_reason(filled: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.annotation", "import", "missing.csv", "--annotator", "x"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "missing.csv" in done.stderr
    assert "Traceback" not in done.stderr


OTHER_TASKS: dict[str, tuple[dict[str, Any], list[str], list[Any]]] = {
    "several": (
        {"task": "multi_label", "labels": ["human", "number", "place"], "separator": ";"},
        ["human", "human;place", "number;place", "place"],
        [["human"], ["human", "place"], ["number", "place"], ["place"]],
    ),
    "numbers": (
        {"task": "regression", "labels": [], "numbers": {"low": -4.0, "high": 4.0}},
        ["3.5", "-0.25", "0", "4"],
        [3.5, -0.25, 0.0, 4.0],
    ),
}


@pytest.fixture(params=list(OTHER_TASKS))
def other(project: Path, request: pytest.FixtureRequest) -> list[Any]:
    """Return the labels that a project of another task starts with, as annotations name them."""
    knobs, labels, named = OTHER_TASKS[request.param]
    changes = {f"label.{name}": value for name, value in knobs.items()}
    changes |= {"label.mapping": {}, "label.definitions": {}, "label.annotation.checked": 1}
    artifacts.PARAMS.write_text(changed_text(changes), encoding="utf-8")
    cells = [labels[at % 4] if at < 20 else None for at in range(40)]
    texts = [(HUMAN, NUMBER)[at % 2].format(at) for at in range(40)]
    write_records(artifacts.CLEAN, [record(at, texts[at], cells[at]) for at in range(40)])
    return named


@pytest.mark.parametrize("form", ["csv", "label-studio"])
def test_labels_of_every_task_go_out_and_come_back_once(
    other: list[Any], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.label import label
    from pipeline.params import load

    command("export", "--as", form)
    path = annotation.FOLDER / ("all.csv" if form == "csv" else "all.json")
    if form == "label-studio":
        tasks = json.loads(path.read_text(encoding="utf-8"))
        for one in tasks[:20]:
            stamp = {"completed_by": {"email": "ann"}, "created_at": "2026-11-01T08:00:00Z"}
            one["annotations"] = [stamp | {"result": one["predictions"][0]["result"]}]
        path.write_text(json.dumps(tasks), encoding="utf-8")
    for _again in range(2):
        command("import", str(path), "--as", form, "--annotator", "ann")
    found = entries(file_of("ann"))
    assert [one["label"] for one in found] == [other[at % 4] for at in range(20)]
    out = capsys.readouterr().out
    assert "20 added, 0 were there already" in out
    assert "0 added, 20 were there already" in out
    label(load())
    texts = artifacts.read_records(artifacts.LABEL / artifacts.RECORDS)["label_origin"].to_pylist()
    assert texts == ["annotation"] * 20
    command("export", "--of", "checks", "--as", form)
    command("check")
    assert "agreement: there is one annotator only" in capsys.readouterr().out


def test_the_queue_of_every_task_asks_for_what_has_no_label_first(other: list[Any]) -> None:
    from pipeline.label import label
    from pipeline.params import load

    label(load())
    found = queue()
    assert [one["why"] for one in found] == ["unlabelled"] * 20 + ["doubtful"] * 20
    doubtful = [one["uncertainty"] for one in found[20:]]
    assert all(0 <= one <= 1 for one in doubtful)
    assert doubtful == sorted(doubtful, reverse=True)
    assert {one["by"] for one in found} == {"baseline"}
    known = {one["uncertainty"] is None for one in found[:20]}
    assert known == {isinstance(other[0], float)}, "a number's model is not unsure of new texts"


def test_annotators_of_every_task_are_compared(
    other: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for who, turn in (("ann", 0), ("bob", 0), ("cid", 1)):
        append(file_of(who), [line(at, other[(at + turn) % 4], who) for at in range(8)])
    command("check")
    out = capsys.readouterr().out
    assert "agreement: Krippendorff's alpha" in out
    assert "to adjudicate: " in out
    append(file_of("ann"), [line(9, "strange")])
    with pytest.raises(DataError, match=r"ann\.jsonl:9"):
        command("check")


def test_sources_that_the_task_cannot_read_are_named(project: Path) -> None:
    artifacts.PARAMS.write_text(changed_text({}), encoding="utf-8")
    write_records(artifacts.CLEAN, [record(0, "text", "plant")])
    with pytest.raises(DataError, match="the label 'plant' in 1 records"):
        command("queue")
