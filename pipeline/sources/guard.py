"""Which addresses of the web may be asked: http or https, of public hosts, looked up once.

An address is taken apart in one place, and what was judged is what is connected to. A name is
looked up once a connection; every address of the answer has to be public, and the connection goes
to one of just these, so that neither a redirect nor a second answer of the name server leads
elsewhere. TLS is still verified against the name.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import httpcore2

from pipeline.errors import SourceError, Text
from pipeline.i18n import _

PORTS = {"http": 80, "https": 443}
MAX_URL = 8_000  # characters
TRIED = 4  # addresses of one name
KEPT = "!#$%&'()*+,/:;=?@[]~"  # characters that an address may hold beside letters and digits
LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# They hand out the credentials of the machine that asks, so not even a listed host may be one.
METADATA_NAMES = {
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.tencentyun.com",
}
METADATA = {
    ipaddress.ip_address(address)
    for address in (
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "169.254.0.23",  # Tencent
        "169.254.169.253",  # Amazon's name server
        "169.254.169.254",  # nearly all
        "169.254.170.2",  # Amazon's containers
        "169.254.170.23",
        "192.0.0.192",  # Oracle
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",  # Google
    )
}
# What Python's is_global takes for public although nobody on the internet can be there.
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")
]
UNICAST = ipaddress.IPv6Network("2000::/3")  # all that was ever given out
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
TUNNELLED = 0x5EFE  # RFC 5214: stands before an IPv4 address in the last 64 bits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Place:
    """An address of the web, taken apart; ``target`` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what has to stay the same for a header with a secret to be sent."""
        return self.scheme, self.host, self.port

    @property
    def named_host(self) -> str:
        """Return the host as the header Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the whole address."""
        return f"{self.scheme}://{self.named_host}{self.target}"


class Guard:
    """Judges addresses; the listed hosts, and no others, may be private and have any port."""

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        listed = {host: plain_host(host.strip("[]")) for host in allowed_hosts}
        self.allowed = {plain for plain in listed.values() if plain is not None}
        problems = [no_host(host).problems for host, plain in listed.items() if plain is None]
        if problems:
            raise SourceError(*chain.from_iterable(problems))

    def place(self, url: str) -> Place:
        """Take an address apart.

        :raises SourceError: for one that must not be asked.
        """
        parts = split(url)
        if parts.scheme not in PORTS:
            raise refused(url, _("the scheme {scheme}", scheme=repr(parts.scheme)))
        if "@" in parts.netloc:
            raise refused(url, _("a name or password before the host"))
        host = plain_host(parts.hostname or "")
        if host is None:
            raise refused(url, _("no proper host name"))
        port = port_of(url, parts)
        if port not in PORTS.values() and host not in self.allowed:
            raise refused(url, _("the port {port}", port=port))
        literal = literal_of(host)
        if literal is not None:
            self.judge(url, host, literal)
        elif host in METADATA_NAMES or NUMBER.fullmatch(host.rpartition(".")[2]):
            raise refused(url, _("the host {host}", host=repr(host)))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Place(parts.scheme, host, port, quote(target, safe=KEPT))

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Look a host up, once.

        :raises SourceError: if any of its addresses must not be asked.
        :raises OSError: if it has none.
        """
        answer = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        found = dict.fromkeys(str(entry[4][0]) for entry in answer)
        for address in found:
            self.judge(host, host, ipaddress.ip_address(address))
        return list(found)

    def judge(self, where: str, host: str, address: Address) -> None:
        """Refuse an address that is not public, unless its host is listed."""
        inner = {address, *embedded(address)}
        if inner & METADATA:
            raise refused(where, _("an address that hands out a machine's credentials"))
        if host not in self.allowed and not all(is_public(each) for each in inner):
            raise refused(where, _("the address {address}, which is not public", address=address))


class Backend(httpcore2.NetworkBackend):
    """Connects to what the guard lets through, and until ``deadline`` only."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.deadline = math.inf  # as time.monotonic tells it
        self.direct = httpcore2.SyncBackend()

    @property
    def overdue(self) -> bool:
        """Return whether the time for the whole answer is over."""
        return time.monotonic() >= self.deadline

    def left(self, timeout: float | None) -> float:
        """Return how long one wait may be, in seconds."""
        left = min(math.inf if timeout is None else timeout, self.deadline - time.monotonic())
        if left <= 0:
            raise httpcore2.ReadTimeout("the time for the whole answer is over")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Look the host up, judge it and connect to the first address that answers."""
        try:
            addresses = self.guard.addresses(host, port)[:TRIED]
        except OSError as error:
            raise httpcore2.ConnectError(error) from None
        failure: Exception = httpcore2.ConnectError(f"no address of {host}")
        for address in addresses:
            wait = self.left(timeout) / len(addresses)
            try:  # the backend gets numbers, so that it looks nothing up
                return Stream(self.direct.connect_tcp(address, port, timeout=wait), self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class Stream(httpcore2.NetworkStream):
    """A connection on which nothing waits beyond the deadline of the backend."""

    def __init__(self, inner: httpcore2.NetworkStream, backend: Backend) -> None:
        self.inner, self.backend = inner, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return some bytes; none at the end."""
        return self.inner.read(max_bytes, self.backend.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        self.inner.write(buffer, self.backend.left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self.inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Return the connection as an encrypted one, its certificate verified."""
        wait = self.backend.left(timeout)
        return Stream(self.inner.start_tls(ssl_context, server_hostname, wait), self.backend)

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection tells about itself."""
        return self.inner.get_extra_info(info)


def split(url: str) -> SplitResult:
    """Return the parts of an address; what readers of addresses disagree about is refused."""
    if len(url) > MAX_URL:
        raise refused(url, _("an address of {count} characters", count=len(url)))
    if "\\" in url or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise refused(url, _("white space, a control character or a backslash"))
    try:
        return urlsplit(url)
    except ValueError:
        raise refused(url, _("no proper host name")) from None


def port_of(url: str, parts: SplitResult) -> int:
    """Return the port that an address names or its scheme has."""
    try:
        stated = parts.port
    except ValueError:
        raise refused(url, _("a port that is no number up to 65535")) from None
    return PORTS[parts.scheme] if stated is None else stated


def plain_host(host: str) -> str | None:
    """Return a host in the one form in which hosts are compared, None if it is no host."""
    literal = literal_of(host)
    if literal is not None:
        return str(literal)
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return None
    return name if len(name) <= 253 and LABELS.fullmatch(name) else None


def literal_of(host: str) -> Address | None:
    """Return the address that a host is in its usual form; 127.1, 0x7f.1 and 2130706433 are not."""
    try:
        return ipaddress.ip_address(host) if "%" not in host else None
    except ValueError:
        return None


def embedded(address: Address) -> Iterable[Address]:
    """Yield the IPv4 addresses that an IPv6 address stands for on its way."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    number = int(address)
    last = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in TRANSLATED or number >> 32 == 0 or (number >> 32) & 0xFFFF == TUNNELLED:
        yield last


def is_public(address: Address) -> bool:
    """Return whether an address belongs to a host of the internet."""
    if any(address in network for network in NOT_PUBLIC if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    if address in TRANSLATED:
        return True  # the address inside is judged as well
    return address.is_global and address in UNICAST


def shown(url: str) -> str:
    """Return an address as messages show it: no query, which may hold secrets, and no password."""
    scheme, found, rest = url.partition("://")
    if not found:
        return re.split(r"[?#]", url, maxsplit=1)[0][:200]
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"[:200]


def no_host(found: str) -> SourceError:
    """Return the error for a listed host that is none."""
    return SourceError.at(
        "params.yaml, allowed_hosts",
        found=repr(found),
        allowed=_("a host name or an address, without scheme and port"),
        fix=_("Correct it, as in intranet.example.org or 10.0.0.7."),
    )


def refused(where: str, found: Text) -> SourceError:
    """Return the error for an address that must not be asked."""
    return SourceError.at(
        shown(where),
        found=found,
        allowed=_("http or https, port 80 or 443, of a public address"),
        fix=_("Correct the address; a private host has to stand under allowed_hosts."),
    )
