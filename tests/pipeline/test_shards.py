"""Shards: in order, in any number of processes, with a named reason when one is ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError, ParamsError
from pipeline.records import shards


def square(number: int) -> int:
    return number * number


def end_yourself(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("processes", [1, 2])
def test_answers_come_in_the_order_of_the_tasks(processes: int) -> None:
    tasks = [(number,) for number in range(20)]
    assert list(shards.for_each(square, tasks, processes=processes)) == [n * n for n in range(20)]


def test_a_worker_that_is_ended_has_a_reason() -> None:
    with pytest.raises(DataError, match="MOFANG_WORKERS=2: found a worker that was ended"):
        list(shards.for_each(end_yourself, [(number,) for number in range(6)], processes=2))


def test_the_number_of_workers_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOFANG_WORKERS", raising=False)
    assert shards.workers() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("MOFANG_WORKERS", "3")
    assert shards.workers() == 3
    for wrong in ("0", "-1", "many", "5000", "1.5"):
        monkeypatch.setenv("MOFANG_WORKERS", wrong)
        with pytest.raises(ParamsError, match="allowed 1 to 1024"):
            shards.workers()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    pq.write_table(pa.table({"id": ["a", "b", "c"]}), path, row_group_size=2)
    assert shards.count(path) == 2
    assert shards.read(path, 1)["id"].to_pylist() == ["c"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"records\.parquet: found .*allowed a whole parquet file"):
        shards.count(path)
