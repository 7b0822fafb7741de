"""Compressed answers: unpacked in bounded steps, whole or tried again."""

from __future__ import annotations

import gzip
import zlib

import pytest

from pipeline.sources.http import open_source
from pipeline.sources.unpacking import STEP, Decoder
from tests.pipeline.test_http import CSV, TEXTS, csv, in_turn, packed, refusal, texts
from tests.pipeline.web import Route, Server, Web, source, web

__all__ = ["web"]
pytestmark = pytest.mark.usefixtures("project")

PACKED = gzip.compress(CSV, mtime=0)  # the time would be in the names of tests


@pytest.fixture
def server(web: Web) -> Server:
    """The server of the test's web."""
    return web.server


def zeros(megabytes: int, wbits: int) -> bytes:
    """Return that many million zeros, compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(packer.compress(bytes(1_000_000)) for _one in range(megabytes)) + packer.flush()


@pytest.mark.parametrize(
    "bomb",
    [
        packed(zeros(50, 31)),
        packed(zeros(50, 15), "deflate"),
        packed(zeros(50, -15), "deflate"),
        packed(gzip.compress(b"") * 60_000),
    ],
)
def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(server: Server, bomb: Route) -> None:
    server.routes["/a.csv"] = bomb
    assert "answers of more than 1 MB" in refusal(source(f"{server.url}/a.csv"))
    assert len(server.requests) == 1


def test_no_step_is_larger_than_its_bound() -> None:
    sizes = [len(piece) for piece in Decoder("gzip", "here").decoded(zeros(3, 31))]
    assert sum(sizes) == 3_000_000
    assert max(sizes) == STEP


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PACKED, "gzip"),
        (gzip.compress(CSV[:9], mtime=0) + gzip.compress(CSV[9:], mtime=0), "x-gzip"),
        (zlib.compress(CSV), "deflate"),
        (zlib.compress(CSV)[2:-4], "Deflate"),
        (CSV, "identity"),
    ],
)
def test_compressed_answers_are_unpacked(server: Server, body: bytes, encoding: str) -> None:
    server.routes["/a.csv"] = packed(body, encoding)
    delivery = open_source(source(f"{server.url}/a.csv"))
    assert delivery.files[0].read_bytes() == CSV
    assert delivery.bytes == len(CSV)


@pytest.mark.parametrize("cut", [1, 12, -1, -9])
def test_a_compressed_answer_that_is_cut_off_is_tried_again(server: Server, cut: int) -> None:
    server.routes["/a.csv"] = in_turn(packed(PACKED[:cut]), csv)
    assert texts(source(f"{server.url}/a.csv")) == TEXTS
    assert len(server.requests) == 2


@pytest.mark.parametrize("body", [b"not packed at all", PACKED + b"rest", b"\x1f\x8b\0\0"])
def test_damaged_compression_is_named(server: Server, body: bytes) -> None:
    server.routes["/a.csv"] = packed(body)
    assert "compressed bytes" in refusal(source(f"{server.url}/a.csv"))


def test_an_encoding_that_was_not_asked_for_is_named(server: Server) -> None:
    server.routes["/a.csv"] = packed(CSV, "br")
    assert "the encoding 'br', allowed gzip, deflate" in refusal(source(f"{server.url}/a.csv"))
    assert server.requests[0][1]["accept-encoding"] == "gzip, deflate"
