"""The machine that training runs on: cores, memory, what its processor is fast at, GPUs, disk.

A container gets less than its host has, so control groups count as much as the hardware. The
readers take the root of the file system, and the parsers text, so that both can be tried on files
of other machines.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path("/")
UNLIMITED = 2**60  # cgroup v1 writes a number near 2**63 for "no limit"
MATRIX = 1_024  # width of the matrices that are multiplied to learn the speed
SECONDS_OF_TRYING = 0.3
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "amx_tile", "bf16")  # bf16: arm64's own name
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    name: str
    memory_bytes: int
    bf16: bool


@dataclass(frozen=True)
class Machine:
    """What there is to compute with."""

    processor: str
    cores: float  # as many as this process may use; a quota can be a fraction
    memory_bytes: int  # the machine's, or the container's limit
    available_bytes: int  # of it, what is free now
    bf16: bool  # the processor multiplies bf16 by itself
    amx: bool
    vnni: bool  # the processor multiplies int8 by itself
    disk_free_bytes: int
    gpus: list[Gpu] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    @property
    def device(self) -> str:
        """Return where ``auto`` trains."""
        return "cuda" if self.gpus else "cpu"

    @property
    def room_bytes(self) -> int:
        """Return the memory that training can have: of one GPU, or of the machine what is free."""
        return self.gpus[0].memory_bytes if self.gpus else self.available_bytes


def look(folder: Path = Path()) -> Machine:
    """Return this machine.

    :param folder: on whose disk space is counted.
    """
    flags = processor_flags(read(ROOT / "proc/cpuinfo"))
    total, free = memory(ROOT)
    return Machine(
        processor=processor_name(read(ROOT / "proc/cpuinfo")) or platform.processor(),
        cores=cores(ROOT),
        memory_bytes=total,
        available_bytes=free,
        bf16=any(flag in flags for flag in BF16_FLAGS if flag != "amx_tile"),
        amx="amx_tile" in flags and bool(flags & {"amx_bf16", "amx_int8"}),
        vnni=any(flag in flags for flag in INT8_FLAGS),
        disk_free_bytes=shutil.disk_usage(folder).free,
        gpus=gpus(),
    )


def read(path: Path) -> str:
    """Return a file of the kernel; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def processor_flags(cpuinfo: str) -> set[str]:
    """Return what the processor can do, from the text of ``/proc/cpuinfo`` (x86 and arm64)."""
    for line in cpuinfo.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def processor_name(cpuinfo: str) -> str:
    """Return the processor's name, empty where the file does not say."""
    for line in cpuinfo.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""


def cores(root: Path) -> float:
    """Return the processor cores that this process may use: its affinity and its group's quota."""
    can = getattr(os, "sched_getaffinity", None)
    free = float(len(can(0)) if can else os.cpu_count() or 1)
    quotas = [quota for folder in groups(root, "cpu") if (quota := quota_of(folder)) is not None]
    return min([free, *quotas])


def quota_of(folder: Path) -> float | None:
    """Return the cores that a control group may use; None for all of them."""
    words = read(folder / "cpu.max").split()  # version 2: "200000 100000" or "max 100000"
    if len(words) == 2 and words[0] != "max":
        return float(words[0]) / float(words[1])
    quota, period = (read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    if quota and period and int(quota) > 0:  # version 1: -1 is no limit
        return int(quota) / int(period)
    return None


def memory(root: Path) -> tuple[int, int]:
    """Return the bytes of memory that may be used, and how many of them are free now."""
    facts = meminfo(read(root / "proc/meminfo"))
    if not facts:
        return whole_memory()
    total = facts["MemTotal"]
    free = facts.get("MemAvailable", facts.get("MemFree", total))
    for folder in groups(root, "memory"):
        limit, used = limit_of(folder)
        if limit is not None:
            total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def meminfo(text: str) -> dict[str, int]:
    """Return the sizes of ``/proc/meminfo`` in bytes."""
    found = {}
    for line in text.splitlines():
        name, _colon, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1_024
    return found if "MemTotal" in found else {}


def limit_of(folder: Path) -> tuple[int | None, int]:
    """Return a control group's limit of memory, None without one, and what it holds, in bytes.

    The page cache is given back when memory is short, so files that nobody reads do not count.
    """
    for limit_name, use_name, idle in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        text = read(folder / limit_name).strip()
        if not text.isdigit() or int(text) >= UNLIMITED:
            continue
        used = int(read(folder / use_name).strip() or 0)
        stat = dict(
            line.split() for line in read(folder / "memory.stat").splitlines() if " " in line
        )
        return int(text), max(0, used - int(stat.get(idle, 0)))
    return None, 0


def groups(root: Path, kind: str) -> list[Path]:
    """Return the folders of the control groups that this process is in, the nearest first.

    :param kind: ``cpu`` or ``memory``; version 1 has a tree for each, version 2 one for all.
    """
    base = root / "sys/fs/cgroup"
    found = []
    for line in read(root / "proc/self/cgroup").splitlines():
        _number, kinds, path = line.split(":", 2)
        if kinds == "":
            tree = base
        elif kind in kinds.split(","):
            tree = next((base / one for one in (kinds, kind) if (base / one).is_dir()), base / kind)
        else:
            continue
        here = tree / path.lstrip("/")
        # Within a container the path is often the host's, which is not there: its root then counts.
        found += [one for one in (here, *here.parents) if one == tree or tree in one.parents]
    return [folder for folder in found if folder.is_dir()] or [base]


def whole_memory() -> tuple[int, int]:
    """Return total and free memory where there is no ``/proc``."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, total


def gpus() -> list[Gpu]:
    """Return the GPUs that torch can use."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for at in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(at)
        # bf16 came with compute capability 8.0 (Ampere).
        found.append(Gpu(facts.name, int(facts.total_memory), facts.major >= 8))
    return found


def speed(device: str, precision: str, *, threads: int = 0) -> float:
    """Return floating-point operations per second of a matrix product, measured in a moment.

    :param threads: of the processor; 0 leaves them as they are.
    """
    import torch

    before = torch.get_num_threads()
    if threads and device == "cpu":
        torch.set_num_threads(threads)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    # Ones need no random numbers, so nothing that is drawn later changes.
    left = torch.ones((MATRIX, MATRIX), dtype=kind, device=device)
    try:
        torch.mm(left, left)
        settle(device)
        times, began = [], time.perf_counter()
        while time.perf_counter() - began < SECONDS_OF_TRYING:
            started = time.perf_counter()
            torch.mm(left, left)
            settle(device)
            times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return float(2 * MATRIX**3 / sorted(times)[len(times) // 2])


def settle(device: str) -> None:
    """Wait until the GPU has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
