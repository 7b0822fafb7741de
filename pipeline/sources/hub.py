"""Data sets of the Hugging Face hub, at one exact commit; nothing of theirs is executed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from pipeline.errors import MofangError, SourceError, Text
from pipeline.i18n import _
from pipeline.sources import datasets, reading, tables
from pipeline.sources.delivery import Count, Delivery, Row, problem, shown

# Whose files are plain data. Others would decode, or even unpickle, what a stranger uploaded.
PLAIN = ("arrow", "csv", "json", "parquet", "text")
ON_HUB = "hf://datasets/"  # without it, a folder of the same name would be taken instead
BATCH = 1_000  # rows


class Wanted(Protocol):
    """A source of kind ``hub``."""

    @property
    def dataset(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def configuration(self) -> str | None: ...
    @property
    def part(self) -> str: ...
    @property
    def columns(self) -> reading.Columns: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of one part of a data set, read while they are taken.

    ``bytes`` and ``sha256`` are of the values taken: a commit names the rest.

    :raises SourceError: if the hub does not answer, lacks it, or holds more than plain data.
    """
    ask_the_hub()
    stream = opened(
        ON_HUB + source.dataset,
        configuration=source.configuration,
        part=source.part,
        revision=source.revision,
    )
    name = f"{source.dataset}@{source.revision[:12]}/{source.part}"
    delivery = Delivery(iter(()), Count(), 0, hashlib.sha256().hexdigest(), [])
    delivery.rows = rows(stream, name, source.columns, delivery)
    return delivery


def ask_the_hub() -> None:
    """Let the libraries use the network, because params say so; they still report nothing."""
    os.environ |= {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
    # Whatever of these is installed, the library would import: seconds, and gigabytes of addresses.
    os.environ |= {"USE_TORCH": "0", "USE_TF": "0", "USE_JAX": "0"}


def opened(place: str, *, configuration: str | None, part: str, revision: str | None) -> Any:
    """Return one part of a data set as a stream of Arrow tables.

    A stream needs neither the memory nor the disk that the whole would take.

    :param place: an address of the hub, or a folder with the same files when ``revision`` is None.
    """
    with trouble_explained(place), TemporaryDirectory() as empty:
        from datasets import disable_progress_bars, load_dataset_builder
        from datasets.utils.logging import set_verbosity
        from huggingface_hub.utils import logging as hub_logging

        disable_progress_bars()
        set_verbosity(logging.CRITICAL)
        hub_logging.set_verbosity(logging.CRITICAL)
        # From its usual cache the library would take any commit when the hub does not answer.
        builder = load_dataset_builder(place, configuration, revision=revision, cache_dir=empty)
        refuse_unsafe(builder, place, revision)
        return builder.as_streaming_dataset(split=part).with_format("arrow")


def refuse_unsafe(builder: Any, place: str, revision: str | None) -> None:
    """Refuse a data set that is more than plain data, or names files that are not its own.

    :raises SourceError: naming the kind, or the file.
    """
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in PLAIN:
        raise problem(
            place.removeprefix(ON_HUB),
            _("a data set of the kind {kind}", kind=kind),
            ", ".join(PLAIN),
            _("Take a data set of text."),
        )
    own = f"{place}@{revision}/" if revision else f"{Path(place).resolve()}/"
    files = [str(file) for files in (builder.config.data_files or {}).values() for file in files]
    foreign = [file for file in files if not file.startswith(own) or ".." in file.split("/")]
    if foreign:
        raise problem(
            place.removeprefix(ON_HUB),
            _("the file {file}", file=shown(foreign[0])),
            _("files of this commit only"),
            _("Take another data set: this one could change, or read files of this machine."),
        )


def rows(stream: Any, name: str, columns: reading.Columns, delivery: Delivery) -> Iterator[Row]:
    """Yield the records, keeping the delivery's hash and size up to date."""
    digest, count = hashlib.sha256(), delivery.count
    names = datasets.classes({"features": stream.features.to_dict() if stream.features else None})
    found = batches(stream, name)
    for number, values in datasets.cells(found, names, name, columns, count):
        line = json.dumps(values, ensure_ascii=True, default=str).encode()
        digest.update(line + b"\n")
        delivery.bytes += len(line) + 1
        delivery.sha256 = digest.hexdigest()
        yield from reading.mapped(values, f"{name}:{number}", name, number, columns, count)


def batches(stream: Any, name: str) -> Iterator[Any]:
    """Yield the tables of a stream."""
    with trouble_explained(name):
        yield from stream.iter(BATCH)


@contextmanager
def trouble_explained(place: str) -> Iterator[None]:
    """Give what the libraries raise the name of the data set, and say what to do.

    :raises SourceError: instead of any other exception.
    """
    try:
        yield
    except (MofangError, MemoryError):
        raise
    except Exception as error:  # the hub's content decides which
        raise explained(error, place) from None


def explained(error: Exception, place: str) -> SourceError:
    """Return the error for what a library says about a data set."""
    reason = f"{type(error).__name__}: {tables.first_line(error)[:300]}"
    if type(error).__name__ in ("DatasetNotFoundError", "RevisionNotFoundError"):
        return trouble(
            place,
            _("no such data set or commit, or none that you may see"),
            _("Check name and revision. For a private data set, set HF_TOKEN."),
        )
    if type(error) is ValueError:
        return trouble(
            place, reason, _("Correct configuration or part; the message names those there are.")
        )
    at_network = type(error).__module__.partition(".")[0] in ("httpx", "httpcore")
    if at_network or isinstance(error, OSError) or "client has been closed" in str(error):
        return trouble(
            place,
            _("no answer from the hub ({reason})", reason=reason),
            _("Check the network and try again. Without one, save the data set with save_to_disk "
              "elsewhere, copy the folder below data/raw and use kind: datasets."),
        )  # fmt: skip
    return trouble(place, reason, _("Take another data set, or another commit of it."))


def trouble(place: str, found: Text, fix: Text) -> SourceError:
    """Return the error for a data set that cannot be taken."""
    return problem(place.removeprefix(ON_HUB), found, _("a data set that the hub hands out"), fix)
