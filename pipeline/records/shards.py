"""Data sets larger than memory: one parquet file is read shard by shard, in all processor cores.

A shard is a row group. Results come in the order of the shards, so that nothing written from them
depends on how many processes worked; ``MOFANG_WORKERS`` sets how many, all cores otherwise.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import DataError, ParamsError
from pipeline.i18n import _

if TYPE_CHECKING:
    import pyarrow as pa

Answer = TypeVar("Answer")
AHEAD = 2  # shards a worker may be ahead of who takes the results: bounds memory
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def workers() -> int:
    """Return how many processes work.

    :raises ParamsError: if ``MOFANG_WORKERS`` is not a number from 1 to 1024.
    """
    wanted = os.environ.get("MOFANG_WORKERS", "")
    if not wanted:
        return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if not wanted.isdecimal() or not 1 <= int(wanted) <= 1024:
        raise ParamsError.at(
            "MOFANG_WORKERS",
            found=repr(wanted),
            allowed=_("{low} to {high}", low=1, high=1024),
            fix=_("Unset it: all processor cores are taken then."),
        )
    return int(wanted)


def count(path: Path) -> int:
    """Return how many shards a file has.

    :raises DataError: if it is missing, cut off or not parquet.
    """
    import pyarrow.parquet as pq

    with explained(path), pq.ParquetFile(path) as source:
        return int(source.num_row_groups)


def read(path: Path, number: int, columns: list[str] | None = None) -> pa.Table:
    """Read one shard.

    :raises DataError: if the file is damaged.
    """
    import pyarrow.parquet as pq

    with explained(path), pq.ParquetFile(path) as source:
        return source.read_row_group(number, columns=columns, use_threads=False)


class explained:  # noqa: N801 - reads as a phrase
    """Turns what pyarrow raises about a file into one ``DataError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, OSError | pa.ArrowException):
            raise DataError.at(
                self.path,
                found=str(error).splitlines()[0],
                allowed=_("a whole parquet file of records"),
                fix=_("Run dvc repro, which writes it again."),
            ) from error


def for_each(
    work: Callable[..., Answer], tasks: Iterable[tuple[Any, ...]], *, processes: int
) -> Iterator[Answer]:
    """Yield what ``work`` returns for each task, in their order.

    :param work: a function of a module; with one process it runs in this one.
    :param tasks: the arguments of each call.
    :raises DataError: if a process was ended from outside, as for want of memory.
    """
    if processes == 1:
        for task in tasks:
            yield work(*task)
        return
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Answer]] = deque()
    with ProcessPoolExecutor(processes, context, initializer=die_with_parent) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(work, *task))
                if len(waiting) >= processes * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError.at(
                f"MOFANG_WORKERS={processes}",
                found=_("a worker that was ended, probably for want of memory"),
                allowed=_("workers that finish their shard"),
                fix=_("Set MOFANG_WORKERS=1, or free some memory."),
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def die_with_parent() -> None:
    """End this process when the one that started it ends, however that came about."""
    from pipeline.quiet import be_quiet

    be_quiet()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
