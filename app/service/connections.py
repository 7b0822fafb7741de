"""Connections that must not last: heads of requests that do not arrive, bodies that do not end.

uvicorn waits for both as long as somebody likes, and a few thousand such connections are all that
a machine has. Beyond a number of them, which nothing but ill will reaches, further ones are closed;
uvicorn's own limit would write a line into the log for each, and answer without ``Retry-After``.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_UNREAD = 64 * 1024 * 1024  # bytes of a body that is read and thrown away after a refusal
LARGEST_HEAD = 256 * 1024  # bytes of a request before its body; uvicorn keeps whatever comes


class Patient(HttpToolsProtocol):
    """HTTP over one connection, with an end to patience."""

    seconds = 10.0  # for the head of a request
    most = 4_096  # connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        self._impatient: TimerHandle | None = None
        self._unread = self._head = 0
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless this is a head without an end."""
        if self._impatient is not None:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.transport.abort()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Wait for the rest of a request's head."""
        self._unread = self._head = 0
        if self._impatient is None:
            self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what comes after the answer."""
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > MOST_UNREAD:
                self.transport.abort()
                return
        super().on_body(body)

    def _wait(self) -> None:
        self._impatient = self.loop.call_later(self.seconds, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None


def patient(seconds: float, most: int) -> type[Any]:
    """Return the protocol with other bounds.

    :param seconds: for the head of a request.
    :param most: connections.
    """
    return type("Patient", (Patient,), {"seconds": seconds, "most": most})
