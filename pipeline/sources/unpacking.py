"""Compressed answers of the web, unpacked in steps of a bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from pipeline.errors import SourceError, Text
from pipeline.i18n import _

STEP = 1 << 18  # bytes that come out at a time
GZIP = zlib.MAX_WBITS + 16
NAMES = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class UnfinishedError(Exception):
    """A try that failed for a reason that may pass.

    :param wait: seconds that the server asks for.
    """

    def __init__(self, reason: Text, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class Decoder:
    """Takes the bytes of an answer as they come, gives what they stand for.

    :param encoding: the header Content-Encoding.
    :raises SourceError: for one that was never asked for.
    """

    def __init__(self, encoding: str, where: str) -> None:
        name = NAMES.get(encoding.strip().lower())
        if name is None:
            raise SourceError.at(
                where,
                found=_("the encoding {encoding}", encoding=repr(encoding[:40])),
                allowed="gzip, deflate",
                fix=_("Name another address of the same data."),
            )
        self.name = name
        self.start = b""  # bytes that came before there were enough to know the format
        self.inner: Any = None  # zlib has no name for its type

    def decoded(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk stands for, at most ``STEP`` bytes at a time.

        :raises UnfinishedError: if the bytes are damaged.
        """
        if not self.name:
            yield chunk
            return
        pending = self.start + chunk
        if self.inner is None and len(pending) < 2:
            self.start = pending
            return
        self.start = b""
        try:
            yield from self.unpacked(pending)
        except zlib.error as error:
            reason = _("damaged compressed bytes ({reason})", reason=str(error))
            raise UnfinishedError(reason) from None

    def unpacked(self, pending: bytes) -> Iterator[bytes]:
        """Yield what compressed bytes stand for; gzip may hold several streams in a row."""
        piece = b""
        while pending or len(piece) == STEP:  # a full piece: more may wait inside
            if self.inner is None or (self.inner.eof and self.name == "gzip" and pending):
                self.inner = zlib.decompressobj(self.window(pending))
            if self.inner.eof and pending:
                raise zlib.error("bytes after the end")
            piece = self.inner.decompress(pending, STEP)
            yield piece
            pending = self.inner.unused_data if self.inner.eof else self.inner.unconsumed_tail

    def window(self, pending: bytes) -> int:
        """Return how zlib is told the format; deflate goes with and without a frame (RFC 9110)."""
        if self.name == "gzip":
            return GZIP
        framed = pending[0] & 15 == zlib.DEFLATED and int.from_bytes(pending[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS

    def finish(self) -> None:
        """Check that the last byte was the last.

        :raises UnfinishedError: if the compressed bytes are cut off.
        """
        if self.start or (self.inner is not None and not self.inner.eof):
            raise UnfinishedError(_("compressed bytes that are cut off"))
