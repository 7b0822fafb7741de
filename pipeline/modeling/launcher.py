"""Train in several processes, on one machine or on several, through torchrun and nothing else.

::

    stage ── run() ── torchrun (main()) ── worker 0, worker 1, … (pipeline.modeling.worker)

Each process dies with the one that started it, whatever ends that: no trainer is left behind. On
one machine the processes find each other through a file and talk over the loopback only; several
machines meet at ``MOFANG_RENDEZVOUS``, the first one's ``host:port``, in a network that must be
trusted, because torch encrypts nothing.

Every process gets its share of the same global batch in the same order, and gradients are averaged,
so that the weights are those of one process but for the order in which floats are added up.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import read_json, write_json
from pipeline.errors import ModelError, ParamsError, unpacked
from pipeline.i18n import _
from pipeline.modeling import checkpoints
from pipeline.records.shards import die_with_parent

FOLDER = "launcher"  # below the work folder of a run
JOB, ERROR, STATUS = "job.json", "error.json", "status.json"
MEETING, STORE = "meeting", "store"  # files through which torchrun and the workers find each other
RENDEZVOUS, MACHINE_RANK = "MOFANG_RENDEZVOUS", "MOFANG_MACHINE_RANK"
LAUNCHED_BY = "MOFANG_LAUNCHED_BY"  # process number of torchrun, for its workers
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 10.0  # seconds in which torchrun may end its workers before it is ended itself


def settings(knobs: Any) -> dict[str, Any]:
    """Return what ``TrainingArguments`` needs to know of several processes beside its share.

    accelerate deals batches out in turn: with ``batch_size / processes`` records each, and a
    sampler that groups ``batch_size``, each step has the records that one process would have taken.

    :param knobs: ``params.train``.
    """
    shared = knobs.launcher
    if shared.processes * shared.machines == 1:
        return {}
    # Every weight that is trained has a part in the loss, so nothing is to be searched for.
    found = {"ddp_find_unused_parameters": False, "save_on_each_node": shared.machines > 1}
    if shared.strategy == "ddp":
        return found
    # One whole state on the disk, which a run of any number of processes can read.
    sharing = {"fsdp_version": 2, "state_dict_type": "FULL_STATE_DICT"}
    return found | {"fsdp": "full_shard auto_wrap", "fsdp_config": sharing}


def run(start: Path, files: Mapping[str, Path], knobs: Any, work: Path) -> None:
    """Train in several processes until ``finished.json`` stands in ``work``.

    :param start: folder of the model to begin with.
    :param files: records of ``train`` and ``validation``.
    :param knobs: ``params.train``.
    :raises ParamsError: if the processes cannot share the work that way.
    :raises MofangError: the one that ended a process.
    """
    require_fitting(knobs)
    folder = work / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checkpoints.resumable(work)  # removes what a kill left half written, before all look at it
    write_json(
        folder / JOB,
        {
            "start": str(start),
            "files": {name: str(path) for name, path in files.items()},
            "knobs": knobs.model_dump(mode="json"),
            "work": str(work),
            "torchrun": arguments(knobs.launcher, folder),
        },
    )
    status = follow(folder, environment(knobs))
    if status != 0:
        raise failed(folder, status)


def require_fitting(knobs: Any) -> None:
    """Refuse what several processes cannot do, before anything is started.

    :raises ParamsError: naming the knob or the variable.
    """
    shared = knobs.launcher
    world = shared.processes * shared.machines
    if knobs.batch_size % world:
        raise ParamsError.at(
            "params.yaml, train.batch_size",
            found=knobs.batch_size,
            allowed=_("a multiple of {world} processes", world=world),
            fix=_("Change it, or train.launcher.processes: every process takes an equal share."),
        )
    on_gpu, gpus = uses_gpu(knobs.device)
    if shared.strategy == "fsdp" and not on_gpu:
        raise ParamsError.at(
            "params.yaml, train.launcher.strategy",
            found=_("fsdp without a GPU"),
            allowed="ddp",
            fix=_("Set it to ddp: accelerate shares weights out between GPUs only."),
        )
    if shared.strategy == "fsdp" and (knobs.l1 or knobs.l2):
        raise ParamsError.at(
            "params.yaml, train.l1, train.l2",
            found=_("a penalty with fsdp"),
            allowed="0",
            fix=_("Use train.weight_decay instead: no process sees all weights."),
        )
    if on_gpu and shared.processes > gpus:
        raise ParamsError.at(
            "params.yaml, train.launcher.processes",
            found=shared.processes,
            allowed=_("{low} to {high}", low=1, high=gpus),
            fix=_("Start one process a GPU, or set train.device to cpu."),
        )
    if shared.machines > 1:
        meeting_point(shared.machines)


def uses_gpu(device: str) -> tuple[bool, int]:
    """Return whether training runs on GPUs, and how many this machine has."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return device != "cpu" and gpus > 0, gpus


def meeting_point(machines: int) -> tuple[str, int, int]:
    """Return host and port of the first machine, and which one this is.

    :raises ParamsError: if a variable is missing or makes no sense.
    """
    host, _colon, port = os.environ.get(RENDEZVOUS, "").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ParamsError.at(
            RENDEZVOUS,
            found=repr(os.environ.get(RENDEZVOUS, "")),
            allowed=_("host:port of the first machine, such as 10.0.0.1:29500"),
            fix=_("Set it to the same on every machine; the others must reach that port."),
        )
    rank = os.environ.get(MACHINE_RANK, "")
    if not rank.isdecimal() or int(rank) >= machines:
        raise ParamsError.at(
            MACHINE_RANK,
            found=repr(rank),
            allowed=_("{low} to {high}", low=0, high=machines - 1),
            fix=_("Set it to another number on each machine; the first one is 0."),
        )
    return host.strip("[]"), int(port), int(rank)


def arguments(shared: Any, folder: Path) -> list[str]:
    """Return the arguments of torchrun.

    :param shared: ``train.launcher``.
    """
    found = [f"--nproc-per-node={shared.processes}", f"--nnodes={shared.machines}"]
    found += ["--max-restarts=0", f"--log-dir={folder.resolve()}"]
    if shared.machines == 1:
        # A file instead of torch's store of keys and values, which listens on every interface.
        found += [
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={(folder / MEETING).resolve()}",
            "--rdzv-conf=store_type=file",
            "--rdzv-id=one-machine",
            "--local-addr=127.0.0.1",
        ]
    else:
        host, port, rank = meeting_point(shared.machines)
        found += [f"--master-addr={host}", f"--master-port={port}", f"--node-rank={rank}"]
    return [*found, "-m", "pipeline.modeling.worker", str((folder / JOB).resolve())]


def environment(knobs: Any) -> dict[str, str]:
    """Return the variables of the processes: ours, the project's modules, cores shared out."""
    shared = knobs.launcher
    inherited = os.environ.get("PYTHONPATH")
    modules = os.pathsep.join([str(ROOT), *([inherited] if inherited else [])])
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = knobs.threads or max(1, cores // shared.processes)
    found = {"OMP_NUM_THREADS": str(threads)} | dict(os.environ) | {"PYTHONPATH": modules}
    if not uses_gpu(knobs.device)[0]:
        # accelerate says cpu:0 otherwise, which torch.load cannot restore an optimizer to.
        found["ACCELERATE_TORCH_DEVICE"] = "cpu"
    if shared.machines == 1:
        found |= {
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # or torchrun would listen all the same
            "GLOO_SOCKET_IFNAME": loopback(),
            "NCCL_SOCKET_IFNAME": loopback(),
        }
    return found


def loopback() -> str:
    """Return the name of the interface that leads nowhere else."""
    return "lo" if sys.platform == "linux" else "lo0"


def follow(folder: Path, variables: Mapping[str, str]) -> int:
    """Run torchrun to its end and return its exit status, negative for a signal.

    It is a session of its own, so that Ctrl-C reaches this process alone, which then ends the rest.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(folder / JOB), str(os.getpid())],
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()


def failed(folder: Path, status: int) -> Exception:
    """Return the error that ended the workers: the first that one of them noted."""
    if (folder / ERROR).exists():
        return unpacked(read_json(folder / ERROR))
    known = read_json(folder / STATUS)["exitcode"] if (folder / STATUS).exists() else status
    found = _("a training process that ended with status {status}", status=known)
    if known < 0:
        name = signal.Signals(-known).name
        found = _("a training process ended by signal {number} ({name})", number=-known, name=name)
    return ModelError.at(
        "params.yaml, train.launcher",
        found=found,
        allowed=_("processes that train to the end"),
        fix=_("SIGKILL mostly means that memory ran out: lower train.batch_size or start fewer "
              "processes. The last good checkpoint is kept."),
    )  # fmt: skip


def main(job: Path, parent: int) -> int:
    """Be torchrun, and note how its workers ended."""
    die_with_parent()
    if os.getppid() != parent:
        return 1  # it ended before this process was tied to it
    os.environ[LAUNCHED_BY] = str(os.getpid())
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    logging.disable(logging.ERROR)  # of this process alone: what it would log we report
    try:
        torchrun(read_json(job)["torchrun"])
    except ChildFailedError as error:
        first = error.get_first_failure()[1]
        write_json(job.with_name(STATUS), {"exitcode": first.exitcode})
        return 1
    except SignalException:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
