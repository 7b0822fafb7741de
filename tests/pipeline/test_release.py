"""A release: what it is made from, what it holds, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock

from pipeline import artifacts
from pipeline.errors import BusyError, GateError, ModelError, MofangError, StorageError
from pipeline.predictor import Predictor
from pipeline.releases import choosing, gate, golden, store
from pipeline.releases.ledger import State
from pipeline.releases.reading import RELEASES
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.helpers import ROOT, folder_bytes, record
from tests.pipeline import made_models, made_releases
from tests.pipeline.made_releases import FAILED, create, lay_out, write_lock


@pytest.mark.parametrize("task", [SINGLE, MULTI, REGRESSION])
def test_a_release_holds_all_that_serving_takes(project: Path, task: str) -> None:
    lay_out(task)
    made = create()
    assert made.version == "0.1.0"
    artifacts.verify_manifest(RELEASES / "0.1.0")
    assert (made.task, made.card.labels) == (task, made_models.labels_of(task))
    assert made.figures[made.main] == pytest.approx(1.0)
    told = made.origin
    assert (told["by"], told["variant"], told["kept_every_gate"]) == ("anna", "openvino_fp32", True)
    assert (told["commit"], told["dirty"], told["dvc_lock"]) == (None, None, None)
    assert made.created == told["created"]
    assert "personal data" in "".join(made.limits("en"))
    assert made.limits("zh") != made.limits("en")
    names = {path.name for path in made.folder.iterdir()}
    assert names >= {"model", "README.md", "plots", "origin.json", "metrics.json", "golden.json",
                     "examples.json", "reference.json", "manifest.json"}  # fmt: skip
    figures = artifacts.read_json(made.folder / artifacts.METRICS)
    assert (figures["variant"], figures["test"]["baseline"]) == ("openvino_fp32", {})

    # A DVC output is never served: a run deletes it, and the release serves on.
    shutil.rmtree("models")
    shutil.rmtree("data")
    model = Predictor.load(made.model)
    golden.ask(store.read("0.1.0"), model)
    assert State.read().serving() == []
    assert [(one.what, one.by) for one in State.read().events] == [("create", "anna")]


def test_golden_questions_are_known_answers_of_every_label(project: Path) -> None:
    lay_out()
    made = create()
    told = artifacts.read_json(made.folder / "golden.json")
    questions = told["questions"]
    assert len(questions) == 12
    assert all(one["answer"] == one["label"] for one in questions)
    assert {one["label"] for one in questions[:3]} == set(made_models.LABELS), "each label first"
    known = {one["text"]: one["label"] for one in made_models.records(SINGLE, 80, 2)}
    assert all(known[one["text"]] == one["label"] for one in questions), "of the validation part"
    model = Predictor.load(made.model)
    scores = model.scores([one["text"] for one in questions])
    assert np.allclose(scores, [one["scores"] for one in questions], atol=1e-9)


def test_golden_questions_are_answered_by_no_other_labels_and_by_no_empty_file(
    project: Path,
) -> None:
    lay_out()
    made = create()
    path = made.folder / "golden.json"
    told = artifacts.read_json(path)
    for change in ({"questions": []}, {"outputs": ["a", "b"]}):
        artifacts.write_json(path, told | change)
        with pytest.raises(GateError):
            golden.ask(made)
    for content in ("{}", "[]", "", '{"questions": 3, "outputs": []}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ModelError, match="a release as"):
            golden.ask(made)


def test_so_many_wrong_answers_as_are_allowed_pass_and_one_more_does_not(project: Path) -> None:
    lay_out()
    made = create()
    path = made.folder / "golden.json"
    told = artifacts.read_json(path) | {"agreement": 0.75}
    for at in range(3):
        told["questions"][at]["answer"] = "another"
        artifacts.write_json(path, told)
        golden.ask(made)
    told["questions"][3]["scores"][0] += 0.06
    artifacts.write_json(path, told)
    with pytest.raises(GateError, match=r"found \w+, scores off by 0, allowed another"):
        golden.ask(made)


def test_examples_are_short_readable_and_tell_nobody(project: Path) -> None:
    some = [
        record(1, "call me on +1 650 253 0000 or write to ann@example.com please", "refund"),
        record(2, "我的快递怎么还没有到", "delivery"),
        record(3, "x", "account"),
        record(4, "a" * 300, "account"),
        record(5, "two\nlines of text", "account"),
        record(6, "0123 4567 89-01 (23)", "account"),
        record(7, "where is it ?", "delivery"),
    ]
    found = choosing.examples(some, SINGLE, 10, "US")
    assert [one["label"] for one in found] == ["delivery", "refund", "delivery"]
    assert found[1]["text"] == "call me on [PHONE] or write to [EMAIL] please"
    assert choosing.examples(some, SINGLE, 1, "US") == found[:1]
    assert choosing.examples(some, SINGLE, 0, "US") == []
    numbers = [record(at, f"number {'one' * at} ?", str(float(at))) for at in range(8)]
    chosen = choosing.examples(numbers, REGRESSION, 4, "US")
    assert [one["label"] for one in chosen] == ["0.0", "2.0", "4.0", "6.0"], "of the whole range"


def test_a_model_behind_a_failed_gate_is_refused(project: Path) -> None:
    lay_out(gates=[made_releases.PASSED, FAILED])
    refused(GateError, r"validate, accuracy: found 0.9700, allowed >= 0.9900")


def test_a_copy_without_parity_is_refused(project: Path) -> None:
    lay_out(holds=False)
    refused(GateError, "optimize, parity")


@pytest.mark.parametrize("stage", ["validate", "test", "optimize"])
def test_without_a_stage_there_is_no_release(project: Path, stage: str) -> None:
    lay_out()
    shutil.rmtree(f"models/{stage}")
    refused(ModelError, f"models/{stage}/manifest.json: found no readable manifest")


@pytest.mark.parametrize("path", ["optimize/model/openvino_model.bin", "optimize/report.json",
                                  "validate/report.json", "test/README.md"])  # fmt: skip
def test_a_damaged_file_is_refused(project: Path, path: str) -> None:
    lay_out()
    content = Path("models", path).read_bytes()
    Path("models", path).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(ModelError, f"models/{path}: found content that differs")
    Path("models", path).unlink()
    refused(ModelError, f"models/{path}: found no such file")


def test_what_was_put_together_from_two_runs_is_refused(project: Path) -> None:
    """Optimize asked another trained model than validate and test did."""
    lay_out(found={"loss": 0.02})
    refused(GateError, r"models/validate/metrics.json, loss: found 0.01, allowed 0.02")
    lay_out(found={"loss": 0.0100001})
    create()


def test_dvc_lock_must_name_these_very_files(project: Path) -> None:
    lay_out()
    write_lock()
    made = create()
    assert made.origin["dvc_lock"] == artifacts.sha256(Path("dvc.lock"))
    for stage, path in (("validate", "data/split/validation.parquet"),
                        ("test", "models/test/manifest.json"),
                        ("optimize", "models/optimize/manifest.json")):  # fmt: skip
        write_lock(**{stage: path})
        refused(GateError, f"{path}: found another file than .*{stage}.* recorded", kept=1)
    told = json.loads(Path("dvc.lock").read_text(encoding="utf-8"))
    del told["stages"]["test"]
    Path("dvc.lock").write_text(json.dumps(told), encoding="utf-8")
    refused(GateError, "dvc.lock: found no stage test", kept=1)
    for content in ("", "stages: [", "x: 1", "\x00"):
        Path("dvc.lock").write_text(content, encoding="utf-8")
        refused(ModelError, "dvc.lock", kept=1)


def test_reports_of_another_version_are_refused_without_a_traceback(project: Path) -> None:
    lay_out()
    with artifacts.output_folder(artifacts.VALIDATE) as folder:
        artifacts.write_json(folder / artifacts.REPORT, {"gates": [{"name": "old"}]})
        artifacts.write_json(folder / artifacts.METRICS, {})
    refused(ModelError, "reports as this version of Mofang writes them")


def test_a_model_that_is_not_the_measured_one_is_refused(project: Path) -> None:
    lay_out(measured={"macro_f1": 0.97})
    refused(GateError, r"release, macro_f1: found 1.0000, allowed 0.97 ± 0.01")


@pytest.mark.parametrize(("strength", "found"), [
    (float("nan"), "scores that are no numbers"), (-5.0, "no text of the validation part"),
    (0.01, "no text of the validation part"),
])  # fmt: skip
def test_a_model_that_knows_nothing_surely_is_refused(
    project: Path, strength: float, found: str
) -> None:
    lay_out(strength=strength)
    refused(GateError, found)


def test_a_run_that_starts_meanwhile_is_seen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC deletes outputs before it makes them again."""
    examine = gate.examine
    lay_out()

    def then_changed() -> gate.Run:
        found = examine()
        path = artifacts.OPTIMIZE / "model/openvino_model.bin"
        path.write_bytes(path.read_bytes() + b" ")
        return found

    def then_deleted() -> gate.Run:
        lay_out()
        found = examine()
        shutil.rmtree(artifacts.OPTIMIZE)
        return found

    for act in (then_changed, then_deleted):
        monkeypatch.setattr(gate, "examine", act)
        refused(GateError, "another content than a moment before")


def test_without_room_nothing_begins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=100_000))
    monkeypatch.setattr(artifacts, "folder_bytes", lambda _path: 1_000_000)
    refused(StorageError, "0 MB free, allowed at least 2 MB")


def refused(kind: type[MofangError], found: str, kept: int = 0) -> None:
    """Make a release, which must be refused and leave nothing."""
    with pytest.raises(kind, match=found):
        create()
    assert len(store.versions()) == kept
    names = {path.name for path in RELEASES.iterdir()} - set(store.versions())
    assert names <= {".create.lock", ".state.lock", "state.json"}


def test_a_version_means_one_model_for_good(project: Path) -> None:
    assert store.next_version() == "0.1.0"
    create("1.9.0", 5.0)
    create("1.10.0", 6.0)
    assert store.versions() == ["1.9.0", "1.10.0"], "numbers, not letters"
    assert store.next_version() == "1.11.0"
    for version in ("1.9.0", "1.10.0"):
        refused_version(version, GateError, r"allowed 1\.11\.0 or another")
    for version in ("1", "1.0", "v1.0.0", "01.0.0", "1.0.0-rc1", "../../x", "1.0.0/..", "１.0.0",
                    "1.0.0\n"):  # fmt: skip
        refused_version(version, ModelError, "a version like 1.2.0")
    store.remove("1.10.0", "anna")
    assert store.next_version() == "1.11.0", "1.10.0 was another model"
    refused_version("1.10.0", GateError, "there or removed")
    assert create().version == "1.11.0"


def refused_version(version: str, kind: type[MofangError], found: str) -> None:
    with pytest.raises(kind, match=found):
        create(version)


def test_one_release_at_a_time(project: Path) -> None:
    lay_out()
    RELEASES.mkdir()
    with FileLock(RELEASES / ".create.lock"), pytest.raises(BusyError, match="being made"):
        create()
    create()


def test_a_killed_maker_leaves_no_release_and_the_next_one_cleans_up(project: Path) -> None:
    lay_out()
    act = (
        "import time\n"
        "from pipeline.watching import reference\n"
        "from tests.pipeline import made_releases\n"
        "def build(folder, *others, **more):\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
        "reference.build = build\n"
        "made_releases.create()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", act], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    try:
        assert child.stdout is not None
        folder = Path(child.stdout.readline().strip())
        assert (folder / "model/openvino_model.bin").is_file(), "killed in the middle of it"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=10)
    assert store.versions() == []
    assert create("2.0.0").version == "2.0.0"
    assert not folder.exists()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with releases 1.0.0, 1.1.0 and 1.2.0; tests take a copy."""
    return made_releases.three(tmp_path_factory.mktemp("made"))


@pytest.fixture
def releases(project: Path, made: Path) -> Path:
    """Return the releases of the project in which the test runs."""
    shutil.copytree(made, project, dirs_exist_ok=True)
    return project / RELEASES


def test_whoever_reads_a_release_reads_all_of_it(releases: Path) -> None:
    before = folder_bytes(RELEASES / "1.1.0")
    for name in before:
        if name.endswith("manifest.json"):
            continue
        path = RELEASES / "1.1.0" / name
        path.write_bytes(before[name][:-1])
        with pytest.raises(ModelError):
            store.read("1.1.0")
        assert store.versions() == ["1.0.0", "1.2.0"]
        path.write_bytes(before[name])
    assert store.read("1.1.0").version == "1.1.0"
    (RELEASES / "1.1.0/origin.json").write_text('{"created": 1}', encoding="utf-8")
    artifacts.write_manifest(RELEASES / "1.1.0")
    with pytest.raises(ModelError, match="a release as"):
        store.read("1.1.0")
    (RELEASES / "1.3.0").mkdir()
    (RELEASES / "notes").mkdir()
    assert "1.3.0" not in store.versions()
