"""Servers that ``make bench-serve`` measures: started, pinned to a core, paused, asked, ended.

A server that is not asked just now is stopped (SIGSTOP), so that all can stay loaded and take turns
without one of them disturbing another.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pyarrow.parquet as pq
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
LITSERVE = ROOT / ".venv-litserve/bin/python"
SERVER_CORE, GENERATOR_CORE = 0, 1
STARTING = 180.0  # seconds at most until a server answers
ENDING = 20.0
VERSION = "1.0.0"
ONE_CORE = {"workers": 1, "rate": {"texts_per_second": 0.0, "burst": 400, "clients": 10_000}}
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def environment(**others: str) -> dict[str, str]:
    """Return the variables that every server runs with."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("MOFANG_")}
    threads = dict.fromkeys(ONE_THREAD, "1")
    quiet = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1",
             "TOKENIZERS_PARALLELISM": "false", "MOFANG_LANGUAGE": "en"}  # fmt: skip
    return given | threads | quiet | others


def released(project: Path, work: Path) -> Path:
    """Return a folder with params.yaml and a release of what ``dvc repro`` made in a project.

    The project's own releases stay as they are, and no tag is written: Git sees no repository here.

    :raises subprocess.CalledProcessError: if the release is refused.
    """
    folder = work / "project"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("data", "models", "dvc.yaml", "dvc.lock"):
        if (project / name).exists():
            (folder / name).symlink_to((project / name).resolve())
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((project / "params.yaml").read_text(encoding="utf-8"))
    params["serve"] |= ONE_CORE
    with (folder / "params.yaml").open("w", encoding="utf-8") as target:
        yaml.dump(params, target)
    subprocess.run(
        [sys.executable, "-m", "pipeline.release", "create", "--version", VERSION, "--promote"],
        cwd=folder, env=environment(GIT_CEILING_DIRECTORIES=str(folder.resolve().parent)),
        check=True,
    )  # fmt: skip
    return folder


def texts_of(project: Path, path: Path) -> Path:
    """Write the texts of the test part as a JSON list; return the file."""
    texts = pq.read_table(project / "data/split/test.parquet", columns=["text"])["text"]
    path.write_text(json.dumps(texts.to_pylist()), encoding="utf-8")
    return path


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A server in a process group of its own, on one core.

    :param command: ``PORT`` in it stands for the port.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path = ROOT) -> None:
        self.name, self.port = name, free_port()
        self.address = f"http://127.0.0.1:{self.port}/predict"
        words = [str(self.port) if word == "PORT" else word for word in command]
        self.process = subprocess.Popen(
            words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )  # fmt: skip
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        """Wait until it answers, then pause it.

        :raises RuntimeError: if it ends, or does not answer.
        """
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        self.pause()
        return self

    def wait(self) -> None:
        """Return when it answers.

        :raises RuntimeError: if it ends, or does not answer.
        """
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
            if time.monotonic() > self.began + STARTING:
                raise RuntimeError(f"{self.name} does not answer")
            try:
                self.labels(["What is the capital of Iceland ?"])
            except (httpx.HTTPError, KeyError):
                time.sleep(0.1)
            else:
                return

    def __exit__(self, *_error: object) -> None:
        """End it and what it started, and nothing else."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            self.signal(number)
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.signal(signal.SIGKILL)  # what it may have left behind

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def pause(self) -> None:
        """Let it rest."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def labels(self, texts: Sequence[str]) -> list[str]:
        """Return the best label of each text, asked one by one."""
        with httpx.Client(timeout=30.0, trust_env=False) as client:
            answers = [client.post(self.address, json={"inputs": one}) for one in texts]
        return [str(one.raise_for_status().json()["predictions"][0][0]["label"])
                for one in answers]  # fmt: skip

    def used(self) -> float:
        """Return the processor seconds that it and what it started used so far."""
        own = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def memory(self) -> float:
        """Return the resident memory of its process, in MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


def generator(server: Server, texts: Path, *words: str) -> list[str]:
    """Return the command of a load generator on its own core."""
    return [sys.executable, "-m", "benchmarks.load", server.address, "--texts", str(texts),
            "--core", str(GENERATOR_CORE), *words]  # fmt: skip


def load(server: Server, texts: Path, *words: str) -> dict[str, Any]:
    """Run a load generator against a server that rests before and after; return its figures.

    ``per_core_second`` is how many answers a second of its processor gave, whoever else used it.

    :raises subprocess.CalledProcessError: if the generator fails.
    """
    before = server.used()
    server.resume()
    try:
        done = subprocess.run(
            generator(server, texts, *words), cwd=ROOT, env=environment(), check=True, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    finally:
        server.pause()
    found: dict[str, Any] = json.loads(done.stdout)
    used = server.used() - before
    return found | {"per_core_second": found["answered"] / used if used else 0.0}


def commands(
    project: Path, folder: Path, *, alone: bool = False
) -> tuple[dict[str, tuple[list[str], Path]], dict[str, str]]:
    """Return command and folder of the service and its peers, and why others are left out.

    :param project: where ``dvc repro`` ran.
    :param folder: with params.yaml and the release (``released``).
    :param alone: only the service.
    """
    python, plain = sys.executable, ["-m", "benchmarks.servers.plain"]
    model = str((folder / "releases" / VERSION / "model").resolve())
    torch = str((project / "models/train/model").resolve())
    wanted = {"service": ([python, "-m", "app.service", "--port", "PORT"], folder)}
    left_out: dict[str, str] = {}
    if not alone:
        wanted |= {
            "bare": ([python, "-m", "benchmarks.servers.bare", "PORT", model], folder),
            "pipeline": ([python, *plain, "pipeline", "PORT", torch], ROOT),
            "runtime": ([python, *plain, "runtime", "PORT", model], ROOT),
        }
        for batch in ("1", "16"):
            name = f"LitServe, batch {batch}"
            if LITSERVE.exists():
                lit = [str(LITSERVE), "-m", "benchmarks.servers.lit", "PORT", model, batch]
                wanted[name] = (lit, ROOT)
            else:
                left_out[name] = "no .venv-litserve: make .venv-litserve/ready"
    return wanted, left_out
