"""What views read from disk: pages of records, reports, small tables; never a whole data set.

Records are read row group by row group, and of those only the columns that are shown. What was read
is kept as long as the file's time and size stay the same, so that a rerun of a page reads nothing
again. A file that a run is just writing again counts as missing.
"""

from __future__ import annotations

import csv
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.studio import stamps
from app.studio.parquet_reading import (
    Found,
    batches,
    frame_of,
    known,
    nothing,
    opened,
    records,
    search,
)
from app.studio.project_files import Project
from app.studio.stamps import Stamp, damaged, stamp_of
from pipeline import artifacts
from pipeline.steps.spreadsheet import guard

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.params import Params

PAGE = 50  # records that a page shows
LARGEST_PAGE = 1_000
LONGEST_LIST = 100_000  # names of a list of work, as long as the schema allows it
LARGEST_TABLE = 20_000  # rows of a CSV that are shown
SECONDS = 1.0  # that a search looks before it asks whether to go on
LONGEST_TEXT = 2_000  # characters of a cell that a table shows


def page(
    path: Path, offset: int = 0, limit: int = PAGE, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the records of a parquet file from ``offset`` on, at most ``limit`` of them.

    Only the row groups that hold them are read. The index is the position in the file.

    :param columns: in this order, those that the file does not have left out; None returns all.
    :returns: an empty table without columns where there is no file.
    :raises DataError: if the file is damaged.
    """
    stamp = stamp_of(path)
    wanted = None if columns is None else tuple(columns)
    found = None if stamp is None else page_of(stamp, offset, min(limit, LARGEST_PAGE), wanted)
    return nothing() if found is None else found


def count(path: Path) -> int:
    """Return how many records a parquet file has, from its footer; 0 where there is none.

    :raises DataError: if the file is damaged.
    """
    return outline(path)[0]


def columns(path: Path) -> tuple[str, ...]:
    """Return the names of a parquet file's columns; none where there is no file.

    :raises DataError: if the file is damaged.
    """
    return outline(path)[1]


def find(
    path: Path,
    *,
    contains: str = "",
    equals: Mapping[str, str] | None = None,
    start: int = 0,
    limit: int = PAGE,
    columns: Sequence[str] | None = None,
    seconds: float = SECONDS,
) -> Found:
    """Return the next records whose text contains something, upper or lower case alike.

    It stops when the page is full, or after ``seconds``: ``next`` says where to go on, so that a
    search in millions of records never holds a page up.

    :param contains: empty finds every record.
    :param equals: column → value; a column that the file does not have fits nothing.
    :raises DataError: if the file is damaged.
    """
    stamp = stamp_of(path)
    wanted = None if columns is None else tuple(columns)
    if stamp is None:
        return Found(nothing(), None, 0, 0)
    asked = (contains.strip(), tuple(sorted((equals or {}).items())))
    found = find_in(stamp, asked, start, min(limit, LARGEST_PAGE), wanted, seconds)
    return Found(nothing(), None, 0, 0) if found is None else found


def lookup(path: Path, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return some records by their ``id``; those that the file does not have are left out.

    Only the column of ids is looked through, as far as the last one that is found.

    :param ids: a page of them, not a data set.
    :raises DataError: if the file is damaged.
    """
    stamp = stamp_of(path)
    if stamp is None or not ids:
        return {}
    wanted = tuple(dict.fromkeys(ids))[:LARGEST_PAGE]
    return lookup_in(stamp, wanted, tuple(columns)) or {}


def column(path: Path, name: str, limit: int = LONGEST_LIST) -> tuple[Any, ...]:
    """Return one column of the list that a file is, such as suspects: not of a data set.

    :returns: the first values; none where the file or the column is not there.
    :raises DataError: if the file is damaged.
    """
    stamp = stamp_of(path)
    return () if stamp is None else column_of(stamp, name, limit)


def report(project: Project, stage: str) -> dict[str, Any] | None:
    """Return the report of a stage; None before the stage has run, or while it runs again.

    :raises DataError: if it is damaged.
    """
    return stamps.content(project.report(stage))


def metrics(project: Project, stage: str) -> dict[str, Any] | None:
    """Return the metrics of a stage; None where there are none.

    :raises DataError: if they are damaged.
    """
    return stamps.content(project.stage(stage) / artifacts.METRICS)


def params(project: Project) -> Params:
    """Return ``params.yaml`` as it is saved now.

    :raises ParamsError: if it is missing or not what the schema allows.
    """
    return stamps.params(project.params)


def table(path: Path, limit: int = LARGEST_TABLE) -> pd.DataFrame | None:
    """Return the first rows of a CSV that a stage wrote; None where there is no file.

    Numbers are numbers, everything else is text; an empty cell is None.

    :raises DataError: if it is damaged.
    """
    stamp = stamp_of(path)
    return None if stamp is None else table_of(stamp, limit)


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts are short enough to be sent to a browser."""
    found = frame.copy()
    for name in found.columns:
        found[name] = [
            f"{one[:LONGEST_TEXT]}…" if isinstance(one, str) and len(one) > LONGEST_TEXT else one
            for one in found[name]
        ]
    return found


def spreadsheet(frame: pd.DataFrame) -> bytes:
    """Return a table as CSV to download, in which no cell is a formula.

    Excel takes the bytes at its start for the sign that this is UTF-8.
    """
    import io

    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow([guard(str(name)) for name in frame.columns])
    for row in frame.itertuples(index=False):
        writer.writerow([guard(one) if isinstance(one, str) else one for one in row])
    return target.getvalue().encode("utf-8-sig")


def outline(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many records a parquet file has and the names of its columns."""
    stamp = stamp_of(path)
    found = None if stamp is None else outline_of(stamp)
    return (0, ()) if found is None else found


@st.cache_data(max_entries=256, show_spinner=False)
def outline_of(stamp: Stamp) -> tuple[int, tuple[str, ...]] | None:
    """Read the footer of a parquet file."""
    with opened(stamp) as source:
        if source.file is None:
            return None
        return source.file.metadata.num_rows, tuple(source.file.schema_arrow.names)


@st.cache_data(max_entries=32, show_spinner=False)
def page_of(
    stamp: Stamp, offset: int, limit: int, columns: tuple[str, ...] | None
) -> pd.DataFrame | None:
    """Read a page of a parquet file."""
    with opened(stamp) as source:
        if source.file is None:
            return None
        at, last = max(0, offset), max(0, offset) + limit
        names = known(source.file, columns)
        parts = [
            batch.slice(max(0, at - start), last - max(at, start))
            for start, batch in batches(source.file, names, at, last)
        ]
        return frame_of(source.file, parts, names, range(at, last))


@st.cache_data(max_entries=32, show_spinner=False)
def find_in(
    stamp: Stamp,
    asked: tuple[str, tuple[tuple[str, str], ...]],
    start: int,
    limit: int,
    columns: tuple[str, ...] | None,
    seconds: float,
) -> Found | None:
    """Look through a parquet file."""
    with opened(stamp) as source:
        if source.file is None:
            return None
        return search(source.file, asked, (start, limit), columns, time.monotonic() + seconds)


@st.cache_data(max_entries=64, show_spinner=False)
def lookup_in(
    stamp: Stamp, ids: tuple[str, ...], columns: tuple[str, ...]
) -> dict[str, dict[str, Any]] | None:
    """Look some records up by their ids."""
    with opened(stamp) as source:
        return None if source.file is None else records(source.file, ids, columns)


@functools.lru_cache(maxsize=4)
def column_of(stamp: Stamp, name: str, limit: int) -> tuple[Any, ...]:
    """Read the first values of a column."""
    found: list[Any] = []
    with opened(stamp) as source:
        if source.file is not None and name in source.file.schema_arrow.names:
            for _start, batch in batches(source.file, [name], 0, limit):
                found += batch[name].to_pylist()
    return tuple(found[:limit])


@st.cache_data(max_entries=64, show_spinner=False)
def table_of(stamp: Stamp, limit: int) -> pd.DataFrame | None:
    """Read the first rows of a CSV."""
    import pandas as pd

    try:
        with Path(stamp.path).open(encoding="utf-8", newline="") as source:
            rows = csv.reader(source)
            names = next(rows, [])
            cells = [row for row, _number in zip(rows, range(limit), strict=False)]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(stamp.path, str(error)) from error
    whole = [row for row in cells if len(row) == len(names)]
    columns = zip(*whole, strict=True) if whole else [()] * len(names)
    typed = {name: typed_column(list(one)) for name, one in zip(names, columns, strict=True)}
    return pd.DataFrame(typed)


def typed_column(cells: list[str]) -> list[Any]:
    """Return the cells of a column as numbers if all are, empty ones as None."""
    for kind in (int, float):
        try:
            return [kind(one) if one else None for one in cells]
        except ValueError:
            continue
    return [one or None for one in cells]
