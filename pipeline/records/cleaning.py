"""Clean a data set of any size: shards in all cores, then one look at what repeats across them.

Only hashes, lengths and times of the records stay in memory, about 70 bytes each; the keys of the
near-duplicate search and the texts it compares lie in a work folder.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.progress import Progress
from pipeline.records import shards
from pipeline.steps import cleaning, duplicates, near_duplicates, reasons
from pipeline.steps.scheme import Cells
from pipeline.steps.text import key

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]
Knobs = Mapping[str, Any]

REASON_OF = {
    duplicates.CONTRADICTS: reasons.CONTRADICTION,
    duplicates.REPEATS: reasons.DUPLICATE,
}
NEAR = 3  # beside the verdicts of duplicates
ALONE = -1  # in no cluster


@dataclass(frozen=True)
class Washed:
    """What the parent has to know of a shard; its records lie in the work folder."""

    rows: int
    changed: Counter[str]
    dropped: Counter[str]
    personal: Counter[str]
    samples: cleaning.Samples
    alive: Array  # bool [rows]: those that stay for the look at repetition
    texts: Array  # uint64 hash of each that is alive, and so below
    labels: Array
    lengths: Array
    times: Array
    bands: Array | None  # uint32 [alive, bands]
    bytes: Array  # of the text that is compared


@dataclass
class Index:
    """All shards together."""

    folder: Path
    near: Knobs
    washed: list[Washed] = field(default_factory=list)

    def add(self, one: Washed) -> None:
        """Take a shard over, its keys to the disk."""
        if one.bands is not None:
            for band, keys in enumerate(one.bands.T):
                with (self.folder / f"band-{band:03}").open("ab") as target:
                    target.write(np.ascontiguousarray(keys).tobytes())
        self.washed.append(Washed(**(vars(one) | {"bands": None})))

    def joined(self, name: str) -> Array:
        """Return one column of all shards."""
        return np.concatenate([getattr(one, name) for one in self.washed])


def wash(source: Path, number: int, folder: Path, knobs: Knobs, cells: Cells) -> Washed:
    """Clean one shard, write it into ``folder`` and return what is needed across shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = shards.read(source, number)
    shard = cleaning.clean(table["id"].to_pylist(), table["text"].to_pylist(), knobs)
    at = table.schema.get_field_index("text")
    table = table.set_column(at, "text", pa.array(shard.texts, pa.string()))
    table = table.append_column("language", pa.array(shard.languages, pa.string()))
    table = table.append_column("dropped_by", pa.array(shard.reasons, pa.string()))
    pq.write_table(table, folder / f"part-{number:06}", compression="lz4", store_schema=False)

    alive = np.array([reason is None for reason in shard.reasons], np.bool_)
    living = table.filter(pa.array(alive))
    texts = [key(text) for text in living["text"].to_pylist()]
    data, offsets = near_duplicates.block(texts)
    (folder / f"texts-{number:06}").write_bytes(data.tobytes())
    near = knobs["duplicates"]["near"]
    return Washed(
        rows=len(table),
        changed=shard.changed,
        dropped=Counter(reason for reason in shard.reasons if reason is not None),
        personal=shard.personal,
        samples=shard.samples,
        alive=alive,
        texts=duplicates.hashes(texts),
        labels=duplicates.hashes([cells.key(one) for one in living["label"].to_pylist()]),
        lengths=np.array([len(text) for text in texts], np.int64),
        times=living["created_at"].cast(pa.int64()).fill_null(-(2**62)).to_numpy(),
        bands=near_duplicates.band_keys(data, offsets, family(near)) if near["enabled"] else None,
        bytes=np.diff(offsets),
    )


def family(near: Knobs) -> near_duplicates.Family:
    """Return the hash functions that the section ``near`` asks for."""
    wanted = ("threshold", "shingle", "size", "seed")
    return near_duplicates.family(**{name: near[name] for name in wanted})


def wash_all(source: Path, folder: Path, knobs: Knobs, cells: Cells) -> Index:
    """Clean every shard of a file.

    :param cells: how labels are read: equal ones do not contradict each other.
    """
    index = Index(folder, knobs["duplicates"]["near"])
    total = shards.count(source)
    tasks = [(source, number, folder, knobs, cells) for number in range(total)]
    processes = min(shards.workers(), total) or 1
    with Progress("clean", total) as progress:
        for one in shards.for_each(wash, tasks, processes=processes):
            index.add(one)
            progress.advance()
    return index


@dataclass(frozen=True)
class Verdict:
    """What repetition means for each record that was alive."""

    codes: Array  # int8: one of duplicates' verdicts, or NEAR
    clusters: Array  # int64: the first record of the cluster, or ALONE


def compare(index: Index, knobs: Knobs) -> Verdict:
    """Find exact and near-duplicates over all shards."""
    near, wanted = knobs["near"], {name: knobs[name] for name in ("exact", "contradictions")}
    if not index.washed:
        return Verdict(np.zeros(0, np.int8), np.zeros(0, np.int64))
    texts, labels = index.joined("texts"), index.joined("labels")
    codes = duplicates.exact(
        texts, labels, duplicates=wanted["exact"], contradictions=wanted["contradictions"]
    )
    stay = np.flatnonzero(codes == duplicates.STAYS)
    clusters = np.full(len(texts), ALONE)
    if near["enabled"] and len(stay):
        clusters[stay] = joined_clusters(index, texts, stay)
        if near["drop"]:
            inside = stay[clusters[stay] != ALONE]
            staying = duplicates.representatives(
                clusters[inside],
                labels[inside],
                keep=near["keep"],
                lengths=index.joined("lengths")[inside],
                times=index.joined("times")[inside],
            )
            codes[inside[~staying]] = NEAR
    return Verdict(codes, clusters)


def joined_clusters(index: Index, texts: Array, stay: Array) -> Array:
    """Return for each record that stays the first record of its cluster, or ``ALONE``."""
    first, which = duplicates.first_of_each(texts[stay])
    distinct = stay[first]
    search = family(index.near)
    with block_of_texts(index, distinct) as (data, offsets):
        alike = near_duplicates.similar(data, offsets, search, threads=shards.workers())
        bands = (
            np.fromfile(index.folder / f"band-{band:03}", np.uint32)[distinct]
            for band in range(search.bands)
        )
        leader = near_duplicates.clusters(len(distinct), bands, alike)
    mine = leader[which]
    size = np.bincount(mine, minlength=len(distinct))
    return np.where(size[mine] > 1, distinct[mine], ALONE)


@contextlib.contextmanager
def block_of_texts(index: Index, distinct: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the distinct texts as one block that lies on the disk, and where each starts."""
    lengths = index.joined("bytes")
    path = index.folder / "texts"
    offsets = np.zeros(len(distinct) + 1, np.int64)
    np.cumsum(lengths[distinct], out=offsets[1:])
    wanted = np.zeros(len(lengths), np.bool_)
    wanted[distinct] = True
    seen = 0
    with path.open("wb") as target:
        for number, one in enumerate(index.washed):
            part = index.folder / f"texts-{number:06}"
            data = np.frombuffer(part.read_bytes(), np.uint8)
            count = len(one.bytes)
            target.write(data[np.repeat(wanted[seen : seen + count], one.bytes)].tobytes())
            part.unlink()
            seen += count
    if not offsets[-1]:
        yield np.zeros(0, np.uint8), offsets
        return
    with path.open("rb") as source:
        mapping = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        yield np.frombuffer(mapping, np.uint8), offsets


def finished(index: Index, verdict: Verdict) -> Iterator[pa.Table]:
    """Yield each shard's records with their cluster and the reason to drop them, or null."""
    import pyarrow.parquet as pq

    texts = index.joined("texts") if index.washed else np.zeros(0, np.uint64)
    seen = 0
    for number, one in enumerate(index.washed):
        part = index.folder / f"part-{number:06}"
        table = pq.read_table(part)
        part.unlink()
        living = len(one.texts)
        here = slice(seen, seen + living)
        names = [
            None if leader == ALONE else f"{texts[leader]:016x}"
            for leader in verdict.clusters[here].tolist()
        ]
        dropped = [reason(code) for code in verdict.codes[here].tolist()]
        seen += living
        at = table.schema.get_field_index("dropped_by")
        table = table.append_column("cluster", spread(names, one.alive, [None] * one.rows))
        table = table.set_column(
            at, "dropped_by", spread(dropped, one.alive, table["dropped_by"].to_pylist())
        )
        yield table.select([*table.schema.names[:at], "cluster", "dropped_by"])


def reason(code: int) -> str | None:
    """Return the reason for a verdict, None for records that stay."""
    return reasons.NEAR_DUPLICATE if code == NEAR else REASON_OF.get(code)


def spread(values: Sequence[str | None], alive: Array, others: list[str | None]) -> pa.Array:
    """Return a column in which the living records have ``values`` and the rest ``others``."""
    import pyarrow as pa

    for at, value in zip(np.flatnonzero(alive).tolist(), values, strict=True):
        others[at] = value
    return pa.array(others, pa.string())


def report(
    index: Index, dropped: Counter[str], clusters: Counter[str], knobs: Knobs
) -> dict[str, Any]:
    """Return what was done: counts for every step and reason, samples without personal data."""
    rows = sum(one.rows for one in index.washed)
    samples = cleaning.Samples(knobs["samples"])
    for one in index.washed:
        samples.join(one.samples)
    return {
        "collected": rows,
        "kept": rows - dropped.total(),
        "dropped": dict(sorted(dropped.items())),
        "changed": dict(sorted(sum((one.changed for one in index.washed), Counter()).items())),
        "personal_data": dict(
            sorted(sum((one.personal for one in index.washed), Counter()).items())
        ),
        "clusters": {
            "clusters": len(clusters),
            "records": clusters.total(),
            "largest": max(clusters.values(), default=0),
        },
        "samples": samples.shown(knobs["personal_data"]["region"]),
    }
