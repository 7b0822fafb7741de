"""The source http: whole answers or named errors, asked for politely, kept while unchanged."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.errors import SourceError
from pipeline.schema.web import HttpSource
from pipeline.sources.http import KEPT, open_source
from tests.pipeline.web import OTHER, PUBLIC, READER, Handler, Route, Server, Web, source, web

__all__ = ["web"]
pytestmark = pytest.mark.usefixtures("project")

CSV = b"text,label\nwho is it,human\nwhere is it,location\n"
TEXTS = ["who is it", "where is it"]


@pytest.fixture
def server(web: Web) -> Server:
    """The server of the test's web."""
    return web.server


def texts(wanted: HttpSource) -> list[str]:
    """Return the texts of all records."""
    return [row.text for row in open_source(wanted).rows]


def refusal(wanted: HttpSource) -> str:
    """Return the error that a source ends with; it leaves nothing half done."""
    with pytest.raises(SourceError) as caught:
        texts(wanted)
    assert not list(KEPT.rglob("*.tmp-*")) if KEPT.exists() else True
    error: BaseException | None = caught.value
    while error:  # a traceback shows these as well
        assert "SECRET" not in f"{error!r}{error}"
        error = None if error.__suppress_context__ else error.__context__
    return caught.value.render("en")


def in_turn(*routes: Route) -> Route:
    """Return a route that answers differently each time; the last one stays."""
    left = list(routes)
    return lambda one: (left.pop(0) if len(left) > 1 else left[0])(one)


def csv(one: Handler) -> None:
    one.answer(CSV, Content_Type="text/csv")


def status(code: int, **headers: str) -> Route:
    return lambda one: one.answer(b"no", code, **headers)


def redirect(to: str, code: int = 302) -> Route:
    return lambda one: one.answer(b"", code, Location=to)


def cut_short(one: Handler) -> None:
    one.answer(CSV[:20], Content_Length="48")
    one.close_connection = True


def broken_chunks(one: Handler) -> None:
    one.answer(b"10\r\ntext,label\nwho ", Transfer_Encoding="chunked")
    one.close_connection = True


def hang_up(one: Handler) -> None:
    one.close_connection = True


def stall(one: Handler) -> None:
    one.answer(CSV[:20], Content_Length="48")
    time.sleep(0.6)
    one.close_connection = True


def drip(one: Handler) -> None:
    one.answer(b"", Content_Length="10000")
    for _byte in range(200):
        one.wfile.write(b"x")
        time.sleep(0.02)
    one.close_connection = True


def drip_headers(one: Handler) -> None:
    one.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
    drip(one)


def endless(one: Handler) -> None:
    one.answer(b"", Content_Length="100000000000")
    for _block in range(2_000):
        one.wfile.write(b"x" * 10_000)
    one.close_connection = True


def packed(body: bytes, encoding: str = "gzip", **headers: str) -> Route:
    return lambda one: one.answer(body, Content_Encoding=encoding, **headers)


def test_a_file_becomes_records_with_its_origin(server: Server) -> None:
    server.routes["/a.csv"] = csv
    delivery = open_source(source(f"{server.url}/a.csv?key=SECRET"))
    rows = list(delivery.rows)
    assert [row.text for row in rows] == TEXTS
    assert rows[0].meta == {"file": f"{server.url}/a.csv", "row": 2}
    assert (delivery.count.read, delivery.bytes) == (2, len(CSV))
    (path,) = delivery.files
    assert path.read_bytes() == CSV
    assert delivery.sha256 == artifacts.sha256(path)
    assert (path.name, path.parent.parent) == ("body.csv", artifacts.WORK / "http")


@pytest.mark.parametrize(
    ("address", "type_", "form", "name"),
    [
        ("/data.tsv", "text/plain", "auto", "body.tsv"),
        ("/data", "text/csv; charset=utf-8", "auto", "body.csv"),
        ("/data.php", "application/x-ndjson", "auto", "body.jsonl"),
        ("/data", "application/octet-stream", "csv", "body.csv"),
        ("/v1.2/data", "text/plain", "auto", "body.txt"),
        ("/data.csv", "text/html", "auto", "body.html"),
        ("/data.csv", "", "auto", "body.csv"),
        ("/data.tar.gz", "application/gzip", "auto", "body.tar.gz"),
    ],
)
def test_the_ending_comes_from_address_or_type(
    server: Server, address: str, type_: str, form: str, name: str
) -> None:
    server.routes[address] = lambda one: one.answer(b"a,b\n", Content_Type=type_)
    wanted = source(f"{server.url}{address}?x=1.zip", reader=READER | {"format": form})
    assert open_source(wanted).files[0].name == name


@pytest.mark.parametrize(
    "passing", [hang_up, cut_short, broken_chunks, stall, status(500), status(429), status(503)]
)
def test_what_may_pass_is_tried_again(web: Web, server: Server, passing: Route) -> None:
    server.routes["/a.csv"] = in_turn(passing, csv)
    assert texts(source(f"{server.url}/a.csv")) == TEXTS
    assert len(server.requests) == 2
    (pause,) = (pause for pause in web.pauses if pause > 0.1)
    assert 0.5 <= pause <= 1.5


@pytest.mark.parametrize("lasting", [hang_up, cut_short, broken_chunks, stall, status(502)])
def test_three_tries_and_nothing_partial_is_kept(web: Web, server: Server, lasting: Route) -> None:
    server.routes["/a.csv"] = lasting
    said = refusal(source(f"{server.url}/a.csv?key=SECRET"))
    assert said.startswith(f"{server.url}/a.csv: found ")
    assert "at each of 3 tries" in said
    assert len(server.requests) == 3
    assert len([pause for pause in web.pauses if pause > 0.1]) == 2
    assert not list(KEPT.rglob("body*"))


@pytest.mark.parametrize("code", [204, 206, 304, 400, 401, 403, 404, 410, 418, 501])
def test_no_other_status_is_tried_again(server: Server, code: int) -> None:
    server.routes["/a.csv"] = status(code)
    assert f"status {code}, allowed status 200" in refusal(source(f"{server.url}/a.csv"))
    assert len(server.requests) == 1


def test_a_port_where_nobody_listens_is_named(web: Web, server: Server) -> None:
    port = server.port
    web.hosts["127.0.0.1", port] = ("127.0.0.1", 1)
    assert "refused, at each of 3 tries" in refusal(source(f"{server.url}/a.csv"))
    assert web.connected == [("127.0.0.1", port)] * 3


def test_retry_after_is_honoured_up_to_max_seconds(web: Web, server: Server) -> None:
    soon = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True)
    for asked, least, most in (("3", 3, 3), ("99999", 5, 5), (soon, 2, 4), ("soon", 0.5, 1.5)):
        server.routes["/a.csv"] = in_turn(status(429, Retry_After=asked), csv)
        web.pauses.clear()
        assert texts(source(f"{server.url}/a.csv")) == TEXTS
        (pause,) = (pause for pause in web.pauses if pause > 0.1)
        assert least <= pause <= most, asked


@pytest.mark.parametrize("slow", [drip, drip_headers])
def test_a_slow_drip_ends_at_max_seconds(server: Server, slow: Route) -> None:
    server.routes["/a.csv"] = slow
    started = time.monotonic()
    said = refusal(source(f"{server.url}/a.csv", max_seconds=0.4))
    assert "no whole answer in 0.4 seconds" in said
    assert 0.3 < time.monotonic() - started < 2
    assert len(server.requests) == 1


def test_an_endless_body_ends_at_max_size(server: Server) -> None:
    server.routes["/a.csv"] = endless
    assert "answers of more than 1 MB" in refusal(source(f"{server.url}/a.csv"))
    assert len(server.requests) == 1
    assert not list(KEPT.rglob("body*"))


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:{port}/inside.csv",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "//127.0.0.1/",
        "file:///etc/passwd",
        "ftp://public.test/",
        "http://user:hush@public.test/",
        "http://public.test:8080/",
        "http://[broken/",
        "http://public.test\\@127.0.0.1/",
        "",
    ],
)
def test_no_redirect_leaves_the_internet(web: Web, server: Server, to: str) -> None:
    web.public("public.test")
    web.names["localhost"] = [["127.0.0.1"]]
    server.routes["/a.csv"] = redirect(to.format(port=server.port))
    server.routes["/inside.csv"] = csv
    said = refusal(source("http://public.test/a.csv", allowed_hosts=[]))
    assert "hush" not in said
    assert web.connected == [(PUBLIC, 80)]
    assert len(server.requests) == 1


def test_redirects_end_after_three(server: Server) -> None:
    for number in range(4):
        server.routes[f"/{number}"] = redirect(f"{number + 1}", 301 + number % 2)
    server.routes["/3"] = redirect("/a.csv", 308)
    server.routes["/a.csv"] = csv
    assert texts(source(f"{server.url}/1")) == TEXTS
    assert "more than 3 redirects" in refusal(source(f"{server.url}/0"))
    server.requests.clear()
    server.routes["/round"] = redirect("/round", 307)
    assert "more than 3 redirects" in refusal(source(f"{server.url}/round"))
    assert len(server.requests) == 4


def test_headers_stay_with_their_host(
    web: Web, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "Bearer SECRET-123456")
    web.public("a.test")
    web.public("b.test", OTHER)
    server.routes |= {
        "/same": redirect("/a.csv"),
        "/other": redirect("http://b.test/back"),
        "/back": redirect("http://a.test/a.csv"),
        "/a.csv": csv,
    }
    wanted = {"headers": {"Authorization": "API_KEY"}, "allowed_hosts": []}
    assert texts(source("http://a.test/same", **wanted)) == TEXTS
    assert texts(source("http://a.test/other", **wanted)) == TEXTS
    sent = [(path, "authorization" in headers) for path, headers in server.requests]
    assert sent == [
        ("/same", True),
        ("/a.csv", True),
        ("/other", True),
        ("/back", False),  # another host
        ("/a.csv", False),  # what another host led to
    ]
    assert [headers["host"] for _path, headers in server.requests][-2:] == ["b.test", "a.test"]


def test_nothing_of_the_environment_is_sent_or_followed(
    web: Web, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine public.test login me password SECRET\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://10.0.0.9:3128")
    web.public("public.test")
    cookie = {"Set_Cookie": "session=SECRET; Path=/"}
    server.routes["/go"] = lambda one: one.answer(b"", 302, Location="/a.csv", **cookie)
    server.routes["/a.csv"] = csv
    assert texts(source("http://public.test/go", allowed_hosts=[])) == TEXTS
    for _path, headers in server.requests:
        assert set(headers) == {"host", "accept", "accept-encoding", "user-agent"}


def test_variables_that_are_missing_or_unfit_are_named_together(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "SECRET\r\nHost: evil.test")
    named = {"Authorization": "NOT_SET", "X-Key": "BROKEN", "Host": "BROKEN"}
    said = refusal(source(f"{web.server.url}/a.csv", headers=named))
    assert "NOT_SET: found no such environment variable" in said
    assert "BROKEN: found a value that a header cannot have" in said
    assert "headers.Host: found a header that belongs to the connection" in said
    assert web.connected == []


def test_a_server_that_repeats_a_secret_does_not_get_it_into_errors(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "Bearer SECRET-123456")
    wanted = source(f"{server.url}/a.csv", headers={"Authorization": "API_KEY"})
    server.routes["/a.csv"] = redirect("http://SECRET-123456.evil.test:99/SECRET-123456")
    assert "***" in refusal(wanted)
    server.routes["/a.csv"] = packed(b"", "SECRET-123456")
    refusal(wanted)

    def malformed(one: Handler) -> None:
        one.wfile.write(b"HTTP/1.1 200 OK\r\nBearer SECRET-123456\r\n\r\n")
        one.close_connection = True

    server.routes["/a.csv"] = malformed
    refusal(wanted)


HTML = (
    "<!doctype html><html><head><title>Help</title></head><body><nav>Home About</nav><article>"
    "<h1>Where it is</h1>"
    + "".join(
        f"<p>Paragraph {number} says where the thing is kept today.</p>" for number in range(9)
    )
    + "</article></body></html>"
)


@pytest.mark.parametrize("address", ["/help", "/help.md", "/help.html"])
def test_a_page_becomes_a_record(server: Server, address: str) -> None:
    server.routes[address] = lambda one: one.answer(
        HTML.encode(), Content_Type="text/html; charset=utf-8"
    )
    delivery = open_source(source(f"{server.url}{address}?key=SECRET", answer="page"))
    (row,) = delivery.rows
    assert "Paragraph 8 says" in row.text
    assert "<p>" not in row.text
    assert (row.label, row.group) == (None, "web")
    assert row.meta == {"file": f"{server.url}{address}", "row": 1}
    assert delivery.files[0].name == "body.html"
    assert delivery.sha256 == artifacts.sha256(delivery.files[0])
    assert delivery.bytes == len(HTML)


def test_a_long_page_becomes_chunks_of_one_group(server: Server) -> None:
    server.routes["/help"] = lambda one: one.answer(HTML.encode(), Content_Type="text/html")
    wanted = source(f"{server.url}/help", answer="page", chunks={"size": 120, "overlap": 0})
    rows = list(open_source(wanted).rows)
    assert len(rows) > 2
    assert all(len(row.text) <= 120 for row in rows)
    assert {row.group for row in rows} == {"web"}
    assert [row.meta["row"] for row in rows] == list(range(1, len(rows) + 1))


def test_a_page_without_text_is_counted(server: Server) -> None:
    server.routes["/help"] = lambda one: one.answer(b"  \n", Content_Type="text/plain")
    delivery = open_source(source(f"{server.url}/help", answer="page"))
    assert list(delivery.rows) == []
    assert (delivery.count.read, delivery.count.empty) == (1, 1)
