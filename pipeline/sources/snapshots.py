"""What each run of a stream brought, kept whole, and how far it has come.

``data/snapshots/<source>/`` holds a parquet file a run, named by its time, and ``state.json``. A
run writes what is new and the state after it under hidden names. In the moment in which the
snapshot takes its own name the run has happened: killed before, the next run takes the same again;
killed after, the next run finds the state that belongs to the snapshot and goes on from there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.errors import Problem, SourceError, Text
from pipeline.i18n import _
from pipeline.records.writing import RecordWriter
from pipeline.sources.delivery import Count, Row

if TYPE_CHECKING:
    import pyarrow as pa

SNAPSHOTS = Path("data/snapshots")
STATE = "state.json"
BUILDING = ".building.parquet"
NEXT = ".next.json"  # the state that becomes valid with the snapshot
PART = ".part"  # where a feed may copy what it reads
STAMP = "%Y%m%dT%H%M%S%f"
STAMPED = re.compile(r"\d{8}T\d{12}")
AS_TEXT = json.JSONEncoder(ensure_ascii=False)
BATCH = 4_096  # rows that are held at a time


@dataclass(frozen=True)
class Snapshot:
    """What one run brought; the lines that gave no row are counted with it."""

    name: str
    rows: int
    read: int
    empty: int
    unmatched: int
    sha256: str


@dataclass(frozen=True)
class State:
    """How far a stream has come.

    ``position`` is the feed's own: what it needs to know to go on. ``last`` is the newest name ever
    given, ``rows`` counts all rows ever taken, ``dropping`` names snapshots that are being deleted.
    """

    feed: dict[str, Any]
    last: str = ""
    rows: int = 0
    position: dict[str, Any] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    dropping: list[str] = field(default_factory=list)


@dataclass
class Taken:
    """What a feed has to give; ``position`` and ``count`` are final after the rows were taken."""

    rows: Iterator[Row]
    count: Count
    position: dict[str, Any]
    notes: dict[str, int] = field(default_factory=dict)


def now() -> datetime:
    """Return the time by which snapshots are named and grow old."""
    return datetime.now(UTC)


def load(folder: Path, feed: dict[str, Any]) -> State:
    """Return where the last run ended, and finish what it may have left half done.

    :raises SourceError: if the folder was collected from another feed, or somebody changed it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (folder / BUILDING, folder / PART, *folder.glob(".*.tmp-*")):
        leftover.unlink(missing_ok=True)
    found = sorted(path.stem for path in folder.glob("*.parquet") if STAMPED.fullmatch(path.stem))
    state, following = stored(folder / STATE), stored(folder / NEXT)
    state = state or State(feed)
    happened = following is not None and following.last in found and following.last > state.last
    if following is not None and happened:
        state = following
    refuse_other(folder, state.feed, feed)
    refuse_changed(folder, state, found)
    for name in state.dropping:
        path_of(folder, name).unlink(missing_ok=True)
    state = dataclasses.replace(state, feed=feed, dropping=[])
    if happened:
        save(folder, state)
    (folder / NEXT).unlink(missing_ok=True)
    return state


def stored(path: Path) -> State | None:
    """Return the state that a file holds, if there is one."""
    if not path.exists():
        return None
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise edited(path, str(error)) from None


def parsed(text: str) -> State:
    """Return the state that JSON describes."""
    values = json.loads(text)
    kept = [Snapshot(**one) for one in values.pop("snapshots")]
    return State(**values, snapshots=kept)


def refuse_other(folder: Path, known: dict[str, Any], feed: dict[str, Any]) -> None:
    """Refuse a feed that is not the one whose position is known.

    :raises SourceError: naming what differs; what one of them does not know is not compared.
    """
    before, after = dict(flat(known)), dict(flat(feed))
    differs = [name for name, value in before.items() if after.get(name, value) != value]
    if before.get("kind") != after.get("kind"):
        differs = ["kind"]
    if differs:
        raise SourceError.at(
            folder,
            found=_("snapshots of another feed ({differs})", differs=", ".join(differs)),
            allowed=_("the feed that they were collected from"),
            fix=_(
                "Give the source another name, or put feed back; to collect everything anew, "
                "delete this folder."
            ),
        )


def flat(values: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested sections by their full names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def refuse_changed(folder: Path, state: State, found: list[str]) -> None:
    """Refuse a folder that lost or got a snapshot, or in which one was changed.

    :raises SourceError: with every such file.
    """
    problems: list[Problem] = []
    known = {one.name: one.sha256 for one in state.snapshots}
    for name in sorted(known.keys() | set(found) - set(state.dropping)):
        path = path_of(folder, name)
        if name not in found:
            problems += edited(path, _("no such file")).problems
        elif name not in known:
            problems += edited(path, _("a file that no run wrote here")).problems
        elif artifacts.sha256(path) != known[name]:
            problems += edited(path, _("another content than the run wrote")).problems
    if problems:
        raise SourceError(*problems)


def edited(path: Path, found: Text) -> SourceError:
    """Return the error for a file that is not as a run left it."""
    return SourceError.at(
        path,
        found=found,
        allowed=_("snapshots as the runs left them"),
        fix=_("Put the folder back as it was (git or dvc checkout); nobody edits it."),
    )


def path_of(folder: Path, name: str) -> Path:
    """Return the file of a snapshot."""
    return folder / f"{name}.parquet"


def save(folder: Path, state: State) -> None:
    """Write ``state.json``, whole."""
    artifacts.write_json(folder / STATE, dataclasses.asdict(state))


def add(folder: Path, state: State, taken: Taken) -> State:
    """Write what is new as a snapshot and return the state after it; ``settle`` writes that one.

    No file is written when no row is new.
    """
    building, name = folder / BUILDING, next_name(state.last)
    with artifacts.disk_full_explained(building):
        try:
            rows = write(building, taken.rows)
            if not rows:
                return dataclasses.replace(state, position=taken.position)
            artifacts.sync(building)
            count = taken.count
            made = Snapshot(
                name, rows, count.read, count.empty, count.unmatched, artifacts.sha256(building)
            )
            kept = [*state.snapshots, made]
            after = State(state.feed, name, state.rows + rows, taken.position, kept)
            artifacts.write_json(folder / NEXT, dataclasses.asdict(after))
            building.rename(path_of(folder, name))
        finally:
            building.unlink(missing_ok=True)
        artifacts.sync(folder)
    return after


def write(path: Path, rows: Iterator[Row]) -> int:
    """Write rows to a parquet file, unless there are none, and return how many they are."""
    batch = list(itertools.islice(rows, BATCH))
    if not batch:
        return 0
    with RecordWriter(path, snapshot_schema()) as target:
        while batch:
            target.add(as_table(batch))
            batch = list(itertools.islice(rows, BATCH))
    return target.written


def next_name(last: str) -> str:
    """Return a name by the clock that comes after ``last``, whatever the clock says."""
    found = now().strftime(STAMP)
    if found > last:
        return found
    return (datetime.strptime(last, STAMP) + timedelta(microseconds=1)).strftime(STAMP)


def as_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a snapshot holds them: the columns of a record that has no source yet."""
    import pyarrow as pa

    values: dict[str, list[Any]] = {
        "text": [row.text for row in rows],
        "label": [row.label for row in rows],
        "group": [row.group for row in rows],
        "created_at": [row.created_at for row in rows],
        "meta": [AS_TEXT.encode(row.meta) for row in rows],
    }
    return pa.Table.from_pydict(values, schema=snapshot_schema())


def snapshot_schema() -> pa.Schema:
    """Return the columns of a record that has no source yet."""
    import pyarrow as pa

    return pa.schema([one for one in artifacts.record_schema() if one.name not in ("id", "source")])


def settle(
    folder: Path, before: State, after: State, *, snapshots: int | None, days: int | None
) -> State:
    """Write ``state.json`` and delete the snapshots that are too many or too old.

    What is deleted is not collected again: the feed's position stays.

    :param snapshots: so many are kept, the newest; None keeps all.
    :param days: those that are older are deleted; None keeps all.
    """
    oldest = "" if days is None else (now() - timedelta(days=days)).strftime(STAMP)
    kept = after.snapshots[-snapshots:] if snapshots is not None else after.snapshots
    kept = [one for one in kept if one.name >= oldest]
    dropping = [one.name for one in after.snapshots if one not in kept]
    after = dataclasses.replace(after, snapshots=kept, dropping=dropping)
    if after != before:
        save(folder, after)
    (folder / NEXT).unlink(missing_ok=True)
    for name in dropping:
        path_of(folder, name).unlink(missing_ok=True)
    return after


def rows_of(folder: Path, state: State, count: Count) -> Iterator[Row]:
    """Yield the rows of all kept snapshots, the oldest first."""
    import pyarrow.parquet as pq

    for one in state.snapshots:
        count.read += one.read
        count.empty += one.empty
        count.unmatched += one.unmatched
        path = path_of(folder, one.name)
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(batch_size=BATCH):
                count.took(batch.nbytes, str(path))
                for values in batch.to_pylist():
                    values["meta"] = json.loads(values["meta"])
                    yield Row(**values)


def joint_hash(state: State) -> str:
    """Return the sha256 of the hashes of all kept snapshots."""
    return hashlib.sha256("".join(one.sha256 for one in state.snapshots).encode()).hexdigest()
