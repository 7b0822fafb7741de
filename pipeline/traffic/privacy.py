"""Who asked and what: keyed hashes, masked texts, and how either is forgotten.

A hash without its key is guessed easily, there being few clients and many common texts. The key is
a file of its own, so that a copy of the database alone tells nobody's name. Whoever deletes the key
makes all earlier hashes meaningless.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, delete, func, select

from pipeline.artifacts import sync
from pipeline.errors import StorageError
from pipeline.i18n import _
from pipeline.steps import personal
from pipeline.traffic.address import FOLDER, aside_of, file_of
from pipeline.traffic.database import tidy, writing
from pipeline.traffic.tables import HASH, feedback, predictions, requests
from pipeline.traffic.troubles import explained

if TYPE_CHECKING:
    from pipeline.schema.traffic import Traffic

KEY_FILE = "secret"  # below var
SECRET_BYTES = 32
OWNER_ONLY = 0o600
REPLACEMENT = "\ufffd"  # U+FFFD, for what no database takes: NUL and half of a surrogate pair


@dataclass(frozen=True)
class Hasher:
    """Names for texts and clients that tell nothing without the key."""

    key: bytes

    def text(self, text: str) -> str:
        """Return the hash of a text as it came."""
        return self._of("text", text)

    def client(self, client: str) -> str:
        """Return the hash of a client; a text of the same letters has another one."""
        return self._of("client", client)

    def _of(self, kind: str, content: str) -> str:
        message = f"{kind}\0{content}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, message, "sha256").hex()[:HASH]


def secret(root: Path) -> bytes:
    """Return the key of the hashes; made when there is none, readable by its owner alone.

    :param root: the project's folder.
    :raises StorageError: if it cannot be read or made, or is no key.
    """
    path = root / FOLDER / KEY_FILE
    try:
        if not path.exists():
            make_secret(path)
        if path.stat().st_mode & 0o777 != OWNER_ONLY:
            path.chmod(OWNER_ONLY)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise no_secret(path, str(getattr(error, "strerror", "") or error)) from None
    if len(key) < SECRET_BYTES:
        raise no_secret(path, f"{len(key)} B")
    return key


def make_secret(path: Path) -> None:
    """Write a new key, whole; where another process is faster, its key stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY)
        with os.fdopen(handle, "w", encoding="ascii") as target:
            target.write(secrets.token_hex(SECRET_BYTES) + "\n")
            target.flush()
            os.fsync(target.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def no_secret(path: Path, found: str) -> StorageError:
    """Return the error for a key that cannot be used."""
    return StorageError.at(
        path,
        found=found,
        allowed=_("{count} random bytes in hexadecimal", count=SECRET_BYTES),
        fix=_("Put the file back, or delete it: then earlier hashes mean nothing any more."),
    )


def storable(text: str) -> str:
    """Return a text that every database takes, with U+FFFD for NUL and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(REPLACEMENT if "\ud800" <= one <= "\udfff" else one for one in text)
    return text


def kept(text: str, knobs: Traffic) -> str:
    """Return what is kept of a text: masked, then cut, so that no cut makes half a number of it."""
    return masked(text, knobs.mask, knobs.region)[: knobs.characters]


def masked(text: str, kinds: Sequence[str], region: str) -> str:
    """Return a storable text without personal data of these kinds."""
    return personal.mask(storable(text), kinds=kinds, region=region)


def forget(
    engine: Engine,
    request_id: str | None = None,
    *,
    client: str | None = None,
    root: Path = Path(),
) -> dict[str, int]:
    """Delete a request, or all of a client's, with answers and feedback; and what they said.

    Rows are overwritten on disk. Backups, and the server's own log on PostgreSQL, are not.

    :param client: as the service names it: ``X-Client-Id``, the name of a key, or an address.
    :param root: the project's folder, where the key of the hashes is.
    :returns: how many rows of ``requests``, ``predictions`` and ``feedback`` went.
    :raises StorageError: if the database does not allow it.
    :raises ValueError: without a request and without a client.
    """
    if (request_id is None) == (client is None):
        raise ValueError("a request's id or a client")
    name = Hasher(secret(root)).client(client) if client is not None else None
    mine: Any = requests.c.client == name if name is not None else requests.c.id == request_id
    numbers = select(requests.c.number).where(mine)
    said: Any = feedback.c.request.in_(numbers)
    if name is not None:  # they may have judged an answer that somebody else got
        said = said | (feedback.c.client == name)
    of_requests = predictions.c.request.in_(numbers)
    counts = {}
    with explained(engine):
        with writing(engine) as connection:
            # Counted by hand: rows that go with their request are in no driver's count.
            for table, which in ((feedback, said), (predictions, of_requests), (requests, mine)):
                found = select(func.count()).select_from(table).where(which)
                counts[table.name] = int(connection.execute(found).scalar_one())
                connection.execute(delete(table).where(which))
        tidy(engine)
        path = file_of(engine)
        if path is not None:  # nobody knows what a damaged database holds
            aside_of(path).unlink(missing_ok=True)
    return counts
