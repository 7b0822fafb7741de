"""What stands before Gradio: the few addresses that the page needs, with bounded bodies.

Gradio has many more addresses: it fetches other servers' files for a visitor, shows its programming
interface, connects run histories to a hub. None of them gets through here. Nor does a file that the
visitor has not uploaded: mounted below another application, Gradio 6.31 does not check that itself
(``processing_utils._check_allowed`` looks at ``has_launched``, which only ``launch()`` sets).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.service.demo.uploads import Uploads
from app.service.errors import (
    Busy,
    Invalid,
    NotAllowed,
    NotThere,
    Refusal,
    TooLarge,
    TooSlow,
    language_of,
    refused,
)
from pipeline.i18n import _

API = "/gradio_api"
FILE = f"{API}/file="
JOIN, UPLOAD = f"{API}/queue/join", f"{API}/upload"
READ = frozenset(
    {"/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json"}
    | {f"{API}/{name}" for name in ("queue/data", "upload_progress", "startup-events", "app_id")}
    | {f"{API}/theme.css"}
)
READ_BELOW = ("/assets/", "/static/", "/svelte/")
WRITTEN = frozenset({JOIN, UPLOAD, f"{API}/cancel", f"{API}/reset"})
DEEPEST = 20  # levels of what a page sends
SOON = 60.0  # seconds until there is room for files again


@dataclass(frozen=True)
class Bounds:
    """What a visitor may send."""

    question: int  # bytes
    upload: int  # bytes, with what surrounds the file
    seconds: float  # for a body to arrive


class Door:
    """The middleware around Gradio's application."""

    def __init__(self, app: ASGIApp, uploads: Uploads, bounds: Bounds) -> None:
        self.app, self.uploads, self.bounds = app, uploads, bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): one.decode("latin-1") for name, one in scope["headers"]}
        try:
            receive = await self.admitted(scope, receive, headers)
        except Refusal as error:
            answer = refused(error, language_of(headers.get("accept-language", "")))
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def admitted(self, scope: Scope, receive: Receive, headers: Mapping[str, str]) -> Receive:
        """Return what Gradio reads the request from.

        :raises Refusal: if the request is not for it.
        """
        method: str = scope["method"]
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if is_foreign(method, headers):
            raise NotAllowed.at(
                "Origin",
                found=_("a request from the page of another site"),
                allowed=_("requests from the service's own page"),
                fix=_("Open the page itself."),
            )
        if method in ("GET", "HEAD") and self.readable(path):
            return receive
        if method != "POST" or path not in WRITTEN:
            raise nothing_here(path)
        if path == UPLOAD:
            if self.uploads.full:
                raise no_room()
            return replayed(await self.body(receive, headers, self.bounds.upload), receive)
        body = await self.body(receive, headers, self.bounds.question)
        if path == JOIN:
            self.check(body)
        return replayed(body, receive)

    def readable(self, path: str) -> bool:
        """Return whether a visitor may read an address."""
        if path.startswith(FILE):
            return self.uploads.holds(path.removeprefix(FILE))
        return path in READ or path.rstrip("/") in READ or path.startswith(READ_BELOW)

    async def body(self, receive: Receive, headers: Mapping[str, str], most: int) -> bytes:
        """Return the body of a request.

        :param most: bytes.
        :raises TooLarge: as soon as there are more.
        :raises TooSlow: if it does not arrive in time, or not at all.
        """
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > most:
            raise too_large(most)
        body = bytearray()
        try:
            async with asyncio.timeout(self.bounds.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise too_slow(self.bounds.seconds)
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large(most)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise too_slow(self.bounds.seconds) from None

    def check(self, body: bytes) -> None:
        """Refuse a question that names a file which was not uploaded here, or an address.

        :raises Invalid: for that, and for what is no JSON or is nested too deeply.
        """
        try:
            level = [json.loads(body)]
        except (ValueError, RecursionError):
            raise no_question() from None
        for _depth in range(DEEPEST):
            inner: list[object] = []
            for one in level:
                if isinstance(one, dict):
                    if "path" in one and not self.uploads.holds(str(one["path"])):
                        raise no_question()
                    inner += one.values()
                elif isinstance(one, list):
                    inner += one
            level = inner
        if any(isinstance(one, dict | list) for one in level):
            raise no_question()


def is_foreign(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether the page of another site sent a request.

    A link from elsewhere may open the page; browsers give it no ``Origin`` (Fetch, 3.2).
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and method in ("GET", "HEAD"):
        return False
    if site:
        return site not in ("same-origin", "none")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already, and then what still comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def nothing_here(path: str) -> NotThere:
    """Return the refusal for an address that the page does not need."""
    return NotThere.at(
        path[:100],
        found=_("an address that the page does not have"),
        allowed=_("what the page itself asks for"),
        fix=_("Programs ask /predict; see /docs."),
    )


def no_room() -> Busy:
    """Return the refusal for a file while too many are there."""
    error = Busy.at(
        "file",
        found=_("no room for another file"),
        allowed=_("a few files at a time"),
        fix=_("Try again in a minute."),
    )
    error.retry_after = SOON
    return error


def too_large(most: int) -> TooLarge:
    """Return the refusal for a body of more than ``most`` bytes."""
    return TooLarge.at(
        "body",
        found=_("more than {limit} bytes", limit=most),
        allowed=_("up to {limit} bytes", limit=most),
        fix=_("Shorten the text, or split the file."),
    )


def too_slow(seconds: float) -> TooSlow:
    """Return the refusal for a body that does not arrive."""
    return TooSlow.at(
        "body",
        found=_("a part of it"),
        allowed=_("a whole body within {seconds} seconds", seconds=seconds),
        fix=_("Send it again."),
    )


def no_question() -> Invalid:
    """Return the refusal for what the page would not have sent."""
    return Invalid.at(
        "body",
        found=_("what the page does not send"),
        allowed=_("a question of the page, with files that were uploaded here"),
        fix=_("Programs ask /predict; see /docs."),
    )
