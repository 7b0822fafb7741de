"""What a machine has, read from files as other machines write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.modeling import machine

GIB = 2**30
MEMINFO = "MemTotal:       16777216 kB\nMemFree:   1048576 kB\nMemAvailable:    8388608 kB\n"
XEON = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C\nflags\t\t: fpu avx512_vnni amx_bf16 amx_tile amx_int8 avx512_bf16\n"  # noqa: E501
OLD = "processor\t: 0\nmodel name\t: AMD EPYC 7B12\nflags\t\t: fpu sse4_2 avx2\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp bf16 i8mm\n"


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a made-up root of a file system."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def test_version_2_limits_cores_and_memory(tmp_path: Path) -> None:
    root = write(tmp_path, {
        "proc/self/cgroup": "0::/box/task\n",
        "proc/meminfo": MEMINFO,
        "sys/fs/cgroup/box/task/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/box/task/memory.max": "max\n",
        "sys/fs/cgroup/box/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/box/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/box/memory.stat": f"anon {2 * GIB}\ninactive_file {GIB}\n",
    })  # fmt: skip
    assert machine.cores(root) == 0.5
    # The group above holds 3 GiB, of which one is files that nobody reads: 2 of 4 are free.
    assert machine.memory(root) == (4 * GIB, 2 * GIB)


def test_version_1_limits_cores_and_memory(tmp_path: Path) -> None:
    root = write(tmp_path, {
        "proc/self/cgroup": "4:memory:/task\n1:cpu,cpuacct:/task\n0::/\n",
        "proc/meminfo": MEMINFO,
        "sys/fs/cgroup/cpu,cpuacct/task/cpu.cfs_quota_us": "25000\n",
        "sys/fs/cgroup/cpu,cpuacct/task/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/task/memory.limit_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/task/memory.usage_in_bytes": f"{GIB // 4}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    })  # fmt: skip
    assert machine.cores(root) == 0.25
    assert machine.memory(root) == (GIB, GIB - GIB // 4)


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    root = write(tmp_path, {
        "proc/self/cgroup": "1:cpu:/\n4:memory:/\n",
        "proc/meminfo": MEMINFO,
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    })  # fmt: skip
    assert machine.cores(root) == len(os.sched_getaffinity(0))
    assert machine.memory(root) == (16 * GIB, 8 * GIB)


def test_a_path_of_the_host_is_not_there_in_a_container(tmp_path: Path) -> None:
    root = write(tmp_path, {
        "proc/self/cgroup": "0::/system.slice/docker-abc.scope\n",
        "proc/meminfo": MEMINFO,
        "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory.current": "0\n",
    })  # fmt: skip
    assert machine.memory(root) == (2 * GIB, 2 * GIB)


@pytest.mark.parametrize(
    ("text", "bf16", "vnni"), [(XEON, True, True), (OLD, False, False), (ARM, True, True)]
)
def test_what_a_processor_is_fast_at(text: str, bf16: bool, vnni: bool) -> None:
    flags = machine.processor_flags(text)
    assert bool(flags.intersection(machine.BF16_FLAGS) - {"amx_tile"}) is bf16
    assert bool(flags.intersection(machine.INT8_FLAGS)) is vnni


def test_a_processor_has_a_name() -> None:
    assert machine.processor_name(OLD) == "AMD EPYC 7B12"
    assert machine.processor_name(ARM) == ""


def test_this_machine() -> None:
    found = machine.look()
    assert 0 < found.cores <= (os.cpu_count() or 1)
    assert 0 < found.available_bytes <= found.memory_bytes
    assert found.disk_free_bytes > 0
    assert found.room_bytes > 0
    assert found.as_dict()["cores"] == found.cores


def test_speed_changes_neither_threads_nor_what_is_drawn() -> None:
    import torch

    threads = torch.get_num_threads()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    # No processor of today is slower than 10⁸ or faster than 10¹⁵ operations a second.
    assert 1e8 < machine.speed("cpu", "fp32", threads=1) < 1e15
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
