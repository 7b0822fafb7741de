"""Requests that nobody means well, secrets, personal data, ports: what is refused, and how fast."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.served import ENDING, Service, until

pytestmark = pytest.mark.e2e
QUICK = 0.1  # seconds in which it is refused, or answered
TRIES = 5  # of which the quickest counts: others use the machine, too
SECRET, OTHER = "sentinel-7f3a9c1e55d04b2a", "sentinel-0b6d2e8f91c74a3d"


def body(inputs: object) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


HOSTILE = {
    "ten megabytes": body("a" * 10_000_000),
    "ten megabytes of texts": body(["password " * 10] * 100_000),
    "ten thousand texts": body(["hello password"] * 10_000),
    "a long text": body("password " * 5_000),
    "no text": body(""),
    "white space": body(" \n\t "),
    "emoji": body("👍🏽👩‍👩‍👧‍👦 password"),
    "a lone surrogate": b'{"inputs": "a \\ud83d password"}',
    "nul": body("a\x00b password"),
    "control characters": body("\x1b[31mred\x07\r\nforged line \u202e password"),
    "no list": body([]),
    "a number": body(7),
    "nested": body([["hello"]]),
    "an object": body({"text": "hello"}),
    "null": b"null",
    "nothing": b"",
    "no json": b"{inputs: hello",
    "no utf-8": b'{"inputs": "\xff\xfe\xc3"}',
    "deep": b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a large number": b'{"inputs": "hello", "parameters": {"top_k": 1e999}}',
    "many digits": b'{"inputs": "hello", "parameters": {"top_k": ' + b"9" * 100_000 + b"}}",
    "below nothing": b'{"inputs": "hello", "parameters": {"top_k": -1}}',
    "not a number": b'{"inputs": "hello", "parameters": {"top_k": NaN}}',
    "twice": b'{"inputs": "hello", "inputs": ["hello"]}',
    "marks of markup": body("<script>alert(1)</script> </s> [SEP] {{7*7}} ${7*7} ' OR 1=1 --"),
}
TOO_LARGE = ("ten megabytes", "ten megabytes of texts", "ten thousand texts", "a long text")
ANSWERED = ("emoji", "control characters", "marks of markup")


@pytest.fixture(scope="module")
def service(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; none of them must change it."""
    folder = tmp_path_factory.mktemp("hostile")
    copied(released, folder)
    with Service(folder) as service:
        for _warm in range(20):
            service.ask()
        yield service


def copied(released: Path, folder: Path) -> None:
    shutil.copytree(released / "releases", folder / "releases")


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_or_answered_at_once(service: Service, name: str) -> None:
    seconds = []
    for _try in range(TRIES):
        began = time.perf_counter()
        answer = service.client.post(
            "/predict", content=HOSTILE[name], headers={"Content-Type": "application/json"}
        )
        seconds.append(time.perf_counter() - began)
    assert answer.status_code in ((200,) if name in ANSWERED else (200, 400, 413, 422)), answer.text
    if name in TOO_LARGE:
        assert answer.status_code in (413, 422)
    if answer.status_code != 200:
        assert {"code", "message", "hint"} == set(answer.json()["error"])
        assert len(answer.content) < 5_000, "what was sent is not sent back"
    assert min(seconds) < QUICK, seconds
    assert service.ask().status_code == 200


def test_a_body_that_does_not_say_its_size_is_counted(service: Service) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"inputs": "'
        for _chunk in range(1_000):
            yield b"a" * 10_000

    began = time.perf_counter()
    kind = {"Content-Type": "application/json"}
    answer = service.client.post("/predict", content=endless(), headers=kind)
    assert answer.status_code == 413
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"NONSENSE\r\n\r\n",
    ],
)
def test_what_is_no_request_breaks_nothing(service: Service, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(raw)
        answer = connection.recv(4_096)
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")), answer
    assert b"root:" not in answer
    assert service.ask().status_code == 200


def test_a_foreign_name_is_refused(service: Service) -> None:
    """A page of somebody else whose name was made to point here reads nothing (DNS rebinding)."""
    answer = service.client.post(
        "/predict", json={"inputs": "hello"}, headers={"Host": "evil.example"}
    )
    assert answer.status_code in (400, 403, 421)
    given = service.client.options(
        "/predict",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in given.headers


def test_no_port_is_open_but_the_one_asked_for(service: Service) -> None:
    own = psutil.Process(service.process.pid)
    listening = [
        one.laddr
        for process in (own, *own.children(recursive=True))
        for one in process.net_connections("inet")
        if one.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    ]
    assert listening == [("127.0.0.1", service.port)]


def test_a_forged_line_does_not_come_into_the_log(service: Service) -> None:
    before = len(service.log.splitlines())
    raw = (
        b"GET /nothing%0d%0aINFO%20forged\x1b[31m HTTP/1.1\r\nHost: localhost\r\n"
        b"X-Client-Id: a\x1b[31mb\r\nUser-Agent: \x1b]0;x\x07\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(raw)
        connection.recv(4_096)
    added = service.log.splitlines()[before:]
    assert not any(line.startswith("INFO forged") for line in added)
    assert not any(re.search("[\x00-\x08\x0b-\x1f\x7f]", line) for line in added), added


def test_it_listens_elsewhere_only_with_a_key(serving: Path) -> None:
    service = Service(serving)
    service.launch("--host", "0.0.0.0")  # noqa: S104 - it must be refused
    assert service.process.wait(ENDING) != 0
    assert "MOFANG_KEYS" in service.log
    assert "Traceback" not in service.log
    service.client.close()


def test_secrets_and_texts_are_written_nowhere(serving: Path) -> None:
    keys = {"MOFANG_KEYS": f"front:predict:{SECRET}\nops:operate:{OTHER}"}
    private = "call me at 13912345678 zebrafish password"
    service = Service(serving, **keys)
    service.launch()
    try:
        until(lambda: answers(service), 60, "ready")
        asked = service.client.post
        good = {"Authorization": f"Bearer {SECRET}"}
        assert asked("/predict", json={"inputs": private}).status_code == 401
        assert asked("/predict", json={"inputs": private}, headers=good).status_code == 200
        assert service.client.get("/metrics", headers=good).status_code == 403
        wrong = {"Authorization": f"Bearer {SECRET}x"}
        assert asked("/predict", json={"inputs": private}, headers=wrong).status_code == 401
        operator = {"Authorization": f"Bearer {OTHER}"}
        assert service.client.get("/metrics", headers=operator).status_code == 200
    finally:
        service.stop()
        service.client.close()
    files = [path for path in serving.rglob("*") if path.is_file()]
    assert any(path.name.startswith("traffic.sqlite") for path in files)
    for path in files:
        content = path.read_bytes()
        for word in (SECRET, OTHER, "13912345678", "zebrafish"):
            assert word.encode() not in content, (path, word)


def answers(service: Service) -> bool:
    """Return whether it answers anything at all; with keys most answers are refusals."""
    assert service.process.poll() is None, service.log
    try:
        return service.client.get("/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False
