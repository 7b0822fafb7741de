"""Hostile files: each ends in a named reason, in a process with limits; the rest goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.errors import SourceError, unpacked
from tests.helpers import ROOT, changed, report, rows
from tests.pipeline.hostile import CASES, ENDLESS, GOOD, MORE, STUCK, Case, growth_during
from tests.pipeline.test_collect import put, source

ALL = CASES | MORE | ENDLESS
LIMITS = {"memory": 1024, "seconds": 20, "size": 50}
SHORT = LIMITS | {"seconds": 8}
MEMORY_GROWTH = 300 << 20  # bytes


@dataclass(frozen=True)
class Outcome:
    """What came of all hostile files in one run."""

    missing: dict[str, str]
    records: list[dict[str, Any]]
    grown: int
    stray: list[str]  # files that lie where none should


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What came of every hostile file; the first of several workers finds out."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path = shared / "hostile.json"
    with FileLock(shared / "hostile.lock"):
        if not path.exists():
            path.write_text(json.dumps(asdict(collected(tmp_path_factory.mktemp("hostile")))))
    return Outcome(**json.loads(path.read_text()))


def collected(folder: Path) -> Outcome:
    """Collect every hostile file and a good one, in several runs of the stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MOFANG_LANGUAGE", "en")
        put({"good.csv": GOOD})
        missing: dict[str, str] = {}
        stray: set[Path] = set()
        grown = 0
        for cases, limits in ((CASES, LIMITS), (MORE, LIMITS), (ENDLESS, SHORT)):
            sources = [hostile(name, case) for name, case in cases.items()]
            before = files(folder.parent)
            sources.append(source("good.csv", name="good"))
            wanted = changed({"collect.sources": sources, "collect.limits": limits})
            grown = max(grown, growth_during(partial(collect, wanted)))
            entries = report(artifacts.COLLECT)["sources"]
            missing |= {one["name"]: because(one) for one in entries[:-1]}
            stray |= files(folder.parent) - before
        left = [str(path) for path in stray if path.is_file() or "evil" in path.name]
        return Outcome(missing, rows(artifacts.COLLECT / artifacts.RECORDS), grown, left)


def hostile(name: str, case: Case) -> dict[str, Any]:
    """Write the file of a case and return an optional source that reads it."""
    put({f"{name}/{case.file}": case.make()})
    return source(f"{name}/{case.file}", name=name, required=False, **case.changes)


def files(folder: Path) -> set[Path]:
    """Return everything below a folder, and above all in it what an archive could have left."""
    outside = {Path("/tmp/evil.csv")} if Path("/tmp/evil.csv").exists() else set()
    return outside | {path for path in folder.rglob("*") if "data/collect" not in str(path)}


def test_there_are_many() -> None:
    assert len(ALL) >= 60


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_file_has_a_named_reason(outcome: Outcome, name: str) -> None:
    told = outcome.missing[name]
    assert ALL[name].said in told
    assert ", allowed " in told
    assert "a failure of the reader" not in told


def test_the_rest_of_the_list_goes_on(outcome: Outcome) -> None:
    assert [(one["text"], one["label"]) for one in outcome.records] == [("hello", "x")]


def test_this_process_stays_small(outcome: Outcome) -> None:
    assert outcome.grown < MEMORY_GROWTH


def test_nothing_lies_outside(outcome: Outcome) -> None:
    assert not outcome.stray


def test_a_required_one_fails_the_stage(project: Path) -> None:
    put({"bad.csv": "text,label\n\0,x\n", "worse.parquet": b"PAR1", "good.csv": GOOD})
    names = {"bad": "bad.csv", "good": "good.csv", "worse": "worse.parquet"}
    sources = [source(path, name=name) for name, path in names.items()]
    with pytest.raises(SourceError) as caught:
        collect(changed({"collect.sources": sources, "collect.limits": LIMITS}))
    told = caught.value.render("en")
    assert "data/raw/bad.csv:2: found a NUL byte" in told
    assert "data/raw/worse.parquet:1: found" in told
    assert len(caught.value.problems) == 2
    assert not artifacts.COLLECT.exists()
    assert not list(Path("work").iterdir())


def test_a_pipe_is_no_file(project: Path) -> None:
    os.mkfifo(artifacts.RAW / "pipe.csv")
    assert "pipe.csv: found a pipe, a device" in reason(source("pipe.csv"))


def test_a_pipe_in_a_folder_is_passed_over(project: Path) -> None:
    put({"folder/good.csv": GOOD, "folder/notes.md": "x", "folder/.hidden.csv": "x"})
    os.mkfifo(artifacts.RAW / "folder/pipe.csv")
    collect(changed({"collect.sources": [source("folder")]}))
    entry = report(artifacts.COLLECT)["sources"][0]
    assert (entry["records"], entry["files"], entry["files_skipped"]) == (1, 1, 3)


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "../../../outside.csv"])
def test_a_link_out_is_refused(project: Path, target: str) -> None:
    (artifacts.RAW / "link.csv").symlink_to(target)
    told = reason(source("link.csv"))
    assert "link.csv: found a " in told or "link.csv: found no file" in told


def reason(wanted: dict[str, Any]) -> str:
    """Return why a source is missing."""
    put({"good.csv": GOOD})
    sources = [wanted | {"required": False}, source("good.csv", name="good")]
    collect(changed({"collect.sources": sources}))
    return because(report(artifacts.COLLECT)["sources"][0])


def because(entry: dict[str, Any]) -> str:
    """Return why a source of a report is missing; nothing where it is not."""
    return str(unpacked(entry["missing"])) if "missing" in entry else ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_reader_that_dies_is_named(project: Path, number: signal.Signals) -> None:
    put({"stuck.txt": "a" * 60 + "\n"})
    killer = threading.Thread(target=kill_reader, args=(number,))
    killer.start()
    told = reason(source("stuck.txt", **STUCK))
    killer.join()
    assert told.startswith(f"one: found a reader ended by signal {int(number)} ({number.name})")


def kill_reader(number: signal.Signals) -> None:
    """End the process that reads, as soon as it is busy."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            if reads(process) and process.cpu_times().user > 1.5:
                process.send_signal(number)
                return
        time.sleep(0.1)


def reads(process: psutil.Process) -> bool:
    """Return whether a process is one that reads a source."""
    try:
        return "pipeline.sources.child" in process.cmdline()
    except psutil.Error:
        return False


def test_the_reader_dies_with_the_stage(project: Path) -> None:
    put({"stuck.txt": "a" * 60 + "\n"})
    text = changed({"collect.sources": [source("stuck.txt", **STUCK)]}).model_dump_json(
        by_alias=True
    )
    artifacts.PARAMS.write_text(text, encoding="utf-8")
    stage = subprocess.Popen(
        [sys.executable, "-m", "pipeline.collect"], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    readers: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while not readers and time.monotonic() < deadline:
            readers = [one for one in psutil.Process(stage.pid).children() if reads(one)]
            time.sleep(0.05)
        assert readers
        time.sleep(2)  # it is past its own start by then
        stage.kill()
        stage.wait()
        _gone, alive = psutil.wait_procs(readers, timeout=10)
        assert not alive
    finally:
        stage.kill()
        stage.wait()
        for process in readers:
            if process.is_running():
                process.kill()


def test_what_a_killed_run_left_is_swept(project: Path) -> None:
    put({"good.csv": GOOD})
    left = Path("work/.collect.tmp-4194999/0")
    left.mkdir(parents=True)
    (left / "rows.parquet").write_bytes(b"half")
    collect(changed({"collect.sources": [source("good.csv")]}))
    assert not list(Path("work").iterdir())
