"""Asking the web: what is unchanged is kept, certificates are verified, servers are spared."""

from __future__ import annotations

import json
import os
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.sources import fetching
from pipeline.sources.http import KEPT, open_source
from tests.pipeline.test_http import CSV, TEXTS, csv, in_turn, redirect, refusal, status, texts
from tests.pipeline.web import PUBLIC, Handler, Route, Server, Web, source, web

__all__ = ["web"]
pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def server(web: Web) -> Server:
    """The server of the test's web."""
    return web.server


def tagged(body: bytes, tag: str, when: str = "Sun, 22 Nov 2026 08:00:00 GMT") -> Route:
    """Return a route with an ETag and Last-Modified, which it answers conditional requests by."""

    def route(one: Handler) -> None:
        asked = one.headers.get("If-None-Match")
        if asked == tag:
            assert one.headers["If-Modified-Since"] == when
            one.answer(b"", 304, ETag=tag)
        else:
            one.answer(body, ETag=tag, Last_Modified=when, Content_Type="text/csv")

    return route


def kept_folder() -> Path:
    (entry,) = KEPT.rglob("entry.json")
    return entry.parent


def test_what_is_unchanged_is_not_fetched_again(server: Server) -> None:
    server.routes["/a.csv"] = tagged(CSV, '"1"')
    wanted = source(f"{server.url}/a.csv?key=SECRET")
    first = open_source(wanted)
    assert [row.text for row in first.rows] == TEXTS
    entry = json.loads((kept_folder() / "entry.json").read_text())
    assert (entry["etag"], entry["last_modified"]) == ('"1"', "Sun, 22 Nov 2026 08:00:00 GMT")
    assert entry["sha256"] == first.sha256
    assert datetime.fromisoformat(entry["fetched_at"]).tzinfo
    assert "SECRET" not in json.dumps(entry)
    again = open_source(wanted)
    assert [row.text for row in again.rows] == TEXTS
    assert (again.sha256, again.bytes, again.files) == (first.sha256, first.bytes, first.files)
    assert "if-none-match" not in server.requests[0][1]
    assert server.requests[1][1]["if-none-match"] == '"1"'


def test_what_changed_replaces_what_was_kept(server: Server) -> None:
    server.routes["/a.csv"] = tagged(CSV, '"1"')
    wanted = source(f"{server.url}/a.csv")
    assert texts(wanted) == TEXTS
    server.routes["/a.csv"] = tagged(b"text,label\nnew,human\n", '"2"')
    assert texts(wanted) == ["new"]
    assert json.loads((kept_folder() / "entry.json").read_text())["etag"] == '"2"'
    assert len(list(kept_folder().parent.iterdir())) == 1
    assert texts(wanted) == ["new"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "body.csv").write_bytes(CSV[:-3]),
        lambda folder: (folder / "body.csv").unlink(),
        lambda folder: (folder / "entry.json").write_text("{"),
        lambda folder: (folder / "entry.json").write_text("[]"),
        lambda folder: (folder / "entry.json").write_text("{}"),
        lambda folder: (folder / "entry.json").unlink(),
    ],
)
def test_what_is_damaged_is_fetched_again(server: Server, damage: Route) -> None:
    server.routes["/a.csv"] = tagged(CSV, '"1"')
    wanted = source(f"{server.url}/a.csv")
    texts(wanted)
    damage(kept_folder())  # type: ignore[arg-type]
    assert texts(wanted) == TEXTS
    assert "if-none-match" not in server.requests[1][1]
    assert texts(wanted) == TEXTS
    assert server.requests[2][1]["if-none-match"] == '"1"'


def test_a_failure_leaves_what_was_kept(server: Server) -> None:
    server.routes["/a.csv"] = tagged(CSV, '"1"')
    wanted = source(f"{server.url}/a.csv")
    texts(wanted)
    for failing in (status(404), status(500), lambda one: one.answer(b"x", Content_Length="9")):
        server.routes["/a.csv"] = failing
        refusal(wanted)
        assert (kept_folder() / "body.csv").read_bytes() == CSV


def test_another_shape_is_kept_elsewhere(server: Server) -> None:
    server.routes["/a.csv"] = tagged(CSV, '"1"')
    texts(source(f"{server.url}/a.csv"))
    texts(source(f"{server.url}/a.csv?b=1"))
    assert len(list(KEPT.iterdir())) == 2


def test_another_target_of_a_redirect_is_no_unchanged_one(server: Server) -> None:
    server.routes |= {"/go": redirect("/a.csv"), "/a.csv": tagged(CSV, '"1"')}
    wanted = source(f"{server.url}/go")
    assert texts(wanted) == TEXTS
    assert texts(wanted) == TEXTS
    assert [("if-none-match" in headers) for _path, headers in server.requests] == [
        False,
        False,
        False,
        True,
    ]
    server.routes |= {"/go": redirect("/b.csv"), "/b.csv": tagged(b"text,label\nb,human\n", '"1"')}
    assert texts(wanted) == ["b"]


def test_requests_are_not_faster_than_the_rate(web: Web, server: Server) -> None:
    for number in range(3):
        server.routes[f"/{number}"] = redirect(f"/{number + 1}")
    server.routes["/3"] = csv
    open_source(source(f"{server.url}/0", requests_per_second=0.1, max_seconds=1.0))
    assert [round(pause / 10) for pause in web.pauses] == [1, 2, 3]


def test_waiting_for_the_rate_takes_nothing_off_the_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "pause", time.sleep)
    server.routes |= {"/go": redirect("/a.csv"), "/a.csv": csv}
    wanted = source(f"{server.url}/go", requests_per_second=2.0, max_seconds=0.4)
    assert texts(wanted) == TEXTS


@pytest.mark.parametrize("answer", ["file", "api"])
def test_what_killed_runs_left_is_removed(server: Server, answer: str) -> None:
    server.routes["/a"] = lambda one: one.answer(b"[]", Content_Type="text/plain")
    wanted = source(f"{server.url}/a", answer=answer)
    texts(wanted)
    (shelf,) = KEPT.iterdir()
    within = shelf if answer == "api" else KEPT
    dead, living = within / ".x.tmp-99999999", within / f".y.tmp-{os.getppid()}"
    dead.mkdir()
    living.mkdir()
    (within / ".stray").write_text("no folder of ours")
    texts(wanted)
    assert (dead.exists(), living.exists()) == (False, True)


def test_a_pause_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    fetching.pause(3)
    assert waited == [3]


@pytest.fixture
def secure(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with a certificate for public.test, which the test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "public.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("public.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    pem, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(form))
    secret.write_bytes(
        key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    web.server.socket = context.wrap_socket(
        web.server.socket, server_side=True, do_handshake_on_connect=False
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    web.public("public.test", port=443)
    web.public("other.test", port=443)
    return web.server


def test_a_certificate_is_verified_against_the_name(web: Web, secure: Server) -> None:
    secure.routes["/a.csv"] = csv
    assert texts(source("https://public.test/a.csv", allowed_hosts=[])) == TEXTS
    assert web.connected == [(PUBLIC, 443)]
    said = refusal(source("https://other.test/a.csv", allowed_hosts=[]))
    assert "a certificate that is not valid (Hostname mismatch" in said
    assert len(web.connected) == 2, "a wrong certificate is not tried again"
    assert len(secure.requests) == 1


def test_a_certificate_of_an_unknown_authority_is_refused(
    secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    said = refusal(source("https://public.test/a.csv", allowed_hosts=[]))
    assert "a certificate that is not valid (self-signed certificate" in said
    assert secure.requests == []


def test_https_does_not_lead_to_http(web: Web, secure: Server) -> None:
    secure.routes["/a.csv"] = redirect("http://public.test/b.csv")
    said = refusal(source("https://public.test/a.csv", allowed_hosts=[]))
    assert "a way from https to http" in said
    assert web.connected == [(PUBLIC, 443)]


def test_a_passing_failure_of_the_second_hop_starts_again(server: Server) -> None:
    server.routes |= {"/go": redirect("/a.csv"), "/a.csv": in_turn(status(503), csv)}
    assert texts(source(f"{server.url}/go")) == TEXTS
    assert [path for path, _headers in server.requests] == ["/go", "/a.csv"] * 2
