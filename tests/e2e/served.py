"""A real service in a process of its own, and releases for it to serve."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from pipeline import artifacts
from pipeline.releases import state
from tests.helpers import ROOT, changed_text
from tests.pipeline import made_releases

STARTING, ENDING = 60.0, 20.0  # seconds at most
FAULTY, ALONE = "tests.e2e.faulty", "tests.e2e.alone"
FAST = {
    "serve.workers": 1,
    "serve.demo.enabled": False,  # it has tests of its own; gradio takes seconds to import
    "serve.rate.texts_per_second": 0.0,
    "monitor.enabled": False,
    "traffic.flush_ms": 50,
}  # fmt: skip


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(holds: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait until something holds; return the seconds that it took.

    :raises AssertionError: when time is up.
    """
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


class Service:
    """A service that serves the releases of a folder.

    :param changes: of params.yaml, beside ``FAST``; None leaves a file that is there as it is.
    """

    def __init__(
        self,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        module: str = "app.service",
        **environment: str,
    ) -> None:
        self.folder, self.module, self.environment = folder, module, environment
        self.port = free_port()
        if changes is not None or not (folder / "params.yaml").exists():
            text = changed_text(FAST | dict(changes or {}))
            (folder / "params.yaml").write_text(text, encoding="utf-8")
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=30.0, trust_env=False
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self.client.close()

    @property
    def address(self) -> str:
        """Where predictions are asked for."""
        return f"http://127.0.0.1:{self.port}/predict"

    @property
    def log(self) -> str:
        """Everything that it printed so far, over all its starts."""
        return (self.folder / "service.log").read_text(encoding="utf-8", errors="replace")

    def launch(self, *words: str) -> None:
        """Start the process and do not wait."""
        known = {name: value for name, value in os.environ.items() if "MOFANG" not in name}
        given = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MOFANG_LANGUAGE": "en",
                 "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--port", str(self.port), *words],
                cwd=self.folder, env=known | given | self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        try:
            until(self.is_ready_or_dead, STARTING, "ready to answer")
            assert self.process.poll() is None, self.log
        except BaseException:
            self.stop()
            raise

    def is_ready_or_dead(self) -> bool:
        """Return whether there is nothing more to wait for."""
        return self.process.poll() is not None or self.is_ready()

    def is_ready(self) -> bool:
        """Return whether a release is loaded."""
        try:
            return self.client.get("/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End the process as an operator does; kill it if that takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(ENDING)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()

    def ask(self, inputs: Any = "hello password", **headers: str) -> httpx.Response:
        """Ask for a prediction."""
        return self.client.post("/predict", json={"inputs": inputs}, headers=headers)

    def health(self) -> dict[str, Any]:
        """Return what it says about itself."""
        found: dict[str, Any] = self.client.get("/health").json()
        return found

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        text = self.client.get("/metrics").text
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert values, (name, text)
        return sum(map(float, values))

    def memory(self) -> float:
        """Return its resident memory, in MB."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def run(self, *words: str, code: int = 0) -> str:
        """Run a program of the project beside the service and return what it prints."""
        given = {"PYTHONPATH": str(ROOT), "MOFANG_LANGUAGE": "en", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=self.folder, env=os.environ | given, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def state(self) -> dict[str, Any]:
        """Return which releases serve."""
        text = (self.folder / "releases/state.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def faults(self, **faults: str) -> None:
        """Let models misbehave from now on, by version with ``_`` for ``.`` (``v1_1_0='slow'``)."""
        content = {name[1:].replace("_", "."): fault for name, fault in faults.items()}
        temporary = self.folder / "faults.tmp"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.folder / "faults.json")


def again(folder: Path, version: str, like: str = "1.0.0") -> None:
    """Put one more release into a folder: the same answers under another version.

    Its model is another one by its manifest, so that a block of the one does not mean the other.
    """
    made = folder / "releases" / version
    shutil.copytree(folder / "releases" / like, made)
    (made / "model/version.txt").write_text(version, encoding="utf-8")
    origin = json.loads((made / "origin.json").read_text(encoding="utf-8"))
    artifacts.write_json(made / "origin.json", origin | {"version": version})
    made_releases.reseal(made)


def first(folder: Path) -> None:
    """Make release 1.0.0 of a tiny model below a folder, as a run leaves it, and promote it."""
    os.chdir(folder)
    made_releases.lay_out()
    made_releases.create("1.0.0")
    state.promote("1.0.0", "test")


if __name__ == "__main__":
    first(Path(sys.argv[1]).resolve())
