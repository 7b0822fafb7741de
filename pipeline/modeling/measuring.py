"""What a piece of work took: seconds, peak memory, energy, CO2 and money.

Energy and CO2 come from codecarbon, offline: its own tables, no request, no file. Where the
processor counts its energy (RAPL) that is read; elsewhere codecarbon estimates it from the
processor's load and rated power, and the result says so (``energy_source``).
"""

from __future__ import annotations

import logging
import os
import resource
import threading
import time
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROC = Path("/proc")
RESET_PEAK = "5"  # proc(5): writing 5 to clear_refs sets the peak to what is resident now
SECONDS_BETWEEN_SAMPLES = 5.0
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_PER_HOUR = 3_600.0
ENDING_SECONDS = 5.0


class Meter:
    """Measures what happens inside ``with``; ``actual()`` is known afterwards.

    :param costs: ``params.train.costs``.
    :param device: ``cpu`` or ``cuda``: whose memory counts.
    :param processes: how many workers the work starts; with more than one theirs are counted too.
    """

    def __init__(self, costs: Any, device: str = "cpu", *, processes: int = 1) -> None:
        self.costs, self.device = costs, device
        self.family = Family(os.getpid()) if processes > 1 else None
        self.result: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        self.energy = Energy(self.costs.country)
        self.energy.start()
        if self.family is not None:
            self.family.start()
        self.memory = Memory(self.device)
        self.started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self.started
        peak = self.memory.peak()
        if self.family is not None:
            peak += self.family.stop()
        self.result = {
            "seconds": seconds,
            "peak_memory_bytes": peak,
            "memory_source": self.memory.source,
            **self.energy.stop(),
            "money": money(seconds, self.costs.price_per_hour),
            "currency": self.costs.currency,
        }

    def actual(self) -> dict[str, Any]:
        """Return ``seconds``, ``peak_memory_bytes``, ``kwh``, ``co2_kg``, ``money`` and sources.

        ``kwh`` and ``co2_kg`` are None where nothing could be found out about the machine.
        """
        assert self.result is not None, "the work is not over yet"
        return dict(self.result)


def money(seconds: float, price_per_hour: float) -> float:
    """Return what ``seconds`` of this machine cost."""
    return seconds / SECONDS_PER_HOUR * price_per_hour


class Memory:
    """Highest use of memory since it was made.

    ``source`` says whose: ``process`` is exact; ``process_lifetime`` where the kernel does not let
    the peak be reset, so that earlier work may have set it; ``gpu`` counts torch's own.
    """

    def __init__(self, device: str) -> None:
        if device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            self.source = "gpu"
        else:
            self.source = "process" if reset_peak() else "process_lifetime"

    def peak(self) -> int:
        """Return bytes."""
        if self.source == "gpu":
            import torch

            return sum(torch.cuda.max_memory_allocated(at) for at in range(devices()))
        found = status("VmHWM") if self.source == "process" else None
        return found if found is not None else lifetime_peak()


def devices() -> int:
    """Return the number of GPUs that torch sees."""
    import torch

    return int(torch.cuda.device_count())


def reset_peak(process: str = "self") -> bool:
    """Set a process's highest resident memory to the present one; return whether that worked."""
    try:
        (PROC / process / "clear_refs").write_text(RESET_PEAK)
    except OSError:  # a container without the right, or no Linux
        return False
    return status("VmHWM", process) is not None


def status(name: str, process: str = "self") -> int | None:
    """Return a figure of ``/proc/PROCESS/status`` in bytes, such as ``VmRSS``, or None."""
    try:
        lines = (PROC / process / "status").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1_024
    return None


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    found = status("VmRSS")
    return found if found is not None else lifetime_peak()


def lifetime_peak() -> int:
    """Return the highest resident memory of this process since it began, in bytes."""
    import sys

    kilo = 1 if sys.platform == "darwin" else 1_024  # getrusage(2): kB on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo


class Family:
    """Highest memory of each process below one, looked at twice a second.

    Each one's own peak only grows, so a look misses at most what the last half second added. The
    sum is an upper bound: peaks need not fall together.
    """

    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.peaks: dict[int, int] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self.thread.start()

    def watch(self) -> None:
        """Look until it is over."""
        while not self.over.wait(SECONDS_BETWEEN_LOOKS):
            self.look()

    def look(self) -> None:
        """Note the peak of each process below the parent."""
        for process in below(self.parent):
            peak = status("VmHWM", str(process))
            if peak is not None:
                self.peaks[process] = peak

    def stop(self) -> int:
        """Return the sum of all peaks in bytes."""
        self.over.set()
        self.thread.join(ENDING_SECONDS)
        return sum(self.peaks.values())


def below(parent: int) -> list[int]:
    """Return the numbers of all processes that a process started, and that these started."""
    parents: dict[int, int] = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            # The name stands in brackets and may hold any sign, brackets too.
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found, new = [], [parent]
    while new:
        new = [child for child, its_parent in parents.items() if its_parent in new]
        found += new
    return found


class Energy:
    """codecarbon for one piece of work. What fails in it leaves the work unharmed."""

    def __init__(self, country: str) -> None:
        self.country = country
        self.tracker: Any = None

    def start(self) -> None:
        """Begin to count."""
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it talks before it is told
        name = processor()
        if name:
            # py-cpuinfo takes two seconds in a process of its own to read the same line.
            import_module("codecarbon.core.cpu").__dict__["detect_cpu_model"] = lambda: name
        # A file or a variable of the user's could name an address, so each is given here. An empty
        # token is one that was given and is not used.
        self.tracker = OfflineEmissionsTracker(
            country_iso_code=self.country,
            output_methods=[],
            output_handlers=[],
            output_dir=os.curdir,
            emissions_endpoint=None,
            electricitymaps_api_token="",
            cloud_provider=None,
            cloud_region=None,
            region=None,
            tracking_mode="process",
            measure_power_secs=SECONDS_BETWEEN_SAMPLES,
            allow_multiple_runs=True,
            log_level="critical",
        )
        self.tracker.start()

    def stop(self) -> dict[str, Any]:
        """Return ``kwh``, ``co2_kg`` and how the energy was found."""
        timers = [
            getattr(getattr(self.tracker, name, None), "_timer", None)
            for name in ("_scheduler", "_scheduler_monitor_power")
        ]
        emissions = self.tracker.stop()
        for timer in timers:
            if timer is not None:
                timer.cancel()
                timer.join(ENDING_SECONDS)
        data = getattr(self.tracker, "final_emissions_data", None)
        if emissions is None or data is None:
            return {"kwh": None, "co2_kg": None, "energy_source": "none"}
        return {
            "kwh": float(data.energy_consumed),
            "co2_kg": float(emissions),
            "energy_source": self.source(),
        }

    def source(self) -> str:
        """Return ``rapl`` where the processor counts, ``estimate`` else; ``+nvml`` with a GPU."""
        modes = {getattr(one, "_mode", None) for one in self.tracker._hardware}
        measured = "rapl" if "intel_rapl" in modes else "estimate"
        gpu = any(type(one).__name__ == "GPU" for one in self.tracker._hardware)
        return f"{measured}+nvml" if gpu else measured


def processor() -> str:
    """Return the name of the processor, as codecarbon looks it up; empty where it is unknown."""
    try:
        lines = (PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")
