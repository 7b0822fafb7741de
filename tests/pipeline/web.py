"""A web of its own: names, addresses and servers that never leave the loopback.

Name resolution and ``connect`` are replaced. An address of the internet leads to the server that a
test puts there; any other address outside the loopback is refused and the test fails, so that
nothing can get out even where the guard is broken.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from pipeline.schema.web import HttpSource
from pipeline.sources import fetching

PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
Route = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test's routes say."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        web = cast("Server", self.server)
        web.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        with contextlib.suppress(OSError):  # the client hung up, as it should
            web.routes[self.path.partition("?")[0]](self)

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Send a proper answer; ``_`` in the name of a header stands for ``-``."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A real server on a free port of the loopback."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.port: int = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the server."""


@dataclass
class Web:
    """What names mean, where addresses lead, and what was asked of both."""

    server: Server
    names: dict[str, list[list[str]]] = field(default_factory=dict)  # one answer a look-up
    hosts: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)
    escaped: list[tuple[str, int]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def public(self, name: str, address: str = PUBLIC, port: int = 80) -> None:
        """Put the server behind a name of the internet."""
        self.names[name] = [[address]]
        self.hosts[address, port] = ("127.0.0.1", self.server.port)

    def resolve(self, host: Any, port: Any, *others: Any, **named: Any) -> list[Any]:
        """Stand in for ``socket.getaddrinfo``."""
        name = host.decode() if isinstance(host, bytes) else host
        try:
            addresses = [str(ipaddress.ip_address(name))]
        except ValueError:
            self.looked_up.append(name)
            answers = self.names.get(name)
            if not answers:
                raise socket.gaierror(-2, "Name or service not known") from None
            addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    def connect(self, one: socket.socket, address: Any, real: Callable[..., Any]) -> Any:
        """Stand in for ``socket.socket.connect``."""
        place = (str(address[0]), int(address[1]))
        if threading.current_thread() is threading.main_thread():
            self.connected.append(place)
        place = self.hosts.get(place, place)
        if not ipaddress.ip_address(place[0]).is_loopback:
            self.escaped.append(place)
            raise ConnectionRefusedError(111, "outside the loopback")
        return real(one, place)


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Return the web of a test; it fails if anything tried to leave it."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        made = Web(server)
        real, real_ex = socket.socket.connect, socket.socket.connect_ex
        monkeypatch.setattr(socket, "getaddrinfo", made.resolve)
        monkeypatch.setattr(socket.socket, "connect", lambda one, to: made.connect(one, to, real))
        monkeypatch.setattr(
            socket.socket, "connect_ex", lambda one, to: made.connect(one, to, real_ex)
        )
        monkeypatch.setattr(fetching, "pause", made.pauses.append)
        yield made
        server.shutdown()
        thread.join(5)
    assert made.escaped == []


COLUMNS = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
READER = {"format": "auto", "encoding": "auto", "pattern": None, "unmatched": "fail"}
READER |= {"members": "*", "sheet": None, "columns": COLUMNS}
SOURCE: dict[str, Any] = {
    "name": "web",
    "kind": "http",
    "licence": "made here",
    "permitted_use": "tests",
    "personal_data": False,
    "required": True,
    "limit": None,
    "label": None,
    "sample": "first",
    "answer": "file",
    "headers": {},
    "reader": READER,
    "chunks": {"size": None, "overlap": 0},
    "items": None,
    "next_page": None,
    "max_pages": 20,
    "requests_per_second": 1_000.0,
    "timeout": 0.3,
    "max_size": 1,
    "max_seconds": 5.0,
    "allowed_hosts": ["127.0.0.1"],
}


def source(url: str, **changes: Any) -> HttpSource:
    """Return a source as params.yaml would hold it."""
    return HttpSource.model_validate(SOURCE | {"url": url} | changes)
