"""By what it is seen that a file is another one, and small files that are read only then.

What a reader here returns is the same object for all who ask, so nobody may change it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pipeline.errors import DataError
from pipeline.i18n import _

if TYPE_CHECKING:
    from pipeline.params import Params

LARGEST_JSON = 64 * 1024 * 1024  # bytes; a report has some ten thousand
KEPT = 64  # JSON files


class Stamp(NamedTuple):
    """What changes when a file does."""

    path: str
    modified: int  # nanoseconds
    size: int  # bytes
    inode: int  # another one where the file was replaced within the clock's tick


Stamps = tuple[Stamp | None, ...]  # of several files; also what stands for them elsewhere


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return Stamp(str(path), state.st_mtime_ns, state.st_size, state.st_ino)


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """Return the stamps of several files."""
    return tuple(stamp_of(path) for path in paths)


def content(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file says; None where there is no file.

    :raises DataError: if it is damaged, or larger than any report.
    """
    stamp = stamp_of(path)
    return None if stamp is None else content_of(stamp)


def readable(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file says; None also where it is damaged."""
    try:
        return content(path)
    except DataError:
        return None


@functools.lru_cache(maxsize=KEPT)
def content_of(stamp: Stamp) -> dict[str, Any] | None:
    """Read a JSON file."""
    if stamp.size > LARGEST_JSON:
        raise damaged(stamp.path, _("{size} bytes", size=stamp.size))
    try:
        found = json.loads(Path(stamp.path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(stamp.path, str(error)) from error
    if not isinstance(found, dict):
        raise damaged(stamp.path, _("no JSON object"))
    return found


def parsed(text: str | bytes | None) -> dict[str, Any] | None:
    """Return the JSON object of a text; None where it holds none, as when it is half written."""
    try:
        found = json.loads(text or b"")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def params(path: Path) -> Params:
    """Return a ``params.yaml`` as it is saved now.

    :raises ParamsError: if it is missing or not what the schema allows.
    """
    from pipeline.params import load

    stamp = stamp_of(path)
    return load(path) if stamp is None else params_of(stamp)


@functools.lru_cache(maxsize=4)
def params_of(stamp: Stamp) -> Params:
    """Read and check a ``params.yaml``, which takes a tenth of a second."""
    from pipeline.params import load

    return load(Path(stamp.path))


def damaged(path: object, found: Any) -> DataError:
    """Return the error for a file that cannot be read."""
    return DataError.at(
        path,
        found=found,
        allowed=_("a whole file that a stage wrote"),
        fix=_("Run dvc repro, which writes it again."),
    )
