"""Several processes, for real: two of torchrun on the CPU, which talk through gloo."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.errors import DataError, ModelError, ParamsError
from pipeline.modeling import checkpoints, fitting, launcher, sampling, training
from tests.pipeline import runs

ROOT = Path(__file__).parents[2]
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1 in /proc/net/tcp
EPOCHS = 4
# After 60 steps of AdamW at 5e-3 in fp32, without dropout, which draws for each process by itself.
# Sums of floats in another order differ in the eighth digit; AdamW divides small by small. Seen on
# two machines: 3e-4 of a weight, of which the largest is about 1.
OF_A_WEIGHT = 5e-3
OF_A_LOSS = 1e-4
OF_AN_EVALUATION = 1e-4


def knobs(processes: int, **others: Any) -> Any:
    return runs.knobs_of(epochs=EPOCHS, launcher__processes=processes, **others)


def trained(processes: int, work: Path) -> tuple[Any, fitting.Outcome]:
    model, outcome = fitting.fit(runs.START, runs.FILES, knobs(processes), work)
    return model.state_dict(), outcome


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's folder with records and a start, without dropout; the tests run in it."""
    folder, before = tmp_path_factory.mktemp("launched"), Path.cwd()
    os.chdir(folder)
    runs.lay_out(dropout=0.0)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def alone(place: Path) -> tuple[Any, fitting.Outcome]:
    return trained(1, place / "alone")


@pytest.fixture(scope="module")
def together(place: Path) -> tuple[Any, fitting.Outcome]:
    """Two processes in one go, whose progress is followed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOFANG_PROGRESS", str(place / "progress.jsonl"))
        return trained(2, place / "together")


@pytest.mark.parametrize("count", [96, 103])
def test_two_processes_share_the_batch_that_one_would_have_taken(count: int) -> None:
    """accelerate deals batches of 8 out to two processes; one alone takes 16."""
    from accelerate.data_loader import BatchSamplerShard  # type: ignore[import-untyped]
    from torch.utils.data import BatchSampler

    lengths = [3 + at * 7 % 30 for at in range(count)]
    order = sampling.GroupedByLength(lengths, 16, seed=5)
    whole = list(BatchSampler(order, 16, drop_last=False))
    halves = [
        list(BatchSamplerShard(BatchSampler(order, 8, drop_last=False), 2, rank))
        for rank in range(2)
    ]
    both = [first + second for first, second in zip(*halves, strict=True)]
    assert len(both) == len(whole) == math.ceil(count / 16)
    full = count // 16
    assert both[:full] == whole[:full]
    if count % 16:  # the last is filled up with the first of the epoch
        missing = 16 - len(whole[-1])
        assert both[-1] == whole[-1] + whole[0][:missing]


def test_two_processes_give_the_weights_of_one(
    alone: tuple[Any, fitting.Outcome], together: tuple[Any, fitting.Outcome]
) -> None:
    (weights, outcome), (others, other) = alone, together
    assert (outcome.steps, outcome.best_step) == (other.steps, other.best_step)
    assert outcome.best_value == other.best_value > 0.8
    differences = [(weights[name] - others[name]).abs().max().item() for name in weights]
    assert max(differences) < OF_A_WEIGHT
    assert max(differences) > 0  # it is not the same run twice
    for name, tolerance in (
        ("loss", OF_A_LOSS),
        ("eval_macro_f1", 0.0),
        ("eval_loss", OF_AN_EVALUATION),
    ):
        values, compared = (
            [one[name] for one in found.history if name in one] for found in (outcome, other)
        )
        assert values == pytest.approx(compared, rel=tolerance)
        assert len(values) >= EPOCHS


def test_one_process_writes_and_speaks_for_all(
    place: Path, together: tuple[Any, fitting.Outcome]
) -> None:
    work = place / "together"
    lines = [json.loads(line) for line in (place / "progress.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["stage"] == "train"]
    assert steps == list(range(1, together[1].steps + 1))
    for checkpoint in work.glob("checkpoint-*"):
        artifacts.verify_manifest(checkpoint)
        states = {f"rng_state_{rank}.pth" for rank in range(2)}
        assert states <= {path.name for path in checkpoint.iterdir()}
    assert (work / launcher.FOLDER / "rank-1.log").read_text() == ""


@pytest.mark.slow
def test_a_run_goes_on_after_its_stage_was_killed(
    place: Path, together: tuple[Any, fitting.Outcome]
) -> None:
    """In the end the weights are the same to the bit."""
    work = place / "killed"
    end(work, signal.SIGKILL, after=0)
    weights, outcome = trained(2, work)
    assert outcome.resumed_from is not None
    assert all(bool((weights[name] == together[0][name]).all()) for name in weights)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(place: Path) -> None:
    end(place / "interrupted", signal.SIGINT, after=20)


def end(work: Path, number: signal.Signals, *, after: int) -> None:
    """End a stage by a signal while it trains; within a moment nobody is left."""
    with stage(work) as process:
        workers = wait_for_checkpoint(process, work, after)
        assert len(workers) == 3  # torchrun and two of ours
        assert {address for one in workers for address in listening(one)} <= LOOPBACK
        process.send_signal(number)
        process.wait(20)
    assert not (work / checkpoints.FINISHED).exists()
    deadline = time.monotonic() + 5
    while started_for(work) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert started_for(work) == []


def stage(work: Path) -> subprocess.Popen[bytes]:
    """Start what the stage does, in a process of its own."""
    code = f"""
from pathlib import Path
from pipeline.modeling import fitting
from pipeline.quiet import be_quiet
from tests.pipeline import runs, test_launcher
be_quiet()
fitting.fit(runs.START, runs.FILES, test_launcher.knobs(2), Path({str(work)!r}))
"""
    modules = {"PYTHONPATH": str(ROOT)}
    # The shell that runs the tests may have told its children to ignore Ctrl-C.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + code
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | modules, stderr=subprocess.DEVNULL
    )


def wait_for_checkpoint(process: subprocess.Popen[bytes], work: Path, after: int) -> list[int]:
    """Wait until a step later than ``after`` is sealed, and return who works on it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        sealed = work.glob(f"checkpoint-*/{artifacts.MANIFEST}")
        if any(checkpoints.step_of(path.parent) > after for path in sealed):
            return started_for(work)
        time.sleep(0.005)
    raise AssertionError("no checkpoint in time")


def started_for(work: Path) -> list[int]:
    """Return the processes of torchrun and of its workers for a work folder."""
    job = str(work / launcher.FOLDER / launcher.JOB)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_text().split("\0")
            if job in words and "python" in words[0]:
                found.append(int(path.parent.name))
    return sorted(found)


def listening(process: int) -> set[str]:
    """Return the addresses, as ``/proc/net`` writes them, on which a process listens."""
    sockets, found = set(), set()
    with suppress(OSError):
        for path in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                sockets |= set(re.findall(r"socket:\[(\d+)\]", str(path.readlink())))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:  # LISTEN
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.slow
def test_what_a_worker_met_reaches_the_stage(place: Path) -> None:
    files = runs.FILES | {"validation": place / "none.parquet"}
    with pytest.raises(DataError, match=r"none\.parquet: found .*allowed a whole parquet file"):
        fitting.fit(runs.START, files, knobs(2), place / "missing")


@pytest.mark.parametrize(
    ("left", "message"),
    [
        ({"exitcode": -9}, r"ended by signal 9 \(SIGKILL\).*memory ran out"),
        ({"exitcode": 3}, "ended with status 3"),
        (None, "ended with status 1"),
    ],
)
def test_a_worker_that_could_say_nothing_is_named(
    tmp_path: Path, left: dict[str, int] | None, message: str
) -> None:
    if left is not None:
        artifacts.write_json(tmp_path / launcher.STATUS, left)
    found = launcher.failed(tmp_path, 1)
    assert isinstance(found, ModelError)
    assert re.search(message, str(found))


def test_machines_go_on_from_the_same_checkpoint_or_not_at_all(tmp_path: Path) -> None:
    """Two processes with a work folder each, as two machines have them."""
    for number, step in enumerate((14, 7)):
        (tmp_path / f"{number}/checkpoint-{step}").mkdir(parents=True)
        artifacts.write_manifest(tmp_path / f"{number}/checkpoint-{step}")
    code = f"""
import sys, torch
from pathlib import Path
from pipeline.errors import ModelError
from pipeline.modeling import worker
rank, folder = int(sys.argv[1]), Path({str(tmp_path)!r})
where = (folder / "store").as_uri()
torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
worker.require_same_checkpoint(folder / "1")
try:
    worker.require_same_checkpoint(folder / str(rank))
except ModelError as error:
    print(error)
torch.distributed.destroy_process_group()
"""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "MOFANG_LANGUAGE": "en"}
    variables["GLOO_SOCKET_IFNAME"] = launcher.loopback()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank)],
            env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    for one in both:
        answer, complaint = one.communicate(timeout=120)
        assert one.returncode == 0, complaint
        assert "checkpoints of different steps on the machines (7 to 14)" in answer


def test_the_first_to_fail_has_the_cause(tmp_path: Path) -> None:
    from pipeline.modeling import worker

    path = tmp_path / launcher.ERROR
    worker.note(training.diverged(7, "a loss that is not a number"), path)
    worker.note(RuntimeError("Connection closed by peer"), path)
    assert "train, step 7: found a loss that is not a number" in str(launcher.failed(tmp_path, 1))
    assert [one.name for one in tmp_path.iterdir()] == [launcher.ERROR]


def test_what_nobody_foresaw_is_told_with_its_reason(tmp_path: Path) -> None:
    from pipeline.modeling import worker

    worker.note(KeyError("surprise"), tmp_path / launcher.ERROR)
    found = str(launcher.failed(tmp_path, 1))
    assert "a failure of a training process (KeyError: 'surprise')" in found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 15}, r"train\.batch_size: found 15, allowed a multiple of 2 processes"),
        ({"launcher__strategy": "fsdp"}, r"launcher\.strategy: found fsdp without a GPU"),
    ],
)
def test_what_processes_cannot_share_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        launcher.run(runs.START, runs.FILES, knobs(2, **changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "rank", "message"),
    [
        (None, "0", r"MOFANG_RENDEZVOUS: found '', allowed host:port"),
        ("10.0.0.1", "0", "MOFANG_RENDEZVOUS: found '10.0.0.1'"),
        ("10.0.0.1:99999", "0", "MOFANG_RENDEZVOUS: found '10.0.0.1:99999'"),
        ("10.0.0.1:29500", None, "MOFANG_MACHINE_RANK: found '', allowed 0 to 1"),
        ("10.0.0.1:29500", "2", "MOFANG_MACHINE_RANK: found '2', allowed 0 to 1"),
    ],
)
def test_machines_need_a_place_to_meet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str | None,
    rank: str | None,
    message: str,
) -> None:
    for name, value in ((launcher.RENDEZVOUS, host), (launcher.MACHINE_RANK, rank)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=message):
        launcher.run(runs.START, runs.FILES, knobs(2, launcher__machines=2), tmp_path)


def test_machines_meet_where_they_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(launcher.RENDEZVOUS, "[fd00::1]:29500")
    monkeypatch.setenv(launcher.MACHINE_RANK, "1")
    shared = knobs(2, launcher__machines=2).launcher
    given = launcher.arguments(shared, tmp_path)
    assert {"--master-addr=fd00::1", "--master-port=29500", "--node-rank=1"} <= set(given)
    assert {"--nproc-per-node=2", "--nnodes=2"} <= set(given)
