"""What every request passes: host name, key, request number, headers, and a count at the end.

Plain ASGI around everything else, because it stands in the way of every prediction. Nothing that
goes wrong leaves it: every answer has the same headers and is counted.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.service import ids
from app.service.errors import (
    Busy,
    Refusal,
    UnknownHost,
    language_of,
    on_failure,
    refused,
)
from app.service.keys import EVERYBODY, Caller, Keys, Role, require
from app.service.metrics import OTHER, Metrics
from pipeline.i18n import _

VISIT = "mofang.visit"  # where a request's ``Visit`` stands in its scope
DEMO = "/demo"
OWN_NAMES = ("localhost", "127.0.0.1", "::1")
SOON = 1.0  # seconds after which fewer requests should be under way
LONGEST_CLIENT = 200  # characters of X-Client-Id that count

# Who may ask what; None stands for everybody, even without a key. What is not named here is refused
# to all but ``operate``, and a test holds that every route is named.
ROLES: Mapping[str, Role | None] = {
    "/health": None,
    "/v2/health/live": None,
    "/v2/health/ready": None,
    "/favicon.ico": None,
    "/": "predict",
    "/predict": "predict",
    "/feedback": "predict",
    "/model": "predict",
    "/docs": "predict",
    "/openapi.json": "predict",
    "/v2": "predict",
    DEMO: "predict",
    "/metrics": "operate",
}
PREFIXES = ("/v2/models/", f"{DEMO}/")  # below them what their first part says

SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# Answers to programs are no pages, and the pages take nothing from elsewhere.
STRICT = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
OWN = (
    b"default-src 'self' data: blob: 'unsafe-inline'; object-src 'none'; "
    b"base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)

logger = logging.getLogger("mofang.service")

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Visit:
    """What is known of a request before it is read."""

    id: str
    client: str  # who stays with one model: X-Client-Id, else the key's name, else the address
    payer: str  # whose rate counts: the key's name, else the address; no header changes it
    caller: Caller
    language: str  # of the reader, ``en`` or ``zh``
    version: str = ""  # of the release that answered
    paid: int = 0  # texts that were taken out of the payer's rate


def visit_of(request: Request) -> Visit:
    """Return what is known of a request."""
    visit: Visit = request.scope[VISIT]
    return visit


@dataclass(frozen=True)
class Hosts:
    """By which names the service may be called.

    A foreign web page can let its own name point to this machine and so read what is answered here
    (DNS rebinding). An address instead of a name cannot be such a page, so that any is allowed.
    """

    names: tuple[str, ...]  # ``*.example.org`` stands for all names below it

    @classmethod
    def of(cls, host: str, others: Iterable[str]) -> Hosts:
        """Return the names of a service that listens to ``host``."""
        return cls(tuple(one.lower() for one in (*OWN_NAMES, host, *others)))

    def check(self, header: str) -> None:
        """Refuse a foreign name.

        :param header: ``Host``, with or without a port.
        :raises UnknownHost: if it is none of the names.
        """
        name = name_in(header)
        if name in self.names or is_address(name):
            return
        if any(one.startswith("*.") and name.endswith(one[1:]) for one in self.names):
            return
        raise UnknownHost.at(
            "Host",
            found=name[:100] or _("no name"),
            allowed=", ".join(self.names),
            fix=_("Call it by one of these names, or add yours to serve.hosts in params.yaml."),
        )


def name_in(header: str) -> str:
    """Return the name of a ``Host`` header in lower case, without port and brackets."""
    header = header.strip().lower()
    if header.startswith("["):
        name, _bracket, port = header[1:].partition("]")
        return name if not port or port.startswith(":") else ""
    return header.partition(":")[0]


def is_address(name: str) -> bool:
    """Return whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Gate:
    """The middleware.

    :param keys: that are set; where there are none everybody may do everything.
    :param most: requests under way at once.
    :param quick: answers to POST, by path, that need nothing of what the framework does before it
        calls them; that is a third of what a prediction costs here.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        hosts: Hosts,
        metrics: Metrics,
        most: int,
        quick: Mapping[str, Answer],
    ) -> None:
        self.app, self.keys, self.hosts, self.metrics = app, keys, hosts, metrics
        self.most, self.inside = most, 0
        self.quick = quick

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            else:  # nothing here speaks over web sockets
                await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1"): one.decode("latin-1") for name, one in scope["headers"]}
        visit = scope[VISIT] = first_look(scope, headers)
        sender = Sender(send, visit, scope["path"])
        quick = self.quick.get(scope["path"]) if scope["method"] == "POST" else None
        self.inside += 1
        try:
            self.admit(scope, headers, visit)
            if quick is None:
                await self.app(scope, receive, sender)
            else:
                await (await quick(Request(scope, receive)))(scope, receive, sender)
        except Refusal as error:
            await sender.answer(refused(error, visit.language), scope, receive)
        except Exception as error:  # whatever it is, it is told in the same shape
            logger.exception("request %s failed", visit.id)
            await sender.answer(await on_failure(Request(scope), error), scope, receive)
        finally:
            self.inside -= 1
            seconds = time.perf_counter() - started
            route = route_of(scope) if quick is None else scope["path"]
            self.metrics.request(route, sender.status, visit.version, seconds)

    def admit(self, scope: Scope, headers: Mapping[str, str], visit: Visit) -> None:
        """Let a request in.

        :raises Busy: if too many requests are under way.
        :raises UnknownHost: if the service is not called so.
        :raises NoKey: if a key is needed and none is known.
        :raises NotAllowed: if the key's role does not reach so far.
        """
        if self.inside > self.most:
            raise too_many(self.most)
        self.hosts.check(headers.get("host", ""))
        if not self.keys:
            return
        role = role_for(scope["path"])
        if role is not None:
            visit.caller = self.keys.caller(headers)
            visit.payer = f"key {visit.caller.name}"
            if "x-client-id" not in headers:
                visit.client = visit.payer
            require(visit.caller, role)


class Sender:
    """Sends an answer with the headers that all have, and remembers its status."""

    def __init__(self, send: Send, visit: Visit, path: str) -> None:
        self.send, self.visit = send, visit
        self.status = 499  # the client went away before an answer, as nginx counts it
        self.started = False
        self.policy = OWN if path == DEMO or path.startswith(f"{DEMO}/") else STRICT

    async def __call__(self, message: Message) -> None:
        """Send."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            own = [*SAFE, (b"content-security-policy", self.policy)]
            own.append((b"x-request-id", self.visit.id.encode()))
            if self.visit.version:
                own.append((b"x-mofang-version", self.visit.version.encode()))
            if self.policy is STRICT:
                own.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self.send(message)

    async def answer(self, response: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Send a whole answer, unless another one has begun."""
        if not self.started:
            await response(scope, receive, self)


def too_many(most: int) -> Busy:
    """Return the refusal for a request beyond those that are under way."""
    error = Busy.at(
        "service",
        found=_("more than {limit} requests at once", limit=most),
        allowed=_("up to {limit}", limit=most),
        fix=_("Wait as long as the header Retry-After says, then send it again."),
    )
    error.retry_after = SOON
    return error


def first_look(scope: Scope, headers: Mapping[str, str]) -> Visit:
    """Return what is known of a request before anything is checked."""
    address = scope["client"][0] if scope.get("client") else ""
    return Visit(
        id=ids.new(),
        client=headers.get("x-client-id", "")[:LONGEST_CLIENT] or address,
        payer=address,
        caller=EVERYBODY,
        language=language_of(headers.get("accept-language", "")),
    )


def role_for(path: str) -> Role | None:
    """Return the role that a path needs; None for none."""
    if path in ROLES:
        return ROLES[path]
    return "predict" if path.startswith(PREFIXES) else "operate"


def route_of(scope: Scope) -> str:
    """Return a route as it is declared, never the path that a client made up."""
    path: str = scope["path"]
    if path == DEMO or path.startswith(f"{DEMO}/"):
        return DEMO  # the page has routes of its own below
    route = getattr(scope.get("route"), "path", None)
    return route if isinstance(route, str) else OTHER
