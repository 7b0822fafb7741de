"""``kill -9`` at random moments, 20 in the ordinary run and 200 in the slow one.

The stage is the real one, in a process of its own that dies for real. To spend the time on kills
and not on imports, a nursery imports everything once and forks for each run.

::

    go FOLDER     starts a training there and answers its process number
    wait NUMBER   answers its exit code once it has ended
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.modeling import checkpoints
from tests.e2e.project import NO_CACHE
from tests.helpers import ROOT
from tests.pipeline import runs

pytestmark = pytest.mark.e2e
EVERY = 4  # steps between checkpoints
NURSERY = """
import os, sys
from pipeline.quiet import be_quiet
be_quiet()
import accelerate, codecarbon, dvclive.live, peft, sklearn.svm, tensorboardX, torch, transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers import BertForSequenceClassification
from pipeline import train
from pipeline.modeling import callbacks, estimates, fitting, saving, shortcuts, training
from pipeline.stage import run
torch.set_num_threads(1)
for line in sys.stdin:
    word, rest = line.split(maxsplit=1)
    if word == "wait":
        print(os.waitstatus_to_exitcode(os.waitpid(int(rest), 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.chdir(rest.strip())
        os.environ["MOFANG_PROGRESS"] = "progress.jsonl"
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        code = 1
        try:
            run(train.train)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(child, flush=True)
"""


class Nursery:
    """A folder in which trainings begin as soon as they are asked for."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.progress = folder / "progress.jsonl"

    def ask(self) -> int:
        """Start a training and return its process number."""
        return self.told(f"go {self.folder}")

    def wait(self, number: int) -> int:
        """Return the exit code of a training, once it has ended."""
        return self.told(f"wait {number}")

    def told(self, words: str) -> int:
        """Return what the process answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the nursery died"
        return int(line)

    def kill(self, number: int) -> int:
        """Kill a training and return its exit code; it may have ended before."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        return self.wait(number)

    def whole_run(self) -> float:
        """Train to the end and return the seconds it took."""
        started = time.monotonic()
        code = self.wait(self.ask())
        assert code == 0, self.log()
        return time.monotonic() - started

    def wait_for_step(self, step: int) -> None:
        """Wait until training reported so many steps."""
        while len(self.steps()) < step:
            time.sleep(0.002)

    def log(self) -> str:
        """Return what all trainings printed."""
        return (self.folder / "log.txt").read_text(encoding="utf-8")

    def steps(self) -> list[int]:
        """Return the steps that training reported, run after run."""
        if not self.progress.exists():
            return []
        lines = [json.loads(one) for one in self.progress.read_text().splitlines()]
        return [one["step"] for one in lines if one["stage"] == "train"]

    def weights(self) -> str:
        """Return the sha256 of the trained model's weights."""
        path = self.folder / artifacts.TRAIN / "model/model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def forget(self, *, outputs: bool = True) -> None:
        """Remove what training left."""
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        shutil.rmtree(self.folder / artifacts.TRAIN, ignore_errors=True)
        self.progress.unlink(missing_ok=True)

    def saving(self) -> bool:
        """Return whether a checkpoint is being written right now."""
        found = self.folder.glob("work/train/*/checkpoint-*")
        return any(not (one / artifacts.MANIFEST).exists() for one in found)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """The process that forks."""
    folder = tmp_path_factory.mktemp("nursery")
    # A copy: a run goes on only as long as its code stays what it was.
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=NO_CACHE)
    environment = os.environ | {
        "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "MOFANG_LANGUAGE": "en",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as made:  # fmt: skip
        yield made


@pytest.fixture
def nursery(project: Path, process: subprocess.Popen[str]) -> Nursery:
    """A folder where training can run."""
    runs.lay_out(checkpoint_steps=EVERY, epochs=2)
    return Nursery(process, project)


def kill_often(nursery: Nursery, kills: int, seed: int) -> dict[str, int]:
    """Kill training so often, and look after each run that ended whether it ended the same.

    Every second kill waits for a checkpoint that is being written.

    :returns: how many kills hit a save, and how many runs came to their end.
    """
    seconds = nursery.whole_run()
    wanted, moments = nursery.weights(), random.Random(seed)
    nursery.forget()
    counted = {"kills": 0, "in_saves": 0, "ends": 0}
    while counted["kills"] < kills:
        before = nursery.steps()
        process, began = nursery.ask(), time.monotonic()
        in_save = counted["kills"] % 2 == 1
        # A busy machine is late with a checkpoint.
        deadline = began + (3 * seconds if in_save else moments.uniform(0.0, seconds))
        while time.monotonic() < deadline and not (in_save and nursery.saving()):
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.01) if in_save else 0.0)
        caught = nursery.saving()
        code = nursery.kill(process)
        assert code in (0, -signal.SIGKILL), nursery.log()
        if code == 0:
            assert nursery.weights() == wanted
            nursery.forget()
            counted["ends"] += 1
            seconds = min(seconds, time.monotonic() - began)  # a busy machine makes the first slow
            continue
        counted["kills"] += 1
        counted["in_saves"] += int(caught)
        lost_little(before, nursery.steps())
    nursery.whole_run()
    assert nursery.weights() == wanted
    return counted


def lost_little(before: list[int], after: list[int]) -> None:
    """Hold that a run began at most ``EVERY`` steps behind the end of the one before."""
    begun = after[len(before) :]
    if before and begun:
        assert begun[0] - 1 >= before[-1] - EVERY


def test_twenty_kills_end_with_the_same_weights(nursery: Nursery) -> None:
    counted = kill_often(nursery, 20, seed=3)
    assert counted["in_saves"] > 0


@pytest.mark.slow
def test_two_hundred_kills_end_with_the_same_weights(nursery: Nursery) -> None:
    counted = kill_often(nursery, 200, seed=4)
    assert counted["in_saves"] > 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_says_how_it_goes_on(nursery: Nursery, number: signal.Signals) -> None:
    process = nursery.ask()
    nursery.wait_for_step(2 * EVERY)
    os.kill(process, number)
    assert nursery.wait(process) == 128 + number
    told = nursery.log()
    assert "train: stopped. The next run goes on from the last checkpoint." in told
    assert "Traceback" not in told
    assert not (nursery.folder / artifacts.TRAIN).exists()
    assert not list((nursery.folder / "models").glob(".train*"))
    (work,) = nursery.folder.glob("work/train/*/")
    assert checkpoints.newest_valid(work) is not None
    nursery.whole_run()
    report = json.loads((nursery.folder / artifacts.TRAIN / "report.json").read_text())
    assert report["resumed_from_step"] >= EVERY
    assert report["error"]["seconds"] is None


def test_a_finished_training_is_only_exported_again(nursery: Nursery) -> None:
    nursery.whole_run()
    wanted, steps = nursery.weights(), nursery.steps()
    shutil.rmtree(nursery.folder / artifacts.TRAIN)
    nursery.whole_run()
    assert nursery.weights() == wanted
    assert nursery.steps() == steps


def test_two_trainers_never_share_a_folder(nursery: Nursery) -> None:
    first = nursery.ask()
    try:
        nursery.wait_for_step(1)
        os.kill(first, signal.SIGSTOP)  # it holds the folder, however long the second one takes
        assert nursery.wait(nursery.ask()) == 1
    finally:
        nursery.kill(first)
    told = nursery.log()
    assert f"a trainer at work: process {first}, since 20" in told
    assert "Traceback" not in told


def test_a_half_written_checkpoint_does_not_count(nursery: Nursery) -> None:
    nursery.whole_run()
    wanted = nursery.weights()
    nursery.forget()
    process = nursery.ask()
    nursery.wait_for_step(3 * EVERY)
    assert nursery.kill(process) == -signal.SIGKILL
    (work,) = nursery.folder.glob("work/train/*/")
    newest = checkpoints.newest_valid(work)
    assert newest is not None
    torn = newest / "model.safetensors"
    torn.write_bytes(torn.read_bytes()[:-10])
    begun = len(nursery.steps())
    nursery.whole_run()
    assert nursery.weights() == wanted
    assert nursery.steps()[begun] - 1 < checkpoints.step_of(newest)
