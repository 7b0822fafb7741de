"""What a run uses: processor, memory, GPUs; noted by its supervisor, read by every page."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any, Self

import psutil

from app.studio.runs import logbook, processes
from app.studio.runs.records import DEVICES, Run

EVERY = 2.0  # seconds between two lines
FULL = 2_000_000  # bytes: 4 hours; from then on a line a minute
SLOWLY = 60.0


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    number: int
    name: str
    use: float  # share
    memory: int  # bytes in use
    memory_total: int


@dataclass(frozen=True)
class Use:
    """What was used at one moment."""

    time: float  # seconds since 1970
    cores: float  # processor cores that the run's processes kept busy
    cores_total: int
    memory: int  # bytes of the run's processes
    machine: int  # bytes in use on the whole machine
    memory_total: int
    gpus: tuple[Gpu, ...] = ()


class Recorder:
    """Notes what the processes of a run use, a line every two seconds."""

    def __init__(self, run: Run) -> None:
        self.run, self.path = run, run.folder / DEVICES
        self.known: dict[int, psutil.Process] = {}
        self.next = 0.0
        self.gpus: Any = None

    def __enter__(self) -> Self:
        self.gpus = nvml()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.gpus is not None:
            with contextlib.suppress(self.gpus.NVMLError):
                self.gpus.nvmlShutdown()

    def look(self) -> None:
        """Note a line if it is time to."""
        now = time.monotonic()
        if now < self.next:
            return
        full = self.path.exists() and self.path.stat().st_size > FULL
        self.next = now + (SLOWLY if full else EVERY)
        line = json.dumps(self.measured()) + "\n"
        # A full disk is the run's own trouble, not this line's.
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as target:
            target.write(line)

    def measured(self) -> dict[str, Any]:
        """Return what is used now."""
        found = {one.pid: one for one in processes.marked(str(self.run.folder))}
        self.known = {pid: self.known.get(pid, one) for pid, one in found.items()}
        cores, memory = 0.0, 0
        for one in self.known.values():
            with contextlib.suppress(psutil.Error):
                cores += one.cpu_percent() / 100  # since the last look; the first one says 0
                memory += one.memory_info().rss
        machine = psutil.virtual_memory()
        return {
            "time": time.time(), "cores": round(cores, 2), "cores_total": psutil.cpu_count() or 1,
            "memory": memory, "machine": machine.total - machine.available,
            "memory_total": machine.total, "gpus": list(graphics(self.gpus)),
        }  # fmt: skip


def nvml() -> Any:
    """Return NVIDIA's library when there is a GPU, else None."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no permission: no GPU to show
        return None
    return pynvml


def graphics(library: Any) -> list[list[Any]]:
    """Return what each GPU does: number, name, share, bytes, bytes in all."""
    if library is None:
        return []
    found = []
    for number in range(library.nvmlDeviceGetCount()):
        with contextlib.suppress(library.NVMLError):
            handle = library.nvmlDeviceGetHandleByIndex(number)
            memory = library.nvmlDeviceGetMemoryInfo(handle)
            use = library.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            name = str(library.nvmlDeviceGetName(handle))
            found.append([number, name, use, int(memory.used), int(memory.total)])
    return found


def gpus() -> list[Gpu]:
    """Return the GPUs of this machine."""
    library = nvml()
    try:
        return [Gpu(*one) for one in graphics(library)]
    finally:
        if library is not None:
            with contextlib.suppress(library.NVMLError):
                library.nvmlShutdown()


def uses(run: Run, count: int = 150) -> list[Use]:
    """Return the last looks at what a run used, the newest last."""
    found = []
    for line in logbook.tail(run.folder / DEVICES, count):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            content = json.loads(line)
            content["gpus"] = tuple(Gpu(*one) for one in content["gpus"])
            found.append(Use(**content))
    return found
