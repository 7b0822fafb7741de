"""zip, tar and gz: the files inside, one by one, as bounded temporary files.

Nothing is unpacked under the name that the archive gives it, so no name can lead anywhere. Sizes
that headers state are not believed: bytes are counted as they come out.
"""

from __future__ import annotations

import bz2
import errno
import fnmatch
import gzip
import lzma
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import SourceError, Text
from pipeline.i18n import _
from pipeline.sources.delivery import Count, problem, shown

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2")
ENDINGS = (*TARS, ".zip", ".gz")
NESTED = (*ENDINGS, ".bz2", ".xz", ".7z", ".rar", ".zst")
MAX_MEMBERS = 10_000
CHUNK = 1 << 18  # bytes
BLOCK = 512  # bytes of a tar
ZIP_HEADER = 30  # bytes before a member's name
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, ValueError, OverflowError,
    NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_archive(path: Path) -> bool:
    """Return whether a file is one by its ending."""
    return path.name.lower().endswith(ENDINGS)


def unpacked(path: Path, name: str, pattern: str, count: Count) -> Iterator[tuple[str, Path]]:
    """Yield name and temporary place of each member that fits the pattern, in name order.

    :param name: how messages and records call the archive.
    :raises SourceError: for a damaged archive, and for one with members that lead elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="archive-") as folder:
        lower, taken = path.name.lower(), 0
        kind = from_zip if lower.endswith(".zip") else from_gzip
        kind = from_tar if lower.endswith(TARS) else kind
        for inside, place in kind(path, name, pattern, count, Path(folder)):
            taken += 1
            yield f"{name}/{inside}", place
            place.unlink()
    if not taken:
        raise problem(
            name,
            _("no file {pattern} inside", pattern=pattern),
            _("at least one"),
            _("Correct reader.members; * takes every file."),
        )


def from_zip(
    path: Path, name: str, pattern: str, count: Count, folder: Path
) -> Iterator[tuple[str, Path]]:
    """Yield the members of a zip."""
    with damage_explained(name):
        archive = zipfile.ZipFile(path)
    with archive:
        entries = archive.infolist()
        refuse_many(len(entries), name)
        for entry in entries:
            refuse_path(entry.orig_filename, name)
        files = [entry for entry in entries if not entry.is_dir()]
        refuse_twice([entry.filename for entry in files], name)
        refuse_overlap(entries, archive.start_dir, name)
        chosen = [entry for entry in files if is_wanted(entry.filename, pattern)]
        for entry in sorted(chosen, key=lambda one: one.filename):
            where = f"{name}/{shown(entry.filename)}"
            kind = stat.S_IFMT(entry.external_attr >> 16)
            refuse_member(entry.filename, where, regular=kind in (0, stat.S_IFREG))
            if entry.flag_bits & 1:
                raise unwanted(where, _("an encrypted file"))
            place = place_for(folder, entry.filename, 0)
            with damage_explained(where), archive.open(entry) as content:
                copy(content, place, where, count)
            yield shown(entry.filename), place


def from_tar(
    path: Path, name: str, pattern: str, count: Count, folder: Path
) -> Iterator[tuple[str, Path]]:
    """Yield the members of a tar, which is read once from its start to its end."""
    places: dict[str, Path] = {}
    with damage_explained(name), opened(path) as raw:
        source = Counted(raw, name, count)
        with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK) as archive:  # type: ignore[call-overload]
            for number, entry in enumerate(archive, 1):
                refuse_many(number, name)
                refuse_path(entry.name, name)
                if entry.isdir() or not is_wanted(entry.name, pattern):
                    continue
                where = f"{name}/{shown(entry.name)}"
                refuse_member(entry.name, where, regular=entry.isreg() and not entry.issparse())
                refuse_twice([*places, entry.name] if entry.name in places else [], name)
                places[entry.name] = place = place_for(folder, entry.name, number)
                content = archive.extractfile(entry)
                assert content is not None, "a regular file has content"
                copy(content, place, where, None)
            source.refuse_half(archive.offset)
    for inside, place in sorted(places.items()):
        yield shown(inside), place


def from_gzip(
    path: Path, name: str, pattern: str, count: Count, folder: Path
) -> Iterator[tuple[str, Path]]:
    """Yield the one file of a gz."""
    inside = path.name[: -len(".gz")]
    if is_wanted(inside, pattern):
        refuse_member(inside, name, regular=True)
        place = place_for(folder, inside, 0)
        with damage_explained(name), gzip.open(path) as content:
            copy(content, place, name, count)
        yield shown(inside), place


class Stream(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes: ...


class Counted:
    """A stream that counts what is read from it, and remembers where its last zeros begin."""

    def __init__(self, raw: Stream, name: str, count: Count) -> None:
        self.raw, self.name, self.count = raw, name, count
        self.length = self.filled = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, ``size`` at most."""
        chunk = self.raw.read(size)
        self.count.unpack(len(chunk), self.name)
        end = len(chunk.rstrip(b"\0"))
        self.filled = self.length + end if end else self.filled
        self.length += len(chunk)
        return chunk

    def refuse_half(self, stopped: int) -> None:
        """Read what is left, which checks it, and refuse a tar without the zeros at its end.

        :param stopped: byte at which no further member was found; tarfile does not say why.
        """
        while self.read(CHUNK):
            pass
        if self.filled > stopped or self.length - stopped < BLOCK:
            raise tarfile.ReadError("unexpected end of data")


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """Yield the bytes of a tar, decompressed by its ending."""
    lower = path.name.lower()
    opener: Any = gzip.open if lower.endswith((".gz", ".tgz")) else open
    opener = bz2.open if lower.endswith(".bz2") else opener
    with opener(path, "rb") as source:
        yield source


def copy(content: Stream, place: Path, where: str, count: Count | None) -> None:
    """Write a member to its temporary place, counting what comes out."""
    with place.open("wb") as target:
        while chunk := content.read(CHUNK):
            if count is not None:
                count.unpack(len(chunk), where)
            target.write(chunk)


def place_for(folder: Path, inside: str, number: int) -> Path:
    """Return a temporary file that keeps nothing of a member's name but a harmless ending."""
    ending = re.search(r"\.[A-Za-z0-9]{1,10}$", inside)
    return folder / f"member{number}{ending.group() if ending else ''}"


def is_wanted(inside: str, pattern: str) -> bool:
    """Return whether a member fits the pattern; what systems hide in archives never does."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in inside.split("/"))
    return not hidden and fnmatch.fnmatchcase(inside, pattern)


def refuse_path(inside: str, name: str) -> None:
    """Refuse an archive with a name that leads out of the folder it would be unpacked to."""
    parts = re.split(r"[/\\]", inside)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", inside) or "\0" in inside:
        raise unwanted(name, _("the path {path} inside", path=repr(shown(inside))))


def refuse_member(inside: str, where: str, *, regular: bool) -> None:
    """Refuse a member that is no plain file, or an archive itself."""
    if not regular:
        raise unwanted(where, _("a link, a device or another special file"))
    if inside.lower().endswith(NESTED):
        raise unwanted(where, _("an archive inside an archive"))


def refuse_many(number: int, name: str) -> None:
    """Refuse an archive with endless members."""
    if number > MAX_MEMBERS:
        raise problem(
            name,
            _("more than {limit} files inside", limit=MAX_MEMBERS),
            _("up to {limit}", limit=MAX_MEMBERS),
            _("Put the records into fewer, larger files."),
        )


def refuse_twice(names: Sequence[str], name: str) -> None:
    """Refuse an archive in which two members share a name."""
    twice = [inside for inside, times in Counter(names).items() if times > 1]
    if twice:
        raise unwanted(name, _("{path} twice", path=repr(shown(twice[0]))))


def refuse_overlap(entries: Sequence[zipfile.ZipInfo], end: int, name: str) -> None:
    """Refuse a zip whose members share bytes, which is how the smallest bombs are built.

    :param end: where the list of members begins.
    """
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    limits = [entry.header_offset for entry in ordered[1:]] + [end]
    for entry, limit in zip(ordered, limits, strict=True):
        if entry.header_offset + ZIP_HEADER + entry.compress_size > limit:
            raise unwanted(name, _("files that overlap each other"))


def unwanted(where: str, found: Text) -> SourceError:
    """Return the error for a member that no honest archive of records has."""
    return problem(
        where,
        found,
        _("plain files inside the archive"),
        _("Check where it comes from; unpack it by hand if you trust it."),
    )


@contextmanager
def damage_explained(where: str) -> Iterator[None]:
    """Turn whatever the readers of archives raise into one reason."""
    try:
        yield
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
            raise
        raise problem(
            where,
            _("a damaged archive ({reason})", reason=str(error)[:200] or type(error).__name__),
            _("a whole archive"),
            _("Copy or download the file again."),
        ) from error
