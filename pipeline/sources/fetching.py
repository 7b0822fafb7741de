"""One answer of the web, whole and checked, or a reason why not; what is unchanged is kept.

No proxy, no netrc, no cookies: a request carries the headers that the source names and nothing
else. Redirects are followed by hand, each through the guard.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urljoin

import httpcore2

from pipeline.errors import Problem, SourceError, Text
from pipeline.i18n import Message, _
from pipeline.sources import guard
from pipeline.sources.guard import Place
from pipeline.sources.headers import ending_of, header, seconds_asked, secret_headers
from pipeline.sources.shelf import Kept, load, whole_folder, write_entry
from pipeline.sources.unpacking import Decoder, UnfinishedError

TRIES = 3
HOPS = 3
BACK_OFF = 1.0  # seconds before the second try; doubled for the third
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (429, 500, 502, 503, 504)  # may be over at the next try


class Wanted(Protocol):
    """What a request needs to know of a source of kind ``http``."""

    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def requests_per_second(self) -> float: ...
    @property
    def timeout(self) -> float: ...
    @property
    def max_size(self) -> int: ...
    @property
    def max_seconds(self) -> float: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Slot:
    """Where an answer is kept, and how much of it at most."""

    folder: Path
    limit: int  # bytes, decoded
    ending: str | None  # of the file; None takes what address and type say


@dataclass(frozen=True)
class Body:
    """A whole answer on the disk; ``place`` is where it came from after redirects."""

    path: Path
    sha256: str
    bytes: int
    link: str
    place: Place


class Client:
    """Asks for answers, one at a time and not too fast.

    :raises SourceError: for an address that must not be asked or a variable that is not set.
    """

    def __init__(self, source: Wanted) -> None:
        self.source = source
        self.guard = guard.Guard(source.allowed_hosts)
        self.home = self.guard.place(source.url)
        self.headers = secret_headers(source.headers)
        self.backend = guard.Backend(self.guard)
        self.pool: httpcore2.ConnectionPool | None = None
        self.room = source.max_size * 1_000_000  # decoded bytes that may still come
        self.next_request = 0.0  # as time.monotonic tells it

    def __enter__(self) -> Self:
        self.pool = httpcore2.ConnectionPool(max_connections=1, network_backend=self.backend)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.pool:
            self.pool.close()

    def fetch(self, url: str, slot: Slot) -> Body:
        """Return an answer, the kept one if the server says that it is unchanged.

        :raises SourceError: naming the address without its query, the reason and what to do.
        """
        with self.secrets_hidden():
            body = self.tries(self.guard.place(url), slot)
        self.room -= body.bytes
        return body

    def follow(self, body: Body, address: str) -> str:
        """Return the whole address of the page that an answer names.

        :raises SourceError: for what must not be asked, or leaves https.
        """
        with self.secrets_hidden():
            return self.next_place(body.place, address).url

    def tries(self, start: Place, slot: Slot) -> Body:
        """Return the answer of the first try that comes to an end."""
        kept = load(slot.folder)
        for number in range(1, TRIES + 1):
            try:
                return self.attempt(start, slot, kept)
            except UnfinishedError as error:
                if number == TRIES:
                    raise problem(
                        start,
                        _("{reason}, at each of {count} tries", reason=error.reason, count=TRIES),
                        _("a whole answer"),
                        _("Check the address and the network, or try again later."),
                    ) from None
                own = BACK_OFF * 2 ** (number - 1) * random.uniform(0.5, 1.5)
                pause(min(own if error.wait is None else error.wait, self.source.max_seconds))
        raise AssertionError("the last try returned or raised")

    def attempt(self, start: Place, slot: Slot, kept: Kept | None) -> Body:
        """Return the answer of one try, after its redirects."""
        place, trusted = start, start.origin == self.home.origin
        self.backend.deadline = time.monotonic() + self.source.max_seconds
        for _hop in range(HOPS + 1):
            known = kept if kept and kept.url == guard.shown(place.url) else None
            with self.answer(place, trusted=trusted, kept=known) as response:
                if response.status in REDIRECTS:
                    place = self.next_place(place, header(response, "location"))
                    trusted = trusted and place.origin == self.home.origin
                    continue
                if response.status == 304 and known:
                    response.read()  # nothing, but the connection is free for the next request
                    if known.bytes > min(slot.limit, self.room):
                        raise self.too_large(place, slot.limit)
                    link = header(response, "link") or known.link
                    return Body(slot.folder / known.body, known.sha256, known.bytes, link, place)
                refuse(place, response)
                return self.keep(place, response, slot)
        raise problem(
            start,
            _("more than {count} redirects", count=HOPS),
            _("an address that leads to an answer"),
            _("Open the address in a browser and name the one where it ends."),
        )

    @contextlib.contextmanager
    def answer(
        self, place: Place, *, trusted: bool, kept: Kept | None
    ) -> Iterator[httpcore2.Response]:
        """Send one request and yield the answer, whose body is still to be read."""
        assert self.pool, "the client is used in a with statement"
        self.keep_pace()
        headers = {"accept": "*/*", "user-agent": "mofang"} | (self.headers if trusted else {})
        headers |= {"host": place.named_host, "accept-encoding": "gzip, deflate"}
        if kept and kept.etag:
            headers["if-none-match"] = kept.etag
        if kept and kept.last_modified:
            headers["if-modified-since"] = kept.last_modified
        url = httpcore2.URL(
            scheme=place.scheme, host=place.host, port=place.port, target=place.target
        )
        wait = self.source.timeout
        timeouts = {"timeout": {"connect": wait, "read": wait, "write": wait, "pool": wait}}
        with (
            self.explained(place),
            self.pool.stream(
                "GET", url, headers=list(headers.items()), extensions=timeouts
            ) as response,
        ):
            yield response

    def keep_pace(self) -> None:
        """Wait until the next request may be sent, which takes nothing off the answer's time."""
        now = time.monotonic()
        if self.next_request > now:
            self.backend.deadline += self.next_request - now
            pause(self.next_request - now)
        self.next_request = max(now, self.next_request) + 1 / self.source.requests_per_second

    @contextlib.contextmanager
    def explained(self, place: Place) -> Iterator[None]:
        """Turn what a connection raises into a reason: one that may pass, or the last word."""
        try:
            yield
        except httpcore2.TimeoutException:
            seconds = self.source.timeout
            if not self.backend.overdue:
                reason = _("no byte for {seconds} seconds", seconds=seconds)
                raise UnfinishedError(reason) from None
            raise problem(
                place,
                _("no whole answer in {seconds} seconds", seconds=self.source.max_seconds),
                _("an answer in time"),
                _("Try again later, or raise max_seconds."),
            ) from None
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
            cause = error.args[0] if error.args else None
            if not isinstance(cause, ssl.SSLCertVerificationError):
                raise UnfinishedError(str(error)) from None
            raise problem(
                place,
                _("a certificate that is not valid ({reason})", reason=cause.verify_message),
                _("a certificate of this host that a known authority signed"),
                _("Do not send anything there before you know why."),
            ) from None

    def next_place(self, place: Place, address: str) -> Place:
        """Return where an answer leads, after the whole guard.

        :raises SourceError: for what must not be asked, or leaves https.
        """
        try:
            url = urljoin(place.url, address.strip(" ")) if address else ""
        except ValueError:
            url = address
        try:
            following = self.guard.place(url.partition("#")[0])
        except SourceError as error:
            (found,) = error.problems
            way = _("a way to {address}: {found}", address=found.where, found=found.found)
            raise problem(place, way, found.allowed, found.fix) from None
        if (place.scheme, following.scheme) == ("https", "http"):
            raise problem(
                place,
                _("a way from https to http"),
                _("an encrypted connection to the end"),
                _("Open the address in a browser and name the one where it ends."),
            )
        return following

    def keep(self, place: Place, response: httpcore2.Response, slot: Slot) -> Body:
        """Write the answer to its folder, whole or not at all."""
        name = f"body{ending_of(place, response) if slot.ending is None else slot.ending}"
        with whole_folder(slot.folder) as building:
            digest, size = self.receive(place, response, building / name, slot.limit)
            kept = Kept(
                body=name,
                url=guard.shown(place.url),
                sha256=digest,
                bytes=size,
                link=header(response, "link"),
                etag=header(response, "etag"),
                last_modified=header(response, "last-modified"),
            )
            write_entry(building, kept)
        return Body(slot.folder / name, digest, size, kept.link, place)

    def receive(
        self, place: Place, response: httpcore2.Response, path: Path, limit: int
    ) -> tuple[str, int]:
        """Write a body to a file; return its sha256 and its size, decoded."""
        digest, size, raw = hashlib.sha256(), 0, 0
        decoder = Decoder(header(response, "content-encoding"), where(place))
        with path.open("wb") as sink:
            for chunk in response.iter_stream():
                raw += len(chunk)
                for piece in decoder.decoded(chunk):
                    size += len(piece)
                    if max(size, raw) > min(limit, self.room):  # empty streams have no end either
                        raise self.too_large(place, limit)
                    digest.update(piece)
                    sink.write(piece)
        decoder.finish()
        return digest.hexdigest(), size

    def too_large(self, place: Place, limit: int) -> SourceError:
        """Return the error for an answer beyond its limit, or beyond what is left for all."""
        if limit < self.room:
            return problem(
                place,
                _("a page of more than {limit} bytes", limit=limit),
                _("pages that fit into memory"),
                _("Ask for fewer records a page, or set answer to file."),
            )
        return problem(
            place,
            _("answers of more than {limit} MB", limit=self.source.max_size),
            _("up to max_size for all together, unpacked"),
            _("Check the address; raise max_size if the data are that large."),
        )

    @contextlib.contextmanager
    def secrets_hidden(self) -> Iterator[None]:
        """Take the values of the headers out of errors, should a server repeat them."""
        try:
            yield
        except SourceError as error:
            problems = []
            for each in error.problems:
                where, *rest = map(self.hidden, (each.where, each.found, each.allowed, each.fix))
                problems.append(Problem(str(where), *rest))
            raise SourceError(*problems) from None

    def hidden(self, text: Text) -> Text:
        """Return a text with the values of the headers replaced."""
        if isinstance(text, Message):
            texts = (str, Message)
            values = {
                name: self.hidden(value) if isinstance(value, texts) else value
                for name, value in text.values.items()
            }
            return Message(text.text, values)
        for value in self.headers.values():
            for secret in (value, *(piece for piece in value.split() if len(piece) >= 8)):
                text = text.replace(secret, "***")
        return text


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def refuse(place: Place, response: httpcore2.Response) -> None:
    """Refuse an answer that is none.

    :raises UnfinishedError: if the next try may get one.
    """
    status = response.status
    if status in PASSING:
        wait = seconds_asked(header(response, "retry-after"))
        raise UnfinishedError(_("status {status}", status=status), wait=wait)
    if status != 200:
        fix = _("Open the address in a browser, and correct it.")
        if status in (401, 403):
            fix = _("Check the environment variables that headers names.")
        raise problem(
            place, _("status {status}", status=status), _("status {status}", status=200), fix
        )


def where(place: Place) -> str:
    """Return a place as messages show it."""
    return guard.shown(place.url)


def problem(place: Place, found: Text, allowed: Text, fix: Text) -> SourceError:
    """Return the error for an answer."""
    return SourceError.at(where(place), found=found, allowed=allowed, fix=fix)
