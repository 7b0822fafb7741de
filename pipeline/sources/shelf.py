"""The folder in which answers of the web are kept: body and ``entry.json``, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from pipeline import artifacts
from pipeline.sources.headers import HEADER_VALUE

ENTRY = "entry.json"


@dataclass(frozen=True)
class Kept:
    """What ``entry.json`` says of a body; ``url`` is where it came from, without its query."""

    body: str
    url: str
    sha256: str
    bytes: int
    link: str
    etag: str
    last_modified: str


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``final`` when the block ends well.

    It does not wait for the disk as outputs of stages do: what a power cut damages differs from
    its sha256 and is fetched again, and an API can have thousands of pages.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    building = final.with_name(f".{final.name}.tmp-{os.getpid()}")
    with artifacts.disk_full_explained(final):
        try:
            building.mkdir()
            yield building
            shutil.rmtree(final, ignore_errors=True)
            building.rename(final)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def write_entry(folder: Path, kept: Kept) -> None:
    """Write what is known of a body beside it."""
    entry = asdict(kept) | {"fetched_at": datetime.now(UTC).isoformat(timespec="seconds")}
    text = json.dumps(entry, ensure_ascii=False, indent=2)
    (folder / ENTRY).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Kept | None:
    """Return what was kept of an answer; None if there is nothing or it is damaged."""
    try:
        entry = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        kept = Kept(**{each.name: entry[each.name] for each in fields(Kept)})
        tags = (kept.etag, kept.last_modified)  # they go into a request
        usable = all(tag == "" or HEADER_VALUE.fullmatch(tag) for tag in tags)
        whole = artifacts.sha256(folder / Path(kept.body).name) == kept.sha256
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if usable and whole else None


def tidy(shelf: Path, wanted: Collection[str] | None = None) -> None:
    """Remove what killed runs left half done, and all folders but the wanted ones."""
    for folder in shelf.iterdir() if shelf.is_dir() else ():
        left = re.fullmatch(r"\..+\.tmp-([0-9]+)", folder.name)
        if left:
            gone = not artifacts.is_alive(int(left[1]))
        else:
            gone = wanted is not None and folder.is_dir() and folder.name not in wanted
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
