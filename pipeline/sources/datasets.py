"""Folders that ``save_to_disk`` of the library datasets wrote.

They are read with pyarrow alone. ``load_from_disk`` would follow the paths that a folder names to
any file of the machine and import what it names as a format; and it maps whole files into memory,
which counts against the address space that a source may use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.artifacts import RAW
from pipeline.errors import SourceError, Text
from pipeline.i18n import _
from pipeline.sources import reading, tables
from pipeline.sources.delivery import Count, Delivery, Row, problem, shown
from pipeline.sources.file import joint_hash

if TYPE_CHECKING:
    import pyarrow as pa

MAX_STATE = 64 << 20  # bytes of a JSON file beside the data


class Wanted(Protocol):
    """A source of kind ``datasets``."""

    @property
    def path(self) -> str: ...
    @property
    def part(self) -> str | None: ...
    @property
    def columns(self) -> reading.Columns: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of a saved data set, or of one part of several.

    :raises SourceError: if the folder is none, is damaged, or names files outside of itself.
    """
    folder = part_of(Path(source.path), source.part)
    files = data_files(folder)
    count = Count()
    return Delivery(
        rows=rows(files, classes(parsed(folder / "dataset_info.json")), source.columns, count),
        count=count,
        bytes=sum(path.stat().st_size for path in files),
        sha256=joint_hash(files),
        files=files,
    )


def part_of(folder: Path, part: str | None) -> Path:
    """Return the folder of the part: below this one, or this one itself."""
    if not folder.is_dir():
        raise refused(folder, _("no folder"), _("Put it there, or correct the path."))
    if not (folder / "dataset_dict.json").is_file():
        split = parsed(folder / "state.json").get("_split")
        if part is not None and part != split:
            raise refused(
                folder,
                _("a data set without the part {part}", part=part),
                _("Set part to null, or name the folder that holds all parts."),
            )
        return folder
    splits = parsed(folder / "dataset_dict.json").get("splits")
    known = [one for one in splits if isinstance(one, str)] if isinstance(splits, list) else []
    chosen = known[0] if part is None and len(known) == 1 else part
    if chosen not in known:
        raise refused(
            folder,
            _("the parts {parts}", parts=shown(", ".join(known))),
            _("Name one of them as part."),
        )
    return inside(folder, chosen)


def data_files(folder: Path) -> list[Path]:
    """Return the Arrow files of one data set, in the order in which it goes through them."""
    state = parsed(folder / "state.json")
    if state.get("_indices_data_files"):
        raise refused(
            folder,
            _("rows in another order than their files"),
            _("Save it again with datasets 2.0 or newer."),
        )
    listed = state.get("_data_files")
    names = [one.get("filename") if isinstance(one, dict) else None for one in listed or []]
    if not names or not all(isinstance(name, str) for name in names):
        raise refused(folder / "state.json", _("no list of files"), _("Save the data set again."))
    return [inside(folder, str(name)) for name in names]


def inside(folder: Path, name: str) -> Path:
    """Return a file or folder that lies directly in a folder, and within ``data/raw``.

    :raises SourceError: for a name that leads elsewhere, and for a link.
    """
    path = folder / name
    if (
        Path(name).name != name
        or name in ("", "..")
        or not path.resolve().is_relative_to(RAW.resolve())
    ):
        raise refused(
            folder,
            _("the name {name}, which leads out of the folder", name=repr(name[:200])),
            _("Do not use this folder before you know who wrote it."),
        )
    if not path.exists():
        raise refused(path, _("no file"), _("Copy the whole folder again."))
    return path


def parsed(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a saved data set says."""
    try:
        if path.stat().st_size > MAX_STATE:
            raise ValueError(f"{path.stat().st_size} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise refused(
            path,
            _("no file"),
            _("Name a folder that save_to_disk wrote, or read its files as kind: file."),
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise refused(path, tables.first_line(error), _("Save the data set again.")) from None
    if not isinstance(content, dict):
        raise refused(path, _("no JSON object"), _("Save the data set again."))
    return content


def classes(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of each column's classes; the data hold only their numbers."""
    features = info.get("features")
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            found[column] = [str(name) for name in names] if isinstance(names, list) else []
    return found


def rows(
    files: Sequence[Path], names: Mapping[str, list[str]], columns: reading.Columns, count: Count
) -> Iterator[Row]:
    """Yield the records of each file."""
    for path in files:
        name = shown(str(path))
        for number, values in cells(batches(path, name), names, name, columns, count):
            where = f"{name}:{number}"
            yield from reading.mapped(values, where, name, number, columns, count)


def batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an Arrow stream, never the whole file at once."""
    import pyarrow as pa

    with (
        damage_explained(name),
        pa.OSFile(str(path)) as source,
        pa.ipc.open_stream(source) as stream,
    ):
        yield from stream


def cells(
    found: Iterable[pa.RecordBatch | pa.Table],
    names: Mapping[str, list[str]],
    name: str,
    columns: reading.Columns,
    count: Count,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row number and values of the wanted columns, with the names of classes.

    :param names: the classes of a column, by the column.
    """
    wanted, number = reading.named(columns), 0
    for batch in found:
        tables.refuse_odd_columns(batch.schema, wanted, name)
        with damage_explained(f"{name}:{number + 1}"):
            chosen = batch.select(list(dict.fromkeys(wanted)))
            chosen.validate(full=True)  # an offset that leads out of the file would end us all
            count.took(chosen.nbytes, name)
            values = tables.as_text(chosen).to_pylist()
        for one in values:
            number += 1
            count.read += 1
            yield (
                number,
                {
                    column: class_name(value, names.get(column), f"{name}:{number}")
                    for column, value in one.items()
                },
            )


def class_name(value: Any, names: list[str] | None, where: str) -> Any:
    """Return the name of a class for its number; -1 stands for none, other values stay."""
    if names is None or not isinstance(value, int):
        return value
    if value == -1:
        return None
    if not 0 <= value < len(names):
        raise problem(
            where,
            _("the class {number}", number=value),
            _("{count} classes, counted from 0", count=len(names)),
            _("Mend the data set where it comes from."),
        )
    return names[value]


@contextmanager
def damage_explained(where: str) -> Iterator[None]:
    """Give what pyarrow raises the name of the file.

    :raises SourceError: instead of it.
    """
    import pyarrow as pa

    try:
        yield
    except MemoryError:  # some of pyarrow's are an ArrowException too
        raise
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise problem(
            where,
            tables.first_line(error),
            _("a whole Arrow file"),
            _("Copy or save the data set again."),
        ) from None


def refused(where: Path, found: Text, fix: Text) -> SourceError:
    """Return the error for a folder that is no saved data set, or an odd one."""
    return problem(shown(str(where)), found, _("a folder that datasets' save_to_disk wrote"), fix)
